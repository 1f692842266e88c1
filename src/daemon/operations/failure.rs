//! Reasons why an operation does not do what it should.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::StartError;
use crate::docker;
use crate::process::SpawnError;

/// A reason why an operation failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not begin when its turn came.
    Start(StartError),
    /// A path on which the devcontainer CLI is known to hang.
    UnusablePath(PathBuf),
    /// The dev container is not where it was when the operation began, as this says (P25).
    Moved(String),
    /// The container with this name, which was listed as that of the dev container, has its labels from its image (P23).
    Copy(String),
    /// A docker command failed.
    Docker(docker::Error),
    /// The devcontainer CLI could not be run.
    Spawn(SpawnError),
    /// The plan of the docker shim cannot be written as JSON.
    Plan(serde_json::Error),
    /// The stand-in for the socket of the engine cannot be made.
    Proxy(std::io::Error),
    /// The CLI reported success with the dev container of another folder.
    Anothers {
        /// The container's name.
        name: String,
        /// The folder.
        folder: String,
    },
    /// The CLI reported success, but the container with this name is in this state.
    NotRunning(String, String),
    /// The system has no thread left.
    Thread(std::io::Error),
    /// The operation took longer than `--job-timeout`.
    TimedOut(Duration),
    /// The CLI reported a failure in its own words, without secrets.
    Reported(String),
    /// The CLI reported success, but its exit status says otherwise.
    Contradiction(ExitStatus),
    /// The CLI ended without a result. Holds its last line for people.
    NoResult(ExitStatus, Option<String>),
    /// The CLI reported success, but made no container.
    NoContainer,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::UnusablePath(path) => write!(
                f,
                "the devcontainer CLI hangs on a path with `=`: {}; nothing was changed. Rename the folder",
                path.display()
            ),
            Self::Moved(how) => write!(f, "{how}; devcontainer was not run"),
            Self::Copy(name) => write!(
                f,
                "container {name} is that of no dev container: it has its labels from its image, which could not be read when the containers were listed; nothing was changed. Try again: the next list shows the right one"
            ),
            Self::Docker(error) => error.fmt(f),
            Self::Spawn(error) => error.fmt(f),
            Self::Plan(error) => write!(f, "the path of docker cannot be handed on: {error}"),
            Self::Proxy(error) => write!(
                f,
                "no socket can be made through which devcontainer reaches docker, in {} or /tmp: {error}",
                std::env::temp_dir().display()
            ),
            Self::Anothers { name, folder } => write!(
                f,
                "devcontainer started container {name}, which is the dev container of {folder}; give the compose project of one of both another name (`name:` in the compose file, or COMPOSE_PROJECT_NAME)"
            ),
            Self::NotRunning(name, state) => write!(
                f,
                "devcontainer reported success, but container {name} does not run: {state}"
            ),
            Self::Thread(error) => write!(f, "no thread can be started: {error}"),
            Self::TimedOut(limit) => write!(
                f,
                "it did not end within the limit of {} s (--job-timeout)",
                limit.as_secs_f64()
            ),
            Self::Reported(reason) => f.write_str(reason),
            Self::Contradiction(status) => {
                write!(f, "devcontainer reported success, but ended with {status}")
            }
            Self::NoResult(status, last_line) => {
                let said = last_line.as_deref().unwrap_or("it said nothing");
                write!(
                    f,
                    "devcontainer ended with {status} and without a result: {said}"
                )
            }
            Self::NoContainer => {
                f.write_str("devcontainer reported success, but there is no new container")
            }
        }
    }
}

impl std::error::Error for Failure {}

impl From<docker::Error> for Failure {
    fn from(error: docker::Error) -> Self {
        Self::Docker(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Locked => f.write_str(
                "another program, most likely another devcontainerd, holds the lock on the workspace folder, or on the directory of its compose project (flock); try again when it has finished",
            ),
            Self::NotAllowed(why)
            | Self::Moved(why)
            | Self::Silent(why)
            | Self::NoResources(why) => f.write_str(why),
        }
    }
}
