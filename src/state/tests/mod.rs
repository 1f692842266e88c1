//! The rules, as plain functions.

mod changes;
mod dirty;
mod freshness;
mod model;
mod repair;
mod steps;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::*;
use crate::base::time::Timestamp;
use crate::devcontainer::fingerprint::fingerprint_bytes;
use crate::model::api::{ChangeKind, Devcontainer, Status};
use crate::model::container::Pairs;
use crate::model::ids::OperationId;
use crate::model::inputs::{Content, Input, Inputs};
use crate::model::labels::{LABEL_CONFIG, LABEL_FOLDER, LABEL_OPERATION, LABEL_TEST_RUN};
use crate::model::listing::Listed;
use crate::model::location::{CliPaths, Predefined, Resolved};
use crate::model::operation::{
    End, EndedOperation, Ending, OperationKind, OperationState, Settlement,
};

/// A state, a clock, and the containers and places that the next listing will show.
struct World {
    state: State,
    now: Instant,
    wall: i64,
    containers: Vec<Arc<ContainerInfo>>,
    places: HashMap<String, Resolved>,
    gone: HashSet<PathBuf>,
    /// What files hold, and when that was written. There are no others.
    disk: HashMap<PathBuf, (Content, i64)>,
    /// What every configuration names.
    named: Vec<PathBuf>,
    /// What a configuration holds that names nothing.
    names_nothing: Option<Content>,
    /// Whether there is more than is compared.
    truncated: bool,
}

fn new_state() -> State {
    let settings = Settings {
        cache_for: Duration::from_secs(10),
        allows_events: true,
        revision: 0,
    };
    State::new(&settings, Instant::now())
}

fn world() -> World {
    World {
        state: new_state(),
        now: Instant::now() + Duration::from_secs(1000),
        wall: 1_000_000,
        containers: Vec::new(),
        places: HashMap::new(),
        gone: HashSet::new(),
        disk: HashMap::new(),
        named: Vec::new(),
        names_nothing: None,
        truncated: false,
    }
}

/// The id of an operation that begins at this second.
fn operation(seconds: i64) -> OperationId {
    let since = Duration::from_secs(seconds.unsigned_abs());
    OperationId::new(std::time::UNIX_EPOCH + since)
}

fn id(number: u32) -> String {
    format!("{number:064x}")
}

fn text(text: &str) -> Content {
    Content::Fingerprint(fingerprint_bytes(text.as_bytes()))
}

impl World {
    fn place(&self, folder: &str, config: Option<&str>) -> Resolved {
        // A symbolic link.
        let canonical = |path: &str| PathBuf::from(path.replace("/link", "/w"));
        let folder = canonical(folder);
        Resolved {
            folder_exists: !self.gone.contains(&folder),
            folder,
            config: config.map(PathBuf::from),
            canonical_config: config.map(canonical),
            may_be_looked_at: true,
            refused: None,
            outside: None,
        }
    }

    /// Adds a container, made now; `config` is the label.
    fn run(&mut self, number: u32, folder: &str, config: Option<&str>) -> &mut ContainerInfo {
        self.wall += 1;
        let labels = [(LABEL_FOLDER, Some(folder)), (LABEL_CONFIG, config)];
        let labels = labels.into_iter().filter_map(|(k, v)| Some((k, v?)));
        let info = ContainerInfo {
            created_at: Timestamp::new(self.wall, 0),
            id: id(number),
            name: format!("box{number}"),
            image: "base".into(),
            labels: labels.collect(),
            running: true,
            ports: Vec::new(),
            status: "running".into(),
            volumes: Pairs::default(),
        };
        self.places.insert(id(number), self.place(folder, config));
        self.containers.push(Arc::new(info));
        Arc::get_mut(self.containers.last_mut().unwrap()).unwrap()
    }

    /// The same for one that an operation has made in `/w`, with its label.
    fn run_by(&mut self, operation: &str, number: u32, config: &str) {
        let labels = [
            (LABEL_FOLDER, "/w"),
            (LABEL_CONFIG, config),
            (LABEL_OPERATION, operation),
        ];
        self.run(number, "/w", Some(config)).labels = labels.into_iter().collect();
    }

