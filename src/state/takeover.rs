//! The data that another daemon has saved while this one already ran. It was there first, as a daemon that still waits for
//! the end of its operations while the one that replaces it serves.
//!
//! This daemon has read what the other one had saved by its start ([`Persisted::of_another`]), so that only what came later
//! is to be added. Where both know something of the same object, the later operation counts.

use std::sync::Weak;

use super::State;
use super::entry::Entry;
use super::persisted::{Persisted, Record};
use crate::base::time::Timestamp;
use crate::model::operation::OperationState;

impl Persisted {
    /// Returns the data without the operations that run in the daemon that has saved it: they are neither interrupted nor to
    /// be repaired.
    pub fn of_another(mut self) -> Self {
        let has_ended = |record: &Record| record.state != OperationState::Running;
        self.operations.retain(has_ended);
        self
    }
}

impl State {
    /// Takes what another daemon has left, which has ended by now.
    pub(super) fn take_over(&mut self, left: Persisted, ended_by: Timestamp) {
        self.take_over_operations(left.operations, ended_by);
        for (id, baseline) in left.baselines {
            // This daemon has found out of other containers only what their age shows.
            if !self.made_here.contains(&id) {
                self.baselines.insert(id, baseline);
            }
        }
        // The next listing shows which of these containers there are.
        self.listed = Weak::new();
        self.fleet.links.add(left.links);
        self.fleet.add_names(left.names);
        let mut requested = left.requested;
        requested.retain(|one| !self.forgotten.contains(one));
        self.recover_requested(requested);
        self.attach_recovered();
        self.fleet.entries.forget_derived();
        self.unsaved = true;
        self.changed();
    }

    fn take_over_operations(&mut self, records: Vec<Record>, ended_by: Timestamp) {
        for mut record in records {
            record.finished_at.get_or_insert(ended_by);
            let is_it = |entry: &Entry| {
                let place = &entry.resolved;
                place.folder == record.folder && place.canonical_config == record.config
            };
            let is_older = |entry: &Entry| {
                let own = entry.operation_id();
                own.is_none_or(|own| *own < record.id) && !entry.is_busy()
            };
            let is_replaced = |one: &Entry| is_it(one) && is_older(one);
            for entry in self.fleet.entries.iter_mut_where(is_replaced) {
                entry.keep_leftover();
                entry.last = None;
                // The operation knows more of its container than the age of that shows.
                let here = &self.made_here;
                for info in entry.containers().filter(|info| !here.contains(&info.id)) {
                    self.baselines.remove(&info.id);
                }
            }
            let is_same_place =
                |one: &Record| one.folder == record.folder && one.config == record.config;
            self.recovered.retain(|one| !is_same_place(one));
            self.recovered.push(record);
        }
    }
}
