//! The dev containers: identity, ids, names, and which containers belong to them.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::operation::{Activity, PastOperation};
use super::repair::Repairs;
use crate::base::sort::by_text;
use crate::model::container::ContainerInfo;
use crate::model::ids::Key;
use crate::model::inputs::Inputs;
use crate::model::location::{CliPaths, Declared, Predefined, Resolved, Source};

/// Ids of dev containers are UUIDs of version 5 below this one (P4).
const IDENTITIES: Uuid = Uuid::from_u128(0x0f4b_70c2_41bb_4dfa_8d3c_c1f1_5a3c_8e27);
/// The name of a dev container whose folder is `/`.
const ROOT_NAME: &str = "root";

/// A dev container.
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) id: Uuid,
    pub(super) name: String,
    /// As it was written.
    pub(super) folder: PathBuf,
    /// As it was written, in the manifest or in the label of its container; `None` where the search order finds it.
    pub(super) config: Option<PathBuf>,
    pub(super) place: Resolved,
    /// What its container is made from, where that may be looked at.
    pub(super) site: Option<Arc<CliPaths>>,
    /// The same as it was when it was last looked at.
    pub(super) inputs: Option<Arc<Inputs>>,
    /// Whether they are to be looked at without regard to that: it has other containers.
    pub(super) rescans_all: bool,
    /// Counts what was found of them, and what makes it necessary to look at them all anew.
    pub(super) version: u32,
    /// What was said of it beforehand; `None` for one that was detected.
    pub(super) predefined: Option<Predefined>,
    /// The container that counts.
    pub(super) container: Option<Arc<ContainerInfo>>,
    /// More containers of it, none of which counts.
    pub(super) others: Vec<Arc<ContainerInfo>>,
    /// What is being done to its containers.
    pub(super) activity: Activity,
    /// The operation that ended last; `None` from the beginning of the next one.
    pub(super) last: Option<PastOperation>,
    /// What is known of the repair of what operations left.
    pub(super) repairs: Repairs,
}

impl Entry {
    /// Where it is, as it was written.
    pub(super) fn address(&self) -> Declared {
        Declared {
            folder: self.folder.clone(),
            config: self.config.clone(),
            source: self.source(),
        }
    }

    /// Its folder and configuration are here now. What was known of other inputs is forgotten.
    pub(super) fn settle_at(&mut self, place: Resolved) {
        self.place = place;
        let site = self.place.cli_paths(&self.folder);
        if self.site.as_deref() != site.as_ref() {
            self.site = site.map(Arc::new);
            self.inputs = None;
        }
    }

    /// Without a container, its configuration is again what was said beforehand.
    pub(super) fn give_back_config(&mut self) {
        if self.container.is_none()
            && let Some(predefined) = &self.predefined
        {
            self.config = predefined.config.clone();
        }
    }

    /// Who named its config.
    pub(super) fn source(&self) -> Source {
        match &self.predefined {
            Some(predefined) if predefined.config == self.config => Source::Predefined,
            _ => Source::Label,
        }
    }

    fn is_defined_by(&self, predefined: &Predefined) -> bool {
        let before = self.predefined.as_ref();
        before.is_some_and(|b| b.folder == predefined.folder && b.config == predefined.config)
    }

    /// Whether it may go when nothing defines it any more.
    fn is_unused(&self) -> bool {
        self.predefined.is_none() && self.container.is_none() && !self.is_busy()
    }

    /// Where the lines of its operations' logs belong.
    pub(super) fn log_source(&self) -> Uuid {
        let predefined = self.predefined.as_ref();
        predefined
            .and_then(|p| p.log_source)
            .unwrap_or(super::FALLBACK_LOG_SOURCE)
    }

    /// All containers of it, the one that counts first.
    pub(super) fn containers(&self) -> impl Iterator<Item = &Arc<ContainerInfo>> {
        self.container.iter().chain(&self.others)
    }
}

/// A container that has the labels of a dev container, and where they point.
pub(super) struct Labelled<'a> {
    pub(super) info: &'a Arc<ContainerInfo>,
    pub(super) folder: &'a str,
    pub(super) config: Option<&'a str>,
    pub(super) place: &'a Resolved,
}

/// All dev containers.
#[derive(Default)]
pub(super) struct Fleet {
    pub(super) entries: Vec<Entry>,
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

    /// New ones are added at the end, so that they are sorted by key.
    fn index(&self, key: Key) -> Option<usize> {
        self.entries
            .binary_search_by_key(&key, |entry| entry.key)
            .ok()
    }

    /// The one with this id or name. Ids come first: a name may look like one.
    pub(super) fn find(&self, id_or_name: &str) -> Option<&Entry> {
        let id = Uuid::parse_str(id_or_name).ok();
        let by_id = self.entries.iter().find(|entry| Some(entry.id) == id);
        by_id.or_else(|| self.entries.iter().find(|entry| entry.name == id_or_name))
    }

    /// Takes these as the predefined ones, in place of those before. Returns what is wrong with them.
    pub(super) fn predefine(&mut self, defined: Vec<(Predefined, Resolved)>) -> Vec<String> {
        let mut errors = Vec::new();
        let mut current = HashSet::new();
        for (predefined, place) in defined {
            let known = self.entries.iter().find(|entry| {
                entry.is_defined_by(&predefined)
                    || entry.place.is_same(&place)
                    || predefined.id == Some(entry.id)
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
                    place.clone(),
                ),
            };
            current.insert(key);
            self.redefine(key, predefined, place);
        }
        for entry in &mut self.entries {
            if !current.contains(&entry.key) {
                entry.predefined = None;
            }
        }
        self.entries.retain(|entry| !entry.is_unused());
        errors
    }

