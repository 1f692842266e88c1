//! Docker commands on single containers, each with a deadline.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::command::{is_id, keep, says_missing};
use crate::model::labels::{
    LABEL_COMPOSE_PROJECT, LABEL_COMPOSE_SERVICE, LABEL_CONFIG, LABEL_TEST_RUN,
};
use crate::model::original::{ComposeService, Original, PriorState};
use crate::process::{self, Ended, RunLimits, Stream};

/// What a command may print; the inspect of a hundred containers has a megabyte.
const MAX_OUTPUT: usize = 16 << 20;
/// What is kept of a command's complaints.
const MAX_STDERR: usize = 16 << 10;
/// How docker and podman show a time that was not.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// What compose gives to containers; images that it builds get the first two, and `docker commit` takes all along.
const OF_COMPOSE: [&str; 4] = [
    LABEL_COMPOSE_PROJECT,
    LABEL_COMPOSE_SERVICE,
    "com.docker.compose.container-number",
    "com.docker.compose.config-hash",
];
/// `True` on what `docker compose run` made.
const LABEL_COMPOSE_ONE_OFF: &str = "com.docker.compose.oneoff";

/// Docker's command line.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    /// docker or podman.
    pub program: &'a Path,
    /// When a command must have ended.
    pub deadline: Instant,
    /// Becomes readable when it shall end early.
    pub abort: Option<BorrowedFd<'a>>,
    /// The operation that it is part of; what a process of an operation starts is part of that anyway.
    pub operation: Option<&'a str>,
    /// Whether to end what a command leaves behind wherever it went, which takes some milliseconds for each.
    pub thorough: bool,
}

/// A command that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError {
    said: String,
    /// Whether it ended because it was told to.
    pub aborted: bool,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl std::error::Error for ClientError {}

/// What an operation has to know of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// As it would be put back.
    pub old: Original,
    /// Whether its processes have ever run.
    pub has_run: bool,
    /// Whether docker starts it again and again, because it ends.
    pub restarting: bool,
    /// Whether it is a command that compose was told to run once.
    pub one_off: bool,
    /// Which configuration it was made from, if it says so.
    pub config: Option<String>,
    /// Whether the CLI's own tests made it.
    pub is_test_run: bool,
    /// Whether it may publish ports.
    pub publishes: bool,
    /// Networks that it is connected to.
    pub networks: Vec<String>,
    /// The network that it is connected to when it starts.
    pub own_network: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    #[serde(default)]
    name: String,
    /// The id of its image.
    #[serde(default)]
    image: String,
    #[serde(default)]
    state: State,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    host_config: HostConfig,
    #[serde(default)]
    network_settings: NetworkSettings,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    running: bool,
    paused: bool,
    restarting: bool,
    started_at: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    labels: Option<BTreeMap<String, String>>,
}

/// Of an image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    id: String,
    #[serde(default)]
    config: Option<Config>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    auto_remove: bool,
    network_mode: String,
    port_bindings: Option<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<Map<String, Value>>,
}

