//! Runs docker and keeps what it prints, within bounds.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{self, Ended, RunLimits, Stream};

/// What one command may print; beyond it something is wrong.
const MAX_OUTPUT: usize = 64 << 20;
/// What is kept of a command's complaints.
const MAX_STDERR: usize = 16 << 10;

/// docker, and what becomes readable when it shall end early.
#[derive(Clone, Copy)]
pub(super) struct Program<'a> {
    pub(super) path: &'a Path,
    pub(super) stop: BorrowedFd<'a>,
}

/// What one command printed.
pub(super) struct Printed {
    command: &'static str,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
    pub(super) failed: Option<String>,
}

/// Why there is no listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError(String);

impl ListError {
    pub(super) fn new(said: String) -> Self {
        Self(said)
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ListError {}

pub(super) enum Failure {
    TimedOut,
    Other(ListError),
}

impl Printed {
    /// What stands on standard error, but for ids that were not found, in docker's and in podman's words, and without
    /// the time at which podman says it.
    pub(super) fn complaints(&self) -> Vec<String> {
        let lines = self
            .stderr
            .lines()
            .map(|line| without_time(line).trim_end());
        let lines = lines.filter(|line| !line.trim().is_empty() && !says_missing(line));
        lines.map(str::to_owned).collect()
    }

    /// Whether it says that there is no container `id`.
    pub(super) fn misses(&self, id: &str) -> bool {
        let mut lines = self.stderr.lines();
        lines.any(|line| says_missing(line) && line.contains(id))
    }

    pub(super) fn error(&self) -> ListError {
        let status = self.failed.as_deref().unwrap_or("no container");
        let said = self.stderr.trim();
        ListError::new(match said {
            "" => format!("{} failed ({status}) and said nothing", self.command),
            said => format!("{} failed ({status}): {said}", self.command),
        })
    }
}

fn without_time(line: &str) -> &str {
    let timed = line.strip_prefix("time=\"");
    let text = timed.and_then(|rest| rest.split_once("\" "));
    text.map_or(line, |(_, text)| text)
}

pub(super) fn says_missing(line: &str) -> bool {
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

pub(super) fn run(
    program: Program<'_>,
    name: &'static str,
    arguments: &[&str],
    deadline: Instant,
) -> Result<Printed, Failure> {
    let mut command = Command::new(program.path);
    command.args(arguments);
    let limits = RunLimits {
        deadline,
        abort: Some(program.stop),
        grace: Duration::ZERO,
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended = process::run(command, &limits, &mut |stream, bytes| match stream {
        Stream::Stdout => keep(&mut stdout, bytes, MAX_OUTPUT + 1),
        Stream::Stderr => keep(&mut stderr, bytes, MAX_STDERR),
    });
    let ended = ended.map_err(|e| Failure::Other(ListError::new(e.to_string())))?;
    if stdout.len() > MAX_OUTPUT {
        let limit = MAX_OUTPUT >> 20;
        return Err(Failure::Other(ListError::new(format!(
            "{name} printed more than {limit} MiB"
        ))));
    }
    match ended {
        Ended::Exited(status) => Ok(Printed {
            command: name,
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            failed: (!status.success()).then(|| status.to_string()),
        }),
        Ended::TimedOut => Err(Failure::TimedOut),
        Ended::Aborted => Err(Failure::Other(ListError::new(
            "the daemon is about to stop".into(),
        ))),
    }
}

pub(super) fn keep(buffer: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let room = limit.saturating_sub(buffer.len()).min(bytes.len());
    buffer.extend_from_slice(bytes.get(..room).unwrap_or_default());
}

/// Whether docker could have printed this as an id. Nothing else may become an argument.
pub fn is_id(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}
