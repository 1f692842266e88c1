//! The wire types: the JSON of answers, streams and logs, field by field.

use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::base::time::Timestamp;
use crate::model::container::ContainerInfo;
use crate::model::error_code::ErrorCode;
use crate::model::inputs::ForwardPort;
use crate::model::operation::{OperationKind, OperationState};
use crate::model::phase::Phase;
use crate::model::shared_list::SharedList;

/// A container as the answers show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The facts that docker knows.
    pub info: Arc<ContainerInfo>,
    /// True if it was made from other inputs than those on disk.
    pub devcontainer_dirty: bool,
    /// The dev container that it belongs to.
    pub owner: Option<Owner>,
}

/// Writes all facts as fields of one object.
impl Serialize for Container {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Container", ContainerInfo::FIELDS + 4)?;
        self.info.serialize_fields(&mut fields)?;
        fields.serialize_field("devcontainer_dirty", &self.devcontainer_dirty)?;
        if let Some(owner) = &self.owner {
            fields.serialize_field("devcontainer_id", &owner.id)?;
            fields.serialize_field("devcontainer_name", &owner.name)?;
            fields.serialize_field("devcontainer_status", &owner.status)?;
        }
        fields.end()
    }
}

/// The dev container that a container belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// Its status.
    pub status: Status,
}

/// The status of a dev container.
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

impl Status {
    /// All statuses.
    pub const ALL: [Self; 6] = [
        Self::Running,
        Self::Stopped,
        Self::Starting,
        Self::Stopping,
        Self::Deleting,
        Self::Error,
    ];

    /// Returns the word on the wire.
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

/// The difference between an input and the one that the container was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It has other content.
    Modified,
    /// It did not exist.
    Created,
    /// It no longer exists.
    Removed,
    /// It is not known what the container was made from: the input is younger than the container, or was something else
    /// for a time while the container was made.
    Unknown,
}

/// An input that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputChange {
    /// The file.
    pub path: String,
    /// The difference.
    pub change: ChangeKind,
}

/// The running or last operation of a dev container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// The kind of operation.
    pub kind: OperationKind,
    /// Its state.
    pub state: OperationState,
    /// The phase that it has come to, while it runs.
    pub phase: Option<Phase>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Job {
    /// Returns how long it took, in seconds. `None` while it has not ended.
    fn seconds(&self) -> Option<f64> {
        let millis = self.finished_at?.as_millis() - self.started_at.as_millis();
        Some(millis.max(0) as f64 / 1000.0)
    }
}

/// Adds `seconds`, once it has ended. A number that grows would change the view all the time.
impl Serialize for Job {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Job", 6)?;
        fields.serialize_field("kind", &self.kind)?;
        fields.serialize_field("state", &self.state)?;
        if let Some(phase) = &self.phase {
            fields.serialize_field("phase", phase)?;
        }
        fields.serialize_field("started_at", &self.started_at)?;
        if let Some(finished_at) = &self.finished_at {
            fields.serialize_field("finished_at", finished_at)?;
        }
        if let Some(seconds) = self.seconds() {
            fields.serialize_field("seconds", &seconds)?;
        }
        fields.end()
    }
}

/// A dev container as the answers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Devcontainer {
    /// From the manifest, or derived from folder and config.
    pub id: Uuid,
    /// Unique among all that are listed.
    pub name: Arc<str>,
    /// As it was written in the manifest or the label.
    pub workspace_folder: String,
    /// As it was written, or found by the search order of the Dev Container Specification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_path: Option<String>,
    /// True if its container runs.
    pub running: bool,
    /// Its status.
    pub status: Status,
    /// True if its container was made from other inputs than those on disk.
    pub dirty: bool,
    /// The inputs that differ.
    pub changes: Vec<InputChange>,
    /// Why something that it is made from was not compared, and the mend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchecked: Option<String>,
    /// Its container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// The user as whom tools work in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_user: Option<String>,
    /// The ports that the configuration forwards.
    pub forward_ports: Box<[ForwardPort]>,
    /// The path of the workspace in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_workspace_folder: Option<String>,
    /// The reason why the last operation failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The running or last operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

/// The body of `GET /`.
#[derive(Debug, Serialize)]
pub struct ContainerList<'a> {
    /// All containers.
    pub containers: &'a SharedList<Container>,
    /// All warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<&'a str>,
}

/// The body of `GET /devcontainers`.
#[derive(Debug, Serialize)]
pub struct DevcontainerList<'a> {
    /// All dev containers.
    pub devcontainers: &'a [Arc<Devcontainer>],
    /// The reason why the list is not current, if it is not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<&'a str>,
}

