//! Changes of inputs, and how they are shown.

use ChangeKind::*;

use super::*;
use crate::state::persisted::Persisted;

pub(super) const LOCK: &str = "/w/.devcontainer/devcontainer-lock.json";
pub(super) const DOCKERFILE: &str = "/w/.devcontainer/Dockerfile";
const FEATURE: &str = "/w/.devcontainer/feature";

/// A dev container that was made from a configuration that says `1`.
pub(super) fn made() -> World {
    let mut world = world();
    world.put(CONFIG, "1");
    world.run(1, "/w", Some(CONFIG));
    world.list();
    assert_eq!(world.changes(), []);
    world
}

/// A dev container that was made from such a configuration, and a Dockerfile.
pub(super) fn made_with_dockerfile() -> World {
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
    pub(super) fn named_changes(&mut self) -> Vec<String> {
        let changes = self.one().changes;
        let show = |change: &crate::model::api::InputChange| {
            let path = Path::new(&change.path);
            let below = path.strip_prefix("/w/.devcontainer").unwrap_or(path);
            format!("{}: {:?}", below.display(), change.change)
        };
        changes.iter().map(show).collect()
    }

    /// Another run of the daemon, which finds what this one wrote down.
    pub(super) fn restart(&mut self, persisted: Persisted) {
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
fn what_a_scan_leaves_unchecked_is_shown_where_there_is_a_container() {
    let mut world = world();
    world.put(CONFIG, "1");
    world.run(1, "/w", Some(CONFIG));
    world.list();
    assert_eq!(world.one().unchecked, None);
    world.unchecked.add("/w/D cannot be read");
    world.write(CONFIG, "2");
    assert_eq!(world.changes(), [Modified]);
    assert_eq!(world.one().unchecked.unwrap(), "/w/D cannot be read");
    world.write(CONFIG, "1");
    assert_eq!(world.changes(), []);
    assert_eq!(world.one().unchecked.unwrap(), "/w/D cannot be read");
    world.remove(1);
    world.list();
    assert_eq!(world.one().unchecked, None);
}

#[test]
fn before_the_first_scan_a_container_is_unchecked() {
    let mut world = world();
    world.put(CONFIG, "1");
    world.run(1, "/w", Some(CONFIG));
    world.list_only();
    let reason = format!("the configuration {CONFIG} is not compared yet");
    assert_eq!(world.one().unchecked, Some(reason));
    world.scan();
    assert_eq!(world.one().unchecked, None);
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
    assert!(world.state.scan_targets()[0].unlocated.is_none());
    world.delete(CONFIG);
    assert_eq!(world.changes(), [Removed]);
    world.remove(1);
    world.list();
    assert!(
        world.state.scan_targets()[0].unlocated.is_some(),
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
    let unlocated = targets[0].unlocated.clone().unwrap();
    assert_eq!((unlocated.folder_exists, &unlocated.found), (true, &None));
    let found = Found::Resolved(
        targets[0].key,
        unlocated.declared,
        world.place("/w", Some(CONFIG)),
    );
    assert!(!world.takes_whole(vec![found]), "its inputs are next");
    assert_eq!(world.one().config_path.as_deref(), Some(CONFIG));
    let targets = world.state.scan_targets();
    assert_eq!(targets[0].paths.as_deref(), Some(&site()));
    assert_eq!(
        targets[0].unlocated.clone().unwrap().found,
        Some(CONFIG.into())
    );
}
