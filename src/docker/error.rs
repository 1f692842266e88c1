//! Errors of docker commands, and the reading of what docker writes to standard error.

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::process::SpawnError;

/// A docker command that brought no answer. Each `command` is named with its verb, such as `docker ps`.
#[derive(Debug)]
pub enum Error {
    /// The program could not be run.
    Spawn(SpawnError),
    /// The command ran until its deadline.
    TimedOut {
        /// The command.
        command: String,
        /// The limit of a listing (`--list-timeout`). The deadline of other commands is that of their operation.
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
    /// Returns whether the command failed only because something does not exist (any more). Warnings do not count.
    pub fn is_about_missing(&self) -> bool {
        matches!(self, Self::Failed { stderr, .. } if stderr.is_about_missing())
    }

    /// Returns whether the command failed only because docker is about to remove the container by itself, or has done so.
    pub fn is_about_removal(&self) -> bool {
        matches!(self, Self::Failed { stderr, .. } if stderr.is_about_removal())
    }

    /// Returns whether the command was ended because its caller needs it no more.
    pub fn is_aborted(&self) -> bool {
        matches!(self, Self::Aborted { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => error.fmt(f),
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

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines that are not about missing containers, without the time that podman puts before a line.
    pub(super) fn warnings(&self) -> Vec<String> {
        let lines = self.0.lines().map(|line| without_time(line).trim_end());
        let warnings = lines.filter(|line| !line.trim().is_empty() && !says_missing(line));
        warnings.map(str::to_owned).collect()
    }

    /// Returns whether a line says that the container `id` does not exist.
    pub(super) fn misses(&self, id: &str) -> bool {
        let mut lines = self.0.lines();
        lines.any(|line| says_missing(line) && line.contains(id))
    }

    fn is_about_missing(&self) -> bool {
        let mut errors = self.0.lines().filter(|line| line.contains("Error"));
        self.0.lines().any(says_missing) && errors.all(says_missing)
    }

    fn is_about_removal(&self) -> bool {
        let mut errors = self.0.lines().filter(|line| line.contains("Error"));
        let is_going = |line: &str| says_missing(line) || says_being_removed(line);
        self.0.lines().any(says_being_removed) && errors.all(is_going)
    }
}

/// podman's log lines are `time="…" level=… msg="…"`.
fn without_time(line: &str) -> &str {
    let timed = line.strip_prefix("time=\"");
    let text = timed.and_then(|rest| rest.split_once("\" "));
    text.map_or(line, |(_, text)| text)
}

/// These two are the only place where docker's words are matched: neither docker nor podman has an exit status for this.
fn says_missing(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    [
        "no such object",
        "no such container",
        "no such image",
        "image not known",
    ]
    .iter()
    .any(|words| line.contains(words))
}

fn says_being_removed(line: &str) -> bool {
    line.contains("removal of container") && line.contains("already in progress")
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
    fn missing_containers_are_told_from_worse() {
        let gone = "Error response from daemon: No such container: a";
        for (stderr, expected) in [
            (gone.to_owned(), true),
            ("Error: no such object: \"a\"".to_owned(), true),
            (format!("WARNING: something\n{gone}\n"), true),
            (format!("{gone}\nError response from daemon: busy"), false),
            ("Cannot connect to the Docker daemon".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(failed(&stderr).is_about_missing(), expected, "{stderr}");
        }
    }

    #[test]
    fn containers_that_docker_is_removing_are_told_from_worse() {
        let gone = "Error response from daemon: No such container: a";
        let going = "Error response from daemon: removal of container b is already in progress";
        for (stderr, expected) in [
            (going.to_owned(), true),
            (format!("{gone}\n{going}\n"), true),
            (gone.to_owned(), false),
            (format!("{going}\nError response from daemon: busy"), false),
        ] {
            assert_eq!(failed(&stderr).is_about_removal(), expected, "{stderr}");
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
    fn warnings_have_no_time_and_name_no_missing_container() {
        let stderr = Stderr::new(
            b"time=\"2026-01-01T00:00:00Z\" level=warning msg=\"x\"\n\nError: no such container a1b2\n",
        );
        assert_eq!(stderr.warnings(), ["level=warning msg=\"x\""]);
        assert!(stderr.misses("a1b2") && !stderr.misses("c3d4"));
    }
}
