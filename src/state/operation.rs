//! An operation on a dev container, as the state knows it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::baseline::Baseline;
use super::devcontainers::Entry;
use super::persisted::Record;
use crate::base::time::Timestamp;
use crate::daemon::operations::journal::Journal;
use crate::model::api::Job;
use crate::model::container::ContainerInfo;
use crate::model::ids::{Key, OperationId};
use crate::model::inputs::Inputs;
use crate::model::labels::LABEL_OPERATION;
use crate::model::operation::{OperationKind, OperationState, Outcome};
use crate::model::original::Original;
use crate::state::{Refusal, State};

/// The running or last operation of a dev container.
pub(super) struct Operation {
    pub(super) id: OperationId,
    pub(super) kind: OperationKind,
    pub(super) started_at: Timestamp,
    pub(super) outcome: Option<Outcome>,
    pub(super) journal: Arc<Journal>,
    /// The containers that it is to replace: what it takes to put them back.
    pub(super) originals: Vec<Original>,
    /// Whether it is not known yet what became of the containers.
    pub(super) unsettled: bool,
    /// The container that it made, where it succeeded and the rest is still to be settled.
    pub(super) made: Option<String>,
    /// Whether it was read from a record.
    pub(super) is_of_earlier_run: bool,
    /// The inputs as they were before the CLI started: what it makes, it makes from these or later ones (P6).
    pub(super) made_from: Option<Baseline>,
    /// The container that the CLI said it has made.
    pub(super) named: Option<String>,
    /// The containers that were there before it started.
    pub(super) containers_before: HashSet<String>,
}

impl State {
    /// The log of the running or last operation of a dev container.
    pub fn journal(&self, key: Key) -> Option<Arc<Journal>> {
        let operation = self.fleet.get(key)?.operation.as_ref()?;
        Some(operation.journal.clone())
    }

    /// Begins an operation, unless another one is running for the same dev container. Returns where its log goes.
    pub fn begin(
        &mut self,
        key: Key,
        kind: OperationKind,
        id: OperationId,
    ) -> Result<Arc<Journal>, Refusal> {
        if self.closing {
            return Err(Refusal::Closing);
        }
        let entry = self.fleet.get_mut(key).ok_or(Refusal::Gone)?;
        if entry.repairing {
            return Err(Refusal::Repairing);
        }
        if entry.is_operating() {
            return Err(Refusal::InProgress);
        }
        let journal = Arc::new(Journal::new(entry.log_source()));
        // What it left is not forgotten because another one begins.
        let left = entry
            .repair()
            .filter(|_| entry.operation.as_ref().is_some_and(|o| o.unsettled));
        entry.leftover = left.or(entry.leftover.take());
        entry.operation = Some(Operation {
            started_at: id.began_at(),
            id,
            kind,
            outcome: None,
            journal: journal.clone(),
            originals: Vec::new(),
            unsettled: false,
            made: None,
            is_of_earlier_run: false,
            made_from: None,
            named: None,
            containers_before: self.containers.iter().map(|info| info.id.clone()).collect(),
        });
        self.changed();
        Ok(journal)
    }

    /// The inputs of a running operation, as they are before the CLI starts.
    pub fn set_operation_inputs(&mut self, key: Key, inputs: &Inputs) {
        if let Some(operation) = self.fleet.get_mut(key).and_then(|e| e.operation.as_mut()) {
            operation.made_from = Some(Baseline::exact(inputs));
        }
    }

    /// The same after `initializeCommand`, which may have written what the CLI builds from. The configuration has been
    /// read before; where it says something else now, nothing tells what the CLI goes on with.
    pub fn set_initialized_inputs(&mut self, key: Key, inputs: &Inputs) {
        if let Some(operation) = self.fleet.get_mut(key).and_then(|e| e.operation.as_mut())
            && let Some(before) = &operation.made_from
        {
            let now = Baseline::exact(inputs);
            if before.has_config_of(&now) {
                operation.made_from = Some(now);
                self.unsaved = true;
                self.changed();
            }
        }
    }

    /// The containers that a running operation is to replace.
    pub fn set_originals(&mut self, key: Key, originals: Vec<Original>) {
        if let Some(operation) = self.fleet.get_mut(key).and_then(|e| e.operation.as_mut()) {
            operation.originals = originals;
        }
    }

    /// The ids of all containers of a dev container.
    pub fn containers_of(&self, key: Key) -> Vec<String> {
        let entry = self.fleet.get(key);
        let containers = entry.into_iter().flat_map(Entry::containers);
        containers.map(|info| info.id.clone()).collect()
    }

    /// A detected dev container whose containers were removed. It is there again when somebody makes one.
    pub fn forget(&mut self, key: Key) {
        let entries = &mut self.fleet.entries;
        entries.retain(|entry| entry.key != key || entry.predefined.is_some());
        self.owners.retain(|_, owner| *owner != key);
        self.changed();
    }

