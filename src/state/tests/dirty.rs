//! Whether a container was made from what is on disk.

use ChangeKind::*;

use super::*;
use crate::state::persisted::Persisted;

const LOCK: &str = "/w/.devcontainer/devcontainer-lock.json";
const DOCKERFILE: &str = "/w/.devcontainer/Dockerfile";
const FEATURE: &str = "/w/.devcontainer/feature";

/// A dev container that was made from a configuration that says `1`.
fn made() -> World {
    let mut world = world();
    world.put(CONFIG, "1");
    world.run(1, "/w", Some(CONFIG));
    world.list();
    assert_eq!(world.changes(), []);
    world
}

/// The same with a Dockerfile.
fn made_with_dockerfile() -> World {
    let mut world = world();
    world.put(CONFIG, "1");
    world.put(DOCKERFILE, "a");
    world.named = vec![DOCKERFILE.into()];
    world.run(1, "/w", Some(CONFIG));
    world.list();
    assert_eq!(world.changes(), []);
    world
}

impl World {
    /// The changes as `path: kind`, below the configuration's directory.
    fn named_changes(&mut self) -> Vec<String> {
        let changes = self.one().changes;
        let show = |change: &crate::model::api::InputChange| {
            let path = Path::new(&change.path);
            let below = path.strip_prefix("/w/.devcontainer").unwrap_or(path);
            format!("{}: {:?}", below.display(), change.change)
        };
        changes.iter().map(show).collect()
    }

    /// Another run of the daemon, which finds what this one wrote down.
    fn restart(&mut self, persisted: Persisted) {
        self.state = new_state();
        self.state.recover(persisted, Timestamp::new(self.wall, 0));
    }
}

#[test]
fn p5_dirty_follows_the_content() {
    let mut world = made();
    world.write(CONFIG, "1");
    assert_eq!(world.changes(), [], "a touch");
    world.write(CONFIG, "2");
    assert_eq!(world.changes(), [Modified]);
    world.delete(CONFIG);
    assert_eq!(world.changes(), [Removed]);
    world.list();
    assert_eq!(world.changes(), [Removed], "a listing changes nothing");
    world.write(CONFIG, "1");
    assert_eq!(world.changes(), [], "undone");
}

#[test]
fn every_input_counts_and_is_named() {
    let mut world = made_with_dockerfile();
    world.write(DOCKERFILE, "b");
    assert_eq!(world.named_changes(), ["Dockerfile: Modified"]);
    world.write(LOCK, "{}");
    world.write(CONFIG, "2");
    let all = [
        "Dockerfile: Modified",
        "devcontainer-lock.json: Created",
        "devcontainer.json: Modified",
    ];
    assert_eq!(world.named_changes(), all);
    world.write(CONFIG, "1");
    world.delete(LOCK);
    world.delete(DOCKERFILE);
    assert_eq!(world.named_changes(), ["Dockerfile: Removed"]);
    world.write(DOCKERFILE, "a");
    assert_eq!(world.named_changes(), [""; 0]);
}

