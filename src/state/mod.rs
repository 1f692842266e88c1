//! What is known, and what follows from it.
//!
//! Everything here is pure: facts come in (a container list, files, the end of an operation, the time), answers go
//! out. Nothing reads a file, a clock or a process, so that every rule can be tested as a plain function and the
//! lock around it is never held for long.

mod dirty;
mod fleet;
pub mod listing;
mod operation;
mod repair;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use self::dirty::Baseline;
use self::fleet::{Entry, Fleet, Labelled};
use self::listing::Listing;
use self::operation::Operation;
use crate::devcontainer::inputs::Inputs;
use crate::docker::{LABEL_CONFIG, LABEL_FOLDER, LABEL_TEST_RUN, Listed};
use crate::journal::{Journal, Outcome};
use crate::manifest::Predefined;
use crate::model::{ContainerInfo, JobKind};
use crate::places::{Place, Source};
use crate::replace::{Aside, Old, OperationId};
use crate::store::Record;

pub use self::fleet::Key;
pub use self::repair::{Repair, Repaired};
pub use self::view::{View, to_line};

/// Where logs go that no script claims.
const FALLBACK_LOG_SOURCE: Uuid = Uuid::from_u128(0x3b57_9bf4_1ed8_4b99_87a8_e9a1_e341_0410);

/// Where the labels of a container, or an entry, point: what has to be resolved on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As it was written.
    pub folder: PathBuf,
    /// As it was written; `None` lets the search order find it.
    pub config: Option<PathBuf>,
    /// Who wrote it.
    pub source: Source,
}

/// A container list and everything on disk that belongs to it.
pub struct Facts {
    /// What docker says.
    pub listed: Listed,
    /// The places of containers with the labels of a dev container, by container id.
    pub container_places: HashMap<String, Place>,
    /// The places of the dev containers that were known.
    pub entry_places: Vec<(Key, Place)>,
    /// Inputs of configurations that were not known yet, by canonical path.
    pub inputs: Vec<(PathBuf, Inputs)>,
}

/// A configuration to look at, and what it was when it was last looked at.
#[derive(Clone)]
pub struct LookTarget {
    /// Its canonical path.
    pub config: PathBuf,
    /// `None`: never.
    pub before: Option<Arc<Inputs>>,
}

/// Why an operation did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such dev container any more.
    Gone,
    /// Another one is running for it (P14).
    InProgress,
    /// Another daemon is at work in its folder.
    Elsewhere,
    /// What an earlier one left is being put right, which does not take long.
    Repairing,
    /// The daemon is about to stop.
    Closing,
}

/// Which container is meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Selected {
    /// This one.
    One(Arc<ContainerInfo>),
    /// No container has this id, name or prefix.
    None,
    /// The prefix fits several.
    Ambiguous,
}

/// The whole state of the daemon.
pub struct State {
    /// How fresh the container list is.
    pub listing: Listing,
    containers: Vec<Arc<ContainerInfo>>,
    /// Which dev container each container belongs to.
    owners: HashMap<String, Key>,
    /// Of the last listing.
    warnings: Vec<String>,
    fleet: Fleet,
    /// By canonical config path.
    inputs: HashMap<PathBuf, Arc<Inputs>>,
    /// By container id.
    baselines: HashMap<String, Baseline>,
    /// Operations of an earlier run of the daemon, of dev containers that are not known yet.
    recovered: Vec<Record>,
    watcher_warning: Option<String>,
    closing: bool,
    /// Made when somebody asks, dropped when something changes.
    view: Option<Arc<View>>,
    targets: Option<Arc<[LookTarget]>>,
}

impl State {
    /// Knows nothing yet. A container list may be `cache_for` old when somebody asks for it.
    pub fn new(cache_for: Duration) -> Self {
        Self {
            listing: Listing::new(cache_for),
            containers: Vec::new(),
            owners: HashMap::new(),
            warnings: Vec::new(),
            fleet: Fleet::default(),
            inputs: HashMap::new(),
            baselines: HashMap::new(),
            recovered: Vec::new(),
            watcher_warning: None,
            closing: false,
            view: None,
            targets: None,
        }
    }

    /// Takes these as the predefined dev containers, in place of those before. Returns what is wrong with them.
    pub fn predefine(&mut self, defined: Vec<(Predefined, Place)>) -> Vec<String> {
        let errors = self.fleet.predefine(defined);
        self.attach_recovered();
        let fleet = &self.fleet;
        self.owners.retain(|_, key| fleet.get(*key).is_some());
        self.changed();
        errors
    }

