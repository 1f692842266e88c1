//! The dev containers: identity, ids, names, and which containers belong to them.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::entries::{Derived, Entries};
use super::entry::{Entry, Repairs};
use super::links::Links;
use super::names::Reservations;
use super::operation::Activity;
use crate::model::api::Devcontainer;
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
    /// True if its label names the folder by a path with links.
    pub(super) is_linked: bool,
}

/// The dev containers of each folder without links, in the order of their keys.
pub(super) type ByFolder = HashMap<OsString, Vec<Key>>;

/// All dev containers.
#[derive(Default)]
pub(super) struct Fleet {
    pub(super) entries: Entries,
    /// The names of those that are not known.
    pub(super) reservations: Reservations,
    /// The places to which their paths lead.
    pub(super) links: Links,
    /// The number to try next for each name that is taken, while names are given for one listing or manifest.
    pub(super) numbers: HashMap<String, u32>,
    /// Those that were last shown, in their order.
    shown: Vec<Key>,
    last_key: u32,
}

impl Fleet {
    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    /// Finds the dev container with this id or name. Ids come first: a name may look like an id.
    pub(super) fn find(&self, id_or_name: &str) -> Option<&Entry> {
        let id = Uuid::parse_str(id_or_name).ok();
        let by_id = self.entries.iter().find(|entry| Some(entry.id) == id);
        by_id.or_else(|| self.entries.named(id_or_name))
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
        for entry in self.entries.iter_mut() {
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
        let given_id = predefined.id;
        entry.folder = predefined.folder.clone();
        entry.config = predefined.config.clone();
        entry.predefined = Some(predefined);
        entry.set_resolved(resolved);
        if let Some(id) = given_id {
            self.entries.set_id(key, id);
        }
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
        self.entries.set_id(key, id);
    }

    /// Takes that the file system of a dev container does not answer.
    pub(super) fn silence(&mut self, key: Key) {
        if let Some(entry) = self.get_mut(key) {
            entry.resolved.become_silent(&entry.folder);
        }
    }

    /// Takes where a dev container is now, as far as that can be told.
    pub(super) fn set_place(&mut self, key: Key, mut place: Resolved) {
        let Some(declared) = self.get(key).map(Entry::declared) else {
            return;
        };
        self.settle(&declared, &mut place);
        if self.get(key).is_some_and(|entry| entry.resolved != place)
            && let Some(entry) = self.get_mut(key)
        {
            entry.set_resolved(place);
        }
    }

    /// Returns the dev containers of each folder.
    pub(super) fn by_folder(&self) -> ByFolder {
        let mut folders = ByFolder::new();
        for entry in self.entries.iter() {
            let folder = entry.resolved.folder.as_os_str();
            folders.entry(folder.into()).or_default().push(entry.key);
        }
        folders
    }

    /// Returns the dev container at this place.
    pub(super) fn at(&self, resolved: &Resolved, folders: &ByFolder) -> Option<&Entry> {
        let mut siblings = self.siblings(resolved, folders);
        siblings.find(|entry| entry.resolved.is_same(resolved))
    }

    fn siblings(&self, resolved: &Resolved, folders: &ByFolder) -> impl Iterator<Item = &Entry> {
        let keys = folders.get(resolved.folder.as_os_str());
        let keys = keys.map_or(&[][..], Vec::as_slice);
        keys.iter().filter_map(|key| self.get(*key))
    }

    /// Returns the dev container that a container belongs to, and whether it is a new one or has got another configuration.
    /// `has_container` says which dev containers have got a container of the same listing.
    pub(super) fn adopt(
        &mut self,
        container: &Labelled<'_>,
        folders: &mut ByFolder,
        has_container: &dyn Fn(Key) -> bool,
    ) -> (Key, bool) {
        let resolved = container.resolved;
        if let Some(same) = self.at(resolved, folders) {
            let key = same.key;
            self.correct(key, container);
            return (key, false);
        }
        if let Some(key) = self.sibling_for(container, folders, has_container) {
            if resolved.canonical_config.is_some()
                && let Some(entry) = self.get_mut(key)
            {
                entry.config = resolved.config.clone();
                let merged = Resolved {
                    config: resolved.config.clone(),
                    canonical_config: resolved.canonical_config.clone(),
                    ..entry.resolved.clone()
                };
                entry.set_resolved(merged);
                return (key, true);
            }
            return (key, false);
        }
        let declared = &container.declared;
        let key = self.insert(
            &declared.folder,
            declared.config.as_deref(),
            resolved.clone(),
        );
        let folder = resolved.folder.as_os_str();
        folders.entry(folder.into()).or_default().push(key);
        self.give_name(key);
        (key, true)
    }

    /// Returns the dev container of the same folder that a container belongs to though their configurations differ: one that
    /// lacks a configuration, or the only one where the container names none.
    fn sibling_for(
        &self,
        container: &Labelled<'_>,
        folders: &ByFolder,
        has_container: &dyn Fn(Key) -> bool,
    ) -> Option<Key> {
        let resolved = container.resolved;
        let mut siblings = self.siblings(resolved, folders);
        if resolved.canonical_config.is_none() {
            let only = siblings.next()?;
            return siblings.next().is_none().then_some(only.key);
        }
        let lacks_config = |entry: &&Entry| {
            let is_open = entry.takes_any_config() && !has_container(entry.key);
            is_open || entry.resolved.canonical_config.is_none()
        };
        // A label that may not be followed gives its config to no dev container.
        let mut open = siblings.filter(|_| resolved.access.allows_up());
        open.find(lacks_config).map(|entry| entry.key)
    }

    /// Takes from a container of a dev container how its folder and configuration are written.
    fn correct(&mut self, key: Key, container: &Labelled<'_>) {
        let Some(entry) = self.get(key) else { return };
        let may_be_followed = container.resolved.access.allows_up();
        let is_detected = entry.predefined.is_none() && !entry.is_requested;
        let is_misspelt = may_be_followed
            && is_detected
            && (!entry.resolved.access.allows_up() || entry.is_linked() && !container.is_linked);
        // The container was made from this configuration, also when the search order would find another one by now.
        let lacks_config =
            entry.config.is_none() && container.declared.config.is_some() && may_be_followed;
        if !is_misspelt && !lacks_config {
            return;
        }
        let Some(entry) = self.get_mut(key) else {
            return;
        };
        if is_misspelt {
            entry.correct_spelling(container);
        }
        if lacks_config && entry.config.is_none() {
            entry.config = entry.resolved.config.clone();
        }
    }

    /// Adds a dev container, which has a name only if it had one when it was last known.
    pub(super) fn insert(
        &mut self,
        folder: &Path,
        config: Option<&Path>,
        resolved: Resolved,
    ) -> Key {
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
            is_requested: false,
            is_discovered: false,
            container: None,
            others: Vec::new(),
            left_services: Vec::new(),
            activity: Activity::Idle,
            queued: None,
            held: None,
            last: None,
            repairs: Repairs::default(),
            derived: Derived::default(),
        });
        key
    }

    /// Returns the id of an identity: the same in every run of the daemon (P4), unless a manifest has given it away.
    fn unused_id(&self, key: Key, folder: &Path, config: Option<&Path>) -> Uuid {
        let mut identity = folder.as_os_str().as_bytes().to_vec();
        identity.push(0);
        identity.extend(config.map_or(&b""[..], |config| config.as_os_str().as_bytes()));
        let mut id = Uuid::new_v5(&IDENTITIES, &identity);
        while self.entries.has_other_id(&id, key) {
            id = Uuid::new_v5(&id, b"next");
        }
        id
    }

    /// Forgets a detected dev container. One that is predefined, asked for or found by a search stays.
    pub(super) fn forget(&mut self, key: Key) {
        let is_detected = |entry: &Entry| {
            entry.predefined.is_none() && !entry.is_requested && !entry.is_discovered
        };
        self.drop_where(|entry| entry.key == key && is_detected(entry));
    }

    /// Drops detected dev containers of which nothing is left, and those that turned out to be another one. Returns
    /// them.
    pub(super) fn drop_gone(&mut self) -> Vec<Entry> {
        if self.entries.iter().all(Entry::is_anchored) {
            return Vec::new();
        }
        let folders = self.by_folder();
        let mut gone = HashSet::new();
        let mut doubles = Vec::new();
        for entry in self.entries.iter().filter(|entry| !entry.is_anchored()) {
            // Of several, the first one that something else keeps, or the oldest one, stays.
            let mut siblings = self.siblings(&entry.resolved, &folders);
            let same = siblings.find(|one| {
                let precedes = one.is_anchored() || one.key < entry.key;
                one.key != entry.key && precedes && one.resolved.is_same(&entry.resolved)
            });
            if let Some(same) = same {
                doubles.push((same.key, entry.is_requested, entry.is_discovered));
                gone.insert(entry.key);
            } else if entry.is_unused() && !entry.resolved.folder_exists {
                gone.insert(entry.key);
            }
        }
        for (key, is_requested, is_discovered) in doubles {
            if let Some(same) = self.get_mut(key) {
                same.is_requested |= is_requested;
                same.is_discovered |= is_discovered;
            }
        }
        self.drop_where(|entry| gone.contains(&entry.key))
    }

    /// Drops these dev containers, keeps their names for them, and returns them.
    pub(super) fn drop_where(&mut self, is_gone: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        if !self.entries.iter().any(&is_gone) {
            return Vec::new();
        }
        let gone = self.entries.extract(is_gone);
        self.keep_names(&gone);
        gone
    }
}

