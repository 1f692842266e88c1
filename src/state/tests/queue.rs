//! The queue of operations (P14): who waits, who is next, and what is shown meanwhile.

use super::*;

const LIMIT: usize = 2;

/// A world with these dev containers, each in a folder of its own with one container.
fn world_of(names: &[&str]) -> (World, Vec<Key>) {
    let mut world = world();
    for (number, name) in (1..).zip(names) {
        world.run(number, &format!("/{name}"), None);
    }
    world.list();
    let keys = names.iter().map(|name| world.state.find(name).unwrap());
    let keys = keys.collect();
    (world, keys)
}

impl World {
    fn start(&mut self, key: Key, claims: &[&str]) -> Option<Ahead> {
        self.operate(key, OperationKind::Start, claims).unwrap()
    }

    fn operate(
        &mut self,
        key: Key,
        kind: OperationKind,
        claims: &[&str],
    ) -> Result<Option<Ahead>, Refusal> {
        self.wall += 1;
        let claims = claims.iter().map(|name| Project::Named((*name).to_owned()));
        let id = operation(self.wall);
        let begun = self.state.begin(key, kind, id, claims.collect())?;
        Ok(begun.waits_for)
    }

    fn leave(&mut self, key: Key) -> bool {
        self.wall += 1;
        let id = operation(self.wall);
        self.state.leave_queue(key, id)
    }

    fn job_state(&mut self, name: &str) -> Option<OperationState> {
        let key = self.state.find(name)?;
        Some(self.state.describe(key)?.job?.state)
    }
}

#[test]
fn p14_as_many_run_as_may_and_the_others_begin_in_the_order_in_which_they_came() {
    let (mut world, keys) = world_of(&["a", "b", "c", "d", "e"]);
    let waiting: Vec<Option<Ahead>> = keys.iter().map(|key| world.start(*key, &[])).collect();
    assert_eq!(waiting[..LIMIT], [None, None]);
    let ahead = |queued| {
        Some(Ahead {
            limit: LIMIT,
            running: vec!["start of `a`".into(), "start of `b`".into()],
            queued,
        })
    };
    assert_eq!(waiting[LIMIT..], [ahead(0), ahead(1), ahead(2)]);
    assert_eq!(world.state.operations_running(), LIMIT);
    let turn = |world: &World| keys.iter().position(|key| world.state.has_turn(*key));
    assert_eq!(turn(&world), None);
    assert!(!world.leave(keys[2]), "all places are taken");
    world.end(keys[1], None, None);
    assert_eq!(turn(&world), Some(2));
    // One that comes now does not overtake those that wait.
    let again = world.start(keys[1], &[]).unwrap();
    assert_eq!((again.running.len(), again.queued), (1, 3));
    assert!(!world.leave(keys[3]), "it is not the first one");
    for next in [2, 3, 4, 1] {
        assert_eq!(turn(&world), Some(next));
        assert!(world.leave(keys[next]));
        assert_eq!(turn(&world), None);
        world.end(keys[next], None, None);
    }
    assert_eq!(turn(&world), None);
    assert_eq!(world.start(keys[4], &[]), None);
}

#[test]
fn p14_stop_and_delete_neither_wait_nor_take_a_place() {
    let (mut world, keys) = world_of(&["a", "b", "c", "d", "e"]);
    for (key, kind) in [
        (keys[0], OperationKind::Stop),
        (keys[1], OperationKind::Delete),
        (keys[2], OperationKind::Recreate),
        (keys[3], OperationKind::Start),
    ] {
        assert_eq!(world.operate(key, kind, &[]), Ok(None));
    }
    let ahead = world.start(keys[4], &[]).unwrap();
    assert_eq!(ahead.running, ["recreate of `c`", "start of `d`"]);
    world.end(keys[0], None, None);
    assert_eq!(world.operate(keys[0], OperationKind::Stop, &[]), Ok(None));
}

#[test]
fn p14_a_queued_operation_excludes_others_and_shows_only_in_the_job() {
    let (mut world, keys) = world_of(&["a", "b", "c", "d"]);
    world.start(keys[2], &[]);
    world.end(keys[2], Some("no image"), None);
    let before = world.state.describe(keys[2]).unwrap();
    world.start(keys[0], &[]);
    world.start(keys[1], &[]);
    assert!(world.start(keys[2], &["p"]).is_some());
    let mut after = world.state.describe(keys[2]).unwrap();
    let job = after.job.unwrap();
    assert_eq!(
        (job.kind, job.state),
        (OperationKind::Start, OperationState::Queued)
    );
    assert_eq!((job.phase, job.finished_at), (None, None));
    after.job = before.job;
    assert_eq!(after, before);
    let twice = Refusal::InProgress {
        work: Work::Queued(OperationKind::Start),
        name: "c".into(),
    };
    assert!(twice.to_string().contains("already queued"), "{twice}");
    for kind in [OperationKind::Recreate, OperationKind::Stop] {
        assert_eq!(world.operate(keys[2], kind, &[]), Err(twice.clone()));
    }
    let neighbour = Refusal::ProjectInProgress {
        work: Work::Queued(OperationKind::Start),
        name: "c".into(),
        project: Project::Named("p".into()),
    };
    let stop = world.operate(keys[3], OperationKind::Stop, &["p"]);
    assert_eq!(stop, Err(neighbour));
}

