//! The containers that operations leave which did not come to their end.

use super::dirty::made;
use super::*;
use crate::model::ids::OperationId;
use crate::model::labels::LABEL_COMPOSE_PROJECT;
use crate::model::operation::{LeftBy, OperationKind, Repair, Repaired};
use crate::model::original::{Original, ParkedName, PriorState};
use crate::state::persisted::{Persisted, Record};

const NOW: Timestamp = Timestamp::new(2_000_000, 0);

fn aside(operation: &OperationId, was: PriorState) -> String {
    let aside = ParkedName {
        name: "box1".into(),
        operation: operation.clone(),
        was,
    };
    aside.to_string()
}

/// The container of [`World::run`] with number 1, as an operation finds it.
fn running_box1() -> Original {
    Original {
        id: id(1),
        name: "box1".into(),
        was: PriorState::Running,
        removed_when_stopped: false,
        leaves_networks: Vec::new(),
        compose: None,
    }
}

fn operations(operations: Vec<Record>) -> Persisted {
    Persisted {
        operations,
        ..Persisted::default()
    }
}

fn repaired(summary: &str) -> Option<Repaired> {
    Some(Repaired {
        summary: Some(summary.to_owned()),
        complete: true,
    })
}

/// The second at which the only container was set aside, and what is to be done about it.
fn with_one_set_aside(world: &mut World) -> (OperationId, Key) {
    let id = operation(5);
    world.run(1, "/w", Some(CONFIG)).name = aside(&id, PriorState::Running);
    world.list();
    let key = world.state.find("w").unwrap();
    (id, key)
}

fn record(state: OperationState, kind: OperationKind) -> Record {
    Record {
        folder: "/w".into(),
        config: Some(CONFIG.into()),
        id: operation(5),
        kind,
        state,
        started_at: operation(5).began_at(),
        finished_at: None,
        error: None,
        originals: Vec::new(),
        unsettled: false,
        made: None,
        made_from: None,
        unknown_since: None,
    }
}

/// The label of the compose project of [`composed`].
const PROJECT: (&str, &str) = (LABEL_COMPOSE_PROJECT, "p");

/// A world with a dev container of a compose project.
fn composed() -> World {
    let mut world = world();
    let labels = [(LABEL_FOLDER, "/w"), (LABEL_CONFIG, CONFIG), PROJECT];
    world.run(1, "/w", Some(CONFIG)).labels = labels.into_iter().collect();
    world
}

#[test]
fn p12_a_service_that_is_set_aside_is_put_right_by_a_dev_container_of_its_project() {
    let mut world = composed();
    let (parked, stranger) = (operation(5), operation(6));
    for (number, operation, project) in [(2, &parked, "p"), (3, &stranger, "other")] {
        let service = world.run(number, "/w", None);
        service.name = aside(operation, PriorState::Running);
        service.labels = [(LABEL_COMPOSE_PROJECT, project)].into_iter().collect();
    }
    world.list();
    let key = world.state.find("w").unwrap();
    assert_eq!(world.state.to_repair(), [key]);
    let repair = world.state.begin_repair(key, true, Vec::new(), NOW);
    let repair = repair.unwrap();
    assert_eq!(
        (&repair.operation, repair.left_by),
        (&parked, LeftBy::Unknown)
    );
    assert_eq!(repair.originals, [], "docker is asked for it by its name");
    let end = repaired("nothing was lost");
    world.state.end_repair(key, end, world.now);
    assert_eq!(world.state.to_repair(), [], "a stranger's is left alone");
}

#[test]
fn p12_a_service_that_is_set_aside_while_nothing_else_changes_is_put_right() {
    let mut world = composed();
    let parked = aside(&operation(5), PriorState::Running);
    for (name, is_left) in [("db", false), (&*parked, true), ("db", false)] {
        world.remove(2);
        let service = world.run(2, "/w", None);
        service.name = name.to_owned();
        service.labels = [PROJECT].into_iter().collect();
        world.list();
        let key = world.state.find("w").unwrap();
        let expected: &[Key] = if is_left { &[key] } else { &[] };
        assert_eq!(world.state.to_repair(), expected, "{name}");
    }
}

#[test]
fn p12_what_a_slow_docker_still_shows_after_a_success_is_not_put_right() {
    for error in [None, Some("it failed")] {
        let mut world = made();
        let key = world.begin();
        let parked = aside(&operation(world.wall), PriorState::Running);
        world.remove(1);
        world.run(1, "/w", Some(CONFIG)).name = parked;
        world.run(2, "/w", Some(CONFIG));
        world.end(key, error, Some(2));
        world.list();
        let expected: &[Key] = if error.is_none() { &[] } else { &[key] };
        assert_eq!(world.state.to_repair(), expected, "{error:?}");
        assert_eq!(world.state.left_behind(key).len(), expected.len());
    }
}

