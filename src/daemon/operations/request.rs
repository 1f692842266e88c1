//! Requests for an operation, and the reasons why one does not begin.

use std::path::Path;

use crate::model::location::Why;
use crate::model::operation::OperationKind;
use crate::state::Refusal;

/// An operation that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRequest {
    /// Its kind.
    pub kind: OperationKind,
    /// The id of the container that it is to be done to; `None` for the one that is shown.
    pub container: Option<String>,
    /// True if it is to be done to all containers of the dev container (`stop` and `DELETE` only).
    pub all: bool,
}

impl From<OperationKind> for OperationRequest {
    /// The operation on the container that is shown.
    fn from(kind: OperationKind) -> Self {
        Self {
            kind,
            container: None,
            all: false,
        }
    }
}

/// Reasons why an operation did not begin.
#[derive(Debug, PartialEq, Eq)]
pub enum StartError {
    /// The state refuses it.
    Refused(Refusal),
    /// Another program, most likely another daemon, holds the lock on the workspace folder, or on the directory of its compose
    /// project.
    Locked,
    /// The folder may not be operated on, for this reason.
    NotAllowed(String),
    /// The dev container is not where it was when it was last listed, as this says (P25).
    Moved(String),
    /// The file system of the folder does not answer, as this reason says.
    Silent(String),
    /// The system has no descriptors left, as this error says.
    NoResources(String),
}

impl StartError {
    /// The file system of this folder does not answer.
    pub(super) fn silent(folder: &Path) -> Self {
        Self::Silent(Why::Silent(folder.to_path_buf()).to_string())
    }
}
