//! Programs that may leave processes anywhere, and that must not (P16).

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ending::end_all;
use super::marks::{self, Mark};
use super::table::{Entry, Table};
use super::{Ended, RunLimits, SpawnError, Stream, orphans, run_then};

/// How long to go after processes that start others faster than they are ended.
const CHASE: Duration = Duration::from_secs(1);
/// The same for what dead daemons left.
const CHASE_LEFTOVERS: Duration = Duration::from_secs(2);

/// Operations that have not ended.
static RUNNING: Mutex<Vec<Mark>> = Mutex::new(Vec::new());

/// As `run`, but when the group of `command` has ended, so is whatever else was started by it: what left the group
/// or the session carries a mark in its environment, and what has no environment any more is ended as an orphan
/// once no operation runs. The helpers of podman's containers stay. `operation` names it among the running ones.
///
/// Takes up to 2 s longer than `limits` allow.
pub fn run_operation(
    mut command: Command,
    operation: &str,
    limits: &RunLimits<'_>,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, SpawnError> {
    let mark = Mark::new(operation);
    command.env(marks::VARIABLE, mark.as_str());
    let running = Running::new(mark);
    let ended = run_then(command, limits, output, || running.end());
    orphans::reap_orphans();
    ended
}

/// Marks `command` as part of an operation, for one that leaves nothing behind by itself.
pub fn mark(command: &mut Command, operation: &str) {
    command.env(marks::VARIABLE, Mark::new(operation).as_str());
}

/// Ends what operations of dead daemons left, of our user. Returns how many processes; takes up to 2 s.
///
/// What a living daemon runs is left alone, and so is what was started by the same operation as this process.
pub fn end_leftovers() -> usize {
    let above_us = Mark::above_us().and_then(|mark| mark.daemon());
    let is_leftover = |entry: &Entry| {
        let daemon = Mark::of(entry.pid).and_then(|mark| mark.daemon());
        daemon.is_some_and(|daemon| Some(daemon) != above_us && marks::is_dead(daemon))
            && marks::is_of_our_user(entry)
    };
    let may_be = |_: &Table, entry: &Entry| is_leftover(entry);
    end_all(CHASE_LEFTOVERS, &may_be, &is_leftover)
}

/// Whether this process was started by an operation of a daemon that is dead.
pub fn is_orphaned() -> bool {
    let daemon = Mark::above_us().and_then(|mark| mark.daemon());
    daemon.is_some_and(marks::is_dead)
}

/// An operation that has not ended.
struct Running(Mark);

impl Running {
    fn new(mark: Mark) -> Self {
        running().push(mark.clone());
        Self(mark)
    }

    /// Ends what is left of it, once its group has been killed.
    fn end(self) {
        let is_marked = |process| Mark::of(process).as_ref() == Some(&self.0);
        // Most are not, and the first look tells that at once.
        let may_be = |_: &Table, entry: &Entry| is_marked(entry.pid);
        end_all(CHASE, &may_be, &|entry| is_marked(entry.pid));
        drop(self);
        // While another one runs, an orphan without a mark may be one of its own. Asked again before each is killed:
        // what was an orphan before the next operation began is none of that one's.
        if running().is_empty() {
            end_all(CHASE, &orphans::is_stray, &|_| running().is_empty());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = running();
        if let Some(index) = running.iter().position(|mark| *mark == self.0) {
            running.swap_remove(index);
        }
    }
}

fn running() -> MutexGuard<'static, Vec<Mark>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::Instant;

    use super::*;

    fn limits() -> RunLimits<'static> {
        RunLimits {
            deadline: Instant::now() + Duration::from_secs(100),
            abort: None,
            grace: Duration::ZERO,
        }
    }

    /// Runs a script as an operation and returns what it printed.
    fn check(script: &str, operation: &str) -> String {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let mut printed = Vec::new();
        let ended = run_operation(command, operation, &limits(), &mut |_, bytes| {
            printed.extend_from_slice(bytes);
        });
        assert!(matches!(ended, Ok(Ended::Exited(status)) if status.success()));
        String::from_utf8(printed).unwrap()
    }

    fn is_running(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn p16_what_left_the_session_ends_before_its_pipe_is_waited_for() {
        let script =
            "setsid sh -c 'echo $$; exec sleep 1000' & sleep 0.2; echo $DEVCONTAINERD_OPERATION";
        let begun = Instant::now();
        let printed = check(script, "unit");
        assert!(begun.elapsed() < Duration::from_secs(20));
        let (pid, mark) = printed.trim().split_once('\n').unwrap();
        assert!(!is_running(pid), "{printed}");
        let daemon = format!("{}:", std::process::id());
        assert!(
            mark.starts_with(&daemon) && mark.ends_with(":unit"),
            "{mark}"
        );
    }

    #[test]
    fn p16_a_mark_that_only_begins_alike_is_another_one() {
        let mark = Mark::new("unit-2");
        let mut other = sleep(mark.as_str());
        check("true", "unit-");
        assert!(other.try_wait().unwrap().is_none());
        check("true", "unit-2");
        assert!(!other.wait().unwrap().success());
    }

    #[test]
    fn p16_leftovers_are_told_by_the_number_and_the_start_of_their_daemon() {
        let ours = Mark::new("kept");
        let (pid, start) = ours.daemon().unwrap();
        let mut kept = sleep(ours.as_str());
        let mut foreign = sleep("nonsense");
        let mut dead = sleep(&format!("{pid}:{}:x", start + 1));
        end_leftovers();
        assert!(!dead.wait().unwrap().success());
        for child in [&mut kept, &mut foreign] {
            assert!(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn sleep(mark: &str) -> std::process::Child {
        let mut command = Command::new("sleep");
        command.arg("20").env(marks::VARIABLE, mark);
        command.stdout(Stdio::null()).spawn().unwrap()
    }
}
