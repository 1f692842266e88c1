//! Draining what a child prints, at full speed, whoever reads it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::Stream;
use crate::base::poll::wait;

/// What is read at once.
pub(super) const CHUNK: usize = 64 * 1024;

/// The read ends of a child's pipes; an ended one is closed.
pub(super) struct Pipes {
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Pipes {
    pub(super) fn of(child: &mut Child) -> Self {
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        Self {
            stdout: stdout.map(|fd| nonblocking(fd.into())),
            stderr: stderr.map(|fd| nonblocking(fd.into())),
        }
    }

    pub(super) fn poll_fds(&self) -> Vec<PollFd<'_>> {
        let open = self.stdout.iter().chain(&self.stderr);
        open.map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect()
    }

    /// Hands on at most one chunk of each pipe, so that neither starves the other.
    pub(super) fn read(&mut self, buffer: &mut [u8], output: &mut dyn FnMut(Stream, &[u8])) {
        for (stream, pipe) in [
            (Stream::Stdout, &mut self.stdout),
            (Stream::Stderr, &mut self.stderr),
        ] {
            match pipe.as_mut().map(|open| open.read(buffer)) {
                Some(Ok(0)) => *pipe = None,
                Some(Ok(length)) => output(stream, buffer.get(..length).unwrap_or_default()),
                Some(Err(e)) if !may_come_back(&e) => *pipe = None,
                Some(Err(_)) | None => {}
            }
        }
    }

    /// Drains both until they have ended, at most for `time`.
    pub(super) fn drain_for(&mut self, time: Duration, output: &mut dyn FnMut(Stream, &[u8])) {
        let deadline = Instant::now() + time;
        let mut buffer = vec![0; CHUNK];
        while Instant::now() < deadline {
            let mut fds = self.poll_fds();
            if fds.is_empty() {
                return;
            }
            wait(&mut fds, deadline);
            drop(fds);
            self.read(&mut buffer, output);
        }
    }
}

fn may_come_back(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

pub(super) fn nonblocking(file: File) -> File {
    // Cannot fail on a pipe that we own; a pipe left blocking would still be drained, only without its deadline.
    let _ = rustix::io::ioctl_fionbio(&file, true);
    file
}
