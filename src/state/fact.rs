//! Facts: what the adapters learn, in the form in which the state takes it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::persisted::Persisted;
use super::{Life, State};
use crate::base::time::Timestamp;
use crate::model::ids::Key;
use crate::model::inputs::Inputs;
use crate::model::listing::{Fault, Listed};
use crate::model::location::{CliPaths, Declared, Predefined, Resolved};
use crate::model::operation::{EndedOperation, Repaired};
use crate::model::original::Original;
use crate::model::phase::Phase;

/// A container list and everything on disk that belongs to it.
pub struct Inventory {
    /// The containers, as docker shows them.
    pub listed: Listed,
    /// Where dev containers are; `None` where the last listing has found the same containers of dev containers in the same
    /// places.
    pub places: Option<Places>,
    /// The value of [`State::moves`] before the places were looked for.
    pub moves: u64,
    /// The time at which all this was looked at.
    pub at: Timestamp,
}

/// Where the dev containers are that were known before.
#[derive(Clone, Default, PartialEq)]
pub enum EntryPlaces {
    /// Where they were.
    #[default]
    AsBefore,
    /// In these places; `None` where the file system does not answer.
    Found(Vec<(Key, Option<Resolved>)>),
}

/// Where dev containers are.
#[derive(Clone, Default, PartialEq)]
pub struct Places {
    /// The places to which the labels of dev containers point, by container id.
    pub of_containers: HashMap<String, Resolved>,
    /// The places of the dev containers that were known before.
    pub of_entries: EntryPlaces,
    /// Those of [`State::reserved_folders`] that do not exist.
    pub gone_folders: HashSet<PathBuf>,
}

/// A dev container to scan, and what the last scan of it has found.
#[derive(PartialEq, Eq)]
pub struct ScanTarget {
    /// The dev container.
    pub key: Key,
    /// The paths that it is made from. `None` if it has no configuration, or may not be scanned.
    pub paths: Option<Arc<CliPaths>>,
    /// Set if its location may change.
    pub unlocated: Option<Unlocated>,
    /// The workspace folder as it was declared.
    pub folder: PathBuf,
    /// The workspace folder without symbolic links.
    pub canonical_folder: PathBuf,
    /// True if its file system did not answer.
    pub is_silent: bool,
    /// The inputs as the last scan found them. `None` if there was none since it got its containers.
    pub before: Option<Arc<Inputs>>,
    pub(super) version: u32,
}

/// The location of a dev container whose folder does not exist or is on a file system that does not answer, or whose
/// configuration nothing names: the next scan may find it.
#[derive(Clone, PartialEq, Eq)]
pub struct Unlocated {
    /// The location as it was declared.
    pub declared: Declared,
    /// True if the folder existed.
    pub folder_exists: bool,
    /// The configuration that was found, if none is named.
    pub found: Option<PathBuf>,
}

/// Something new on disk.
pub enum Found {
    /// Other inputs than before.
    Inputs(Arc<ScanTarget>, Inputs),
    /// The place to which a declared location leads by now.
    Resolved(Key, Declared, Resolved),
    /// The file system does not answer.
    Silent(Key),
}

