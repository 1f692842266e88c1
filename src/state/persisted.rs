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
    /// The containers among them that the last listing did not show, and since when.
    pub missing: HashMap<String, Timestamp>,
    /// The names of dev containers, those first that are not known for longest.
    pub names: Vec<Name>,
    /// The paths of these dev containers that lead elsewhere than their words say.
    pub links: Vec<Link>,
    /// The dev containers that clients have asked for.
    pub requested: Vec<Requested>,
}

/// A dev container that a client has asked for, as it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    /// The workspace folder.
    #[serde(with = "path_text::required")]
    pub folder: PathBuf,
    /// The configuration.
    #[serde(with = "path_text::optional", default)]
    pub config: Option<PathBuf>,
}

/// A path with symbolic links, or a link itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The path as it is written.
    #[serde(with = "path_text::required")]
    pub path: PathBuf,
    /// The path without symbolic links.
    #[serde(with = "path_text::required")]
    pub target: PathBuf,
}

/// The name of a dev container, which belongs to its identity (P21).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Name {
    /// The resolved workspace folder.
    #[serde(with = "path_text::required")]
    pub folder: PathBuf,
    /// The resolved configuration.
    #[serde(with = "path_text::optional", default)]
    pub config: Option<PathBuf>,
    /// The name.
    pub name: String,
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
    /// The time since which its dev container is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<Timestamp>,
}
