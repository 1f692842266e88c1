//! The places to which paths with links lead (P4, P21): while a path cannot be resolved, it means the place that it meant
//! before.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::persisted::Link;
use crate::model::location::{Declared, Resolved, normal};

/// The paths of dev containers that lead elsewhere than their words say.
#[derive(Default)]
pub(super) struct Links {
    /// The canonical path, by the path as it is written.
    all: BTreeMap<PathBuf, PathBuf>,
    /// The paths that were settled since links were last dropped.
    seen: HashSet<PathBuf>,
    /// True if there is something to be saved.
    has_changed: bool,
}

impl Links {
    /// Takes the links of the last run.
    pub(super) fn recover(&mut self, links: Vec<Link>) {
        self.all = links
            .into_iter()
            .map(|one| (one.path, one.target))
            .collect();
    }

    /// Adds links that another daemon has found.
    pub(super) fn add(&mut self, links: Vec<Link>) {
        for link in links {
            self.all.entry(link.path).or_insert(link.target);
        }
    }

    /// Returns all links.
    pub(super) fn persisted(&self) -> Vec<Link> {
        let all = self.all.iter().map(|(path, target)| Link {
            path: path.clone(),
            target: target.clone(),
        });
        all.collect()
    }

    /// Returns true if links have changed since this was last asked.
    pub(super) fn have_changed(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Learns where the paths of a dev container lead. Where the links of its folder cannot be followed now, the place
    /// becomes the one to which they led before. Returns true if the folder is found to lead elsewhere for the first time.
    pub(super) fn settle(&mut self, declared: &Declared, place: &mut Resolved) -> bool {
        let folder = normal(&declared.folder);
        let config = place.config.as_deref().map(normal);
        // Where only the last parts of the path are missing, the links before them are known.
        let leads = place.folder_exists || place.folder != folder;
        if leads && !place.access.is_silent() {
            self.seen.extend(config.clone());
            if let Some((config, canonical)) = config.zip(place.canonical_config.as_ref()) {
                let led = moved(&config, &folder, &place.folder);
                self.learn(config, canonical, led.as_deref());
            }
            let is_known = self.all.contains_key(&folder);
            self.learn(folder, &place.folder, None) && !is_known
        } else {
            self.seen.extend(config.clone());
            if let Some(target) = self.all.get(&folder) {
                if let Some(config) = config {
                    let known = self.all.get(&config).cloned();
                    place.canonical_config = known
                        .or_else(|| moved(&config, &folder, target))
                        .or(place.canonical_config.take());
                }
                place.folder.clone_from(target);
            }
            self.seen.insert(folder);
            false
        }
    }

    /// Learns that a path leads to `target`. Nothing is to be remembered where its words say so, or where it is `led` there.
    /// Returns true if it leads elsewhere.
    fn learn(&mut self, path: PathBuf, target: &Path, led: Option<&Path>) -> bool {
        self.seen.insert(path.clone());
        if led.unwrap_or(&path) == target {
            self.has_changed |= self.all.remove(&path).is_some();
            return false;
        }
        if self.all.get(&path).is_none_or(|before| before != target) {
            self.all.insert(path, target.to_path_buf());
            self.has_changed = true;
        }
        true
    }

    /// Drops the links to which neither a path leads that was settled since this was last done, nor `is_needed` says so of
    /// the target.
    pub(super) fn drop_unused(&mut self, is_needed: impl Fn(&Path) -> bool) {
        let seen = std::mem::take(&mut self.seen);
        let before = self.all.len();
        self.all
            .retain(|path, target| seen.contains(path) || is_needed(target));
        self.has_changed |= self.all.len() != before;
    }
}

/// Returns where `path` is when `folder`, which it is in, is at `target`.
pub(super) fn moved(path: &Path, folder: &Path, target: &Path) -> Option<PathBuf> {
    Some(target.join(path.strip_prefix(folder).ok()?))
}
