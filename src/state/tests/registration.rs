//! Dev containers that clients ask for, and those that a search finds.

use super::*;
use crate::model::location::{Declared, Source};

impl World {
    fn declared(folder: &str, config: &str, source: Source) -> Declared {
        Declared {
            folder: folder.into(),
            config: Some(config.into()),
            source,
        }
    }

    pub(super) fn add(&mut self, folder: &str, config: &str) -> Added {
        let declared = Self::declared(folder, config, Source::Request);
        let place = self.place(folder, Some(config));
        self.state.add(&declared, place)
    }

    fn discover(&mut self, found: &[(&str, &str)]) {
        let found = found.iter().map(|(folder, config)| {
            let declared = Self::declared(folder, config, Source::Discovery);
            (declared, self.place(folder, Some(config)))
        });
        let found = found.collect();
        self.apply(Fact::Discovered(found, Vec::new()));
    }

    fn key(&mut self, name: &str) -> Key {
        self.state.find(name).unwrap()
    }

    fn source(&mut self, name: &str) -> Source {
        let key = self.key(name);
        let mut all = self.state.addresses().into_iter();
        all.find(|(one, _)| *one == key).unwrap().1.source
    }
}

#[test]
fn p4_p21_what_was_asked_for_is_the_same_after_a_restart_also_behind_a_link() {
    let mut world = world();
    world.run(1, "/v/p", None);
    world.list();
    assert!(matches!(
        world.add("/link/p", "/link/p/c.json"),
        Added::New(_)
    ));
    assert!(matches!(world.add("/w/p", "/w/p/c.json"), Added::Known(_)));
    world.list();
    let before = world.all();
    assert_eq!(world.names(), ["w-p", "p"]);
    assert_eq!(
        before[0].workspace_folder, "/link/p",
        "as it was written first"
    );
    for is_unmounted in [false, true] {
        world.is_unmounted = is_unmounted;
        world.restart_keeping_names();
        world.list();
        assert_eq!(world.all(), before, "unmounted: {is_unmounted}");
        assert!(!world.take_unsaved(), "nothing new");
    }
}

#[test]
fn what_was_asked_for_stays_without_container_and_folder_until_it_is_forgotten() {
    let mut world = world();
    world.add("/w", CONFIG);
    world.run(1, "/w", Some(CONFIG));
    world.list();
    let key = world.key("w");
    let refused = world.state.forget_requested(key);
    assert_eq!(refused, Err(KeptListed::Container("box1".into())));
    world.remove(1);
    world.gone.insert("/w".into());
    world.list();
    assert_eq!(world.names(), ["w"]);
    assert_eq!(world.source("w"), Source::Request);
    assert!(world.take_unsaved());
    assert_eq!(world.state.forget_requested(key), Ok(()));
    assert!(world.take_unsaved());
    assert_eq!(world.names(), [""; 0]);
    let gone = world.state.forget_requested(key);
    assert_eq!(gone, Err(KeptListed::Refused(Refusal::Gone)));
}

#[test]
fn an_operation_keeps_what_it_works_on() {
    let mut world = world();
    world.discover(&[("/w", CONFIG)]);
    world.list();
    let key = world.begin();
    assert!(matches!(
        world.state.forget_requested(key),
        Err(KeptListed::Refused(Refusal::InProgress { .. }))
    ));
    world.discover(&[]);
    world.list();
    assert_eq!(world.names(), ["w"], "an operation runs");
    world.end(key, Some("no"), None);
    world.list();
    assert_eq!(world.one().error.as_deref(), Some("no"));
    world.discover(&[]);
    assert_eq!(world.names(), [""; 0]);
    world.discover(&[("/w", CONFIG)]);
    assert_eq!(
        world.one().error.as_deref(),
        Some("no"),
        "its last operation is kept"
    );
}

#[test]
fn a_search_lists_what_it_finds_and_nothing_that_it_does_not() {
    let mut world = world();
    let other = "/w/.devcontainer/b/devcontainer.json";
    world.discover(&[("/w", CONFIG), ("/w", other), ("/v", "/v/c.json")]);
    world.list();
    assert_eq!(world.names(), ["v", "w-2", "w"]);
    assert_eq!(world.source("w"), Source::Discovery);
    world.run(1, "/w", Some(CONFIG));
    world.add("/v", "/v/c.json");
    world.list();
    assert_eq!(world.source("w"), Source::Label, "its container names it");
    assert_eq!(world.source("v"), Source::Request);
    let before = world.all();
    world.discover(&[("/w", CONFIG), ("/w", other), ("/v", "/v/c.json")]);
    world.list();
    assert_eq!(world.all(), before);
    world.discover(&[]);
    world.list();
    assert_eq!(world.names(), ["v", "w"], "others keep these");
    let key = world.key("v");
    assert_eq!(world.state.forget_requested(key), Ok(()));
    assert_eq!(world.names(), ["w"]);
    // A deleted one is found as before.
    world.discover(&[("/w", CONFIG)]);
    world.remove(1);
    let key = world.key("w");
    world.state.forget(key);
    world.list();
    assert_eq!(world.names(), ["w"]);
}

#[test]
fn two_that_turn_out_to_be_one_become_one() {
    let mut world = world();
    world.is_unmounted = true;
    world.add("/link/p", "/link/p/c.json");
    world.discover(&[("/w/p", "/w/p/c.json")]);
    world.list();
    assert_eq!(world.names().len(), 2);
    world.is_unmounted = false;
    world.list();
    world.list();
    assert_eq!(world.names(), ["p"]);
    world.discover(&[]);
    assert_eq!(world.names(), ["p"], "it was asked for");
    let key = world.key("p");
    assert_eq!(world.state.forget_requested(key), Ok(()));
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn p19_clients_can_ask_for_so_many() {
    let mut world = world();
    let add = |world: &mut World, number: usize| {
        let folder = format!("/p{number}");
        world.add(&folder, &format!("{folder}/c.json"))
    };
    for number in 0..1000 {
        assert!(matches!(add(&mut world, number), Added::New(_)));
    }
    assert_eq!(add(&mut world, 1000), Added::TooMany(1000));
    assert!(matches!(add(&mut world, 7), Added::Known(_)));
}

#[test]
fn those_with_autostart_start_where_no_container_runs() {
    let mut world = world();
    let auto = |folder| Predefined {
        autostart: true,
        ..predefined(folder, None)
    };
    world.predefine(&[auto("/a"), auto("/b"), auto("/c"), predefined("/d", None)]);
    world.run(1, "/a", None);
    world.run(2, "/b", None).running = false;
    world.list();
    let keys = ["b", "c"].map(|name| world.key(name));
    assert_eq!(world.state.to_autostart(), keys);
}
