//! An operation on a dev container: while it runs, and after its end.

use std::collections::HashSet;
use std::sync::Arc;

use super::baseline::Baseline;
use super::persisted::Record;
use crate::base::time::Timestamp;
use crate::model::container::ContainerInfo;
use crate::model::ids::OperationId;
use crate::model::inputs::Inputs;
use crate::model::labels::LABEL_OPERATION;
use crate::model::operation::{
    ContainersReport, End, EndedOperation, Ending, OperationKind, OperationState, Repair,
    Settlement,
};
use crate::model::original::Original;
use crate::model::phase::Phase;
use crate::model::project::Project;

/// The activity on the containers of a dev container. There is one at a time (P14).
pub(super) enum Activity {
    /// Nothing.
    Idle,
    /// An operation runs.
    Operating(RunningOperation),
    /// A repair of an earlier operation is under way.
    Repairing {
        repair: Repair,
        /// The compose projects that it claims.
        claims: Vec<Project>,
    },
}

/// The facts about an operation that outlive it.
#[derive(Clone)]
pub(super) struct Operation {
    pub(super) id: OperationId,
    pub(super) kind: OperationKind,
    /// The containers that it is to replace.
    pub(super) originals: Vec<Original>,
    /// The inputs as they were before the CLI started. The CLI makes a container from these or from later ones (P6).
    pub(super) made_from: Option<Baseline>,
}

/// An operation that has not ended.
pub(super) struct RunningOperation {
    pub(super) operation: Operation,
    /// The compose projects that it claims.
    pub(super) claims: Vec<Project>,
    /// The containers that were listed before it began.
    pub(super) containers_before: HashSet<String>,
    /// True if it has left duplicates of its container alone.
    pub(super) leaves_duplicates: bool,
    /// The phase that it has come to, where that is known.
    pub(super) phase: Option<Phase>,
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

impl Operation {
    /// Returns whether a container carries the label of this operation.
    pub(super) fn has_labelled(&self, info: &ContainerInfo) -> bool {
        info.own_label(LABEL_OPERATION) == Some(self.id.as_str())
    }

    /// Returns whether a container is as young as this operation. The last list may be from long before the operation:
    /// a container that it does not show may be older all the same.
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
    pub(super) fn take_lock_file(&mut self, after: Option<&Inputs>) {
        if let (Some(made_from), Some(after)) = (&mut self.operation.made_from, after) {
            *made_from = made_from.with_lock_of(after);
        }
    }

    /// Takes the inputs as they are at a time while the CLI makes the container. Returns true if some are not those that
    /// were there before: an edit that is undone before the operation ends may be in the container all the same.
    pub(super) fn doubt(&mut self, inputs: &Inputs) -> bool {
        let made_from = self.operation.made_from.as_ref();
        let doubtful = made_from.and_then(|made_from| made_from.with_doubts(inputs));
        let is_doubtful = doubtful.is_some();
        if is_doubtful {
            self.operation.made_from = doubtful;
        }
        is_doubtful
    }

    /// Returns whether the CLI may still read inputs: no command has begun in the container, and none of `containers`
    /// is one that it made.
    pub(super) fn may_read_inputs<'a>(
        &self,
        mut containers: impl Iterator<Item = &'a Arc<ContainerInfo>>,
    ) -> bool {
        let is_before_commands = self.phase.is_none_or(|phase| phase <= Phase::Create);
        is_before_commands && !containers.any(|info| self.has_made(info))
    }

    pub(super) fn end(self, ended: EndedOperation) -> PastOperation {
        PastOperation {
            operation: self.operation,
            end: ended.end,
            settlement: ended.settlement,
            run: Run::This,
            container: ended.container,
        }
    }

    /// Returns the baseline of a container, if this operation made it, or the CLI says so.
    pub(super) fn baseline_of_named(
        &self,
        info: &ContainerInfo,
        named: Option<&str>,
    ) -> Option<&Baseline> {
        let is_named = named == Some(&info.id) && self.operation.is_younger(info);
        let made_from = self.operation.made_from.as_ref();
        self.baseline_of(info).or(made_from.filter(|_| is_named))
    }

    /// Returns the baseline of a container, if this operation made it: it carries its label, or it is new.
    pub(super) fn baseline_of(&self, info: &ContainerInfo) -> Option<&Baseline> {
        let made_from = self.operation.made_from.as_ref();
        made_from.filter(|_| self.has_made(info))
    }

    /// Returns whether this operation made a container: it carries its label, or it is new.
    fn has_made(&self, info: &ContainerInfo) -> bool {
        let is_new = !self.containers_before.contains(&info.id);
        let operation = &self.operation;
        operation.has_labelled(info) || (is_new && operation.is_younger(info))
    }

    /// Returns whether a container can be used already: it is the one that the operation is about, and the commands that
    /// its configuration waits for have ended.
    pub(super) fn is_usable(&self, info: &ContainerInfo) -> bool {
        let is_it = match self.kind() {
            OperationKind::Recreate => self.has_made(info),
            OperationKind::Start => true,
            OperationKind::Stop | OperationKind::Delete => false,
        };
        // A command ends where the next one begins: a feature may have one more of the same name.
        let waits_for = info.setup.wait_for.max(Phase::Create);
        is_it && self.phase.is_some_and(|phase| phase > waits_for)
    }
}

impl PastOperation {
    /// Stands for an operation that ended before it began.
    pub(super) fn unbegun(id: OperationId, kind: OperationKind, end: End) -> Self {
        Self {
            operation: Operation {
                id,
                kind,
                originals: Vec::new(),
                made_from: None,
            },
            end,
            settlement: Settlement::Settled,
            run: Run::This,
            container: None,
        }
    }

    /// Restores an operation of an earlier run of the daemon, which knows it from its record. One that had not ended by
    /// then was interrupted.
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
            OperationState::Interrupted | OperationState::Running | OperationState::Queued => {
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
    pub(super) fn baseline_of(&self, info: &ContainerInfo) -> Option<&Baseline> {
        let operation = &self.operation;
        let is_named = self.container.as_ref() == Some(&info.id);
        let is_made = operation.has_labelled(info) || (is_named && operation.is_younger(info));
        operation.made_from.as_ref().filter(|_| is_made)
    }
}