#[test]
fn p14_what_is_queued_can_end_before_it_begins() {
    let (mut world, keys) = world_of(&["a", "b", "c", "d"]);
    for key in &keys {
        world.start(*key, &[]);
    }
    let ended = EndedOperation {
        end: End {
            ending: Ending::Cancelled,
            containers: None,
            finished_at: Timestamp::new(world.wall, 0),
        },
        container: None,
        settlement: Settlement::Settled,
    };
    world.apply(Fact::OperationEnded(keys[2], ended, None));
    assert_eq!(world.job_state("c"), Some(OperationState::Cancelled));
    world.end(keys[0], None, None);
    assert!(!world.leave(keys[2]));
    assert!(world.leave(keys[3]), "the next one takes its place");
    world.apply(Fact::Draining);
    world.end(keys[1], None, None);
    assert!(!world.state.has_turn(keys[3]));
}

#[test]
fn p14_other_projects_are_claimed_where_the_configuration_names_others_by_then() {
    let (mut world, keys) = world_of(&["a", "b"]);
    world.start(keys[0], &["p"]);
    world.start(keys[1], &["q"]);
    let claims = |name: &str| vec![Project::Named(name.into())];
    let refused = world.state.claim_instead(keys[1], claims("p"));
    assert!(matches!(refused, Err(Refusal::ProjectInProgress { .. })));
    assert_eq!(world.state.claim_instead(keys[1], claims("r")), Ok(()));
    world.end(keys[0], None, None);
    assert_eq!(
        world.operate(keys[0], OperationKind::Stop, &["q"]),
        Ok(None)
    );
}

#[test]
fn p12_a_repair_does_not_wait_for_the_queue_and_the_queue_lets_others_pass_meanwhile() {
    let (mut world, keys) = world_of(&["a", "b", "c", "d"]);
    world.start(keys[2], &["p"]);
    world.end_unsettled(keys[2], "docker does not answer");
    world.start(keys[0], &[]);
    world.start(keys[1], &[]);
    assert!(world.start(keys[2], &["p"]).is_some());
    assert!(world.start(keys[3], &[]).is_some());
    assert_eq!(world.state.to_repair(), [keys[2]]);
    let claims = vec![Project::Named("p".into())];
    let now = Timestamp::new(world.wall, 0);
    let repair = world.state.begin_repair(keys[2], true, claims, now);
    assert!(repair.is_some());
    world.end(keys[0], None, None);
    assert!(!world.leave(keys[2]), "it is being repaired");
    assert!(world.leave(keys[3]));
    world.end(keys[1], None, None);
    world.state.end_repair(keys[2], None, world.now);
    assert!(world.leave(keys[2]));
    assert_eq!(world.state.left_behind(keys[2]).len(), 1);
}

#[test]
fn p7_an_operation_that_was_queued_is_interrupted_after_a_restart_and_leaves_nothing_to_repair() {
    let (mut world, keys) = world_of(&["a", "b", "c"]);
    for key in &keys {
        world.start(*key, &[]);
    }
    let persisted = world.state.persisted();
    world.state = new_state();
    let ended_by = Timestamp::new(world.wall, 0);
    world.apply(Fact::Recovered(persisted, ended_by));
    world.list();
    let key = world.state.find("c").unwrap();
    let one = world.state.describe(key).unwrap();
    let job = one.job.unwrap();
    assert_eq!(job.state, OperationState::Interrupted);
    assert_eq!(job.finished_at, Some(ended_by));
    let error = one.error.unwrap();
    assert_eq!(error, "the daemon ended before the start began");
    assert!(!world.state.to_repair().contains(&key));
}

#[test]
fn p14_no_more_than_so_many_wait_and_stop_does_not_wait_for_them() {
    const MAX: usize = 64;
    let names: Vec<String> = (0..LIMIT + MAX + 2).map(|n| format!("app{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut world, keys) = world_of(&names);
    let [others @ .., stopped, last] = &*keys else {
        unreachable!()
    };
    for key in others {
        world.start(*key, &[]);
    }
    for kind in [OperationKind::Start, OperationKind::Recreate] {
        let full = Err(Refusal::QueueFull(MAX));
        assert_eq!(world.operate(*last, kind, &[]), full);
        // An operation that already waits is refused for that.
        let again = world.operate(others[0], kind, &[]);
        assert!(
            matches!(again, Err(Refusal::InProgress { .. })),
            "{again:?}"
        );
    }
    let stop = world.operate(*stopped, OperationKind::Stop, &[]);
    assert_eq!(stop, Ok(None));
    world.end(others[0], None, None);
    assert!(world.leave(others[LIMIT]));
    let start = world.operate(*last, OperationKind::Start, &[]);
    assert!(start.is_ok(), "{start:?}");
}
