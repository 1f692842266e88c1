//! What outlives a restart.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use crate::base::path_text;
use crate::base::time::Timestamp;
use crate::model::ids::OperationId;
use crate::model::operation::{OperationKind, OperationState};
use crate::model::original::Original;

/// What outlives a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Persisted {
    /// The running or last one of each dev container.
    pub operations: Vec<Record>,
    /// What containers were made from, by container id.
    pub baselines: HashMap<String, Baseline>,
}

/// An operation on a dev container, the running or the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The resolved workspace folder.
    #[serde(with = "path_text::required")]
    pub folder: PathBuf,
    /// The resolved configuration.
    #[serde(with = "path_text::optional", default)]
    pub config: Option<PathBuf>,
    /// Which operation.
    pub id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// Where it stood when this was written.
    pub state: OperationState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// Containers to put back, should it not end well.
    #[serde(rename = "olds")]
    pub originals: Vec<Original>,
    /// Whether that is still to be done.
    #[serde(default)]
    pub unsettled: bool,
    /// The container that it made, where it succeeded and that is still to be done.
    #[serde(default)]
    pub made: Option<String>,
    /// The inputs as they were before the CLI started.
    #[serde(default)]
    pub made_from: Option<Baseline>,
}
