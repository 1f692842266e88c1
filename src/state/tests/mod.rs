//! Tests of the rules, as plain functions. The world that most of them share is here.

mod baselines;
mod changes;
mod devcontainers;
mod dirty;
mod freshness;
mod kept;
mod life;
mod links;
mod model;
mod names;
mod operations;
mod queue;
mod registration;
mod repair;
mod simulation;
mod steps;
mod takeover;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::claims::LabelledProject;
use super::fact::ScanTarget;
use super::refusal::Work;
use super::*;
use crate::base::time::Timestamp;
use crate::devcontainer::fingerprint::fingerprint_bytes;
use crate::model::api::{ChangeKind, Devcontainer, Status};
use crate::model::container::{Pairs, RunState};
use crate::model::ids::OperationId;
use crate::model::inputs::{Content, Extent, Input, Inputs};
use crate::model::labels::{
    LABEL_COMPOSE_PROJECT, LABEL_COMPOSE_WORKING_DIR, LABEL_CONFIG, LABEL_FOLDER, LABEL_OPERATION,
    LABEL_TEST_RUN,
};
use crate::model::listing::Listed;
use crate::model::location::{Access, CliPaths, Predefined, Resolved, Why};
use crate::model::operation::{
    End, EndedOperation, Ending, OperationKind, OperationState, Settlement,
};
use crate::model::phase::Phase;
use crate::model::project::Project;
use crate::model::setup::Setup;
use crate::model::unchecked::Unchecked;

/// A state, a clock, and the containers and places that the next listing will show.
struct World {
    state: State,
    now: Instant,
    wall: i64,
    containers: Vec<Arc<ContainerInfo>>,
    places: HashMap<String, Resolved>,
    gone: HashSet<PathBuf>,
    /// The places that the last listing has found.
    last_places: Option<Places>,
    /// True if what `/link` leads to is not mounted.
    is_unmounted: bool,
    /// The ids of the last listing.
    ids: Arc<HashSet<String>>,
    /// True if a listing reads about containers alone, as after an event: the ids are those of the last one.
    keeps_ids: bool,
    /// The content of all files, and when it was written.
    disk: HashMap<PathBuf, (Content, i64)>,
    /// The files that every configuration names.
    named: Vec<PathBuf>,
    /// The content of a configuration that names no files.
    names_nothing: Option<Content>,
    /// True if there are more inputs than are compared.
    truncated: bool,
    unchecked: Unchecked,
}

fn new_state() -> State {
    let settings = Settings {
        cache_for: Duration::from_secs(10),
        allows_events: true,
        wsl_distribution: Some("Ubuntu".into()),
        max_operations: 2,
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
        last_places: None,
        is_unmounted: false,
        ids: Arc::default(),
        keeps_ids: false,
        disk: HashMap::new(),
        named: Vec::new(),
        names_nothing: None,
        truncated: false,
        unchecked: Unchecked::default(),
    }
}

/// The id of an operation that begins at this second.
fn operation(seconds: i64) -> OperationId {
    let since = Duration::from_secs(seconds.unsigned_abs());
    OperationId::new(std::time::UNIX_EPOCH + since)
}

