//! Tells whether an input may have changed since the last scan, as far as the kernel says.
//!
//! A file system of this machine queues the event of inotify(7) before the call returns that changed a file. So nothing
//! has changed while no event waits, the watcher has handled all that it has read, and each path is watched. A request
//! needs no scan then, unless the last one is too long ago: of some changes the kernel does not tell, such as a write to
//! memory that a file is mapped to, a write by a hard link that was made since, or a mount on a directory.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::io::ioctl_fionread;

use crate::devcontainer::config::search;
use crate::model::ids::Key;
use crate::model::inputs::Content;
use crate::state::ScanTarget;

/// The targets of a scan, by their keys.
pub(super) type Targets = Arc<[Arc<ScanTarget>]>;

/// Knows what the kernel tells of the inputs. Shared by the watcher and those who scan.
#[derive(Default)]
pub struct Vigil {
    watch: Mutex<Watch>,
    /// How often the watcher has begun to read events, or to change what it watches.
    suspended: AtomicU64,
}

#[derive(Default)]
struct Watch {
    phase: Phase,
    /// How often the watcher has handled an event that counts.
    handled: u64,
    /// The last targets that were found to be watched.
    covered: Option<Covered>,
}

#[derive(Default)]
enum Phase {
    /// The watcher handles events, or changes what it watches, which was this before.
    Handling(Option<Watched>),
    /// The kernel tells of no change.
    #[default]
    Blind,
    /// The kernel tells of changes.
    Watching(Watched),
}

struct Covered {
    targets: Targets,
    /// Those of them of which the kernel does not tell. `None` if it tells of all.
    untold: Option<Targets>,
}

/// The targets of the watcher.
pub(super) struct Watched {
    /// The targets, each path of which is watched as far as that is possible.
    pub(super) targets: Targets,
    /// Those of which the kernel does not tell all, sorted.
    pub(super) untold: Vec<Key>,
    /// The inotify instance.
    pub(super) events: Arc<OwnedFd>,
    /// When the last watch was made. The kernel may not have told of a change before.
    pub(super) since: Instant,
}

/// The part of a path that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The file that it leads to.
    File,
    /// The directory that it leads to, with all files in it.
    Contents,
    /// Which directory it leads to.
    Place,
}

/// A time at which nothing had changed that was not handled. Nothing has changed since, as far as the kernel tells, while
/// it equals the one of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet(u64);

/// The questions to the kernel about targets that are watched.
struct Question {
    events: Arc<OwnedFd>,
    /// The number of suspensions before.
    suspended: u64,
    /// See [`Covered`].
    untold: Option<Targets>,
}

/// The kernel's answer about the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// No input has changed since the events before were handled.
    None,
    /// An input may have changed, and the watcher handles that.
    Pending,
    /// The watcher does not watch these inputs.
    Unknown,
}

impl Vigil {
    /// The watcher is about to read events, or to change what it watches.
    pub(super) fn suspend(&self) {
        let mut watch = self.watch();
        self.suspended.fetch_add(1, Ordering::SeqCst);
        watch.phase = match std::mem::replace(&mut watch.phase, Phase::Blind) {
            Phase::Watching(watched) => Phase::Handling(Some(watched)),
            phase => phase,
        };
        if matches!(watch.phase, Phase::Blind) {
            watch.phase = Phase::Handling(None);
        }
    }

    /// The watcher has handled all events that it has read, `any` if one of them counts. `watched` is `None` where nothing
    /// is watched for sure.
    pub(super) fn resume(&self, any: bool, watched: Option<Watched>) {
        let mut watch = self.watch();
        watch.handled += u64::from(any);
        let before = match std::mem::replace(&mut watch.phase, Phase::Blind) {
            Phase::Handling(before) => before.filter(|_| !any),
            _ => None,
        };
        let Some(watched) = watched else {
            watch.covered = None;
            return;
        };
        // The targets of before may have been replaced by newer ones with the same paths.
        let same = before.filter(|before| before.since == watched.since);
        if same.is_none() {
            watch.covered = None;
        }
        watch.phase = Phase::Watching(same.unwrap_or(watched));
    }