    fn redefine(&mut self, key: Key, predefined: Predefined, place: Resolved) {
        let name = predefined.name.as_deref();
        let name = name.map(|name| self.unique_name(name, Some(key)));
        let Some(entry) = self.get_mut(key) else {
            return;
        };
        entry.id = predefined.id.unwrap_or(entry.id);
        entry.name = name.unwrap_or_else(|| std::mem::take(&mut entry.name));
        entry.folder = predefined.folder.clone();
        entry.config = predefined.config.clone();
        entry.predefined = Some(predefined);
        entry.settle_at(place);
    }

    /// The dev container that a container belongs to; one that is not known yet is added.
    pub(super) fn adopt(&mut self, container: &Labelled<'_>) -> Key {
        let place = container.place;
        let same = self.entries.iter_mut().find(|e| e.place.is_same(place));
        if let Some(entry) = same {
            // What the search found is what the container was made from, also when it would find another one.
            if entry.config.is_none() && container.config.is_some() && place.access.allows_up() {
                entry.config = entry.place.config.clone();
            }
            return entry.key;
        }
        let mut same_folder = self
            .entries
            .iter_mut()
            .filter(|entry| entry.place.folder == place.folder);
        match place.canonical_config {
            // A label that may not be followed gives nobody its config.
            Some(_) if place.access.allows_up() => {
                if let Some(entry) = same_folder.find(|e| e.place.canonical_config.is_none()) {
                    entry.config = place.config.clone();
                    let settled = Resolved {
                        config: place.config.clone(),
                        canonical_config: place.canonical_config.clone(),
                        ..entry.place.clone()
                    };
                    entry.settle_at(settled);
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
        let config = container.config.map(Path::new);
        self.insert(Path::new(container.folder), config, place.clone())
    }

    fn insert(&mut self, folder: &Path, config: Option<&Path>, place: Resolved) -> Key {
        self.last_key += 1;
        let key = Key::new(self.last_key);
        // The last part of `/w/.` and of `/w/x/..` is that of what they mean.
        let last_part = place.folder.file_name().unwrap_or(ROOT_NAME.as_ref());
        let given = config.and(place.canonical_config.as_deref());
        let site = place.cli_paths(folder).map(Arc::new);
        self.entries.push(Entry {
            key,
            id: self.unused_id(&place.folder, given),
            name: self.unique_name(&last_part.to_string_lossy(), None),
            folder: folder.to_path_buf(),
            config: config.map(Path::to_path_buf),
            place,
            site,
            inputs: None,
            rescans_all: false,
            version: 0,
            predefined: None,
            container: None,
            others: Vec::new(),
            activity: Activity::Idle,
            last: None,
            repairs: Repairs::default(),
        });
        key
    }

    /// The same for the same identity, whenever it is asked (P4).
    fn unused_id(&self, folder: &Path, config: Option<&Path>) -> Uuid {
        let mut identity = folder.as_os_str().as_bytes().to_vec();
        identity.push(0);
        identity.extend(config.map_or(&b""[..], |config| config.as_os_str().as_bytes()));
        let mut id = Uuid::new_v5(&IDENTITIES, &identity);
        // A manifest may have given this id to another one.
        while self.entries.iter().any(|entry| entry.id == id) {
            id = Uuid::new_v5(&id, b"next");
        }
        id
    }

    /// `name`, or with the first of `-2`, `-3`, … that nobody but `owner` has.
    fn unique_name(&self, name: &str, owner: Option<Key>) -> String {
        let others = self.entries.iter().filter(|e| Some(e.key) != owner);
        let taken: HashSet<&str> = others.map(|entry| entry.name.as_str()).collect();
        let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
        std::iter::once(name.to_owned())
            .chain(numbered)
            .find(|candidate| !taken.contains(candidate.as_str()))
            .unwrap_or_default()
    }

    /// Forgets a detected dev container. A predefined one stays.
    pub(super) fn forget(&mut self, key: Key) {
        self.entries
            .retain(|entry| entry.key != key || entry.predefined.is_some());
    }

    /// Drops the detected ones of which nothing is left, and those that turned out to be another one.
    pub(super) fn drop_gone(&mut self) {
        let places: Vec<(Key, Resolved)> = self
            .entries
            .iter()
            .map(|entry| (entry.key, entry.place.clone()))
            .collect();
        self.entries.retain(|entry| {
            let is_double =
                |(key, place): &(Key, Resolved)| *key != entry.key && place.is_same(&entry.place);
            let stays = entry.place.folder_exists && !places.iter().any(is_double);
            stays || !entry.is_unused()
        });
    }
}

/// Containers of one dev container, the one that counts first: running before stopped, then the newest.
pub(super) fn by_precedence(containers: Vec<Arc<ContainerInfo>>) -> Vec<Arc<ContainerInfo>> {
    by_text(containers, |info| {
        let age = i64::MAX.abs_diff(info.created_at.as_nanos());
        let mut text = vec![u8::from(!info.running)];
        text.extend(age.to_be_bytes());
        text.extend(info.id.as_bytes());
        text
    })
}
