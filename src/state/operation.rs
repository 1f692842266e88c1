//! Operations on dev containers, as the state knows them.

use std::collections::HashSet;
use std::time::Instant;

use uuid::Uuid;

use super::State;
use super::baseline::Baseline;
use super::entry::Entry;
use super::persisted::Record;
use crate::base::time::Timestamp;
use crate::model::api::Job;
use crate::model::container::ContainerInfo;
use crate::model::ids::{Key, OperationId};
use crate::model::inputs::Inputs;
use crate::model::labels::LABEL_OPERATION;
use crate::model::operation::{
    ContainersReport, End, EndedOperation, Ending, OperationKind, OperationState, Repair,
    Settlement,
};
use crate::model::original::Original;

/// Reasons why an operation does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The dev container does not exist any more.
    Gone,
    /// Another operation is running for it (P14).
    InProgress,
    /// A repair of an earlier operation is under way, which does not take long.
    Repairing,
    /// The daemon is about to stop.
    Closing,
}

/// The activity on the containers of a dev container. There is one at a time (P14).
pub(super) enum Activity {
    /// Nothing.
    Idle,
    /// An operation runs.
    Operating(RunningOperation),
    /// A repair of an earlier operation is under way.
    Repairing(Repair),
}

/// The facts about an operation that outlive it.
#[derive(Clone)]
pub(super) struct Operation {
    pub(super) id: OperationId,
    kind: OperationKind,
    /// The containers that it is to replace.
    pub(super) originals: Vec<Original>,
    /// The inputs as they were before the CLI started. The CLI makes a container from these or from later ones (P6).
    made_from: Option<Baseline>,
}

/// An operation that has not ended.
pub(super) struct RunningOperation {
    operation: Operation,
    /// The containers that were listed before it began.
    containers_before: HashSet<String>,
}

/// The run of the daemon in which an operation ended.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Run {
    This,
    Earlier,
}

/// An operation that has ended.
pub(super) struct PastOperation {
    pub(super) operation: Operation,
    pub(super) end: End,
    pub(super) settlement: Settlement,
    pub(super) run: Run,
    /// The container that the CLI named as the one that it made.
    container: Option<String>,
}

impl State {
    /// Begins an operation, unless something else is being done to the dev container. Returns the source that the lines of its
    /// log belong to.
    pub fn begin(
        &mut self,
        key: Key,
        kind: OperationKind,
        id: OperationId,
    ) -> Result<Uuid, Refusal> {
        if self.closing {
            return Err(Refusal::Closing);
        }
        let containers_before = self.containers.iter().map(|info| info.id.clone()).collect();
        let entry = self.fleet.get_mut(key).ok_or(Refusal::Gone)?;
        match entry.activity {
            Activity::Idle => {}
            Activity::Operating(_) => return Err(Refusal::InProgress),
            Activity::Repairing(_) => return Err(Refusal::Repairing),
        }
        entry.keep_leftover();
        entry.last = None;
        entry.activity = Activity::Operating(RunningOperation {
            operation: Operation {
                id,
                kind,
                originals: Vec::new(),
                made_from: None,
            },
            containers_before,
        });
        let log_source = entry.log_source();
        self.changed();
        Ok(log_source)
    }

