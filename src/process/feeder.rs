//! Programs that are fed, such as the log sink.

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

/// A program that is fed on its standard input and prints to nobody.
pub struct StdinWriter {
    group: Group,
    stdin: Option<File>,
}

impl StdinWriter {
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