impl Entry {
    /// Takes the folder as a label has it that may be followed, instead of one that may not, or that has links.
    fn correct_spelling(&mut self, container: &Labelled<'_>) {
        self.folder = container.declared.folder.clone();
        self.config = container.declared.config.clone();
        self.set_resolved(container.resolved.clone());
    }
}

impl Fleet {
    /// Returns how the dev containers are shown, by workspace folder, then config path. `last` is how they were shown, if
    /// none has come or gone since. Of those, only these have changed.
    pub(super) fn sorted(
        &mut self,
        changed: &[Key],
        last: Option<&[Arc<Devcontainer>]>,
    ) -> Vec<Arc<Devcontainer>> {
        last.and_then(|last| self.in_last_order(changed, last))
            .unwrap_or_else(|| self.in_new_order())
    }

    /// Returns how they are shown, if all are in the same places as before.
    fn in_last_order(
        &self,
        changed: &[Key],
        last: &[Arc<Devcontainer>],
    ) -> Option<Vec<Arc<Devcontainer>>> {
        let mut all = last.to_vec();
        let slots = all.iter_mut().zip(&self.shown);
        for (slot, key) in slots.filter(|(_, key)| changed.binary_search(key).is_ok()) {
            let shown = self.get(*key)?.derived.shown()?;
            if place(shown) != place(slot) {
                return None;
            }
            slot.clone_from(shown);
        }
        (all.len() == self.entries.len()).then_some(all)
    }

