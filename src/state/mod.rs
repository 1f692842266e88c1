//! The state of the daemon, and the rules that follow from it.
//!
//! Data flows one way: adapters make a [`Fact`], [`State::apply`] takes it, [`State::step`] says what to do next, and
//! that makes the next fact. Everything here is pure. Nothing reads a file, a clock or a process, so that every rule
//! can be tested as a plain function and the lock around the state is never held for long.

pub mod baseline;
mod claims;
mod demand;
mod devcontainers;
mod differing;
mod entries;
mod entry;
mod fact;
mod freshness;
mod history;
mod ingest;
mod kept;
mod links;
mod names;
mod operation;
mod operations;
pub mod persisted;
mod queue;
mod refusal;
mod registration;
mod remote;
mod repair;
mod scan;
mod scrape;
mod step;
mod subscription;
mod takeover;
mod target;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use uuid::Uuid;

use self::baseline::Baseline;
use self::devcontainers::Fleet;
use self::freshness::Listing;
use self::history::History;
use self::persisted::{Record, Requested};
use self::step::Retry;
use crate::base::time::Timestamp;
use crate::model::api::{Container, Devcontainer};
use crate::model::container::ContainerInfo;
use crate::model::labels::LABEL_FOLDER;
use crate::model::listing::Containers;
use crate::model::original::ParkedName;
use crate::model::up_arg::UpArg;

pub use self::claims::LabelledProject;
pub use self::fact::{Applied, EntryPlaces, Fact, Found, Inventory, Places, ScanTarget, Unlocated};
pub use self::freshness::{Freshness, Need};
pub use self::history::Change;
pub use self::queue::Ahead;
pub use self::refusal::Refusal;
pub use self::registration::{Added, KeptListed};
pub use self::scrape::Scraped;
pub use self::step::{Next, Step};
pub use self::target::{KnownPlace, Target};
pub use self::view::View;
pub use crate::model::ids::Key;

/// The result of a search for a container.
#[derive(Debug, PartialEq, Eq)]
pub enum Selected {
    /// Exactly one container fits.
    One(Arc<ContainerInfo>),
    /// No container has this id, name or prefix.
    None,
    /// Several ids begin with the prefix.
    Ambiguous,
}

/// The whole state of the daemon.
///
/// The view and the scan targets are made when they are asked for, and kept, as is their part of each dev container: a
/// burst of facts must not make one each, and one change among 1,000 dev containers must not make 1,000 parts. So their
/// getters take `&mut self`, though no fact changes by them.
pub struct State {
    /// How fresh the container list is, and what is to be read.
    listing: Listing,
    /// True if events may be followed.
    allows_events: bool,
    /// The WSL distribution that the daemon runs in.
    wsl_distribution: Option<String>,
    retry: Retry,
    /// True if a listing has ended that shows what is to be repaired.
    repair_due: bool,
    containers: Containers,
    /// Those of which the last view was made.
    shown: Containers,
    /// The dev container that each container belongs to, by container id.
    owners: HashMap<String, Key>,
    /// The containers of dev containers whose labels may not be followed.
    refused: HashSet<String>,
    /// True if dev containers have come, gone or moved since containers were last assigned to them.
    is_unassigned: bool,
    /// How often a dev container has moved, was defined otherwise or was forgotten.
    moves: u64,
    /// The ids of the containers that docker lists, and about which it has not answered yet.
    unread: Vec<String>,
    /// The ids of the last listing; its address tells whether those of another one are the same.
    listed: Weak<HashSet<String>>,
    /// True if the last listing has shown containers that an operation may have left of a compose project.
    has_left_services: bool,
    /// Those of the last listing.
    warnings: Vec<String>,
    fleet: Fleet,
    /// The number of operations that may run the devcontainer CLI at once.
    max_operations: usize,
    /// The number of operations that have been queued.
    queued_so_far: u64,
    /// By container id. Set once, and kept as long as the container exists, and for a while after.
    baselines: HashMap<String, Baseline>,
    /// The containers whose baselines are those of operations of this run.
    made_here: HashSet<String>,
    /// The dev containers that clients have asked for, and then asked to forget, in this run.
    forgotten: Vec<Requested>,
    /// The containers with a baseline that the last listing did not show, and since when.
    missing: HashMap<String, Timestamp>,
    /// True if something that outlives a restart has changed since it was last saved.
    unsaved: bool,
    /// Operations whose dev containers are not known: not yet, since the daemon was started, or not any more.
    recovered: Vec<Record>,
    watcher_warning: Option<String>,
    /// Those of the last search below the directories of `--discover`.
    discovery_warnings: Vec<String>,
    life: Life,
    /// The last view that was asked for.
    view: Option<Arc<View>>,
    /// True if something has changed since then.
    is_view_old: bool,
    history: History,
    /// The last scan targets that were asked for.
    targets: Option<Arc<[Arc<ScanTarget>]>>,
    /// True if something has changed since then.
    are_targets_old: bool,
}

