//! Programs that read data on their standard input, such as the log sink.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::SpawnError;
use super::group::Group;
use super::pipes::nonblocking;
use crate::base::poll::wait;

/// The interval at which the deadline is checked while the program does not read.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A running program that receives data on its standard input. Its output is discarded.
pub struct StdinWriter {
    group: Group,
    /// `None` once it is closed.
    stdin: Option<File>,
}

impl StdinWriter {
    /// Starts `command`.
    pub fn spawn(mut command: Command) -> Result<Self, SpawnError> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut group = Group::spawn(&mut command)?;
        let pipe = group.child.stdin.take().map(OwnedFd::from);
        let stdin = pipe.map(|fd| nonblocking(fd.into()));
        Ok(Self { group, stdin })
    }

    /// Writes all of `bytes`. Blocks while the program does not read, but not beyond `deadline`.
    ///
    /// `deadline` is evaluated again every second, so that it may change meanwhile. Fails with
    /// [`io::ErrorKind::TimedOut`] after the deadline, and with [`io::ErrorKind::BrokenPipe`] if the program has closed
    /// its input.
    pub fn feed(&mut self, bytes: &[u8], deadline: &dyn Fn() -> Instant) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut left = bytes;
        while !left.is_empty() {
            match stdin.write(left) {
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let now = Instant::now();
                    if now >= deadline() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    let mut fds = [PollFd::new(&*stdin, PollFlags::OUT)];
                    wait(&mut fds, now + CHECK_INTERVAL);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Closes the program's input, waits until `deadline` for it to exit, then kills it and its group.
    pub fn finish(mut self, deadline: Instant) {
        self.stdin = None;
        while !self.group.has_exited() && Instant::now() < deadline {
            self.group.wait_for_exit(deadline);
        }
        self.group.kill();
        self.group.reap();
    }
}
