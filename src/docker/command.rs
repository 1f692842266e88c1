//! The one place that runs docker: with a deadline, a way to end it early, and bounds on what is kept of its output.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use super::endpoint::VARIABLES_OF_CLIENT;
use super::error::{Error, Stderr};
use crate::base::text::shorten;
use crate::process::{self, Ended, Late, RunLimits, SpawnError, Stream};

/// The bytes that an answer may have; the inspect of a hundred containers has one megabyte.
pub(super) const MAX_OUTPUT: usize = 64 << 20;
/// The bytes of standard error that are kept.
const MAX_STDERR: usize = 16 << 10;

/// Docker's program, and how its processes are ended.
#[derive(Clone, Copy)]
pub(super) struct Runner<'a> {
    /// docker or podman.
    pub(super) program: &'a Path,
    /// The value of `DOCKER_HOST`, if it is not the daemon's own.
    pub(super) host: Option<&'a str>,
    /// Descriptors of which one becomes readable when a command must end early.
    pub(super) abort: &'a [BorrowedFd<'a>],
    /// An act for a command that lasts long.
    pub(super) late: Option<Late<'a>>,
    pub(super) tracking: Tracking<'a>,
}

/// How the processes of a command are found again.
#[derive(Clone, Copy)]
pub(super) enum Tracking<'a> {
    /// By the mark in the caller's own environment, if it has one.
    Inherited,
    /// By this mark, should the daemon die.
    Marked(&'a str),
    /// By this mark, as soon as the command has ended: what it leaves behind is ended wherever it went.
    Thorough(&'a str),
}

/// The output and the exit status of a command.
pub(super) struct Output {
    command: String,
    status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Stderr,
}

/// The beginning of what a stream brings, and its whole length.
pub(super) struct Capture {
    limit: usize,
    bytes: Vec<u8>,
    length: usize,
}

impl Runner<'_> {
    /// Runs docker with `arguments`, the first of which is the verb. A command that fails is an `Output`, too.
    ///
    /// # Errors
    ///
    /// `Spawn`, `TimedOut`, `Aborted` and `TooLong`.
    pub(super) fn run(&self, arguments: &[&str], deadline: Instant) -> Result<Output, Error> {
        let mut stdout = Vec::new();
        let mut keep = |bytes: &[u8]| stdout.extend_from_slice(bytes);
        let output = self.run_with(arguments, deadline, &mut keep)?;
        Ok(Output { stdout, ..output })
    }

    /// Runs docker like [`Runner::run`], and passes standard output to `take` as it comes. The output has none then.
    pub(super) fn run_with(
        &self,
        arguments: &[&str],
        deadline: Instant,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<Output, Error> {
        let command = format!("docker {}", arguments.first().copied().unwrap_or_default());
        let mut length = 0_usize;
        let mut stderr = Capture::new(MAX_STDERR);
        let ended = self.stream(arguments, deadline, &mut |stream, bytes| match stream {
            Stream::Stdout => {
                length = length.saturating_add(bytes.len());
                if length <= MAX_OUTPUT {
                    take(bytes);
                }
            }
            Stream::Stderr => stderr.push(bytes),
        });
        let ended = ended.map_err(Error::Spawn)?;
        if length > MAX_OUTPUT {
            let limit = MAX_OUTPUT;
            return Err(Error::TooLong { command, limit });
        }
        match ended {
            Ended::Exited(status) => Ok(Output {
                command,
                status,
                stdout: Vec::new(),
                stderr: Stderr::new(&stderr.bytes),
            }),
            Ended::TimedOut => Err(Error::TimedOut {
                command,
                list_timeout: None,
            }),
            Ended::Aborted => Err(Error::Aborted { command }),
        }
    }

    /// Lists the ids of all containers (`ps`) or of all images (`images`), with docker's warnings.
    ///
    /// Where a command has failed, this tells what is gone: neither docker nor podman has an exit status for it, and
    /// their words differ from version to version.
    pub(super) fn list(
        &self,
        verb: &str,
        deadline: Instant,
    ) -> Result<(HashSet<String>, Vec<String>), Error> {
        let arguments = [verb, "--all", "--quiet", "--no-trunc"];
        let output = self.run(&arguments, deadline)?.checked()?;
        let ids = output.lines();
        if let Some(line) = ids.iter().find(|line| !is_id(plain_id(line))) {
            return Err(Error::NotAnId {
                command: output.command,
                line: shorten(line),
            });
        }
        let ids = ids.iter().map(|id| plain_id(id).to_owned()).collect();
        Ok((ids, output.stderr.warnings()))
    }

    /// Runs docker and hands on what it prints as it comes.
    pub(super) fn stream(
        &self,
        arguments: &[&str],
        deadline: Instant,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Ended, SpawnError> {
        let mut command = Command::new(self.program);
        command.args(arguments);
        if let Some(host) = self.host {
            command.env("DOCKER_HOST", host);
            for variable in VARIABLES_OF_CLIENT {
                command.env_remove(variable);
            }
        }
        let limits = RunLimits {
            deadline,
            abort: self.abort,
            grace: Duration::ZERO,
            late: self.late,
        };
        match self.tracking {
            Tracking::Inherited => process::run(command, &limits, output),
            Tracking::Marked(mark) => {
                process::mark(&mut command, mark);
                process::run(command, &limits, output)
            }
            Tracking::Thorough(mark) => process::run_operation(command, mark, &limits, output),
        }
    }
}

impl Output {
    pub(super) fn succeeded(&self) -> bool {
        self.status.success()
    }

    /// The output of a command that succeeded.
    pub(super) fn checked(self) -> Result<Self, Error> {
        if self.succeeded() {
            Ok(self)
        } else {
            Err(self.failure())
        }
    }

    /// The error of a command that failed, or that brought nothing but warnings.
    pub(super) fn failure(&self) -> Error {
        Error::Failed {
            command: self.command.clone(),
            status: self.status,
            stderr: self.stderr.clone(),
        }
    }

    /// The error of a command whose answer is not the JSON that it should be.
    pub(super) fn unreadable(&self, source: serde_json::Error) -> Error {
        Error::Unreadable {
            command: self.command.clone(),
            source,
        }
    }

    /// Standard output in lines, without blank ones and blanks around.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.stdout);
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl Capture {
    /// Keeps at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: Vec::new(),
            length: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.bytes.len());
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.bytes.extend_from_slice(kept);
        self.length = self.length.saturating_add(bytes.len());
    }

    /// The bytes that came, those included that are not kept.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The id of an image, or of a container, without the kind of its hash. podman does not always write it.
pub(super) fn plain_id(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

/// Returns whether docker could have printed this as an id: 12 to 64 hexadecimal digits. Nothing else of its output
/// may become an argument.
pub fn is_id(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Result<Output, Error> {
        let shell = Runner {
            program: Path::new("/bin/sh"),
            host: None,
            abort: &[],
            late: None,
            tracking: Tracking::Inherited,
        };
        shell.run(&["-c", script], Instant::now() + Duration::from_secs(20))
    }

    #[test]
    fn a_failed_command_is_an_output_and_an_error_once_checked() {
        let output = run("echo out; echo 'Error: no such object: x' >&2; exit 1").unwrap();
        assert_eq!(output.lines(), ["out"]);
        let error = output.checked().err().unwrap();
        assert!(!error.is_aborted());
        assert_eq!(
            error.to_string(),
            "docker -c failed (exit status: 1): Error: no such object: x"
        );
    }

    #[test]
    fn an_answer_without_end_is_an_error() {
        let error = run("head -c 70000000 /dev/zero").err().unwrap();
        assert_eq!(error.to_string(), "docker -c printed more than 64 MiB");
    }

    #[test]
    fn a_capture_keeps_the_beginning_and_counts_all() {
        let mut capture = Capture::new(5);
        for bytes in [&b"abc"[..], b"def", b"g"] {
            capture.push(bytes);
        }
        assert_eq!((capture.bytes(), capture.length()), (&b"abcde"[..], 7));
    }
}