/// The part of its life that the daemon is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Serving,
    Draining,
    Closing,
}

/// How much there is of what the daemon knows and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The containers that docker lists.
    pub containers: usize,
    /// The dev containers.
    pub devcontainers: usize,
    /// The operations that run.
    pub running: usize,
    /// The operations that wait for their turn.
    pub queued: usize,
    /// True once the daemon is about to stop.
    pub is_draining: bool,
}

/// The settings of a state.
pub struct Settings {
    /// The maximum age of a container list that no events keep true.
    pub cache_for: Duration,
    /// True if events may be followed.
    pub allows_events: bool,
    /// The WSL distribution that the daemon runs in, if it runs in one.
    pub wsl_distribution: Option<String>,
    /// The number of operations that may run the devcontainer CLI at once, at least 1.
    pub max_operations: usize,
    /// A number greater than every revision of an earlier run.
    pub revision: u64,
}

/// The news for a client that follows changes.
pub enum Update {
    /// Everything. The changes since its revision are not known, or it has none.
    Snapshot(Arc<View>),
    /// The changes, each with its revision, and the current revision.
    Changes(Vec<(u64, Change)>, u64),
}

impl State {
    /// Returns the state of a daemon that has learned nothing yet.
    pub fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            listing: Listing::new(settings.cache_for, now),
            allows_events: settings.allows_events,
            wsl_distribution: settings.wsl_distribution.clone(),
            retry: Retry::default(),
            repair_due: false,
            containers: Containers::default(),
            shown: Containers::default(),
            owners: HashMap::new(),
            refused: HashSet::new(),
            is_unassigned: true,
            moves: 0,
            unread: Vec::new(),
            listed: Weak::new(),
            has_left_services: false,
            warnings: Vec::new(),
            fleet: Fleet::default(),
            max_operations: settings.max_operations,
            queued_so_far: 0,
            baselines: HashMap::new(),
            made_here: HashSet::new(),
            forgotten: Vec::new(),
            missing: HashMap::new(),
            unsaved: false,
            recovered: Vec::new(),
            watcher_warning: None,
            discovery_warnings: Vec::new(),
            life: Life::Serving,
            view: None,
            is_view_old: false,
            history: History::new(settings.revision),
            targets: None,
            are_targets_old: false,
        }
    }

    /// Notes a request for what there is. Returns true if interest begins with it, which is work for the refresher.
    pub fn note_request(&mut self, now: Instant) -> bool {
        self.listing.interest.asked(now)
    }

    /// Answers a request for the container list that came at `asked`. If it needs a listing, [`State::step`] returns
    /// that next.
    pub fn ask(&mut self, asked: Instant, need: Need, now: Instant) -> Freshness {
        self.listing.ask(asked, need, now)
    }

    /// Answers a request that will wait no longer, for this reason: with the last good list, if it is not too old.
    pub fn fall_back(&self, reason: String, now: Instant) -> Freshness {
        self.listing.fall_back(reason, now)
    }

    /// Returns true if docker was asked for containers, whether it answered or not.
    pub fn has_tried_to_list(&self) -> bool {
        self.listing.has_tried()
    }

    /// Returns the age of the list and the reason why there is no newer one; `None` while listing does not fail.
    pub fn staleness(&self, now: Instant) -> Option<(Duration, String)> {
        self.listing.staleness(now)
    }

    /// Returns true if an operation has changed containers since the last list began.
    pub fn owes_list(&self) -> bool {
        self.listing.owes_list()
    }

    /// Returns the ids of the containers that docker lists, and about which it has not answered yet.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// Returns how often a dev container has moved between listings. Places that were looked for before it changed may be
    /// wrong.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// Lets the next listing find anew which container belongs to which dev container.
    fn unassign(&mut self) {
        self.is_unassigned = true;
        self.moves += 1;
    }

    /// Returns true if a client follows changes.
    pub fn has_streams(&self) -> bool {
        self.listing.interest.has_streams()
    }

    /// Returns true if a client follows changes, or asks again and again.
    pub fn has_interest(&self, now: Instant) -> bool {
        self.listing.interest.is_there(now)
    }

    /// Returns true if events have been followed for a while.
    pub fn has_stable_events(&self, now: Instant) -> bool {
        self.listing.is_settled(now)
    }

    /// Returns everything as the answers show it.
    pub fn view(&mut self) -> Arc<View> {
        if let Some(view) = self.view.as_ref().filter(|_| !self.is_view_old) {
            return view.clone();
        }
        let mut new = self.build_view();
        let last = self.view.take();
        let revision = self.history.note(last.as_deref(), &new);
        let view = match last.filter(|last| last.revision == revision) {
            Some(last) => last,
            None => {
                new.revision = revision;
                Arc::new(new)
            }
        };
        self.is_view_old = false;
        self.view = Some(view.clone());
        view
    }

    /// Returns what has changed since a revision; everything, without one.
    pub fn updates_since(&mut self, revision: Option<u64>) -> Update {
        let view = self.view();
        match revision.and_then(|revision| self.history.since(revision)) {
            Some(changes) => Update::Changes(changes, view.revision),
            None => Update::Snapshot(view),
        }
    }

    /// Returns the dev container with this id or name as the newest view shows it, and the revision of its last change.
    pub fn shown_devcontainer(&mut self, id_or_name: &str) -> Option<(Arc<Devcontainer>, u64)> {
        let found = self.view().devcontainer(id_or_name)?.clone();
        let revision = self.history.last_of_devcontainer(found.id);
        Some((found, revision))
    }

    /// Returns the container with this id as the newest view shows it, and the revision of its last change.
    pub fn shown_container(&mut self, id: &str) -> Option<(Container, u64)> {
        let view = self.view();
        let found = view.containers.iter().find(|one| one.info.id == id)?;
        Some((found.clone(), self.history.last_of_container(id)))
    }

    /// Finds the container with this id or name, or with an id that begins with these 12 or more characters. A
    /// container whose name an operation has changed has its original name, too.
    pub fn select(&self, id_or_name: &str) -> Selected {
        let exact = self.containers.iter().find(|info| info.id == id_or_name);
        let named = || self.containers.iter().find(|info| info.name == id_or_name);
        let parked = || {
            self.containers.iter().find(|info| {
                ParkedName::parse(&info.name).is_some_and(|parked| parked.name == id_or_name)
            })
        };
        if let Some(info) = exact.or_else(named).or_else(parked) {
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

    /// Returns the dev container that a container belongs to.
    pub fn owner(&self, container: &str) -> Option<Key> {
        self.owners.get(container).copied()
    }

    /// Returns those of these containers whose folder label the last listing knew to be that of their image (P23).
    pub fn copies_among<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Vec<String> {
        let is_copy = |info: &ContainerInfo| {
            info.labels.get(LABEL_FOLDER).is_some() && info.own_label(LABEL_FOLDER).is_none()
        };
        let of = |id: &&str| {
            self.containers
                .iter()
                .any(|one| one.id == **id && is_copy(one))
        };
        ids.filter(of).map(str::to_owned).collect()
    }

    /// Finds the dev container with this id or name.
    pub fn find(&self, id_or_name: &str) -> Option<Key> {
        self.fleet.find(id_or_name).map(|entry| entry.key)
    }

    /// Returns the id of a dev container.
    pub fn id(&self, key: Key) -> Option<Uuid> {
        self.fleet.get(key).map(|entry| entry.id)
    }

    /// Returns the additional arguments of `devcontainer up` that the definition of a dev container gives.
    pub fn up_args(&self, key: Key) -> &[UpArg] {
        let predefined = self
            .fleet
            .get(key)
            .and_then(|entry| entry.predefined.as_ref());
        predefined.map_or(&[], |predefined| &predefined.up_args)
    }

    /// Returns true once the daemon is about to stop: nothing new begins.
    pub fn is_draining(&self) -> bool {
        self.life != Life::Serving
    }

    /// Returns true once the daemon stops, and waits for nothing any more.
    pub fn is_closing(&self) -> bool {
        self.life == Life::Closing
    }

    /// Returns how much there is, for a line about it.
    pub fn tally(&self) -> Tally {
        Tally {
            containers: self.containers.len(),
            devcontainers: self.fleet.entries.iter().count(),
            running: self.operations_running(),
            queued: self.operations_queued(),
            is_draining: self.is_draining(),
        }
    }

    /// Returns the reason why files cannot be watched, if they cannot.
    pub fn watcher_warning(&self) -> Option<&str> {
        self.watcher_warning.as_deref()
    }

    /// Returns true if something that outlives a restart has changed since it was last saved.
    pub fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    fn changed(&mut self) {
        self.is_view_old = true;
        self.are_targets_old = true;
    }
}