    /// Takes what a running operation found out before it starts the CLI: the containers that it is to replace, and the inputs.
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
    }

    /// Takes the inputs as they are after `initializeCommand`, which may have written files that the CLI builds from. The CLI has
    /// read the configuration before; where it says something else now, it is not known which of the two counts.
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
            self.changed();
        }
    }

    /// Takes the end of an operation. `after` are the inputs as the CLI left them, with its lock file. Lists from before `now`
    /// are out of date.
    pub(super) fn end_operation(
        &mut self,
        key: Key,
        ended: EndedOperation,
        after: Option<&Inputs>,
        now: Instant,
    ) {
        self.listing.invalidate(now, self.containers_of(key));
        if let Some(entry) = self.fleet.get_mut(key)
            && let Some(mut running) = entry.take_running()
        {
            running.take_lock_file(after);
            let named = ended.container.as_deref();
            let made = entry
                .containers()
                .filter_map(|info| Some((info.id.clone(), running.made_or_named(info, named)?)));
            self.baselines
                .extend(made.map(|(id, baseline)| (id, baseline.clone())));
            let is_deleted =
                running.kind() == OperationKind::Delete && ended.end.ending == Ending::Succeeded;
            entry.last = Some(running.end(ended));
            if is_deleted {
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
        self.clear_leftover(key);
        self.fleet.forget(key);
        self.owners.retain(|_, owner| *owner != key);
    }

    /// Returns the number of operations that are running.
    pub fn operations_running(&self) -> usize {
        let entries = self.fleet.entries.iter();
        entries.filter(|entry| entry.running().is_some()).count()
    }

    fn running_mut(&mut self, key: Key) -> Option<&mut RunningOperation> {
        match &mut self.fleet.get_mut(key)?.activity {
            Activity::Operating(running) => Some(running),
            Activity::Idle | Activity::Repairing(_) => None,
        }
    }
}

impl Entry {
    /// Returns the operation that runs.
    pub(super) fn running(&self) -> Option<&RunningOperation> {
        match &self.activity {
            Activity::Operating(running) => Some(running),
            Activity::Idle | Activity::Repairing(_) => None,
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

    /// Returns the id of the running or last operation.
    pub(super) fn operation_id(&self) -> Option<&OperationId> {
        let running = self.running().map(|running| &running.operation.id);
        running.or(self.last().map(|past| &past.operation.id))
    }

    /// Returns whether something is done to its containers, so that nothing else may be (P14).
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.activity, Activity::Idle)
    }

    /// Returns the running or last operation as the answers show it.
    pub(super) fn job(&self) -> Option<Job> {
        let (operation, end) = match (&self.activity, &self.last) {
            (Activity::Operating(running), _) => (&running.operation, None),
            (_, Some(past)) => (&past.operation, Some(&past.end)),
            (_, None) => return None,
        };
        Some(Job {
            kind: operation.kind,
            state: end.map_or(OperationState::Running, |end| end.ending.state()),
            started_at: operation.id.began_at(),
            finished_at: end.map(|end| end.finished_at),
        })
    }

    /// Returns the record that the next run of the daemon finds.
    pub(super) fn record(&self) -> Option<Record> {
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

    fn record_of(&self, operation: &Operation) -> Record {
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
        }
    }
}

impl Operation {
    /// Returns whether a container carries the label of this operation.
    pub(super) fn has_labelled(&self, info: &ContainerInfo) -> bool {
        info.labels.get(LABEL_OPERATION) == Some(self.id.as_str())
    }

    /// Returns whether a container is as young as this operation. The last list may be from long before the operation: a
    /// container that it does not show may be older all the same.
    fn is_younger(&self, info: &ContainerInfo) -> bool {
        info.created_at >= self.id.began_at()
    }
}

impl RunningOperation {
    /// Returns the kind of this operation.
    pub(super) fn kind(&self) -> OperationKind {
        self.operation.kind
    }

    /// Takes the lock file as the CLI has left it: the CLI writes that file itself.
    fn take_lock_file(&mut self, after: Option<&Inputs>) {
        if let (Some(made_from), Some(after)) = (&mut self.operation.made_from, after) {
            *made_from = made_from.with_lock_of(after);
        }
    }

    fn end(self, ended: EndedOperation) -> PastOperation {
        PastOperation {
            operation: self.operation,
            end: ended.end,
            settlement: ended.settlement,
            run: Run::This,
            container: ended.container,
        }
    }

    /// Returns the baseline of a container, if this operation made it, or the CLI says so.
    fn made_or_named(&self, info: &ContainerInfo, named: Option<&str>) -> Option<&Baseline> {
        let is_named = named == Some(&info.id) && self.operation.is_younger(info);
        let made_from = self.operation.made_from.as_ref();
        self.made(info).or(made_from.filter(|_| is_named))
    }

    /// Returns the baseline of a container, if this operation made it: it carries its label, or it is new.
    pub(super) fn made(&self, info: &ContainerInfo) -> Option<&Baseline> {
        let operation = &self.operation;
        let is_new = !self.containers_before.contains(&info.id);
        let is_made = operation.has_labelled(info) || (is_new && operation.is_younger(info));
        operation.made_from.as_ref().filter(|_| is_made)
    }
}

impl PastOperation {
    /// Restores an operation of an earlier run of the daemon, which knows it from its record. One that had not ended by then was
    /// interrupted.
    pub(super) fn from_record(record: Record) -> Self {
        let finished_at = record.finished_at.unwrap_or(record.started_at);
        let was_running = record.state == OperationState::Running;
        let is_unsettled = record.unsettled || (was_running && record.kind.makes_containers());
        let why = record.error.clone();
        let why = why
            .unwrap_or_else(|| format!("the daemon ended before the {} did", record.kind.verb()));
        let harmed = record.error.map(ContainersReport::Harmed);
        let (ending, containers) = match record.state {
            OperationState::Succeeded => (Ending::Succeeded, harmed),
            OperationState::Cancelled => (Ending::Cancelled, harmed),
            OperationState::Failed => (Ending::Failed(why), None),
            OperationState::Interrupted | OperationState::Running => {
                (Ending::Interrupted(why), None)
            }
        };
        Self {
            operation: Operation {
                id: record.id,
                kind: record.kind,
                originals: record.originals,
                made_from: record.made_from,
            },
            end: End {
                ending,
                containers,
                finished_at,
            },
            settlement: if is_unsettled {
                Settlement::Open { made: record.made }
            } else {
                Settlement::Settled
            },
            run: Run::Earlier,
            container: None,
        }
    }

    /// Stands for an operation of which nothing is left but the name of a container, found at `now`.
    pub(super) fn of_parked_name(
        id: OperationId,
        originals: Vec<Original>,
        now: Timestamp,
    ) -> Self {
        let kind = OperationKind::Recreate;
        let why = format!("the daemon ended before the {} did", kind.verb());
        Self {
            operation: Operation {
                id,
                kind,
                originals,
                made_from: None,
            },
            end: End {
                ending: Ending::Interrupted(why),
                containers: None,
                finished_at: now,
            },
            settlement: Settlement::Open { made: None },
            run: Run::Earlier,
            container: None,
        }
    }

    /// Returns whether a repair is still to be done.
    pub(super) fn is_unsettled(&self) -> bool {
        self.settlement != Settlement::Settled
    }

    /// Returns the container that it made, where it succeeded and a repair is still to be done.
    pub(super) fn made_container(&self) -> Option<&String> {
        match &self.settlement {
            Settlement::Open { made } => made.as_ref(),
            Settlement::Settled => None,
        }
    }

    /// Returns whether the daemon ended before it did.
    pub(super) fn is_interrupted(&self) -> bool {
        self.end.ending.state() == OperationState::Interrupted
    }

    /// Returns the baseline of a container, if this operation made it: it carries its label, or the CLI named it.
    pub(super) fn made(&self, info: &ContainerInfo) -> Option<&Baseline> {
        let operation = &self.operation;
        let is_named = self.container.as_ref() == Some(&info.id);
        let is_made = operation.has_labelled(info) || (is_named && operation.is_younger(info));
        operation.made_from.as_ref().filter(|_| is_made)
    }
}