/// Something that an adapter has learned.
pub enum Fact {
    /// The listing under way ended, well or for this reason.
    Listed(Result<Inventory, String>),
    /// Lists from before now are out of date. Of the containers that they show, these may have changed.
    ListOutdated(Vec<String>),
    /// Docker's events named these containers. A set without any shows that the child is at work.
    EventsNamed(HashSet<String>),
    /// The events child ended by itself, or could not be started.
    EventsFailed(Fault),
    /// The events child is gone, as [`Step::StopEvents`](super::Step::StopEvents) asked for with this fault.
    EventsStopped(Option<Fault>),
    /// A scan found this on disk, in place of what each of its targets says was known.
    Scanned(Vec<Found>),
    /// These are the predefined dev containers, in place of those before.
    Predefined(Vec<(Predefined, Resolved)>),
    /// A search below the directories of `--discover` has found these dev containers, in place of those before, with these
    /// warnings.
    Discovered(Vec<(Declared, Resolved)>, Vec<String>),
    /// The last run of the daemon left this. Its operations have ended by this time.
    Recovered(Persisted, Timestamp),
    /// An operation is about to start the CLI: the containers that it is to replace, and the inputs as they are now.
    OperationPrepared(Key, Vec<Original>, Option<Inputs>),
    /// `initializeCommand` has ended, and left these inputs.
    InputsInitialized(Key, Inputs),
    /// The running operation has come to this phase.
    PhaseBegun(Key, Phase),
    /// An operation ended, and the CLI left these inputs, with its lock file.
    OperationEnded(Key, EndedOperation, Option<Inputs>),
    /// The running operation has left duplicates of the container of the dev container alone.
    DuplicatesStay(Key),
    /// The running operation has cleaned up what an earlier one left.
    LeftoversCleared(Key),
    /// The repair under way ended; with `None`, docker did not answer.
    RepairEnded(Key, Option<Repaired>),
    /// Files cannot be watched, for this reason; `None` if they can.
    WatcherWarning(Option<String>),
    /// A client follows changes.
    StreamOpened,
    /// A client no longer follows changes.
    StreamClosed,
    /// All that is unsaved is about to be written to disk.
    SaveBegun,
    /// Another daemon, which used the state directory before, left this. It has ended by this time.
    TakenOver(Persisted, Timestamp),
    /// The daemon is about to stop: it begins no more operations, and waits for those that run.
    Draining,
    /// The daemon stops now.
    Closing,
}

/// The result of [`State::apply`].
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    /// All of it was taken.
    Whole,
    /// Some of it was older than what is known by now, and is to be learned again.
    Partly,
    /// It was taken without the definitions that these messages are about.
    Rejected(Vec<String>),
}

impl State {
    /// Takes a fact that was learned at `now`.
    pub fn apply(&mut self, fact: Fact, now: Instant) -> Applied {
        match fact {
            Fact::Listed(result) => return self.take_listing(result, now),
            Fact::Scanned(found) => return self.take_scan(found),
            Fact::Predefined(defined) => return self.predefine(defined),
            Fact::Discovered(found, warnings) => self.discover(found, warnings),
            Fact::Recovered(persisted, ended_by) => self.recover(persisted, ended_by),
            Fact::OperationPrepared(key, originals, inputs) => {
                self.prepare_operation(key, originals, inputs.as_ref());
            }
            Fact::InputsInitialized(key, inputs) => self.set_initialized_inputs(key, &inputs),
            Fact::PhaseBegun(key, phase) => self.begin_phase(key, phase, now),
            Fact::OperationEnded(key, ended, after) => {
                self.end_operation(key, ended, after.as_ref(), now);
            }
            Fact::DuplicatesStay(key) => self.keep_duplicates(key),
            Fact::LeftoversCleared(key) => self.clear_leftover(key),
            Fact::RepairEnded(key, repaired) => self.end_repair(key, repaired, now),
            Fact::ListOutdated(ids) => self.listing.invalidate(now, ids),
            Fact::EventsNamed(ids) => self.listing.events_named(ids, now),
            Fact::EventsFailed(fault) => self.listing.events_failed(fault, now),
            Fact::EventsStopped(fault) => self.listing.events_stopped(fault.as_ref(), now),
            Fact::WatcherWarning(warning) => self.set_watcher_warning(warning),
            Fact::StreamOpened => self.listing.interest.opened(),
            Fact::StreamClosed => self.listing.interest.closed(now),
            Fact::SaveBegun => self.unsaved = false,
            Fact::TakenOver(left, ended_by) => self.take_over(left, ended_by),
            Fact::Draining => self.life = Life::Draining,
            Fact::Closing => self.life = Life::Closing,
        }
        Applied::Whole
    }

    fn predefine(&mut self, defined: Vec<(Predefined, Resolved)>) -> Applied {
        let (errors, gone) = self.fleet.predefine(defined);
        self.unassign();
        self.keep_operations_of(&gone);
        self.attach_recovered();
        self.unsaved |= self.fleet.have_names_changed();
        let fleet = &self.fleet;
        self.owners.retain(|_, key| fleet.get(*key).is_some());
        self.changed();
        if errors.is_empty() {
            Applied::Whole
        } else {
            Applied::Rejected(errors)
        }
    }

    fn set_watcher_warning(&mut self, warning: Option<String>) {
        if self.watcher_warning != warning {
            self.watcher_warning = warning;
            self.changed();
        }
    }
}
