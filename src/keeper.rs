//! Writes down what outlives a restart.

use std::sync::Arc;

use crate::shared::Shared;
use crate::state::State;
use crate::store::Store;
use crate::time::Timestamp;

/// The state, and where it is kept.
pub struct Keeper {
    shared: Arc<Shared>,
    store: Store,
}

impl Keeper {
    /// Tells the state what the last run of the daemon left.
    pub fn recover(shared: Arc<Shared>, store: Store) -> Self {
        let kept = store.load();
        let now = Timestamp::now();
        shared.tell(|state| state.recover(kept, now));
        Self { shared, store }
    }

    /// Writes down what a next run of the daemon has to know.
    pub fn save(&self) {
        let kept = |state: &mut State| {
            state.take_unsaved();
            state.kept()
        };
        if self.store.save(|| self.shared.ask(kept)) {
            self.shared.ask(State::set_unsaved);
        }
    }

    /// The same, if there is something new, or what could not be written.
    pub fn save_if_needed(&self) {
        if self.shared.ask(State::take_unsaved) {
            self.save();
        }
    }
}
