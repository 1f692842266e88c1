//! A stand-in for the socket of the Docker engine, through which the programs of an operation reach it.
//!
//! Everything is passed on, with these exceptions. Containers that are to be replaced are hidden from lists; they are
//! parked when the new dev container is made, and stopped when it is started. Other containers of the compose project
//! are parked as soon as compose stops or removes them. Other dev containers are left alone. New containers get the
//! label of the operation. So whatever fails, everything that was there can be put back.

mod call;
mod directory;
mod edit;
mod engine;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod message;
mod parking;
mod roles;
mod rules;
mod sockets;

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use self::directory::Directory;
use self::engine::Engine;
use self::message::{Answer, Request};
use self::rules::Rules;
use self::sockets::Sockets;
use crate::base::notify::Notifier;
use crate::base::poll::wait;
use crate::base::threads;
use crate::docker::Endpoint;
use crate::model::ids::OperationId;
use crate::model::original::Original;
use crate::model::project::Project;

pub use self::directory::remove_leftovers;

/// The most connections at once. Others wait.
const MAX_CONNECTIONS: usize = 256;
/// How long the end of a proxy waits for its connections, which have been shut down. A container that is being renamed
/// is waited for.
const LAST_PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause of a thread that waits to be woken.
const LONG: Duration = Duration::from_secs(3600);

/// The instructions to the proxy during an operation.
pub struct Plan {
    /// The operation.
    pub operation: OperationId,
    /// The workspace folder, as the devcontainer CLI is given it.
    pub folder: PathBuf,
    /// docker, for what the proxy does itself.
    pub docker: PathBuf,
    /// The engine.
    pub endpoint: Endpoint,
    /// The containers that the new one replaces.
    pub replaces: Vec<Original>,
    /// The ids of the other containers of the dev container. Those that are not to be used are hidden, too.
    pub own: Vec<OwnContainer>,
    /// The ids of containers that live in the namespaces of those that are replaced. They are to be made again, too.
    pub renews: Vec<String>,
    /// The compose projects that the operation is at work in, as far as they are known.
    pub projects: Vec<Project>,
    /// Takes what the log of the operation is to say.
    pub say: Box<dyn Fn(&str) + Send + Sync>,
}

/// Another container of the dev container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnContainer {
    /// The whole id.
    pub id: String,
    /// True if the programs of the operation are not to see it.
    pub is_hidden: bool,
}

/// The work of a proxy, once it has ended.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// The containers of the compose project that it has parked, besides those that were to be replaced.
    pub parked: Vec<Original>,
    /// True if it has begun to stop those that were to be replaced.
    pub is_stopping: bool,
}

/// A proxy that is at work. It ends when it is dropped.
pub struct Proxy {
    directory: Directory,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// The state that the threads of a proxy share.
struct Shared {
    rules: Rules,
    engine: Arc<Engine>,
    sockets: Arc<Sockets>,
    closing: Arc<Notifier>,
    connections: Mutex<usize>,
    changed: Condvar,
}

impl Proxy {
    /// Starts a proxy, with a thread that accepts connections.
    ///
    /// # Errors
    ///
    /// No private directory can be made for its socket, or the process has no descriptors or threads left.
    pub fn start(plan: Plan) -> io::Result<Self> {
        let directory = Directory::create(&plan.operation)?;
        let listener = UnixListener::bind(directory.socket())?;
        listener.set_nonblocking(true)?;
        let sockets = Arc::new(Sockets::default());
        let closing = Arc::new(Notifier::new()?);
        let engine = Arc::new(Engine::new(
            plan.endpoint.clone(),
            plan.docker.clone(),
            plan.operation.clone(),
            sockets.clone(),
        ));
        let shared = Arc::new(Shared {
            rules: Rules::new(plan, engine.clone(), closing.clone()),
            engine,
            sockets,
            closing,
            connections: Mutex::new(0),
            changed: Condvar::new(),
        });
        let accepting = {
            let shared = shared.clone();
            threads::start("proxy", move || shared.accept(&listener))?
        };
        Ok(Self {
            directory,
            shared,
            accepting: Some(accepting),
        })
    }

    /// The path of its socket.
    pub fn socket(&self) -> &Path {
        self.directory.socket()
    }

    /// Ends all connections, and returns what it has done. Nothing is changed by it from then on.
    pub fn finish(mut self) -> Done {
        self.end();
        self.shared.rules.done()
    }

