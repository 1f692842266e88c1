//! The dev containers that clients ask for, and those that a search finds: listed without a container.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use super::State;
use super::devcontainers::Fleet;
use super::entry::Entry;
use super::persisted::Requested;
use super::refusal::Refusal;
use crate::model::ids::Key;
use crate::model::location::{Declared, Resolved, Source};

/// The number of dev containers that clients may ask for: far more than people have.
const MAX_REQUESTED: usize = 1000;

/// The result of a request for a dev container to be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It was not known before.
    New(Key),
    /// It was known before.
    Known(Key),
    /// As many were asked for as may be: this number.
    TooMany(usize),
}

/// The reason why a dev container is not forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptListed {
    /// There is none, or something is being done to it.
    Refused(Refusal),
    /// It has the container with this name.
    Container(String),
    /// The operator has defined it.
    Predefined,
    /// A search finds it.
    Discovered,
}

impl State {
    /// Lists the dev container at a place that a client has asked for, also after a restart, until it is forgotten.
    pub fn add(&mut self, declared: &Declared, mut resolved: Resolved) -> Added {
        let requested = self.fleet.entries.iter();
        let requested = requested.filter(|entry| entry.is_requested).count();
        let (key, is_new) = match self.fleet.known_at(declared, &mut resolved) {
            Some(key) if self.fleet.get(key).is_some_and(|entry| entry.is_requested) => {
                return Added::Known(key);
            }
            _ if requested >= MAX_REQUESTED => return Added::TooMany(MAX_REQUESTED),
            Some(key) => (key, false),
            None => (self.fleet.list(declared, resolved), true),
        };
        if let Some(entry) = self.fleet.get_mut(key) {
            entry.is_requested = true;
            let requested = entry.requested();
            self.forgotten.retain(|one| *one != requested);
        }
        self.unsaved = true;
        self.settle_members();
        if is_new {
            Added::New(key)
        } else {
            Added::Known(key)
        }
    }

    /// Lists a dev container no longer because a client has asked for it. One without a container goes, unless something
    /// else keeps it.
    pub fn forget_requested(&mut self, key: Key) -> Result<(), KeptListed> {
        let gone = || KeptListed::Refused(Refusal::Gone);
        let entry = self.fleet.get(key).ok_or_else(gone)?;
        if let Some((work, _)) = entry.works().next() {
            let name = entry.name.clone();
            return Err(KeptListed::Refused(Refusal::InProgress { work, name }));
        }
        if let Some(info) = &entry.container {
            return Err(KeptListed::Container(info.name.clone()));
        }
        match (entry.is_requested, &entry.predefined) {
            (true, _) => {}
            (false, Some(_)) => return Err(KeptListed::Predefined),
            (false, None) if entry.is_discovered => return Err(KeptListed::Discovered),
            (false, None) => {}
        }
        if let Some(entry) = self.fleet.get_mut(key) {
            entry.is_requested = false;
            let forgotten = entry.requested();
            self.forgotten.retain(|one| *one != forgotten);
            self.forgotten.push(forgotten);
            let excess = self.forgotten.len().saturating_sub(MAX_REQUESTED);
            self.forgotten.drain(..excess);
        }
        let is_it = |entry: &Entry| entry.key == key && entry.is_unused();
        let gone = self.fleet.drop_where(is_it);
        self.keep_operations_of(&gone);
        self.unsaved = true;
        self.settle_members();
        Ok(())
    }

    /// Lists what a search has found, in place of what it found before. One that it does not find any more goes, unless
    /// something else keeps it.
    pub(super) fn discover(&mut self, found: Vec<(Declared, Resolved)>, warnings: Vec<String>) {
        let mut current = HashSet::new();
        for (declared, mut resolved) in found {
            let known = self.fleet.known_at(&declared, &mut resolved);
            current.insert(known.unwrap_or_else(|| self.fleet.list(&declared, resolved)));
        }
        // A dev container that an operation works on stays until a later search.
        let is_busy = |entry: &Entry| entry.is_busy() || entry.queued.is_some();
        let is_other = |entry: &Entry| match current.contains(&entry.key) {
            true => !entry.is_discovered,
            false => entry.is_discovered && !is_busy(entry),
        };
        let mut lost = HashSet::new();
        for entry in self.fleet.entries.iter_mut_where(is_other) {
            entry.is_discovered = !entry.is_discovered;
            if !entry.is_discovered {
                lost.insert(entry.key);
            }
        }
        let is_lost = |entry: &Entry| lost.contains(&entry.key) && entry.is_unused();
        let gone = self.fleet.drop_where(is_lost);
        self.keep_operations_of(&gone);
        self.discovery_warnings = warnings;
        self.settle_members();
    }

