//! The beginning and the end of operations on dev containers.

use std::time::Instant;

use super::State;
use super::baseline::Baseline;
use super::entry::Entry;
use super::operation::Operation;
use super::persisted::Record;
use super::queue::Ahead;
use super::refusal::{Refusal, Work};
use crate::model::api::{Job, LogSource};
use crate::model::ids::{Key, OperationId};
use crate::model::inputs::Inputs;
use crate::model::operation::{EndedOperation, Ending, OperationKind, OperationState};
use crate::model::original::Original;
use crate::model::phase::Phase;
use crate::model::project::Project;
use crate::state::operation::{Activity, PastOperation, RunningOperation};

/// An operation that has begun, or waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The source that the lines of its log belong to.
    pub log_source: LogSource,
    /// The operations that it waits for; `None` where it runs.
    pub waits_for: Option<Ahead>,
}

impl State {
    /// Begins an operation, or queues it, unless something else is being done to the dev container, or to another one that
    /// has one of the compose projects in `claims`.
    pub fn begin(
        &mut self,
        key: Key,
        kind: OperationKind,
        id: OperationId,
        claims: Vec<Project>,
    ) -> Result<Begun, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Closing);
        }
        let conflict = self.conflict(key, &claims);
        let entry = self.fleet.get(key).ok_or(Refusal::Gone)?;
        match entry.works().next() {
            None => {}
            Some((Work::Repair, _)) => return Err(Refusal::Repairing),
            Some((work, _)) => {
                return Err(Refusal::InProgress {
                    work,
                    name: entry.name.clone(),
                });
            }
        }
        if let Some(conflict) = conflict {
            return Err(conflict);
        }
        let log_source = entry.log_source();
        let waits_for = if self.must_wait(kind) {
            Some(self.enqueue(key, kind, id, claims)?)
        } else {
            self.begin_now(key, kind, id, claims);
            None
        };
        self.changed();
        Ok(Begun {
            log_source,
            waits_for,
        })
    }

    /// Begins an operation that nothing forbids.
    pub(super) fn begin_now(
        &mut self,
        key: Key,
        kind: OperationKind,
        id: OperationId,
        claims: Vec<Project>,
    ) {
        let containers_before = self.containers.iter().map(|info| info.id.clone()).collect();
        if let Some(entry) = self.fleet.get_mut(key) {
            entry.keep_leftover();
            entry.held = None;
            entry.last = None;
            entry.activity = Activity::Operating(RunningOperation {
                operation: Operation {
                    id,
                    kind,
                    originals: Vec::new(),
                    made_from: None,
                },
                claims,
                containers_before,
                leaves_duplicates: false,
                phase: None,
            });
        }
        self.changed();
    }

    /// Takes what a running operation found out before it starts the CLI: the containers that it is to replace, and the
    /// inputs.
    pub(super) fn prepare_operation(
        &mut self,
        key: Key,
        originals: Vec<Original>,
        inputs: Option<&Inputs>,
    ) {
        if let Some(running) = self.running_mut(key) {
            running.operation.originals = originals;
            running.operation.made_from = inputs.map(Baseline::exact);
        }
        self.drop_scans(key);
    }

    /// Drops the results of scans of a dev container that are under way: they may be from before what was just found.
    fn drop_scans(&mut self, key: Key) {
        if let Some(entry) = self.fleet.get_mut(key) {
            entry.version += 1;
        }
        self.changed();
    }

    /// Takes that the running operation has left duplicates alone, so that the dev container still has containers.
    pub(super) fn keep_duplicates(&mut self, key: Key) {
        if let Some(running) = self.running_mut(key) {
            running.leaves_duplicates = true;
        }
    }

    /// Takes the inputs as they are after `initializeCommand`, which may have written files that the CLI builds from.
    /// The CLI has read the configuration before; where it says something else now, it is not known which of the two
    /// counts.
    pub(super) fn set_initialized_inputs(&mut self, key: Key, inputs: &Inputs) {
        let now = Baseline::exact(inputs);
        let made_from = self
            .running_mut(key)
            .and_then(|running| running.operation.made_from.as_mut());
        if let Some(before) = made_from
            && before.has_config_of(&now)
        {
            *before = now;
            self.unsaved = true;
            self.drop_scans(key);
        }
    }

    /// Takes the phase that the running operation has come to. With its first command in the container, lists from before
    /// `now` are out of date: they may lack that container.
    pub(super) fn begin_phase(&mut self, key: Key, phase: Phase, now: Instant) {
        let Some(running) = self.running_mut(key) else {
            return;
        };
        let before = running.phase.replace(phase);
        let is_first_in_container =
            phase > Phase::Create && before.is_none_or(|before| before <= Phase::Create);
        if is_first_in_container {
            self.listing.invalidate(now, self.containers_of(key));
        }
        self.changed();
    }

    /// Takes the end of an operation. `after` are the inputs as the CLI left them, with its lock file. Lists from
    /// before `now` are out of date.
    pub(super) fn end_operation(
        &mut self,
        key: Key,
        ended: EndedOperation,
        after: Option<&Inputs>,
        now: Instant,
    ) {
        if self.end_queued(key, &ended.end) {
            return self.changed();
        }
        self.listing.invalidate(now, self.containers_of(key));
        if ended.has_changed_containers() {
            self.listing.must_show(now);
        }
        if let Some(entry) = self.fleet.get_mut(key) {
            // The list still shows the containers as they were.
            entry.held = ended.has_changed_containers().then(|| entry.hold(now));
        }
        if let Some(entry) = self.fleet.get_mut(key)
            && let Some(mut running) = entry.take_running()
        {
            running.take_lock_file(after);
            let named = ended.container.as_deref();
            for info in entry.containers() {
                if let Some(baseline) = running.baseline_of_named(info, named) {
                    self.baselines.insert(info.id.clone(), baseline.clone());
                    self.made_here.insert(info.id.clone());
                }
            }
            let is_deleted =
                running.kind() == OperationKind::Delete && ended.end.ending == Ending::Succeeded;
            let is_forgotten = is_deleted && !running.leaves_duplicates;
            entry.last = Some(running.end(ended));
            if is_deleted {
                self.clear_leftover(key);
            }
            if is_forgotten {
                self.forget(key);
            }
        }
        self.changed();
    }

    /// Returns the ids of all containers of a dev container.
    pub fn containers_of(&self, key: Key) -> Vec<String> {
        let entry = self.fleet.get(key);
        let containers = entry.into_iter().flat_map(Entry::containers);
        containers.map(|info| info.id.clone()).collect()
    }

    /// Forgets a detected dev container whose containers were removed. It is listed again when a container appears.
    pub(super) fn forget(&mut self, key: Key) {
        self.fleet.forget(key);
        // One that stays has no containers.
        self.fleet.entries.forget(key);
        self.unassign();
        self.unsaved |= self.fleet.have_names_changed();
        self.owners.retain(|_, owner| *owner != key);
    }

    /// Returns the number of operations that are running.
    pub fn operations_running(&self) -> usize {
        let entries = self.fleet.entries.iter();
        entries.filter(|entry| entry.running().is_some()).count()
    }

    pub(super) fn running_mut(&mut self, key: Key) -> Option<&mut RunningOperation> {
        match &mut self.fleet.get_mut(key)?.activity {
            Activity::Operating(running) => Some(running),
            Activity::Idle | Activity::Repairing { .. } => None,
        }
    }
}

