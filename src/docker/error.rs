//! Errors of docker commands, and what docker writes to standard error, which is for people: no rule reads its words.

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::model::counters::ListingFailure;
use crate::process::SpawnError;

/// A docker command that brought no answer. Each `command` is named with its verb, such as `docker ps`.
#[derive(Debug)]
pub enum Error {
    /// The program could not be run.
    Spawn(SpawnError),
    /// The process lacks the resources to run a command.
    NoResources(std::io::Error),
    /// The command ran until its deadline.
    TimedOut {
        /// The command.
        command: String,
        /// The limit of a command of a listing (`--list-timeout`). The deadline of other commands is that of their operation.
        list_timeout: Option<Duration>,
    },
    /// The command was ended because its caller needs it no more.
    Aborted {
        /// The command.
        command: String,
    },
    /// The command printed more than any answer has.
    TooLong {
        /// The command.
        command: String,
        /// The bytes that an answer may have.
        limit: usize,
    },
    /// The command failed, or warned and brought nothing.
    Failed {
        /// The command.
        command: String,
        /// Its exit status.
        status: ExitStatus,
        /// Its standard error.
        stderr: Stderr,
    },
    /// The answer is not the JSON that it should be.
    Unreadable {
        /// The command.
        command: String,
        /// The reason.
        source: serde_json::Error,
    },
    /// A line of the answer should be the id of a container and is not.
    NotAnId {
        /// The command.
        command: String,
        /// The beginning of the line.
        line: String,
    },
}

/// The standard error of a command, in docker's or podman's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stderr(String);

impl Error {
    /// Returns whether the command was ended because its caller needs it no more.
    pub fn is_aborted(&self) -> bool {
        matches!(self, Self::Aborted { .. })
    }

    /// Returns the reason as it is counted; `None` where the command was ended early, which is no failure.
    pub fn listing_failure(&self) -> Option<ListingFailure> {
        match self {
            Self::Spawn(_) | Self::NoResources(_) => Some(ListingFailure::Spawn),
            Self::TimedOut { .. } => Some(ListingFailure::Timeout),
            Self::Failed { .. } => Some(ListingFailure::Exit),
            Self::TooLong { .. } | Self::Unreadable { .. } | Self::NotAnId { .. } => {
                Some(ListingFailure::Output)
            }
            Self::Aborted { .. } => None,
        }
    }

    /// The error of a command of a listing, for each of which docker gets at most `timeout`.
    pub(super) fn of_listing(self, timeout: Duration) -> Self {
        match self {
            Self::TimedOut { command, .. } => Self::TimedOut {
                command,
                list_timeout: Some(timeout),
            },
            other => other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => error.fmt(f),
            Self::NoResources(error) => write!(f, "docker cannot be run: {error}"),
            Self::TimedOut {
                command,
                list_timeout: Some(limit),
            } => {
                let seconds = limit.as_secs_f64();
                write!(
                    f,
                    "{command} did not finish within the limit of {seconds} s (--list-timeout)"
                )
            }
            Self::TimedOut {
                command,
                list_timeout: None,
            } => write!(f, "{command} did not finish in time"),
            Self::Aborted { command } => write!(f, "{command} was ended early"),
            Self::TooLong { command, limit } => {
                write!(f, "{command} printed more than {} MiB", limit >> 20)
            }
            Self::Failed {
                command,
                status,
                stderr,
            } => match stderr.text() {
                "" => write!(f, "{command} failed ({status}) and said nothing"),
                text => write!(f, "{command} failed ({status}): {text}"),
            },
            Self::Unreadable { command, source } => {
                write!(f, "{command} printed what cannot be read: {source}")
            }
            Self::NotAnId { command, line } => {
                write!(f, "{command} printed what is not a container id: {line:?}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl Stderr {
    /// Standard error with these bytes.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(String::from_utf8_lossy(bytes).into_owned())
    }

    /// All of it, without blanks around.
    pub(super) fn text(&self) -> &str {
        self.0.trim()
    }

    /// Its lines, without blank ones and without the time that podman puts before a line.
    pub(super) fn warnings(&self) -> Vec<String> {
        let lines = self.0.lines().map(|line| without_time(line).trim_end());
        let warnings = lines.filter(|line| !line.trim().is_empty());
        warnings.map(str::to_owned).collect()
    }
}

/// podman's log lines are `time="…" level=… msg="…"`.
fn without_time(line: &str) -> &str {
    let timed = line.strip_prefix("time=\"");
    let text = timed.and_then(|rest| rest.split_once("\" "));
    text.map_or(line, |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn failed(stderr: &str) -> Error {
        Error::Failed {
            command: "docker rm".into(),
            status: ExitStatus::from_raw(1 << 8),
            stderr: Stderr::new(stderr.as_bytes()),
        }
    }

    #[test]
    fn a_failure_names_the_command_the_status_and_the_reason() {
        assert_eq!(
            failed(" busy\n").to_string(),
            "docker rm failed (exit status: 1): busy"
        );
        assert_eq!(
            failed("\n").to_string(),
            "docker rm failed (exit status: 1) and said nothing"
        );
    }

    #[test]
    fn warnings_have_no_time_and_are_not_blank() {
        let stderr =
            Stderr::new(b"time=\"2026-01-01T00:00:00Z\" level=warning msg=\"x\"\n\nWARNING: y \n");
        assert_eq!(stderr.warnings(), ["level=warning msg=\"x\"", "WARNING: y"]);
    }
}
