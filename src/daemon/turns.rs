//! Scans one after the other: all who wait for one share the next that begins.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::inputs::ForceReread;

/// How long a request waits for the scan of another one. Scans have deadlines of their own, which come before.
const PATIENCE: Duration = Duration::from_secs(30);

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
}

/// The turn of a thread, which ends when it is dropped.
struct Turn<'a>(&'a Turns);

impl Turns {
    /// Scans, or waits for the next scan of another thread. Returns true if it was this thread's scan, and found something.
    pub(super) fn scan(
        &self,
        force_reread: &ForceReread,
        scan: impl FnOnce(ForceReread) -> bool,
    ) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        let wanted = state.begun + 1;
        state.force_reread.merge(force_reread);
        while state.ended < wanted {
            if !state.is_scanning {
                state.is_scanning = true;
                state.begun += 1;
                let force_reread = std::mem::take(&mut state.force_reread);
                drop(state);
                let _turn = Turn(self);
                return scan(force_reread);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.ended.wait_timeout(state, left);
            (state, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
        false
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_scanning = false;
        state.ended = state.begun;
        drop(state);
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

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
                turns.scan(&ForceReread::default(), |_| {
                    tell.send(()).unwrap();
                    let _ = released.recv();
                    scans.fetch_add(1, Ordering::SeqCst);
                    true
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
                        let found = turns.scan(&force_reread, |merged| {
                            reread = merged.files.len();
                            scans.fetch_add(1, Ordering::SeqCst);
                            true
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
        let scan = || turns.scan(&ForceReread::default(), |_| panic!("as the test wants it"));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(scan));
        assert!(panicked.is_err());
        assert!(turns.scan(&ForceReread::default(), |_| true));
    }
}
