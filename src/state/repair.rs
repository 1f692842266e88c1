//! Containers that an operation left neither replaced nor put back: after the daemon was killed, or docker went away.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::State;
use super::devcontainers::Entry;
use super::operation::Operation;
use super::persisted::{Persisted, Record};
use crate::base::time::Timestamp;
use crate::daemon::operations::journal::Journal;
use crate::model::container::ContainerInfo;
use crate::model::ids::{Key, OperationId};
use crate::model::labels::LABEL_OPERATION;
use crate::model::operation::{OperationKind, OperationState, Repair, Repaired};
use crate::model::original::{Original, ParkedName};

/// How often something is tried that docker refuses to do.
const ATTEMPTS: u32 = 6;

impl State {
    /// Takes what the last run of the daemon left: its operations, and what containers were made from, by their ids.
    pub fn recover(&mut self, persisted: Persisted, now: Timestamp) {
        // The operations that it did not end have ended by now.
        let known_at = |record: Record| Record {
            finished_at: record.finished_at.or(Some(now)),
            ..record
        };
        self.recovered = persisted.operations.into_iter().map(known_at).collect();
        self.baselines = persisted.baselines;
        self.attach_recovered();
    }

    /// Operations belong to the dev containers that they were of.
    pub(super) fn attach_recovered(&mut self) {
        let mut left = Vec::new();
        for record in std::mem::take(&mut self.recovered) {
            let entry = self.fleet.entries.iter_mut().find(|entry| {
                entry.place.folder == record.folder && entry.place.canonical_config == record.config
            });
            match entry {
                Some(entry) if entry.operation.is_none() => {
                    let journal = Arc::new(Journal::new(entry.log_source()));
                    entry.operation = Some(Operation::of_record(record, journal));
                }
                Some(_) => {}
                None => left.push(record),
            }
        }
        self.recovered = left;
    }

    /// What the next run of the daemon should know.
    pub fn persisted(&self) -> Persisted {
        let known = self.fleet.entries.iter().filter_map(|entry| {
            let (folder, config) = (&entry.place.folder, entry.place.canonical_config.as_deref());
            Some(entry.operation.as_ref()?.record(folder, config))
        });
        Persisted {
            operations: known.chain(self.recovered.iter().cloned()).collect(),
            baselines: self.baselines.clone(),
        }
    }

    /// The dev containers with something to be put right, now that no operation runs for them.
    pub fn to_repair(&self) -> Vec<Key> {
        let idle = self.fleet.entries.iter().filter(|entry| !entry.is_busy());
        idle.filter_map(Entry::repair)
            .map(|repair| repair.key)
            .collect()
    }

    /// What is to be put right for a dev container by its own operation, which has begun.
    pub fn left_behind(&self, key: Key) -> Vec<Repair> {
        let Some(entry) = self.fleet.get(key) else {
            return Vec::new();
        };
        let known = entry.leftover.iter().cloned();
        let is_known = |one: &Repair| {
            entry
                .leftover
                .as_ref()
                .is_some_and(|l| l.operation == one.operation)
        };
        let aside = entry.set_aside().into_iter().filter(|one| !is_known(one));
        known.chain(aside).collect()
    }

    /// The operation that runs has put right what an earlier one left, or has removed it all.
    pub fn clear_leftover(&mut self, key: Key) {
        if let Some(entry) = self.fleet.get_mut(key) {
            entry.leftover = None;
        }
    }

    /// Whether what an earlier operation left is being put right.
    pub fn is_repairing(&self, key: Key) -> bool {
        self.fleet.get(key).is_some_and(|entry| entry.repairing)
    }

    /// Whether something is to be put right that could not be yet.
    pub fn has_unsettled(&self) -> bool {
        let is_unsettled = |entry: &Entry| {
            let unsettled = entry.operation.as_ref().is_some_and(|o| o.unsettled);
            (unsettled || entry.leftover.is_some()) && entry.place.outside.is_none()
        };
        let unfinished =
            |record: &Record| record.state == OperationState::Running || record.unsettled;
        self.fleet.entries.iter().any(is_unsettled) || self.recovered.iter().any(unfinished)
    }

    /// Begins to put right what is wrong with a dev container, if nothing else is done to it. Unless we `are_alone` with
    /// its folder, what another daemon set aside is left to that.
    pub fn begin_repair(&mut self, key: Key, are_alone: bool, now: Timestamp) -> Option<Repair> {
        if self.closing {
            return None;
        }
        let entry = self.fleet.get_mut(key).filter(|entry| !entry.is_busy())?;
        let repair = entry
            .repair()
            .filter(|repair| repair.is_known || are_alone)?;
        let known = entry.operation.as_ref();
        if known.is_none_or(|operation| operation.id < repair.operation) {
            // Nothing is left of that operation but the name of the container.
            let record = Record {
                folder: entry.place.folder.clone(),
                config: entry.place.canonical_config.clone(),
                started_at: repair.operation.began_at(),
                id: repair.operation.clone(),
                kind: OperationKind::Recreate,
                state: OperationState::Running,
                finished_at: Some(now),
                error: None,
                originals: repair.originals.clone(),
                unsettled: false,
                made: None,
                made_from: None,
            };
            let journal = Arc::new(Journal::new(entry.log_source()));
            entry.operation = Some(Operation::of_record(record, journal));
        }
        entry.repairing = true;
        self.changed();
        Some(repair)
    }