    /// Returns what the kernel tells of the inputs of these targets, and those of which it does not tell, if there are any.
    /// Never blocks.
    pub(super) fn news(&self, targets: &Targets) -> (News, Option<Targets>) {
        let question = self.question(&mut self.watch(), targets);
        self.ask(question)
    }

    /// Returns what the kernel tells of these inputs, as [`Vigil::news`] does, since a scan that began then.
    pub(super) fn news_since(
        &self,
        targets: &Targets,
        scanned: Option<Instant>,
    ) -> (News, Option<Targets>) {
        let is_older = |since: Instant| scanned.is_none_or(|scanned| scanned < since);
        let mut watch = self.watch();
        let question = match &watch.phase {
            Phase::Watching(watched) if is_older(watched.since) => Err(News::Pending),
            _ => self.question(&mut watch, targets),
        };
        drop(watch);
        self.ask(question)
    }

    /// Returns the time of now, if nothing has changed of these targets that was not handled.
    pub(super) fn quiet(&self, targets: &Targets) -> Option<Quiet> {
        let mut watch = self.watch();
        let question = self.question(&mut watch, targets);
        let now = Quiet(watch.handled);
        drop(watch);
        let is_quiet = matches!(self.ask(question), (News::None, None));
        is_quiet.then_some(now)
    }

    fn question(&self, watch: &mut Watch, targets: &Targets) -> Result<Question, News> {
        let suspended = self.suspended.load(Ordering::SeqCst);
        let (events, untold) = watch.cover(targets)?;
        Ok(Question {
            events,
            suspended,
            untold,
        })
    }

