//! A connection's socket, where every wait has a deadline.

use std::cell::Cell;
use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::base::poll::wait;

/// Whether somebody is still at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Present,
    /// It sends no more. It may still read, or be gone: that shows when something is sent to it.
    HalfClosed,
    Gone,
}

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub(super) struct Socket {
    stream: Stream,
    /// What the kernel was told last: telling it again costs a system call.
    read_timeout: Cell<Duration>,
}

impl Socket {
    /// Answers go out at once.
    pub(super) fn new(stream: Stream) -> io::Result<Self> {
        if let Stream::Tcp(tcp) = &stream {
            tcp.set_nodelay(true)?;
        }
        Ok(Self {
            stream,
            read_timeout: Cell::new(Duration::ZERO),
        })
    }

    /// Reads what there is; waits at most `time` for the first byte.
    pub(super) fn read(&self, buffer: &mut [u8], time: Duration) -> io::Result<usize> {
        // Zero would mean no limit.
        let time = time.max(Duration::from_millis(1));
        if self.read_timeout.replace(time) != time {
            match &self.stream {
                Stream::Tcp(tcp) => tcp.set_read_timeout(Some(time))?,
                Stream::Unix(unix) => unix.set_read_timeout(Some(time))?,
            }
        }
        loop {
            let read = match &self.stream {
                Stream::Tcp(tcp) => (&mut &*tcp).read(buffer),
                Stream::Unix(unix) => (&mut &*unix).read(buffer),
            };
            match read {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Writes all of `bytes`; an error after `deadline`. One that has passed already leaves what fits at once.
    pub(super) fn write(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            match send(self, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait_for_room(deadline)?,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn wait_for_room(&self, deadline: Instant) -> io::Result<()> {
        let mut fds = [PollFd::new(self, PollFlags::OUT)];
        wait(&mut fds, deadline);
        let [fd] = &fds;
        match fd.revents().is_empty() && Instant::now() >= deadline {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }

    pub(super) fn peer(&self) -> Peer {
        let mut fds = [PollFd::new(self, PollFlags::RDHUP)];
        if !matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1..)) {
            return Peer::Present;
        }
        let [fd] = &fds;
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        match fd.revents() {
            events if events.intersects(gone) => Peer::Gone,
            events if events.contains(PollFlags::RDHUP) => Peer::HalfClosed,
            _ => Peer::Present,
        }
    }

    /// Closes after the last answer. Were it closed at once, and something that the client had sent not been read, the
    /// kernel would reset the connection, and what is still on its way to the client would be lost.
    pub(super) fn close_gently(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let shut = match &self.stream {
            Stream::Tcp(tcp) => tcp.shutdown(Shutdown::Write),
            Stream::Unix(unix) => unix.shutdown(Shutdown::Write),
        };
        let mut scratch = [0; 8192];
        let mut open = shut.is_ok();
        while open && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            open = matches!(self.read(&mut scratch, left), Ok(1..));
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(tcp) => tcp.as_fd(),
            Stream::Unix(unix) => unix.as_fd(),
        }
    }
}
