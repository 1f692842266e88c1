//! The answer of `docker inspect` and of `podman inspect`: its JSON, and the two readings of it.

pub(super) mod answer;
pub(super) mod info;
pub(super) mod own_labels;
pub(super) mod snapshot;

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use self::own_labels::ImageLabels;
use super::ports::PortMap;
use crate::model::container::{ContainerHealth, RunState};

/// How docker and podman write a time that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A container, in the fields that are used. A field may be missing or `null` in some version of docker or podman.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    created: String,
    #[serde(default, deserialize_with = "null_as_default")]
    name: String,
    /// The id of its image.
    #[serde(default, deserialize_with = "null_as_default")]
    image: String,
    #[serde(default, deserialize_with = "null_as_default")]
    state: State,
    #[serde(default, deserialize_with = "null_as_default")]
    config: Config,
    #[serde(default, deserialize_with = "null_as_default")]
    host_config: HostConfig,
    #[serde(default, deserialize_with = "null_as_default")]
    network_settings: NetworkSettings,
    #[serde(default, deserialize_with = "null_as_default")]
    mounts: Vec<Mount>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    status: Option<String>,
    running: bool,
    paused: bool,
    restarting: bool,
    dead: bool,
    exit_code: i64,
    error: Option<String>,
    started_at: Option<String>,
    /// docker has none without a health check, podman one with an empty status.
    #[serde(alias = "Healthcheck")]
    health: Option<Health>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Health {
    status: Option<String>,
}

/// The configuration of a container or of an image.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    #[serde(deserialize_with = "null_as_default")]
    image: String,
    #[serde(deserialize_with = "null_as_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_as_default")]
    user: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    #[serde(deserialize_with = "null_as_default")]
    auto_remove: bool,
    #[serde(deserialize_with = "null_as_default")]
    network_mode: String,
    #[serde(deserialize_with = "null_as_default")]
    ipc_mode: String,
    #[serde(deserialize_with = "null_as_default")]
    pid_mode: String,
    #[serde(deserialize_with = "null_as_default")]
    volumes_from: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    port_bindings: BTreeMap<String, IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(deserialize_with = "null_as_default")]
    ports: PortMap,
    #[serde(deserialize_with = "null_as_default")]
    networks: BTreeMap<String, IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Mount {
    #[serde(rename = "Type")]
    kind: Option<String>,
    name: Option<String>,
    source: Option<String>,
    destination: Option<String>,
    #[serde(rename = "RW")]
    rw: bool,
}

impl Default for Mount {
    /// A mount is writable where nothing says otherwise.
    fn default() -> Self {
        Self {
            kind: None,
            name: None,
            source: None,
            destination: None,
            rw: true,
        }
    }
}

/// An image, in the fields that are used.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Image {
    id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    config: Config,
}

impl Image {
    /// Returns its id, and those of its labels that a container may have from there.
    pub(super) fn into_labels(self) -> (String, ImageLabels) {
        (self.id.clone(), self.into())
    }
}

/// One object of an answer.
pub(super) trait Object: DeserializeOwned {
    /// The `--type` of the inspect.
    const TYPE: &str;
    /// The command that lists the ids of all of them.
    const LIST: &str;

    fn id(&self) -> &str;
}

impl Object for Inspected {
    const TYPE: &str = "container";
    const LIST: &str = "ps";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Object for Image {
    const TYPE: &str = "image";
    const LIST: &str = "images";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Inspected {
    /// The name without the slash that docker puts before it, unlike podman.
    fn plain_name(&self) -> &str {
        self.name.strip_prefix('/').unwrap_or(&self.name)
    }
}

impl State {
    /// docker's word for the state. Versions without one have flags for it.
    fn word(&self) -> &str {
        match self.status.as_deref() {
            Some(word) if !word.is_empty() => word,
            _ if self.paused => "paused",
            _ if self.restarting => "restarting",
            _ if self.running => "running",
            _ if self.dead => "dead",
            _ => "exited",
        }
    }

    fn has_processes(&self) -> bool {
        self.running || matches!(self.word(), "running" | "paused" | "stopping")
    }

    fn run_state(&self) -> RunState {
        match self.word() {
            // podman's words for a container that is made but not set up yet.
            "created" | "configured" | "initialized" => RunState::Created,
            "running" => RunState::Running,
            // This word is podman's.
            "stopping" => RunState::Stopping,
            "paused" => RunState::Paused,
            "restarting" => RunState::Restarting,
            // podman's word for a container that was stopped and not cleaned up yet.
            "exited" | "stopped" => RunState::Exited(self.exit_code),
            "dead" => RunState::Dead,
            // Flags decide for a word that is not known: a container that runs must never be taken for one that does not.
            _ if self.paused => RunState::Paused,
            _ if self.restarting => RunState::Restarting,
            _ if self.running => RunState::Running,
            other => RunState::Other(other.into()),
        }
    }

    /// The last result of a container that has ended says nothing any more.
    fn health(&self) -> Option<ContainerHealth> {
        let status = self.health.as_ref()?.status.as_deref()?;
        match status {
            _ if !self.has_processes() => None,
            "starting" => Some(ContainerHealth::Starting),
            "healthy" => Some(ContainerHealth::Healthy),
            "unhealthy" => Some(ContainerHealth::Unhealthy),
            _ => None,
        }
    }

    fn has_run(&self) -> bool {
        let started_at = self.started_at.as_deref().unwrap_or_default();
        !["", NEVER].contains(&started_at)
    }
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
