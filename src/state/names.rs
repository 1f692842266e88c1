//! The names of dev containers: how one is found, and for whom it is kept (P21).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::devcontainers::Fleet;
use super::entry::Entry;
use super::links::moved;
use super::persisted::Name;
use crate::model::ids::Key;
use crate::model::location::{Declared, Predefined, Resolved, normal};

/// How many names are kept for dev containers that are not known.
const MAX_RESERVED: usize = 256;
/// The name of a dev container whose folder is `/`.
const ROOT_NAME: &str = "root";

/// The names of dev containers that are not known, those first that are not known for longest.
#[derive(Default)]
pub(super) struct Reservations {
    all: Vec<Reservation>,
    /// True if the names that outlive a restart have changed.
    has_changed: bool,
}

struct Reservation {
    name: Name,
    /// True if its folder exists, as far as is known. Otherwise another dev container may get the name.
    folder_exists: bool,
}

impl Reservations {
    /// Takes the names of the last run. Folders are taken to exist until a listing shows something else.
    pub(super) fn recover(&mut self, names: Vec<Name>) {
        let reserved = names.into_iter().map(|name| Reservation {
            name,
            folder_exists: true,
        });
        self.all = reserved.collect();
    }

    /// Returns the folders to look for.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.all.iter().map(|one| &*one.name.folder)
    }

    /// Takes that of the folders to look for these do not exist.
    pub(super) fn look(&mut self, gone: &HashSet<PathBuf>) {
        for one in &mut self.all {
            one.folder_exists = !gone.contains(&one.name.folder);
        }
    }

    /// Drops some of too many names: first those of folders that are gone, then those that are not known for longest. The
    /// dev containers of a listing have taken theirs back before.
    pub(super) fn trim(&mut self) {
        let mut excess = self.all.len().saturating_sub(MAX_RESERVED);
        self.has_changed |= excess > 0;
        for drops_existing in [false, true] {
            self.all.retain(|one| {
                let is_dropped = excess > 0 && (drops_existing || !one.folder_exists);
                excess -= usize::from(is_dropped);
                !is_dropped
            });
        }
    }

    /// Takes that a folder, which could not be resolved when the names of its dev containers were given, is `target`.
    fn follow(&mut self, folder: &Path, target: &Path) {
        let names = self.all.iter_mut().map(|one| &mut one.name);
        for name in names.filter(|name| name.folder == folder) {
            let config = name.config.as_deref();
            if let Some(config) = config.and_then(|config| moved(config, folder, target)) {
                name.config = Some(config);
            }
            name.folder = target.to_path_buf();
            self.has_changed = true;
        }
    }

    /// Takes back the name of a dev container: the one with this identity, or the only one of its folder, where one of
    /// the two has no configuration, or only one that the search order finds.
    fn claim(&mut self, resolved: &Resolved, is_searched: bool) -> Option<String> {
        let config = &resolved.canonical_config;
        let of_folder = |one: &Reservation| one.name.folder == resolved.folder;
        let exact = |one: &Reservation| of_folder(one) && one.name.config == *config;
        let found = self.all.iter().position(exact).or_else(|| {
            let mut all = self
                .all
                .iter()
                .enumerate()
                .filter(|(_, one)| of_folder(one));
            let (Some((only, one)), None) = (all.next(), all.next()) else {
                return None;
            };
            let may_be_it = is_searched || one.name.config.is_none() || config.is_none();
            may_be_it.then_some(only)
        })?;
        let claimed = self.all.remove(found);
        self.has_changed |= claimed.name.config != *config;
        Some(claimed.name.name)
    }

    /// Takes that a dev container has got this name. Nobody else gets it back.
    fn give(&mut self, name: &str) {
        self.all.retain(|one| one.name.name != name);
        self.has_changed = true;
    }

    fn is_kept(&self, name: &str) -> bool {
        let mut kept = self.all.iter().filter(|one| one.folder_exists);
        kept.any(|one| one.name.name == name)
    }
}

impl Fleet {
    /// Returns all names, those first of dev containers that are not known.
    pub(super) fn names(&self) -> Vec<Name> {
        let reserved = self.reservations.all.iter().map(|one| one.name.clone());
        reserved.chain(self.entries.iter().map(name_of)).collect()
    }

    /// Returns true if names, or links that lead to them, have changed since this was last asked.
    pub(super) fn have_names_changed(&mut self) -> bool {
        let have_links_changed = self.links.have_changed();
        std::mem::take(&mut self.reservations.has_changed) || have_links_changed
    }

    /// Takes where a dev container is, as far as that can be told ([`Links::settle`](super::links::Links::settle)).
    pub(super) fn settle(&mut self, declared: &Declared, place: &mut Resolved) {
        if self.links.settle(declared, place) {
            let folder = normal(&declared.folder);
            self.reservations.follow(&folder, &place.folder);
            let is_there = |entry: &Entry| entry.resolved.folder == folder;
            for entry in self.entries.iter_mut_where(is_there) {
                let known = &mut entry.resolved;
                let config = known.canonical_config.as_deref();
                if let Some(config) =
                    config.and_then(|config| moved(config, &folder, &place.folder))
                {
                    known.canonical_config = Some(config);
                }
                known.folder.clone_from(&place.folder);
            }
        }
    }

    /// Drops the links that lead to no dev container, and to none that has a name.
    pub(super) fn drop_unused_links(&mut self) {
        let Self {
            links,
            reservations,
            entries,
            ..
        } = self;
        let reserved = || reservations.all.iter().map(|one| &one.name);
        links.drop_unused(|target| {
            let is_reserved =
                |name: &Name| name.folder == target || name.config.as_deref() == Some(target);
            reserved().any(is_reserved)
                || entries.iter().any(|entry| entry.resolved.folder == target)
        });
    }

