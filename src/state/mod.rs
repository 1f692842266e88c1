//! What is known, and what follows from it.
//!
//! Everything here is pure: facts come in (a container list, files, the end of an operation, the time), answers go
//! out. Nothing reads a file, a clock or a process, so that every rule can be tested as a plain function and the
//! lock around it is never held for long.

mod changes;
mod events;
mod facts;
mod fleet;
mod interest;
pub mod listing;
mod look;
mod operation;
mod repair;
mod step;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use self::changes::Changes;
use self::fleet::{Entry, Fleet};
use self::listing::Listing;
use self::operation::Operation;
use self::step::Retry;
use crate::baseline::Baseline;
use crate::devcontainer::inputs::Inputs;
use crate::journal::{Journal, Outcome};
use crate::manifest::Predefined;
use crate::model::{ContainerInfo, JobKind};
use crate::places::{Address, Place};
use crate::replace::{Aside, Old, OperationId};
use crate::store::Record;

pub use self::changes::What;
pub use self::facts::Facts;
pub use self::fleet::Key;
pub use self::look::{Found, LookTarget, Unsettled};
pub use self::repair::{Repair, Repaired};
pub use self::step::{Next, Step};
pub use self::view::{Body, View, to_line};

/// Where logs go that no script claims.
const FALLBACK_LOG_SOURCE: Uuid = Uuid::from_u128(0x3b57_9bf4_1ed8_4b99_87a8_e9a1_e341_0410);

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
    /// How fresh the container list is, and what is to be read.
    pub listing: Listing,
    /// Whether there may be an events child.
    follows: bool,
    retry: Retry,
    containers: Vec<Arc<ContainerInfo>>,
    /// Which dev container each container belongs to.
    owners: HashMap<String, Key>,
    /// Of the last listing.
    warnings: Vec<String>,
    fleet: Fleet,
    /// By container id. Set once, and kept as long as there is the container.
    baselines: HashMap<String, Baseline>,
    /// Whether they are other ones than those that were written down last.
    unsaved: bool,
    /// Operations of an earlier run of the daemon, of dev containers that are not known yet.
    recovered: Vec<Record>,
    watcher_warning: Option<String>,
    closing: bool,
    /// The last one that somebody asked for.
    view: Option<Arc<View>>,
    /// Whether something has changed since.
    is_view_old: bool,
    changes: Changes,
    targets: Option<Arc<[LookTarget]>>,
}

/// What a state is told when it begins.
pub struct Settings {
    /// How old a container list may be that no events keep true.
    pub cache_for: Duration,
    /// Whether events may be followed.
    pub follows: bool,
    /// Greater than every revision of an earlier run.
    pub revision: u64,
}

/// What somebody is told who follows changes.
pub enum News {
    /// Everything: what changed since is not known any more, or there is nothing that it could have changed from.
    Snapshot(Arc<View>),
    /// What has changed, with the revision of each, and the revision that is now.
    Changes(Vec<(u64, What)>, u64),
}

impl State {
    /// Knows nothing yet.
    pub fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            listing: Listing::new(settings.cache_for, now),
            follows: settings.follows,
            retry: Retry::default(),
            containers: Vec::new(),
            owners: HashMap::new(),
            warnings: Vec::new(),
            fleet: Fleet::default(),
            baselines: HashMap::new(),
            unsaved: false,
            recovered: Vec::new(),
            watcher_warning: None,
            closing: false,
            view: None,
            is_view_old: false,
            changes: Changes::new(settings.revision),
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

    /// Everything as the answers show it.
    pub fn view(&mut self) -> Arc<View> {
        let last = self.view.as_ref();
        if let Some(view) = last.filter(|_| !self.is_view_old) {
            return view.clone();
        }
        let mut new = self.build_view();
        let same = last.filter(|last| last.shows_the_same(&new)).cloned();
        let view = same.unwrap_or_else(|| {
            new.revision = self.changes.note(self.view.as_deref(), &new);
            Arc::new(new)
        });
        self.is_view_old = false;
        self.view = Some(view.clone());
        view
    }

    /// What has changed since a revision; everything, where there is none.
    pub fn news(&mut self, since: Option<u64>) -> News {
        let view = self.view();
        match since.and_then(|since| self.changes.since(since)) {
            Some(changes) => News::Changes(changes, view.revision),
            None => News::Snapshot(view),
        }
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
            made_from: None,
            named: None,
            containers_before: self.containers.iter().map(|info| info.id.clone()).collect(),
        });
        self.changed();
        Ok(journal)
    }

    /// The inputs of a running operation, as they are before the CLI starts.
    pub fn set_operation_inputs(&mut self, key: Key, inputs: &Inputs) {
        if let Some(operation) = self.fleet.get_mut(key).and_then(|e| e.operation.as_mut()) {
            operation.made_from = Some(Baseline::exact(inputs));
        }
    }

    /// The same after `initializeCommand`, which may have written what the CLI builds from. The configuration has been
    /// read before; where it says something else now, nothing tells what the CLI goes on with.
    pub fn set_initialized_inputs(&mut self, key: Key, inputs: &Inputs) {
        if let Some(operation) = self.fleet.get_mut(key).and_then(|e| e.operation.as_mut())
            && let Some(before) = &operation.made_from
        {
            let now = Baseline::exact(inputs);
            if before.has_config_of(&now) {
                operation.made_from = Some(now);
                self.unsaved = true;
                self.changed();
            }
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

    /// An operation has ended, and `container` is what it made; the CLI left its lock file as it is in `after`. Lists
    /// from before the end are out of date.
    pub fn end(
        &mut self,
        key: Key,
        outcome: Outcome,
        container: Option<&str>,
        after: Option<&Inputs>,
    ) {
        self.listing
            .invalidate(outcome.ended, self.containers_of(key));
        if let Some(entry) = self.fleet.get_mut(key)
            && let Some(operation) = &mut entry.operation
        {
            if let (Some(made_from), Some(after)) = (&operation.made_from, after) {
                operation.made_from = Some(made_from.with_lock_of(after));
            }
            operation.named = container.map(str::to_owned);
            let listed = entry.container.iter().chain(&entry.others);
            let made = listed.filter_map(|info| Some((info.id.clone(), operation.made(info)?)));
            self.baselines
                .extend(made.map(|(id, made_from)| (id, made_from.clone())));
            operation.outcome = Some(outcome);
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

    /// Whether there is something new to be written down.
    pub fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    /// The same, which is written down from now on.
    pub fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    fn changed(&mut self) {
        self.is_view_old = true;
        self.targets = None;
    }
}