impl Client<'_> {
    /// The ids of all containers, running or not, that have every one of these labels (`KEY=VALUE`).
    pub fn with_labels(&self, labels: &[String]) -> Result<Vec<String>, ClientError> {
        let mut arguments = vec!["ps", "--all", "--quiet", "--no-trunc"];
        let filters: Vec<String> = labels
            .iter()
            .map(|label| format!("label={label}"))
            .collect();
        for filter in &filters {
            arguments.extend(["--filter", filter]);
        }
        let printed = self.run(&arguments)?;
        let printed = String::from_utf8_lossy(&printed);
        let lines = printed.lines().map(str::trim).filter(|line| is_id(line));
        Ok(lines.map(str::to_owned).collect())
    }

    /// What is to be known of those of `ids` that there are.
    pub fn inspect(&self, ids: &[String]) -> Result<Vec<Snapshot>, ClientError> {
        let mut found: Vec<Inspected> = self.inspect_as("container", ids)?;
        self.forget_labels_of_images(&mut found)?;
        Ok(found.into_iter().map(Snapshot::from).collect())
    }

    /// An image can have the labels of a compose project, too; then its containers do not belong to that (P18).
    fn forget_labels_of_images(&self, containers: &mut [Inspected]) -> Result<(), ClientError> {
        let labelled = |one: &&mut Inspected| one.config.label(LABEL_COMPOSE_PROJECT).is_some();
        let labelled: Vec<&mut Inspected> = containers.iter_mut().filter(labelled).collect();
        let ids = labelled.iter().map(|one| one.image.clone());
        let images: Vec<Image> = self.inspect_as("image", &ids.collect::<Vec<_>>())?;
        for one in labelled {
            let image = images.iter().find(|image| image.id == one.image);
            let own = |key| {
                let label = one.config.label(key);
                label.is_some()
                    && image
                        .is_some_and(|i| i.config.as_ref().is_none_or(|c| c.label(key) != label))
            };
            let is_own = OF_COMPOSE.into_iter().any(own);
            if !is_own && let Some(labels) = &mut one.config.labels {
                labels.remove(LABEL_COMPOSE_PROJECT);
            }
        }
        Ok(())
    }

    fn inspect_as<T: for<'de> Deserialize<'de>>(
        &self,
        kind: &str,
        ids: &[String],
    ) -> Result<Vec<T>, ClientError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments = vec!["inspect", "--type", kind];
        arguments.extend(ids.iter().map(String::as_str));
        let (printed, error) = self.run_anyway(&arguments)?;
        match (serde_json::from_slice(&printed), error) {
            (Ok(found), None) => Ok(found),
            // What is missing was removed in between; what is there stands on standard output all the same.
            (found, Some(error)) if error.is_about_missing() => Ok(found.unwrap_or_default()),
            (_, Some(error)) => Err(error),
            (Err(e), None) => Err(ClientError::new(format!(
                "docker inspect printed what cannot be read: {e}"
            ))),
        }
    }

    /// `docker stop`: TERM, and after the container's own grace KILL.
    pub fn stop(&self, ids: &[&str]) -> Result<(), ClientError> {
        self.on("stop", &[], ids)
    }

    /// `docker start`.
    pub fn start(&self, id: &str) -> Result<(), ClientError> {
        self.on("start", &[], &[id])
    }

    /// `docker pause`.
    pub fn pause(&self, id: &str) -> Result<(), ClientError> {
        self.on("pause", &[], &[id])
    }

    /// `docker unpause`.
    pub fn unpause(&self, id: &str) -> Result<(), ClientError> {
        self.on("unpause", &[], &[id])
    }

    /// `docker rm --force`; volumes are kept. One that is gone already is no error.
    pub fn remove(&self, ids: &[&str]) -> Result<(), ClientError> {
        match self.on("rm", &["--force"], ids) {
            Err(error) if error.is_about_missing() => Ok(()),
            result => result,
        }
    }

    /// `docker rename`.
    pub fn rename(&self, id: &str, name: &str) -> Result<(), ClientError> {
        self.run(&["rename", id, name]).map(drop)
    }

    /// `docker network disconnect` or `connect`.
    pub fn network(&self, verb: &str, network: &str, id: &str) -> Result<(), ClientError> {
        self.run(&["network", verb, network, id]).map(drop)
    }

    fn on(&self, verb: &str, flags: &[&str], ids: &[&str]) -> Result<(), ClientError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.run(&[&[verb], flags, ids].concat()).map(drop)
    }

    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, ClientError> {
        match self.run_anyway(arguments)? {
            (printed, None) => Ok(printed),
            (_, Some(error)) => Err(error),
        }
    }

    /// What it printed, and how it failed if it did.
    fn run_anyway(
        &self,
        arguments: &[&str],
    ) -> Result<(Vec<u8>, Option<ClientError>), ClientError> {
        let verb = arguments.first().copied().unwrap_or_default();
        let mut command = Command::new(self.program);
        command.args(arguments);
        let limits = RunLimits {
            deadline: self.deadline,
            abort: self.abort,
            grace: Duration::ZERO,
        };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut output = |stream, bytes: &[u8]| match stream {
            Stream::Stdout => keep(&mut stdout, bytes, MAX_OUTPUT),
            Stream::Stderr => keep(&mut stderr, bytes, MAX_STDERR),
        };
        let ended = match self.operation {
            Some(operation) if self.thorough => {
                process::run_operation(command, operation, &limits, &mut output)
            }
            Some(operation) => {
                process::mark(&mut command, operation);
                process::run(command, &limits, &mut output)
            }
            None => process::run(command, &limits, &mut output),
        };
        match ended.map_err(|e| ClientError::new(e.to_string()))? {
            Ended::Exited(status) if status.success() => Ok((stdout, None)),
            Ended::Exited(status) => {
                let said = String::from_utf8_lossy(&stderr);
                let said = match said.trim() {
                    "" => format!("docker {verb} failed ({status}) and said nothing"),
                    said => format!("docker {verb} failed: {said}"),
                };
                Ok((stdout, Some(ClientError::new(said))))
            }
            Ended::TimedOut => Err(ClientError::new(format!(
                "docker {verb} did not end in time"
            ))),
            Ended::Aborted => Err(ClientError {
                said: format!("docker {verb} was ended"),
                aborted: true,
            }),
        }
    }
}

