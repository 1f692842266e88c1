//! An operation on a dev container, as the state knows it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::devcontainer::inputs::Inputs;
use crate::journal::{Journal, Outcome};
use crate::model::{JobKind, JobState, JobSummary};
use crate::time::Timestamp;

/// The running or last operation of a dev container.
pub(super) struct Operation {
    pub(super) kind: JobKind,
    pub(super) started_at: Timestamp,
    pub(super) outcome: Option<Outcome>,
    pub(super) journal: Arc<Journal>,
    /// The inputs as they were before the CLI started: what it makes, it makes from these or later ones (P6).
    pub(super) inputs_before: Option<Arc<Inputs>>,
    /// The containers that were there before it started.
    pub(super) containers_before: HashSet<String>,
}

impl Operation {
    pub(super) fn is_running(&self) -> bool {
        self.outcome.is_none()
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

    /// The inputs of a container that this operation makes while it runs.
    pub(super) fn inputs_of(&self, container: &str) -> Option<&Inputs> {
        let new = !self.containers_before.contains(container);
        self.inputs_before.as_deref().filter(|_| new)
    }
}