#[test]
fn what_cannot_be_compared_is_a_change_of_unknown_kind() {
    let mut world = made();
    for content in [Content::Unreadable, text("1"), Content::Unreadable] {
        world.wall += 1;
        world.disk.insert(CONFIG.into(), (content, world.wall));
        world.scan();
        let expected: &[ChangeKind] = if content == text("1") {
            &[]
        } else {
            &[Unknown]
        };
        assert_eq!(world.changes(), expected);
    }
}

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
        // The same where it came while the daemon was down.
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
fn where_not_all_is_compared_the_feature_is_named_that_has_changed() {
    let mut world = world();
    world.put(CONFIG, "1");
    world.disk.insert(FEATURE.into(), (Content::Directory, 1));
    let files = ["a", "b", "c"].map(|name| format!("{FEATURE}/{name}"));
    files.iter().for_each(|file| world.put(file, "x"));
    world.named = vec![
        FEATURE.into(),
        files[1].clone().into(),
        files[2].clone().into(),
    ];
    world.run(1, "/w", Some(CONFIG));
    world.list();
    world.truncated = true;
    assert_eq!(world.named_changes(), [""; 0]);
    world.named = vec![
        FEATURE.into(),
        files[0].clone().into(),
        files[1].clone().into(),
    ];
    world.write(&files[1], "y");
    assert_eq!(
        world.named_changes(),
        ["feature: Modified", "feature/b: Modified"]
    );
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
fn the_configuration_of_its_container_stays_that_of_a_dev_container_when_the_search_finds_another()
{
    let mut world = world();
    world.predefine(&[predefined("/w", None)]);
    world.put(CONFIG, "1");
    let key = world.state.scan_targets()[0].key;
    let address = world.state.addresses()[0].1.clone();
    let place = world.place("/w", Some(CONFIG));
    world.takes_whole(vec![Found::Resolved(key, address, place)]);
    world.run(1, "/w", Some(CONFIG));
    let facts_place = world.place("/w", Some(CONFIG));
    world.list_at(vec![(key, facts_place)]);
    assert_eq!(world.changes(), []);
    assert!(world.state.scan_targets()[0].unsettled.is_none());
    world.delete(CONFIG);
    assert_eq!(world.changes(), [Removed]);
    world.remove(1);
    world.list();
    assert!(
        world.state.scan_targets()[0].unsettled.is_some(),
        "it is searched for again"
    );
}

#[test]
fn what_the_configuration_names_no_more_is_told_by_its_own_change() {
    let mut world = made_with_dockerfile();
    world.named = vec!["/w/.devcontainer/Other".into()];
    world
        .disk
        .insert("/w/.devcontainer/Other".into(), (text("b"), 1));
    world.write(CONFIG, "2");
    assert_eq!(world.named_changes(), ["devcontainer.json: Modified"]);
}

#[test]
fn a_variable_that_leads_elsewhere_is_a_change_though_the_configuration_says_the_same() {
    let mut world = made_with_dockerfile();
    world.named = vec!["/w/.devcontainer/Other".into()];
    world.write("/w/.devcontainer/Other", "b");
    assert_eq!(
        world.named_changes(),
        ["Dockerfile: Removed", "Other: Created"]
    );
}

#[test]
fn in_a_feature_files_come_and_go_also_while_the_configuration_changes() {
    let mut world = world();
    let one = format!("{FEATURE}/one");
    let two = format!("{FEATURE}/two");
    world.put(CONFIG, "1");
    world.disk.insert(FEATURE.into(), (Content::Directory, 1));
    world.put(&one, "x");
    world.named = vec![FEATURE.into(), one.clone().into()];
    world.run(1, "/w", Some(CONFIG));
    world
        .disk
        .insert(FEATURE.into(), (Content::Directory, 1_000_000_000));
    world.list();
    assert_eq!(
        world.named_changes(),
        [""; 0],
        "a directory's time is no matter"
    );
    world.named = vec![FEATURE.into(), two.clone().into()];
    world.write(&two, "y");
    let moved = ["feature/one: Removed", "feature/two: Created"];
    assert_eq!(world.named_changes(), moved);
    world.write(CONFIG, "2");
    let and_config = [&["devcontainer.json: Modified"], &moved[..]].concat();
    assert_eq!(world.named_changes(), and_config);
    world.write(CONFIG, "1");
    world.named = vec![FEATURE.into()];
    world.delete(FEATURE);
    assert_eq!(
        world.named_changes(),
        ["feature: Removed", "feature/one: Removed"]
    );
}

#[test]
fn one_input_has_one_name_however_the_way_to_it_is_written() {
    let mut world = made_with_dockerfile();
    let persisted = world.state.persisted();
    // Another daemon has it predefined by a link to the folder.
    world.restart(persisted);
    for path in [CONFIG, DOCKERFILE] {
        let entry = world.disk[Path::new(path)];
        world
            .disk
            .insert(path.replace("/w/", "/link/").into(), entry);
    }
    world.named = vec![DOCKERFILE.replace("/w/", "/link/").into()];
    world.predefine(&[predefined("/link", Some(&CONFIG.replace("/w/", "/link/")))]);
    world.list();
    assert_eq!(world.changes(), []);
    world.write(&DOCKERFILE.replace("/w/", "/link/"), "b");
    assert_eq!(
        world.named_changes(),
        ["/link/.devcontainer/Dockerfile: Modified"]
    );
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
fn a_look_that_began_before_a_container_was_listed_says_nothing_of_it() {
    let mut world = world();
    world.predefine(&[predefined("/w", Some(CONFIG))]);
    world.put(CONFIG, "1");
    let target = world.state.scan_targets()[0].clone();
    let early = world.inputs(&site());
    world.put(CONFIG, "2");
    world.run(1, "/w", Some(CONFIG));
    world.list_only();
    assert!(
        !world.takes_whole(vec![Found::Inputs(target, early)]),
        "scan again"
    );
    world.scan();
    assert_eq!(world.changes(), []);
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
        assert_eq!(world.changes(), []);
    }
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
    world.write(LOCK, "by somebody");
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
        assert_eq!(world.named_changes(), ["Dockerfile: Modified"]);
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
fn p7_the_baseline_of_a_container_that_is_gone_goes_with_it() {
    let mut world = made();
    assert!(world.take_unsaved());
    world.remove(1);
    world.list();
    assert!(world.take_unsaved());
    assert_eq!(world.state.persisted().baselines.len(), 0);
}

#[test]
fn p7_a_container_of_which_docker_says_nothing_keeps_its_baseline() {
    let mut world = made();
    let persisted = world.state.persisted();
    world.restart(persisted);
    let all = std::mem::take(&mut world.containers);
    let inventory = Inventory {
        listed: Listed {
            containers: Vec::new(),
            ids: [id(1)].into(),
            warnings: Vec::new(),
            unreported: Vec::new(),
            retry_at: None,
        },
        container_places: HashMap::new(),
        entry_places: Vec::new(),
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
fn p5_of_two_who_look_at_once_the_later_look_counts() {
    let mut world = made();
    let target = world.state.scan_targets()[0].clone();
    let early = world.inputs(&site());
    world.write(CONFIG, "2");
    assert!(
        !world.takes_whole(vec![Found::Inputs(target, early)]),
        "scan again"
    );
    assert_eq!(world.changes(), [Modified]);
}

#[test]
fn a_configuration_that_nobody_named_is_looked_for_again() {
    let mut world = world();
    world.predefine(&[predefined("/w", None)]);
    let targets = world.state.scan_targets();
    let unsettled = targets[0].unsettled.clone().unwrap();
    assert_eq!((unsettled.folder_exists, &unsettled.found), (true, &None));
    let found = Found::Resolved(
        targets[0].key,
        unsettled.address,
        world.place("/w", Some(CONFIG)),
    );
    assert!(!world.takes_whole(vec![found]), "its inputs are next");
    assert_eq!(world.one().config_path.as_deref(), Some(CONFIG));
    let targets = world.state.scan_targets();
    assert_eq!(targets[0].site.as_deref(), Some(&site()));
    assert_eq!(
        targets[0].unsettled.clone().unwrap().found,
        Some(CONFIG.into())
    );
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
        // The same where no list shows it before the end.
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
