//! An inotify(7) instance, its watches, and its events.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use inotify::{Event, EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::io::Errno;

use super::Armed;
use super::plan::{Plan, Planned, Purpose, is_absent};
use crate::devcontainer::config::search;
use crate::devcontainer::gitignore;
use crate::model::inputs::{FileId, file_id};

/// The size of the buffer for events, in bytes. One event takes up to 272 bytes.
const BUFFER: usize = 4096;
/// The maximum number of reads in a row, so that a program that writes all the time cannot delay the scan.
const READS: usize = 16;

/// The events for a watch that mean that the content of a file has changed.
const WRITTEN: EventMask = EventMask::MODIFY.union(EventMask::CLOSE_WRITE);

/// The names, besides those of directories, that decide what a search finds.
const FOUND: [&str; 5] = [
    search::DIRECTORY,
    search::FILE,
    search::HIDDEN_FILE,
    gitignore::FILE,
    gitignore::REPOSITORY,
];

const ITSELF: WatchMask = WatchMask::DELETE_SELF.union(WatchMask::MOVE_SELF);

const NAMES: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::MOVED_TO);

const CONTENTS: WatchMask = WatchMask::MODIFY
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::ATTRIB);

/// An inotify instance and its watches.
pub(super) struct Watches {
    inotify: Inotify,
    /// Another descriptor of it.
    events: Arc<OwnedFd>,
    /// The watched files and directories by their resolved paths.
    watched: BTreeMap<OsString, Watched>,
    /// The events that count. A directory that is mounted in two places has one watch for both.
    filters: HashMap<WatchDescriptor, NameFilter>,
}

/// A watch, and the file or directory that it is for.
struct Watched {
    watch: WatchDescriptor,
    purpose: Purpose,
    file: FileId,
}

/// The names in a watched directory whose events count.
struct NameFilter {
    directory: PathBuf,
    names: BTreeSet<OsString>,
    all_names: bool,
    /// True if a search would find what comes there.
    is_for_search: bool,
}

/// The events since the last scan.
#[derive(Default)]
pub(super) struct Hints {
    /// True if there was an event that counts.
    pub(super) any: bool,
    /// True if an event was about more than the content of a file, so that a path may lead elsewhere now.
    pub(super) retrace: bool,
    /// True if there were too many events, and some are lost.
    pub(super) overflow: bool,
    /// True if there was an event about something that a search would find.
    pub(super) search: bool,
    /// The paths of files that were written to.
    pub(super) written: HashSet<PathBuf>,
}

/// A file, or all files, of which no events can be received.
#[derive(Debug)]
pub(super) enum WatchError {
    /// There is no inotify instance.
    NoInstance(io::Error),
    /// A file system does not answer.
    Silent,
    /// The watch of this path cannot be added.
    NoWatch(OsString, io::Error),
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, error) = match self {
            Self::Silent => {
                return f.write_str(
                    "files cannot be watched: a file system does not answer; changes are found at the next request only",
                );
            }
            Self::NoInstance(error) => ("files".into(), error),
            Self::NoWatch(path, error) => (path.to_string_lossy(), error),
        };
        let fix = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC) => "; raise fs.inotify.max_user_watches",
            Some(Errno::MFILE) => "; raise fs.inotify.max_user_instances",
            _ => "",
        };
        write!(
            f,
            "{what} cannot be watched ({error}{fix}); changes are found at the next request only"
        )
    }
}

