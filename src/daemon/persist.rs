//! Writes down what outlives a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::shared::Shared;
use crate::base::time::Timestamp;
use crate::state::Fact;
use crate::store::Store;

/// The state, and where it is kept.
pub struct Persister {
    shared: Arc<Shared>,
    store: Store,
    /// Whether what was to be written last could not be, so that it is worth trying again.
    failed: AtomicBool,
}

impl Persister {
    /// Tells the state what the last run of the daemon left.
    pub fn recover(shared: Arc<Shared>, store: Store) -> Self {
        let persisted = store.load();
        let now = Timestamp::now();
        shared.update(|state| state.recover(persisted, now));
        Self {
            shared,
            store,
            failed: AtomicBool::new(false),
        }
    }

    /// Writes down what a next run of the daemon has to know.
    pub fn save(&self) {
        // Whatever becomes of it, it is not to be tried over and over.
        self.shared.apply(Fact::SaveBegun);
        let failed = self
            .store
            .save(|| self.shared.read(|state| state.persisted()));
        self.failed.store(failed, Ordering::Release);
    }

    /// The same, if there is something new, or something that could not be written before.
    pub fn save_what_is_new(&self) {
        if self.shared.read(|state| state.is_unsaved()) || self.failed.load(Ordering::Acquire) {
            self.save();
        }
    }
}
