//! Draining a child's output as fast as it comes.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::Stream;
use crate::base::poll::wait;

/// The number of bytes that are read at once.
const CHUNK: usize = 32 * 1024;

/// The read ends of a child's pipes. A pipe is closed and becomes `None` at its end.
pub(super) struct Pipes {
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Pipes {
    /// Takes the pipes of `child`.
    pub(super) fn of(child: &mut Child) -> Self {
        let open = |fd: OwnedFd| nonblocking(fd.into());
        Self {
            stdout: child.stdout.take().map(|pipe| open(pipe.into())),
            stderr: child.stderr.take().map(|pipe| open(pipe.into())),
        }
    }

    /// Returns the open pipes, to wait until one is readable.
    pub(super) fn open(&self) -> impl Iterator<Item = &File> {
        self.stdout.iter().chain(&self.stderr)
    }

    /// Passes at most one chunk of each pipe to `output`, so that neither starves the other.
    pub(super) fn read(&mut self, output: &mut dyn FnMut(Stream, &[u8])) {
        // On the stack, it is mapped once for each thread.
        let mut chunk = [const { MaybeUninit::uninit() }; CHUNK];
        for (stream, pipe) in [
            (Stream::Stdout, &mut self.stdout),
            (Stream::Stderr, &mut self.stderr),
        ] {
            let Some(open) = pipe else { continue };
            match rustix::io::read(open, &mut chunk) {
                Ok(([], _)) => *pipe = None,
                Ok((bytes, _)) => output(stream, bytes),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => *pipe = None,
            }
        }
    }

    /// Drains both pipes to their end, for at most `time`.
    pub(super) fn drain_for(&mut self, time: Duration, output: &mut dyn FnMut(Stream, &[u8])) {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            self.read(output);
            let pipes = self.open().map(|pipe| PollFd::new(pipe, PollFlags::IN));
            let mut fds: Vec<PollFd<'_>> = pipes.collect();
            if fds.is_empty() {
                return;
            }
            wait(&mut fds, deadline);
        }
    }
}

/// Makes reads and writes of `file` return an error instead of blocking.
pub(super) fn nonblocking(file: File) -> File {
    // It cannot fail on an open pipe. A blocking pipe would still be drained, only without a deadline.
    let _ = rustix::io::ioctl_fionbio(&file, true);
    file
}
