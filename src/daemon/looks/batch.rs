//! The items of one call, and the helper threads that look at them.
//!
//! Mostly one thread looks at all, one after the other. An item that takes long is left to its thread, and another one
//! goes on with the rest. What is on the mount of such an item waits until that thread is done with it, or hangs.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::evidence::{Sample, Thread};
use super::silence::{Id, Place};
use super::{
    CHECK_INTERVAL, Common, LINKS_PATIENCE, LONGEST, LONGEST_ITEM, Located, PATIENCE_LOCAL,
    PATIENCE_REMOTE, Silent,
};
use crate::daemon::mounts::Mounts;

/// The find at an item, of any type, so that this code is compiled once and not for each kind of look.
pub(super) type Sighting = Box<dyn Any + Send>;

pub(super) struct Batch {
    /// Returns the paths of an item.
    paths: Box<dyn Fn(usize) -> Vec<PathBuf> + Send + Sync>,
    look: Box<dyn Fn(usize) -> Option<Sighting> + Send + Sync>,
    /// Takes what a thread that was left behind has found in the end.
    take_late: Box<dyn Fn(Sighting) + Send + Sync>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

struct Progress {
    /// The indexes of the items that no thread looks at yet.
    left: VecDeque<usize>,
    /// The threads at work; others were left behind.
    workers: Vec<Worker>,
    /// For each item, what was found.
    found: Vec<Option<Result<Sighting, Silent>>>,
}

/// A helper thread at work.
struct Worker {
    id: Id,
    /// `None` before it runs.
    thread: Option<Thread>,
    /// The item that it looks at, and since when.
    at: Option<(usize, Instant)>,
    /// Its state when it was last seen at work, or first seen at its item.
    last_work: Option<Work>,
    /// The remote mounts that its item is on, once that takes long, so that another thread goes on with the rest.
    mounts: Option<Vec<PathBuf>>,
}

struct Work {
    sample: Option<Sample>,
    time: Instant,
}

impl Batch {
    pub(super) fn new<I, T>(
        items: Arc<[I]>,
        look: impl Fn(&I) -> T + Send + Sync + 'static,
        take_late: impl Fn(T) + Send + Sync + 'static,
    ) -> Self
    where
        I: Located + Send + Sync + 'static,
        T: Send + 'static,
    {
        let located = items.clone();
        let number = items.len();
        Self {
            paths: Box::new(move |index| located.get(index).map(paths_of).unwrap_or_default()),
            look: Box::new(move |index| Some(Box::new(look(items.get(index)?)) as Sighting)),
            take_late: Box::new(move |found| {
                if let Ok(found) = found.downcast() {
                    take_late(*found);
                }
            }),
            progress: Mutex::new(Progress {
                left: (0..number).collect(),
                workers: Vec::new(),
                found: (0..number).map(|_| None).collect(),
            }),
            changed: Condvar::new(),
        }
    }

    /// Looks at all items, and returns what was found when that is done or takes too long.
    pub(super) fn run(self: &Arc<Self>, common: &Arc<Common>) -> Vec<Result<Sighting, Silent>> {
        let deadline = Instant::now() + LONGEST;
        loop {
            let needs_worker = self.progress().needs_worker(&self.paths);
            let is_alone = needs_worker && !self.start(common);
            if is_alone && self.progress().workers.is_empty() {
                break;
            }
            if self.wait(deadline) {
                break;
            }
            self.check_workers(common, Instant::now() >= deadline);
            if Instant::now() >= deadline {
                break;
            }
        }
        let found = std::mem::take(&mut self.progress().found);
        let found = found.into_iter();
        found.map(|one| one.unwrap_or(Err(Silent))).collect()
    }

    /// Starts a worker for the items that are left.
    fn start(self: &Arc<Self>, common: &Arc<Common>) -> bool {
        if common.is_full() {
            return false;
        }
        let id = common.silences.new_id();
        self.progress().workers.push(Worker::new(id));
        let (batch, common_of_worker) = (self.clone(), common.clone());
        let work = move || batch.work(id, &common_of_worker);
        let started = common.pool.run(Box::new(work));
        if let Err(error) = &started {
            log::warn!("workspaces cannot be looked at: no thread can be started: {error}");
            self.progress().workers.retain(|worker| worker.id != id);
        }
        started.is_ok()
    }