#[test]
fn p12_a_container_that_is_set_aside_is_put_right_once() {
    let mut world = world();
    let (id, key) = with_one_set_aside(&mut world);
    assert_eq!(world.state.to_repair(), [key]);
    let repair = world
        .state
        .begin_repair(key, true, Vec::new(), NOW)
        .unwrap();
    assert_eq!((&repair.operation, repair.left_by), (&id, LeftBy::Unknown));
    let old = &repair.originals[0];
    assert_eq!(
        (&*old.name, old.was, &old.id),
        ("box1", PriorState::Running, &self::id(1))
    );
    assert_eq!(world.state.to_repair(), [], "it is under way");
    assert_eq!(world.one().status, Status::Starting);
    let refused = world
        .state
        .begin(key, OperationKind::Recreate, operation(9), Vec::new());
    assert_eq!(refused.err(), Some(Refusal::Repairing));

    world
        .state
        .end_repair(key, repaired("nothing was lost"), world.now);
    let one = world.one();
    let job = one.job.unwrap();
    assert_eq!(
        (job.kind, job.state),
        (OperationKind::Recreate, OperationState::Interrupted)
    );
    assert_eq!(job.started_at, id.began_at());
    let error = one.error.unwrap();
    assert!(error.contains("the daemon ended before") && error.ends_with("; nothing was lost"));
    assert_eq!(
        world.state.to_repair(),
        [],
        "what cannot be put right is not tried for ever"
    );
}

#[test]
fn p14_a_repair_and_an_operation_in_one_compose_project_come_one_after_the_other() {
    let mut world = world();
    let (_, key) = with_one_set_aside(&mut world);
    world.run(7, "/v", None);
    world.list();
    let other = world.state.find("v").unwrap();
    let claims = || vec![Project::Named("p".to_owned())];
    let begin = |state: &mut State| {
        let begun = state.begin(other, OperationKind::Stop, operation(9), claims());
        begun.err()
    };
    assert_eq!(begin(&mut world.state), None);
    assert_eq!(world.state.begin_repair(key, true, claims(), NOW), None);
    world.end(other, None, None);
    let repair = world.state.begin_repair(key, true, claims(), NOW);
    assert!(repair.is_some());
    assert!(world.state.is_repairing(other, &claims()));
    assert!(!world.state.is_repairing(other, &[]));
    let refused = Refusal::ProjectInProgress {
        work: Work::Repair,
        name: "w".to_owned(),
        project: Project::Named("p".to_owned()),
    };
    assert_eq!(begin(&mut world.state), Some(refused));
    world
        .state
        .end_repair(key, repaired("nothing was lost"), world.now);
    assert_eq!(begin(&mut world.state), None);
}

#[test]
fn p12_what_another_daemon_may_be_at_is_left_to_it() {
    let mut world = world();
    let (_, key) = with_one_set_aside(&mut world);
    assert_eq!(world.state.begin_repair(key, false, Vec::new(), NOW), None);
    world.state.recover(
        operations(vec![record(
            OperationState::Running,
            OperationKind::Recreate,
        )]),
        NOW,
    );
    world.list();
    assert!(
        world
            .state
            .begin_repair(key, false, Vec::new(), NOW)
            .is_some(),
        "it was our own"
    );
}

#[test]
fn p12_what_cannot_be_put_right_is_tried_once_each() {
    let mut world = world();
    for (number, second) in [(1, 7), (2, 5)] {
        world.run(number, "/w", Some(CONFIG)).name = aside(&operation(second), PriorState::Stopped);
    }
    world.list();
    let key = world.state.find("w").unwrap();
    for second in [5, 7] {
        let repair = world
            .state
            .begin_repair(key, true, Vec::new(), NOW)
            .unwrap();
        assert_eq!(repair.operation, operation(second));
        world
            .state
            .end_repair(key, repaired("the name is taken"), world.now);
        world.list();
    }
    assert_eq!(world.state.to_repair(), []);
}

