//! Looks at workspaces: whatever touches a path of a workspace runs on a helper thread, which is left behind where its
//! file system does not answer (P22).
//!
//! A call on a dead NFS or FUSE mount returns never, and nothing in the process can end it. So no thread that others wait
//! for makes such a call. The one that waits for a helper gives up when there is evidence that the helper hangs: it has
//! not been on a processor for two seconds, or for six where a disk of this machine may just be busy. Then its place is
//! silent, and nothing looks there any more, until that thread comes back by itself.

mod evidence;
mod pool;
mod silence;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::evidence::{Sample, Thread};
use self::pool::Pool;
use self::silence::{Id, Silences};
use crate::base::notify::RescanSignal;

/// How often a helper thread is looked at while one place keeps it.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// How long a helper thread may do nothing at a file system that a network or another process serves.
const PATIENCE_REMOTE: Duration = CHECK_INTERVAL;
/// The same at any other file system. A write that waits for a busy disk can make all who read wait for seconds.
const PATIENCE_LOCAL: Duration = Duration::from_secs(6);
/// How long all places of one call may take. What is not looked at by then is taken to be silent.
const LONGEST: Duration = Duration::from_secs(10);
/// How many threads may be left behind. With so many, nothing is looked at until one of them is back.
const MAX_LEFT_BEHIND: usize = 32;

/// A place does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent;

/// Something to look at.
pub trait Located {
    /// Returns the paths that are looked at, as far as they are known: all spellings of the folder.
    fn paths(&self) -> Vec<&Path>;
}

/// Looks at workspaces, on helper threads.
pub struct Looks {
    common: Arc<Common>,
}

struct Common {
    pool: Arc<Pool>,
    silences: Silences,
    /// Wakes the watcher when a place answers again.
    rescan_signal: RescanSignal,
}

/// The places of one call.
struct Batch<I, T> {
    items: Arc<[I]>,
    look: Box<dyn Fn(&I) -> T + Send + Sync>,
    /// Takes what a thread that was left behind has found in the end.
    take_late: Box<dyn Fn(T) + Send + Sync>,
    progress: Mutex<Progress<T>>,
    changed: Condvar,
}

struct Progress<T> {
    /// The thread that is at work; another one was left behind.
    worker: Id,
    thread: Option<Thread>,
    /// The index of the item that is looked at.
    at: usize,
    /// For each item before that one, what was found.
    found: Vec<Result<T, Silent>>,
}

impl Looks {
    /// Returns what looks at workspaces, and asks for a scan with `rescan_signal` when a place answers again.
    pub fn new(rescan_signal: RescanSignal) -> Self {
        Self {
            common: Arc::new(Common {
                pool: Arc::default(),
                silences: Silences::default(),
                rescan_signal,
            }),
        }
    }

    /// Looks at one place.
    ///
    /// # Errors
    ///
    /// The place does not answer.
    pub fn one<I, T>(
        &self,
        item: I,
        look: impl Fn(&I) -> T + Send + Sync + 'static,
    ) -> Result<T, Silent>
    where
        I: Located + Send + Sync + 'static,
        T: Send + 'static,
    {
        let found = self.each([item].into(), look, |_| {});
        found.into_iter().next().unwrap_or(Err(Silent))
    }

    /// Looks at several places, one after the other, and returns what was found at each. Of a place that answers too late,
    /// `take_late` takes what was found there.
    pub fn each<I, T>(
        &self,
        items: Arc<[I]>,
        look: impl Fn(&I) -> T + Send + Sync + 'static,
        take_late: impl Fn(T) + Send + Sync + 'static,
    ) -> Vec<Result<T, Silent>>
    where
        I: Located + Send + Sync + 'static,
        T: Send + 'static,
    {
        if items.is_empty() {
            return Vec::new();
        }
        let batch = Arc::new(Batch {
            look: Box::new(look),
            take_late: Box::new(take_late),
            progress: Mutex::new(Progress {
                worker: self.common.silences.new_id(),
                thread: None,
                at: 0,
                found: Vec::with_capacity(items.len()),
            }),
            changed: Condvar::new(),
            items,
        });
        batch.run(&self.common);
        let mut found = std::mem::take(&mut batch.progress().found);
        found.resize_with(batch.items.len(), || Err(Silent));
        found
    }
}

impl Common {
    fn is_full(&self) -> bool {
        self.silences.number() >= MAX_LEFT_BEHIND
    }
}

