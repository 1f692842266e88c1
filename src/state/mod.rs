//! What is known, and what follows from it.
//!
//! Everything here is pure: facts come in (a container list, files, the end of an operation, the time), answers go
//! out. Nothing reads a file, a clock or a process, so that every rule can be tested as a plain function and the
//! lock around it is never held for long.

pub mod baseline;
mod demand;
mod devcontainers;
pub mod freshness;
mod history;
mod ingest;
mod operation;
pub mod persisted;
mod repair;
mod scan;
mod step;
mod subscription;
#[cfg(test)]
mod tests;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use self::baseline::Baseline;
use self::devcontainers::Fleet;
use self::freshness::Listing;
use self::history::Changes;
use self::persisted::Record;
use self::step::Retry;
use crate::model::container::ContainerInfo;
use crate::model::location::{Declared, Predefined, Resolved};
use crate::model::original::ParkedName;

pub use self::history::Change;
pub use self::ingest::Inventory;
pub use self::operation::Refusal;
pub use self::scan::{Found, ScanTarget, Unsettled};
pub use self::step::{Next, Step};
pub use self::view::View;
pub use crate::model::ids::Key;

/// Where logs go that no script claims.
const FALLBACK_LOG_SOURCE: Uuid = Uuid::from_u128(0x3b57_9bf4_1ed8_4b99_87a8_e9a1_e341_0410);

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
    targets: Option<Arc<[ScanTarget]>>,
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
pub enum Update {
    /// Everything: what changed since is not known any more, or there is nothing that it could have changed from.
    Snapshot(Arc<View>),
    /// What has changed, with the revision of each, and the revision that is now.
    Changes(Vec<(u64, Change)>, u64),
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
    pub fn predefine(&mut self, defined: Vec<(Predefined, Resolved)>) -> Vec<String> {
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
    pub fn news(&mut self, since: Option<u64>) -> Update {
        let view = self.view();
        match since.and_then(|since| self.changes.since(since)) {
            Some(changes) => Update::Changes(changes, view.revision),
            None => Update::Snapshot(view),
        }
    }

    /// The container with this id or name, or with an id that begins with these 12 or more characters.
    pub fn select(&self, id_or_name: &str) -> Selected {
        let exact = self.containers.iter().find(|info| info.id == id_or_name);
        let named = || self.containers.iter().find(|info| info.name == id_or_name);
        let set_aside = || {
            let is_it = |info: &&Arc<ContainerInfo>| {
                ParkedName::parse(&info.name).is_some_and(|aside| aside.name == id_or_name)
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
    pub fn address(&self, key: Key) -> Option<Declared> {
        let entry = self.fleet.get(key)?;
        let container = entry.container.as_deref();
        let labels = container.and_then(Self::label_address);
        let labels = labels.unwrap_or_else(|| Declared {
            folder: entry.folder.clone(),
            config: None,
            source: entry.source(),
        });
        Some(Declared {
            config: labels.config.or(entry.place.config.clone()),
            folder: labels.folder,
            source: entry.source(),
        })
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