impl AsFd for Watches {
    /// Returns a descriptor that is readable while there are events.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl Watches {
    /// Creates an inotify instance that watches nothing. Fails if this user has too many instances.
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        Ok(Self {
            events: Arc::new(inotify.as_fd().try_clone_to_owned()?),
            inotify,
            watched: BTreeMap::new(),
            filters: HashMap::new(),
        })
    }

    /// Returns a descriptor of the events, with which others find out whether there are any.
    pub(super) fn events(&self) -> Arc<OwnedFd> {
        self.events.clone()
    }

    /// Adds the pending events to `hints`. Never blocks.
    pub(super) fn read(&mut self, hints: &mut Hints) {
        let mut buffer = [0; BUFFER];
        for _ in 0..READS {
            // An error means that no event is left, or an interruption; events that are left wake the thread again.
            let Ok(events) = self.inotify.read_events(&mut buffer) else {
                return;
            };
            for event in events {
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    (hints.any, hints.overflow, hints.search) = (true, true, true);
                }
                if event.mask.contains(EventMask::IGNORED) {
                    // The watched directory is gone, and the kernel has removed the watch.
                    self.watched.retain(|_, watched| watched.watch != event.wd);
                }
                let Some(filter) = self.filters.get(&event.wd) else {
                    continue;
                };
                hints.search |= filter.is_found(&event);
                if filter.counts(event.name) {
                    hints.add(&event, filter);
                }
                if event.mask.contains(EventMask::IGNORED) {
                    self.filters.remove(&event.wd);
                }
            }
        }
    }

    /// Adds and removes watches so that exactly those of `plan` exist.
    pub(super) fn arm(&mut self, plan: Plan) -> Armed {
        self.remove_unplanned(&plan);
        let filters = std::mem::take(&mut self.filters);
        let mut armed = Armed {
            added: false,
            failure: None,
            is_told_all: true,
            untold: Vec::new(),
            added_for_search: false,
            tells_search: true,
        };
        // Inputs come first: the watches may not be enough for all.
        let (inputs, others): (Vec<_>, Vec<_>) = plan
            .into_iter()
            .partition(|(_, planned)| planned.is_for_inputs);
        for (path, planned) in inputs.into_iter().chain(others) {
            let is_for_inputs = planned.is_for_inputs;
            let existing = self.watched.get(&path);
            let watch = match existing {
                Some(watched) => Ok(watched.watch.clone()),
                None => {
                    let mut watches = self.inotify.watches();
                    watches.add(&path, planned.purpose.mask())
                }
            };
            match watch {
                Ok(watch) => {
                    let is_new = existing.is_none();
                    armed.added |= is_new;
                    let known = filters.get(&watch);
                    let was_for_search = known.is_some_and(|one| one.is_for_search);
                    armed.added_for_search |= planned.is_for_search && !was_for_search;
                    // Another one may have come into its place since it was traced. The next plan shows that.
                    if is_new && !is_at(&path, planned.file) {
                        let _ = self.inotify.watches().remove(watch);
                        continue;
                    }
                    self.keep(path, watch, planned);
                }
                // The path has changed since it was traced.
                // The next search finds out.
                Err(e) if is_absent(&e) && !is_for_inputs => armed.added_for_search = true,
                Err(e) if is_absent(&e) => armed.added = true,
                Err(e) if planned.purpose.may_fail(&e) => armed.is_told_all = false,
                Err(e) => {
                    armed.tells_search = false;
                    armed.is_told_all &= !is_for_inputs;
                    let is_full = e.raw_os_error() == Some(Errno::NOSPC.raw_os_error());
                    armed.failure.get_or_insert(WatchError::NoWatch(path, e));
                    if is_full {
                        // No watch is left for the rest of the plan. A later call tries again.
                        break;
                    }
                }
            }
        }
        // A name that counts from now on is one that is watched.
        let covers = |watch, filter| filters.get(watch).is_some_and(|one| one.covers(filter));
        let mut all = self.filters.iter();
        armed.added |= !all.all(|(watch, filter)| covers(watch, filter));
        armed
    }

    fn remove_unplanned(&mut self, plan: &Plan) {
        let inotify = &self.inotify;
        self.watched.retain(|path, watched| {
            let is_planned = plan.get(path).is_some_and(|planned| {
                (planned.purpose, planned.file) == (watched.purpose, watched.file)
            });
            if !is_planned {
                // It fails if the directory is gone, because then the watch is gone too.
                let _ = inotify.watches().remove(watched.watch.clone());
            }
            is_planned
        });
    }

    fn keep(&mut self, path: OsString, watch: WatchDescriptor, planned: Planned) {
        let entry = self.filters.entry(watch.clone());
        let filter = entry.or_insert_with(|| NameFilter::new(&path));
        filter.all_names |= planned.purpose == Purpose::AllContents;
        filter.is_for_search |= planned.is_for_search;
        filter.names.extend(planned.names);
        let watched = Watched {
            watch,
            purpose: planned.purpose,
            file: planned.file,
        };
        self.watched.insert(path, watched);
    }
}

/// Returns whether this file or directory is at a path.
fn is_at(path: &OsStr, file: FileId) -> bool {
    let metadata = Path::new(path).symlink_metadata();
    metadata.is_ok_and(|metadata| file_id(&metadata) == file)
}

impl Hints {
    fn add(&mut self, event: &Event<&OsStr>, filter: &NameFilter) {
        self.any = true;
        if !WRITTEN.contains(event.mask) {
            self.retrace = true;
            return;
        }
        // An event without a name is about the watched file itself.
        let path = match event.name {
            Some(name) => filter.directory.join(name),
            None => filter.directory.clone(),
        };
        self.written.insert(path);
    }
}

impl NameFilter {
    fn new(directory: &OsStr) -> Self {
        Self {
            directory: directory.into(),
            names: BTreeSet::new(),
            all_names: false,
            is_for_search: false,
        }
    }

    /// Returns whether an event is about something that a search would find.
    fn is_found(&self, event: &Event<&OsStr>) -> bool {
        let is_name = |name: &OsStr| FOUND.iter().any(|found| name == *found);
        let is_known = || event.name.is_none_or(is_name);
        self.is_for_search && (event.mask.contains(EventMask::ISDIR) || is_known())
    }

    /// Returns whether all events count that count for `other`.
    fn covers(&self, other: &Self) -> bool {
        self.all_names || (!other.all_names && other.names.is_subset(&self.names))
    }

    /// Returns whether an event about `name`, or about the directory itself, counts.
    fn counts(&self, name: Option<&OsStr>) -> bool {
        name.is_none_or(|name| self.all_names || self.names.contains(name))
    }
}

impl Purpose {
    fn mask(self) -> WatchMask {
        let directory = ITSELF.union(WatchMask::ONLYDIR);
        // Two paths of one directory share a watch, which needs the events of both.
        let common = WatchMask::MASK_ADD.union(WatchMask::DONT_FOLLOW);
        common.union(match self {
            Self::LinkedFile => CONTENTS,
            Self::Passage => directory,
            Self::Names => directory.union(NAMES),
            Self::Contents | Self::AllContents => directory.union(NAMES).union(CONTENTS),
        })
    }

    /// Returns whether a failure is expected: a directory on the way may be searchable but not readable.
    fn may_fail(self, error: &io::Error) -> bool {
        self == Self::Passage && error.kind() == io::ErrorKind::PermissionDenied
    }
}
