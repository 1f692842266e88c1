//! The one state, and the lock around it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::base::notify::{Notifier, RescanSignal};
use crate::state::{Next, State, Step};

/// The state as all threads share it.
///
/// The lock is held for the moment that a pure function takes, never while something is read, run or waited for (P1).
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Of the refresher: there may be something to do.
    pub(super) to_do: Condvar,
    /// Rung after every change, for those who wait for other things, too.
    notifiers: Mutex<Vec<Weak<Notifier>>>,
    pub(super) list_timeout: Duration,
    /// The resolved folders of `--workspace-root`.
    pub(super) roots: Arc<[PathBuf]>,
    /// Of the watcher.
    pub(super) rescan_signal: RescanSignal,
}

impl Shared {
    /// A listing may take `list_timeout`. `roots` are the resolved folders of `--workspace-root`.
    pub fn new(
        state: State,
        list_timeout: Duration,
        roots: Arc<[PathBuf]>,
        rescan_signal: RescanSignal,
    ) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            to_do: Condvar::new(),
            notifiers: Mutex::default(),
            list_timeout,
            roots,
            rescan_signal,
        }
    }

    /// Asks the state something. `question` must not block.
    pub fn read<T>(&self, question: impl FnOnce(&mut State) -> T) -> T {
        question(&mut self.lock())
    }

    /// Tells the state something, and wakes all who wait for a change. `fact` must not block.
    pub fn update<T>(&self, fact: impl FnOnce(&mut State) -> T) -> T {
        let told = fact(&mut self.lock());
        self.changed.notify_all();
        self.to_do.notify_all();
        let notifiers = self.notifiers().clone();
        for notifier in notifiers.iter().filter_map(Weak::upgrade) {
            notifier.notify();
        }
        told
    }

    /// A bell that is rung after every change, as long as somebody has it. Fails where no descriptors are left.
    pub fn notifier(&self) -> io::Result<Arc<Notifier>> {
        let notifier = Arc::new(Notifier::new()?);
        let mut notifiers = self.notifiers();
        notifiers.retain(|notifier| notifier.strong_count() > 0);
        notifiers.push(Arc::downgrade(&notifier));
        Ok(notifier)
    }

    fn notifiers(&self) -> MutexGuard<'_, Vec<Weak<Notifier>>> {
        self.notifiers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do for the refresher.
    pub fn next_step(&self) -> Step {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let until = match state.next_step(now) {
                Next::Do(step) => return step,
                Next::Wait(until) => until,
            };
            let to_do = &self.to_do;
            state = match until {
                None => to_do.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(now);
                    let waited = to_do.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Waits until `condition` has an answer, or `deadline` has come. It is asked again after every change.
    pub fn wait_until_or<T>(
        &self,
        deadline: Instant,
        mut condition: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(answer) = condition(&mut state) {
                return Some(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            (state, _) = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a pure function is a bug; what it leaves is still the best there is to answer from.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
