//! Scans one after the other: all who wait for one share the next that begins.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::wanted::{IsWanted, WANTED_INTERVAL};
use crate::model::inputs::ForceReread;

/// How long a request waits for the scan of another one. Scans have deadlines of their own, which come before.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much a scan has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// All that there is, which was taken.
    Whole,
    /// There may be more.
    Partly,
}

/// Lets one thread scan at a time. A request is served by a scan that began after it, whichever thread makes that.
#[derive(Default)]
pub(super) struct Turns {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    is_scanning: bool,
    /// How many scans have begun, and how many of these have ended.
    begun: u64,
    ended: u64,
    /// The files that the next scan is to read again.
    force_reread: ForceReread,
    /// When the last scan began, if it looked at everything.
    last_whole: Option<Instant>,
}

/// The turn of a thread, which ends when it is dropped.
struct Turn<'a> {
    turns: &'a Turns,
    begun: Instant,
    is_whole: bool,
}

impl Turns {
    /// Scans, or waits for the next scan of another thread while that is wanted. Returns true if it was this thread's scan.
    pub(super) fn scan(
        &self,
        force_reread: &ForceReread,
        is_wanted: IsWanted<'_>,
        scan: impl FnOnce(ForceReread) -> Scanned,
    ) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        let wanted = state.begun + 1;
        state.force_reread.merge(force_reread);
        while state.ended < wanted {
            if !state.is_scanning {
                return self.take_turn(state, scan);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.ended.wait_timeout(state, left.min(WANTED_INTERVAL));
            let (woken, waited) = woken.unwrap_or_else(PoisonError::into_inner);
            if !waited.timed_out() {
                state = woken;
                continue;
            }
            drop(woken);
            if !is_wanted() {
                break;
            }
            state = self.state();
        }
        false
    }

    /// Scans, unless another thread does. Returns true if it has.
    pub(super) fn scan_if_free(&self, scan: impl FnOnce(ForceReread) -> Scanned) -> bool {
        let state = self.state();
        !state.is_scanning && self.take_turn(state, scan)
    }

    /// Returns when the last scan began, if it looked at everything.
    pub(super) fn last_whole(&self) -> Option<Instant> {
        self.state().last_whole
    }

    fn take_turn(
        &self,
        mut state: MutexGuard<'_, State>,
        scan: impl FnOnce(ForceReread) -> Scanned,
    ) -> bool {
        state.is_scanning = true;
        state.begun += 1;
        let force_reread = std::mem::take(&mut state.force_reread);
        drop(state);
        let mut turn = Turn {
            turns: self,
            begun: Instant::now(),
            is_whole: false,
        };
        let scanned = scan(force_reread);
        turn.is_whole = scanned != Scanned::Partly;
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.is_scanning = false;
        state.ended = state.begun;
        state.last_whole = self.is_whole.then_some(self.begun);
        drop(state);
        self.turns.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::daemon::wanted::ALWAYS;

    #[test]
    fn all_who_wait_share_the_next_scan() {
        const WAITING: usize = 20;
        let turns = Turns::default();
        let scans = AtomicUsize::new(0);
        let (release, released) = channel::<()>();
        let (tell, told) = channel();
        thread::scope(|scope| {
            let (turns, scans) = (&turns, &scans);
            scope.spawn(move || {
                turns.scan(&ForceReread::default(), ALWAYS, |_| {
                    tell.send(()).unwrap();
                    let _ = released.recv();
                    scans.fetch_add(1, Ordering::SeqCst);
                    Scanned::Whole
                })
            });
            told.recv().unwrap();
            let waiting: Vec<_> = (0..WAITING)
                .map(|number| {
                    scope.spawn(move || {
                        let force_reread = ForceReread {
                            all: false,
                            files: [(1, number as u64)].into(),
                        };
                        let mut reread = 0;
                        let found = turns.scan(&force_reread, ALWAYS, |merged| {
                            reread = merged.files.len();
                            scans.fetch_add(1, Ordering::SeqCst);
                            Scanned::Whole
                        });
                        (found, reread)
                    })
                })
                .collect();
            let all_wait = || turns.state().force_reread.files.len() == WAITING;
            let deadline = Instant::now() + PATIENCE;
            while !all_wait() {
                assert!(Instant::now() < deadline);
                thread::yield_now();
            }
            drop(release);
            let ends: Vec<_> = waiting.into_iter().map(|one| one.join().unwrap()).collect();
            let scanned: Vec<_> = ends.iter().filter(|(found, _)| *found).collect();
            assert_eq!(scanned, [&(true, WAITING)], "one scan, for all files");
        });
        assert_eq!(scans.into_inner(), 2);
    }

    #[test]
    fn a_scan_that_panics_ends_its_turn() {
        let turns = Turns::default();
        let panics = |_| panic!("as the test wants it");
        let scan = || turns.scan(&ForceReread::default(), ALWAYS, panics);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(scan));
        assert!(panicked.is_err());
        assert!(turns.scan(&ForceReread::default(), ALWAYS, |_| Scanned::Whole));
    }

    #[test]
    fn p19_a_wait_that_nobody_wants_ends_before_the_scan() {
        let turns = Turns::default();
        let no_reread = ForceReread::default();
        let found = turns.scan(&no_reread, ALWAYS, |_| {
            // This would wait for the scan that it is part of.
            let found = turns.scan(&no_reread, &|| false, |_| panic!("another one scans"));
            assert!(!found);
            Scanned::Whole
        });
        assert!(found);
    }
}
