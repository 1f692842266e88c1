//! Which dev containers there are, their identity, and which containers belong to them.

use super::*;

#[test]
fn a_container_with_the_labels_is_a_dev_container() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.run(2, "/v", None);
    world.run(3, "/t", None).labels = [(LABEL_FOLDER, "/t"), (LABEL_TEST_RUN, "true")]
        .into_iter()
        .collect();
    world.places.remove(&id(3));
    world.run(4, "/n", None).labels = Pairs::default();
    world.places.remove(&id(4));
    assert!(world.state.label_address(&world.containers[0]).is_some());
    assert!(world.state.label_address(&world.containers[2]).is_none());
    assert!(world.state.label_address(&world.containers[3]).is_none());
    world.list();
    assert_eq!(world.names(), ["v", "w"]);
    let view = world.state.view();
    assert_eq!(view.containers.len(), 4);
    let statuses: Vec<_> = view
        .containers
        .iter()
        .map(|c| c.owner.as_ref().map(|owner| owner.status))
        .collect();
    assert_eq!(
        statuses,
        [Some(Status::Running), Some(Status::Running), None, None]
    );
}

#[test]
fn p4_the_id_is_the_same_after_a_restart() {
    let ids = |mut world: World| {
        world.run(7, "/v/x", None);
        world.run(1, "/w", Some(CONFIG));
        world.list();
        world.all().into_iter().map(|d| d.id).collect::<Vec<_>>()
    };
    let (first, mut other) = (ids(world()), world());
    other.run(9, "/other", None);
    let second = ids(other);
    assert!(first.iter().all(|id| second.contains(id)));
    assert_eq!(first[0].get_version_num(), 5);
    // Fixed for good: scripts may have written them down.
    assert_eq!(first[1].to_string(), "ce59bd4c-4071-51d0-98fa-5e7b25a42ac9");
}

#[test]
fn p4_the_id_after_a_reload_is_that_after_a_restart() {
    let alone = predefined("/w", None);
    let exact = predefined("/w", Some(CONFIG));
    let with_id = |predefined: &Predefined| Predefined {
        id: Some(Uuid::from_u128(7)),
        ..predefined.clone()
    };
    let ids = [with_id(&alone), with_id(&exact)];
    let all = [None, Some(alone), Some(exact)].into_iter();
    let all: Vec<Option<Predefined>> = all.chain(ids.map(Some)).collect();
    let id_after = |manifests: &[&Option<Predefined>]| {
        let mut world = world();
        world.run(1, "/w", Some(CONFIG));
        for manifest in manifests {
            world.predefine(manifest.as_slice());
            world.list();
        }
        world.one().id
    };
    let config = |manifest: &Option<Predefined>| manifest.as_ref().map(|one| one.config.clone());
    for before in &all {
        for after in &all {
            if before.is_some() && after.is_some() && config(before) != config(after) {
                continue;
            }
            let (reloaded, restarted) = (id_after(&[before, after]), id_after(&[after]));
            assert_eq!(reloaded, restarted, "{before:?}, then {after:?}");
        }
    }
}

#[test]
fn p21_a_name_that_is_taken_gets_that_of_the_folder_above_and_then_a_number() {
    let mut world = world();
    let given = Predefined {
        name: Some("app".into()),
        ..predefined("/x", None)
    };
    world.predefine(&[given.clone(), predefined("/a/app", None)]);
    world.run(1, "/b/app", None);
    world.run(2, "/c/app", None);
    world.run(3, "/", None);
    world.list();
    assert_eq!(world.names(), ["root", "a-app", "b-app", "c-app", "app"]);
    world.run(5, "/z/c/app", None);
    world.list();
    let all = ["root", "a-app", "b-app", "c-app", "app", "c-app-2"];
    assert_eq!(world.names(), all);
    world.remove(5);
    world.gone.insert("/z/c/app".into());
    world.remove(1);
    world.gone.insert("/b/app".into());
    world.list();
    world.run(4, "/z/b/app", None);
    world.list();
    assert_eq!(world.names(), ["root", "a-app", "c-app", "app", "b-app"]);
}

#[test]
fn an_entry_without_a_config_takes_that_of_its_container_and_keeps_its_id() {
    let mut world = world();
    world.predefine(&[predefined("/w", None)]);
    let before = world.one();
    assert_eq!((before.status, before.config_path), (Status::Stopped, None));
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let after = world.one();
    assert_eq!(after.id, before.id);
    assert_eq!(after.config_path.as_deref(), Some(CONFIG));
    assert_eq!(after.status, Status::Running);
    // Reading the same manifest again changes nothing for good.
    world.predefine(&[predefined("/w", None)]);
    world.list();
    assert_eq!(world.one(), after);
}

#[test]
fn p18_a_label_that_may_not_be_followed_gives_nobody_its_config() {
    let mut world = world();
    world.predefine(&[predefined("/w", None)]);
    world.run(1, "/w", Some("/etc/shadow"));
    world.places.get_mut(&id(1)).unwrap().access = config_outside();
    world.list();
    let configs: Vec<_> = world.all().into_iter().map(|d| d.config_path).collect();
    assert_eq!(configs, [None, Some("/etc/shadow".to_owned())]);
}

