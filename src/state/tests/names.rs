//! The names of dev containers, also over restarts and in random lives of several of them.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The last parts of their paths are equal, or equal what a name becomes that is taken.
const FOLDERS: [&str; 6] = [
    "/x/proj",
    "/y/proj",
    "/z/y/proj",
    "/y-proj",
    "/q/y-proj-2",
    "/link/proj",
];

/// The one that is known by a link.
const LINKED: usize = 5;

/// The path on disk of one of the folders.
fn on_disk(of: usize) -> PathBuf {
    PathBuf::from(FOLDERS[of].replace("/link", "/w"))
}

impl World {
    pub(super) fn restart_keeping_names(&mut self) {
        let persisted = crate::store::round_trip(self.state.persisted());
        self.restart(persisted);
    }

    fn name_of(&mut self, folder: &str) -> Option<String> {
        let all = self.all();
        let mut found = all.into_iter().filter(|d| d.workspace_folder == folder);
        found.next().map(|d| d.name.to_string())
    }
}

#[test]
fn p21_names_are_not_exchanged_by_a_restart() {
    let mut world = world();
    world.run(1, "/y/proj", None);
    world.list();
    world.run(2, "/x/proj", None);
    world.list();
    assert_eq!(world.names(), ["x-proj", "proj"]);
    world.restart_keeping_names();
    world.list();
    assert_eq!(world.names(), ["x-proj", "proj"]);
    assert!(!world.take_unsaved(), "nothing new");
}

#[test]
fn p21_the_name_of_one_that_was_removed_meanwhile_does_not_mean_another() {
    let mut world = world();
    world.run(1, "/x/proj", None);
    world.run(2, "/y/proj", None);
    world.list();
    assert_eq!(world.names(), ["proj", "y-proj"]);
    world.remove(1);
    world.gone.insert("/x/proj".into());
    world.restart_keeping_names();
    world.list();
    assert_eq!(world.names(), ["y-proj"]);
    // Nobody is known by the other name, and its folder is gone.
    world.run(3, "/z/proj", None);
    world.list();
    assert_eq!(world.names(), ["y-proj", "proj"]);
    world.gone.clear();
    world.run(4, "/x/proj", None);
    world.list();
    assert_eq!(world.names(), ["x-proj", "y-proj", "proj"]);
}

/// Asserts that another folder of the same last part does not get the name of `/x/proj`, which gets it back.
#[track_caller]
fn assert_proj_is_kept_for_x(world: &mut World) {
    world.run(2, "/y/proj", None);
    world.list();
    assert_eq!(world.names(), ["y-proj"]);
    world.run(3, "/x/proj", None);
    world.list();
    assert_eq!(world.names(), ["proj", "y-proj"]);
}

#[test]
fn p21_a_name_is_kept_while_the_folder_exists() {
    let mut world = world();
    world.run(1, "/x/proj", None);
    world.list();
    world.remove(1);
    world.restart_keeping_names();
    world.list();
    assert_eq!(world.all(), []);
    assert_proj_is_kept_for_x(&mut world);
}

#[test]
fn p21_a_deleted_dev_container_that_is_made_again_has_its_name() {
    let mut world = world();
    world.run(1, "/x/proj", None);
    world.list();
    let key = world.state.find("proj").unwrap();
    world.remove(1);
    world.state.forget(key);
    assert_proj_is_kept_for_x(&mut world);
}

#[test]
fn p21_a_name_stays_when_a_configuration_is_found_or_lost_meanwhile() {
    for configs in [[None, Some(CONFIG)], [Some(CONFIG), None]] {
        let mut world = world();
        world.run(1, "/v/w", None);
        world.list();
        world.run(2, "/w", configs[0]);
        world.list();
        assert_eq!(world.names(), ["w", "w-2"]);
        world.remove(1);
        world.remove(2);
        world.restart_keeping_names();
        world.run(3, "/w", configs[1]);
        world.list();
        assert_eq!(world.names(), ["w-2"]);
    }
}

#[test]
fn p21_a_defined_name_is_numbered_while_another_one_has_it() {
    let named = |folder: &str, name: &str| Predefined {
        name: Some(name.into()),
        ..predefined(folder, None)
    };
    let mut world = world();
    world.run(1, "/x/proj", None);
    world.list();
    world.restart_keeping_names();
    // It is read before anything is listed.
    world.predefine(&[named("/y", "proj"), named("/z", "proj")]);
    assert_eq!(world.names(), ["proj-2", "proj-3"]);
    world.list();
    assert_eq!(world.names(), ["proj", "proj-2", "proj-3"]);
    // The operator may exchange names.
    world.predefine(&[
        named("/y", "proj"),
        named("/x/proj", "mine"),
        named("/z", "y"),
    ]);
    assert_eq!(world.names(), ["mine", "proj", "y"]);
    world.predefine(&[
        named("/z", "proj"),
        named("/y", "y"),
        predefined("/x/proj", None),
    ]);
    assert_eq!(world.names(), ["mine", "y", "proj"]);
}

#[test]
fn p21_a_defined_name_comes_before_one_that_follows_from_a_folder() {
    let mut world = world();
    let named = Predefined {
        name: Some("proj".into()),
        ..predefined("/z", None)
    };
    world.predefine(&[predefined("/x/proj", None), named]);
    assert_eq!(world.names(), ["x-proj", "proj"]);
}

#[test]
fn p21_names_that_are_kept_are_bounded() {
    let mut world = world();
    for number in 1..=300 {
        world.run(number, &format!("/{number}/proj"), None);
    }
    world.list();
    let name = world.name_of("/300/proj").unwrap();
    world.containers.clear();
    world.gone.insert("/299/proj".into());
    world.restart_keeping_names();
    world.list();
    let left = world.state.persisted().names;
    assert_eq!(left.len(), 256);
    assert!(left.iter().any(|one| one.name == name));
    assert!(left.iter().all(|one| one.folder != Path::new("/299/proj")));
}

