//! The state as all threads share it: the lock around it, and who is woken when it changes.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::base::notify::Notifier;
use crate::state::{
    Applied, Fact, Freshness, Need, Next, ScanTarget, Scraped, State, Step, Update, View,
};

/// The state as all threads share it.
///
/// The lock is held for the moment that a pure function takes, never while something is read, run or waited for (P1).
pub struct Shared {
    state: Mutex<State>,
    /// Wakes those who wait for a change.
    changed: Condvar,
    /// Wakes the refresher, which may have something to do.
    to_do: Condvar,
    /// Notified of every change, for those who wait for other things, too.
    notifiers: Mutex<Vec<Weak<Notifier>>>,
    /// As the state has it, for requests, each of which looks at it.
    is_draining: AtomicBool,
    is_closing: AtomicBool,
}

/// The source of an answer.
pub enum Source {
    /// Nothing has to be scanned before.
    View(Arc<View>),
    /// The inputs of these have to be scanned before a view is taken, if they may have changed.
    Targets(Arc<[Arc<ScanTarget>]>),
}

/// Why a request for the container list got no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The daemon is about to stop.
    Closing,
    /// The deadline has come.
    TimedOut,
}

impl Source {
    fn of(state: &mut State) -> Self {
        if state.has_scan_targets() {
            Self::Targets(state.scan_targets())
        } else {
            Self::View(state.view())
        }
    }
}

impl Shared {
    /// Shares a state between threads.
    pub fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            to_do: Condvar::new(),
            notifiers: Mutex::default(),
            is_draining: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
        }
    }

    /// Reads from the state. `question` must not block.
    pub fn read<T>(&self, question: impl FnOnce(&State) -> T) -> T {
        question(&self.lock())
    }

    /// Changes the state, and wakes all who wait for a change. `change` must not block.
    pub fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        self.is_draining
            .store(state.is_draining(), Ordering::Release);
        self.is_closing.store(state.is_closing(), Ordering::Release);
        drop(state);
        self.changed.notify_all();
        self.to_do.notify_all();
        let notifiers = self.notifiers().clone();
        for notifier in notifiers.iter().filter_map(Weak::upgrade) {
            notifier.notify();
        }
        result
    }

    /// Applies a fact that was learned just now, and wakes all who wait for a change.
    pub fn apply(&self, fact: Fact) -> Applied {
        self.update(|state| state.apply(fact, Instant::now()))
    }

    /// Applies a fact that no view shows. This wakes those who wait for a list, but no stream.
    pub fn apply_unseen(&self, fact: Fact) {
        self.lock().apply(fact, Instant::now());
        self.changed.notify_all();
        self.to_do.notify_all();
    }

    /// Applies a fact that changes nothing for those who wait, and wakes no thread.
    pub fn apply_quietly(&self, fact: Fact) {
        self.lock().apply(fact, Instant::now());
    }

    /// Returns everything as the answers show it. This may make a new view, which is no change: it wakes no thread.
    pub fn view(&self) -> Arc<View> {
        self.lock().view()
    }

    /// Returns what has changed since a revision. Like [`Shared::view`], this wakes no thread.
    pub fn updates_since(&self, revision: Option<u64>) -> Update {
        self.lock().updates_since(revision)
    }

    /// Returns a part of the newest view. Like [`Shared::view`], this wakes no thread.
    pub fn shown<T>(&self, part: impl FnOnce(&mut State) -> T) -> T {
        part(&mut self.lock())
    }

    /// Returns the dev containers to scan. Like [`Shared::view`], this wakes no thread.
    pub fn scan_targets(&self) -> Arc<[Arc<ScanTarget>]> {
        self.lock().scan_targets()
    }

    /// Returns true once the daemon is about to stop, as [`State::is_draining`] does, without the lock.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Returns true once the daemon stops, as [`State::is_closing`] does, without the lock.
    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Returns what there is to answer from. Like [`Shared::view`], this wakes no thread.
    pub fn source(&self) -> Source {
        Source::of(&mut self.lock())
    }

    /// Answers a request for the container list that comes at `asked`, without waiting, and returns what there is to answer
    /// from, unless the request has to wait. Wakes the refresher alone, if that has work now. The request counts as interest
    /// if it `shows_interest`.
    pub fn ask(
        &self,
        asked: Instant,
        need: Need,
        shows_interest: bool,
    ) -> (Freshness, Option<Source>) {
        let mut state = self.lock();
        let begins = shows_interest && state.note_request(asked);
        let freshness = state.ask(asked, need, asked);
        let source = (freshness != Freshness::Wait).then(|| Source::of(&mut state));
        drop(state);
        if begins || freshness == Freshness::Wait {
            self.to_do.notify_all();
        }
        (freshness, source)
    }

    /// Returns what a scrape of the metrics shows. Wakes the refresher alone, if the list is so old that another one is made.
    pub fn scrape(&self) -> Scraped {
        let scraped = self.lock().scrape(Instant::now());
        if scraped.wants_list {
            self.to_do.notify_all();
        }
        scraped
    }

    /// Repeats a request after every change until it is answered or `deadline` has come.
    pub fn ask_until(
        &self,
        asked: Instant,
        need: Need,
        deadline: Instant,
    ) -> Result<Freshness, Unanswered> {
        let answer = self.wait(deadline, |state| {
            if state.is_closing() {
                return Some(Err(Unanswered::Closing));
            }
            let freshness = state.ask(asked, need, Instant::now());
            // The request may need something else than at first.
            self.to_do.notify_all();
            (freshness != Freshness::Wait).then_some(Ok(freshness))
        });
        answer.unwrap_or(Err(Unanswered::TimedOut))
    }

    /// Returns a notifier of every change, for as long as it lives.
    ///
    /// # Errors
    ///
    /// Fails if the process has no descriptors left.
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

    /// Waits for the next step of the refresher.
    pub fn next_step(&self) -> Step {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let until = match state.step(now) {
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

    /// Reads from the state after every change until there is an answer or `deadline` has come.
    pub fn wait_until_or<T>(
        &self,
        deadline: Instant,
        mut question: impl FnMut(&State) -> Option<T>,
    ) -> Option<T> {
        self.wait(deadline, |state| question(state))
    }

    /// Makes those who wait look again, as something else than the state has changed.
    pub fn wake(&self) {
        // With the lock, none of them is between its look and its wait.
        drop(self.lock());
        self.changed.notify_all();
    }

    fn wait<T>(
        &self,
        deadline: Instant,
        mut question: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(answer) = question(&mut state) {
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
        // A panic in a pure function is a bug. Its state is still the best there is to answer from.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
