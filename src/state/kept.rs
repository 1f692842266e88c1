//! The data that is kept of containers and dev containers that a listing does not show: docker may look at another
//! context, and show them again later.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use super::State;
use super::entry::Entry;
use super::persisted::Record;
use crate::base::time::Timestamp;

/// How long it is kept, in seconds: 30 days.
const KEPT_FOR: f64 = 30.0 * 86_400.0;
/// How many inputs the baselines of containers that are not shown may have together: some megabytes.
const MAX_KEPT_INPUTS: usize = 10_000;
/// How many operations of dev containers that are not known are kept.
const MAX_KEPT_OPERATIONS: usize = 200;

impl State {
    /// Takes that only the containers with these ids were listed at `now`. The baselines of others are kept for a
    /// while. Of too many, those stay whose containers were shown last.
    pub(super) fn keep_baselines(&mut self, listed: &Arc<HashSet<String>>, now: Timestamp) {
        if std::ptr::eq(self.listed.as_ptr(), Arc::as_ptr(listed)) {
            return;
        }
        self.listed = Arc::downgrade(listed);
        let were_missing = self.missing.len();
        self.missing.retain(|id, _| !listed.contains(id));
        let mut has_changed = self.missing.len() != were_missing;
        for id in self.baselines.keys().filter(|id| !listed.contains(*id)) {
            if !self.missing.contains_key(id) {
                self.missing.insert(id.clone(), now);
                has_changed = true;
            }
        }
        let missing = self.missing.iter();
        let mut newest_first: Vec<(Timestamp, String)> =
            missing.map(|(id, since)| (*since, id.clone())).collect();
        newest_first.sort_by(|a, b| b.cmp(a));
        let mut kept_inputs = 0;
        let had_baselines = self.baselines.len();
        for (since, id) in newest_first {
            let baseline = self.baselines.get(&id);
            kept_inputs += baseline.map_or(0, |baseline| baseline.inputs().count());
            if is_over(since, now) || kept_inputs > MAX_KEPT_INPUTS {
                self.baselines.remove(&id);
                self.missing.remove(&id);
                has_changed = true;
            }
        }
        if self.baselines.len() != had_baselines {
            let baselines = &self.baselines;
            self.made_here.retain(|id| baselines.contains_key(id));
            self.fleet.entries.forget_derived();
        }
        self.unsaved |= has_changed;
    }

    /// Takes that a listing at `now` has shown no dev container that the recovered operations belong to. They are kept
    /// for a while. Of too many, those stay whose dev containers were known last.
    pub(super) fn keep_operations(&mut self, now: Timestamp) {
        let before = self.recovered.len();
        for record in &mut self.recovered {
            self.unsaved |= record.unknown_since.is_none();
            record.unknown_since.get_or_insert(now);
        }
        let since = |record: &Record| record.unknown_since.unwrap_or(now);
        self.recovered.retain(|record| !is_over(since(record), now));
        self.recovered.sort_by_key(|record| Reverse(since(record)));
        self.recovered.truncate(MAX_KEPT_OPERATIONS);
        self.unsaved |= self.recovered.len() != before;
    }

    /// Keeps the last operations of dev containers that are not known any more.
    pub(super) fn keep_operations_of(&mut self, gone: &[Entry]) {
        self.recovered.extend(gone.iter().filter_map(Entry::record));
    }
}

fn is_over(since: Timestamp, now: Timestamp) -> bool {
    now.seconds_since(since) > KEPT_FOR
}
