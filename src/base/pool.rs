//! Threads that are kept for the next job.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

/// A job for a thread of a pool.
pub type Job = Box<dyn FnOnce() + Send>;

/// The properties of the threads of a pool.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The name of each thread.
    pub name: &'static str,
    /// Bytes of stack of each thread.
    pub stack: usize,
    /// How many threads are kept while they have no job.
    pub kept: usize,
    /// How long each of those is kept. `None` means for ever.
    pub kept_for: Option<Duration>,
}

/// Threads that run jobs. There is one for each job that runs, and a few without one.
pub struct Pool {
    settings: Settings,
    jobs: Mutex<Jobs>,
    added: Condvar,
}

#[derive(Default)]
struct Jobs {
    /// The jobs that a thread without one is about to take.
    waiting: VecDeque<Job>,
    /// How many threads have no job.
    idle: usize,
}

impl Pool {
    /// Returns a pool without threads.
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            jobs: Mutex::default(),
            added: Condvar::new(),
        })
    }

    /// Runs a job at once, on a thread that has none or on a new one.
    ///
    /// # Errors
    ///
    /// Fails if no thread can be started. The job is dropped then.
    pub fn run(self: &Arc<Self>, job: Job) -> io::Result<()> {
        let mut jobs = self.jobs();
        if jobs.idle > jobs.waiting.len() {
            jobs.waiting.push_back(job);
            drop(jobs);
            self.added.notify_one();
            return Ok(());
        }
        drop(jobs);
        let pool = self.clone();
        let thread = thread::Builder::new()
            .name(self.settings.name.into())
            .stack_size(self.settings.stack);
        thread.spawn(move || pool.work(job)).map(drop)
    }

    fn work(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            job();
            next = self.next();
        }
    }

    /// Waits for a job. Returns `None` where there are threads enough that wait, or none comes in time.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs();
        if jobs.idle >= self.settings.kept {
            return None;
        }
        let until = self.settings.kept_for.map(|time| Instant::now() + time);
        jobs.idle += 1;
        while jobs.waiting.is_empty() {
            jobs = match until {
                None => self
                    .added
                    .wait(jobs)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let woken = self.added.wait_timeout(jobs, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        jobs.idle -= 1;
        jobs.waiting.pop_front()
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const SETTINGS: Settings = Settings {
        name: "test",
        stack: 256 << 10,
        kept: 1,
        kept_for: None,
    };

    #[test]
    fn jobs_run_at_once_though_others_do_not_end() {
        let pool = Pool::new(SETTINGS);
        let (ended, ends) = mpsc::channel();
        let mut releases = Vec::new();
        for number in 0..10 {
            let (release, released) = mpsc::channel::<()>();
            let ended = ended.clone();
            let job = move || {
                let _ = released.recv();
                ended.send(number).unwrap();
            };
            pool.run(Box::new(job)).unwrap();
            releases.push(release);
        }
        for number in (0..10).rev() {
            releases.pop();
            assert_eq!(ends.recv_timeout(PATIENCE), Ok(number));
        }
    }

    #[test]
    fn a_thread_is_used_again() {
        let pool = Pool::new(SETTINGS);
        let (seen, threads) = mpsc::channel();
        let mut all = std::collections::HashSet::new();
        for _ in 0..100 {
            let seen = seen.clone();
            let job = move || seen.send(thread::current().id()).unwrap();
            pool.run(Box::new(job)).unwrap();
            all.insert(threads.recv_timeout(PATIENCE).unwrap());
        }
        assert!(all.len() < 100, "{}", all.len());
    }

    #[test]
    fn a_thread_without_a_job_ends_in_time() {
        let pool = Pool::new(Settings {
            kept_for: Some(Duration::from_millis(1)),
            ..SETTINGS
        });
        pool.run(Box::new(|| {})).unwrap();
        let begun = Instant::now();
        // The thread holds the pool as long as it lives.
        while Arc::strong_count(&pool) > 1 {
            assert!(begun.elapsed() < PATIENCE);
            thread::yield_now();
        }
        assert_eq!(pool.jobs().idle, 0);
    }
}
