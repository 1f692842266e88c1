//! Helper threads, which are kept for the next job.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

/// How many threads without a job are kept. Looks rarely overlap.
const KEPT: usize = 1;

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Threads that run jobs. There is one for each job that runs, and a few without one.
#[derive(Default)]
pub(super) struct Pool {
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
    /// Runs a job at once, on a thread that has none or on a new one.
    ///
    /// # Errors
    ///
    /// Fails if no thread can be started.
    pub(super) fn run(self: &Arc<Self>, job: Job) -> io::Result<()> {
        let mut jobs = self.jobs();
        if jobs.idle > jobs.waiting.len() {
            jobs.waiting.push_back(job);
            self.added.notify_one();
            return Ok(());
        }
        drop(jobs);
        let pool = self.clone();
        let thread = thread::Builder::new().name("look".into());
        thread.spawn(move || pool.work(job)).map(drop)
    }

    fn work(&self, first: Job) {
        let mut job = first;
        loop {
            job();
            let mut jobs = self.jobs();
            if jobs.idle >= KEPT {
                return;
            }
            jobs.idle += 1;
            job = loop {
                if let Some(job) = jobs.waiting.pop_front() {
                    break job;
                }
                let woken = self.added.wait(jobs);
                jobs = woken.unwrap_or_else(PoisonError::into_inner);
            };
            jobs.idle -= 1;
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn jobs_run_at_once_though_others_do_not_end() {
        let pool = Arc::new(Pool::default());
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
        let pool = Arc::new(Pool::default());
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
}
