//! Marks in the environment of the processes of an operation, by which they are found even outside their group.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use memchr::memchr;
use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};

use super::table::Entry;

/// The environment variable. Its value has the daemon's process id, its start time ([`Entry::start`]) and the
/// operation, separated by colons.
pub(super) const VARIABLE: &str = "DEVCONTAINERD_OPERATION";

/// The mark of one operation of one daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(String);

/// The answer to the question whether a process has a mark.
pub(super) enum Marked {
    Yes(Mark),
    No,
    /// The process has ended, or is of another user.
    Unreadable,
    /// During an execve(2), the environment of a process cannot be read for a moment. That of one that has cleared it looks
    /// the same.
    Unknown,
}

/// The bytes in which most environments fit.
const USUAL_ENVIRONMENT: usize = 16 << 10;
/// The process that is the parent of all threads of the kernel.
const KTHREADD: i32 = 2;

impl Mark {
    /// Returns the mark of an operation of this process.
    pub(super) fn new(operation: &str) -> Self {
        static THIS_DAEMON: OnceLock<(Pid, u64)> = OnceLock::new();
        let (pid, start) = THIS_DAEMON.get_or_init(|| {
            let start = Entry::of(getpid()).map(|us| us.start);
            (getpid(), start.unwrap_or_default())
        });
        Self(format!("{pid}:{start}:{operation}"))
    }

    /// Returns a mark that was written somewhere.
    pub(super) fn read(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the mark of `process`. Returns `None` if it has none, or its environment may not be read.
    pub(super) fn of(process: Pid) -> Option<Self> {
        match Marked::of(process) {
            Marked::Yes(mark) => Some(mark),
            Marked::No | Marked::Unreadable | Marked::Unknown => None,
        }
    }

    /// Returns the mark of the operation that started this process, if there is one.
    pub(super) fn above_us() -> Option<Self> {
        std::env::var(VARIABLE).ok().map(Self)
    }

    /// Returns the process id and the start time of the daemon. Returns `None` if no daemon has written the mark.
    pub(super) fn daemon(&self) -> Option<(Pid, u64)> {
        let mut parts = self.0.splitn(3, ':');
        let pid = Pid::from_raw(parts.next()?.parse().ok().filter(|pid| *pid > 0)?)?;
        let start = parts.next()?.parse().ok()?;
        parts.next().map(|_| (pid, start))
    }
}

impl Marked {
    pub(super) fn of(process: Pid) -> Self {
        let path = format!("/proc/{process}/environ");
        let mut usual = [0; USUAL_ENVIRONMENT];
        match read(&path, &mut usual) {
            Ok(environment) if environment.len() < USUAL_ENVIRONMENT => {
                Self::by(environment, process)
            }
            Ok(_) => Self::by(&std::fs::read(path).unwrap_or_default(), process),
            Err(_) => Self::Unreadable,
        }
    }

    fn by(environment: &[u8], process: Pid) -> Self {
        if environment.is_empty() {
            return if is_of_kernel(process) {
                Self::No
            } else {
                Self::Unknown
            };
        }
        let value = value_in(environment).and_then(|value| std::str::from_utf8(value).ok());
        value.map_or(Self::No, |value| Self::Yes(Mark(value.to_owned())))
    }
}

/// Reads a file up to the end of a buffer, with few system calls: there may be hundreds of processes.
fn read<'a>(path: &str, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let mut file = File::open(path)?;
    let mut length = 0;
    while let Some(free @ [_, ..]) = buffer.get_mut(length..) {
        match file.read(free)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(buffer.get(..length).unwrap_or_default())
}

/// Returns the value of [`VARIABLE`].
fn value_in(mut environment: &[u8]) -> Option<&[u8]> {
    while !environment.is_empty() {
        let end = memchr(0, environment).unwrap_or(environment.len());
        let (variable, rest) = environment.split_at_checked(end)?;
        let assigned = variable.strip_prefix(VARIABLE.as_bytes());
        if let Some(value) = assigned.and_then(|assigned| assigned.strip_prefix(b"=")) {
            return Some(value);
        }
        environment = rest.get(1..).unwrap_or_default();
    }
    None
}

/// Returns whether `process` is a thread of the kernel, or has ended: neither has an environment.
fn is_of_kernel(process: Pid) -> bool {
    let is_kthreadd = |pid: i32| pid == KTHREADD;
    Entry::of(process).is_none_or(|entry| {
        !entry.alive || is_kthreadd(entry.parent) || is_kthreadd(entry.pid.as_raw_pid())
    })
}

/// Returns whether no process has this id and start time any more. A process that may not be seen counts as alive.
pub(super) fn is_dead((pid, start): (Pid, u64)) -> bool {
    match Entry::of(pid) {
        Some(entry) => entry.start != start || !entry.alive,
        None => test_kill_process(pid) == Err(Errno::SRCH),
    }
}

/// Returns whether a process belongs to the user of this process.
pub(super) fn is_of_our_user(entry: &Entry) -> bool {
    let owner = std::fs::metadata(format!("/proc/{}", entry.pid)).map(|process| process.uid());
    owner.is_ok_and(|owner| owner == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_found_among_other_variables() {
        for (environment, expected) in [
            ("", None),
            ("A=b", None),
            ("DEVCONTAINERD_OPERATION=1:2:x", Some("1:2:x")),
            ("A=b\0DEVCONTAINERD_OPERATION=\0B=c\0", Some("")),
            (
                "DEVCONTAINERD_OPERATIONS=1\0\0DEVCONTAINERD_OPERATION=2\0",
                Some("2"),
            ),
            (
                "A=DEVCONTAINERD_OPERATION=1\0DEVCONTAINERD_OPERATION\0",
                None,
            ),
        ] {
            let found = value_in(environment.as_bytes());
            assert_eq!(found, expected.map(str::as_bytes), "{environment:?}");
        }
    }

    #[test]
    fn p16_a_mark_is_found_in_an_environment_of_any_size() {
        // The last ones end near the sizes at which more is read.
        for filler in [
            0,
            100_000,
            USUAL_ENVIRONMENT - 60,
            USUAL_ENVIRONMENT * 2 - 60,
        ] {
            let mut command = std::process::Command::new("sleep");
            command.arg("20").env_clear().env("A", "x".repeat(filler));
            let mut child = command.env(VARIABLE, "1:2:x").spawn().unwrap();
            // While it begins to execute its program, its environment cannot be read.
            let begun = std::time::Instant::now();
            let found = loop {
                let found = Mark::of(Pid::from_child(&child));
                if found.is_some() || begun.elapsed().as_secs() >= 10 {
                    break found;
                }
                std::thread::yield_now();
            };
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(found, Some(Mark("1:2:x".into())), "{filler}");
        }
    }

    #[test]
    fn a_mark_names_its_daemon() {
        let ours = Mark::new("up:1").daemon().unwrap();
        assert_eq!(ours.0, getpid());
        assert!(!is_dead(ours));
        assert!(is_dead((ours.0, ours.1 + 1)));
        for foreign in ["", "x", "1", "1:2", "x:2:3", "1:x:3", "0:1:x", "-1:1:x"] {
            assert_eq!(Mark(foreign.into()).daemon(), None, "{foreign}");
        }
        let pid = Pid::from_raw(7).unwrap();
        assert_eq!(Mark("7:8:a:b".into()).daemon(), Some((pid, 8)));
    }
}
