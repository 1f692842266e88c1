//! The one place that runs other programs.
//!
//! Every child has a process group of its own, no standard input, a deadline, and somebody who drains both of its
//! pipes at full speed. When it has ended, what is left of its group is killed, so that nothing outlives its caller.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, pidfd_open,
    test_kill_process_group, waitid, waitpgid,
};

/// How long a pipe may stay open after the last process of the group was killed: a process that left the group
/// can hold it.
const LINGER: Duration = Duration::from_secs(1);
/// How often to look where the kernel offers no descriptor to wait on, or a whole group is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const CHUNK: usize = 64 * 1024;

/// Which of a child's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// When a child must end.
pub struct Limits<'a> {
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
    mut command: Command,
    limits: &Limits<'_>,
    output: &mut dyn FnMut(Stream, &[u8]),
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
    pipes.drain_for(LINGER, output);
    Ok(match (early, group.reap()) {
        (Some(early), _) => early,
        (None, status) => Ended::Exited(status),
    })
}

/// A program that is fed on its standard input and prints to nobody.
pub struct Feeder {
    group: Group,
    stdin: Option<File>,
}

impl Feeder {
    /// Starts it.
    pub fn spawn(mut command: Command) -> Result<Self, SpawnError> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut group = Group::spawn(&mut command)?;
        let stdin = group.child.stdin.take().map(OwnedFd::from);
        let stdin = stdin.map(|fd| nonblocking(fd.into()));
        Ok(Self { group, stdin })
    }

    /// Writes all of `bytes`, and waits until `deadline` for a program that does not read.
    /// `deadline` is asked again whenever the program has not read for a while.
    pub fn feed(&mut self, mut bytes: &[u8], deadline: &dyn Fn() -> Instant) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        while !bytes.is_empty() {
            match stdin.write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let now = Instant::now();
                    if now >= deadline() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    let mut fds = [PollFd::new(&*stdin, PollFlags::OUT)];
                    wait(&mut fds, now + Duration::from_secs(1));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Closes its input, gives it until `deadline` to end by itself, then kills it.
    pub fn finish(mut self, deadline: Instant) {
        self.stdin = None;
        while !self.group.has_exited() && Instant::now() < deadline {
            self.group.wait_for_exit(deadline);
        }
        self.group.kill();
        self.group.reap();
    }
}

/// A child and the process group that it leads.
struct Group {
    child: Child,
    id: Option<Pid>,
    /// Readable when the child has exited; where the kernel has none, we look again and again.
    pidfd: Option<OwnedFd>,
    reaped: bool,
}

