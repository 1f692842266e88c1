//! Repair of containers that an operation left neither replaced nor put back: the daemon was killed, or docker went
//! away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::State;
use super::entry::Entry;
use super::operation::{Activity, Operation, PastOperation, Run};
use super::persisted::{Persisted, Record};
use crate::base::time::Timestamp;
use crate::model::container::{ContainerInfo, RunState};
use crate::model::ids::{Key, OperationId};
use crate::model::operation::{Ending, LeftBy, OperationState, Repair, Repaired, Settlement};
use crate::model::original::{Original, ParkedName};
use crate::model::project::Project;

/// Maximum number of times that a repair is tried which docker refuses to do.
const ATTEMPTS: u32 = 6;

impl State {
    /// Takes what the last run of the daemon left: its operations, the baselines of containers by their ids, and names.
    /// Operations that it did not end have ended by `ended_by`.
    pub(super) fn recover(&mut self, persisted: Persisted, ended_by: Timestamp) {
        let ended = |record: Record| Record {
            finished_at: record.finished_at.or(Some(ended_by)),
            ..record
        };
        self.recovered = persisted.operations.into_iter().map(ended).collect();
        self.baselines = persisted.baselines;
        self.fleet.entries.forget_derived();
        self.missing = persisted.missing;
        self.fleet.reservations.recover(persisted.names);
        self.fleet.links.recover(persisted.links);
        self.recover_requested(persisted.requested);
        self.attach_recovered();
    }

    /// Gives recovered operations to the dev containers that they belong to.
    pub(super) fn attach_recovered(&mut self) {
        if self.recovered.is_empty() || self.fleet.entries.is_empty() {
            return;
        }
        let folders = self.fleet.by_folder();
        let mut left = Vec::new();
        for record in std::mem::take(&mut self.recovered) {
            let keys = folders.get(record.folder.as_os_str()).into_iter().flatten();
            let mut entries = keys.filter_map(|key| self.fleet.get(*key));
            let entry = entries.find(|entry| entry.resolved.canonical_config == record.config);
            let key = entry.map(|entry| entry.key);
            match key.and_then(|key| self.fleet.get_mut(key)) {
                Some(entry) if entry.operation_id().is_none() => {
                    entry.last = Some(PastOperation::from_record(record));
                }
                Some(_) => {}
                None => left.push(record),
            }
        }
        self.recovered = left;
    }

    /// Returns what the next run of the daemon is to know.
    pub fn persisted(&self) -> Persisted {
        let known = self.fleet.entries.iter().filter_map(Entry::record);
        Persisted {
            operations: known.chain(self.recovered.iter().cloned()).collect(),
            baselines: self.baselines.clone(),
            missing: self.missing.clone(),
            names: self.fleet.names(),
            links: self.fleet.links.persisted(),
            requested: self.fleet.requested(),
        }
    }

    /// Returns the dev containers that need a repair and for which nothing else is being done.
    pub fn to_repair(&self) -> Vec<Key> {
        let idle = self.fleet.entries.iter().filter(|entry| !entry.is_busy());
        idle.filter(|entry| entry.repair().is_some())
            .map(|entry| entry.key)
            .collect()
    }

    /// Returns the repairs that an operation of the dev container does before anything else.
    pub fn left_behind(&self, key: Key) -> Vec<Repair> {
        let Some(entry) = self.fleet.get(key) else {
            return Vec::new();
        };
        let leftover = entry.repairs.leftover.as_ref();
        let is_known = |one: &Repair| leftover.is_some_and(|l| l.operation == one.operation);
        let parked = entry.parked().into_iter().filter(|one| !is_known(one));
        leftover.cloned().into_iter().chain(parked).collect()
    }

    /// Takes that the running operation has repaired, or removed, what an earlier one left.
    pub(super) fn clear_leftover(&mut self, key: Key) {
        if let Some(entry) = self.fleet.get_mut(key) {
            entry.repairs.leftover = None;
        }
    }

    /// Returns whether a repair is still to be done that was not possible yet.
    pub fn has_unsettled(&self) -> bool {
        let is_unsettled = |entry: &Entry| {
            let unsettled = entry.last().is_some_and(PastOperation::is_unsettled);
            (unsettled || entry.repairs.leftover.is_some()) && entry.resolved.access.allows_stop()
        };
        // A listing shows what is to be repaired. One has shown nothing of those that are not known since.
        let unfinished = |record: &Record| {
            let is_unfinished = record.state == OperationState::Running || record.unsettled;
            is_unfinished && record.unknown_since.is_none()
        };
        self.fleet.entries.iter().any(is_unsettled) || self.recovered.iter().any(unfinished)
    }

    /// Begins the next repair of a dev container, if nothing else is done to it, or to another one that has one of the
    /// compose projects in `claims`. Unless `is_locked` says that no other
    /// daemon can be at work in its folder, containers that another daemon may have parked are left to that daemon.
    pub fn begin_repair(
        &mut self,
        key: Key,
        is_locked: bool,
        claims: Vec<Project>,
        now: Timestamp,
    ) -> Option<Repair> {
        if self.is_draining() || self.is_at_work_in(key, &claims) {
            return None;
        }
        let entry = self.fleet.get_mut(key).filter(|entry| !entry.is_busy())?;
        let repair = entry
            .repair()
            .filter(|repair| is_locked || repair.left_by != LeftBy::Unknown)?;
        let last = entry.operation_id();
        if last.is_none_or(|last| *last < repair.operation) {
            let (id, originals) = (repair.operation.clone(), repair.originals.clone());
            entry.last = Some(PastOperation::of_parked_name(id, originals, now));
        }
        entry.activity = Activity::Repairing {
            repair: repair.clone(),
            claims,
        };
        self.changed();
        Some(repair)
    }