#[test]
fn p12_what_docker_makes_after_the_end_is_removed() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    let id = operation(world.wall);
    world.end(key, Some("it was killed"), None);
    world.list();
    assert_eq!(world.state.to_repair(), []);
    let labels = [
        (LABEL_FOLDER, "/w"),
        (LABEL_CONFIG, CONFIG),
        (LABEL_OPERATION, id.as_str()),
    ];
    let late = world.run(2, "/w", Some(CONFIG));
    late.labels = labels.into_iter().collect();
    late.run_state = RunState::Created;
    late.running = false;
    world.list();
    assert_eq!(world.state.to_repair(), [key]);
    let repair = world
        .state
        .begin_repair(key, true, Vec::new(), NOW)
        .unwrap();
    assert_eq!(
        (repair.operation.clone(), repair.left_by),
        (id, LeftBy::Earlier)
    );
    world
        .state
        .end_repair(key, repaired("it is gone"), world.now);
    assert_eq!(world.state.to_repair(), []);
}

#[test]
fn a_listing_from_before_the_end_of_an_operation_is_made_again() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    world.state.listing.want(world.now);
    assert!(world.state.listing.begin(world.now).is_some());
    world.now += Duration::from_secs(1);
    world.end(key, None, None);
    world.remove(1);
    world.now += Duration::from_secs(1);
    world.list();
    assert!(world.one().container.is_some(), "it is of no use");
    assert!(world.state.listing.begin(world.now).is_some());
    world.list();
    assert!(world.one().container.is_none());
}

#[test]
fn p12_what_docker_did_not_answer_is_tried_again() {
    let mut world = world();
    let (_, key) = with_one_set_aside(&mut world);
    world
        .state
        .begin_repair(key, true, Vec::new(), NOW)
        .unwrap();
    world.state.end_repair(key, None, world.now);
    assert_eq!(world.state.to_repair(), [key]);
}

#[test]
fn p12_what_a_running_operation_set_aside_is_left_to_it() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    let id = operation(world.wall);
    let info = Arc::make_mut(&mut world.containers[0]);
    info.name = aside(&id, PriorState::Running);
    world.list();
    assert_eq!(world.state.to_repair(), []);
    assert_eq!(world.state.begin_repair(key, true, Vec::new(), NOW), None);
    let view = world.state.view();
    assert_eq!(view.warnings, [""; 0]);
    world.end(key, Some("it failed"), None);
    assert_eq!(world.state.to_repair(), [key], "it was not put back");
}

#[test]
fn p12_an_operation_whose_end_is_not_known_is_settled_when_docker_is_back() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    let old = running_box1();
    world.state.prepare_operation(key, vec![old.clone()], None);
    world.end_unsettled(key, "docker is gone");
    assert_eq!(world.state.to_repair(), [key]);
    let repair = world
        .state
        .begin_repair(key, true, Vec::new(), NOW)
        .unwrap();
    assert_eq!(
        (&repair.originals[..], repair.left_by),
        (&[old][..], LeftBy::ThisRun)
    );
    world
        .state
        .end_repair(key, repaired("nothing was lost"), world.now);
    let error = world.one().error.unwrap();
    assert_eq!(error, "docker is gone; nothing was lost");
    assert_eq!(world.one().job.unwrap().state, OperationState::Failed);
    assert_eq!(world.state.to_repair(), []);
}

#[test]
fn an_operation_that_the_last_run_did_not_end_is_interrupted() {
    let mut world = world();
    world.state.recover(
        operations(vec![record(
            OperationState::Running,
            OperationKind::Recreate,
        )]),
        NOW,
    );
    assert_eq!(
        world.state.persisted().operations.len(),
        1,
        "also before anything is known of it"
    );
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let one = world.one();
    assert_eq!(one.job.unwrap().state, OperationState::Interrupted);
    assert!(
        one.error
            .unwrap()
            .contains("the daemon ended before the recreate did")
    );
    let key = world.state.find("w").unwrap();
    assert_eq!(world.state.to_repair(), [key]);
    let repair = world
        .state
        .begin_repair(key, true, Vec::new(), NOW)
        .unwrap();
    assert_eq!(repair.left_by, LeftBy::Earlier);
    assert_eq!(
        world.state.persisted().operations[0].state,
        OperationState::Interrupted
    );
}

#[test]
fn operations_that_ended_are_remembered_as_they_ended() {
    let mut world = world();
    world.predefine(&[Predefined::folder("/w".into())]);
    world.run(1, "/w", Some(CONFIG));
    let failed = Record {
        error: Some("no such image".into()),
        finished_at: Some(Timestamp::new(2_000_000, 0)),
        ..record(OperationState::Failed, OperationKind::Start)
    };
    world.state.recover(operations(vec![failed.clone()]), NOW);
    world.list();
    let one = world.one();
    assert_eq!(one.error.as_deref(), Some("no such image"));
    assert_eq!(one.job.unwrap().state, OperationState::Failed);
    assert_eq!(world.state.to_repair(), []);
    assert_eq!(world.state.persisted().operations, [failed]);
}