impl ClientError {
    fn new(said: String) -> Self {
        let aborted = false;
        Self { said, aborted }
    }

    /// Whether it says that something does not exist, and nothing worse; warnings may stand beside that.
    pub fn is_about_missing(&self) -> bool {
        let mut errors = self.said.lines().filter(|line| line.contains("Error"));
        self.said.lines().any(says_missing) && errors.all(says_missing)
    }
}

impl Config {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key).map(String::as_str)
    }
}

impl From<Inspected> for Snapshot {
    fn from(one: Inspected) -> Self {
        let networks = one.network_settings.networks.unwrap_or_default();
        let networks: Vec<String> = networks.keys().cloned().collect();
        let publishes = one.host_config.port_bindings.is_some_and(|p| !p.is_empty());
        let mode = one.host_config.network_mode;
        let is_joined = !["host", "none"].contains(&&*mode) && !mode.contains(':');
        let removed_when_stopped = one.host_config.auto_remove;
        let mut labels = one.config.labels.unwrap_or_default();
        let compose = labels
            .remove(LABEL_COMPOSE_PROJECT)
            .zip(labels.remove(LABEL_COMPOSE_SERVICE));
        let name = one.name.strip_prefix('/').unwrap_or(&one.name);
        let old = Original {
            name: name.to_owned(),
            was: match one.state {
                State { paused: true, .. } => PriorState::Paused,
                State {
                    running,
                    restarting,
                    ..
                } if running || restarting => PriorState::Running,
                _ => PriorState::Stopped,
            },
            id: one.id,
            leaves_networks: match removed_when_stopped && publishes && is_joined {
                true => networks.clone(),
                false => Vec::new(),
            },
            removed_when_stopped,
            compose: compose.map(|(project, service)| ComposeService { project, service }),
        };
        Self {
            old,
            has_run: !["", NEVER].contains(&&*one.state.started_at),
            restarting: one.state.restarting,
            one_off: labels
                .get(LABEL_COMPOSE_ONE_OFF)
                .is_some_and(|is| is == "True"),
            is_test_run: labels.get(LABEL_TEST_RUN).is_some_and(|is| is == "true"),
            config: labels
                .remove(LABEL_CONFIG)
                .filter(|config| !config.is_empty()),
            publishes: publishes && is_joined,
            networks,
            own_network: match mode.as_str() {
                "" | "default" => "bridge".to_owned(),
                _ => mode,
            },
        }
    }
}