    /// Lists those that clients asked for in the last run. Where they are, the next listing finds out.
    pub(super) fn recover_requested(&mut self, requested: Vec<Requested>) {
        for Requested { folder, config } in requested {
            let source = Source::Request;
            let declared = Declared {
                folder,
                config,
                source,
            };
            // By their words, and the links that were known: a folder that does not answer must not hold up the start.
            let mut place = Resolved::as_written(&declared);
            place.become_silent(&declared.folder);
            let known = self.fleet.known_at(&declared, &mut place);
            let key = known.unwrap_or_else(|| self.fleet.list(&declared, place));
            if let Some(entry) = self.fleet.get_mut(key) {
                entry.is_requested = true;
            }
        }
    }

    /// Lets the next listing find which containers belong to dev containers that have come or gone.
    fn settle_members(&mut self) {
        self.unassign();
        self.attach_recovered();
        self.unsaved |= self.fleet.have_names_changed();
        let fleet = &self.fleet;
        self.owners.retain(|_, key| fleet.get(*key).is_some());
        self.changed();
    }

    /// Returns the dev containers of a resolved folder.
    pub fn in_folder(&self, folder: &Path) -> HashSet<uuid::Uuid> {
        let entries = self.fleet.entries.iter();
        let there = entries.filter(|entry| entry.resolved.folder == folder);
        there.map(|entry| entry.id).collect()
    }

    /// Returns those that are to be started when the daemon starts, and none of whose containers runs.
    pub fn to_autostart(&self) -> Vec<Key> {
        let entries = self.fleet.entries.iter().filter(|entry| {
            let predefined = entry.predefined.as_ref();
            predefined.is_some_and(|predefined| predefined.autostart)
        });
        let stopped = entries.filter(|entry| entry.containers().all(|info| !info.running));
        stopped.map(|entry| entry.key).collect()
    }
}

impl Fleet {
    /// Returns the dev container at a place, which becomes the right one as far as that can be told.
    fn known_at(&mut self, declared: &Declared, resolved: &mut Resolved) -> Option<Key> {
        self.settle(declared, resolved);
        let mut entries = self.entries.iter();
        let same = entries.find(|entry| entry.resolved.is_same(resolved));
        same.map(|entry| entry.key)
    }

    /// Adds a dev container, and gives it a name.
    fn list(&mut self, declared: &Declared, resolved: Resolved) -> Key {
        let key = self.insert(&declared.folder, declared.config.as_deref(), resolved);
        self.numbers.clear();
        self.give_name(key);
        key
    }

    /// Returns those that clients have asked for.
    pub(super) fn requested(&self) -> Vec<Requested> {
        let requested = self.entries.iter().filter(|entry| entry.is_requested);
        requested.map(Entry::requested).collect()
    }
}

impl Entry {
    /// Returns what a client asks for who names it.
    fn requested(&self) -> Requested {
        Requested {
            folder: self.folder.clone(),
            config: self.resolved.config.clone(),
        }
    }
}

impl fmt::Display for KeptListed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Container(name) => write!(
                f,
                "the dev container has the container {name}, which forgetting would not remove; remove it first, by a DELETE \
                 without forget"
            ),
            Self::Predefined => f.write_str(
                "the manifest or --devcontainer-folder defines the dev container; remove it there, and reload the manifest or \
                 restart the daemon",
            ),
            Self::Discovered => f.write_str(
                "--discover finds the dev container as long as its configuration exists; remove that, or let git ignore its \
                 folder",
            ),
        }
    }
}