#[test]
fn a_stop_that_was_not_ended_leaves_nothing_to_put_right() {
    for kind in [OperationKind::Stop, OperationKind::Delete] {
        let mut world = world();
        world
            .state
            .recover(operations(vec![record(OperationState::Running, kind)]), NOW);
        world.run(1, "/w", Some(CONFIG));
        world.list();
        assert_eq!(world.one().job.unwrap().state, OperationState::Interrupted);
        assert_eq!(world.state.to_repair(), Vec::<Key>::new());
    }
}

#[test]
fn what_is_deleted_is_forgotten_unless_it_is_predefined() {
    for predefined in [false, true] {
        let mut world = world();
        if predefined {
            world.predefine(&[Predefined::folder("/w".into())]);
        }
        world.run(1, "/w", Some(CONFIG));
        world.list();
        let key = world.state.find("w").unwrap();
        world.remove(1);
        world.state.forget(key);
        world.list();
        assert_eq!(world.all().len(), usize::from(predefined));
    }
}

#[test]
fn a_container_that_a_listing_from_before_its_removal_shows_has_its_owner_again() {
    let mut world = world();
    world.predefine(&[Predefined::folder("/w".into())]);
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.state.find("w").unwrap();
    let has_owner = |world: &mut World| {
        let view = world.state.view();
        view.containers.get(0).unwrap().owner.is_some()
    };
    assert!(has_owner(&mut world));
    world.state.forget(key);
    world.state.changed();
    assert!(!has_owner(&mut world));
    world.list();
    assert!(has_owner(&mut world));
}

#[test]
fn each_kind_has_its_status_while_it_runs() {
    for (kind, status) in [
        (OperationKind::Recreate, Status::Starting),
        (OperationKind::Start, Status::Starting),
        (OperationKind::Stop, Status::Stopping),
        (OperationKind::Delete, Status::Deleting),
    ] {
        let mut world = world();
        world.run(1, "/w", Some(CONFIG));
        world.list();
        let key = world.state.find("w").unwrap();
        world
            .state
            .begin(key, kind, operation(9), Vec::new())
            .unwrap();
        let one = world.one();
        assert_eq!((one.status, one.job.unwrap().kind), (status, kind));
    }
}

/// Two groups: each is put right by itself, the oldest first.
#[test]
fn p12_what_several_operations_left_is_told_apart() {
    let mut world = world();
    for (number, second) in [(1, 7), (2, 5), (3, 7)] {
        world.run(number, "/w", Some(CONFIG)).name = aside(&operation(second), PriorState::Stopped);
    }
    world.list();
    let key = world.state.find("w").unwrap();
    let left: Vec<Repair> = world.state.left_behind(key);
    let ids = |repair: &Repair| {
        repair
            .originals
            .iter()
            .map(|old| old.id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(left.len(), 2);
    assert_eq!(
        (left[0].operation.clone(), ids(&left[0])),
        (operation(5), vec![id(2)])
    );
    let mut later = ids(&left[1]);
    later.sort();
    assert_eq!(later, [id(1), id(3)]);
}

#[test]
fn p12_an_operation_that_begins_does_not_forget_what_an_earlier_one_left() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    world
        .state
        .prepare_operation(key, vec![running_box1()], None);
    world.end_unsettled(key, "docker is gone");
    assert!(world.state.has_unsettled());
    // Somebody tries again while docker is still away.
    world.wall += 1;
    let key = world.begin();
    assert_eq!(world.state.left_behind(key).len(), 1, "it comes first");
    world.end(key, Some("docker is gone"), None);
    assert!(world.state.has_unsettled());
}

#[test]
fn p10_operations_that_end_all_the_time_hold_no_list_up() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    world.now += Duration::from_secs(100);
    let asked = world.now;
    for _ in 0..10 {
        let key = world.begin();
        world.state.listing.ask(asked, Need::Recent, world.now);
        assert!(world.state.listing.begin(world.now).is_some());
        world.now += Duration::from_millis(10);
        world.end(key, Some("it failed at once"), None);
        world.now += Duration::from_millis(10);
        world.list();
        world.wall += 1;
    }
    let freshness = world.state.listing.ask(asked, Need::Recent, world.now);
    assert_ne!(freshness, crate::state::freshness::Freshness::Wait);
}