    fn remove(&mut self, number: u32) {
        self.containers.retain(|info| info.id != id(number));
    }

    /// A listing, without a scan yet.
    fn list_only(&mut self) {
        let entry_places: Vec<(Key, Resolved)> = self
            .state
            .addresses()
            .into_iter()
            .map(|(key, address)| {
                let config = address.config.as_deref().and_then(Path::to_str);
                (key, self.place(address.folder.to_str().unwrap(), config))
            })
            .collect();
        self.take(entry_places);
    }

    /// The same; dev containers are here.
    fn list_at(&mut self, entry_places: Vec<(Key, Resolved)>) {
        self.take(entry_places);
        self.scan();
    }

    fn take(&mut self, entry_places: Vec<(Key, Resolved)>) {
        let inventory = Inventory {
            listed: Listed {
                containers: self.containers.clone(),
                ids: self.containers.iter().map(|info| info.id.clone()).collect(),
                warnings: Vec::new(),
                unreported: Vec::new(),
                retry_at: None,
            },
            container_places: self.places.clone(),
            entry_places,
        };
        self.now += Duration::from_secs(1);
        self.apply(Fact::Listed(Ok(inventory)));
    }

    /// What every answer is preceded by.
    fn list(&mut self) {
        self.list_only();
        self.scan();
    }

    fn scan(&mut self) {
        let targets = self.state.scan_targets();
        let found = targets.iter().filter_map(|target| {
            let inputs = self.inputs(target.site.as_deref()?);
            let is_new = target.before.as_deref() != Some(&inputs);
            is_new.then(|| Found::Inputs(target.clone(), inputs))
        });
        let found: Vec<Found> = found.collect();
        assert!(
            found.is_empty() || self.takes_whole(found),
            "no other scan comes in between"
        );
    }

    fn apply(&mut self, fact: Fact) -> Applied {
        self.state.apply(fact, self.now)
    }

    fn takes_whole(&mut self, found: Vec<Found>) -> bool {
        self.apply(Fact::Scanned(found)) == Applied::Whole
    }

    /// Returns true if there was something to be saved, which is saved from now on.
    fn take_unsaved(&mut self) -> bool {
        let unsaved = self.state.is_unsaved();
        self.apply(Fact::SaveBegun);
        unsaved
    }

    /// What is on disk now.
    fn inputs(&self, site: &CliPaths) -> Inputs {
        let paths = [site.config.clone(), site.lock_file()];
        let input = |path: &PathBuf| {
            let path_text = path.to_str().unwrap();
            match self.disk.get(path) {
                Some((content, at)) => {
                    Input::found(path_text, *content, Some(Timestamp::new(*at, 0)))
                }
                None => Input::found(path_text, Content::Absent, None),
            }
        };
        let config = self.disk.get(&site.config).map(|(content, _)| *content);
        let named = match config.is_some() && config == self.names_nothing {
            true => &[],
            false => &self.named[..],
        };
        let mut items: Vec<Input> = paths.iter().chain(named).map(input).collect();
        items[0].names_others = true;
        let mut inputs = Inputs::found(site.clone(), items);
        inputs.truncated = self.truncated;
        inputs
    }

    /// Writes a file at the time that it is; nobody looks.
    fn put(&mut self, path: &str, content: &str) {
        self.wall += 1;
        self.disk.insert(path.into(), (text(content), self.wall));
    }

    fn predefine(&mut self, defined: &[Predefined]) -> Vec<String> {
        let with_place = |p: &Predefined| {
            let config = p.config.as_deref().and_then(Path::to_str);
            (p.clone(), self.place(p.folder.to_str().unwrap(), config))
        };
        let defined = defined.iter().map(with_place).collect();
        match self.apply(Fact::Predefined(defined)) {
            Applied::Rejected(errors) => errors,
            _ => Vec::new(),
        }
    }

    fn all(&mut self) -> Vec<Devcontainer> {
        let view = self.state.view();
        let all = view.devcontainers.iter();
        all.map(|one| Devcontainer::clone(one)).collect()
    }

