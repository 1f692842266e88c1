//! Two daemons with one state directory: what the first one leaves is known to the second one, which ran already.

use ChangeKind::*;

use super::dirty::made;
use super::*;

/// The two daemons, which see the same containers and files.
struct Pair {
    first: State,
    second: World,
}

impl Pair {
    /// Starts a second daemon beside that of `world`.
    fn of(mut world: World) -> Self {
        let saved = crate::store::round_trip(world.state.persisted());
        let first = std::mem::replace(&mut world.state, new_state());
        world.last_places = None;
        world
            .state
            .recover(saved.of_another(), Timestamp::new(world.wall, 0));
        world.list();
        Self {
            first,
            second: world,
        }
    }

    /// Does something in the first daemon.
    fn in_first<T>(&mut self, deed: impl FnOnce(&mut World) -> T) -> T {
        let swap = |pair: &mut Self| {
            pair.second.last_places = None;
            std::mem::swap(&mut pair.first, &mut pair.second.state);
        };
        swap(self);
        let result = deed(&mut self.second);
        swap(self);
        result
    }

    /// Recreates the dev container in the second daemon, with an edit during the build.
    fn recreate_in_second(&mut self) {
        let second = &mut self.second;
        let key = second.begin();
        second.write(CONFIG, "2");
        second.remove(1);
        second.run(2, "/w", Some(CONFIG));
        second.end(key, None, Some(2));
        second.list();
    }

    /// The first daemon ends.
    fn take_over(mut self) -> World {
        let left = crate::store::round_trip(self.first.persisted());
        let now = Timestamp::new(self.second.wall, 0);
        self.second.apply(Fact::TakenOver(left, now));
        self.second.list();
        self.second
    }
}

#[test]
fn p7_an_operation_that_ends_in_the_first_daemon_is_known_to_the_second() {
    let mut world = made();
    let key = world.begin();
    let mut pair = Pair::of(world);
    assert_eq!(
        pair.second.one().job.map(|job| job.state),
        None,
        "not interrupted"
    );
    assert_eq!(pair.second.state.to_repair(), []);
    // An edit during the build. The second daemon sees a container that is younger than the edit.
    pair.second.write(CONFIG, "2");
    pair.second.remove(1);
    pair.second.run(2, "/w", Some(CONFIG));
    pair.second.list();
    assert_eq!(pair.second.changes(), []);
    pair.in_first(|world| {
        world.end(key, None, Some(2));
        world.list();
        assert_eq!(world.changes(), [Modified]);
    });
    let mut second = pair.take_over();
    assert_eq!(second.one().job.unwrap().state, OperationState::Succeeded);
    assert_eq!(second.changes(), [Modified], "P6");
    assert!(second.take_unsaved());
    second.write(CONFIG, "1");
    assert_eq!(second.changes(), []);
}

#[test]
fn p7_a_container_that_the_first_daemon_has_not_listed_is_known_by_its_label() {
    let mut world = made();
    let key = world.begin();
    let operation = operation(world.wall);
    let mut pair = Pair::of(world);
    pair.second.write(CONFIG, "2");
    pair.second.remove(1);
    pair.second.run_by(operation.as_str(), 2, CONFIG);
    pair.second.list();
    assert_eq!(pair.second.changes(), [], "it is younger than the edit");
    pair.in_first(|world| world.end(key, None, Some(2)));
    assert_eq!(pair.take_over().changes(), [Modified]);
}

#[test]
fn p7_an_operation_that_the_first_daemon_could_not_end_is_interrupted() {
    let mut world = made();
    world.begin();
    let mut second = Pair::of(world).take_over();
    assert_eq!(second.one().job.unwrap().state, OperationState::Interrupted);
    assert_eq!(second.state.to_repair().len(), 1);
}

#[test]
fn p7_what_the_second_daemon_has_done_since_counts() {
    let mut world = made();
    let key = world.begin();
    world.end(key, Some("no"), None);
    let mut pair = Pair::of(world);
    assert_eq!(pair.second.one().job.unwrap().state, OperationState::Failed);
    pair.recreate_in_second();
    assert_eq!(pair.second.changes(), [Modified]);
    pair.in_first(|world| {
        world.list();
        assert_eq!(
            world.changes(),
            [],
            "it does not know what the container was made from"
        );
    });
    let mut second = pair.take_over();
    assert_eq!(second.one().job.unwrap().state, OperationState::Succeeded);
    assert_eq!(second.changes(), [Modified]);
}

#[test]
fn p6_what_the_second_daemon_knows_exactly_outlives_a_later_stop() {
    let mut pair = Pair::of(made());
    pair.recreate_in_second();
    let key = pair.second.begin_kind(OperationKind::Stop);
    pair.second.end(key, None, None);
    pair.second.list();
    // The first daemon takes the files as they are for what the container was made from.
    pair.in_first(|world| world.list());
    assert_eq!(pair.take_over().changes(), [Modified]);
}

#[test]
fn what_the_second_daemon_was_asked_to_forget_stays_forgotten() {
    let mut world = world();
    world.add("/w/p", "/w/p/c.json");
    world.add("/w/kept", "/w/kept/c.json");
    world.list();
    let mut pair = Pair::of(world);
    assert_eq!(pair.second.names(), ["kept", "p"]);
    let key = pair.second.state.find("p").unwrap();
    pair.second.state.forget_requested(key).unwrap();
    assert_eq!(pair.take_over().names(), ["kept"]);
}

#[test]
fn p7_a_later_operation_of_the_first_daemon_replaces_the_one_that_the_second_has_read() {
    let mut world = made();
    let key = world.begin();
    world.end(key, Some("no"), None);
    let mut pair = Pair::of(world);
    pair.in_first(|world| {
        let key = world.begin();
        world.end(key, None, Some(1));
    });
    assert_eq!(pair.second.one().job.unwrap().state, OperationState::Failed);
    let mut second = pair.take_over();
    assert_eq!(second.one().job.unwrap().state, OperationState::Succeeded);
}

#[test]
fn p21_names_of_the_first_daemon_are_kept_unless_the_second_has_given_them() {
    let mut world = world();
    world.run(1, "/x/proj", None);
    world.list();
    let mut pair = Pair::of(world);
    pair.in_first(|world| {
        world.run(2, "/y/proj", None);
        world.list();
        assert_eq!(world.names(), ["proj", "y-proj"]);
        world.remove(1);
        world.remove(2);
        world.list();
    });
    let mut second = pair.take_over();
    second.run(3, "/z/y-proj", None);
    second.list();
    let names = ["proj", "z-y-proj"];
    assert_eq!(second.names(), names, "y-proj is that of /y/proj");
}

#[test]
fn p7_the_baseline_of_a_container_that_only_the_first_daemon_saw_goes_after_a_while() {
    let mut pair = Pair::of(made());
    pair.in_first(|world| {
        world.run(9, "/w", Some(CONFIG));
        world.list();
    });
    pair.second.remove(9);
    pair.second.list();
    // The next listing is that after an event.
    pair.second.keeps_ids = true;
    let mut second = pair.take_over();
    assert_eq!(second.state.persisted().baselines.len(), 2);
    second.keeps_ids = false;
    second.wall += 31 * 86_400;
    second.list();
    assert_eq!(second.state.persisted().baselines.len(), 1);
}
