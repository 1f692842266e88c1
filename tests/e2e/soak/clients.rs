//! Clients of every kind, which go on whatever becomes of the daemon.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use crate::common::{LONGEST, eventually};

/// How long a client reads a stream.
const STREAMING: Duration = Duration::from_secs(2);
/// The pause of a client after each connection.
const PAUSE: Duration = Duration::from_millis(50);

/// What a client does on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Lists,
    UnixSocket,
    Devcontainers,
    Lines,
    EventSource,
    Logs,
    Follows,
    HalfClosed,
    Slow,
    Resets,
    Senseless,
}

const KINDS: [Kind; 11] = [
    Kind::Lists,
    Kind::UnixSocket,
    Kind::Devcontainers,
    Kind::Lines,
    Kind::EventSource,
    Kind::Logs,
    Kind::Follows,
    Kind::HalfClosed,
    Kind::Slow,
    Kind::Resets,
    Kind::Senseless,
];

/// The numbers of connections with an answer and without one, of each kind of client.
pub(super) type Served = BTreeMap<Kind, (usize, usize)>;

/// What the clients and the test share.
struct Shared {
    /// The daemon's.
    address: Mutex<String>,
    /// The daemon's Unix socket, which every daemon takes over.
    socket: PathBuf,
    /// The names of dev containers.
    names: Vec<String>,
    is_over: AtomicBool,
    is_quiet: AtomicBool,
    /// The number of connections.
    open: AtomicUsize,
}

/// Running clients.
pub(super) struct Clients {
    shared: Arc<Shared>,
    threads: Vec<(Kind, JoinHandle<(usize, usize)>)>,
}

impl Clients {
    pub(super) fn start(address: String, socket: PathBuf, names: Vec<String>) -> Self {
        let shared = Arc::new(Shared {
            address: Mutex::new(address),
            socket,
            names,
            is_over: AtomicBool::new(false),
            is_quiet: AtomicBool::new(false),
            open: AtomicUsize::new(0),
        });
        let threads = KINDS.map(|kind| {
            let shared = Arc::clone(&shared);
            (kind, thread::spawn(move || shared.go_on(kind)))
        });
        let threads = threads.into();
        Self { shared, threads }
    }

    /// Makes them use another daemon.
    pub(super) fn use_address(&self, address: String) {
        *self.shared.address.lock().unwrap() = address;
    }

    /// Calls `check` while no client has a connection.
    pub(super) fn quiet<T>(&self, check: impl FnOnce() -> T) -> T {
        self.shared.is_quiet.store(true, Ordering::SeqCst);
        eventually("no client has a connection", || {
            (self.shared.open.load(Ordering::SeqCst) == 0).then_some(())
        });
        let checked = check();
        self.shared.is_quiet.store(false, Ordering::SeqCst);
        checked
    }

    /// Ends them.
    pub(super) fn stop(mut self) -> Served {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let threads = std::mem::take(&mut self.threads).into_iter();
        threads
            .map(|(kind, thread)| (kind, thread.join().expect("the client has not failed")))
            .collect()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn go_on(&self, kind: Kind) -> (usize, usize) {
        let (mut answered, mut unanswered) = (0, 0);
        while !self.is_over.load(Ordering::SeqCst) {
            self.open.fetch_add(1, Ordering::SeqCst);
            if !self.is_quiet.load(Ordering::SeqCst) {
                let name = &self.names[answered % self.names.len()];
                let address = self.address.lock().unwrap().clone();
                let served = match kind {
                    Kind::UnixSocket => get_by_socket(&self.socket),
                    _ => Connection::open(&address).and_then(|one| one.serve(kind, name)),
                };
                match served {
                    Ok(true) => answered += 1,
                    Ok(false) => unanswered += 1,
                    Err(e) => {
                        let is_hung =
                            [ErrorKind::TimedOut, ErrorKind::WouldBlock].contains(&e.kind());
                        assert!(!is_hung, "{kind:?} waited for {LONGEST:?}");
                        unanswered += 1;
                    }
                }
            }
            self.open.fetch_sub(1, Ordering::SeqCst);
            thread::sleep(PAUSE);
        }
        (answered, unanswered)
    }
}

struct Connection {
    stream: TcpStream,
    address: String,
}

impl Connection {
    fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LONGEST))?;
        stream.set_write_timeout(Some(LONGEST))?;
        let address = address.to_owned();
        Ok(Self { stream, address })
    }

    /// Returns whether it got what such a client should get.
    fn serve(mut self, kind: Kind, name: &str) -> io::Result<bool> {
        let logs = format!("/devcontainers/{name}/logs");
        match kind {
            Kind::Lists | Kind::UnixSocket => self.get("/"),
            Kind::Devcontainers => self.get("/devcontainers"),
            Kind::Lines => self.read_stream("/events", ""),
            Kind::EventSource => self.read_stream("/events", "Accept: text/event-stream\r\n"),
            Kind::Logs => self.get(&format!("{logs}?format=text")),
            Kind::Follows => self.read_stream(&format!("{logs}?follow=true"), ""),
            Kind::HalfClosed => {
                self.send("/devcontainers", "")?;
                self.stream.shutdown(Shutdown::Write)?;
                self.read()
            }
            Kind::Slow => {
                for byte in self.head("/", "").bytes() {
                    self.stream.write_all(&[byte])?;
                    thread::sleep(Duration::from_millis(5));
                }
                thread::sleep(STREAMING);
                self.read()
            }
            Kind::Resets => {
                self.send("/events", "")?;
                let is_answered = self.stream.read(&mut [0])? == 1;
                set_socket_linger(&self.stream, Some(Duration::ZERO))?;
                Ok(is_answered)
            }
            Kind::Senseless => {
                self.stream.write_all(b"\x16\x03\x01 no request\r\n\r\n")?;
                let mut answer = Vec::new();
                self.stream.read_to_end(&mut answer)?;
                Ok(answer.starts_with(b"HTTP/1.1 400 "))
            }
        }
    }

    fn head(&self, path: &str, headers: &str) -> String {
        let host = &self.address;
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n")
    }

    fn send(&mut self, path: &str, headers: &str) -> io::Result<()> {
        let head = self.head(path, headers);
        self.stream.write_all(head.as_bytes())
    }

    fn get(&mut self, path: &str) -> io::Result<bool> {
        self.send(path, "")?;
        self.read()
    }

    fn read(&mut self) -> io::Result<bool> {
        let mut answer = Vec::new();
        self.stream.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200 "))
    }

    /// Reads for a while, and then closes the connection.
    fn read_stream(&mut self, path: &str, headers: &str) -> io::Result<bool> {
        self.send(path, headers)?;
        let mut begin = [0; 13];
        self.stream.read_exact(&mut begin)?;
        let end = Instant::now() + STREAMING;
        self.stream
            .set_read_timeout(Some(Duration::from_millis(200)))?;
        while Instant::now() < end {
            match self.stream.read(&mut [0; 4096]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if [ErrorKind::TimedOut, ErrorKind::WouldBlock].contains(&e.kind()) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(&begin == b"HTTP/1.1 200 ")
    }
}

/// Asks for the list over the Unix socket. Returns whether it got one.
fn get_by_socket(socket: &Path) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LONGEST))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}
