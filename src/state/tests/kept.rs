//! The data that is kept of containers and dev containers while a listing does not show them.

use ChangeKind::*;

use super::dirty::made;
use super::*;

const DAY: i64 = 86_400;

impl World {
    /// Docker looks at another context, without containers. Returns those of this one.
    fn switch_away(&mut self) -> Vec<Arc<ContainerInfo>> {
        let all = std::mem::take(&mut self.containers);
        self.list();
        all
    }

    fn restart_with_state(&mut self) {
        let persisted = crate::store::round_trip(self.state.persisted());
        self.restart(persisted);
    }
}

#[test]
fn p7_a_container_that_is_listed_again_keeps_its_baseline() {
    for restarts in [false, true] {
        let mut world = made();
        let all = world.switch_away();
        assert!(world.take_unsaved());
        world.list();
        assert!(!world.take_unsaved(), "once");
        if restarts {
            world.restart_with_state();
            world.list();
        }
        world.put(CONFIG, "2");
        world.wall += 29 * DAY;
        world.list();
        world.containers = all;
        world.list();
        assert!(world.state.is_unsaved());
        assert_eq!(world.changes(), [Modified], "restarts: {restarts}");
        world.write(CONFIG, "1");
        assert_eq!(world.changes(), []);
    }
}

#[test]
fn p7_the_baseline_of_a_container_that_is_gone_goes_after_a_while() {
    let mut world = made();
    world.switch_away();
    world.wall += 30 * DAY;
    world.list();
    assert_eq!(world.state.persisted().baselines.len(), 1);
    world.take_unsaved();
    world.wall += 10;
    world.list();
    assert!(world.take_unsaved());
    let left = world.state.persisted();
    assert_eq!((left.baselines.len(), left.missing.len()), (0, 0));
}

#[test]
fn p7_of_many_baselines_those_are_kept_whose_containers_were_shown_last() {
    let mut world = world();
    world.put(CONFIG, "1");
    // A container has two inputs.
    for number in 1..=6_000 {
        world.run(number, "/w", Some(CONFIG));
    }
    world.list();
    world.containers.retain(|info| info.id <= id(3_000));
    world.list();
    world.wall += 1;
    world.switch_away();
    let left = world.state.persisted();
    assert_eq!((left.baselines.len(), left.missing.len()), (5_000, 5_000));
    assert!((1..=3_000).all(|number| left.baselines.contains_key(&id(number))));
}

#[test]
fn p7_the_last_operation_of_a_dev_container_outlives_a_restart_in_another_context() {
    let mut world = made();
    let key = world.begin();
    world.end(key, Some("it broke"), None);
    world.restart_with_state();
    let all = world.switch_away();
    assert_eq!(world.all(), []);
    assert!(world.take_unsaved());
    world.restart_with_state();
    world.switch_away();
    assert!(!world.take_unsaved(), "nothing new");
    world.containers = all;
    world.list();
    assert_eq!(world.one().error.as_deref(), Some("it broke"));
    // Its folder and its container are gone, and come back.
    let all = world.switch_away();
    world.gone.insert("/w".into());
    world.list();
    assert_eq!(world.all(), []);
    world.gone.clear();
    world.containers = all;
    world.list();
    assert_eq!(world.one().error.as_deref(), Some("it broke"));
}

#[test]
fn p7_the_operations_of_dev_containers_that_are_gone_go_after_a_while() {
    let mut world = made();
    let key = world.begin();
    world.end_unsettled(key, "docker went away");
    world.restart_with_state();
    assert!(world.state.has_unsettled());
    world.switch_away();
    assert!(!world.state.has_unsettled(), "there is nothing to repair");
    let record = world.state.persisted().operations.remove(0);
    world.wall += 30 * DAY + 10;
    world.list();
    assert_eq!(world.state.persisted().operations, []);
    let mut persisted = world.state.persisted();
    for number in 0..1_000 {
        persisted.operations.push(persisted::Record {
            folder: format!("/w/{number}").into(),
            unknown_since: Some(Timestamp::new(world.wall - number, 0)),
            ..record.clone()
        });
    }
    persisted.operations.reverse();
    world.restart(persisted);
    world.list();
    let left = world.state.persisted().operations;
    assert_eq!(left.len(), 200);
    assert!(left.iter().any(|one| one.folder == Path::new("/w/0")));
}
