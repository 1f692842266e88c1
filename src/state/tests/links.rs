//! Folders that are known by paths with links.

use super::*;

impl World {
    /// Mounts what `/link` leads to, or takes it away.
    pub(super) fn mount(&mut self, is_mounted: bool) {
        self.is_unmounted = !is_mounted;
        for info in &self.containers {
            let label = |key| info.labels.get(key);
            let place = self.place(label(LABEL_FOLDER).unwrap(), label(LABEL_CONFIG));
            self.places.insert(info.id.clone(), place);
        }
    }
}

#[test]
fn p21_a_link_whose_target_is_not_mounted_at_a_start_leads_where_it_did() {
    for is_predefined in [false, true] {
        let mut world = world();
        world.run(1, "/link/proj", Some("/link/proj/.devcontainer.json"));
        let defined = [predefined("/link/proj", None)];
        let define = |world: &mut World| {
            if is_predefined {
                world.predefine(&defined);
            }
        };
        define(&mut world);
        world.list();
        let seen = |world: &mut World| {
            let all = world.all().into_iter();
            let all = all.filter(|one| one.workspace_folder == "/link/proj");
            all.map(|one| (one.name, one.id)).collect::<Vec<_>>()
        };
        let before = seen(&mut world);
        world.run(2, "/y/proj", None);
        for is_restarted in [true, false, true] {
            for is_mounted in [false, true] {
                world.mount(is_mounted);
                world.gone.clear();
                if !is_mounted {
                    world.gone.insert("/w/proj".into());
                }
                if is_restarted {
                    world.restart_keeping_names();
                    define(&mut world);
                }
                world.list();
                assert_eq!(seen(&mut world), before, "{is_restarted} {is_mounted}");
                assert_eq!(world.names(), ["proj", "y-proj"]);
            }
        }
        assert_eq!(world.state.persisted().links.len(), 1);
    }
}

#[test]
fn p21_links_are_forgotten_with_their_dev_containers() {
    let mut world = world();
    world.run(1, "/link/proj", None);
    world.list();
    assert_eq!(world.state.persisted().links.len(), 1);
    world.remove(1);
    world.gone.insert("/w/proj".into());
    for number in 2..=300 {
        world.run(number, &format!("/{number}/proj"), None);
    }
    world.list();
    world.containers.clear();
    world.restart_keeping_names();
    world.list();
    assert_eq!(world.state.persisted().links, []);
}

#[test]
fn the_workspace_is_found_where_it_was_mounted_by_another_path() {
    for (known, labelled, mounted) in [
        ("/link/proj", "/w/proj", "/w/proj"),
        ("/w/proj", "/link/proj", "/link/proj"),
        ("/link/proj", "/link/proj", "/w"),
    ] {
        let mut world = world();
        world.predefine(&[predefined(known, None)]);
        let info = world.run(1, labelled, None);
        info.mounts = [crate::model::container::Mount::bind(mounted, mounted)]
            .into_iter()
            .collect();
        world.list();
        let one = world.one();
        assert_eq!(one.workspace_folder, known);
        let expected = mounted
            .replace("/w", "/w/proj")
            .replace("/proj/proj", "/proj");
        assert_eq!(
            one.remote_workspace_folder,
            Some(expected),
            "{known} {labelled}"
        );
    }
}