    /// Takes a listing that ended at `now`. Returns whether it tells how things are: one from before the end of an
    /// operation does not, and is made again.
    pub fn finish_listing(&mut self, result: Result<Facts, String>, now: Instant) -> bool {
        let is_outdated = self.listing.is_outdated();
        if result.is_ok() && is_outdated && self.listing.again() {
            return false;
        }
        let result = result.map(|facts| self.take_facts(facts));
        let is_good = result.is_ok() && !is_outdated;
        self.listing.end(result, now);
        is_good
    }

    fn take_facts(&mut self, facts: Facts) {
        for (key, place) in facts.entry_places {
            if let Some(entry) = self.fleet.get_mut(key) {
                entry.place = place;
            }
        }
        let listed: HashSet<&str> = facts
            .listed
            .containers
            .iter()
            .map(|c| c.id.as_str())
            .collect();
        for before in &self.containers {
            if !listed.contains(before.id.as_str()) {
                self.baselines.remove(&before.id);
            }
        }
        self.containers = facts.listed.containers;
        self.warnings = facts.listed.warnings;
        for (config, inputs) in facts.inputs {
            self.inputs
                .entry(config)
                .or_insert_with(|| Arc::new(inputs));
        }
        self.assign(&facts.container_places);
        self.attach_recovered();
        // What no dev container has claimed by now belongs to one that is gone.
        self.recovered.clear();
        self.fleet.drop_gone();
        let wanted: HashSet<PathBuf> = self.configs().map(Path::to_path_buf).collect();
        self.inputs.retain(|config, _| wanted.contains(config));
        self.set_baselines();
        self.changed();
    }

    /// Finds the dev container of each container, and the container of each dev container.
    fn assign(&mut self, places: &HashMap<String, Place>) {
        let mut labelled: Vec<Labelled<'_>> = self
            .containers
            .iter()
            .filter_map(|info| {
                let place = places.get(&info.id)?;
                Labelled::of(info, place)
            })
            .collect();
        // Whatever docker's order is, names are given in this one.
        labelled.sort_by(|a, b| {
            (a.folder, a.config, &a.info.id).cmp(&(b.folder, b.config, &b.info.id))
        });
        self.owners.clear();
        let mut members: HashMap<Key, Vec<Arc<ContainerInfo>>> = HashMap::new();
        for container in &labelled {
            let key = self.fleet.adopt(container);
            self.owners.insert(container.info.id.clone(), key);
            members.entry(key).or_default().push(container.info.clone());
        }
        for entry in &mut self.fleet.entries {
            let mut members = members.remove(&entry.key).unwrap_or_default();
            fleet::sort_by_precedence(&mut members);
            let mut members = members.into_iter();
            entry.container = members.next();
            entry.others = members.collect();
        }
    }

    /// Takes what was found on disk in place of what each target says was known. Containers that were waiting for it
    /// get their baselines. Returns whether all of it was taken: somebody else may have looked in between, and may
    /// have seen something newer.
    pub fn apply_inputs(&mut self, found: Vec<(LookTarget, Inputs)>) -> bool {
        let mut taken_all = true;
        for (target, inputs) in found {
            let known = self.inputs.get(&target.config).map(Arc::as_ptr);
            if known == target.before.as_ref().map(Arc::as_ptr) {
                self.inputs.insert(target.config, Arc::new(inputs));
            } else {
                taken_all = false;
            }
        }
        self.set_baselines();
        self.changed();
        taken_all
    }

    fn set_baselines(&mut self) {
        for info in &self.containers {
            if self.baselines.contains_key(&info.id) {
                continue;
            }
            let owner = self
                .owners
                .get(&info.id)
                .and_then(|key| self.fleet.get(*key));
            let Some((entry, inputs)) = owner.and_then(|e| Some((e, self.inputs_of(e)?))) else {
                continue;
            };
            let running = entry.operation.as_ref().filter(|o| o.is_running());
            let baseline = match running.and_then(|operation| operation.inputs_of(&info.id)) {
                Some(before) => Baseline::exact(before),
                None => Baseline::at_first_sight(inputs, info.created_at),
            };
            self.baselines.insert(info.id.clone(), baseline);
        }
    }

