//! Draining a child's output as fast as it comes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::Stream;
use crate::base::poll::wait;

/// The number of bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// The read ends of a child's pipes. A pipe is closed and becomes `None` at its end.
pub(super) struct Pipes {
    stdout: Option<File>,
    stderr: Option<File>,
    /// The room for one read.
    chunk: Box<[u8]>,
}

impl Pipes {
    /// Takes the pipes of `child`.
    pub(super) fn of(child: &mut Child) -> Self {
        let open = |fd: OwnedFd| nonblocking(fd.into());
        Self {
            stdout: child.stdout.take().map(|pipe| open(pipe.into())),
            stderr: child.stderr.take().map(|pipe| open(pipe.into())),
            chunk: vec![0; CHUNK].into(),
        }
    }

    /// Returns the open pipes, to wait until one is readable.
    pub(super) fn poll_fds(&self) -> Vec<PollFd<'_>> {
        let pipes = self.stdout.iter().chain(&self.stderr);
        pipes.map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect()
    }

    /// Passes at most one chunk of each pipe to `output`, so that neither starves the other.
    pub(super) fn read(&mut self, output: &mut dyn FnMut(Stream, &[u8])) {
        for (stream, pipe) in [
            (Stream::Stdout, &mut self.stdout),
            (Stream::Stderr, &mut self.stderr),
        ] {
            match pipe.as_mut().map(|open| open.read(&mut self.chunk)) {
                Some(Ok(0)) => *pipe = None,
                Some(Ok(length)) => output(stream, self.chunk.get(..length).unwrap_or_default()),
                Some(Err(e)) if !is_transient(&e) => *pipe = None,
                Some(Err(_)) | None => {}
            }
        }
    }

    /// Drains both pipes to their end, for at most `time`.
    pub(super) fn drain_for(&mut self, time: Duration, output: &mut dyn FnMut(Stream, &[u8])) {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            let mut fds = self.poll_fds();
            if fds.is_empty() {
                return;
            }
            wait(&mut fds, deadline);
            drop(fds);
            self.read(output);
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Makes reads and writes of `file` return an error instead of blocking.
pub(super) fn nonblocking(file: File) -> File {
    // It cannot fail on an open pipe. A blocking pipe would still be drained, only without a deadline.
    let _ = rustix::io::ioctl_fionbio(&file, true);
    file
}
