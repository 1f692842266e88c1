//! Saves what outlives a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::shared::Shared;
use crate::base::time::Timestamp;
use crate::state::Fact;
use crate::store::Store;

/// The state, and the file that it is saved in.
pub struct Persister {
    shared: Arc<Shared>,
    store: Store,
    /// True if the last attempt failed, so that it is worth trying again.
    failed: AtomicBool,
}

impl Persister {
    /// Loads what the last run of the daemon left, and hands it to the state.
    pub fn recover(shared: Arc<Shared>, store: Store) -> Self {
        shared.apply(Fact::Recovered(store.load(), Timestamp::now()));
        Self {
            shared,
            store,
            failed: AtomicBool::new(false),
        }
    }

    /// Saves what the next run of the daemon is to know.
    pub fn save(&self) {
        // A failed attempt is not repeated over and over.
        self.shared.apply_quietly(Fact::SaveBegun);
        let failed = self
            .store
            .save(|| self.shared.read(|state| state.persisted()));
        self.failed.store(failed, Ordering::Release);
    }

    /// Saves if something has changed, or if the last attempt failed.
    pub fn save_what_is_new(&self) {
        if self.shared.read(|state| state.is_unsaved()) || self.failed.load(Ordering::Acquire) {
            self.save();
        }
    }
}