impl Group {
    fn spawn(command: &mut Command) -> Result<Self, SpawnError> {
        let child = command
            .process_group(0)
            .spawn()
            .map_err(|source| SpawnError {
                program: command.get_program().into(),
                source,
            })?;
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pidfd = id.and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok());
        Ok(Self {
            child,
            id,
            pidfd,
            reaped: false,
        })
    }

    /// Drains the pipes until the child has exited or must end early.
    fn drain(
        &self,
        pipes: &mut Pipes,
        limits: &Limits<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Option<Ended> {
        let mut buffer = vec![0; CHUNK];
        while !self.has_exited() {
            if Instant::now() >= limits.deadline {
                return Some(Ended::TimedOut);
            }
            let mut fds = pipes.poll_fds();
            fds.extend(self.pidfd.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
            if let Some(abort) = &limits.abort {
                fds.push(PollFd::new(abort, PollFlags::IN));
            }
            wait(&mut fds, self.next_look(limits.deadline));
            drop(fds);
            if limits.abort.is_some_and(is_readable) {
                return Some(Ended::Aborted);
            }
            pipes.read(&mut buffer, output);
        }
        None
    }

    fn next_look(&self, deadline: Instant) -> Instant {
        match self.pidfd {
            Some(_) => deadline,
            None => deadline.min(Instant::now() + LOOK_AGAIN),
        }
    }

    fn wait_for_exit(&self, deadline: Instant) {
        let mut fds: Vec<_> = self
            .pidfd
            .iter()
            .map(|fd| PollFd::new(fd, PollFlags::IN))
            .collect();
        wait(&mut fds, self.next_look(deadline));
    }

    /// Whether the child has exited. It is not reaped: while it is a zombie its number, which is also the group's,
    /// belongs to nobody else, and the group can be signalled safely.
    fn has_exited(&self) -> bool {
        let Some(id) = self.id else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(
            waitid(WaitId::Pid(id), options),
            Ok(None) | Err(Errno::INTR)
        )
    }

    /// Sends TERM and waits until the whole group is gone, or `grace` is over.
    fn ask_to_end(
        &self,
        grace: Duration,
        pipes: &mut Pipes,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) {
        if grace.is_zero() {
            return;
        }
        self.signal(Signal::TERM);
        let deadline = Instant::now() + grace;
        while self.id.is_some_and(group_lives) && Instant::now() < deadline {
            pipes.drain_for(LOOK_AGAIN, output);
        }
    }

    fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let (Some(id), false) = (self.id, self.reaped) {
            // An empty group is no error: everybody has gone already.
            let _ = kill_process_group(id, signal);
        }
    }

    /// Reaps the child and what of its group was left to us (where we are the init process or a subreaper), and
    /// waits until those that were left to others are gone too: a killed process takes a moment to end.
    fn reap(&mut self) -> ExitStatus {
        let status = self.child.wait();
        self.reaped = true;
        if let Some(id) = self.id {
            while let Ok(Some(_)) = waitpgid(id, WaitOptions::empty()) {}
            let deadline = Instant::now() + LINGER;
            while test_kill_process_group(id).is_ok()
                && group_lives(id)
                && Instant::now() < deadline
            {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        status.unwrap_or_else(|_| ExitStatus::from_raw(Signal::KILL.as_raw()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            self.reap();
        }
    }
}

/// Whether a process of the group `id` is alive. A zombie is not.
fn group_lives(id: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return true;
    };
    let id = id.as_raw_nonzero().to_string();
    processes
        .flatten()
        .filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok())
        .any(|stat| {
            // Fields after the parenthesised name: state, parent, process group (proc_pid_stat(5)).
            let mut fields = stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .split_whitespace();
            let state = fields.next();
            fields.nth(1) == Some(&id) && !matches!(state, Some("Z" | "X"))
        })
}

/// The read ends of a child's pipes; an ended one is closed.
struct Pipes {
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Pipes {
    fn of(child: &mut Child) -> Self {
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        Self {
            stdout: stdout.map(|fd| nonblocking(fd.into())),
            stderr: stderr.map(|fd| nonblocking(fd.into())),
        }
    }

    fn poll_fds(&self) -> Vec<PollFd<'_>> {
        let open = self.stdout.iter().chain(&self.stderr);
        open.map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect()
    }

    /// Hands on at most one chunk of each pipe, so that neither starves the other.
    fn read(&mut self, buffer: &mut [u8], output: &mut dyn FnMut(Stream, &[u8])) {
        for (stream, pipe) in [
            (Stream::Stdout, &mut self.stdout),
            (Stream::Stderr, &mut self.stderr),
        ] {
            match pipe.as_mut().map(|open| open.read(buffer)) {
                Some(Ok(0)) => *pipe = None,
                Some(Ok(length)) => output(stream, buffer.get(..length).unwrap_or_default()),
                Some(Err(e)) if !may_come_back(&e) => *pipe = None,
                Some(Err(_)) | None => {}
            }
        }
    }

    /// Drains both until they have ended, at most for `time`.
    fn drain_for(&mut self, time: Duration, output: &mut dyn FnMut(Stream, &[u8])) {
        let deadline = Instant::now() + time;
        let mut buffer = vec![0; CHUNK];
        while Instant::now() < deadline {
            let mut fds = self.poll_fds();
            if fds.is_empty() {
                return;
            }
            wait(&mut fds, deadline);
            drop(fds);
            self.read(&mut buffer, output);
        }
    }
}

fn may_come_back(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn nonblocking(file: File) -> File {
    // Cannot fail on a pipe that we own; a pipe left blocking would still be drained, only without its deadline.
    let _ = rustix::io::ioctl_fionbio(&file, true);
    file
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1))
}

/// Waits until one of `fds` is ready or `deadline` has come. Interruptions are the caller's next look.
pub fn wait(fds: &mut [PollFd<'_>], deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    // One nanosecond short of a timer's grain would be a busy loop.
    let left = left.max(Duration::from_micros(100));
    let _ = poll(fds, Timespec::try_from(left).ok().as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(seconds: u64) -> Limits<'static> {
        Limits {
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

    fn check(script: &str, limits: &Limits<'_>) -> (Ended, String, String) {
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
            Limits {
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
            &Limits {
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
            &Limits {
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
        let mut feeder = Feeder::spawn(sh("sleep 1000")).unwrap();
        let deadline = Instant::now() + Duration::from_millis(100);
        let error = feeder.feed(&vec![b'x'; 1 << 20], &|| deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let begun = Instant::now();
        feeder.finish(begun + Duration::from_millis(100));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