    /// Asks the kernel. The lock is not held, so that nobody waits for a system call of another thread. The watcher may read
    /// events at the same time, after which none is left: it is suspended once more then.
    fn ask(&self, question: Result<Question, News>) -> (News, Option<Targets>) {
        let question = match question {
            Ok(question) => question,
            Err(news) => return (news, None),
        };
        let waiting = ioctl_fionread(&question.events);
        if waiting == Ok(0) && self.suspended.load(Ordering::SeqCst) == question.suspended {
            (News::None, question.untold)
        } else {
            (News::Pending, None)
        }
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Returns where the events of these targets wait, and those of which the kernel does not tell.
    fn cover(&mut self, targets: &Targets) -> Result<(Arc<OwnedFd>, Option<Targets>), News> {
        let watched = match &mut self.phase {
            Phase::Handling(_) => return Err(News::Pending),
            Phase::Blind => return Err(News::Unknown),
            Phase::Watching(watched) => watched,
        };
        let is_covered = |covered: &&mut Covered| Arc::ptr_eq(&covered.targets, targets);
        let covered = match self.covered.as_mut().filter(is_covered) {
            Some(covered) => covered,
            None => {
                if !have_same_paths(&watched.targets, targets) {
                    return Err(News::Unknown);
                }
                // They are compared faster the next time, and those of before are not kept.
                watched.targets = targets.clone();
                self.covered.insert(Covered {
                    targets: targets.clone(),
                    untold: untold(targets, &watched.untold),
                })
            }
        };
        Ok((watched.events.clone(), covered.untold.clone()))
    }
}

/// Returns the targets of which the kernel does not tell: those of these keys, those in places that do not answer, which
/// are looked at again when they do, and those that were never scanned, which may name further inputs.
fn untold(targets: &Targets, keys: &[Key]) -> Option<Targets> {
    let is_new = |one: &ScanTarget| one.paths.is_some() && one.before.is_none();
    let is_untold = |one: &&Arc<ScanTarget>| {
        one.is_silent || is_new(one) || keys.binary_search(&one.key).is_ok()
    };
    let untold: Vec<_> = targets.iter().filter(is_untold).cloned().collect();
    (!untold.is_empty()).then(|| untold.into())
}

/// Returns whether the paths of both are the same.
pub(super) fn have_same_paths(some: &[Arc<ScanTarget>], others: &[Arc<ScanTarget>]) -> bool {
    let same = |(one, other): (&Arc<ScanTarget>, &Arc<ScanTarget>)| {
        Arc::ptr_eq(one, other) || one.key == other.key && paths(one) == paths(other)
    };
    some.len() == others.len() && some.iter().zip(others).all(same)
}

/// Returns the path of each input that exists or may come to exist, and that of the workspace folder.
pub(super) fn paths(target: &ScanTarget) -> Vec<(PathBuf, Part)> {
    if target.is_silent {
        return Vec::new();
    }
    let mut paths = vec![(target.folder.clone(), Part::Place)];
    match (&target.before, &target.paths) {
        (Some(inputs), _) => paths.extend(inputs.items().map(|input| {
            let part = match input.content {
                Content::Directory => Part::Contents,
                _ => Part::File,
            };
            (input.path.to_path_buf(), part)
        })),
        (None, Some(site)) => paths.push((site.config.clone(), Part::File)),
        (None, None) => {}
    }
    if let Some(unlocated) = &target.unlocated {
        let candidates = search::candidates(&unlocated.declared.folder);
        paths.extend(candidates.map(|path| (path, Part::File)));
    }
    paths
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::path::Path;
    use std::time::Duration;

    use inotify::{Inotify, WatchMask};

    use super::*;
    use crate::base::test_dir::TestDir;

    /// A watcher of one directory, in which no target has an input.
    struct Watcher {
        vigil: Vigil,
        targets: Targets,
        inotify: Inotify,
        since: Instant,
    }

    impl Watcher {
        fn of(directory: &Path) -> Self {
            let watcher = Self {
                vigil: Vigil::default(),
                targets: Targets::from([]),
                inotify: Inotify::init().unwrap(),
                since: Instant::now(),
            };
            let mut watches = watcher.inotify.watches();
            watches.add(directory, WatchMask::CREATE).unwrap();
            watcher.vigil.suspend();
            watcher.resume(false);
            watcher
        }

        fn resume(&self, any: bool) {
            let events = self.inotify.as_fd().try_clone_to_owned().unwrap();
            let watched = Watched {
                targets: self.targets.clone(),
                untold: Vec::new(),
                events: Arc::new(events),
                since: self.since,
            };
            self.vigil.resume(any, Some(watched));
        }

        fn read_all(&mut self) {
            let mut buffer = [0; 1024];
            assert!(self.inotify.read_events(&mut buffer).unwrap().count() > 0);
        }

        fn news(&self) -> News {
            self.vigil.news(&self.targets).0
        }
    }

    #[test]
    fn p2_there_is_news_until_an_event_is_handled() {
        let directory = TestDir::new();
        let mut watcher = Watcher::of(directory.path());
        assert_eq!(watcher.news(), News::None);
        let before = watcher.vigil.quiet(&watcher.targets).unwrap();
        directory.write("file", "");
        assert_eq!(watcher.news(), News::Pending, "it waits");
        watcher.vigil.suspend();
        watcher.read_all();
        assert_eq!(watcher.news(), News::Pending, "it is being handled");
        assert_eq!(watcher.vigil.quiet(&watcher.targets), None);
        watcher.resume(true);
        assert_eq!(watcher.news(), News::None);
        assert_ne!(watcher.vigil.quiet(&watcher.targets), Some(before));
    }

    #[test]
    fn p2_a_queue_that_the_watcher_has_just_emptied_is_no_answer() {
        let directory = TestDir::new();
        let mut watcher = Watcher::of(directory.path());
        directory.write("file", "");
        let vigil = &watcher.vigil;
        let question = vigil.question(&mut vigil.watch(), &watcher.targets);
        vigil.suspend();
        watcher.read_all();
        assert_eq!(watcher.vigil.ask(question).0, News::Pending);
    }

    #[test]
    fn p2_a_scan_that_began_before_the_watches_is_not_enough() {
        let directory = TestDir::new();
        let watcher = Watcher::of(directory.path());
        let since = |scanned| watcher.vigil.news_since(&watcher.targets, scanned).0;
        assert_eq!(since(None), News::Pending);
        let before = watcher.since.checked_sub(Duration::from_millis(1));
        assert_eq!(since(before), News::Pending);
        assert_eq!(since(Some(watcher.since)), News::None);
    }

    #[test]
    fn p2_nothing_is_known_without_a_watcher() {
        let directory = TestDir::new();
        let watcher = Watcher::of(directory.path());
        watcher.vigil.suspend();
        watcher.vigil.resume(false, None);
        assert_eq!(watcher.news(), News::Unknown);
        assert_eq!(Vigil::default().news(&watcher.targets).0, News::Unknown);
    }
}