impl<I, T> Batch<I, T>
where
    I: Located + Send + Sync + 'static,
    T: Send + 'static,
{
    /// Looks at all items. Returns when that is done, or takes too long.
    fn run(self: &Arc<Self>, common: &Arc<Common>) {
        let deadline = Instant::now() + LONGEST;
        while !common.is_full() && self.start(common) && self.wait(deadline) == Waited::Hung {
            self.leave_behind(common);
            if Instant::now() >= deadline {
                return;
            }
        }
    }

    /// Starts a worker for the items that are left.
    fn start(self: &Arc<Self>, common: &Arc<Common>) -> bool {
        let (batch, common_of_worker) = (self.clone(), common.clone());
        let worker = self.progress().worker;
        let work = move || batch.work(worker, &common_of_worker);
        let started = common.pool.run(Box::new(work));
        if let Err(error) = &started {
            log::warn!("workspaces cannot be looked at: no thread can be started: {error}");
        }
        started.is_ok()
    }

    fn work(&self, worker: Id, common: &Common) {
        let thread = Thread::current();
        let mut progress = self.progress();
        if progress.worker != worker {
            drop(progress);
            return self.come_back(worker, None, common);
        }
        progress.thread = thread;
        while let Some(item) = self.next(&mut progress, common) {
            drop(progress);
            // A panic is a bug. Those who wait must not wait for it.
            let found = catch_unwind(AssertUnwindSafe(|| (self.look)(item)));
            progress = self.progress();
            if progress.worker != worker {
                drop(progress);
                return self.come_back(worker, found.ok(), common);
            }
            progress.found.push(found.map_err(|_| Silent));
            progress.at += 1;
        }
        self.changed.notify_all();
    }

    /// Returns the next item that is not at a silent place.
    fn next(&self, progress: &mut Progress<T>, common: &Common) -> Option<&I> {
        loop {
            let item = self.items.get(progress.at)?;
            if !common.silences.include(|| item.paths()) {
                return Some(item);
            }
            progress.found.push(Err(Silent));
            progress.at += 1;
        }
    }

    /// Waits until all items are done, or until there is evidence that the worker hangs.
    fn wait(&self, deadline: Instant) -> Waited {
        let mut progress = self.progress();
        let mut last_work: Option<Work> = None;
        loop {
            let check = (Instant::now() + CHECK_INTERVAL).min(deadline);
            while progress.at < self.items.len() {
                let left = check.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let woken = self.changed.wait_timeout(progress, left);
                (progress, _) = woken.unwrap_or_else(PoisonError::into_inner);
            }
            if progress.at >= self.items.len() {
                return Waited::Done;
            }
            if Instant::now() >= deadline {
                return Waited::Hung;
            }
            let at = progress.at;
            let sample = progress.thread.as_ref().and_then(Thread::sample);
            match &last_work {
                Some(last) if last.at == at && !shows_work(last.sample, sample) => {
                    if last.time.elapsed() >= self.patience(at) {
                        return Waited::Hung;
                    }
                }
                _ => {
                    let time = Instant::now();
                    last_work = Some(Work { at, sample, time });
                }
            }
        }
    }

    /// Returns how long a worker may do nothing at an item.
    fn patience(&self, at: usize) -> Duration {
        let is_remote = |item: &I| silence::are_remote(&item.paths());
        if self.items.get(at).is_some_and(is_remote) {
            PATIENCE_REMOTE
        } else {
            PATIENCE_LOCAL
        }
    }

    /// Leaves the worker behind at the item that it looks at.
    fn leave_behind(&self, common: &Common) {
        let mut progress = self.progress();
        let Some(item) = self.items.get(progress.at) else {
            return;
        };
        let paths = item.paths();
        common.silences.begin(progress.worker, &paths);
        progress.worker = common.silences.new_id();
        progress.thread = None;
        progress.found.push(Err(Silent));
        progress.at += 1;
        if let Some(path) = paths.first() {
            log::warn!(
                "the file system of {} does not answer; nothing is read there until it does",
                path.display()
            );
        }
    }

    /// Ends a worker that was left behind, now that its place has answered.
    fn come_back(&self, worker: Id, found: Option<T>, common: &Common) {
        if let Some(found) = found {
            (self.take_late)(found);
        }
        common.silences.end(worker);
        common.rescan_signal.request_retrace();
    }

    fn progress(&self) -> MutexGuard<'_, Progress<T>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    Done,
    Hung,
}

/// When a worker was last seen at work, or first seen at an item.
struct Work {
    at: usize,
    sample: Option<Sample>,
    time: Instant,
}

/// Without samples there is no evidence of work.
fn shows_work(then: Option<Sample>, now: Option<Sample>) -> bool {
    matches!((then, now), (Some(then), Some(now)) if now.shows_work_since(&then))
}

#[cfg(test)]
mod tests;
