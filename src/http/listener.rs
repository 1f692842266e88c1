//! Listening sockets, and the loop that accepts connections on them.

use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::listen;
use rustix::net::sockopt::set_tcp_nodelay;

use super::limits::Permit;
use super::peer;
use super::routes::Scope;
use super::service::Service;
use super::socket::{Socket, Stream};
use crate::base::event::Event;
use crate::base::notify::{Notifier, Pulse};
use crate::base::pool::{Pool, Settings};
use crate::base::unix_socket::connect_at_once;
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
/// request finds a thread that waits. After a while without one, a new thread is better: the kernel starts it where there is
/// room, and wakes one that has waited where that last ran, which may be far from the client that it then serves for long.
const THREADS: Settings = Settings {
    name: "connection",
    stack: 256 << 10,
    kept: 8,
    kept_for: Some(Duration::from_millis(10)),
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
                Ok(Self::tcp(listener)?)
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

    /// Prepares a socket that listens. Its connections inherit that small answers are sent without delay.
    pub(super) fn tcp(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        set_tcp_nodelay(&listener, true)?;
        let address = ListenAddress::Tcp(listener.local_addr()?);
        Ok(Self {
            listener: Listener::Tcp(listener),
            address,
            scope: Scope::All,
        })
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
            Listener::Tcp(listener) => listener
                .accept()
                .map(|(tcp, client)| Stream::Tcp(tcp, client)),
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
    if is_socket && is_unserved(path) {
        Ok(true)
    } else {
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// Tries to connect, without waiting for a program whose queue of connections is full.
fn is_unserved(path: &Path) -> bool {
    connect_at_once(path).err() == Some(Errno::CONNREFUSED)
}

/// Accepts connections and serves them, each on a thread of its own, until it is told to stop.
///
/// One thread at a time accepts. It serves what it has accepted at once, while another thread wakes to accept the next
/// connection. One that has just served another connection needs not even be woken.
pub struct Acceptor {
    bound: Vec<Bound>,
    /// The socket that comes first the next time.
    first: AtomicUsize,
    stop: Arc<Notifier>,
    pulse: Option<Arc<Pulse>>,
    service: Arc<Service>,
    threads: Arc<Pool>,
    /// The time of the last warning about the lack of descriptors, memory or threads.
    warned: Mutex<Option<Instant>>,
    /// Shows whether the acceptor is there. Dropped last, when the sockets are closed and their files removed.
    alive: Arc<()>,
}

impl Acceptor {
    /// Accepts on all of `bound` until `stop` becomes readable. `pulse` asks whether it still does. What is returned is dead once
    /// the sockets are closed.
    ///
    /// # Errors
    ///
    /// Fails if no thread can be started.
    pub fn start(
        bound: Vec<Bound>,
        stop: Arc<Notifier>,
        pulse: Option<Arc<Pulse>>,
        service: Arc<Service>,
    ) -> io::Result<Weak<()>> {
        let acceptor = Arc::new(Self {
            bound,
            first: AtomicUsize::new(0),
            stop,
            pulse,
            service,
            threads: Pool::new(THREADS),
            warned: Mutex::default(),
            alive: Arc::default(),
        });
        acceptor.hand_on()?;
        Ok(Arc::downgrade(&acceptor.alive))
    }

    /// Lets another thread accept the next connection.
    fn hand_on(self: &Arc<Self>) -> io::Result<()> {
        let next = self.clone();
        self.threads.run(Box::new(move || next.accept_and_serve()))
    }

    fn accept_and_serve(self: Arc<Self>) {
        let (stream, scope, arrival) = loop {
            let Some(accepted) = self.accept() else {
                return;
            };
            match self.hand_on() {
                Ok(()) => break accepted,
                Err(error) => self.relieve(&error),
            }
        };
        let service = self.service.clone();
        // The sockets are closed as soon as nobody accepts, however long this connection is served.
        drop(self);
        peer::serve(Socket::new(stream), &service, scope, arrival);
    }

    /// Waits for a connection. Returns `None` once it is to stop.
    fn accept(&self) -> Option<(Stream, Scope, Permit)> {
        let listening = self.bound.iter().map(|b| PollFd::new(b, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = listening.collect();
        fds.push(PollFd::new(&self.stop, PollFlags::IN));
        if let Some(pulse) = &self.pulse {
            fds.push(PollFd::new(pulse, PollFlags::IN));
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let count = self.bound.len();
        loop {
            if poll(&mut fds, None).is_err() {
                continue;
            }
            if fds.get(count).is_some_and(is_ready) {
                return None;
            }
            if let Some(pulse) = &self.pulse {
                pulse.answer();
            }
            // No socket waits for ever while others are busy.
            for index in in_turn(self.first.fetch_add(1, Ordering::Relaxed), count) {
                let Some(bound) = self.bound.get(index) else {
                    continue;
                };
                if !fds.get(index).is_some_and(is_ready) {
                    continue;
                }
                let Some(arrival) = self.service.limits.arrival() else {
                    thread::sleep(FULL_PAUSE);
                    break;
                };
                match bound.accept() {
                    Ok(stream) => return Some((stream, bound.scope, arrival)),
                    Err(error) if is_exhausted(&error) => self.relieve(&error),
                    // The client has gone away in between.
                    Err(_) => {}
                }
            }
        }
    }

    /// Ends a connection that can give way, if there is one, and pauses until there may be room.
    fn relieve(&self, error: &io::Error) {
        let pause = match self.service.places.end_one() {
            true => ENDING_PAUSE,
            false => EXHAUSTION_PAUSE,
        };
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL) {
            *warned = Some(Instant::now());
            log::warn!(
                "accepting connections pauses: {error}; raise the limit of the daemon (ulimit -n or -u, LimitNOFILE= or TasksMax= of its systemd unit)"
            );
        }
        drop(warned);
        thread::sleep(pause);
    }
}

/// Returns all numbers below `count`. Each `first` that is one more begins with another one.
fn in_turn(first: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| first.wrapping_add(turn) % count)
}

/// True if the process has run out of descriptors or memory, so that it would fail again at once.
fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    exhausted
        .iter()
        .any(|errno| Some(errno.raw_os_error()) == error.raw_os_error())
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
        let listener = UnixListener::bind(&path).unwrap();
        listen(&listener, 1).unwrap();
        let waiting: Vec<_> = std::iter::from_fn(|| connect_at_once(&path).ok()).collect();
        assert!(!waiting.is_empty());
        let error = Bound::new(&ListenAddress::Unix(path)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn each_socket_comes_first_in_its_turn() {
        let order = |first| in_turn(first, 3).collect::<Vec<_>>();
        assert_eq!(
            [order(0), order(1), order(2), order(3)],
            [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]
        );
        assert_eq!(in_turn(7, 0).next(), None);
    }

    #[test]
    fn connections_inherit_that_answers_are_sent_without_delay() {
        let any = "127.0.0.1:0".parse().unwrap();
        let bound = Bound::new(&ListenAddress::Tcp(any)).unwrap();
        let ListenAddress::Tcp(address) = bound.address else {
            panic!("not TCP: {}", bound.address);
        };
        let client = TcpStream::connect(address).unwrap();
        let Ok(Stream::Tcp(server, from)) = bound.accept() else {
            panic!("none accepted");
        };
        assert_eq!(from, client.local_addr().unwrap());
        assert!(server.nodelay().unwrap());
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
