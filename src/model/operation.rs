//! Operations on dev containers: kinds, states, ends, repairs.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::ids::{Key, OperationId};
use super::original::Original;
use crate::base::time::Timestamp;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// A new container in place of the old one.
    Recreate,
    /// The container, made where there is none, runs.
    Start,
    /// The container, or all of its compose project, is stopped.
    Stop,
    /// The same are removed; volumes stay.
    Delete,
}

impl OperationKind {
    /// The verb, as it stands in messages.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Recreate => "recreate",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Delete => "delete",
        }
    }
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// It has not ended.
    Running,
    /// It did what was asked.
    Succeeded,
    /// It did not.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// The daemon ended before it did.
    Interrupted,
}

impl OperationState {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Not `Running`.
    pub state: OperationState,
    /// What went wrong.
    pub error: Option<String>,
    /// What else those should know who waited for it.
    pub note: Option<String>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The same by the clock that deadlines go by.
    pub ended: Instant,
}

/// What is to be put right for a dev container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Whose containers.
    pub key: Key,
    /// The operation that left them.
    pub operation: OperationId,
    /// As they were before it.
    pub originals: Vec<Original>,
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
