//! Data that outlives a restart.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use crate::base::path_text;
use crate::base::time::Timestamp;
use crate::model::ids::OperationId;
use crate::model::operation::{OperationKind, OperationState};
use crate::model::original::Original;

/// Everything that outlives a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Persisted {
    /// The running or last operation of each dev container.
    pub operations: Vec<Record>,
    /// The baselines of containers, by container id.
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
    /// The id of the operation.
    pub id: OperationId,
    /// Its kind.
    pub kind: OperationKind,
    /// The state that it was in when this was saved.
    pub state: OperationState,
    /// The time at which it began.
    pub started_at: Timestamp,
    /// The time at which it ended.
    pub finished_at: Option<Timestamp>,
    /// The reason why it did not succeed.
    pub error: Option<String>,
    /// The containers to put back, should it not end well.
    #[serde(rename = "olds")]
    pub originals: Vec<Original>,
    /// True if a repair is still to be done.
    #[serde(default)]
    pub unsettled: bool,
    /// The container that it made, where it succeeded and a repair is still to be done.
    #[serde(default)]
    pub made: Option<String>,
    /// The inputs as they were before the CLI started.
    #[serde(default)]
    pub made_from: Option<Baseline>,
}
