//! The places whose file systems do not answer.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::daemon::mounts::Mounts;

/// Identifies a thread that looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u64);

/// A place that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// All that is below these mounts, which a network or another process serves.
    Mounts(Vec<PathBuf>),
    /// The item with these paths. Nothing tells which file system it waits for, so that what is beside or below it is
    /// not silent: the author of a label chooses paths freely.
    Item(Vec<PathBuf>),
}

impl Place {
    /// Returns the place of an item with these paths, of which `mounts` are known.
    pub(super) fn of(paths: &[PathBuf], mounts: Vec<PathBuf>) -> Self {
        if mounts.is_empty() {
            Self::Item(paths.to_vec())
        } else {
            Self::Mounts(mounts)
        }
    }

    /// Returns whether an item with these paths is here, by their words alone.
    fn includes(&self, paths: &[PathBuf]) -> bool {
        match self {
            Self::Mounts(_) => paths.iter().any(|path| self.is_around(path)),
            Self::Item(own) => {
                // One look may know fewer paths of an item than another one.
                let is_part =
                    |of: &[PathBuf], all: &[PathBuf]| of.iter().all(|path| all.contains(path));
                !own.is_empty() && !paths.is_empty() && (is_part(own, paths) || is_part(paths, own))
            }
        }
    }

    fn is_around(&self, path: &Path) -> bool {
        match self {
            Self::Mounts(points) => points.iter().any(|point| path.starts_with(point)),
            Self::Item(_) => false,
        }
    }
}

/// The places at which threads were left behind, each until its thread comes back.
#[derive(Default)]
pub(super) struct Silences {
    all: Mutex<Vec<(Id, Place)>>,
    /// Their number, so that looking costs nothing where there are none.
    number: AtomicUsize,
    last_id: AtomicU64,
}

impl Silences {
    /// Returns an identity for a thread.
    pub(super) fn new_id(&self) -> Id {
        Id(self.last_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns how many threads were left behind.
    pub(super) fn number(&self) -> usize {
        self.number.load(Ordering::Acquire)
    }

    /// Returns whether an item with these paths is at such a place, by the words of its paths.
    pub(super) fn include(&self, paths: impl FnOnce() -> Vec<PathBuf>) -> bool {
        if self.number() == 0 {
            return false;
        }
        let all = self.all();
        let paths = paths();
        all.iter().any(|(_, place)| place.includes(&paths))
    }

    /// Returns whether one of these paths leads to such a place by links. It reads them, so that it may hang.
    pub(super) fn are_behind(&self, paths: impl FnOnce() -> Vec<PathBuf>) -> bool {
        if self.number() == 0 {
            return false;
        }
        let mounts = Mounts::read();
        let points = paths();
        let points = points.iter().filter_map(|path| mounts.behind(path));
        // The links are read before the lock is taken.
        let points: Vec<PathBuf> = points.collect();
        let all = self.all();
        let is_silent = |point: &PathBuf| all.iter().any(|(_, place)| place.is_around(point));
        points.iter().any(is_silent)
    }

    /// Notes that a thread was left behind at a place.
    pub(super) fn begin(&self, id: Id, place: Place) {
        let mut all = self.all();
        all.push((id, place));
        self.number.store(all.len(), Ordering::Release);
    }

    /// Notes that a thread came back.
    pub(super) fn end(&self, id: Id) {
        let mut all = self.all();
        all.retain(|(one, _)| *one != id);
        self.number.store(all.len(), Ordering::Release);
    }

    fn all(&self) -> MutexGuard<'_, Vec<(Id, Place)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(texts: &[&str]) -> Vec<PathBuf> {
        texts.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn a_place_is_silent_until_its_threads_are_back() {
        let silences = Silences::default();
        let include = |path: &str| silences.include(|| paths(&[path]));
        let place = || Place::of(&paths(&["/m/a"]), paths(&["/m"]));
        let (first, second) = (silences.new_id(), silences.new_id());
        assert!(!include("/m/a"));
        silences.begin(first, place());
        silences.begin(second, place());
        assert!(include("/m/b/below"));
        assert!(silences.include(|| paths(&["/", "/m/b"])));
        assert!(!include("/ma"));
        silences.end(first);
        assert!(include("/m"));
        silences.end(second);
        assert!(!include("/m"));
        assert_eq!(silences.number(), 0);
    }

    #[test]
    fn p22_an_item_on_no_remote_mount_makes_only_itself_silent() {
        let silences = Silences::default();
        let own = paths(&["/w", "/w/x/devcontainer.json"]);
        silences.begin(silences.new_id(), Place::of(&own, Vec::new()));
        for (others, is_silent) in [
            (&["/w", "/w/x/devcontainer.json"][..], true),
            (&["/w/.", "/w/x/devcontainer.json", "/v"], true),
            (&["/w/app"], false),
            (&["/w/app", "/w/app/devcontainer.json"], false),
            (&["/w", "/w/other.json"], false),
            (&[], false),
        ] {
            assert_eq!(silences.include(|| paths(others)), is_silent, "{others:?}");
        }
    }
}
