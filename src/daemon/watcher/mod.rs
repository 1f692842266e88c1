//! The thread that is told when a file may have changed.
//!
//! inotify is only a hint to look again: what is true is what the files hold. The directories are watched, because
//! most programs replace a file rather than write into it.

mod plan;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use self::plan::{Kind, Tracer, Want, Wanted};
use super::current::Observer;
use super::shared::Shared;
use crate::base::notify::RescanSignal;
use crate::base::poll::wait;
use crate::devcontainer::config::jsonc as config;
use crate::model::inputs::{Content, FileId, ForceReread, file_id};
use crate::state::{Fact, ScanTarget};

/// Programs save in several steps; they are looked at together.
const PAUSE: Duration = Duration::from_millis(20);
/// Room for many events; one takes 272 bytes at most.
const BUFFER: usize = 4096;
/// How often it is read at once. Who writes all the time must not keep us from looking.
const READS: usize = 16;
/// How often what has just been watched is looked at, which may name more to be watched.
const ROUNDS: usize = 10;

/// The inotify reader.
pub struct Watcher {
    shared: Arc<Shared>,
    observer: Arc<Observer>,
    rescan_signal: RescanSignal,
    watches: Option<Watches>,
    /// The paths for which all is watched.
    armed_for: Option<u64>,
}

/// One inotify instance, and what it watches.
struct Watches {
    inotify: Inotify,
    /// By resolved path.
    watched: BTreeMap<OsString, Watched>,
    /// One directory may be mounted in two places, and has one watch then.
    of_interest: HashMap<WatchDescriptor, Interest>,
}

/// What is at a path, and its watch.
struct Watched {
    watch: WatchDescriptor,
    kind: Kind,
    file: FileId,
}

struct Interest {
    path: PathBuf,
    names: BTreeSet<OsString>,
    all_names: bool,
}

/// What events say.
#[derive(Default)]
struct Hints {
    any: bool,
    /// Some were about more than what a file holds: its path may lead elsewhere now.
    elsewhere: bool,
    /// They were too many, and some are lost.
    overflow: bool,
    written: ForceReread,
    /// Of what was written to.
    paths: HashSet<PathBuf>,
}

impl Watcher {
    /// One that watches nothing yet. Where there is no inotify, it is tried again.
    pub fn new(shared: Arc<Shared>, observer: Arc<Observer>, rescan_signal: RescanSignal) -> Self {
        Self {
            shared,
            observer,
            rescan_signal,
            watches: Inotify::init().ok().map(Watches::new),
            armed_for: None,
        }
    }

    /// Watches and looks until the process ends. Sleeps while nothing happens.
    pub fn run(mut self) {
        loop {
            let mut fds = vec![PollFd::new(&self.rescan_signal, PollFlags::IN)];
            let inotify = self.watches.as_ref().map(|watches| &watches.inotify);
            fds.extend(inotify.map(|inotify| PollFd::new(inotify, PollFlags::IN)));
            if poll(&mut fds, None).is_err() {
                continue;
            }
            let woken = self.rescan_signal.take();
            let mut hints = self.read_hints();
            hints.elsewhere |= self.rescan_signal.take_retrace();
            if hints.overflow {
                // Directories may have come and gone unseen: all that is known of them is in doubt.
                log::info!("too many events of files at once: all are looked at");
                (self.watches, self.armed_for) = (None, None);
                hints.written.all = true;
            }
            if woken || hints.any {
                self.look(&hints);
            }
        }
    }

    /// Takes the hints of a while together, once there is one.
    fn read_hints(&mut self) -> Hints {
        let mut hints = Hints::default();
        let Some(watches) = &mut self.watches else {
            return hints;
        };
        watches.read(&mut hints);
        if hints.any {
            let deadline = Instant::now() + PAUSE;
            while Instant::now() < deadline {
                wait(
                    &mut [PollFd::new(&watches.inotify, PollFlags::IN)],
                    deadline,
                );
                watches.read(&mut hints);
            }
        }
        let paths = std::mem::take(&mut hints.paths);
        let written = paths.iter().filter_map(|path| path.metadata().ok());
        let files = written.map(|metadata| file_id(&metadata));
        hints.written.files.extend(files);
        hints
    }

    /// What is to be watched follows from what is looked at; and what has just begun to be watched may have changed
    /// before.
    fn look(&mut self, hints: &Hints) {
        let mut due = hints.any;
        let mut is_armed = !hints.elsewhere;
        for _ in 0..ROUNDS {
            if due {
                self.observer.rescan(&hints.written);
            }
            let targets = self.shared.scan_targets();
            let traced = hash_of_paths(&targets);
            is_armed &= self.armed_for == Some(traced);
            if is_armed {
                return;
            }
            let (added, complete) = self.arm(&targets);
            // What has just begun to be watched may have led elsewhere before.
            self.armed_for = (complete && !added).then_some(traced);
            (due, is_armed) = (added, !added);
            if !added {
                return;
            }
        }
    }