    /// Keeps the names that another daemon has given, but for those of dev containers that have a name here, and those that
    /// another one has here.
    pub(super) fn add_names(&mut self, names: Vec<Name>) {
        let known = self.names();
        let is_new = |name: &Name| {
            let is_known = |one: &Name| {
                one.name == name.name || (one.folder == name.folder && one.config == name.config)
            };
            !known.iter().any(is_known)
        };
        let new = names.into_iter().filter(is_new).map(|name| Reservation {
            name,
            folder_exists: true,
        });
        self.reservations.all.extend(new);
    }

    /// Keeps the names of these dev containers, which are not known any more. The next listing looks for their folders.
    pub(super) fn keep_names(&mut self, gone: &[Entry]) {
        for entry in gone {
            let mut others = self.entries.iter();
            if others.any(|other| other.resolved.is_same(&entry.resolved)) {
                self.reservations.has_changed = true;
                continue;
            }
            self.reservations.all.push(Reservation {
                name: name_of(entry),
                folder_exists: true,
            });
        }
    }

    /// Returns the name that a dev container had when it was last known, unless another one has it by now. With
    /// `is_searched`, no configuration is named for it.
    pub(super) fn claim_name(&mut self, resolved: &Resolved, is_searched: bool) -> Option<String> {
        let name = self.reservations.claim(resolved, is_searched)?;
        self.entries.named(&name).is_none().then_some(name)
    }

    /// Gives a dev container without a name the last part of its folder, with the name of the folder above where it is
    /// taken, and then a number.
    pub(super) fn give_name(&mut self, key: Key) {
        let Some(entry) = self.get(key).filter(|entry| entry.name.is_empty()) else {
            return;
        };
        let folder = &entry.resolved.folder;
        let (last, above) = parts(folder);
        // The name of the folder above says nothing of two dev containers of one folder.
        let named = self.entries.named(&last);
        let is_of_sibling = named.is_some_and(|other| other.resolved.folder == *folder);
        let base = match above {
            Some(above) if self.is_taken(&last, key) && !is_of_sibling => format!("{above}-{last}"),
            _ => last,
        };
        self.set_name(key, &base);
    }

    /// Gives these dev containers the names of their definitions. Names are taken from all that get another one before
    /// any is given, so that they can be exchanged.
    pub(super) fn give_defined_names(&mut self, defined: &[(Key, Predefined)]) {
        let named = || {
            let given =
                |(key, predefined): &(Key, Predefined)| Some((*key, predefined.name.clone()?));
            defined.iter().filter_map(given)
        };
        self.numbers.clear();
        for (key, name) in named() {
            if self.get(key).is_some_and(|entry| entry.name != name) {
                self.entries.rename(key, String::new());
            }
        }
        for (key, name) in named() {
            if self.get(key).is_some_and(|entry| entry.name.is_empty()) {
                self.set_name(key, &name);
            }
        }
        for (key, _) in defined {
            self.give_name(*key);
        }
    }

    /// Gives a dev container this name, with the first of `-2`, `-3`, … where it is taken.
    fn set_name(&mut self, key: Key, name: &str) {
        let first = self.numbers.get(name).copied().unwrap_or(1);
        let numbered = (first..).map(|number| match number {
            1 => (number, name.to_owned()),
            _ => (number, format!("{name}-{number}")),
        });
        let mut free = numbered.filter(|(_, candidate)| !self.is_taken(candidate, key));
        let Some((number, free)) = free.next() else {
            return;
        };
        self.numbers.insert(name.to_owned(), number + 1);
        self.reservations.give(&free);
        self.entries.rename(key, free);
    }

    /// Returns true if another dev container has this name, or it is kept for one.
    fn is_taken(&self, name: &str, key: Key) -> bool {
        let named = self.entries.named(name);
        named.is_some_and(|other| other.key != key) || self.reservations.is_kept(name)
    }
}

fn name_of(entry: &Entry) -> Name {
    Name {
        folder: entry.resolved.folder.clone(),
        config: entry.resolved.canonical_config.clone(),
        name: entry.name.clone(),
    }
}

/// Returns the last part of a resolved folder and the name of the folder above, for paths of Windows, too.
fn parts(folder: &Path) -> (String, Option<String>) {
    let text = folder.to_string_lossy();
    let is_of_windows = text.starts_with(r"\\") || text.get(1..3) == Some(r":\");
    let mut parts: Vec<&str> = text
        .split(|c| c == '/' || (is_of_windows && c == '\\'))
        .filter(|part| !["", "."].contains(part))
        .collect();
    let last = parts.pop().unwrap_or(ROOT_NAME).to_owned();
    let above = parts.pop().filter(|part| !part.ends_with(':'));
    (last, above.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p21_the_parts_of_a_folder_are_those_of_its_path() {
        for (folder, last, above) in [
            ("/", "root", None),
            ("/proj", "proj", None),
            ("/x/proj", "proj", Some("x")),
            (r"/x/a\b", r"a\b", Some("x")),
            (r"\\wsl.localhost\Debian\home\me\proj", "proj", Some("me")),
            (r"c:\Users\me\proj", "proj", Some("me")),
            (r"c:\proj", "proj", None),
        ] {
            let expected = (last.to_owned(), above.map(str::to_owned));
            assert_eq!(parts(Path::new(folder)), expected, "{folder}");
        }
    }
}