    fn in_new_order(&mut self) -> Vec<Arc<Devcontainer>> {
        // The last order needs few corrections, if any, so that sorting takes little time.
        let newest_shown = self.shown.iter().max().copied();
        let entries = self.entries.iter().map(|entry| entry.key);
        let new = entries.filter(|key| newest_shown.is_none_or(|shown| *key > shown));
        let keys = self.shown.iter().copied().chain(new);
        let shown = |key: Key| Some((key, self.get(key)?.derived.shown()?.clone()));
        let mut all: Vec<(Key, Arc<Devcontainer>)> = keys.filter_map(shown).collect();
        all.sort_by(|(one, a), (other, b)| place(a).cmp(&place(b)).then(one.cmp(other)));
        let (keys, all) = all.into_iter().unzip();
        self.shown = keys;
        all
    }

    /// Takes the containers of a dev container, the one to be shown first.
    pub(super) fn set_containers(&mut self, key: Key, containers: Vec<Arc<ContainerInfo>>) {
        let Some(entry) = self.get(key) else { return };
        let addresses = containers.iter().map(Arc::as_ptr);
        let is_same = addresses.eq(entry.containers().map(Arc::as_ptr));
        if is_same && (entry.container.is_some() || entry.has_config_of_definition()) {
            return;
        }
        let Some(entry) = self.get_mut(key) else {
            return;
        };
        let ids = containers.iter().map(|info| &info.id);
        if ids.ne(entry.containers().map(|info| &info.id)) {
            entry.rescans_all = true;
            // A scan that is under way began before these containers were known.
            entry.version += 1;
        }
        let mut containers = containers.into_iter();
        entry.container = containers.next();
        entry.others = containers.collect();
        entry.restore_config();
    }
}

/// Returns by what dev containers are sorted.
pub(super) fn place(shown: &Devcontainer) -> (&str, Option<&str>) {
    (&shown.workspace_folder, shown.config_path.as_deref())
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
