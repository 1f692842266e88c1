//! Containers that an operation left neither replaced nor put back: after the daemon was killed, or docker went away.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::State;
use super::fleet::{Entry, Key};
use super::operation::Operation;
use crate::journal::Journal;
use crate::model::{ContainerInfo, JobKind, JobState};
use crate::replace::{Aside, LABEL_OPERATION, Old, OperationId};
use crate::store::{Kept, Record};
use crate::time::Timestamp;

/// What is to be put right for a dev container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Whose containers.
    pub key: Key,
    /// The operation that left them.
    pub operation: OperationId,
    /// As they were before it.
    pub olds: Vec<Old>,
    /// Whether this daemon has run all the time since, so that what they do now is still the operation's doing.
    pub is_ours: bool,
    /// Whether the operation was one of this daemon, now or before a restart, and not another one's that may run.
    pub is_known: bool,
    /// The container that it made, where it succeeded.
    pub made: Option<String>,
}

/// What came of putting right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// For people.
    pub summary: Option<String>,
    /// Whether all is as it should be.
    pub complete: bool,
}

/// How often something is tried that docker refuses to do.
const ATTEMPTS: u32 = 6;

impl State {
    /// Takes what the last run of the daemon left: its operations, and what containers were made from, by their ids.
    pub fn recover(&mut self, kept: Kept, now: Timestamp) {
        // The operations that it did not end have ended by now.
        let known_at = |record: Record| Record {
            finished_at: record.finished_at.or(Some(now)),
            ..record
        };
        self.recovered = kept.operations.into_iter().map(known_at).collect();
        self.baselines = kept.baselines;
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
    pub fn kept(&self) -> Kept {
        let known = self.fleet.entries.iter().filter_map(|entry| {
            let (folder, config) = (&entry.place.folder, entry.place.canonical_config.as_deref());
            Some(entry.operation.as_ref()?.record(folder, config))
        });
        Kept {
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
        let unfinished = |record: &Record| record.state == JobState::Running || record.unsettled;
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
                kind: JobKind::Recreate,
                state: JobState::Running,
                finished_at: Some(now),
                error: None,
                olds: repair.olds.clone(),
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
                let own = own.flat_map(|repair| repair.olds);
                let mut olds = operation.olds.clone();
                let is_unknown = |one: &Old| operation.olds.iter().all(|old| old.id != one.id);
                olds.extend(own.filter(is_unknown));
                Some(Repair {
                    key: self.key,
                    operation: operation.id.clone(),
                    olds,
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
            .is_some_and(|o| o.state != JobState::Succeeded);
        let is_half_made = |info: &Arc<ContainerInfo>| {
            let label = info.labels.get(LABEL_OPERATION);
            label == Some(operation.id.as_str()) && info.status.starts_with("created")
        };
        ended_badly && self.containers().any(is_half_made)
    }

    /// Containers that are set aside, by the operations that did it.
    fn set_aside(&self) -> Vec<Repair> {
        let mut repairs: BTreeMap<OperationId, Vec<Old>> = BTreeMap::new();
        for info in self.containers() {
            let Some(aside) = Aside::parse(&info.name) else {
                continue;
            };
            repairs.entry(aside.operation).or_default().push(Old {
                id: info.id.clone(),
                name: aside.name,
                was: aside.was,
                // Told from what docker says when it is put back.
                removed_when_stopped: false,
                leaves_networks: Vec::new(),
                compose: None,
            });
        }
        let repairs = repairs.into_iter().map(|(operation, olds)| Repair {
            key: self.key,
            is_known: self.operation.as_ref().is_some_and(|o| o.id == operation),
            operation,
            olds,
            is_ours: false,
            made: None,
        });
        repairs.collect()
    }
}
