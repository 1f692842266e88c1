//! A child and the process group that it leads.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, pidfd_open,
    test_kill_process_group, waitid, waitpgid,
};

use super::pipes::Pipes;
use super::table;
use super::{Ended, LINGER, RunLimits, SpawnError, Stream, orphans};
use crate::base::poll::wait;

/// The interval of checks if a child has no pidfd, or while a whole group is waited for.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// A child and the process group that it leads.
pub(super) struct Group {
    pub(super) child: Child,
    id: Option<Pid>,
    /// Readable once the child has exited. `None` if the kernel has no pidfds (pidfd_open(2)).
    pidfd: Option<OwnedFd>,
    reaped: bool,
}

impl Group {
    /// Starts `command` as the leader of a new process group.
    pub(super) fn spawn(command: &mut Command) -> Result<Self, SpawnError> {
        let child = orphans::spawn(command.process_group(0)).map_err(|source| SpawnError {
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

    /// Drains the pipes until the child has exited, and then returns `None`, or until it must end early.
    pub(super) fn drain(
        &self,
        pipes: &mut Pipes,
        limits: &RunLimits<'_>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Option<Ended> {
        let mut late = limits.late.as_ref();
        loop {
            let now = Instant::now();
            if now >= limits.deadline {
                // Where this thread was held up, the child may have ended in time.
                return (!self.has_exited()).then_some(Ended::TimedOut);
            }
            if let Some(act) = late.take_if(|late| now >= late.at) {
                (act.act)();
            }
            let until = late.map_or(limits.deadline, |late| late.at.min(limits.deadline));
            let mut fds: Vec<PollFd<'_>> = limits.abort.iter().map(readable).collect();
            let aborts = fds.len();
            fds.extend(self.pidfd.as_ref().map(readable));
            let own = fds.len();
            fds.extend(pipes.open().map(readable));
            wait(&mut fds, self.next_check(until));
            let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
            let has_exited = match self.pidfd {
                Some(_) => fds
                    .get(aborts..own)
                    .is_some_and(|fds| fds.iter().any(is_ready)),
                None => self.has_exited(),
            };
            if fds.iter().take(aborts).any(is_ready) {
                return Some(Ended::Aborted);
            }
            if has_exited {
                return None;
            }
            drop(fds);
            pipes.read(output);
        }
    }

    fn next_check(&self, deadline: Instant) -> Instant {
        match self.pidfd {
            Some(_) => deadline,
            None => deadline.min(Instant::now() + CHECK_INTERVAL),
        }
    }

    /// Waits until the child may have exited, or `deadline` has passed.
    pub(super) fn wait_for_exit(&self, deadline: Instant) {
        let mut fds: Vec<PollFd<'_>> = self.pidfd.iter().map(readable).collect();
        wait(&mut fds, self.next_check(deadline));
    }

    /// Returns whether the child has exited. It is not reaped: while it is a zombie, its id is not reused, which is
    /// also the id of the group, so that the group can be signalled safely.
    pub(super) fn has_exited(&self) -> bool {
        let Some(id) = self.id else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(
            waitid(WaitId::Pid(id), options),
            Ok(None) | Err(Errno::INTR)
        )
    }

    /// Sends TERM and waits up to `grace` for the whole group to end, draining the pipes meanwhile.
    pub(super) fn terminate(
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
            pipes.drain_for(CHECK_INTERVAL, output);
            if pipes.open().next().is_none() {
                thread::sleep(CHECK_INTERVAL);
            }
        }
    }

    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let (Some(id), false) = (self.id, self.reaped) {
            // It fails if the group is empty, which is fine.
            let _ = kill_process_group(id, signal);
        }
    }

    /// Reaps the child and the orphans of its group, and waits up to [`LINGER`] until the group is empty, because a
    /// killed process takes a moment to end. Processes of other users cannot be killed and may stay.
    pub(super) fn reap(&mut self) -> ExitStatus {
        let status = self.child.wait();
        self.reaped = true;
        orphans::forget(&self.child);
        let deadline = Instant::now() + LINGER;
        while let Some(id) = self.id {
            let found = test_kill_process_group(id);
            if found == Err(Errno::SRCH) {
                break;
            }
            let lives = found.is_ok() && group_lives(id);
            while let Ok(Some(_)) = waitpgid(id, WaitOptions::NOHANG) {}
            if !lives || Instant::now() >= deadline {
                break;
            }
            thread::sleep(Duration::from_millis(1));
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

/// Returns whether a process of the group `id` is alive. A zombie is not.
fn group_lives(id: Pid) -> bool {
    let id = id.as_raw_pid();
    let is_in_group = |entry: &table::Entry| entry.group == id;
    // A process may lose its parent while the table is read, and be missed.
    (0..2).any(|_| orphans::read_ours().alive().any(is_in_group))
}

fn readable(fd: &impl AsFd) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::IN)
}
