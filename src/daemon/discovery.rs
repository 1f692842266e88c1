//! Finds dev containers below the directories of `--discover`, when somebody asks.
//!
//! The watcher tells when something has come or gone there. That alone costs nothing: only a request, or interest in what
//! changes, leads to a search (P9). A directory that does not answer keeps what was found in it before (P22).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{Disk, Silent};
use super::shared::Shared;
use crate::base::notify::RescanSignal;
use crate::devcontainer::discover::{MAX_FOLDERS, MAX_FOUND, Search};
use crate::model::location::{Declared, Source};
use crate::state::Fact;

/// How much longer than a search the rest is that follows it, so that a program that makes directories all the time does
/// not keep the daemon busy.
const REST: u32 = 4;
/// The longest rest.
const MAX_REST: Duration = Duration::from_secs(2);
/// The age from which a search is made anew where the kernel does not tell of all changes.
const UNTOLD_AGE: Duration = Duration::from_secs(1);

/// Searches below the directories of `--discover`.
pub struct Discovery {
    /// As they were given.
    directories: Vec<PathBuf>,
    /// The file with the patterns that git ignores for this user everywhere.
    global: Option<PathBuf>,
    disk: Arc<Disk>,
    shared: Arc<Shared>,
    /// Wakes the watcher, which watches what was searched.
    rescan_signal: RescanSignal,
    /// True if something may have come or gone since the last search.
    is_due: AtomicBool,
    /// True if the kernel tells of all that comes and goes.
    is_told: AtomicBool,
    /// Held while a search is under way, so that it serves all who wait.
    last: Mutex<LastSearch>,
    watch_list: Mutex<Arc<WatchList>>,
}

/// The result of the last search.
#[derive(Default)]
struct LastSearch {
    /// When it ended, and how long it took.
    ended: Option<(Instant, Duration)>,
    /// The finds in each directory.
    searches: Vec<Option<Search>>,
    /// The dev containers that the state has.
    found: Vec<Declared>,
    warnings: Vec<String>,
}

/// The paths to watch, so that the kernel tells of what comes and goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WatchList {
    /// The directories of `--discover`, which may not exist.
    pub places: Vec<PathBuf>,
    /// The directories in which configurations come and go.
    pub directories: Vec<PathBuf>,
    /// The files that decide which directories these are.
    pub files: Vec<PathBuf>,
}

impl Discovery {
    /// Returns the search below these directories. `disk` is asked for them, and `rescan_signal` wakes the watcher.
    pub fn new(
        directories: Vec<PathBuf>,
        disk: Arc<Disk>,
        shared: Arc<Shared>,
        rescan_signal: RescanSignal,
    ) -> Self {
        Self {
            is_due: AtomicBool::new(!directories.is_empty()),
            directories,
            global: global_ignore_file(),
            disk,
            shared,
            rescan_signal,
            is_told: AtomicBool::new(false),
            last: Mutex::default(),
            watch_list: Mutex::default(),
        }
    }

    /// Notes that something may have come or gone.
    pub(super) fn become_due(&self) {
        if !self.directories.is_empty() {
            self.is_due.store(true, Ordering::Release);
        }
    }

    /// Takes whether the kernel tells of all that comes and goes in what is to be watched.
    pub(super) fn set_told(&self, is_told: bool) {
        self.is_told.store(is_told, Ordering::Release);
    }

