//! Listening sockets, and the loop that accepts connections on them.

use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;

use super::errors::{Error, Limit};
use super::peer;
use super::response::{Answer, Delivery};
use super::service::Service;
use super::socket::{Socket, Stream};
use crate::model::listen::ListenAddress;

/// The pause of accepting while the process has no descriptors or memory left.
const EXHAUSTION_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of stack of a connection's thread, which needs less than the default of 2 MiB.
const STACK: usize = 256 << 10;

/// A listening socket.
pub struct Bound {
    pub(super) listener: Listener,
    /// Its address. For port 0 it has the port that the kernel chose.
    pub address: ListenAddress,
}

pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[allow(dead_code, reason = "its drop removes the file")] Option<SocketFile>,
    ),
}

/// The file of a unix socket, removed on drop.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Bound {
    /// Listens on `address`. Fails where it is in use; the file of a socket that nothing serves is replaced.
    pub fn new(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let address = ListenAddress::Tcp(listener.local_addr()?);
                let listener = Listener::Tcp(listener);
                Ok(Self { listener, address })
            }
            ListenAddress::Unix(path) => {
                remove_stale(path)?;
                // No other user may connect, not even for a moment.
                let before = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
                let bound = UnixListener::bind(path);
                rustix::process::umask(before);
                let listener = bound?;
                listener.set_nonblocking(true)?;
                Ok(Self {
                    listener: Listener::Unix(listener, Some(SocketFile(path.clone()))),
                    address: address.clone(),
                })
            }
        }
    }

    fn accept(&self) -> io::Result<Stream> {
        match &self.listener {
            Listener::Tcp(listener) => listener.accept().map(|(tcp, _)| Stream::Tcp(tcp)),
            Listener::Unix(listener, _) => listener.accept().map(|(unix, _)| Stream::Unix(unix)),
        }
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.listener {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// Removes a socket that an ended daemon left behind. Any other file, and a socket that is served, means that the
/// address is in use.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type().is_socket(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let is_refused = |e: io::Error| e.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).is_err_and(is_refused) {
        fs::remove_file(path)
    } else {
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// Accepts on all of `bound` until `stop` becomes readable.
pub fn accept(bound: &[Bound], stop: BorrowedFd<'_>, service: &Arc<Service>) {
    loop {
        let mut fds: Vec<PollFd<'_>> = bound
            .iter()
            .map(|b| PollFd::new(b, PollFlags::IN))
            .collect();
        fds.push(PollFd::from_borrowed_fd(stop, PollFlags::IN));
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.last() == Some(&true) {
            return;
        }
        for (bound, _) in bound.iter().zip(ready).filter(|(_, ready)| *ready) {
            match bound.accept() {
                Ok(stream) => serve(stream, service),
                Err(e) if is_exhausted(&e) => {
                    log::warn!("accepting pauses: {e}");
                    thread::sleep(EXHAUSTION_PAUSE);
                }
                // The client has gone away in between.
                Err(_) => {}
            }
        }
    }
}

/// True if the process has run out of descriptors or memory, so that it would fail again at once.
fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    exhausted
        .iter()
        .any(|errno| Some(errno.raw_os_error()) == error.raw_os_error())
}

/// Serves a connection on a thread of its own.
fn serve(stream: Stream, service: &Arc<Service>) {
    // This fails where the client has gone away already.
    let Ok(socket) = Socket::new(stream) else {
        return;
    };
    let Some(permit) = service.limits.connection() else {
        return reject(&socket);
    };
    let service = service.clone();
    let run = move || peer::serve(socket, &service, permit);
    let thread = thread::Builder::new()
        .name("connection".into())
        .stack_size(STACK);
    if let Err(e) = thread.spawn(run) {
        log::warn!("a connection is dropped: no thread can be started: {e}");
    }
}

/// Tells a client to try again later. The accept loop must not wait for it: bytes that do not fit into the buffer of
/// the socket are not sent.
fn reject(socket: &Socket) {
    let answer = Answer::from(Error::Limit(Limit::Connections));
    let (bytes, _) = answer.encode(Delivery::LAST);
    let _ = socket.write(&bytes, Instant::now());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;

    #[test]
    fn only_a_stale_socket_is_replaced() {
        let dir = TestDir::new();
        let path = dir.path().join("socket");
        let address = ListenAddress::Unix(path.clone());
        let kind = |bound: io::Result<Bound>| bound.err().map(|e| e.kind());
        let bound = Bound::new(&address).unwrap();
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(kind(Bound::new(&address)), Some(io::ErrorKind::AddrInUse));
        drop(bound);
        assert!(!path.exists(), "removed at the end");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a killed daemon leaves it");
        drop(Bound::new(&address).unwrap());
        fs::write(&path, "not a socket").unwrap();
        assert_eq!(kind(Bound::new(&address)), Some(io::ErrorKind::AddrInUse));
        assert!(path.exists());
    }
}
