//! Baselines of containers: when they are first seen, while an operation makes them, and after a restart.

use ChangeKind::*;

use super::dirty::{DOCKERFILE, LOCK, made, made_with_dockerfile};
use super::*;
use crate::model::listing::Containers;
use crate::state::baseline::InputOrigin;

#[test]
fn what_was_not_there_to_be_read_at_first_may_turn_out_to_be_what_it_was_made_from() {
    for first in [Content::Absent, Content::Unreadable] {
        let mut world = world();
        world.put("/elsewhere", "1");
        world.run(1, "/w", Some(CONFIG));
        world.disk.insert(CONFIG.into(), (first, 1));
        world.list();
        assert_eq!(world.changes(), [], "nothing is known of it");
        let persisted = world.state.persisted();
        // Younger than the container, it is another one.
        world.write(CONFIG, "2");
        let other = if first == Content::Absent {
            Created
        } else {
            Unknown
        };
        assert_eq!(world.changes(), [other]);
        world.disk.insert(CONFIG.into(), (text("1"), 5));
        world.scan();
        assert_eq!(world.changes(), [], "older, it is what it was made from");
        world.write(CONFIG, "2");
        assert_eq!(world.changes(), [Modified]);
        // It may also come while the daemon is down.
        world.disk.insert(CONFIG.into(), (text("1"), 5));
        world.restart(persisted);
        world.predefine(&[predefined("/w", Some(CONFIG))]);
        world.scan();
        world.list();
        assert!(world.state.is_unsaved());
        world.write(CONFIG, "2");
        assert_eq!(world.changes(), [Modified]);
    }
}

#[test]
fn an_input_that_was_absent_beside_the_configuration_was_not_there_however_old_it_is() {
    let mut world = world();
    world.named = vec![DOCKERFILE.into()];
    world.put(CONFIG, "1");
    world.run(1, "/w", Some(CONFIG));
    world.list();
    assert_eq!(world.changes(), []);
    world.disk.insert(DOCKERFILE.into(), (text("a"), 5));
    world.scan();
    assert_eq!(world.changes(), [Created]);
    let persisted = world.state.persisted();
    world.restart(persisted);
    world.list();
    assert_eq!(world.changes(), [Created]);
    world.delete(DOCKERFILE);
    assert_eq!(world.changes(), []);
}

#[test]
fn a_baseline_that_says_nothing_hides_nothing() {
    let mut world = made();
    let mut persisted = world.state.persisted();
    persisted.baselines.insert(id(1), Baseline::default());
    world.restart(persisted);
    world.list();
    assert_eq!(world.named_changes(), ["devcontainer.json: Created"]);
}

#[test]
fn an_input_younger_than_a_container_first_seen_is_a_change() {
    let mut world = world();
    world.named = vec![DOCKERFILE.into()];
    world.put(CONFIG, "1");
    world.run(1, "/w", Some(CONFIG));
    world.put(DOCKERFILE, "a");
    world.list();
    assert_eq!(world.named_changes(), ["Dockerfile: Unknown"]);
    world.write(CONFIG, "2");
    assert_eq!(
        world.named_changes(),
        ["Dockerfile: Unknown", "devcontainer.json: Modified"]
    );
}

#[test]
fn a_container_is_compared_with_what_was_there_after_it_was_made() {
    let mut world = made();
    world.put(CONFIG, "2");
    world.remove(1);
    world.run(2, "/w", Some(CONFIG));
    // The last look was before the edit.
    world.list();
    assert_eq!(world.changes(), [], "it was made from the second one");
    world.write(CONFIG, "1");
    assert_eq!(world.changes(), [Modified]);
}

#[test]
fn p6_an_edit_during_the_build_leaves_it_dirty() {
    for seen_while_it_runs in [false, true] {
        let mut world = made();
        world.write(CONFIG, "2");
        let key = world.begin();
        world.write(CONFIG, "3");
        world.remove(1);
        world.run(2, "/w", Some(CONFIG));
        if seen_while_it_runs {
            world.list();
            assert_eq!(world.changes(), [Modified]);
        }
        world.end(key, None, Some(2));
        world.list();
        assert_eq!(world.changes(), [Modified]);
        world.write(CONFIG, "2");
        assert_eq!(world.changes(), [Unknown], "it may be made from either");
    }
}

#[test]
fn p6_an_edit_that_is_undone_before_the_container_is_made_leaves_it_dirty() {
    let mut world = made_with_dockerfile();
    let key = world.begin();
    world.write(DOCKERFILE, "for a time");
    world.list();
    world.write(DOCKERFILE, "a");
    world.remove(1);
    world.run(2, "/w", Some(CONFIG));
    world.list();
    assert_eq!(
        world.named_changes(),
        ["Dockerfile: Unknown"],
        "while it runs"
    );
    world.end(key, None, Some(2));
    world.list();
    assert_eq!(world.named_changes(), ["Dockerfile: Unknown"]);
    world.write(DOCKERFILE, "another one");
    assert_eq!(world.named_changes(), ["Dockerfile: Modified"]);
}