/// A line of `GET /events`, other than for a new or changed object, whose line has the fields of that object.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event<'a> {
    /// Everything at once.
    Snapshot {
        /// The number of the last change in it.
        revision: u64,
        /// All containers.
        containers: &'a SharedList<Container>,
        /// All dev containers.
        devcontainers: &'a [Arc<Devcontainer>],
        /// All warnings.
        warnings: &'a [String],
    },
    /// A container that is no longer listed.
    ContainerRemoved {
        /// The number of the change.
        revision: u64,
        /// The id of the container.
        id: &'a str,
    },
    /// A dev container that is no longer listed.
    DevcontainerRemoved {
        /// The number of the change.
        revision: u64,
        /// The id of the dev container.
        id: Uuid,
    },
    /// The end of a stream that has a condition.
    End {
        /// The number of the last change.
        revision: u64,
        /// The condition.
        until: &'a str,
        /// False if it cannot hold any more.
        met: bool,
    },
    /// Other warnings than before.
    Warnings {
        /// The number of the change.
        revision: u64,
        /// All warnings.
        warnings: &'a [String],
    },
}

/// The body of every answer that is an error.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    /// The code, for programs.
    pub code: ErrorCode,
    /// The thing that could not be done.
    pub message: &'a str,
    /// The reason, and where possible how to fix it.
    pub detail: &'a str,
}

/// The body of `GET /healthz` and of `GET /readyz`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Health {
    /// The process serves requests.
    Ok,
    /// Everything that the daemon needs is there.
    Ready {
        /// Advice: things that should be otherwise all the same, with the mends.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
}

/// The version of the API: the second number grows where something is added, the first where something else changes.
pub const API_VERSION: &str = "1.0";

/// The body of `GET /version`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BuildInfo {
    /// The version of this package.
    pub version: &'static str,
    /// The version of the API.
    pub api_version: &'static str,
    /// The commit that it was built from; `unknown` where the build knew none.
    pub commit: &'static str,
    /// The day of the commit, as in `2026-11-29`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_date: Option<&'static str>,
    /// The operating system that it was built for.
    pub os: &'static str,
    /// The architecture that it was built for.
    pub arch: &'static str,
}

/// The source of the lines of an operation's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSource {
    /// The id that the manifest gives, for programs that collect logs of many sources.
    pub id: Uuid,
    /// The dev container that the operation is done to.
    pub devcontainer_id: Uuid,
    /// Its name when the operation began.
    pub devcontainer_name: Arc<str>,
}

/// A line of an operation's log, as `GET /devcontainers/{dc}/logs` and the log sink have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The source of the log, which all its lines share.
    pub source: Arc<LogSource>,
    /// When the CLI wrote it.
    pub created_at: Timestamp,
    /// `info` or `error`.
    pub level: LogLevel,
    /// The text, terminal escapes included.
    pub output: Box<str>,
    /// The result of the operation, on its last line.
    pub outcome: Option<OperationState>,
}

impl Serialize for LogLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("LogLine", 7)?;
        fields.serialize_field("log_source_id", &self.source.id)?;
        fields.serialize_field("devcontainer_id", &self.source.devcontainer_id)?;
        fields.serialize_field("devcontainer_name", &self.source.devcontainer_name)?;
        fields.serialize_field("created_at", &self.created_at)?;
        fields.serialize_field("level", &self.level)?;
        fields.serialize_field("output", &self.output)?;
        if let Some(outcome) = &self.outcome {
            fields.serialize_field("outcome", outcome)?;
        }
        fields.end()
    }
}

/// The severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// A normal line.
    Info,
    /// A failure.
    Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::{ContainerHealth, Mount, Pairs, Port, RunState};
    use crate::model::setup::Setup;

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
                run_state: RunState::Running,
                error: None,
                health: Some(ContainerHealth::Healthy),
                mounts: [Mount {
                    kind: "volume".into(),
                    name: Some("v".into()),
                    source: Some("/s".into()),
                    destination: "/d".into(),
                    read_only: true,
                }]
                .into_iter()
                .collect(),
                setup: Setup::default(),
                foreign_labels: Box::default(),
            }),
            devcontainer_dirty: false,
            owner: Some(Owner {
                id: Uuid::nil(),
                name: "app".into(),
                status: Status::Running,
            }),
        };
        assert_eq!(
            serde_json::to_string(&container).unwrap(),
            concat!(
                r#"{"created_at":"1970-01-01T00:00:00.000Z","id":"ab","name":"n","image":"i","labels":{},"running":true,"#,
                r#""ports":[{"port":80,"network":"tcp"}],"status":"running","health":"healthy","volumes":{"/s":"/d"},"#,
                r#""mounts":[{"type":"volume","name":"v","source":"/s","destination":"/d","read_only":true}],"#,
                r#""devcontainer_dirty":false,"devcontainer_id":"00000000-0000-0000-0000-000000000000","#,
                r#""devcontainer_name":"app","devcontainer_status":"running"}"#
            )
        );
    }
}
