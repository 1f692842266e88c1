//! The priority of the programs that the daemon runs, which may differ from its own.

use std::process::{Child, Command};
use std::sync::{Once, OnceLock};
use std::{fmt, io, thread};

use rustix::process::{getpriority_process, setpriority_process};

/// The priority of every program that the daemon runs. The daemon's own applies where a value is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Priority {
    /// The niceness, from -20 (most favorable) to 19, see sched(7).
    pub nice: Option<i32>,
    /// The adjustment from -1000 (never killed) to 1000 (killed first) for when memory is short, see
    /// proc_pid_oom_score_adj(5).
    pub oom_score_adj: Option<i32>,
}

/// A niceness that this process must not give to its programs.
#[derive(Debug)]
pub struct PriorityError {
    nice: i32,
    /// The niceness of this process.
    own: i32,
    source: io::Error,
}

impl fmt::Display for PriorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nice, own, source } = self;
        write!(
            f,
            "{nice}: {source}; it should be {own} or more, or the daemon needs CAP_SYS_NICE"
        )
    }
}

impl std::error::Error for PriorityError {}

static PRIORITY: OnceLock<Priority> = OnceLock::new();

/// Sets the priority of all programs that are started later. Only the first call has an effect.
///
/// Fails if the niceness is not permitted.
pub fn set_priority(priority: Priority) -> Result<(), PriorityError> {
    if let Some(nice) = priority.nice {
        in_a_thread(|| set_nice(nice)).map_err(|source| PriorityError {
            nice,
            own: getpriority_process(None).unwrap_or_default(),
            source,
        })?;
    }
    let _ = PRIORITY.set(priority);
    Ok(())
}

/// Starts `command` with the priority that was set.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let priority = PRIORITY.get().copied().unwrap_or_default();
    let child = match priority.nice {
        None => command.spawn(),
        Some(nice) => in_a_thread(|| {
            set_nice(nice)?;
            command.spawn()
        }),
    }?;
    if let Some(adjustment) = priority.oom_score_adj {
        set_oom_score_adj(&child, adjustment);
    }
    Ok(child)
}

/// Runs `run` in a thread of its own. On Linux each thread has its own niceness, which the processes that it starts
/// inherit (nice(2)). So a child has its niceness from the first moment, and the daemon's own does not change.
fn in_a_thread<T: Send>(run: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("spawn".into());
        let ended = thread.spawn_scoped(scope, run)?.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
    })
}

fn set_nice(nice: i32) -> io::Result<()> {
    Ok(setpriority_process(None, nice)?)
}

/// Sets the adjustment of a process that runs already: all threads of a process share one value, so a thread of the
/// daemon cannot have its own for the child to inherit.
fn set_oom_score_adj(child: &Child, adjustment: i32) {
    static WARNED: Once = Once::new();
    let path = format!("/proc/{}/oom_score_adj", child.id());
    match std::fs::write(path, adjustment.to_string()) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => WARNED.call_once(|| {
            log::warn!(
                "--child-oom-score-adj {adjustment}: {e}; a value below the daemon's own needs CAP_SYS_RESOURCE"
            );
        }),
        // Other errors mean that the process has ended already.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_niceness_of_this_process_stays() {
        let before = getpriority_process(None).unwrap();
        let nice =
            |nice| in_a_thread(|| set_nice(nice).and_then(|()| Ok(getpriority_process(None)?)));
        assert_eq!(nice(19).unwrap(), 19);
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
