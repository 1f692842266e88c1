//! A connection whose every read and write has a deadline.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::model::listen::ListenAddress;

/// The time to connect. The daemon accepts within microseconds; the queue of another program may stay full.
const CONNECT: Duration = Duration::from_secs(10);
/// The pause between attempts to connect to a unix socket whose queue is full.
const RETRY: Duration = Duration::from_millis(20);

/// The limits of waiting for a daemon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// The longest time without a byte.
    pub(super) silence: Duration,
    /// The time at which nothing is waited for any more.
    pub(super) until: Option<Instant>,
}

impl Deadlines {
    /// Waits for so long, however the bytes come.
    pub(super) fn within(limit: Duration) -> Self {
        Self {
            silence: limit,
            until: Some(Instant::now() + limit),
        }
    }

    /// Returns the time that a read may take now.
    fn left(self) -> io::Result<Duration> {
        let until = self.until;
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match left {
            Some(Duration::ZERO) => Err(self.timed_out()),
            Some(left) => Ok(left.min(self.silence)),
            None => Ok(self.silence),
        }
    }

    fn timed_out(self) -> io::Error {
        let text = format!("no answer within {} s", self.silence.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    }
}

/// A connection to a daemon.
pub(super) struct Socket {
    stream: Stream,
    pub(super) deadlines: Deadlines,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects within the limits.
    pub(super) fn connect(address: &ListenAddress, deadlines: Deadlines) -> io::Result<Self> {
        let stream = match address {
            ListenAddress::Tcp(address) => {
                let left = deadlines.left()?.min(CONNECT);
                Stream::Tcp(TcpStream::connect_timeout(address, left)?)
            }
            ListenAddress::Unix(path) => Stream::Unix(connect_unix(path, deadlines)?),
        };
        Ok(Self { stream, deadlines })
    }
}

/// Connects to a unix socket. Where its queue is full, the kernel waits for as long as that takes, or not at all.
fn connect_unix(path: &Path, deadlines: Deadlines) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let end = Instant::now() + CONNECT;
    loop {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) => {
                let stream = UnixStream::from(socket);
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(Errno::AGAIN) if Instant::now() < end => {
                thread::sleep(deadlines.left()?.min(RETRY));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = Some(self.deadlines.left()?);
        let read = match &mut self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
        };
        // The kernel's word for a timeout.
        read.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => self.deadlines.timed_out(),
            _ => error,
        })
    }
}

impl Write for Socket {
    /// A request is smaller than the buffer of any socket, so that writing it does not wait.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
