//! Reasons why an operation does not begin, in words for people.

use std::fmt;

use crate::model::operation::OperationKind;
use crate::model::project::Project;

/// Reasons why an operation does not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The dev container does not exist any more.
    Gone,
    /// Another operation is running, or queued, for it (P14).
    InProgress {
        /// That operation.
        work: Work,
        /// The name of the dev container.
        name: String,
    },
    /// Something is being done, or is to be done, to another dev container of its compose project (P14).
    ProjectInProgress {
        /// The work on it.
        work: Work,
        /// The name of the other dev container.
        name: String,
        /// The project.
        project: Project,
    },
    /// A repair of an earlier operation is under way, which does not take long.
    Repairing,
    /// As many operations wait in the queue as may.
    QueueFull(usize),
    /// The daemon is about to stop.
    Closing,
}

/// Work on the containers of a dev container that is under way, or is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// An operation that waits in the queue.
    Queued(OperationKind),
    /// An operation that runs.
    Running(OperationKind),
    /// A repair of an earlier operation.
    Repair,
}

impl Work {
    fn noun(self) -> &'static str {
        match self {
            Self::Queued(kind) | Self::Running(kind) => kind.verb(),
            Self::Repair => "repair",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closing => f.write_str("the daemon is about to stop"),
            Self::QueueFull(limit) => write!(
                f,
                "{limit} operations wait already until they may begin; try again when some of them have begun, or cancel them"
            ),
            Self::Gone => f.write_str("the dev container no longer exists"),
            Self::Repairing => f.write_str(
                "containers that an earlier operation left are being cleaned up; try again in a moment",
            ),
            Self::InProgress { work, name } => {
                let stage = match work {
                    Work::Queued(_) => "queued",
                    Work::Running(_) | Work::Repair => "running",
                };
                let noun = work.noun();
                write!(
                    f,
                    "an operation is already {stage} for this dev container, a {noun} of `{name}`; wait for it, follow its log, or cancel it"
                )
            }
            Self::ProjectInProgress {
                work,
                name,
                project,
            } => {
                let stage = match work {
                    Work::Queued(_) => "is queued",
                    Work::Running(_) | Work::Repair => "is at work",
                };
                let noun = work.noun();
                write!(
                    f,
                    "a {noun} of `{name}` {stage} in the same compose project ({project}); try again when it has ended"
                )
            }
        }
    }
}