    fn work(&self, id: Id, common: &Common) {
        let thread = Thread::current();
        let mut progress = self.progress();
        if let Some(worker) = progress.worker(id) {
            worker.thread = thread;
        }
        while let Some(index) = self.next(&mut progress, id, common) {
            drop(progress);
            // A panic is a bug. Those who wait must not wait for it.
            let look = || self.look_at(index, common);
            let found = catch_unwind(AssertUnwindSafe(look)).ok().flatten();
            progress = self.progress();
            if progress.worker(id).is_none() {
                drop(progress);
                return self.come_back(id, found, common);
            }
            progress.take(index, found.ok_or(Silent));
        }
        if progress.worker(id).is_none() {
            drop(progress);
            return self.come_back(id, None, common);
        }
        progress.workers.retain(|worker| worker.id != id);
        self.changed.notify_all();
    }

    /// Looks at an item, unless links lead it to a silent place.
    fn look_at(&self, index: usize, common: &Common) -> Option<Sighting> {
        let is_silent = common.silences.are_behind(|| (self.paths)(index));
        (!is_silent).then(|| (self.look)(index)).flatten()
    }

    /// Returns the next item for a worker, which is not at a silent place.
    fn next(&self, progress: &mut Progress, id: Id, common: &Common) -> Option<usize> {
        progress.worker(id)?.leave();
        loop {
            let index = progress.next(&self.paths)?;
            // Mostly it is the first one.
            if progress.left.front() == Some(&index) {
                progress.left.pop_front();
            } else {
                progress.left.retain(|left| *left != index);
            }
            if !common.silences.include(|| (self.paths)(index)) {
                progress.worker(id)?.at = Some((index, Instant::now()));
                return Some(index);
            }
            progress.take(index, Err(Silent));
        }
    }