    /// An operation has ended, and `container` is what it made; the CLI left its lock file as it is in `after`. Lists
    /// from before the end are out of date.
    pub fn end(
        &mut self,
        key: Key,
        outcome: Outcome,
        container: Option<&str>,
        after: Option<&Inputs>,
    ) {
        self.listing
            .invalidate(outcome.ended, self.containers_of(key));
        if let Some(entry) = self.fleet.get_mut(key)
            && let Some(operation) = &mut entry.operation
        {
            if let (Some(made_from), Some(after)) = (&operation.made_from, after) {
                operation.made_from = Some(made_from.with_lock_of(after));
            }
            operation.named = container.map(str::to_owned);
            let listed = entry.container.iter().chain(&entry.others);
            let made = listed.filter_map(|info| Some((info.id.clone(), operation.made(info)?)));
            self.baselines
                .extend(made.map(|(id, made_from)| (id, made_from.clone())));
            operation.outcome = Some(outcome);
            operation.containers_before = HashSet::new();
        }
        self.changed();
    }

    /// The logs of all running operations.
    pub fn running(&self) -> Vec<Arc<Journal>> {
        let operations = self
            .fleet
            .entries
            .iter()
            .filter_map(|e| e.operation.as_ref());
        operations
            .filter(|operation| operation.is_running())
            .map(|operation| operation.journal.clone())
            .collect()
    }
}

impl Operation {
    pub(super) fn is_running(&self) -> bool {
        self.outcome.is_none()
    }

    /// Whether the daemon ended before it did.
    pub(super) fn is_interrupted(&self) -> bool {
        let outcome = self.outcome.as_ref();
        outcome.is_some_and(|outcome| outcome.state == OperationState::Interrupted)
    }

    /// One of an earlier run of the daemon. Its log is gone.
    pub(super) fn of_record(record: Record, journal: Arc<Journal>) -> Self {
        let was_running = record.state == OperationState::Running;
        let interrupted = || format!("the daemon ended before the {} did", record.kind.verb());
        let makes = matches!(record.kind, OperationKind::Recreate | OperationKind::Start);
        let finished_at = record.finished_at.unwrap_or(record.started_at);
        Self {
            id: record.id,
            kind: record.kind,
            started_at: record.started_at,
            outcome: Some(Outcome {
                error: record.error.or_else(|| was_running.then(interrupted)),
                state: match record.state {
                    OperationState::Running => OperationState::Interrupted,
                    ended => ended,
                },
                note: None,
                finished_at,
                ended: Instant::now(),
            }),
            journal,
            originals: record.originals,
            unsettled: record.unsettled || (was_running && makes),
            made: record.made,
            is_of_earlier_run: true,
            made_from: record.made_from,
            named: None,
            containers_before: HashSet::new(),
        }
    }

    /// What an operation leaves behind for the next run of the daemon.
    pub(super) fn record(&self, folder: &Path, config: Option<&Path>) -> Record {
        let outcome = self.outcome.as_ref();
        Record {
            folder: folder.to_path_buf(),
            config: config.map(Path::to_path_buf),
            id: self.id.clone(),
            kind: self.kind,
            state: outcome.map_or(OperationState::Running, |outcome| outcome.state),
            started_at: self.started_at,
            finished_at: outcome.map(|outcome| outcome.finished_at),
            error: outcome.and_then(|outcome| outcome.error.clone()),
            originals: self.originals.clone(),
            unsettled: self.unsettled,
            made: self.made.clone(),
            made_from: self.made_from.clone(),
        }
    }

    /// What went wrong and when, if something did.
    pub(super) fn failure(&self) -> Option<(&str, Timestamp)> {
        let outcome = self.outcome.as_ref()?;
        let error = outcome.error.as_deref()?;
        Some((error, outcome.finished_at))
    }

    pub(super) fn summary(&self) -> Job {
        let outcome = self.outcome.as_ref();
        Job {
            kind: self.kind,
            state: outcome.map_or(OperationState::Running, |outcome| outcome.state),
            started_at: self.started_at,
            finished_at: outcome.map(|outcome| outcome.finished_at),
        }
    }

    /// What a container was made from, if this operation has made it: it has its label, or is as young as the operation and
    /// was not there before or is the one that the CLI named.
    pub(super) fn made(&self, info: &ContainerInfo) -> Option<&Baseline> {
        let is_labelled = info.labels.get(LABEL_OPERATION) == Some(self.id.as_str());
        let is_new = self.is_running() && !self.containers_before.contains(&info.id);
        let is_named = self.named.as_ref() == Some(&info.id);
        // The last list may be from long before it: what it does not show may be older all the same.
        let is_young = info.created_at >= self.started_at;
        let is_made = is_labelled || (is_young && (is_new || is_named));
        self.made_from.as_ref().filter(|_| is_made)
    }
}