#[test]
fn p21_any_number_of_dev_containers_keep_their_names() {
    let mut world = world();
    // Numbers do not follow the order of the paths.
    for number in 0..600_u32 {
        let folder = format!("/{}/b/proj", number * 7919 % 600);
        world.run(number + 1, &folder, None);
        if number % 200 == 0 {
            world.list();
        }
    }
    world.list();
    let names = |world: &mut World| {
        let all = world.all().into_iter();
        let names: BTreeMap<_, _> = all.map(|d| (d.workspace_folder, d.name)).collect();
        names
    };
    let before = names(&mut world);
    assert_eq!(before.len(), 600);
    world.restart_keeping_names();
    world.list();
    assert_eq!(names(&mut world), before);
}

#[derive(Clone, Debug)]
enum Step {
    Appear(usize),
    Vanish(usize),
    /// The container and the folder are removed.
    RemoveFolder(usize),
    RestoreFolder(usize),
    List,
    Restart,
    Delete(usize),
    /// The file system of the folder behind the link goes away.
    Unmount,
    Mount,
    /// These are predefined from now on, without names.
    Predefine(Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let of = 0..FOLDERS.len();
    prop_oneof![
        6 => of.clone().prop_map(Step::Appear),
        2 => of.clone().prop_map(Step::Vanish),
        2 => of.clone().prop_map(Step::RemoveFolder),
        2 => of.clone().prop_map(Step::RestoreFolder),
        1 => Just(Step::Unmount),
        1 => Just(Step::Mount),
        6 => Just(Step::List),
        3 => Just(Step::Restart),
        1 => of.clone().prop_map(Step::Delete),
        1 => vec(of, 0..3).prop_map(Step::Predefine),
    ]
}

/// The meanings that names have had, and the truth about folders and containers.
struct Names {
    world: World,
    containers: [Option<u32>; FOLDERS.len()],
    predefined: Vec<usize>,
    next: u32,
    /// The dev container that each name meant last.
    meaning: BTreeMap<String, usize>,
}

impl Names {
    fn new() -> Self {
        Self {
            world: world(),
            containers: [None; FOLDERS.len()],
            predefined: Vec::new(),
            next: 1,
            meaning: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Appear(of) => {
                if self.containers[*of].is_none() {
                    self.restore(*of);
                    self.world.run(self.next, FOLDERS[*of], None);
                    self.containers[*of] = Some(self.next);
                    self.next += 1;
                }
            }
            Step::Vanish(of) => self.remove(*of),
            Step::RemoveFolder(of) => {
                self.remove(*of);
                self.world.gone.insert(on_disk(*of));
            }
            Step::RestoreFolder(of) => {
                self.restore(*of);
            }
            Step::Unmount => {
                self.world.gone.insert(on_disk(LINKED));
                self.world.mount(false);
            }
            Step::Mount => self.restore(LINKED),
            Step::List => return self.list(),
            Step::Restart => {
                self.world.restart_keeping_names();
                self.predefine();
            }
            Step::Delete(of) => {
                let name = self.world.name_of(FOLDERS[*of]);
                if let Some(key) = name.and_then(|name| self.world.state.find(&name)) {
                    self.remove(*of);
                    self.world.state.forget(key);
                }
            }
            Step::Predefine(all) => {
                self.predefined.clone_from(all);
                self.predefine();
            }
        }
        Ok(())
    }

    fn restore(&mut self, of: usize) {
        self.world.gone.remove(&on_disk(of));
        if of == LINKED {
            self.world.mount(true);
        }
    }

    fn predefine(&mut self) {
        let all: Vec<Predefined> = self
            .predefined
            .iter()
            .map(|of| predefined(FOLDERS[*of], None))
            .collect();
        self.world.predefine(&all);
    }

    fn remove(&mut self, of: usize) {
        if let Some(number) = self.containers[of].take() {
            self.world.remove(number);
        }
    }

    /// A listing, after which no name may mean something else than before, unless that is gone altogether.
    fn list(&mut self) -> Result<(), TestCaseError> {
        self.world.list();
        let mut shown = BTreeMap::new();
        for one in self.world.all() {
            let is_it = |folder: &&str| **folder == one.workspace_folder;
            let of = FOLDERS.iter().position(is_it).unwrap();
            prop_assert_eq!(shown.insert(one.name.to_string(), of), None, "{}", one.name);
        }
        for (name, of) in &shown {
            let before = self
                .meaning
                .get(name)
                .copied()
                .filter(|before| before != of);
            if let Some(before) = before {
                let is_known = shown.values().any(|one| *one == before);
                let exists = !self.world.gone.contains(&on_disk(before));
                prop_assert!(!is_known && !exists, "{name} meant {before}, now {of}");
            }
            let mut own = self.meaning.iter().filter(|(_, is)| *is == of);
            prop_assert!(own.all(|(had, _)| had == name), "{of} has another name");
        }
        for (name, of) in shown {
            self.meaning.insert(name, of);
        }
        // A dev container that is gone altogether may get another name.
        let (world, predefined) = (&self.world, &self.predefined);
        self.meaning
            .retain(|_, of| !world.gone.contains(&on_disk(*of)) || predefined.contains(of));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Dev containers come and go, folders are removed and come back, and the daemon is started again, in any order.
    #[test]
    fn p21_a_name_means_one_dev_container(steps in vec(step(), 1..30)) {
        let mut names = Names::new();
        for step in &steps {
            names.take(step)?;
        }
        names.list()?;
    }
}
