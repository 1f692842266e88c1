//! Every process of an operation carries a mark in its environment, by which it is found wherever it went.

use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};

use super::table::Entry;

/// The environment variable: the daemon's process number, the time of its start, and the operation.
pub(super) const VARIABLE: &str = "DEVCONTAINERD_OPERATION";

/// What one operation of one daemon is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(String);

impl Mark {
    /// Of an operation of this process.
    pub(super) fn new(operation: &str) -> Self {
        static US: OnceLock<(Pid, u64)> = OnceLock::new();
        let (pid, start) = US.get_or_init(|| {
            let start = Entry::of(getpid()).map(|us| us.start);
            (getpid(), start.unwrap_or_default())
        });
        Self(format!("{pid}:{start}:{operation}"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What `process` was started with. `None` when it has no mark, or may not be looked at.
    pub(super) fn of(process: Pid) -> Option<Self> {
        let environment = std::fs::read(format!("/proc/{process}/environ")).ok()?;
        let variables = environment.split(|byte| *byte == 0);
        let mut values = variables.filter_map(|variable| {
            let value = variable.strip_prefix(VARIABLE.as_bytes())?;
            value.strip_prefix(b"=")
        });
        let value = std::str::from_utf8(values.next()?).ok()?;
        Some(Self(value.to_owned()))
    }

    /// Of the operation that this process was itself started by, if any.
    pub(super) fn above_us() -> Option<Self> {
        std::env::var(VARIABLE).ok().map(Self)
    }

    /// The process and the start of the daemon whose operation it is. `None` for what no daemon wrote.
    pub(super) fn daemon(&self) -> Option<(Pid, u64)> {
        let mut parts = self.0.splitn(3, ':');
        let pid = Pid::from_raw(parts.next()?.parse().ok().filter(|pid| *pid > 0)?)?;
        let start = parts.next()?.parse().ok()?;
        parts.next().map(|_| (pid, start))
    }
}

/// Whether no process has this number and this start any more. One that may not be seen lives.
pub(super) fn is_dead((pid, start): (Pid, u64)) -> bool {
    match Entry::of(pid) {
        Some(entry) => entry.start != start || !entry.alive,
        None => test_kill_process(pid) == Err(Errno::SRCH),
    }
}

/// Whether a process belongs to the user that we are.
pub(super) fn is_of_our_user(entry: &Entry) -> bool {
    let owner = std::fs::metadata(format!("/proc/{}", entry.pid)).map(|process| process.uid());
    owner.is_ok_and(|owner| owner == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

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
