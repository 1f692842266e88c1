//! Programs that may leave processes outside their group, which must end with them (P16).

use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::kill::{EXEC, kill_all};
use super::marks::{self, Mark};
use super::table::{Entry, Table};
use super::unmarked::Unmarked;
use super::{Ended, RunLimits, SpawnError, Stream, orphans, run_then};

/// The time limit of killing the processes of an operation, which may start others meanwhile.
const KILL_OPERATION: Duration = Duration::from_secs(1);
/// The time limit of killing the processes that dead daemons left.
const KILL_LEFTOVERS: Duration = Duration::from_secs(2);

/// The marks of all operations of this process that have not ended.
static RUNNING: Mutex<Vec<Mark>> = Mutex::new(Vec::new());
/// The processes that need not be searched for marks again.
static UNMARKED: LazyLock<Mutex<Unmarked>> = LazyLock::new(Mutex::default);

/// Runs `command` as [`run`](super::run) does, and then kills all processes that it has left outside its group.
///
/// Those are found by a mark in their environment, which contains `operation`. Processes that have cleared their
/// environment are killed as orphans once no operation runs. The helpers of podman's containers are not killed.
///
/// Blocks up to 2 s longer than `run`. Fails if the program cannot be started.
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

/// Marks `command` as part of an operation without killing its processes at its end. Others find them by the mark.
pub fn mark(command: &mut Command, operation: &str) {
    command.env(marks::VARIABLE, Mark::new(operation).as_str());
}

/// Returns the mark of an operation of this process, for things that are found again by their names.
pub fn mark_of(operation: &str) -> String {
    Mark::new(operation).as_str().to_owned()
}

/// Returns whether this is the mark of an operation of a daemon that has ended.
pub fn is_mark_of_the_dead(mark: &str) -> bool {
    let daemon = Mark::read(mark).daemon();
    daemon.is_some_and(marks::is_dead)
}

/// Kills the processes that operations of dead daemons of this user have left. Returns their number. Blocks up to 2 s.
///
/// The processes of a living daemon are not killed, nor those of the operation that has started this process.
pub fn end_leftovers() -> usize {
    let above_us = Mark::above_us().and_then(|mark| mark.daemon());
    let is_left = |mark: &Mark| {
        let daemon = mark.daemon();
        daemon.is_some_and(|daemon| Some(daemon) != above_us && marks::is_dead(daemon))
    };
    // Mostly there is none, which shows without a table of all processes.
    let mut unmarked = UNMARKED.lock().unwrap_or_else(PoisonError::into_inner);
    if !unmarked.may_be_any_with(is_left) {
        return 0;
    }
    drop(unmarked);
    let is_leftover = |entry: &Entry| {
        Mark::of(entry.pid).as_ref().is_some_and(is_left) && marks::is_of_our_user(entry)
    };
    let is_candidate = |_: &Table, entry: &Entry| is_leftover(entry);
    kill_all(
        KILL_LEFTOVERS,
        EXEC,
        Table::read,
        &is_candidate,
        &is_leftover,
    )
}

/// Returns whether an operation of a dead daemon has started this process.
pub fn is_orphaned() -> bool {
    let daemon = Mark::above_us().and_then(|mark| mark.daemon());
    daemon.is_some_and(marks::is_dead)
}

/// An operation in [`RUNNING`].
struct Running(Mark);

impl Running {
    fn new(mark: Mark) -> Self {
        running().push(mark.clone());
        Self(mark)
    }

    /// Kills the processes that are left of the operation, once its group has been killed.
    fn end(self) {
        let is_marked = |process| Mark::of(process).as_ref() == Some(&self.0);
        // Few processes are marked: checking that first avoids opening a pidfd for each process.
        let is_candidate = |_: &Table, entry: &Entry| is_marked(entry.pid);
        kill_all(
            KILL_OPERATION,
            EXEC,
            orphans::read_ours,
            &is_candidate,
            &|entry| is_marked(entry.pid),
        );
        drop(self);
        // While another operation runs, an orphan without a mark may belong to it. The check is repeated before each
        // kill, because an operation may begin meanwhile.
        if running().is_empty() {
            kill_all(
                KILL_OPERATION,
                Duration::ZERO,
                orphans::read_ours,
                &orphans::is_stray,
                &|_| running().is_empty(),
            );
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
            abort: &[],
            grace: Duration::ZERO,
            late: None,
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
    fn p16_a_process_outside_the_session_is_killed_before_its_pipe_is_drained() {
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
    fn p16_a_mark_with_a_common_prefix_is_another_mark() {
        let mark = Mark::new("unit-2");
        let mut other = sleep(mark.as_str());
        check("true", "unit-");
        assert!(other.try_wait().unwrap().is_none());
        check("true", "unit-2");
        assert!(!other.wait().unwrap().success());
    }

    #[test]
    fn p16_leftovers_are_recognized_by_the_id_and_start_time_of_their_daemon() {
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
