//! Listening sockets, and the loop that accepts connections on them.

use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, listen, socket_with,
};

use super::limits::Permit;
use super::peer;
use super::routes::Scope;
use super::service::Service;
use super::socket::{Socket, Stream};
use crate::base::event::Event;
use crate::base::notify::Pulse;
use crate::base::pool::{Pool, Settings};
use crate::model::listen::ListenAddress;

/// The connections in the kernel's queue that are not accepted yet. Where the queue is full, the kernel drops what a TCP
/// client sends to connect, and the client tries again after a second. The queue of `bind` has 128 places, which a burst on a
/// busy machine fills. The kernel takes as many as `net.core.somaxconn` allows.
const QUEUE: i32 = 4096;
/// The pause of accepting while the process has no descriptors or memory left.
const EXHAUSTION_PAUSE: Duration = Duration::from_millis(100);
/// The pause in which the thread of an idle connection ends, and gives its descriptor back.
const ENDING_PAUSE: Duration = Duration::from_millis(10);
/// The interval of warnings about exhaustion.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// The pause of accepting while those that were accepted wait to be admitted. New connections stay in the kernel's queue
/// meanwhile.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// The threads of connections. They need less stack than the default of 2 MiB. A client that makes a connection for each
/// request finds a thread that waits.
const THREADS: Settings = Settings {
    name: "connection",
    stack: 256 << 10,
    kept: 8,
    kept_for: Some(Duration::from_secs(1)),
};

/// A listening socket.
pub struct Bound {
    pub(super) listener: Listener,
    /// Its address. For port 0 it has the port that the kernel chose.
    pub address: ListenAddress,
    /// The routes that are served there.
    pub(super) scope: Scope,
}

pub(super) enum Listener {
    Tcp(TcpListener),
    /// The file is removed before the socket is closed, so that it is not that of another daemon by then.
    Unix(
        #[allow(dead_code, reason = "its drop removes the file")] Option<SocketFile>,
        UnixListener,
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
                listen(&listener, QUEUE)?;
                listener.set_nonblocking(true)?;
                let address = ListenAddress::Tcp(listener.local_addr()?);
                Ok(Self {
                    listener: Listener::Tcp(listener),
                    address,
                    scope: Scope::All,
                })
            }
            ListenAddress::Unix(path) => {
                remove_stale(path)?;
                // No other user may connect, not even for a moment.
                let before = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
                let bound = UnixListener::bind(path);
                rustix::process::umask(before);
                let listener = bound?;
                listen(&listener, QUEUE)?;
                listener.set_nonblocking(true)?;
                Ok(Self {
                    listener: Listener::Unix(Some(SocketFile(path.clone())), listener),
                    address: address.clone(),
                    scope: Scope::All,
                })
            }
        }
    }

    /// Serves nothing but the metrics of the daemon there, and its health.
    pub fn for_metrics(self) -> Self {
        let needs_token = self.address.is_exposed();
        let scope = Scope::Metrics { needs_token };
        Self { scope, ..self }
    }

    /// The event that it listens.
    pub fn event(&self) -> Event {
        match self.scope {
            Scope::All => Event::Listening,
            Scope::Metrics { .. } => Event::ServingMetrics,
        }
    }

    fn accept(&self) -> io::Result<Stream> {
        match &self.listener {
            Listener::Tcp(listener) => listener.accept().map(|(tcp, _)| Stream::Tcp(tcp)),
            Listener::Unix(_, listener) => listener.accept().map(|(unix, _)| Stream::Unix(unix)),
        }
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.listener {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(_, listener) => listener.as_fd(),
        }
    }
}

