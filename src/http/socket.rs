//! A connection's socket, where every wait has a deadline.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, connect_unspec, recv, sendmsg};

use crate::base::poll::wait;

/// The state of the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Present,
    /// It closed its sending half. It may still read, or be gone, which shows once it is sent something.
    HalfClosed,
    Gone,
}

/// The bytes from a client that are not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Nothing,
    Bytes,
    /// It has closed its end.
    End,
}

/// A connected stream of either kind.
pub(super) enum Stream {
    /// With the address of its client.
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Stream {
    /// Closes one half or both. Whoever reads or writes there is woken.
    pub(super) fn shutdown(&self, how: Shutdown) -> bool {
        let done = match self {
            Self::Tcp(tcp, _) => tcp.shutdown(how),
            Self::Unix(unix) => unix.shutdown(how),
        };
        done.is_ok()
    }

    /// Resets the connection, and wakes its thread. A client could take the end of an answer that is cut off for the end
    /// of the answer, and the kernel would keep what the client has not taken.
    pub(super) fn abort(&self) {
        if let Self::Tcp(tcp, _) = self {
            // A shutdown alone would end the stream first, for a client that has room for more.
            if connect_unspec(tcp).is_ok() {
                return;
            }
            // The thread waits for a request, as its answer has just been taken.
            let _ = set_socket_linger(tcp, Some(Duration::ZERO));
        }
        self.shutdown(Shutdown::Both);
    }

    /// Returns what the client has sent that is not read yet.
    pub(super) fn unread(&self) -> Unread {
        let mut first = [0_u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match recv(self, &mut first, flags) {
            Ok((0, _)) => Unread::End,
            Ok(_) => Unread::Bytes,
            Err(Errno::AGAIN | Errno::INTR) => Unread::Nothing,
            Err(_) => Unread::End,
        }
    }

    /// Returns the state of the other end, without waiting.
    pub(super) fn peer(&self) -> Peer {
        let mut fds = [PollFd::new(self, PollFlags::RDHUP)];
        if !matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1..)) {
            return Peer::Present;
        }
        let [fd] = &fds;
        let events = fd.revents();
        if events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            Peer::Gone
        } else if events.contains(PollFlags::RDHUP) {
            Peer::HalfClosed
        } else {
            Peer::Present
        }
    }
}

/// The time since when a client has taken none of the bytes that wait for it, shared with the threads that need its place.
#[derive(Default)]
pub(super) struct Stall(Mutex<Option<Instant>>);

impl Stall {
    /// Returns `None` while nothing waits.
    pub(super) fn since(&self) -> Option<Instant> {
        *self.lock()
    }

    fn begin(&self) {
        *self.lock() = Some(Instant::now());
    }

    fn end(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(tcp, _) => tcp.as_fd(),
            Self::Unix(unix) => unix.as_fd(),
        }
    }
}

/// The socket of one connection.
pub(super) struct Socket {
    /// Shared with the threads that need its place, which may shut it down.
    stream: Arc<Stream>,
    stall: Arc<Stall>,
    /// The timeout that the kernel has, so that setting it again costs no system call.
    read_timeout: Cell<Duration>,
}

impl Socket {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream: Arc::new(stream),
            stall: Arc::default(),
            read_timeout: Cell::new(Duration::ZERO),
        }
    }

    pub(super) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    pub(super) fn stall(&self) -> &Arc<Stall> {
        &self.stall
    }

    /// Reads the bytes that are there, as far as `buffer` has room, and appends them to it. Waits at most `time` for the
    /// first one. Returns their number, which is 0 at the end.
    pub(super) fn read(&self, buffer: &mut Vec<u8>, time: Duration) -> io::Result<usize> {
        // Zero would mean no limit.
        let time = time.max(Duration::from_millis(1));
        if self.read_timeout.replace(time) != time {
            match &*self.stream {
                Stream::Tcp(tcp, _) => tcp.set_read_timeout(Some(time))?,
                Stream::Unix(unix) => unix.set_read_timeout(Some(time))?,
            }
        }
        loop {
            match recv(self, spare_capacity(buffer), RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                read => return Ok(read?.0),
            }
        }
    }

    /// Writes all of `bytes`, as [`Socket::write_all`] does.
    pub(super) fn write(&self, bytes: &[u8], time: Duration) -> io::Result<()> {
        self.write_all(&mut [IoSlice::new(bytes)], time)
    }

    /// Writes all bytes of these parts, in one system call where the kernel has room for them. Waits for room for at most
    /// `time`. Without any, the bytes that fit into the buffer are written all the same.
    pub(super) fn write_all(
        &self,
        mut parts: &mut [IoSlice<'_>],
        time: Duration,
    ) -> io::Result<()> {
        let mut deadline = None;
        // Empty parts at the front are left out, too.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(self, parts, &mut SendAncillaryBuffer::default(), flags) {
                Ok(sent) => IoSlice::advance_slices(&mut parts, sent),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.stall.begin();
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + time);
                    let waited = self.wait_for_room(deadline);
                    self.stall.end();
                    waited?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn wait_for_room(&self, deadline: Instant) -> io::Result<()> {
        let mut fds = [PollFd::new(self, PollFlags::OUT)];
        loop {
            wait(&mut fds, deadline);
            let [fd] = &fds;
            if !fd.revents().is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// Returns the address that the client called from, or the kind of its socket.
    pub(super) fn client_address(&self) -> String {
        match &*self.stream {
            Stream::Tcp(_, client) => client.to_string(),
            Stream::Unix(_) => "a unix socket".into(),
        }
    }

    /// Returns the state of the other end, without waiting.
    pub(super) fn peer(&self) -> Peer {
        self.stream.peer()
    }

    /// Closes the sending half after the last answer, and reads for at most `time` until the client closes its own. If
    /// the connection were closed while bytes from the client are unread, the kernel would reset it, and the rest of
    /// the answer would be lost (RFC 9112, section 9.6).
    pub(super) fn close_gently(&self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut scratch = Vec::with_capacity(1024);
        let mut is_open = self.stream.shutdown(Shutdown::Write);
        while is_open && Instant::now() < deadline {
            scratch.clear();
            let left = deadline.saturating_duration_since(Instant::now());
            is_open = matches!(self.read(&mut scratch, left), Ok(1..));
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn p19_an_answer_that_is_cut_off_does_not_look_complete() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, client_address) = listener.accept().unwrap();
        let socket = Socket::new(Stream::Tcp(server, client_address));
        // The client has room for it, so that nothing delays what follows.
        socket.write(b"half of it", Duration::ZERO).unwrap();
        socket.stream().abort();
        assert!(socket.write(b"more", Duration::ZERO).is_err());
        drop(socket);
        let mut text = String::new();
        let error = client.read_to_string(&mut text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{text:?}");
    }
}