impl Entry {
    /// Returns the operation that runs.
    pub(super) fn running(&self) -> Option<&RunningOperation> {
        match &self.activity {
            Activity::Operating(running) => Some(running),
            Activity::Idle | Activity::Repairing { .. } => None,
        }
    }

    /// Takes the operation that runs: it has ended.
    fn take_running(&mut self) -> Option<RunningOperation> {
        match std::mem::replace(&mut self.activity, Activity::Idle) {
            Activity::Operating(running) => Some(running),
            other => {
                self.activity = other;
                None
            }
        }
    }

    /// Returns the operation that ended last, unless another one has begun since.
    pub(super) fn last(&self) -> Option<&PastOperation> {
        self.last.as_ref()
    }

    /// Returns the id of the running or last operation, not that of a queued one.
    pub(super) fn operation_id(&self) -> Option<&OperationId> {
        let running = self.running().map(|running| &running.operation.id);
        running.or(self.last().map(|past| &past.operation.id))
    }

    /// Returns whether something is done to its containers, so that nothing else may be (P14).
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.activity, Activity::Idle)
    }

    /// Returns the queued, running or last operation as the answers show it.
    pub(super) fn job(&self) -> Option<Job> {
        if let Some(queued) = &self.queued {
            return Some(Job {
                kind: queued.kind,
                state: OperationState::Queued,
                phase: None,
                started_at: queued.id.began_at(),
                finished_at: None,
            });
        }
        let (operation, phase, end) = match (&self.activity, &self.last) {
            (Activity::Operating(running), _) => (&running.operation, running.phase, None),
            (_, Some(past)) => (&past.operation, None, Some(&past.end)),
            (_, None) => return None,
        };
        Some(Job {
            kind: operation.kind,
            state: end.map_or(OperationState::Running, |end| end.ending.state()),
            phase,
            started_at: operation.id.began_at(),
            finished_at: end.map(|end| end.finished_at),
        })
    }

    /// Returns the record that the next run of the daemon finds.
    pub(super) fn record(&self) -> Option<Record> {
        if self.queued.is_some() {
            return self.record_of_queued();
        }
        match (&self.activity, &self.last) {
            (Activity::Operating(running), _) => Some(Record {
                state: OperationState::Running,
                ..self.record_of(&running.operation)
            }),
            (_, Some(past)) => Some(Record {
                state: past.end.ending.state(),
                finished_at: Some(past.end.finished_at),
                error: past.end.error(),
                unsettled: past.is_unsettled(),
                made: past.made_container().cloned(),
                ..self.record_of(&past.operation)
            }),
            (_, None) => None,
        }
    }

    pub(super) fn record_of(&self, operation: &Operation) -> Record {
        Record {
            folder: self.resolved.folder.clone(),
            config: self.resolved.canonical_config.clone(),
            id: operation.id.clone(),
            kind: operation.kind,
            state: OperationState::Running,
            started_at: operation.id.began_at(),
            finished_at: None,
            error: None,
            originals: operation.originals.clone(),
            unsettled: false,
            made: None,
            made_from: operation.made_from.clone(),
            unknown_since: None,
        }
    }
}