    /// The places to resolve for the next listing: those of the dev containers that are known.
    pub fn addresses(&self) -> Vec<(Key, Address)> {
        let address = |entry: &Entry| {
            let address = Address {
                folder: entry.folder.clone(),
                config: entry.config.clone(),
                source: entry.source(),
            };
            (entry.key, address)
        };
        self.fleet.entries.iter().map(address).collect()
    }

    /// Where the labels of a container point, if it is a dev container.
    pub fn label_address(info: &ContainerInfo) -> Option<Address> {
        if info.labels.get(LABEL_TEST_RUN) == Some("true") {
            return None;
        }
        Some(Address {
            folder: info.labels.get(LABEL_FOLDER)?.into(),
            config: label_config(info).map(PathBuf::from),
            source: Source::Label,
        })
    }

    /// The configurations to look at.
    pub fn look_targets(&mut self) -> Arc<[LookTarget]> {
        if let Some(targets) = &self.targets {
            return targets.clone();
        }
        let mut configs: Vec<&Path> = self.configs().collect();
        configs.sort();
        configs.dedup();
        let target = |config: &Path| LookTarget {
            config: config.to_path_buf(),
            before: self.inputs.get(config).cloned(),
        };
        let targets: Arc<[LookTarget]> = configs.into_iter().map(target).collect();
        self.targets = Some(targets.clone());
        targets
    }

    fn configs(&self) -> impl Iterator<Item = &Path> {
        let allowed = self
            .fleet
            .entries
            .iter()
            .filter(|e| e.place.refused.is_none());
        allowed.filter_map(|entry| entry.place.canonical_config.as_deref())
    }

    fn inputs_of(&self, entry: &Entry) -> Option<&Inputs> {
        let config = entry.place.canonical_config.as_deref()?;
        self.inputs.get(config).map(Arc::as_ref)
    }

    /// Everything as the answers show it.
    pub fn view(&mut self) -> Arc<View> {
        if let Some(view) = &self.view {
            return view.clone();
        }
        let view = Arc::new(self.build_view());
        self.view = Some(view.clone());
        view
    }

    /// The container with this id or name, or with an id that begins with these 12 or more characters.
    pub fn select(&self, id_or_name: &str) -> Selected {
        let exact = self.containers.iter().find(|info| info.id == id_or_name);
        let named = || self.containers.iter().find(|info| info.name == id_or_name);
        let set_aside = || {
            let is_it = |info: &&Arc<ContainerInfo>| {
                Aside::parse(&info.name).is_some_and(|aside| aside.name == id_or_name)
            };
            self.containers.iter().find(is_it)
        };
        if let Some(info) = exact.or_else(named).or_else(set_aside) {
            return Selected::One(info.clone());
        }
        let mut fitting = self
            .containers
            .iter()
            .filter(|info| id_or_name.len() >= 12 && info.id.starts_with(id_or_name));
        match (fitting.next(), fitting.next()) {
            (Some(info), None) => Selected::One(info.clone()),
            (None, _) => Selected::None,
            (Some(_), Some(_)) => Selected::Ambiguous,
        }
    }

    /// The dev container that a container belongs to.
    pub fn owner(&self, container: &str) -> Option<Key> {
        self.owners.get(container).copied()
    }

    /// The dev container with this id or name.
    pub fn find(&self, id_or_name: &str) -> Option<Key> {
        self.fleet.find(id_or_name).map(|entry| entry.key)
    }

    /// The id of a dev container.
    pub fn id(&self, key: Key) -> Option<Uuid> {
        self.fleet.get(key).map(|entry| entry.id)
    }

    /// Folder and config to hand to the CLI: as the labels of the container have them, so that the CLI finds it.
    pub fn address(&self, key: Key) -> Option<Address> {
        let entry = self.fleet.get(key)?;
        let container = entry.container.as_deref();
        let labels = container.and_then(Self::label_address);
        let labels = labels.unwrap_or_else(|| Address {
            folder: entry.folder.clone(),
            config: None,
            source: entry.source(),
        });
        Some(Address {
            config: labels.config.or(entry.place.config.clone()),
            folder: labels.folder,
            source: entry.source(),
        })
    }

    /// The log of the running or last operation of a dev container.
    pub fn journal(&self, key: Key) -> Option<Arc<Journal>> {
        let operation = self.fleet.get(key)?.operation.as_ref()?;
        Some(operation.journal.clone())
    }