    /// What came of it. With an error, which docker gave before anything was done, it is tried again after the next
    /// listing; what docker refused to do, a few times.
    pub fn end_repair(&mut self, repair: &Repair, result: Result<Repaired, String>) {
        let Some(entry) = self.fleet.get_mut(repair.key) else {
            return;
        };
        entry.repairing = false;
        let complete = result.as_ref().is_ok_and(|repaired| repaired.complete);
        entry.attempts += u32::from(result.is_ok());
        let ended = complete || entry.attempts >= ATTEMPTS;
        if ended {
            entry.last_repaired = Some(repair.operation.clone());
            entry.attempts = 0;
            entry.leftover = entry
                .leftover
                .take()
                .filter(|l| l.operation != repair.operation);
        }
        let operation = entry
            .operation
            .as_mut()
            .filter(|o| o.id == repair.operation);
        if let Some(operation) = operation {
            operation.unsettled = !ended;
            let summary = result
                .ok()
                .filter(|_| ended)
                .and_then(|repaired| repaired.summary);
            if let (Some(outcome), Some(summary)) = (&mut operation.outcome, summary) {
                outcome.error = Some(match &outcome.error {
                    Some(error) => format!("{error}; {summary}"),
                    None => summary,
                });
            }
        }
        self.changed();
    }

    /// It is not known yet what became of the containers of an operation that is about to end.
    /// `made` is its container, where it succeeded.
    pub fn set_unsettled(&mut self, key: Key, made: Option<String>) {
        if let Some(operation) = self.fleet.get_mut(key).and_then(|e| e.operation.as_mut()) {
            operation.unsettled = true;
            operation.made = made;
        }
    }
}

impl Entry {
    /// What is to be put right next. Operations are taken by their age, each once: what cannot be put right would be
    /// tried for ever.
    pub(super) fn repair(&self) -> Option<Repair> {
        let is_new = |id: &OperationId| self.last_repaired.as_ref().is_none_or(|last| id > last);
        let mut aside = self.set_aside().into_iter();
        let operation = self.operation.as_ref();
        match operation.filter(|o| o.unsettled || (is_new(&o.id) && self.has_half_made_of(o))) {
            Some(operation) => {
                let own = aside.filter(|repair| repair.operation == operation.id);
                let own = own.flat_map(|repair| repair.originals);
                let mut originals = operation.originals.clone();
                let is_unknown =
                    |one: &Original| operation.originals.iter().all(|old| old.id != one.id);
                originals.extend(own.filter(is_unknown));
                Some(Repair {
                    key: self.key,
                    operation: operation.id.clone(),
                    originals,
                    is_ours: operation.unsettled && !operation.is_of_earlier_run,
                    is_known: true,
                    made: operation.made.clone(),
                })
            }
            None if self.leftover.is_some() => self.leftover.clone(),
            None => aside.find(|repair| is_new(&repair.operation)),
        }
    }

    /// Whether a container of the operation was made only after its end, as docker finishes what it was asked for.
    fn has_half_made_of(&self, operation: &Operation) -> bool {
        let ended_badly = operation
            .outcome
            .as_ref()
            .is_some_and(|o| o.state != OperationState::Succeeded);
        let is_half_made = |info: &Arc<ContainerInfo>| {
            let label = info.labels.get(LABEL_OPERATION);
            label == Some(operation.id.as_str()) && info.status.starts_with("created")
        };
        ended_badly && self.containers().any(is_half_made)
    }

    /// Containers that are set aside, by the operations that did it.
    fn set_aside(&self) -> Vec<Repair> {
        let mut repairs: BTreeMap<OperationId, Vec<Original>> = BTreeMap::new();
        for info in self.containers() {
            let Some(aside) = ParkedName::parse(&info.name) else {
                continue;
            };
            repairs.entry(aside.operation).or_default().push(Original {
                id: info.id.clone(),
                name: aside.name,
                was: aside.was,
                // Told from what docker says when it is put back.
                removed_when_stopped: false,
                leaves_networks: Vec::new(),
                compose: None,
            });
        }
        let repairs = repairs.into_iter().map(|(operation, originals)| Repair {
            key: self.key,
            is_known: self.operation.as_ref().is_some_and(|o| o.id == operation),
            operation,
            originals,
            is_ours: false,
            made: None,
        });
        repairs.collect()
    }
}
