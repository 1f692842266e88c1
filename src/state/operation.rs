//! An operation on a dev container, as the state knows it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::baseline::Baseline;
use crate::journal::{Journal, Outcome};
use crate::model::{ContainerInfo, JobKind, JobState, JobSummary};
use crate::replace::{LABEL_OPERATION, Old, OperationId};
use crate::store::Record;
use crate::time::Timestamp;

/// The running or last operation of a dev container.
pub(super) struct Operation {
    pub(super) id: OperationId,
    pub(super) kind: JobKind,
    pub(super) started_at: Timestamp,
    pub(super) outcome: Option<Outcome>,
    pub(super) journal: Arc<Journal>,
    /// The containers that it is to replace: what it takes to put them back.
    pub(super) olds: Vec<Old>,
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

impl Operation {
    pub(super) fn is_running(&self) -> bool {
        self.outcome.is_none()
    }

    /// Whether the daemon ended before it did.
    pub(super) fn is_interrupted(&self) -> bool {
        let outcome = self.outcome.as_ref();
        outcome.is_some_and(|outcome| outcome.state == JobState::Interrupted)
    }

    /// One of an earlier run of the daemon. Its log is gone.
    pub(super) fn of_record(record: Record, journal: Arc<Journal>) -> Self {
        let was_running = record.state == JobState::Running;
        let interrupted = || format!("the daemon ended before the {} did", record.kind.verb());
        let makes = matches!(record.kind, JobKind::Recreate | JobKind::Start);
        let finished_at = record.finished_at.unwrap_or(record.started_at);
        Self {
            id: record.id,
            kind: record.kind,
            started_at: record.started_at,
            outcome: Some(Outcome {
                error: record.error.or_else(|| was_running.then(interrupted)),
                state: match record.state {
                    JobState::Running => JobState::Interrupted,
                    ended => ended,
                },
                note: None,
                finished_at,
                ended: Instant::now(),
            }),
            journal,
            olds: record.olds,
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
            state: outcome.map_or(JobState::Running, |outcome| outcome.state),
            started_at: self.started_at,
            finished_at: outcome.map(|outcome| outcome.finished_at),
            error: outcome.and_then(|outcome| outcome.error.clone()),
            olds: self.olds.clone(),
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

    pub(super) fn summary(&self) -> JobSummary {
        let outcome = self.outcome.as_ref();
        JobSummary {
            kind: self.kind,
            state: outcome.map_or(JobState::Running, |outcome| outcome.state),
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