#[test]
fn p6_an_edit_that_is_undone_after_the_container_was_made_is_none() {
    for is_listed in [true, false] {
        let mut world = made_with_dockerfile();
        let key = world.begin();
        if !is_listed {
            let first = Phase::OnCreateCommand;
            world.state.begin_phase(key, first, world.now);
        }
        if is_listed {
            world.remove(1);
            world.run(2, "/w", Some(CONFIG));
            world.list();
        }
        world.write(DOCKERFILE, "for a time");
        world.list();
        world.write(DOCKERFILE, "a");
        if !is_listed {
            world.remove(1);
            world.run(2, "/w", Some(CONFIG));
        }
        world.end(key, None, Some(2));
        world.list();
        assert_eq!(world.named_changes(), [""; 0], "listed: {is_listed}");
    }
}

#[test]
fn p6_a_scan_from_before_an_operation_says_nothing_about_it() {
    let mut world = made_with_dockerfile();
    world.put(DOCKERFILE, "b");
    let targets = world.state.scan_targets();
    let before = world.found(&targets);
    world.put(DOCKERFILE, "c");
    let key = world.begin();
    assert!(!world.takes_whole(before));
    world.remove(1);
    world.run(2, "/w", Some(CONFIG));
    world.end(key, None, Some(2));
    world.list();
    assert_eq!(world.named_changes(), [""; 0]);
    world.write(DOCKERFILE, "a");
    assert_eq!(world.named_changes(), ["Dockerfile: Modified"]);
}

#[test]
fn p6_a_file_that_is_missing_for_a_moment_leaves_nothing_open() {
    let mut world = made_with_dockerfile();
    let key = world.begin();
    world.delete(DOCKERFILE);
    world.list();
    world.write(DOCKERFILE, "a");
    world.remove(1);
    world.run(2, "/w", Some(CONFIG));
    world.end(key, None, Some(2));
    world.list();
    assert_eq!(world.named_changes(), [""; 0]);
}

#[test]
fn the_lock_file_that_the_cli_writes_does_not_make_it_dirty() {
    let mut world = made();
    let key = world.begin();
    world.write(LOCK, "by the CLI");
    world.remove(1);
    world.run(2, "/w", Some(CONFIG));
    world.list();
    assert_eq!(world.changes(), [], "while it runs");
    world.end(key, None, Some(2));
    world.list();
    assert_eq!(world.changes(), [], "at the end");
    world.write(LOCK, "by a person");
    assert_eq!(world.named_changes(), ["devcontainer-lock.json: Modified"]);
    world.delete(LOCK);
    assert_eq!(world.named_changes(), ["devcontainer-lock.json: Removed"]);
}

#[test]
fn what_initialize_command_writes_is_what_the_container_is_made_from() {
    for config_changes in [false, true] {
        let mut world = made_with_dockerfile();
        let key = world.begin();
        world.write(DOCKERFILE, "generated");
        if config_changes {
            world.write(CONFIG, "2");
        }
        let inputs = world.inputs(&site());
        world.state.set_initialized_inputs(key, &inputs);
        world.remove(1);
        world.run(2, "/w", Some(CONFIG));
        world.list();
        world.end(key, None, Some(2));
        world.list();
        let expected: &[&str] = match config_changes {
            false => &[],
            true => &["Dockerfile: Modified", "devcontainer.json: Modified"],
        };
        assert_eq!(world.named_changes(), expected);
        world.write(CONFIG, "1");
        world.write(DOCKERFILE, "edited");
        let expected: &[&str] = match config_changes {
            false => &["Dockerfile: Modified"],
            true => &["Dockerfile: Modified", "devcontainer.json: Unknown"],
        };
        assert_eq!(world.named_changes(), expected);
    }
}

#[test]
fn p6_a_container_that_the_cli_did_not_name_is_told_by_its_label() {
    let mut world = made();
    let key = world.begin();
    let made_by = operation(world.wall).to_string();
    world.write(CONFIG, "2");
    world.end(key, Some("cancelled"), None);
    world.remove(1);
    world.run_by(&made_by, 2, CONFIG);
    world.list();
    assert_eq!(world.changes(), [Modified]);
}

