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
        .begin(key, OperationKind::Recreate, operation(0), Vec::new());
    let running = Refusal::InProgress {
        work: Work::Running(OperationKind::Recreate),
        name: "w".to_owned(),
    };
    assert_eq!(again.err(), Some(running));
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
            .begin(other, OperationKind::Recreate, operation(0), Vec::new())
            .is_ok()
    );
    assert_eq!(world.state.operations_running(), 2);
    world.end(key, None, None);
    assert!(
        world
            .state
            .begin(key, OperationKind::Recreate, operation(0), Vec::new())
            .is_ok()
    );
}

fn named(name: &str) -> Project {
    Project::Named(name.to_owned())
}

#[test]
fn p14_one_operation_at_a_time_in_a_compose_project() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let place = Project::In("/p".into());
    let first = world.state.find("w").unwrap();
    let claims = vec![named("p"), place.clone()];
    let begun = world
        .state
        .begin(first, OperationKind::Stop, operation(1), claims);
    assert!(begun.is_ok());
    world.run(2, "/v", None);
    world.list();
    let second = world.state.find("v").unwrap();
    let mut begin = |claims: &[Project]| {
        let (kind, claims) = (OperationKind::Start, claims.to_vec());
        world.state.begin(second, kind, operation(2), claims).err()
    };
    let refused = |project: Project| {
        Some(Refusal::ProjectInProgress {
            work: Work::Running(OperationKind::Stop),
            name: "w".to_owned(),
            project,
        })
    };
    assert_eq!(begin(&[named("q"), named("p")]), refused(named("p")));
    assert_eq!(begin(&[named("q"), place.clone()]), refused(place));
    let other = [named("q"), Project::In("/q".into()), named("/p")];
    assert_eq!(begin(&other), None, "another project");
    world.end(first, None, None);
    world.end(second, None, None);
    let again = world
        .state
        .begin(second, OperationKind::Start, operation(3), vec![named("p")]);
    assert!(again.is_ok(), "it has ended");
}

#[test]
fn p14_the_projects_of_a_dev_container_are_those_of_all_its_containers() {
    let mut world = world();
    for (number, project) in [(1, Some("p")), (2, Some("q")), (3, Some("p")), (4, None)] {
        let labels = [(LABEL_FOLDER, "/w"), (LABEL_COMPOSE_WORKING_DIR, "/w/c")];
        let project = project.map(|project| (LABEL_COMPOSE_PROJECT, project));
        let labels = labels.into_iter().chain(project);
        world.run(number, "/w", None).labels = labels.collect();
    }
    world.list();
    let key = world.state.find("w").unwrap();
    let mut found = world.state.projects_of(key);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let expected = ["p", "q"].map(|name| LabelledProject {
        name: name.to_owned(),
        directory: Some("/w/c".to_owned()),
    });
    assert_eq!(found, expected);
}

#[test]
fn p24_a_deleted_one_stays_while_duplicates_of_its_container_do() {
    for stays in [true, false] {
        let mut world = world();
        world.run(1, "/w", Some(CONFIG));
        world.run(2, "/w", Some(CONFIG));
        world.list();
        let key = world.state.find("w").unwrap();
        let kind = OperationKind::Delete;
        let begun = world.state.begin(key, kind, operation(1), Vec::new());
        assert!(begun.is_ok());
        if stays {
            world.apply(Fact::DuplicatesStay(key));
        }
        world.remove(2);
        world.end(key, None, None);
        assert_eq!(world.state.id(key).is_some(), stays);
        world.list();
        let one = world.one();
        assert_eq!(one.container.unwrap().info.id, id(1));
        assert_eq!(one.job.is_some(), stays);
    }
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
    assert_eq!(world.state.ask(now, Need::Recent, now), Freshness::Fresh);
    let key = world.begin();
    world.now += Duration::from_secs(1);
    world.end(key, None, None);
    let now = world.now;
    assert_eq!(world.state.ask(now, Need::Recent, now), Freshness::Wait);
}

#[test]
fn nothing_begins_once_the_daemon_is_about_to_stop() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    world.apply(Fact::Draining);
    assert!(!world.state.is_closing());
    let key = world.state.find("w").unwrap();
    let refused = world
        .state
        .begin(key, OperationKind::Recreate, operation(0), Vec::new());
    assert_eq!(refused.err(), Some(Refusal::Closing));
}

#[test]
fn a_container_can_be_used_once_the_commands_that_it_waits_for_have_run() {
    use Phase::*;
    for (wait_for, usable_from) in [
        (InitializeCommand, OnCreateCommand),
        (OnCreateCommand, UpdateContentCommand),
        (UpdateContentCommand, PostCreateCommand),
        (PostStartCommand, PostAttachCommand),
    ] {
        let mut world = world();
        world.run(1, "/w", Some(CONFIG));
        world.list();
        let key = world.begin();
        assert_eq!(world.one().job.unwrap().phase, None);
        for phase in [Build, Create] {
            world.apply(Fact::PhaseBegun(key, phase));
            let one = world.one();
            assert_eq!(
                (one.status, one.job.unwrap().phase),
                (Status::Starting, Some(phase))
            );
        }
        // The list is from before the new container.
        world.apply(Fact::PhaseBegun(key, PostAttachCommand));
        assert_eq!(world.one().status, Status::Starting);
        world.remove(1);
        world.run(2, "/w", Some(CONFIG)).setup.wait_for = wait_for;
        world.list();
        for phase in Phase::HOOKS {
            world.apply(Fact::PhaseBegun(key, phase));
            let expected = if phase < usable_from {
                Status::Starting
            } else {
                Status::Running
            };
            assert_eq!(world.one().status, expected, "{wait_for:?} {phase:?}");
        }
        assert_eq!(world.one().job.unwrap().state, OperationState::Running);
        world.end(key, None, None);
        world.list();
        assert_eq!(world.one().job.unwrap().phase, None);
    }
}

#[test]
fn p20_the_end_of_an_operation_is_shown_with_what_it_has_done() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    let during = world.one();
    world.remove(1);
    world.run(2, "/w", Some(CONFIG));
    world.end(key, None, Some(2));
    assert_eq!(world.one(), during, "no list shows the new container");
    world.list();
    let after = world.one();
    assert_eq!(after.status, Status::Running);
    assert_eq!(after.job.unwrap().state, OperationState::Succeeded);
    assert_eq!(after.container.unwrap().info.id, id(2));
}

#[test]
fn p20_the_end_of_an_operation_is_shown_where_there_is_no_list() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    world.end(key, None, None);
    world.apply(Fact::Listed(Err("down".into())));
    assert_eq!(world.one().job.unwrap().state, OperationState::Succeeded);
}

#[test]
fn the_end_of_an_operation_that_changed_nothing_is_shown_at_once() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    world.end(key, Some("build"), None);
    assert_eq!(world.one().job.unwrap().state, OperationState::Failed);
}

#[test]
fn the_first_command_in_a_container_outdates_the_list() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.begin();
    world.now += Duration::from_millis(1);
    let ask = |world: &mut World| world.state.ask(world.now, Need::Recent, world.now);
    world.apply(Fact::PhaseBegun(key, Phase::Create));
    assert!(ask(&mut world) != Freshness::Wait);
    world.apply(Fact::PhaseBegun(key, Phase::OnCreateCommand));
    assert!(ask(&mut world) == Freshness::Wait);
}