#[test]
fn several_configs_in_one_folder_are_several_dev_containers() {
    let mut world = world();
    world.run(1, "/w", Some("/w/a.json"));
    world.run(2, "/w", Some("/w/b.json"));
    world.list();
    let all = world.all();
    assert_eq!(all.len(), 2);
    assert_ne!(all[0].id, all[1].id);
    assert_eq!(world.names(), ["w", "w-2"]);
}

#[test]
fn of_several_containers_the_running_and_then_the_newest_counts() {
    let mut world = world();
    for number in 1..=4 {
        world.run(number, "/w", Some(CONFIG)).running = number <= 2;
    }
    world.list();
    assert_eq!(world.one().container.unwrap().info.name, "box2");
    assert_eq!(
        world.state.view().warnings,
        [
            "dev container w has several containers: box2 is used, box1, box4, box3 are ignored; remove the ones you do not need"
        ]
    );
}

#[test]
fn p18_a_container_whose_label_may_not_be_followed_is_shown_last() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.run(2, "/w", Some(CONFIG));
    world.places.get_mut(&id(2)).unwrap().access = Access::StopOnly(Why::LeadsUp("/w/../w".into()));
    world.list();
    assert_eq!(world.one().container.unwrap().info.name, "box1");
}

#[test]
fn a_container_that_vanishes_leaves_its_dev_container_stopped_and_clean() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    world.write(CONFIG, "2");
    assert!(world.one().dirty);
    world.remove(1);
    world.list();
    let left = world.one();
    assert_eq!(
        (left.status, left.dirty, left.running),
        (Status::Stopped, false, false)
    );
    assert_eq!(left.container, None);
    world.gone.insert("/w".into());
    world.list();
    assert_eq!(world.all(), []);
}

#[test]
fn a_predefined_one_stays_without_folder_and_container() {
    let mut world = world();
    world.gone.insert("/w".into());
    world.predefine(&[predefined("/w", None)]);
    world.list();
    assert_eq!(world.one().status, Status::Stopped);
    world.predefine(&[]);
    assert_eq!(world.all(), []);
}

#[test]
fn a_manifest_read_again_replaces_the_predefined_ones() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let detected = world.one();
    let named = Predefined {
        id: Some(Uuid::from_u128(7)),
        name: Some("mine".into()),
        ..predefined("/w", Some(CONFIG))
    };
    let twice = [named, predefined("/v", None), predefined("/v", None)];
    let errors = world.predefine(&twice);
    assert_eq!(
        errors,
        ["the dev container in /v is defined twice; the first definition counts"]
    );
    assert_eq!(world.names(), ["v", "mine"]);
    let mine = world.all().remove(1);
    assert_eq!(mine.id, Uuid::from_u128(7));
    let info = |one: &Devcontainer| {
        one.container
            .as_ref()
            .map(|container| container.info.clone())
    };
    assert_eq!(info(&mine), info(&detected));
    let owner = mine
        .container
        .and_then(|container| container.owner)
        .unwrap();
    assert_eq!((owner.id, &*owner.name), (mine.id, "mine"));
    assert_eq!(world.state.owner(&id(1)), world.state.find("mine"));
    world.predefine(&[]);
    assert_eq!(world.names(), ["mine"], "its container is still there");
}

#[test]
fn containers_are_selected_by_id_name_or_prefix() {
    let mut world = world();
    for (number, id) in [
        (1, "aaaaaaaaaaaa1111"),
        (2, "aaaaaaaaaaaa2222"),
        (3, "bbbbbbbbbbbb3333"),
    ] {
        let info = world.run(number, "/w", None);
        info.id = id.into();
    }
    world.list();
    let name = |selected| match selected {
        Selected::One(info) => info.name.clone(),
        other => format!("{other:?}"),
    };
    for (text, expected) in [
        ("aaaaaaaaaaaa1111", "box1"),
        ("box2", "box2"),
        ("bbbbbbbbbbbb", "box3"),
        ("bbbbbbbbbbbb333", "box3"),
        ("bbbbbbbbbbb", "None"),
        ("aaaaaaaaaaaa", "Ambiguous"),
        ("/box1", "None"),
        ("", "None"),
    ] {
        assert_eq!(name(world.state.select(text)), expected, "{text}");
    }
}

#[test]
fn only_allowed_places_are_looked_at() {
    let mut world = world();
    world.run(1, "/w", Some(CONFIG));
    world.run(2, "/v", Some("/etc/shadow"));
    let place = world.places.get_mut(&id(2)).unwrap();
    (place.may_be_scanned, place.access) = (false, config_outside());
    world.list();
    let targets = world.state.scan_targets();
    let sites: Vec<_> = targets.iter().flat_map(|target| &target.paths).collect();
    assert_eq!(sites, [&Arc::new(site())]);
}