    /// Ends it, once.
    fn end(&mut self) {
        let Some(accepting) = self.accepting.take() else {
            return;
        };
        self.shared.closing.notify();
        self.shared.sockets.close();
        self.shared.rules.close();
        let _ = accepting.join();
        let deadline = Instant::now() + LAST_PATIENCE;
        let mut connections = self.shared.connections();
        while *connections > 0 && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let waited = self.shared.changed.wait_timeout(connections, left);
            (connections, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if *connections > 0 {
            log::warn!("{} connections of an operation do not end", *connections);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &UnixListener) {
        loop {
            let mut fds = [
                PollFd::new(listener, PollFlags::IN),
                PollFd::from_borrowed_fd(self.closing.as_fd(), PollFlags::IN),
            ];
            wait(&mut fds, Instant::now() + LONG);
            let [_, closing] = &fds;
            if !closing.revents().is_empty() {
                return;
            }
            match listener.accept() {
                Ok((client, _)) => self.spawn(client),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => {
                    log::debug!("a connection of an operation cannot be accepted: {e}");
                    // Descriptors may become free.
                    wait(
                        &mut [PollFd::from_borrowed_fd(
                            self.closing.as_fd(),
                            PollFlags::IN,
                        )],
                        Instant::now() + Duration::from_millis(50),
                    );
                }
            }
        }
    }

    fn spawn(self: &Arc<Self>, client: UnixStream) {
        let mut connections = self.connections();
        while *connections >= MAX_CONNECTIONS {
            let waited = self.changed.wait(connections);
            connections = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *connections += 1;
        drop(connections);
        let guard = ConnectionGuard(self.clone());
        let spawned = threads::start("proxied", move || guard.0.serve(&client));
        if let Err(e) = spawned {
            log::warn!("a connection of an operation is refused: no thread can be started: {e}");
        }
    }

    fn serve(&self, client: &UnixStream) {
        let served = client
            .set_nonblocking(false)
            .and_then(|()| self.sockets.register(client))
            .and_then(|_registered| self.answer(client));
        if let Err(e) = served {
            log::debug!("a connection of an operation failed: {e}");
        }
    }

    fn answer(&self, mut client: &UnixStream) -> io::Result<()> {
        let Some(mut request) = Request::read(&mut client)? else {
            return Ok(());
        };
        self.rules.replace_alias(&mut request);
        self.rules.extend_events(&mut request);
        let decided = self.rules.decide(&request, &mut client);
        let result = match decided {
            Ok(Some(answer)) => return client.write_all(&answer.bytes()),
            Ok(None) => self.engine.pass_on(&request, client),
            Err(e) => Err(e),
        };
        if let Err(e) = &result {
            // In the words of docker's own client, by which people find help.
            let message =
                format!("Cannot connect to the Docker daemon: {e}. Is the docker daemon running?");
            let _ = client.write_all(&Answer::error(502, &message).bytes());
        }
        result
    }

    fn connections(&self) -> MutexGuard<'_, usize> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a connection for as long as it lives.
struct ConnectionGuard(Arc<Shared>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        *self.0.connections() -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::base::test_dir::TestDir;

    /// A proxy before an engine that is played by the test.
    struct Stage {
        _directory: TestDir,
        engine: UnixListener,
        proxy: Proxy,
    }

    impl Stage {
        fn new(operation: &str) -> Self {
            let directory = TestDir::new();
            let path = directory.path().join("sock");
            let engine = UnixListener::bind(&path).unwrap();
            let proxy = Proxy::start(Plan {
                operation: OperationId::parse(operation).unwrap(),
                folder: "/w".into(),
                docker: "/bin/false".into(),
                endpoint: Endpoint::Socket(path),
                replaces: Vec::new(),
                own: Vec::new(),
                renews: Vec::new(),
                projects: Vec::new(),
                say: Box::new(|_| ()),
            });
            Self {
                _directory: directory,
                engine,
                proxy: proxy.unwrap(),
            }
        }

        fn connect(&self) -> UnixStream {
            UnixStream::connect(self.proxy.socket()).unwrap()
        }

        /// Accepts a connection from the proxy, and reads until `text` has come.
        fn accept(&self, text: &str) -> UnixStream {
            let (mut engine, _) = self.engine.accept().unwrap();
            read_until(&mut engine, text);
            engine
        }
    }

    fn read_until(stream: &mut UnixStream, text: &str) -> String {
        let mut all = String::new();
        let mut buffer = [0; 1024];
        while !all.contains(text) {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "it ended after {all:?}");
            all.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        all
    }

    #[test]
    fn the_body_of_an_upgrade_may_come_late() {
        let stage = Stage::new("0123456789abcd01");
        let mut client = stage.connect();
        let head = "POST /exec/e/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n";
        client.write_all(head.as_bytes()).unwrap();
        let mut engine = stage.accept("\r\n\r\n");
        client.write_all(b"{}").unwrap();
        read_until(&mut engine, "{}");
        engine
            .write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nout")
            .unwrap();
        read_until(&mut client, "out");
        client.write_all(b"in").unwrap();
        read_until(&mut engine, "in");
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(
            engine.read(&mut [0; 8]).unwrap(),
            0,
            "the end of the input arrives"
        );
        engine.write_all(b"last").unwrap();
        drop(engine);
        read_until(&mut client, "last");
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        assert!(stage.proxy.finish().parked.is_empty());
    }

    #[test]
    fn an_upgrade_that_is_refused_ends() {
        let stage = Stage::new("0123456789abcd02");
        let mut client = stage.connect();
        client
            .write_all(
                b"POST /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            )
            .unwrap();
        let mut engine = stage.accept("\r\n\r\n");
        engine
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone")
            .unwrap();
        assert!(read_until(&mut client, "none").contains("Connection: close"));
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn p16_the_end_of_a_proxy_ends_what_goes_through_it() {
        let stage = Stage::new("0123456789abcd03");
        let mut client = stage.connect();
        client
            .write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut engine = stage.accept("Connection: close");
        let mut silent = stage.connect();
        let socket = stage.proxy.socket().to_owned();
        stage.proxy.finish();
        assert!(!socket.exists());
        for end in [&mut client, &mut silent, &mut engine] {
            // Bytes that the proxy had not read turn the end into a reset.
            assert_eq!(end.read(&mut [0; 8]).unwrap_or_default(), 0);
        }
    }

    #[test]
    fn an_engine_that_is_away_is_named_as_docker_does() {
        let stage = Stage::new("0123456789abcd04");
        std::fs::remove_file(stage._directory.path().join("sock")).unwrap();
        let mut client = stage.connect();
        client
            .write_all(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let answer = read_until(&mut client, "Is the docker daemon running?");
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    }
}
