//! The only module that runs other programs.
//!
//! Every child leads a process group, has no standard input and a deadline, and its output is drained as it comes.
//! When the child has ended, the rest of its group is killed, so that no process outlives the call. Processes of an
//! operation outside its group are found by a mark in their environment, and orphans become children of this process.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use std::{fmt, io};

use group::Group;
use pipes::Pipes;

mod attached;
mod group;
mod kill;
mod marks;
mod operation;
mod orphans;
mod pipes;
mod priority;
pub mod programs;
mod replace;
pub mod signals;
mod stdin_writer;
mod table;
mod unmarked;

pub use attached::Attached;
pub use operation::{
    end_leftovers, is_mark_of_the_dead, is_orphaned, mark, mark_of, run_operation,
};
pub use orphans::{adopt_orphans, reap_orphans};
pub use priority::{Priority, PriorityError, set_priority};
pub use replace::{become_program, on_interrupt};
pub use stdin_writer::StdinWriter;

/// The time that pipes are drained after the group has been killed. A process outside the group can hold them open.
const LINGER: Duration = Duration::from_secs(1);

/// One of a child's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The limits of running a child.
pub struct RunLimits<'a> {
    /// The time at which the child is ended.
    pub deadline: Instant,
    /// Descriptors of which one becomes readable if the child must end early.
    pub abort: &'a [BorrowedFd<'a>],
    /// The time between TERM and KILL. If it is zero, no TERM is sent.
    pub grace: Duration,
    /// An act that is done once, if the child lives long.
    pub late: Option<Late<'a>>,
}

/// An act at a time until which a child mostly has ended.
#[derive(Clone, Copy)]
pub struct Late<'a> {
    /// The time.
    pub at: Instant,
    /// The act, which must not block.
    pub act: &'a (dyn Fn() + Sync),
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It has exited, or a signal from elsewhere has killed it.
    Exited(ExitStatus),
    /// It was ended at its deadline.
    TimedOut,
    /// It was ended because an abort descriptor became readable.
    Aborted,
}

/// A program that could not be started.
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

/// Finds an executable file: `program` itself if it contains a slash, or else the first one of that name on `PATH`.
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

/// Runs `command` to its end and passes its output to `output` as it comes.
///
/// Returns after the whole process group of the child has ended. Blocks for as long as `limits` allow, and up to 2 s
/// longer. Fails if the program cannot be started.
pub fn run(
    command: Command,
    limits: &RunLimits<'_>,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, SpawnError> {
    run_then(command, limits, output, || ())
}

/// Runs `command`. Calls `after` once the group has been killed, when processes outside it may still hold the pipes.
fn run_then(
    mut command: Command,
    limits: &RunLimits<'_>,
    output: &mut dyn FnMut(Stream, &[u8]),
    after: impl FnOnce(),
) -> Result<Ended, SpawnError> {
    command
        .stdin(nothing())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut group = Group::spawn(&mut command)?;
    let mut pipes = Pipes::of(&mut group.child);
    let ended_early = group.drain(&mut pipes, limits, output);
    if ended_early.is_some() {
        group.terminate(limits.grace, &mut pipes, output);
    }
    group.kill();
    after();
    pipes.drain_for(LINGER, output);
    let status = group.reap();
    Ok(ended_early.unwrap_or(Ended::Exited(status)))
}

/// Returns an empty standard input. Its file is opened once.
fn nothing() -> Stdio {
    static FILE: LazyLock<io::Result<File>> = LazyLock::new(|| File::open("/dev/null"));
    let file = FILE.as_ref().ok().and_then(|file| file.try_clone().ok());
    file.map_or_else(Stdio::null, Stdio::from)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn limits(seconds: u64) -> RunLimits<'static> {
        RunLimits {
            deadline: Instant::now() + Duration::from_secs(seconds),
            abort: &[],
            grace: Duration::ZERO,
            late: None,
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
    fn p16_the_rest_of_a_group_ends_with_its_leader() {
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
                abort: &[],
                grace: Duration::from_secs(10),
                late: None,
            },
        );
        assert_eq!(ended, Ended::TimedOut);
        assert_eq!(out, "ready\ncleaned\n");
    }

    #[test]
    fn an_abort_ends_a_child_early() {
        let abort = rustix::event::eventfd(1, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        let (ended, ..) = check(
            "sleep 1000",
            &RunLimits {
                abort: &[abort.as_fd()],
                ..limits(100)
            },
        );
        assert_eq!(ended, Ended::Aborted);
    }

    #[test]
    fn an_act_for_a_child_that_lives_long_is_done_once() {
        let acts = AtomicUsize::new(0);
        let act = || {
            acts.fetch_add(1, Ordering::Relaxed);
        };
        let at = Instant::now() + Duration::from_secs(100);
        let late = |at| Some(Late { at, act: &act });
        let soon = RunLimits {
            late: late(at),
            ..limits(1000)
        };
        let (ended, ..) = check("true", &soon);
        assert!(matches!(ended, Ended::Exited(status) if status.success()));
        assert_eq!(acts.load(Ordering::Relaxed), 0);
        // Output and the deadline wake it again after the act.
        let long = RunLimits {
            late: late(Instant::now()),
            ..limits(2)
        };
        let (ended, ..) = check("echo 1; sleep 0.1; echo 2; sleep 1000", &long);
        assert_eq!(ended, Ended::TimedOut);
        assert_eq!(acts.into_inner(), 1);
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
    fn a_program_that_never_reads_is_given_up() {
        let mut writer = StdinWriter::spawn(sh("sleep 1000")).unwrap();
        let deadline = Instant::now() + Duration::from_millis(100);
        let error = writer.feed(&vec![b'x'; 1 << 20], &|| deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let begun = Instant::now();
        writer.finish(begun + Duration::from_millis(100));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