#[test]
fn p6_a_listing_from_before_the_container_was_made_keeps_its_baseline() {
    let mut world = made();
    let key = world.begin();
    world.write(CONFIG, "2");
    world.state.listing.want(world.now);
    assert!(world.state.listing.begin(world.now).is_some());
    world.now += Duration::from_secs(1);
    world.end(key, None, Some(2));
    // It does not show the new one, and is dropped; so is none after it, or there would never be any.
    world.list();
    assert!(world.state.listing.begin(world.now).is_some());
    world
        .state
        .listing
        .invalidate(world.now + Duration::from_secs(2), Vec::new());
    world.list();
    world.remove(1);
    world.run(2, "/w", Some(CONFIG)).created_at = Timestamp::new(world.wall + 100, 0);
    world.list();
    assert_eq!(world.changes(), [Modified]);
}

#[test]
fn p7_baselines_outlive_a_restart_and_an_edit_meanwhile_is_found() {
    let mut world = made_with_dockerfile();
    world.put(CONFIG, "2");
    let persisted = world.state.persisted();
    assert_eq!(persisted.baselines.len(), 1);
    world.restart(persisted);
    // Its time says nothing: it was put back by something that keeps times.
    world.disk.insert(DOCKERFILE.into(), (text("b"), 1));
    world.list();
    assert_eq!(
        world.named_changes(),
        ["Dockerfile: Modified", "devcontainer.json: Modified"]
    );
    world.write(CONFIG, "1");
    world.write(DOCKERFILE, "a");
    assert_eq!(world.changes(), []);
    assert!(!world.take_unsaved(), "nothing new about it");
}

#[test]
fn p7_a_container_of_which_docker_says_nothing_keeps_its_baseline() {
    let mut world = made();
    let persisted = world.state.persisted();
    world.restart(persisted);
    let all = std::mem::take(&mut world.containers);
    let inventory = Inventory {
        listed: Listed {
            containers: Containers::default(),
            ids: Arc::new([id(1)].into()),
            warnings: Vec::new(),
            unreported: Vec::new(),
            retry_at: None,
        },
        places: Some(Places::default()),
        moves: world.state.moves(),
        at: Timestamp::new(world.wall, 0),
    };
    world.apply(Fact::Listed(Ok(inventory)));
    world.containers = all;
    world.put(CONFIG, "2");
    world.list();
    assert_eq!(world.changes(), [Modified]);
}

#[test]
fn p7_what_an_interrupted_operation_made_is_compared_with_what_it_began_with() {
    let mut world = made();
    world.begin();
    let made_by = operation(world.wall).to_string();
    world.put(CONFIG, "2");
    world.put(LOCK, "by the CLI");
    world.remove(1);
    world.run_by(&made_by, 2, CONFIG);
    let persisted = world.state.persisted();
    world.restart(persisted);
    world.list();
    assert_eq!(world.one().job.unwrap().state, OperationState::Interrupted);
    assert_eq!(world.named_changes(), ["devcontainer.json: Modified"]);
}

#[test]
fn a_container_made_before_an_operation_is_not_its_own_though_no_list_has_shown_it() {
    for named in [None, Some(2)] {
        let mut world = made();
        world.remove(1);
        world.list();
        // By hand, from the first one; then an edit, and a start that finds it.
        world.run(2, "/w", Some(CONFIG));
        world.put(CONFIG, "2");
        let key = world.begin();
        world.list();
        assert_eq!(world.changes(), [Unknown], "while it runs");
        world.end(key, None, named);
        world.list();
        assert_eq!(world.changes(), [Unknown]);
        // It may also be that no list shows it before the end.
        let mut world = made();
        world.remove(1);
        world.list();
        world.run(2, "/w", Some(CONFIG));
        world.put(CONFIG, "2");
        let key = world.begin();
        world.end(key, None, named);
        world.list();
        assert_eq!(world.changes(), [Unknown]);
    }
}

#[test]
fn p7_what_initialize_command_has_written_is_to_be_saved() {
    let mut world = made_with_dockerfile();
    let key = world.begin();
    world.take_unsaved();
    world.write(DOCKERFILE, "generated");
    let inputs = world.inputs(&site());
    world.state.set_initialized_inputs(key, &inputs);
    assert!(world.state.is_unsaved());
}

const REQUIREMENTS: &str = "/w/requirements.txt";

/// A container of an earlier daemon, which did not look at the file that the Dockerfile copies.
fn made_by_older_rules() -> World {
    let mut world = made_with_dockerfile();
    let mut persisted = world.state.persisted();
    for baseline in persisted.baselines.values_mut() {
        let inputs = baseline.inputs();
        let inputs = inputs.map(|(name, was)| (name.into(), was));
        *baseline = Baseline::new(0, inputs.collect::<Vec<_>>());
    }
    world.restart(persisted);
    world.named.push(REQUIREMENTS.into());
    world
}

