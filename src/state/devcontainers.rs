//! The dev containers: identity, ids, names, and which containers belong to them.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::entry::{Entry, Repairs};
use super::links::Links;
use super::names::Reservations;
use super::operation::Activity;
use crate::model::container::ContainerInfo;
use crate::model::ids::Key;
use crate::model::location::{Declared, Predefined, Resolved};

/// The namespace of the ids of dev containers, which are UUIDs of version 5 (P4).
const IDENTITIES: Uuid = Uuid::from_u128(0x0f4b_70c2_41bb_4dfa_8d3c_c1f1_5a3c_8e27);

/// A container with the labels of a dev container, and where these lead on disk.
pub(super) struct Labelled<'a> {
    pub(super) info: &'a Arc<ContainerInfo>,
    pub(super) declared: Declared,
    pub(super) resolved: &'a Resolved,
}

/// All dev containers.
#[derive(Default)]
pub(super) struct Fleet {
    pub(super) entries: Vec<Entry>,
    /// The names of those that are not known.
    pub(super) reservations: Reservations,
    /// The places to which their paths lead.
    pub(super) links: Links,
    last_key: u32,
}

impl Fleet {
    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.get(self.index(key)?)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        let index = self.index(key)?;
        self.entries.get_mut(index)
    }

    /// Returns the index of an entry. New entries are added at the end, so that they are sorted by key.
    fn index(&self, key: Key) -> Option<usize> {
        self.entries
            .binary_search_by_key(&key, |entry| entry.key)
            .ok()
    }

    /// Finds the dev container with this id or name. Ids come first: a name may look like an id.
    pub(super) fn find(&self, id_or_name: &str) -> Option<&Entry> {
        let id = Uuid::parse_str(id_or_name).ok();
        let by_id = self.entries.iter().find(|entry| Some(entry.id) == id);
        by_id.or_else(|| self.entries.iter().find(|entry| entry.name == id_or_name))
    }

    /// Takes these definitions in place of those before. Returns an error for each that is not taken, and the dev
    /// containers that are not known any more.
    pub(super) fn predefine(
        &mut self,
        defined: Vec<(Predefined, Resolved)>,
    ) -> (Vec<String>, Vec<Entry>) {
        let mut errors = Vec::new();
        let mut current = HashSet::new();
        let mut taken = Vec::new();
        let mut redefined = Vec::new();
        for (predefined, mut resolved) in defined {
            self.settle(&predefined.declared(), &mut resolved);
            let known = self.entries.iter().find(|entry| {
                entry.is_defined_by(&predefined)
                    || entry.resolved.is_same(&resolved)
                    || predefined.id == Some(entry.id)
            });
            // A folder alone defines the dev container whose container is there, whatever its configuration is.
            let known = known.or_else(|| {
                let mut entries = self.entries.iter().filter(|_| predefined.config.is_none());
                entries.find(|entry| {
                    entry.predefined.is_none()
                        && entry.container.is_some()
                        && entry.resolved.folder == resolved.folder
                })
            });
            let key = match known.map(|entry| entry.key) {
                Some(key) if current.contains(&key) => {
                    errors.push(format!(
                        "the dev container in {} is defined twice; the first definition counts",
                        predefined.folder.display()
                    ));
                    continue;
                }
                Some(key) => key,
                None => self.insert(
                    &predefined.folder,
                    predefined.config.as_deref(),
                    resolved.clone(),
                ),
            };
            current.insert(key);
            if self.redefine(key, predefined.clone(), resolved) {
                redefined.push(key);
            }
            taken.push((key, predefined));
        }
        self.give_defined_names(&taken);
        for entry in &mut self.entries {
            if !current.contains(&entry.key) && entry.predefined.take().is_some() {
                redefined.push(entry.key);
            }
        }
        for key in redefined {
            self.renew_id(key);
        }
        let gone = self.drop_where(Entry::is_unused);
        (errors, gone)
    }

    /// Takes a definition, and returns whether it is another one than before.
    fn redefine(&mut self, key: Key, predefined: Predefined, resolved: Resolved) -> bool {
        let Some(entry) = self.get_mut(key) else {
            return false;
        };
        let is_new = entry.predefined.as_ref() != Some(&predefined);
        entry.id = predefined.id.unwrap_or(entry.id);
        entry.folder = predefined.folder.clone();
        entry.config = predefined.config.clone();
        entry.predefined = Some(predefined);
        entry.set_resolved(resolved);
        is_new
    }

    /// Gives a dev container that was not defined like this before the id that it will have after a restart (P4).
    fn renew_id(&mut self, key: Key) {
        let Some(entry) = self.get(key) else { return };
        let predefined = entry.predefined.as_ref();
        if predefined.is_some_and(|predefined| predefined.id.is_some()) {
            return;
        }
        let config = predefined.map_or(&entry.config, |predefined| &predefined.config);
        let given = config
            .as_ref()
            .and(entry.resolved.canonical_config.as_deref());
        let id = self.unused_id(key, &entry.resolved.folder, given);
        if let Some(entry) = self.get_mut(key) {
            entry.id = id;
        }
    }

    /// Takes where a dev container is now, as far as that can be told.
    pub(super) fn set_place(&mut self, key: Key, mut place: Resolved) {
        if let Some(declared) = self.get(key).map(Entry::declared) {
            self.settle(&declared, &mut place);
        }
        if let Some(entry) = self.get_mut(key) {
            entry.set_resolved(place);
        }
    }

    /// Returns whether a dev container is at this place.
    pub(super) fn knows(&self, resolved: &Resolved) -> bool {
        self.entries.iter().any(|e| e.resolved.is_same(resolved))
    }

    /// Returns the dev container that a container belongs to. One that is not known yet is added. `has_container` says
    /// which dev containers have got one of the same listing.
    pub(super) fn adopt(
        &mut self,
        container: &Labelled<'_>,
        has_container: &dyn Fn(Key) -> bool,
    ) -> Key {
        let resolved = container.resolved;
        let same = self
            .entries
            .iter_mut()
            .find(|e| e.resolved.is_same(resolved));
        if let Some(entry) = same {
            if !entry.resolved.access.allows_up() || entry.is_linked() && !container.is_linked() {
                entry.correct_spelling(container);
            }
            // The container was made from this configuration, also when the search order would find another one by now.
            if entry.config.is_none()
                && container.declared.config.is_some()
                && resolved.access.allows_up()
            {
                entry.config = entry.resolved.config.clone();
            }
            return entry.key;
        }
        let mut same_folder = self
            .entries
            .iter_mut()
            .filter(|entry| entry.resolved.folder == resolved.folder);
        match resolved.canonical_config {
            // A label that may not be followed gives its config to no dev container.
            Some(_) if resolved.access.allows_up() => {
                let lacks_config = |entry: &&mut Entry| {
                    let is_open = entry.takes_any_config() && !has_container(entry.key);
                    is_open || entry.resolved.canonical_config.is_none()
                };
                if let Some(entry) = same_folder.find(lacks_config) {
                    entry.config = resolved.config.clone();
                    let merged = Resolved {
                        config: resolved.config.clone(),
                        canonical_config: resolved.canonical_config.clone(),
                        ..entry.resolved.clone()
                    };
                    entry.set_resolved(merged);
                    return entry.key;
                }
            }
            Some(_) => {}
            None => {
                if let (Some(only), None) = (same_folder.next(), same_folder.next()) {
                    return only.key;
                }
            }
        }
        let declared = &container.declared;
        let key = self.insert(
            &declared.folder,
            declared.config.as_deref(),
            resolved.clone(),
        );
        self.give_name(key);
        key
    }

    /// Adds a dev container, which has a name only if it had one when it was last known.
    fn insert(&mut self, folder: &Path, config: Option<&Path>, resolved: Resolved) -> Key {
        self.last_key += 1;
        let key = Key::new(self.last_key);
        let given = config.and(resolved.canonical_config.as_deref());
        let paths = resolved.cli_paths(folder).map(Arc::new);
        let name = self.claim_name(&resolved, config.is_none());
        let name = name.unwrap_or_default();
        self.entries.push(Entry {
            key,
            id: self.unused_id(key, &resolved.folder, given),
            name,
            folder: folder.to_path_buf(),
            config: config.map(Path::to_path_buf),
            resolved,
            paths,
            inputs: None,
            rescans_all: false,
            version: 0,
            predefined: None,
            container: None,
            others: Vec::new(),
            left_services: Vec::new(),
            activity: Activity::Idle,
            queued: None,
            held: None,
            last: None,
            repairs: Repairs::default(),
        });
        key
    }

    /// Returns the id of an identity: the same in every run of the daemon (P4), unless a manifest has given it away.
    fn unused_id(&self, key: Key, folder: &Path, config: Option<&Path>) -> Uuid {
        let mut identity = folder.as_os_str().as_bytes().to_vec();
        identity.push(0);
        identity.extend(config.map_or(&b""[..], |config| config.as_os_str().as_bytes()));
        let mut id = Uuid::new_v5(&IDENTITIES, &identity);
        let others = self.entries.iter().filter(|entry| entry.key != key);
        while others.clone().any(|entry| entry.id == id) {
            id = Uuid::new_v5(&id, b"next");
        }
        id
    }

    /// Forgets a detected dev container. A predefined one stays.
    pub(super) fn forget(&mut self, key: Key) {
        self.drop_where(|entry| entry.key == key && entry.predefined.is_none());
    }

    /// Drops detected dev containers of which nothing is left, and those that turned out to be another one. Returns
    /// them.
    pub(super) fn drop_gone(&mut self) -> Vec<Entry> {
        let places: Vec<(Key, Resolved)> = self
            .entries
            .iter()
            .map(|entry| (entry.key, entry.resolved.clone()))
            .collect();
        self.drop_where(|entry| {
            let is_double = |(key, resolved): &(Key, Resolved)| {
                *key != entry.key && resolved.is_same(&entry.resolved)
            };
            let stays = entry.resolved.folder_exists && !places.iter().any(is_double);
            !stays && entry.is_unused()
        })
    }

    /// Drops these dev containers, keeps their names for them, and returns them.
    fn drop_where(&mut self, is_gone: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let gone: Vec<Entry> = self
            .entries
            .extract_if(.., |entry| is_gone(entry))
            .collect();
        self.keep_names(&gone);
        gone
    }
}

impl Entry {
    /// Takes the folder as a label has it that may be followed, instead of one that may not, or that has links.
    fn correct_spelling(&mut self, container: &Labelled<'_>) {
        if self.predefined.is_none() && container.resolved.access.allows_up() {
            self.folder = container.declared.folder.clone();
            self.config = container.declared.config.clone();
            self.set_resolved(container.resolved.clone());
        }
    }
}

/// Sorts the containers of one dev container, the one to be shown first: running before stopped, then the newest. Those
/// come last whose labels may not be followed, so that an operation acts on one that the CLI made.
pub(super) fn sort_by_precedence(
    containers: &mut [Arc<ContainerInfo>],
    is_refused: impl Fn(&str) -> bool,
) {
    containers.sort_by(|a, b| {
        let refused_last = is_refused(&a.id).cmp(&is_refused(&b.id));
        let newest_first = b.created_at.cmp(&a.created_at);
        let running_first = b.running.cmp(&a.running);
        refused_last
            .then(running_first)
            .then(newest_first)
            .then_with(|| a.id.cmp(&b.id))
    });
}
