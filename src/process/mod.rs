//! The one place that runs other programs.
//!
//! Every child has a process group of its own, no standard input, a deadline, and somebody who drains both of its
//! pipes at full speed. When it has ended, what is left of its group is killed, so that nothing outlives its caller.
//! What an operation starts outside of its group is found by a mark, and what loses its parent becomes our child.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fmt, io};

use group::Group;
use pipes::Pipes;

mod ending;
mod feeder;
mod group;
mod marks;
mod operation;
mod orphans;
mod pipes;
mod priority;
pub mod programs;
pub mod signals;
mod table;

pub use feeder::StdinWriter;
pub use operation::{end_leftovers, is_orphaned, mark, run_operation};
pub use orphans::{adopt_orphans, reap_orphans};
pub use priority::{Priority, set_priority};

/// How long a pipe may stay open after the last process of the group was killed: a process that left the group
/// can hold it.
const LINGER: Duration = Duration::from_secs(1);

/// Which of a child's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// When a child must end.
pub struct RunLimits<'a> {
    /// After this it is ended.
    pub deadline: Instant,
    /// Becomes readable when it shall end early.
    pub abort: Option<BorrowedFd<'a>>,
    /// Between TERM and KILL; with zero there is no TERM.
    pub grace: Duration,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, or by somebody else's signal.
    Exited(ExitStatus),
    /// Its deadline passed.
    TimedOut,
    /// It was told to end.
    Aborted,
}

/// A program that could not be run.
#[derive(Debug)]
pub struct SpawnError {
    program: PathBuf,
    source: io::Error,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program.display();
        match self.source.kind() {
            io::ErrorKind::NotFound => write!(f, "{program} was not found"),
            _ => write!(f, "{program} could not be run: {}", self.source),
        }
    }
}

impl std::error::Error for SpawnError {}

/// Where `program` is: itself when it has a slash, else the first executable file of that name on `PATH`.
pub fn find(program: &Path) -> Option<PathBuf> {
    let executable = |path: &Path| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return executable(program).then(|| program.to_path_buf());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| executable(candidate))
}

/// Runs `command` to its end and hands on what it prints as it comes.
///
/// Returns after its whole process group has ended. Blocks for as long as `limits` allow.
pub fn run(
    command: Command,
    limits: &RunLimits<'_>,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, SpawnError> {
    run_then(command, limits, output, || ())
}

/// `after` is called when the group has been killed and what outlived that may still hold the pipes.
fn run_then(
    mut command: Command,
    limits: &RunLimits<'_>,
    output: &mut dyn FnMut(Stream, &[u8]),
    after: impl FnOnce(),
) -> Result<Ended, SpawnError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut group = Group::spawn(&mut command)?;
    let mut pipes = Pipes::of(&mut group.child);
    let early = group.drain(&mut pipes, limits, output);
    let early = early.inspect(|_| group.ask_to_end(limits.grace, &mut pipes, output));
    group.kill();
    after();
    pipes.drain_for(LINGER, output);
    Ok(match (early, group.reap()) {
        (Some(early), _) => early,
        (None, status) => Ended::Exited(status),
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn limits(seconds: u64) -> RunLimits<'static> {
        RunLimits {
            deadline: Instant::now() + Duration::from_secs(seconds),
            abort: None,
            grace: Duration::ZERO,
        }
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn check(script: &str, limits: &RunLimits<'_>) -> (Ended, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let ended = run(sh(script), limits, &mut |stream, bytes| match stream {
            Stream::Stdout => out.extend_from_slice(bytes),
            Stream::Stderr => err.extend_from_slice(bytes),
        });
        (
            ended.unwrap(),
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        )
    }

    #[test]
    fn both_streams_and_the_status_arrive() {
        let (ended, out, err) = check("echo out; echo err >&2; exit 3", &limits(10));
        assert!(matches!(ended, Ended::Exited(status) if status.code() == Some(3)));
        assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    }

    #[test]
    fn a_program_that_does_not_end_is_ended_with_its_group() {
        let (ended, out, _) = check("sleep 1000 & echo $!; sleep 1000", &{
            RunLimits {
                deadline: Instant::now() + Duration::from_millis(300),
                ..limits(0)
            }
        });
        assert_eq!(ended, Ended::TimedOut);
        let left = out.trim();
        let state = std::fs::read_to_string(format!("/proc/{left}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }

    #[test]
    fn p16_what_a_child_leaves_in_its_group_ends_with_it() {
        let begun = Instant::now();
        let (ended, out, _) = check("sleep 1000 & echo $!", &limits(100));
        assert!(matches!(ended, Ended::Exited(status) if status.success()));
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the sleep held the pipe"
        );
        let left = out.trim();
        let state = std::fs::read_to_string(format!("/proc/{left}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }

    #[test]
    fn term_comes_before_kill_and_gives_time_to_clean_up() {
        let (ended, out, _) = check(
            "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.01; done",
            &RunLimits {
                deadline: Instant::now() + Duration::from_millis(500),
                abort: None,
                grace: Duration::from_secs(10),
            },
        );
        assert_eq!(ended, Ended::TimedOut);
        assert_eq!(out, "ready\ncleaned\n");
    }

    #[test]
    fn an_abort_ends_it_early() {
        let abort = rustix::event::eventfd(1, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        let (ended, ..) = check(
            "sleep 1000",
            &RunLimits {
                abort: Some(abort.as_fd()),
                ..limits(100)
            },
        );
        assert_eq!(ended, Ended::Aborted);
    }

    #[test]
    fn a_missing_program_is_named() {
        let result = run(
            Command::new("/nonexistent/docker"),
            &limits(1),
            &mut |_, _| {},
        );
        assert_eq!(
            result.unwrap_err().to_string(),
            "/nonexistent/docker was not found"
        );
    }

    #[test]
    fn a_feeder_that_never_reads_is_given_up() {
        let mut feeder = StdinWriter::spawn(sh("sleep 1000")).unwrap();
        let deadline = Instant::now() + Duration::from_millis(100);
        let error = feeder.feed(&vec![b'x'; 1 << 20], &|| deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let begun = Instant::now();
        feeder.finish(begun + Duration::from_millis(100));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