    /// Takes the result of the repair that is under way. Where docker did not answer, it is tried again after the next
    /// listing; what docker refuses to do is tried a few times. A complete repair makes lists from before `now` out of
    /// date.
    pub(super) fn end_repair(&mut self, key: Key, repaired: Option<Repaired>, now: Instant) {
        if repaired.as_ref().is_some_and(|repaired| repaired.complete) {
            self.listing.invalidate(now, self.containers_of(key));
        }
        if let Some(entry) = self.fleet.get_mut(key)
            && let Some(repair) = entry.take_repair()
        {
            entry.end_repair(&repair, repaired);
        }
        self.changed();
    }
}

impl Entry {
    /// Keeps the repair that the last operation left, as another operation is about to begin.
    pub(super) fn keep_leftover(&mut self) {
        let left = self
            .repair()
            .filter(|_| self.last().is_some_and(PastOperation::is_unsettled));
        self.repairs.leftover = left.or(self.repairs.leftover.take());
    }

    /// Takes the repair under way: it has ended.
    fn take_repair(&mut self) -> Option<Repair> {
        match std::mem::replace(&mut self.activity, Activity::Idle) {
            Activity::Repairing { repair, .. } => Some(repair),
            other => {
                self.activity = other;
                None
            }
        }
    }

    /// Returns the next repair. Operations are taken by their age, each once, because an impossible repair would be
    /// retried forever.
    fn repair(&self) -> Option<Repair> {
        let done_up_to = self.repairs.done_up_to.as_ref();
        let is_new = |id: &OperationId| done_up_to.is_none_or(|done| id > done);
        let needs_repair = |past: &&PastOperation| {
            past.is_unsettled() || (is_new(&past.operation.id) && self.has_half_made_of(past))
        };
        if let Some(past) = self.last().filter(needs_repair) {
            return Some(self.repair_of(past));
        }
        let mut parked = self.parked().into_iter();
        let leftover = self.repairs.leftover.clone();
        leftover.or_else(|| parked.find(|repair| is_new(&repair.operation)))
    }

    fn repair_of(&self, past: &PastOperation) -> Repair {
        let Operation { id, originals, .. } = &past.operation;
        let parked = self.parked().into_iter();
        let own = parked.filter(|repair| repair.operation == *id);
        let is_unknown = |one: &Original| originals.iter().all(|original| original.id != one.id);
        let more = own.flat_map(|repair| repair.originals).filter(is_unknown);
        Repair {
            operation: id.clone(),
            originals: originals.iter().cloned().chain(more).collect(),
            left_by: if past.is_unsettled() && past.run == Run::This {
                LeftBy::ThisRun
            } else {
                LeftBy::Earlier
            },
            made: past.made_container().cloned(),
        }
    }

    /// Returns whether docker made a container of the operation only after its end, as docker finishes what it was
    /// asked for.
    fn has_half_made_of(&self, past: &PastOperation) -> bool {
        let is_half_made = |info: &Arc<ContainerInfo>| {
            past.operation.has_labelled(info) && info.run_state == RunState::Created
        };
        past.end.ending.state() != OperationState::Succeeded && self.containers().any(is_half_made)
    }

    /// Returns repairs of the parked containers, and of parked services, by the operations that parked them.
    fn parked(&self) -> Vec<Repair> {
        let mut repairs: BTreeMap<OperationId, Vec<Original>> = BTreeMap::new();
        for info in self.containers() {
            let parked = ParkedName::parse(&info.name);
            let Some(parked) = parked.filter(|parked| !self.has_replaced(&parked.operation)) else {
                continue;
            };
            repairs.entry(parked.operation).or_default().push(Original {
                id: info.id.clone(),
                name: parked.name,
                was: parked.was,
                // Docker is asked for these when the container is put back.
                removed_when_stopped: false,
                leaves_networks: Vec::new(),
                compose: None,
            });
        }
        let left_services = self.left_services.iter();
        for operation in left_services.filter(|operation| !self.has_replaced(operation)) {
            // Settling finds these by their names.
            repairs.entry(operation.clone()).or_default();
        }
        let repairs = repairs.into_iter().map(|(operation, originals)| Repair {
            left_by: if self.operation_id() == Some(&operation) {
                LeftBy::Earlier
            } else {
                LeftBy::Unknown
            },
            operation,
            originals,
            made: None,
        });
        repairs.collect()
    }

    /// Returns whether the last operation is this one and has left nothing: it removed all that it parked. A slow docker
    /// may show these for a while.
    fn has_replaced(&self, operation: &OperationId) -> bool {
        self.last().is_some_and(|past| {
            past.operation.id == *operation
                && past.end.ending == Ending::Succeeded
                && !past.is_unsettled()
        })
    }

    fn end_repair(&mut self, repair: &Repair, repaired: Option<Repaired>) {
        let complete = repaired.as_ref().is_some_and(|repaired| repaired.complete);
        self.repairs.attempts += u32::from(repaired.is_some());
        let is_over = complete || self.repairs.attempts >= ATTEMPTS;
        if is_over {
            self.repairs.end(&repair.operation);
        }
        if let Some(past) = &mut self.last
            && past.operation.id == repair.operation
        {
            past.settlement = if is_over {
                Settlement::Settled
            } else {
                Settlement::Open {
                    made: past.made_container().cloned(),
                }
            };
            if let Some(summary) = repaired.filter(|_| is_over).and_then(|r| r.summary) {
                past.end.add_repair(summary);
            }
        }
    }
}