fn config_outside() -> Access {
    Access::StopOnly(Why::ConfigOutside {
        config: "/etc/shadow".into(),
        folder: "/w".into(),
    })
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
        let target = if self.is_unmounted { "/link" } else { "/w" };
        let canonical = |path: &str| PathBuf::from(path.replace("/link", target));
        let folder = canonical(folder);
        Resolved {
            folder_exists: !self.gone.contains(&folder) && !folder.starts_with("/link"),
            directory: None,
            folder,
            config: config.map(PathBuf::from),
            canonical_config: config.map(canonical),
            access: Access::Full,
            may_be_scanned: true,
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
            run_state: RunState::Running,
            error: None,
            health: None,
            mounts: Default::default(),
            setup: Setup::default(),
            foreign_labels: Box::default(),
        };
        self.places.insert(id(number), self.place(folder, config));
        self.containers.push(Arc::new(info));
        Arc::get_mut(self.containers.last_mut().unwrap()).unwrap()
    }

    /// Adds a container that an operation has made in `/w`, with its label.
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

    /// A listing with these places of dev containers, and a scan.
    fn list_at(&mut self, entry_places: Vec<(Key, Resolved)>) {
        self.take(entry_places);
        self.scan();
    }

    /// Returns whether a listing now would leave all containers with their dev containers.
    fn keeps_members(&self) -> bool {
        let listed = self.containers.iter().cloned().collect();
        self.state.keeps_members(&listed)
    }

    fn take(&mut self, entry_places: Vec<(Key, Resolved)>) {
        let places = Places {
            of_containers: self.places.clone(),
            of_entries: EntryPlaces::Found(
                entry_places
                    .into_iter()
                    .map(|(key, place)| (key, Some(place)))
                    .collect(),
            ),
            gone_folders: self.gone.clone(),
        };
        // Where nothing has moved, the state takes the listing without the places, as after an event.
        let has_moved = self.last_places.as_ref() != Some(&places);
        let needs_places = has_moved || !self.keeps_members();
        self.last_places = Some(places.clone());
        if !self.keeps_ids {
            self.ids = Arc::new(self.containers.iter().map(|info| info.id.clone()).collect());
        }
        let inventory = Inventory {
            listed: Listed {
                containers: self.containers.iter().cloned().collect(),
                ids: self.ids.clone(),
                warnings: Vec::new(),
                unreported: Vec::new(),
                retry_at: None,
            },
            places: needs_places.then_some(places),
            moves: self.state.moves(),
            at: Timestamp::new(self.wall, 0),
        };
        self.now += Duration::from_secs(1);
        self.apply(Fact::Listed(Ok(inventory)));
    }

    /// A listing and a scan, as they precede every answer.
    fn list(&mut self) {
        self.list_only();
        self.scan();
    }

    fn scan(&mut self) {
        let targets = self.state.scan_targets();
        let found = self.found(&targets);
        assert!(
            found.is_empty() || self.takes_whole(found),
            "no other scan comes in between"
        );
    }

    fn found(&self, targets: &[Arc<ScanTarget>]) -> Vec<Found> {
        let found = targets.iter().filter_map(|target| {
            let inputs = self.inputs(target.paths.as_deref()?);
            let is_new = target.before.as_deref() != Some(&inputs);
            is_new.then(|| Found::Inputs(target.clone(), inputs))
        });
        found.collect()
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

    /// Returns the inputs as they are on disk now.
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
        let mut items = paths.iter().chain(named).map(input);
        let config = items.next().unwrap().naming_others();
        let extent = Extent {
            is_truncated: self.truncated,
            unchecked: self.unchecked.clone(),
            reads_large: true,
        };
        let paths = Arc::new(site.clone());
        Inputs::new(paths, config, items.collect(), Arc::new([]), extent)
    }

    /// Writes a file now, without a scan.
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
        self.all().into_iter().map(|d| d.name.to_string()).collect()
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
        self.begin_kind(OperationKind::Recreate)
    }

    fn begin_kind(&mut self, kind: OperationKind) -> Key {
        let id = self.one().id.to_string();
        let key = self.state.find(&id).unwrap();
        self.wall += 1;
        let id = operation(self.wall);
        self.state.begin(key, kind, id, Vec::new()).unwrap();
        let inputs = self.inputs(&site());
        self.state.prepare_operation(key, Vec::new(), Some(&inputs));
        key
    }

    fn end(&mut self, key: Key, error: Option<&str>, container: Option<u32>) {
        self.end_with(key, error, container, Settlement::Settled);
    }

    /// Ends an operation. Docker did not say what became of its containers.
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

/// The paths of the dev container in most tests.
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
