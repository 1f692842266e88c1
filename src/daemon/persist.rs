//! Saves what outlives a restart.
//!
//! A thread of its own writes the file, for as long as there is something to write: where the state directory is on a
//! file system that does not answer, nothing else waits for it (P22).

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::shared::Shared;
use crate::base::threads;
use crate::base::time::Timestamp;
use crate::state::Fact;
use crate::store::Store;

/// How long an operation waits until it is saved. It goes on without: only after a crash would that be missed.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the start of the daemon waits for the state directory.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// The state, and the file that it is saved in.
pub struct Persister(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    store: Store,
    progress: Mutex<Progress>,
    written: Condvar,
}

#[derive(Default)]
struct Progress {
    is_writing: bool,
    /// How often saving was asked for, and how many of these requests are served.
    asked: u64,
    served: u64,
    /// True if the last attempt failed, so that it is worth trying again.
    has_failed: bool,
    /// True while the writer takes so long that nobody waits for it.
    is_late: bool,
}

impl Persister {
    /// Loads what the last run of the daemon left in this directory, and hands it to the state.
    pub fn recover(shared: Arc<Shared>, directory: Option<PathBuf>) -> Self {
        let (store, persisted) = Store::load_within(START_PATIENCE, directory);
        shared.apply(Fact::Recovered(persisted, Timestamp::now()));
        let is_awaited = store.is_awaited();
        let persister = Self(Arc::new(Inner {
            shared,
            store,
            progress: Mutex::default(),
            written: Condvar::new(),
        }));
        if is_awaited {
            persister.take_over_later();
        }
        persister
    }

    /// Waits, in a thread of its own, for the end of another daemon, and goes on from what that one has left.
    fn take_over_later(&self) {
        let own = Self(self.0.clone());
        let wait = move || {
            let shared = &own.0.shared;
            let take = |left| {
                shared.apply_quietly(Fact::TakenOver(left, Timestamp::now()));
            };
            if own.0.store.take_over(take) {
                // The other one may have changed containers up to its end.
                shared.apply(Fact::ListOutdated(Vec::new()));
                own.save();
            }
        };
        if let Err(e) = threads::start("takeover", wait) {
            log::warn!("nothing will outlive a restart, as no thread can be started: {e}");
        }
    }

    /// Saves what the next run of the daemon is to know. Returns when that is done, or takes too long.
    pub fn save(&self) {
        let mut progress = self.0.progress();
        // A failed attempt is not repeated over and over. Both are known at once, or another thread could take for saved
        // what is not.
        self.0.shared.apply_quietly(Fact::SaveBegun);
        progress.asked += 1;
        let own = progress.asked;
        if !progress.is_writing {
            progress.is_writing = true;
            drop(progress);
            self.start_writer();
            progress = self.0.progress();
        }
        if progress.is_late {
            return;
        }
        let is_waiting = |progress: &mut Progress| progress.served < own && !progress.is_late;
        let written = &self.0.written;
        let waited = written.wait_timeout_while(progress, PATIENCE, is_waiting);
        let (mut progress, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if is_waiting(&mut progress) {
            progress.is_late = true;
            drop(progress);
            self.0.written.notify_all();
            log::warn!(
                "the file system of the state directory does not answer; until it does, nothing is saved, and a restart \
                 would use older data"
            );
        }
    }

    /// Saves if something has changed, or if the last attempt failed.
    pub fn save_what_is_new(&self) {
        let is_unsaved = self.0.shared.read(|state| state.is_unsaved());
        let is_due = {
            let progress = self.0.progress();
            progress.has_failed || progress.served < progress.asked
        };
        // When this returns, that which another thread is saving must be written, too.
        if is_unsaved || is_due {
            self.save();
        }
    }

    fn start_writer(&self) {
        let inner = self.0.clone();
        if threads::start("save", move || inner.write()).is_err() {
            // It is worth the risk to wait here: most file systems answer.
            self.0.write();
        }
    }
}

impl Inner {
    /// Writes until all requests are served.
    fn write(&self) {
        let mut progress = self.progress();
        while progress.served < progress.asked {
            let asked = progress.asked;
            drop(progress);
            let has_failed = self
                .store
                .save(|| self.shared.read(|state| state.persisted()));
            progress = self.progress();
            progress.served = asked;
            progress.has_failed = has_failed;
            progress.is_late = false;
            self.written.notify_all();
        }
        progress.is_writing = false;
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