    /// Waits until all is found, or until it is time to look after the workers. Returns true if all is found.
    fn wait(&self, deadline: Instant) -> bool {
        let mut progress = self.progress();
        let check = (Instant::now() + CHECK_INTERVAL).min(deadline);
        while !progress.is_done() {
            let left = check.saturating_duration_since(Instant::now());
            // Without a worker there is nothing to wait for.
            if left.is_zero() || progress.workers.is_empty() {
                return false;
            }
            let woken = self.changed.wait_timeout(progress, left);
            (progress, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Leaves those workers behind that hang, or all, and notes those that are slow.
    fn check_workers(&self, common: &Arc<Common>, is_late: bool) {
        let mut progress = self.progress();
        let unknown: Vec<(Id, usize)> = progress
            .workers
            .iter_mut()
            .filter_map(|worker| {
                worker.check();
                let (index, since) = worker.at?;
                let is_suspect = is_late || since.elapsed() >= CHECK_INTERVAL;
                (is_suspect && worker.mounts.is_none()).then_some((worker.id, index))
            })
            .collect();
        drop(progress);
        let known: Vec<_> = unknown
            .into_iter()
            .map(|(id, index)| (id, index, self.mounts_of(index, common)))
            .collect();
        progress = self.progress();
        for (id, index, mounts) in known {
            let worker = progress.worker(id);
            if let Some(worker) = worker.filter(|worker| worker.is_at(index)) {
                worker.mounts = Some(mounts);
            }
        }
        let (hung, working) = std::mem::take(&mut progress.workers)
            .into_iter()
            .partition(|worker| is_late || worker.hangs());
        progress.workers = working;
        for worker in hung {
            self.leave_behind(worker, &mut progress, common);
        }
    }

    /// Returns the remote mounts that an item is on. Links are read by a thread that may hang; otherwise words count.
    fn mounts_of(&self, index: usize, common: &Common) -> Vec<PathBuf> {
        let paths = (self.paths)(index);
        let (sender, receiver) = channel();
        let paths_to_read = paths.clone();
        let read = move || {
            let mounts = Mounts::read();
            let behind = paths_to_read.iter().filter_map(|path| mounts.behind(path));
            // Nobody may wait for it any more.
            let _ = sender.send(behind.collect());
        };
        let started = common.pool.run(Box::new(read));
        let by_links = started.ok().and_then(|()| {
            let received = receiver.recv_timeout(LINKS_PATIENCE);
            received.ok()
        });
        by_links.unwrap_or_else(|| {
            let mounts = Mounts::read();
            let around = paths.iter().filter_map(|path| mounts.around(path));
            around.map(PathBuf::from).collect()
        })
    }

    fn leave_behind(&self, worker: Worker, progress: &mut Progress, common: &Common) {
        let paths = worker.at.map(|(index, _)| {
            progress.take(index, Err(Silent));
            (self.paths)(index)
        });
        let paths = paths.unwrap_or_default();
        if let Some(path) = paths.first() {
            log::warn!(
                "the file system of {} does not answer; nothing is read there until it does",
                path.display()
            );
        }
        let place = Place::of(&paths, worker.mounts.unwrap_or_default());
        common.silences.begin(worker.id, place);
    }

    /// Ends a worker that was left behind, now that its place has answered.
    fn come_back(&self, id: Id, found: Option<Sighting>, common: &Common) {
        if let Some(found) = found {
            (self.take_late)(found);
        }
        common.silences.end(id);
        common.rescan_signal.request_retrace();
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn worker(&mut self, id: Id) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.id == id)
    }

    fn take(&mut self, index: usize, found: Result<Sighting, Silent>) {
        if let Some(slot) = self.found.get_mut(index) {
            *slot = Some(found);
        }
    }

    fn is_done(&self) -> bool {
        self.left.is_empty() && self.workers.is_empty()
    }

    /// Returns the next item that is on no mount where another one takes long.
    fn next(&self, paths: &dyn Fn(usize) -> Vec<PathBuf>) -> Option<usize> {
        let mounts = self.workers.iter().filter_map(|one| one.mounts.as_ref());
        let busy: Vec<&PathBuf> = mounts.flatten().collect();
        let mut left = self.left.iter().copied();
        left.find(|index| {
            let is_busy = |path: &PathBuf| busy.iter().any(|mount| path.starts_with(mount));
            busy.is_empty() || !paths(*index).iter().any(is_busy)
        })
    }

    /// Returns whether there are items that no worker is about to come to.
    fn needs_worker(&self, paths: &dyn Fn(usize) -> Vec<PathBuf>) -> bool {
        let are_slow = self.workers.iter().all(|worker| worker.mounts.is_some());
        are_slow && self.next(paths).is_some()
    }
}

impl Worker {
    fn new(id: Id) -> Self {
        Self {
            id,
            thread: None,
            at: None,
            last_work: None,
            mounts: None,
        }
    }

    /// Leaves its item.
    fn leave(&mut self) {
        self.at = None;
        self.last_work = None;
        self.mounts = None;
    }

    fn is_at(&self, index: usize) -> bool {
        self.at.is_some_and(|(at, _)| at == index)
    }

    /// Notes whether it has done anything since the last check.
    fn check(&mut self) {
        let sample = self.thread.as_ref().and_then(Thread::sample);
        let has_worked = |last: &Work| shows_work(last.sample, sample);
        if self.last_work.as_ref().is_none_or(has_worked) {
            let time = Instant::now();
            self.last_work = Some(Work { sample, time });
        }
    }

    /// Returns whether it has done nothing for so long that it hangs, or takes longer than any item may.
    fn hangs(&self) -> bool {
        let is_remote = self
            .mounts
            .as_ref()
            .is_some_and(|mounts| !mounts.is_empty());
        let patience = if is_remote {
            PATIENCE_REMOTE
        } else {
            PATIENCE_LOCAL
        };
        let is_longer = |time: Instant, limit: Duration| time.elapsed() >= limit;
        let is_idle = self.last_work.as_ref();
        is_idle.is_some_and(|last| is_longer(last.time, patience))
            || self
                .at
                .is_some_and(|(_, since)| is_longer(since, LONGEST_ITEM))
    }
}

fn paths_of<I: Located>(item: &I) -> Vec<PathBuf> {
    item.paths().into_iter().map(PathBuf::from).collect()
}

/// Without samples there is no evidence of work.
fn shows_work(then: Option<Sample>, now: Option<Sample>) -> bool {
    matches!((then, now), (Some(then), Some(now)) if now.shows_work_since(&then))
}
