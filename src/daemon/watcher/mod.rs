//! The thread that learns from inotify(7) that an input may have changed.
//!
//! An event is only a hint to scan the inputs again; the files themselves say what has changed. The directories are
//! watched rather than the files, because most programs replace a file instead of writing into it.

mod plan;
mod watches;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use self::plan::Tracer;
use self::watches::{Hints, WatchError, Watches};
use super::current::Observer;
use super::disk::{Disk, Silent};
use super::shared::Shared;
use crate::base::notify::RescanSignal;
use crate::base::poll::wait;
use crate::devcontainer::config::search;
use crate::model::inputs::{Content, ForceReread, file_id};
use crate::state::{Fact, ScanTarget};

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
    /// `None` while there is no inotify instance.
    watches: Option<Watches>,
    /// The hash of the paths that are completely watched, or `None` if they must be traced again.
    traced: Option<u64>,
}

/// The outcome of watching what a plan names.
struct Armed {
    /// True if anything is watched that was not watched before.
    added: bool,
    /// The first thing that cannot be watched.
    failure: Option<WatchError>,
}

impl Watcher {
    /// Returns a watcher that watches nothing yet. If there is no inotify instance, it tries again later.
    pub fn new(
        shared: Arc<Shared>,
        observer: Arc<Observer>,
        disk: Arc<Disk>,
        rescan_signal: RescanSignal,
    ) -> Self {
        Self {
            shared,
            observer,
            disk,
            rescan_signal,
            watches: Watches::new().ok(),
            traced: None,
        }
    }

    /// Watches and scans until the process ends. Sleeps while nothing happens.
    pub fn run(mut self) {
        loop {
            let mut fds = vec![PollFd::new(&self.rescan_signal, PollFlags::IN)];
            if let Some(watches) = &self.watches {
                fds.push(PollFd::new(watches, PollFlags::IN));
            }
            if poll(&mut fds, None).is_err() {
                continue;
            }
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
            if is_requested || hints.any {
                self.scan(&hints);
            }
        }
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
    /// A path that is newly watched may have changed before, so another scan follows.
    fn scan(&mut self, hints: &Hints) {
        let force_reread = self.force_reread(hints);
        let mut is_due = hints.any;
        let mut is_traced = !hints.retrace;
        for _ in 0..ROUNDS {
            if is_due {
                self.observer.rescan(&force_reread);
            }
            let targets = self.shared.scan_targets();
            let paths = hash_of_paths(&targets);
            if is_traced && self.traced == Some(paths) {
                return;
            }
            let Armed { added, failure } = self.arm(targets);
            self.traced = (!added && failure.is_none()).then_some(paths);
            self.set_warning(failure.map(|failure| failure.to_string()));
            if !added {
                return;
            }
            (is_due, is_traced) = (true, false);
        }
    }

    /// Watches the paths of all inputs, and nothing else. Places that do not answer are left out.
    fn arm(&mut self, targets: Arc<[ScanTarget]>) -> Armed {
        let watches = match self.watches.take() {
            Some(watches) => watches,
            None => match Watches::new() {
                Ok(watches) => watches,
                Err(error) => {
                    return Armed {
                        added: false,
                        failure: Some(WatchError::NoInstance(error)),
                    };
                }
            },
        };
        // Where a place hangs that answered a moment ago, the watches are lost, and made again without it.
        let watches = Mutex::new(Some(watches));
        let armed = self.disk.anywhere(move || {
            let mut watches = watches.lock().unwrap_or_else(PoisonError::into_inner);
            let mut watches = watches.take()?;
            let mut tracer = Tracer::default();
            for_each_path(&targets, &mut |path, is_directory| {
                tracer.trace(path, is_directory)
            });
            let armed = watches.arm(tracer.plan);
            Some((watches, armed))
        });
        match armed {
            Ok(Some((watches, armed))) => {
                self.watches = Some(watches);
                armed
            }
            // The next scan finds that place, so that the next plan is without it.
            Ok(None) | Err(Silent) => Armed {
                added: true,
                failure: Some(WatchError::Silent),
            },
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

/// Calls `act` with the path of each input that exists or may come to exist, and with whether it is a directory.
fn for_each_path(targets: &[ScanTarget], act: &mut dyn FnMut(&Path, bool)) {
    for target in targets.iter().filter(|target| !target.is_silent) {
        match (&target.before, &target.paths) {
            (Some(inputs), _) => inputs
                .items()
                .for_each(|input| act(&input.path, input.content == Content::Directory)),
            (None, Some(site)) => act(&site.config, false),
            (None, None) => {}
        }
        if let Some(unlocated) = &target.unlocated {
            let candidates = search::candidates(&unlocated.declared.folder);
            candidates.for_each(|path| act(&path, false));
        }
    }
}

fn hash_of_paths(targets: &[ScanTarget]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for_each_path(targets, &mut |path, is_directory| {
        (path.as_os_str(), is_directory).hash(&mut hasher);
    });
    hasher.finish()
}