    /// Returns what is to be watched. It is the same object until something else is.
    pub(super) fn watch_list(&self) -> Arc<WatchList> {
        let list = self.watch_list.lock();
        list.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how long the watcher has to wait until it searches, if it has to: somebody follows what changes.
    pub(super) fn due_in(&self) -> Option<Duration> {
        if !self.is_due.load(Ordering::Acquire) {
            return None;
        }
        let has_interest = self.shared.read(|state| state.has_interest(Instant::now()));
        // Whoever searches now wakes the watcher if something has come or gone meanwhile.
        let last = self.last.try_lock().ok().filter(|_| has_interest)?;
        Some(last.rest())
    }

    /// Searches if something may have come or gone since the last search. Returns when that is done.
    pub fn refresh(&self) {
        if self.directories.is_empty() {
            return;
        }
        let mut last = self.last();
        let is_due = self.is_due.load(Ordering::Acquire);
        let is_told = self.is_told.load(Ordering::Acquire);
        let is_old = || last.age().is_none_or(|age| age >= UNTOLD_AGE);
        if is_due && last.rest().is_zero() || !is_told && is_old() {
            self.search_now(&mut last);
        }
    }

    /// Searches, as what was to be watched does not answer.
    pub(super) fn refresh_silent(&self) {
        if !self.directories.is_empty() {
            self.search_now(&mut self.last());
        }
    }

    fn search_now(&self, last: &mut LastSearch) {
        // Changes from now on are for the next search.
        self.is_due.store(false, Ordering::Release);
        let begun = Instant::now();
        self.search(last);
        last.ended = Some((Instant::now(), begun.elapsed()));
        if self.is_due.load(Ordering::Acquire) {
            self.rescan_signal.request();
        }
    }

    fn search(&self, last: &mut LastSearch) {
        last.searches.resize_with(self.directories.len(), || None);
        let mut warnings = Vec::new();
        let mut watch_list = WatchList::default();
        for (directory, known) in self.directories.iter().zip(&mut last.searches) {
            let shown = directory.display();
            let found = self.disk.search(directory, self.global.clone());
            if found.is_ok() {
                watch_list.places.push(directory.clone());
            }
            match found {
                Ok(Ok(search)) => {
                    watch_list.directories.extend(search.directories.iter().cloned());
                    watch_list.files.extend(search.ignore_files.iter().cloned());
                    if search.is_cut {
                        warnings.push(format!(
                            "--discover {shown}: not all folders are looked at, but {MAX_FOLDERS} at most, in which \
                             {MAX_FOUND} configurations are found; name folders below it instead"
                        ));
                    }
                    *known = Some(search);
                }
                Ok(Err(error)) => {
                    warnings.push(format!(
                        "--discover {shown}: {error}; nothing is found there until it is a directory that can be read"
                    ));
                    *known = None;
                }
                Err(Silent) => warnings.push(format!(
                    "--discover {shown}: its file system does not answer; it is looked at again when it answers"
                )),
            }
        }
        self.publish(watch_list);
        self.report(last, warnings);
    }

    /// Lets the watcher watch what was searched.
    fn publish(&self, new: WatchList) {
        let list = self.watch_list.lock();
        let mut list = list.unwrap_or_else(PoisonError::into_inner);
        if **list != new {
            *list = Arc::new(new);
            self.rescan_signal.request();
        }
    }

    /// Tells the state what was found, if it is something else than before.
    fn report(&self, last: &mut LastSearch, warnings: Vec<String>) {
        // Directories may overlap. The state knows what it has taken already.
        let searches = last.searches.iter().flatten();
        let candidates = searches.flat_map(|search| &search.candidates);
        let declared: Vec<Declared> = candidates
            .map(|one| Declared {
                folder: one.folder.clone(),
                config: Some(one.config.clone()),
                source: Source::Discovery,
            })
            .collect();
        let found = self.disk.resolve_found(declared).into_iter();
        let found = found.filter_map(|(declared, found)| match found {
            Ok(found) => Some((declared, found?)),
            // It stays where it was.
            Err(Silent) => last.found.contains(&declared).then(|| {
                let place = self.shared.read(|state| state.silent_place(&declared));
                (declared, place)
            }),
        });
        let found: Vec<_> = found.collect();
        for warning in warnings.iter().filter(|one| !last.warnings.contains(one)) {
            log::warn!("{warning}");
        }
        let is_same = found.iter().map(|(declared, _)| declared).eq(&last.found);
        if is_same && warnings == last.warnings {
            return;
        }
        last.found = found.iter().map(|(declared, _)| declared.clone()).collect();
        last.warnings.clone_from(&warnings);
        self.shared.apply(Fact::Discovered(found, warnings));
    }

    fn last(&self) -> MutexGuard<'_, LastSearch> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LastSearch {
    fn age(&self) -> Option<Duration> {
        self.ended.map(|(at, _)| at.elapsed())
    }

    /// Returns how long the next search has to wait.
    fn rest(&self) -> Duration {
        let left = self
            .ended
            .map(|(at, took)| (took * REST).min(MAX_REST).saturating_sub(at.elapsed()));
        left.unwrap_or_default()
    }
}

/// Returns the file with the patterns that git ignores everywhere, unless its configuration names another one
/// (`core.excludesFile` of git-config(1)).
fn global_ignore_file() -> Option<PathBuf> {
    let directory = |name| std::env::var_os(name).map(PathBuf::from);
    let config = directory("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let config = config.or_else(|| Some(directory("HOME")?.join(".config")))?;
    config
        .is_absolute()
        .then(|| config.join(Path::new("git/ignore")))
}
