//! The tasks that a command line can ask for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::config::Config;
use super::error::UsageError;
use crate::model::operation::OperationKind;

/// The task that a command line asks for.
#[derive(Debug)]
pub enum Task {
    /// Print this text.
    Print(String),
    /// Check that a daemon answers.
    Healthcheck(Target),
    /// Ask a daemon.
    Ask(Target, Question),
    /// Run the daemon.
    Serve(Box<Config>),
    /// Say what a daemon with this configuration would find, besides the values that cannot be used.
    Check(Box<Config>, Vec<UsageError>),
}

/// The daemon to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its possible addresses, `http://ADDRESS:PORT[/path]` or `unix:/path`. The first one that takes a connection counts.
    pub urls: Vec<String>,
    /// The file with its token, if it has one.
    pub token_file: Option<PathBuf>,
}

/// The thing to ask a daemon.
///
/// A dev container is named by its name or id, by a folder with a slash in its path, or by `.`.
#[derive(Debug, PartialEq)]
pub enum Question {
    /// List the dev containers.
    List(ListForm),
    /// Do this to a dev container and follow the log.
    Operate {
        /// The operation.
        kind: OperationKind,
        /// The dev container.
        name: String,
        /// Act on all containers of the dev container.
        all: bool,
    },
    /// Cancel the operation of a dev container.
    Cancel(String),
    /// Print the log of a dev container.
    Logs {
        /// The dev container.
        name: String,
        /// Go on until the operation ends.
        follow: bool,
    },
    /// Print changes when they happen.
    Watch {
        /// The dev container, or `None` for all of them.
        name: Option<String>,
        /// Print JSON.
        json: bool,
    },
    /// Wait until a dev container is as it should be.
    Wait {
        /// The dev container.
        name: String,
        /// Its container matches the configuration.
        clean: bool,
        /// Its container runs.
        running: bool,
        /// No operation runs or is queued.
        idle: bool,
        /// The limit of waiting.
        timeout: Option<Duration>,
    },
    /// Run a command in a dev container.
    Exec {
        /// The dev container.
        name: String,
        /// The flags of `docker exec` that are passed on.
        flags: Vec<&'static str>,
        /// The docker or podman program, if it is not the first one on `PATH`.
        docker: Option<PathBuf>,
        /// The program and its arguments.
        command: Vec<OsString>,
    },
    /// Print the names of dev containers that begin like this, for the completion of a shell.
    CompleteName(String),
}

/// The form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListForm {
    /// A table for people.
    Table,
    /// The answer of the daemon.
    Json,
    /// A name on each line.
    Names,
}