    /// Watches what all inputs need and nothing else. Returns whether anything was added, and whether that is all.
    fn arm(&mut self, targets: &[ScanTarget]) -> (bool, bool) {
        let mut tracer = Tracer::default();
        for_each_path(targets, &mut |path, is_directory| {
            tracer.trace(path, is_directory)
        });
        let wanted = tracer.wanted;
        let (added, failed) = match &mut self.watches {
            Some(watches) => watches.arm(wanted),
            None => match Inotify::init() {
                Ok(inotify) => self.watches.insert(Watches::new(inotify)).arm(wanted),
                Err(e) => (false, Some(("files".to_owned(), e))),
            },
        };
        let complete = failed.is_none();
        self.warn(failed.map(|(what, e)| {
            let mend = match e.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOSPC) => "; raise fs.inotify.max_user_watches",
                Some(Errno::MFILE) => "; raise fs.inotify.max_user_instances",
                _ => "",
            };
            format!("{what} cannot be watched ({e}{mend}); files are looked at when somebody asks")
        }));
        (added, complete)
    }

    fn warn(&self, warning: Option<String>) {
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

/// Where the inputs of all dev containers are, or may come to be, and whether they are directories.
fn for_each_path(targets: &[ScanTarget], act: &mut dyn FnMut(&Path, bool)) {
    for target in targets {
        match (&target.before, &target.site) {
            (Some(inputs), _) => inputs
                .items()
                .for_each(|input| act(&input.path, input.content == Content::Directory)),
            (None, Some(site)) => act(&site.config, false),
            (None, None) => {}
        }
        if let Some(unsettled) = &target.unsettled {
            let candidates = config::candidates(&unsettled.address.folder);
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

impl Watches {
    fn new(inotify: Inotify) -> Self {
        Self {
            inotify,
            watched: BTreeMap::new(),
            of_interest: HashMap::new(),
        }
    }

    /// Reads all events there are.
    fn read(&mut self, hints: &mut Hints) {
        let mut buffer = [0; BUFFER];
        for _ in 0..READS {
            // An error is "no more for now", or an interruption: what is left will wake us again.
            let Ok(events) = self.inotify.read_events(&mut buffer) else {
                return;
            };
            for event in events {
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    (hints.any, hints.overflow) = (true, true);
                }
                let Some(interest) = self.of_interest.get(&event.wd) else {
                    continue;
                };
                let of_interest =
                    |name| interest.all_names || interest.names.contains::<OsStr>(name);
                if !event.name.is_none_or(of_interest) {
                    continue;
                }
                hints.any = true;
                let is_written = WRITTEN.contains(event.mask);
                hints.elsewhere |= !is_written;
                if is_written {
                    let path = event.name.map(|name| interest.path.join(name));
                    hints
                        .paths
                        .insert(path.unwrap_or_else(|| interest.path.clone()));
                }
                if event.mask.contains(EventMask::IGNORED) {
                    // What was watched is gone, and so is the watch.
                    self.of_interest.remove(&event.wd);
                    self.watched.retain(|_, watched| watched.watch != event.wd);
                }
            }
        }
    }

    /// Watches this and nothing else. Returns whether anything was added, and the first thing that could not be.
    fn arm(&mut self, wanted: Wanted) -> (bool, Option<(String, io::Error)>) {
        let inotify = &self.inotify;
        self.watched.retain(|path, watched| {
            let same = |want: &Want| (want.kind, want.file) == (watched.kind, watched.file);
            let stays = wanted.get(path).is_some_and(same);
            if !stays {
                // Where the directory is gone, so is the watch.
                let _ = inotify.watches().remove(watched.watch.clone());
            }
            stays
        });
        self.of_interest.clear();
        let mut added = false;
        let mut failed = None;
        for (path, want) in wanted {
            let watch = match self.watched.get(&path) {
                Some(watched) => Ok(watched.watch.clone()),
                None => self.inotify.watches().add(&path, want.kind.mask()),
            };
            match watch {
                Ok(watch) => {
                    let of_interest = self.of_interest.entry(watch.clone());
                    let interest = of_interest.or_insert_with(|| Interest::new(&path));
                    interest.all_names |= want.kind == Kind::Everything;
                    interest.names.extend(want.names);
                    let (kind, file) = (want.kind, want.file);
                    let watched = Watched { watch, kind, file };
                    added |= self.watched.insert(path, watched).is_none();
                }
                // So it was not what was traced.
                Err(e) if is_gone(&e) => added = true,
                Err(e) if want.kind.may_fail(&e) => {}
                Err(e) => {
                    let is_full = e.raw_os_error() == Some(Errno::NOSPC.raw_os_error());
                    failed.get_or_insert((path.to_string_lossy().into_owned(), e));
                    if is_full {
                        // So it is for all others. They are tried again when something changes.
                        break;
                    }
                }
            }
        }
        (added, failed)
    }
}

impl Interest {
    fn new(path: &OsStr) -> Self {
        Self {
            path: path.into(),
            names: BTreeSet::new(),
            all_names: false,
        }
    }
}

impl Kind {
    fn mask(self) -> WatchMask {
        let directory = ITSELF.union(WatchMask::ONLYDIR);
        // What two paths lead to has one watch, for what both want.
        WatchMask::MASK_ADD.union(match self {
            Self::Linked => WatchMask::MODIFY.union(WatchMask::CLOSE_WRITE),
            Self::OnTheWay => directory,
            Self::Names => directory.union(NAMES),
            Self::Contents | Self::Everything => directory.union(NAMES).union(CONTENTS),
        })
    }

    /// A directory on the way may be one that we may pass and not read.
    fn may_fail(self, error: &io::Error) -> bool {
        self == Self::OnTheWay && error.kind() == io::ErrorKind::PermissionDenied
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

const WRITTEN: EventMask = EventMask::MODIFY.union(EventMask::CLOSE_WRITE);

const ITSELF: WatchMask = WatchMask::DELETE_SELF.union(WatchMask::MOVE_SELF);

const NAMES: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::MOVED_TO);

const CONTENTS: WatchMask = WatchMask::MODIFY
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::ATTRIB);