/// Removes a socket that an ended daemon left behind.
fn remove_stale(path: &Path) -> io::Result<()> {
    if is_stale(path)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Returns whether an ended daemon left a socket behind. Any other file, and a socket that is served, means that the
/// address is in use.
pub fn is_stale(path: &Path) -> io::Result<bool> {
    let is_socket = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type().is_socket(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    if is_socket && is_unserved(path)? {
        Ok(true)
    } else {
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// Tries to connect, without waiting for a program whose queue of connections is full.
fn is_unserved(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let connected = connect(&socket, &SocketAddrUnix::new(path)?);
    Ok(connected == Err(Errno::CONNREFUSED))
}

/// Accepts on all of `bound` until `stop` becomes readable. `pulse` asks whether it still does.
pub fn accept(
    bound: &[Bound],
    stop: BorrowedFd<'_>,
    pulse: Option<&Pulse>,
    service: &Arc<Service>,
) {
    let mut exhaustion = Exhaustion::default();
    let threads = Pool::new(THREADS);
    loop {
        let mut fds: Vec<PollFd<'_>> = bound
            .iter()
            .map(|b| PollFd::new(b, PollFlags::IN))
            .collect();
        fds.extend(pulse.map(|pulse| PollFd::new(pulse, PollFlags::IN)));
        fds.push(PollFd::from_borrowed_fd(stop, PollFlags::IN));
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.last() == Some(&true) {
            return;
        }
        if let Some(pulse) = pulse {
            pulse.answer();
        }
        for (bound, _) in bound.iter().zip(ready).filter(|(_, ready)| *ready) {
            let Some(arrival) = service.limits.arrival() else {
                thread::sleep(FULL_PAUSE);
                break;
            };
            let error = match bound.accept() {
                Ok(stream) => serve(stream, service, bound.scope, arrival, &threads).err(),
                // Any other error means that the client has gone away in between.
                Err(e) => Some(e).filter(is_exhausted),
            };
            if let Some(error) = error {
                exhaustion.relieve(&error, service);
            }
        }
    }
}

/// True if the process has run out of descriptors or memory, so that it would fail again at once.
fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    exhausted
        .iter()
        .any(|errno| Some(errno.raw_os_error()) == error.raw_os_error())
}

/// The lack of descriptors, memory or threads.
#[derive(Default)]
struct Exhaustion {
    warned: Option<Instant>,
}

impl Exhaustion {
    /// Ends a connection that can give way, if there is one, and pauses until there may be room.
    fn relieve(&mut self, error: &io::Error, service: &Service) {
        let pause = match service.places.end_one() {
            true => ENDING_PAUSE,
            false => EXHAUSTION_PAUSE,
        };
        if self
            .warned
            .is_none_or(|at| at.elapsed() >= WARNING_INTERVAL)
        {
            self.warned = Some(Instant::now());
            log::warn!(
                "accepting connections pauses: {error}; raise the limit of the daemon (ulimit -n or -u, LimitNOFILE= or TasksMax= of its systemd unit)"
            );
        }
        thread::sleep(pause);
    }
}

/// Serves a connection on a thread that serves no other one meanwhile. Fails if no thread can be started.
fn serve(
    stream: Stream,
    service: &Arc<Service>,
    scope: Scope,
    arrival: Permit,
    threads: &Arc<Pool>,
) -> io::Result<()> {
    // This fails where the client has gone away already.
    let Ok(socket) = Socket::new(stream) else {
        return Ok(());
    };
    let service = service.clone();
    threads.run(Box::new(move || {
        peer::serve(socket, &service, scope, arrival)
    }))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::base::test_dir::TestDir;

    #[test]
    fn a_socket_whose_queue_is_full_is_in_use() {
        let dir = TestDir::new();
        let path = dir.path().join("socket");
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = || socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let address = SocketAddrUnix::new(&path).unwrap();
        let listener = socket();
        rustix::net::bind(&listener, &address).unwrap();
        listen(&listener, 1).unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            let client = socket();
            match connect(&client, &address) {
                Ok(()) => waiting.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(full, Errno::AGAIN);
        let error = Bound::new(&ListenAddress::Unix(path)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn p19_a_burst_waits_in_the_queue() {
        let most = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let burst = most.trim().parse::<usize>().unwrap().min(300);
        let any = "127.0.0.1:0".parse().unwrap();
        let bound = Bound::new(&ListenAddress::Tcp(any)).unwrap();
        let ListenAddress::Tcp(address) = bound.address else {
            panic!("not TCP: {}", bound.address);
        };
        // The kernel would answer nothing to those that find the queue full.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_secs(20)).unwrap();
        let clients: Vec<TcpStream> = (0..burst).map(connect).collect();
        assert_eq!(clients.len(), burst);
    }

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
