//! The wire types: what the answers say, field by field.

use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::order::by_text;
use crate::time::Timestamp;

/// Text to text, sorted by key, in a third of the memory that a map would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Box<[(Box<str>, Box<str>)]>);

impl Pairs {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        self.0.get(found).map(|(_, value)| &**value)
    }
}

impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for Pairs {
    /// Of two equal keys the first one stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs: Vec<(Box<str>, Box<str>)> = pairs
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        let mut pairs = by_text(pairs, |(key, _)| key.as_bytes().to_vec());
        pairs.dedup_by(|later, earlier| later.0 == earlier.0);
        Self(pairs.into_boxed_slice())
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}

/// A port of a container; without host fields where it is exposed but not published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The port inside the container.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub network: &'static str,
    /// The host address it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<String>,
    /// The host port it is bound to, 1 to 65535.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
}

/// What docker says about a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInfo {
    /// When it was created, by the engine's clock.
    pub created_at: Timestamp,
    /// The whole id, 64 hexadecimal digits.
    pub id: String,
    /// Without the leading slash that docker shows.
    pub name: String,
    /// As it was named when the container was made.
    pub image: String,
    /// All of them, those of the image included.
    pub labels: Pairs,
    /// Whether it has processes, paused ones included.
    pub running: bool,
    /// Published and exposed ports, sorted.
    pub ports: Vec<Port>,
    /// `running`, `paused`, `exited with code 3: no space left`, ….
    pub status: String,
    /// Source on the host to destination in the container.
    pub volumes: Pairs,
}

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
pub struct Change {
    /// The file.
    pub path: String,
    /// How it changed.
    pub change: ChangeKind,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// A new container in place of the old one.
    Recreate,
    /// The container, made where there is none, runs.
    Start,
    /// The container, or all of its compose project, is stopped.
    Stop,
    /// The same are removed; volumes stay.
    Delete,
}

impl JobKind {
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
pub enum JobState {
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

impl JobState {
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

/// The running or last operation of a dev container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct JobSummary {
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
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
    pub changes: Vec<Change>,
    /// Its container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Why the last operation failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The running or last operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobSummary>,
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
    pub outcome: Option<JobState>,
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

    #[test]
    fn pairs_are_sorted_and_the_first_of_equal_keys_stays() {
        let pairs: Pairs = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
        assert_eq!(pairs.get("a"), Some("2"));
        assert_eq!(pairs.get("b"), Some("1"));
        assert_eq!(pairs.get("c"), None);
        assert_eq!(
            serde_json::to_string(&pairs).unwrap(),
            r#"{"a":"2","b":"1"}"#
        );
    }

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