#[test]
fn the_cli_is_given_what_the_labels_say() {
    let mut world = world();
    world.predefine(&[predefined("/w/.", None)]);
    let place = world.place("/w", Some(CONFIG));
    let defined = vec![(predefined("/w/.", None), place)];
    world.apply(Fact::Predefined(defined));
    let key = world.state.find("w").unwrap();
    let address = world.state.target(key, None).unwrap().declared;
    assert_eq!(address.folder, Path::new("/w/."));
    assert_eq!(address.config.as_deref(), Some(Path::new(CONFIG)));
}

#[test]
fn a_path_of_windows_into_this_distribution_is_one_in_it() {
    let mut world = world();
    world.predefine(&[predefined("/w", Some(CONFIG))]);
    world.put(CONFIG, "1");
    let folder = r"\\wsl.localhost\Ubuntu\w";
    world.run(1, folder, Some(CONFIG));
    let place = world.place("/w", Some(CONFIG));
    world.places.insert(id(1), place);
    world.list();
    let one = world.one();
    assert!(one.container.is_some());
    assert_eq!(one.workspace_folder, "/w");
    let key = world.state.scan_targets()[0].key;
    let target = world.state.target(key, None).unwrap();
    assert_eq!(target.declared.folder, Path::new("/w"));
    let labels = target.labels.unwrap();
    let config = format!("devcontainer.config_file={CONFIG}");
    let folder = format!("devcontainer.local_folder={folder}");
    assert_eq!(labels.pairs(), [folder, config]);
    world.containers.clear();
    world.run(2, "/w", Some(CONFIG));
    world.list();
    assert_eq!(world.state.target(key, None).unwrap().labels, None);
}

#[test]
fn a_folder_that_is_predefined_alone_takes_the_configuration_of_its_container() {
    const OTHER: &str = "/w/.devcontainer/other/devcontainer.json";
    let found = |world: &mut World| {
        let key = world.state.scan_targets()[0].key;
        let address = world.state.addresses()[0].1.clone();
        let place = world.place("/w", Some(CONFIG));
        world.takes_whole(vec![Found::Resolved(key, address, place)]);
    };
    for reloaded in [false, true] {
        let mut world = world();
        world.put(CONFIG, "1");
        world.put(OTHER, "1");
        world.run(1, "/w", Some(OTHER));
        if reloaded {
            world.list();
        }
        world.predefine(&[predefined("/w", None)]);
        let before = world.one().id;
        found(&mut world);
        for _ in 0..2 {
            world.list();
            let one = world.one();
            assert_eq!(one.id, before);
            assert_eq!(one.config_path.as_deref(), Some(OTHER));
            assert!(one.container.is_some());
        }
        // Another container of the folder is another dev container's.
        world.run(2, "/w", Some(CONFIG));
        world.list();
        let shown = |world: &mut World| -> Vec<(Uuid, Option<String>)> {
            let all = world.all().into_iter();
            all.map(|one| (one.id, one.config_path)).collect()
        };
        let all = shown(&mut world);
        assert_eq!(all.len(), 2);
        assert!(all.contains(&(before, Some(OTHER.to_owned()))), "{all:?}");
    }
}

#[test]
fn the_configuration_that_the_search_finds_comes_first() {
    const OTHER: &str = "/w/.devcontainer/aa/devcontainer.json";
    let mut world = world();
    let mut defined = predefined("/w", None);
    defined.id = Some(Uuid::from_u128(1));
    let place = world.place("/w", Some(CONFIG));
    world.apply(Fact::Predefined(vec![(defined, place.clone())]));
    world.put(CONFIG, "1");
    world.put(OTHER, "1");
    world.run(1, "/w", Some(OTHER));
    world.run(2, "/w", Some(CONFIG));
    let key = world.state.scan_targets()[0].key;
    world.list_at(vec![(key, place)]);
    let all = world.all();
    assert_eq!(all.len(), 2);
    let defined = all.iter().find(|one| one.id == Uuid::from_u128(1)).unwrap();
    assert_eq!(defined.config_path.as_deref(), Some(CONFIG));
}

#[test]
fn a_predefined_folder_that_does_not_exist_is_a_warning() {
    let mut world = world();
    let missing = |world: &World| Resolved {
        folder_exists: false,
        access: Access::StopOnly(Why::Missing("/gone".into())),
        ..world.place("/gone", None)
    };
    let place = missing(&world);
    world.apply(Fact::Predefined(vec![(predefined("/gone", None), place)]));
    let expected = "dev container gone: the workspace folder /gone is not an existing directory that the daemon can see; \
                    where the daemon runs in a container, mount the folder there at the same path";
    assert_eq!(world.state.view().warnings, [expected]);
    world.apply(Fact::Predefined(vec![]));
    assert!(world.state.view().warnings.is_empty());
}

#[test]
fn a_dev_container_that_is_written_otherwise_is_shown_in_its_new_place() {
    let mut world = world();
    world.run(1, "/link/b", None);
    world.run(2, "/m", None);
    world.list();
    assert_eq!(world.names(), ["b", "m"]);
    world.remove(1);
    world.run(3, "/w/b", None);
    world.list();
    assert_eq!(world.names(), ["m", "b"]);
    assert_eq!(world.all()[1].workspace_folder, "/w/b");
}
