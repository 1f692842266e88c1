//! The thread that learns from inotify(7) that an input may have changed.
//!
//! An event is only a hint to scan the inputs again; the files themselves say what has changed. The directories are
//! watched rather than the files, because most programs replace a file instead of writing into it.

mod file_systems;
mod plan;
mod watches;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::plan::Tracer;
use self::watches::{Hints, WatchError, Watches};
use super::current::Observer;
use super::discovery::{Discovery, WatchList};
use super::disk::{Disk, Silent};
use super::shared::Shared;
use super::vigil::{Targets, Vigil, Watched, have_same_paths, paths};
use crate::base::notify::RescanSignal;
use crate::base::poll::wait;
use crate::model::ids::Key;
use crate::model::inputs::{ForceReread, file_id};
use crate::state::Fact;

/// The time after an event during which more events are collected, because programs save a file in several steps.
const PAUSE: Duration = Duration::from_millis(20);
/// The maximum number of scans in a row. A scan of newly watched paths may find more paths to watch.
const ROUNDS: usize = 10;

/// The thread that watches the inputs of all dev containers.
pub struct Watcher {
    shared: Arc<Shared>,
    observer: Arc<Observer>,
    disk: Arc<Disk>,
    rescan_signal: RescanSignal,
    vigil: Arc<Vigil>,
    discovery: Arc<Discovery>,
    /// `None` while there is no inotify instance.
    watches: Option<Watches>,
    /// The targets whose paths are completely watched, or `None` if they must be traced again.
    traced: Option<Targets>,
    /// The paths that are watched for the search below the directories of `--discover`.
    searched: Arc<WatchList>,
    /// Those of which the kernel does not tell all. `None` if it does not of any.
    untold: Option<Vec<Key>>,
    /// When the last watch was made.
    armed_at: Instant,
}

/// The outcome of watching what a plan names.
struct Armed {
    /// True if anything is watched that was not watched before.
    added: bool,
    /// The first thing that cannot be watched.
    failure: Option<WatchError>,
    /// True if the kernel tells of every change of what is watched.
    is_told_all: bool,
    /// The dev containers of which the kernel does not tell all, sorted.
    untold: Vec<Key>,
    /// True if something is watched for the search that was not watched before.
    added_for_search: bool,
    /// True if the kernel tells of all that a search would find.
    tells_search: bool,
}

impl Armed {
    fn failed(added: bool, failure: WatchError) -> Self {
        Self {
            added,
            failure: Some(failure),
            is_told_all: false,
            untold: Vec::new(),
            added_for_search: false,
            tells_search: false,
        }
    }
}

impl Watcher {
    /// Returns a watcher that watches nothing yet. If there is no inotify instance, it tries again later.
    pub fn new(
        shared: Arc<Shared>,
        observer: Arc<Observer>,
        disk: Arc<Disk>,
        rescan_signal: RescanSignal,
        vigil: Arc<Vigil>,
        discovery: Arc<Discovery>,
    ) -> Self {
        Self {
            shared,
            observer,
            disk,
            rescan_signal,
            vigil,
            discovery,
            watches: Watches::new().ok(),
            traced: None,
            searched: Arc::default(),
            untold: None,
            armed_at: Instant::now(),
        }
    }

    /// Watches and scans until the process ends. Sleeps while nothing happens.
    pub fn run(mut self) {
        loop {
            let mut fds = vec![PollFd::new(&self.rescan_signal, PollFlags::IN)];
            if let Some(watches) = &self.watches {
                fds.push(PollFd::new(watches, PollFlags::IN));
            }
            // Only while somebody follows what changes, and something has.
            let due = self.discovery.due_in().map(timeout);
            if poll(&mut fds, due.as_ref()).is_err() {
                continue;
            }
            self.vigil.suspend();
            let is_requested = self.rescan_signal.take();
            let mut hints = self.read_hints();
            if self.rescan_signal.take_retrace() {
                // Something was found that no event had reported, or a place answers again.
                (hints.any, hints.retrace) = (true, true);
            }
            if hints.overflow {
                // Directories may have come and gone without an event, so that no watch can be trusted.
                log::info!("too many file events at once: rescanning all inputs");
                (self.watches, self.traced) = (None, None);
            }
            if hints.search || hints.retrace {
                self.discovery.become_due();
            }
            if self.discovery.due_in().is_some() {
                self.discovery.refresh();
            }
            let has_armed = (is_requested || hints.any) && self.scan(&hints);
            self.vigil.resume(hints.any || has_armed, self.watched());
        }
    }

    /// Returns what is watched, if the kernel tells of changes of it.
    fn watched(&self) -> Option<Watched> {
        let untold = self.untold.clone()?;
        let targets = self.traced.clone()?;
        let events = self.watches.as_ref()?.events();
        Some(Watched {
            targets,
            untold,
            events,
            since: self.armed_at,
        })
    }

