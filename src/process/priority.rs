//! The priority of the programs that we run, which is not our own.

use std::process::{Child, Command};
use std::sync::{Once, OnceLock};
use std::{io, thread};

use rustix::process::{getpriority_process, setpriority_process};

/// What every program gets. `None`: as we have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Priority {
    /// From -20, the first to run, to 19.
    pub nice: Option<i32>,
    /// From -1000 to 1000, the first to be killed when memory is short.
    pub oom_score_adj: Option<i32>,
}

static PRIORITY: OnceLock<Priority> = OnceLock::new();

/// Sets it for all programs from now on; once. A niceness that is not permitted is an error that says the mend.
pub fn set_priority(priority: Priority) -> Result<(), String> {
    if let Some(nice) = priority.nice {
        in_a_thread(|| set_nice(nice)).map_err(|e| {
            let least = getpriority_process(None).unwrap_or_default();
            format!("{e}; it should be {least} or more, or the daemon needs CAP_SYS_NICE")
        })?;
    }
    let _ = PRIORITY.set(priority);
    Ok(())
}

/// Starts `command` with that priority.
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

/// On Linux each thread has a niceness of its own, which what it starts inherits: from its first moment, and without
/// a change of ours.
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

/// Here the kernel keeps one value for all threads, so that it is set from outside, as soon as there is a process.
fn set_oom_score_adj(child: &Child, adjustment: i32) {
    static WARNED: Once = Once::new();
    let path = format!("/proc/{}/oom_score_adj", child.id());
    match std::fs::write(path, adjustment.to_string()) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => WARNED.call_once(|| {
            log::warn!(
                "--child-oom-score-adj {adjustment}: {e}; lower than our own needs CAP_SYS_RESOURCE"
            );
        }),
        // It may have ended already.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_niceness_stays() {
        let before = getpriority_process(None).unwrap();
        let nice =
            |nice| in_a_thread(|| set_nice(nice).and_then(|()| Ok(getpriority_process(None)?)));
        assert_eq!(nice(19).unwrap(), 19);
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