    /// Begins an operation, unless another one is running for the same dev container. Returns where its log goes.
    pub fn begin(
        &mut self,
        key: Key,
        kind: JobKind,
        id: OperationId,
    ) -> Result<Arc<Journal>, Refusal> {
        if self.closing {
            return Err(Refusal::Closing);
        }
        let entry = self.fleet.get_mut(key).ok_or(Refusal::Gone)?;
        if entry.repairing {
            return Err(Refusal::Repairing);
        }
        if entry.is_operating() {
            return Err(Refusal::InProgress);
        }
        let journal = Arc::new(Journal::new(entry.log_source()));
        // What it left is not forgotten because another one begins.
        let left = entry
            .repair()
            .filter(|_| entry.operation.as_ref().is_some_and(|o| o.unsettled));
        entry.leftover = left.or(entry.leftover.take());
        entry.operation = Some(Operation {
            started_at: id.began_at(),
            id,
            kind,
            outcome: None,
            journal: journal.clone(),
            olds: Vec::new(),
            unsettled: false,
            made: None,
            is_of_earlier_run: false,
            inputs_before: None,
            containers_before: self.containers.iter().map(|info| info.id.clone()).collect(),
        });
        self.changed();
        Ok(journal)
    }

    /// The inputs of a running operation, as they are before the CLI starts.
    pub fn set_operation_inputs(&mut self, key: Key, inputs: Inputs) {
        if let Some(operation) = self.fleet.get_mut(key).and_then(|e| e.operation.as_mut()) {
            operation.inputs_before = Some(Arc::new(inputs));
        }
    }

    /// The containers that a running operation is to replace.
    pub fn set_olds(&mut self, key: Key, olds: Vec<Old>) {
        if let Some(operation) = self.fleet.get_mut(key).and_then(|e| e.operation.as_mut()) {
            operation.olds = olds;
        }
    }

    /// The ids of all containers of a dev container.
    pub fn containers_of(&self, key: Key) -> Vec<String> {
        let entry = self.fleet.get(key);
        let containers = entry.into_iter().flat_map(Entry::containers);
        containers.map(|info| info.id.clone()).collect()
    }

    /// A detected dev container whose containers were removed. It is there again when somebody makes one.
    pub fn forget(&mut self, key: Key) {
        let entries = &mut self.fleet.entries;
        entries.retain(|entry| entry.key != key || entry.predefined.is_some());
        self.owners.retain(|_, owner| *owner != key);
        self.changed();
    }

    /// An operation has ended, and `container` is what it made. Lists from before its end are out of date.
    pub fn end(&mut self, key: Key, outcome: Outcome, container: Option<&str>) {
        self.listing.invalidate(outcome.ended);
        if let Some(operation) = self.fleet.get_mut(key).and_then(|e| e.operation.as_mut()) {
            let made = container.and_then(|id| Some((id, operation.inputs_of(id)?)));
            if let Some((id, inputs)) = made {
                self.baselines
                    .insert(id.to_owned(), Baseline::exact(inputs));
            }
            operation.outcome = Some(outcome);
            operation.inputs_before = None;
            operation.containers_before = HashSet::new();
        }
        self.changed();
    }

    /// The logs of all running operations.
    pub fn running(&self) -> Vec<Arc<Journal>> {
        let operations = self
            .fleet
            .entries
            .iter()
            .filter_map(|e| e.operation.as_ref());
        operations
            .filter(|operation| operation.is_running())
            .map(|operation| operation.journal.clone())
            .collect()
    }

    /// Nothing new begins from now on.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Whether the daemon is about to stop.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Why files cannot be watched, where they cannot.
    pub fn set_watcher_warning(&mut self, warning: Option<String>) {
        if self.watcher_warning != warning {
            self.watcher_warning = warning;
            self.changed();
        }
    }

    /// The last of [`State::set_watcher_warning`].
    pub fn watcher_warning(&self) -> Option<&str> {
        self.watcher_warning.as_deref()
    }

    fn changed(&mut self) {
        self.view = None;
        self.targets = None;
    }
}

impl<'a> Labelled<'a> {
    fn of(info: &'a Arc<ContainerInfo>, place: &'a Place) -> Option<Self> {
        Some(Self {
            info,
            folder: info.labels.get(LABEL_FOLDER)?,
            config: label_config(info),
            place,
        })
    }
}

fn label_config(info: &ContainerInfo) -> Option<&str> {
    info.labels
        .get(LABEL_CONFIG)
        .filter(|config| !config.is_empty())
}
