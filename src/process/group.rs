//! A child and everybody in the process group that it leads.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, pidfd_open,
    test_kill_process_group, waitid, waitpgid,
};

use super::pipes::{CHUNK, Pipes};
use super::table::Table;
use super::{Ended, LINGER, RunLimits, SpawnError, Stream, orphans};
use crate::base::poll::wait;

/// How often to look where the kernel offers no descriptor to wait on, or a whole group is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A child and the process group that it leads.
pub(super) struct Group {
    pub(super) child: Child,
    id: Option<Pid>,
    /// Readable when the child has exited; where the kernel has none, we look again and again.
    pidfd: Option<OwnedFd>,
    reaped: bool,
}

impl Group {
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

    /// Drains the pipes until the child has exited or must end early.
    pub(super) fn drain(
        &self,
        pipes: &mut Pipes,
        limits: &RunLimits<'_>,
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

    pub(super) fn wait_for_exit(&self, deadline: Instant) {
        let mut fds: Vec<_> = self
            .pidfd
            .iter()
            .map(|fd| PollFd::new(fd, PollFlags::IN))
            .collect();
        wait(&mut fds, self.next_look(deadline));
    }

    /// Whether the child has exited. It is not reaped: while it is a zombie its number, which is also the group's,
    /// belongs to nobody else, and the group can be signalled safely.
    pub(super) fn has_exited(&self) -> bool {
        let Some(id) = self.id else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(
            waitid(WaitId::Pid(id), options),
            Ok(None) | Err(Errno::INTR)
        )
    }

    /// Sends TERM and waits until the whole group is gone, or `grace` is over.
    pub(super) fn ask_to_end(
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

    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let (Some(id), false) = (self.id, self.reaped) {
            // An empty group is no error: everybody has gone already.
            let _ = kill_process_group(id, signal);
        }
    }

    /// Reaps the child and what of its group was left to us, and waits until those that were left to others are gone
    /// too: a killed process takes a moment to end. One of another user stays.
    pub(super) fn reap(&mut self) -> ExitStatus {
        let status = self.child.wait();
        self.reaped = true;
        orphans::forget(&self.child);
        let deadline = Instant::now() + LINGER;
        while let Some(id) = self.id {
            let lives = test_kill_process_group(id).is_ok() && group_lives(id);
            while let Ok(Some(_)) = waitpgid(id, WaitOptions::NOHANG) {}
            if !lives || Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
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
    let id = id.as_raw_pid();
    Table::read().alive().any(|entry| entry.group == id)
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1))
}
