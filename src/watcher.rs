//! The thread that is told when a file may have changed.
//!
//! inotify is only a hint to look again: what is true is what the files hold. The directories are watched, because
//! most programs replace a file rather than write into it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::process::wait;
use crate::shared::Shared;
use crate::state::State;

/// Programs save in several steps; they are looked at together.
const PAUSE: Duration = Duration::from_millis(20);
/// Room for many events; one takes 272 bytes at most.
const BUFFER: usize = 4096;

/// Wakes the watcher from another thread.
#[derive(Clone)]
pub struct Wake(Arc<OwnedFd>);

impl Wake {
    /// There may be other directories to watch.
    pub fn wake(&self) {
        // Fails only when it has been woken 2^64 - 2 times and not once come round.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

/// The inotify reader.
pub struct Watcher {
    shared: Arc<Shared>,
    inotify: Inotify,
    wake: Wake,
    /// What is watched, and which names in it are of interest.
    watched: BTreeMap<PathBuf, WatchDescriptor>,
    of_interest: BTreeMap<WatchDescriptor, BTreeSet<OsString>>,
}

impl Watcher {
    /// One that watches nothing yet. An error says why there can be none.
    pub fn new(shared: Arc<Shared>, wake: Wake) -> io::Result<Self> {
        Ok(Self {
            shared,
            inotify: Inotify::init()?,
            wake,
            watched: BTreeMap::new(),
            of_interest: BTreeMap::new(),
        })
    }

    /// Something to wake it with.
    pub fn wake() -> io::Result<Wake> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Wake(Arc::new(eventfd(0, flags)?)))
    }

    /// Watches and looks until the process ends. Sleeps while nothing happens.
    pub fn run(mut self) {
        loop {
            let mut fds = [
                PollFd::new(&self.inotify, PollFlags::IN),
                PollFd::new(&*self.wake.0, PollFlags::IN),
            ];
            if poll(&mut fds, None).is_err() {
                continue;
            }
            let woken = rustix::io::read(&*self.wake.0, &mut [0; 8]).is_ok();
            let hinted = self.read_hints();
            if hinted {
                self.collect_for(PAUSE);
            }
            let armed = (woken || hinted) && self.arm();
            if hinted || armed {
                self.shared.look();
            }
        }
    }

    /// Takes the hints of a while together.
    fn collect_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
            wait(&mut fds, deadline);
            self.read_hints();
        }
    }

    /// Reads all events there are. Returns whether one of them was about something of interest.
    fn read_hints(&mut self) -> bool {
        let mut buffer = [0; BUFFER];
        let mut hinted = false;
        // An error is "no more for now", or an interruption: what is left will wake us again.
        while let Ok(events) = self.inotify.read_events(&mut buffer) {
            for event in events {
                let mask = event.mask;
                if mask.contains(EventMask::MOVE_SELF) {
                    // The watch stays on the directory; it is the path that counts, and another one may be there.
                    let _ = self.inotify.watches().remove(event.wd.clone());
                }
                if mask.intersects(EventMask::IGNORED | EventMask::MOVE_SELF) {
                    // The directory is gone, or the path to it; so is the watch.
                    self.of_interest.remove(&event.wd);
                    self.watched.retain(|_, wd| *wd != event.wd);
                }
                let named = event.name.is_some_and(|name| {
                    let names = self.of_interest.get(&event.wd);
                    names.is_some_and(|names| names.contains(name))
                });
                hinted |= named || event.name.is_none() || mask.contains(EventMask::Q_OVERFLOW);
            }
        }
        hinted
    }

    /// Watches the directories of all inputs and no others. Returns whether any was added: what changed there
    /// before has to be looked at.
    fn arm(&mut self) -> bool {
        let mut added = false;
        // A directory that appears while its parent is not watched yet is found by the second look.
        while self.arm_once() {
            added = true;
        }
        added
    }

    fn arm_once(&mut self) -> bool {
        let mut wanted = self.wanted();
        let inotify = &self.inotify;
        self.watched.retain(|directory, wd| {
            let stays = wanted.contains_key(directory);
            if !stays {
                // Where the directory is gone, so is the watch.
                let _ = inotify.watches().remove(wd.clone());
            }
            stays
        });
        let mut added = false;
        let mut failed = None;
        for directory in wanted.keys() {
            if self.watched.contains_key(directory) {
                continue;
            }
            match self.inotify.watches().add(directory, MASK) {
                Ok(wd) => {
                    self.watched.insert(directory.clone(), wd);
                    added = true;
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => {
                    failed.get_or_insert(format!(
                        "{} cannot be watched ({e}); files are looked at when somebody asks",
                        directory.display()
                    ));
                }
            }
        }
        // One directory may be mounted in two places, and has one watch then.
        self.of_interest.clear();
        for (directory, wd) in &self.watched {
            let names = wanted.remove(directory).unwrap_or_default();
            let of_interest = self.of_interest.entry(wd.clone()).or_default();
            of_interest.extend(names);
        }
        self.warn(failed);
        added
    }

    fn warn(&self, warning: Option<String>) {
        let before = self
            .shared
            .ask(|state| state.watcher_warning().map(str::to_owned));
        if before != warning {
            if let Some(warning) = &warning {
                log::warn!("{warning}");
            }
            self.shared.tell(|state| state.set_watcher_warning(warning));
        }
    }

    /// The directories of all inputs, and the names of interest in each. In place of one that does not exist it is
    /// the nearest one above it that does.
    fn wanted(&self) -> BTreeMap<PathBuf, BTreeSet<OsString>> {
        let targets = self.shared.ask(State::look_targets);
        let mut wanted: BTreeMap<PathBuf, BTreeSet<OsString>> = BTreeMap::new();
        let inputs = targets.iter().filter_map(|target| target.before.as_deref());
        for path in inputs.flat_map(|inputs| inputs.paths()) {
            let mut levels = path
                .ancestors()
                .filter_map(|level| Some((level.parent()?, level.file_name()?)));
            if let Some((directory, name)) = levels.find(|(above, _)| above.is_dir()) {
                let names = wanted.entry(directory.to_path_buf()).or_default();
                names.insert(name.to_os_string());
            }
        }
        wanted
    }
}

const MASK: WatchMask = WatchMask::MODIFY
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::ATTRIB)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

impl AsFd for Wake {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}
