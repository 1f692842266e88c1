//! Revisions, and the updates for clients that follow changes.

use super::*;

/// Revisions and names of what changed since then. `None` for a snapshot.
fn since(world: &mut World, revision: u64) -> Option<Vec<(u64, String)>> {
    match world.state.updates_since(Some(revision)) {
        Update::Snapshot(_) => None,
        Update::Changes(changes, _) => {
            let named = changes.into_iter().map(|(revision, what)| {
                let name = match what {
                    Change::Container(container) => container.info.name.clone(),
                    Change::Devcontainer(devcontainer) => devcontainer.name.to_string(),
                    Change::ContainerRemoved(id) => {
                        format!("without {}", id.trim_start_matches('0'))
                    }
                    Change::DevcontainerRemoved(id) => format!("without {id}"),
                    Change::Warnings(warnings) => warnings.join(", "),
                };
                (revision, name)
            });
            Some(named.collect())
        }
    }
}

fn now(world: &mut World) -> u64 {
    world.state.view().revision
}

fn named(names: &[(u64, &str)]) -> Option<Vec<(u64, String)>> {
    let owned = names
        .iter()
        .map(|(revision, name)| (*revision, (*name).to_owned()));
    Some(owned.collect())
}

#[test]
fn each_change_has_a_revision_and_equal_states_have_none() {
    let mut world = world();
    world.run(1, "/w", None);
    world.list();
    let first = now(&mut world);
    assert_eq!(since(&mut world, first), named(&[]));
    world.list();
    assert_eq!(now(&mut world), first, "the same is known");
    world.run(2, "/v", None);
    world.list();
    let both = [(first + 1, "box2"), (first + 2, "v")];
    assert_eq!(since(&mut world, first), named(&both));
    assert_eq!(since(&mut world, first + 1), named(&both[1..]));
    world.remove(1);
    world.list();
    let later = [
        (first + 1, "box2"),
        (first + 2, "v"),
        (first + 3, "without 1"),
        (first + 4, "w"),
    ];
    assert_eq!(since(&mut world, first), named(&later));
}

#[test]
fn another_order_is_another_revision_without_changes() {
    let mut world = world();
    world.run(1, "/w", None);
    world.run(2, "/v", None);
    world.list();
    let before = world.state.view();
    world.containers.reverse();
    world.list();
    let after = world.state.view();
    assert_ne!(before.containers, after.containers);
    assert!(after.revision > before.revision);
    assert_eq!(since(&mut world, before.revision), named(&[]));
}

#[test]
fn of_each_object_the_last_change_is_told() {
    let mut world = world();
    world.run(1, "/w", None);
    world.list();
    let first = now(&mut world);
    for number in 0..5 {
        world.run(1, "/w", None).name = format!("again{number}");
        world.containers.swap_remove(0);
        world.list();
    }
    let updates = since(&mut world, first).unwrap();
    let names: Vec<&str> = updates.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["again4", "w"]);
    assert_eq!(updates[1].0, now(&mut world));
}

#[test]
fn who_is_too_far_behind_or_ahead_is_told_everything() {
    let mut world = world();
    world.list();
    let first = now(&mut world);
    for number in 1..=600 {
        world.run(number, &format!("/w{number}"), None);
    }
    world.list();
    assert_eq!(since(&mut world, first), None, "1,200 changes");
    let then = now(&mut world);
    for number in 601..=1000 {
        world.run(number, &format!("/w{number}"), None);
    }
    world.list();
    assert_eq!(since(&mut world, then).unwrap().len(), 800);
    for number in 1001..=1200 {
        world.run(number, &format!("/w{number}"), None);
    }
    world.list();
    assert_eq!(since(&mut world, then), None);
    assert_eq!(since(&mut world, then + 200).unwrap().len(), 1000);
    let latest = now(&mut world);
    assert_eq!(since(&mut world, latest), named(&[]));
    assert_eq!(since(&mut world, latest + 1), None, "of another run");
}

#[test]
fn that_listing_fails_is_told_once_and_that_it_does_not_any_more() {
    let mut world = world();
    world.list();
    let first = now(&mut world);
    for _ in 0..3 {
        world.apply(Fact::Listed(Err("down".into())));
    }
    let said = "containers cannot be listed: down; the last known state is shown";
    assert_eq!(since(&mut world, first), named(&[(first + 1, said)]));
    world.list();
    assert_eq!(since(&mut world, first), named(&[(first + 2, "")]));
}

#[test]
fn a_change_makes_anew_only_what_shows_it() {
    let mut world = world();
    for (number, folder) in [(1, "/a"), (2, "/b"), (3, "/c")] {
        world.run(number, folder, None);
    }
    // The second one finds that nothing has come of the first one.
    world.list();
    world.list();
    let (before, targets) = (world.state.view(), world.state.scan_targets());
    let changed = world.containers.iter_mut().find(|info| info.id == id(2));
    Arc::make_mut(changed.unwrap()).run_state = RunState::Paused;
    assert!(world.keeps_members());
    world.list();
    let (after, targets_after) = (world.state.view(), world.state.scan_targets());
    let shared = |index: usize| {
        let is_same = Arc::ptr_eq(&before.devcontainers[index], &after.devcontainers[index]);
        (is_same, Arc::ptr_eq(&targets[index], &targets_after[index]))
    };
    assert_eq!([shared(0), shared(2)], [(true, true); 2]);
    assert!(!shared(1).0);
    assert_eq!(
        since(&mut world, before.revision),
        named(&[(after.revision - 1, "box2"), (after.revision, "b")])
    );
    // A dev container that comes or goes is assigned.
    world.run(4, "/d", None);
    assert!(!world.keeps_members());
    world.list();
    world.remove(4);
    assert!(!world.keeps_members());
    // A container of no dev container is not.
    world.list();
    world.run(5, "/e", None).labels = Pairs::default();
    assert!(world.keeps_members());
}