    /// Reads the pending events. If there are any, reads those of the next [`PAUSE`] too.
    fn read_hints(&mut self) -> Hints {
        let mut hints = Hints::default();
        let Some(watches) = &mut self.watches else {
            return hints;
        };
        watches.read(&mut hints);
        if hints.any {
            let deadline = Instant::now() + PAUSE;
            while Instant::now() < deadline {
                wait(&mut [PollFd::new(watches, PollFlags::IN)], deadline);
                watches.read(&mut hints);
            }
        }
        hints
    }

    /// Scans the inputs if there are hints, and watches the paths of the inputs that are found.
    ///
    /// A path that is newly watched may have changed before, so another scan follows. Returns whether there are such paths.
    fn scan(&mut self, hints: &Hints) -> bool {
        let force_reread = self.force_reread(hints);
        let mut is_due = hints.any;
        let mut is_traced = !hints.retrace;
        let mut has_armed = false;
        for _ in 0..ROUNDS {
            if is_due {
                self.observer.rescan(&force_reread);
            }
            let targets = self.shared.scan_targets();
            let searched = self.discovery.watch_list();
            let is_traced_for_search = Arc::ptr_eq(&searched, &self.searched);
            let traced = self.traced.as_ref();
            let traced = traced.filter(|_| is_traced && is_traced_for_search);
            if traced.is_some_and(|traced| have_same_paths(traced, &targets)) {
                // Those of now are compared faster later, and those of before are not kept.
                self.traced = Some(targets);
                break;
            }
            let Armed {
                added,
                failure,
                is_told_all,
                untold,
                added_for_search,
                tells_search,
            } = self.arm(targets.clone(), searched.clone());
            self.searched = searched;
            self.discovery.set_told(tells_search);
            if added || added_for_search {
                // Something may have come before it was watched, also one of the directories of --discover themselves.
                self.discovery.become_due();
            }
            if added {
                self.armed_at = Instant::now();
            }
            self.untold = is_told_all.then_some(untold);
            self.traced = (!added && failure.is_none()).then_some(targets);
            self.set_warning(failure.map(|failure| failure.to_string()));
            if !added {
                break;
            }
            (is_due, is_traced, has_armed) = (true, false, true);
        }
        has_armed
    }

    /// Watches the paths of all inputs, and nothing else. Places that do not answer are left out.
    fn arm(&mut self, targets: Targets, searched: Arc<WatchList>) -> Armed {
        let watches = match self.watches.take() {
            Some(watches) => watches,
            None => match Watches::new() {
                Ok(watches) => watches,
                Err(error) => {
                    return Armed::failed(false, WatchError::NoInstance(error));
                }
            },
        };
        // Where a place hangs that answered a moment ago, the watches are lost, and made again without it.
        let watches = Mutex::new(Some(watches));
        let armed = self.disk.anywhere(move || {
            let mut watches = watches.lock().unwrap_or_else(PoisonError::into_inner);
            let mut watches = watches.take()?;
            let mut tracer = Tracer::default();
            let untold = targets
                .iter()
                .filter(|target| !tracer.trace_all(&paths(target)));
            let untold = untold.map(|target| target.key).collect();
            let may_tell = tracer.trace_search(&searched);
            let armed = watches.arm(tracer.plan);
            let tells_search = armed.tells_search && may_tell;
            let armed = Armed {
                untold,
                tells_search,
                ..armed
            };
            Some((watches, armed))
        });
        match armed {
            Ok(Some((watches, armed))) => {
                self.watches = Some(watches);
                armed
            }
            // The next scan finds that place, so that the next plan is without it.
            Ok(None) | Err(Silent) => {
                self.discovery.refresh_silent();
                Armed::failed(true, WatchError::Silent)
            }
        }
    }

    /// Returns the files that were written to, which are read again even if their times and sizes have not changed.
    fn force_reread(&self, hints: &Hints) -> ForceReread {
        let mut force_reread = ForceReread {
            all: hints.overflow,
            files: HashSet::new(),
        };
        if !hints.written.is_empty() {
            let written = hints.written.clone();
            let files = move || {
                let metadata = written.iter().filter_map(|path| path.metadata().ok());
                metadata.map(|metadata| file_id(&metadata)).collect()
            };
            // A place that does not answer is looked at whole when it does.
            force_reread.files = self.disk.anywhere(files).unwrap_or_default();
        }
        force_reread
    }

    /// Sets the warning that answers show, and logs it if it is new.
    fn set_warning(&self, warning: Option<String>) {
        let before = self
            .shared
            .read(|state| state.watcher_warning().map(str::to_owned));
        if before != warning {
            if let Some(warning) = &warning {
                log::warn!("{warning}");
            }
            self.shared.apply(Fact::WatcherWarning(warning));
        }
    }
}

fn timeout(time: Duration) -> Timespec {
    Timespec {
        tv_sec: time.as_secs().cast_signed(),
        tv_nsec: time.subsec_nanos().into(),
    }
}
