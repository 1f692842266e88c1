//! Operations as the state sees them: when one may begin, and what is shown while it runs and after it ended.

use super::*;

#[test]
fn p14_one_operation_at_a_time_for_a_dev_container() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    let again = world
        .state
        .begin(key, OperationKind::Recreate, operation(0));
    assert_eq!(again.err(), Some(Refusal::InProgress));
    let one = world.one();
    assert_eq!(
        (one.status, one.job.unwrap().state),
        (Status::Starting, OperationState::Running)
    );
    world.run(2, "/v", None);
    world.list();
    let other = world.state.find("v").unwrap();
    assert!(
        world
            .state
            .begin(other, OperationKind::Recreate, operation(0))
            .is_ok()
    );
    assert_eq!(world.state.operations_running(), 2);
    world.end(key, None, None);
    assert!(
        world
            .state
            .begin(key, OperationKind::Recreate, operation(0))
            .is_ok()
    );
}

#[test]
fn a_dev_container_is_not_dropped_while_it_is_operated_on() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    world.remove(1);
    world.gone.insert("/w".into());
    world.list();
    assert_eq!(world.one().status, Status::Starting);
    world.end(key, Some("the folder is gone"), None);
    world.list();
    assert_eq!(world.all(), []);
}

#[test]
fn a_failed_operation_says_why_until_something_newer_runs() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    world.remove(1);
    world.end(key, Some("no such image"), None);
    world.list();
    let failed = world.one();
    assert_eq!(failed.status, Status::Error);
    assert_eq!(failed.error.as_deref(), Some("no such image"));
    assert_eq!(failed.job.unwrap().state, OperationState::Failed);
    world.run(2, "/w", Some(CONFIG));
    world.list();
    let by_hand = world.one();
    assert_eq!((by_hand.status, by_hand.error), (Status::Running, None));
}

#[test]
fn a_failed_hook_leaves_a_running_container_and_an_error() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    world.remove(1);
    world.run(2, "/w", Some(CONFIG));
    world.end(key, Some("postCreateCommand failed"), Some(2));
    world.list();
    let one = world.one();
    assert_eq!(one.status, Status::Running);
    assert_eq!(one.error.as_deref(), Some("postCreateCommand failed"));
}

#[test]
fn the_end_of_an_operation_makes_older_lists_out_of_date() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let now = world.now;
    assert_eq!(world.state.ask(now, now), Freshness::Fresh);
    let key = world.begin();
    world.now += Duration::from_secs(1);
    world.end(key, None, None);
    let now = world.now;
    assert_eq!(world.state.ask(now, now), Freshness::Wait);
}

#[test]
fn nothing_begins_while_closing() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    world.apply(Fact::Closing);
    let key = world.state.find("w").unwrap();
    let refused = world
        .state
        .begin(key, OperationKind::Recreate, operation(0));
    assert_eq!(refused.err(), Some(Refusal::Closing));
}