#[test]
fn an_input_that_older_rules_did_not_find_is_judged_by_its_age() {
    for (modified, expected) in [
        (1, &[][..]),
        (2_000_000, &["/w/requirements.txt: Unknown"][..]),
    ] {
        let mut world = made_by_older_rules();
        world
            .disk
            .insert(REQUIREMENTS.into(), (text("a"), modified));
        world.list();
        assert_eq!(world.named_changes(), expected);
        assert!(world.take_unsaved(), "it is known from now on");
        let persisted = world.state.persisted();
        world.restart(persisted);
        world.write(REQUIREMENTS, "b");
        world.list();
        let then = match expected {
            [] => ["/w/requirements.txt: Modified"],
            _ => ["/w/requirements.txt: Unknown"],
        };
        assert_eq!(world.named_changes(), then);
        assert!(!world.take_unsaved(), "once");
    }
}

#[test]
fn an_input_that_older_rules_did_not_find_and_that_is_gone_was_never_there() {
    let mut world = made_by_older_rules();
    world.list();
    assert_eq!(world.named_changes(), [""; 0]);
    world.write(REQUIREMENTS, "a");
    assert_eq!(world.named_changes(), ["/w/requirements.txt: Created"]);
}

#[test]
fn what_a_changed_configuration_names_is_not_taken_for_what_a_container_was_made_from() {
    let mut world = made_by_older_rules();
    world.put(CONFIG, "2");
    world.named = vec![DOCKERFILE.into(), "/w/other.txt".into()];
    world.disk.insert("/w/other.txt".into(), (text("o"), 1));
    world.disk.insert(REQUIREMENTS.into(), (text("a"), 1));
    world.list();
    assert_eq!(world.named_changes(), ["devcontainer.json: Modified"]);
    world.named = vec![DOCKERFILE.into(), REQUIREMENTS.into()];
    world.write(CONFIG, "1");
    assert_eq!(world.named_changes(), [""; 0], "undone");
    world.write(REQUIREMENTS, "b");
    assert_eq!(
        world.named_changes(),
        ["/w/requirements.txt: Modified"],
        "it is known since"
    );
}

/// Inputs whose configuration has this content, and byte by byte this one.
fn inputs(content: &str, verbatim: &str) -> Inputs {
    let Content::Fingerprint(verbatim) = text(verbatim) else {
        unreachable!("it is a file");
    };
    let config = Input::found(CONFIG, text(content), None).naming_others();
    let config = config.with_verbatim(Some(verbatim));
    let paths = CliPaths {
        folder: "/w".into(),
        config: CONFIG.into(),
    };
    let extent = Extent {
        is_truncated: false,
        unchecked: Unchecked::default(),
        reads_large: true,
    };
    Inputs::new(Arc::new(paths), config, Vec::new(), Arc::new([]), extent)
}

#[test]
fn p7_a_configuration_that_an_earlier_version_could_not_read_is_the_same_as_before() {
    let of_earlier = Baseline::new(0, [(PathBuf::new(), InputOrigin::Known(text("bytes")))]);
    let created = Timestamp::new(0, 0);
    let completed = of_earlier
        .completed(&inputs("meaning", "bytes"), created)
        .unwrap();
    assert_eq!(completed.changes(&inputs("meaning", "other bytes")), []);
    assert_eq!(
        completed.completed(&inputs("meaning", "bytes"), created),
        None
    );
    let edited = inputs("other meaning", "other bytes");
    assert_eq!(of_earlier.completed(&edited, created), None);
    assert_eq!(of_earlier.changes(&edited).len(), 1);
}

#[test]
fn in_the_directory_of_the_configuration_a_file_that_comes_is_a_change() {
    let paths = CliPaths {
        folder: "/w".into(),
        config: CONFIG.into(),
    };
    let paths = Arc::new(paths);
    let of = |files: &[&str]| {
        let directory = Input::found("/w/.devcontainer", Content::Directory, None);
        let files = files
            .iter()
            .map(|path| Input::found(path, text(path), None));
        let others = std::iter::once(directory).chain(files).collect();
        let extent = Extent {
            is_truncated: false,
            unchecked: Unchecked::default(),
            reads_large: true,
        };
        let config = Input::found(CONFIG, text("config"), None).naming_others();
        Inputs::new(paths.clone(), config, others, Arc::new([]), extent)
    };
    let baseline = Baseline::exact(&of(&["/w/.devcontainer/a"]));
    let created = Timestamp::new(0, 0);
    let both = of(&["/w/.devcontainer/a", "/w/.devcontainer/b"]);
    assert_eq!(baseline.completed(&both, created), None);
    let changes = |inputs| -> Vec<(String, ChangeKind)> {
        let changes = baseline.changes(inputs).into_iter();
        changes.map(|change| (change.path, change.change)).collect()
    };
    assert_eq!(changes(&both), [("/w/.devcontainer/b".to_owned(), Created)]);
    assert_eq!(
        changes(&of(&[])),
        [("/w/.devcontainer/a".to_owned(), Removed)]
    );
}
