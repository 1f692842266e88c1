//! The wire types: what the answers say, field by field.

use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::base::time::Timestamp;
use crate::model::container::ContainerInfo;
use crate::model::operation::{OperationKind, OperationState};

/// A container as the answers show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// What docker says.
    pub info: Arc<ContainerInfo>,
    /// Whether it was made from other inputs than those on disk.
    pub devcontainer_dirty: bool,
    /// Of the dev container that it belongs to.
    pub devcontainer_status: Option<Status>,
}

impl Serialize for Container {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let info = &*self.info;
        let length = 10 + usize::from(self.devcontainer_status.is_some());
        let mut fields = serializer.serialize_struct("Container", length)?;
        fields.serialize_field("created_at", &info.created_at)?;
        fields.serialize_field("id", &info.id)?;
        fields.serialize_field("name", &info.name)?;
        fields.serialize_field("image", &info.image)?;
        fields.serialize_field("labels", &info.labels)?;
        fields.serialize_field("running", &info.running)?;
        fields.serialize_field("ports", &info.ports)?;
        fields.serialize_field("status", &info.status)?;
        fields.serialize_field("volumes", &info.volumes)?;
        fields.serialize_field("devcontainer_dirty", &self.devcontainer_dirty)?;
        if let Some(status) = self.devcontainer_status {
            fields.serialize_field("devcontainer_status", &status)?;
        }
        fields.end()
    }
}

/// What a dev container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its container runs.
    Running,
    /// It has no container, or one that does not run.
    Stopped,
    /// An operation is making or starting its container.
    Starting,
    /// An operation is stopping it.
    Stopping,
    /// An operation is removing it.
    Deleting,
    /// An operation failed, and nothing runs.
    Error,
}

/// How an input differs from what the container was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// Other content.
    Modified,
    /// It did not exist.
    Created,
    /// It exists no more.
    Removed,
    /// It is younger than the container, and nothing tells what it was.
    Unknown,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Deleting => "deleting",
            Self::Error => "error",
        }
    }
}

/// An input that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputChange {
    /// The file.
    pub path: String,
    /// How it changed.
    pub change: ChangeKind,
}

/// The running or last operation of a dev container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Job {
    /// What it does.
    pub kind: OperationKind,
    /// Where it stands.
    pub state: OperationState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

/// A dev container as the answers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Devcontainer {
    /// From the manifest, or derived from folder and config.
    pub id: Uuid,
    /// Unique among those listed.
    pub name: String,
    /// As it was written in the manifest or the label.
    pub workspace_folder: String,
    /// As it was written, or found by the search order of the specification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_path: Option<String>,
    /// Whether its container runs.
    pub running: bool,
    /// What it is doing.
    pub status: Status,
    /// Whether its container was made from other inputs than those on disk.
    pub dirty: bool,
    /// Which inputs those are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<InputChange>,
    /// Its container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Why the last operation failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The running or last operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

/// A line of an operation's log, as `/logs` and the log sink have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Whose log it is, for those who collect logs of many sources.
    pub log_source_id: Uuid,
    /// When the CLI wrote it.
    pub created_at: Timestamp,
    /// `info` or `error`.
    pub level: LogLevel,
    /// The text, terminal escapes included.
    pub output: Box<str>,
    /// On the last line of an operation: how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OperationState>,
}

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What happens.
    Info,
    /// What went wrong.
    Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::Pairs;
    use crate::model::container::Port;

    #[test]
    fn a_container_has_exactly_the_documented_fields() {
        let container = Container {
            info: Arc::new(ContainerInfo {
                created_at: Timestamp::new(0, 0),
                id: "ab".into(),
                name: "n".into(),
                image: "i".into(),
                labels: Pairs::default(),
                running: true,
                ports: vec![Port {
                    port: 80,
                    network: "tcp",
                    host_ip: None,
                    host_port: None,
                }],
                status: "running".into(),
                volumes: Pairs::default(),
            }),
            devcontainer_dirty: false,
            devcontainer_status: Some(Status::Running),
        };
        assert_eq!(
            serde_json::to_string(&container).unwrap(),
            concat!(
                r#"{"created_at":"1970-01-01T00:00:00Z","id":"ab","name":"n","image":"i","labels":{},"running":true,"#,
                r#""ports":[{"port":80,"network":"tcp"}],"status":"running","volumes":{},"devcontainer_dirty":false,"#,
                r#""devcontainer_status":"running"}"#
            )
        );
    }
}