    fn one(&mut self) -> Devcontainer {
        let mut all = self.all();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    fn names(&mut self) -> Vec<String> {
        self.all().into_iter().map(|d| d.name).collect()
    }

    fn write(&mut self, path: &str, content: &str) {
        self.put(path, content);
        self.scan();
    }

    fn delete(&mut self, path: &str) {
        self.disk.remove(Path::new(path));
        self.scan();
    }

    fn changes(&mut self) -> Vec<ChangeKind> {
        let one = self.one();
        assert_eq!(one.dirty, !one.changes.is_empty());
        let container = one.container.as_ref();
        assert_eq!(container.is_some_and(|c| c.devcontainer_dirty), one.dirty);
        one.changes.iter().map(|change| change.change).collect()
    }

    fn begin(&mut self) -> Key {
        let id = self.one().id.to_string();
        let key = self.state.find(&id).unwrap();
        self.wall += 1;
        let id = operation(self.wall);
        self.state.begin(key, OperationKind::Recreate, id).unwrap();
        let inputs = self.inputs(&site());
        self.state.prepare_operation(key, Vec::new(), Some(&inputs));
        key
    }

    fn end(&mut self, key: Key, error: Option<&str>, container: Option<u32>) {
        self.end_with(key, error, container, Settlement::Settled);
    }

    /// Ends an operation of which docker did not say what became of the containers.
    fn end_unsettled(&mut self, key: Key, error: &str) {
        self.end_with(key, Some(error), None, Settlement::Open { made: None });
    }

    fn end_with(
        &mut self,
        key: Key,
        error: Option<&str>,
        container: Option<u32>,
        settlement: Settlement,
    ) {
        self.wall += 1;
        let ended = EndedOperation {
            end: End {
                ending: match error {
                    None => Ending::Succeeded,
                    Some(why) => Ending::Failed(why.to_owned()),
                },
                containers: None,
                finished_at: Timestamp::new(self.wall, 0),
            },
            container: container.map(id),
            settlement,
        };
        let after = self.inputs(&site());
        self.state.end_operation(key, ended, Some(&after), self.now);
    }
}

/// That of most tests.
fn site() -> CliPaths {
    CliPaths {
        folder: "/w".into(),
        config: CONFIG.into(),
    }
}

fn predefined(folder: &str, config: Option<&str>) -> Predefined {
    Predefined {
        config: config.map(PathBuf::from),
        ..Predefined::folder(folder.into())
    }
}

const CONFIG: &str = "/w/.devcontainer/devcontainer.json";

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
    assert!(State::label_address(&world.containers[0]).is_some());
    assert!(State::label_address(&world.containers[2]).is_none());
    assert!(State::label_address(&world.containers[3]).is_none());
    world.list();
    assert_eq!(world.names(), ["v", "w"]);
    let view = world.state.view();
    assert_eq!(view.containers.len(), 4);
    let statuses: Vec<_> = view
        .containers
        .iter()
        .map(|c| c.devcontainer_status)
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
fn taken_names_are_numbered() {
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
    assert_eq!(world.names(), ["root", "app-2", "app-3", "app-4", "app"]);
    world.remove(1);
    world.gone.insert("/b/app".into());
    world.list();
    world.run(4, "/d/app", None);
    world.list();
    assert_eq!(world.names(), ["root", "app-2", "app-4", "app-3", "app"]);
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
    world.places.get_mut(&id(1)).unwrap().refused = Some("outside".into());
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
    assert_eq!(mine.container, detected.container);
    assert_eq!(world.state.owner(&id(1)), world.state.find("mine"));
    world.predefine(&[]);
    assert_eq!(world.names(), ["mine"], "its container is still there");
}

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
    (place.may_be_looked_at, place.refused) = (false, Some("outside".into()));
    world.list();
    let targets = world.state.scan_targets();
    let sites: Vec<_> = targets.iter().flat_map(|target| &target.site).collect();
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
    let address = world.state.address(key).unwrap();
    assert_eq!(address.folder, Path::new("/w/."));
    assert_eq!(address.config.as_deref(), Some(Path::new(CONFIG)));
}
