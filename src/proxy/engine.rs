//! The engine behind the proxy.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use super::message::{Answer, Request};
use super::sockets::{Registered, Sockets};
use crate::docker::{self, Endpoint};
use crate::model::ids::OperationId;
use crate::process::{self, Attached};

/// The bytes that are passed on at once.
const CHUNK: usize = 64 << 10;

/// How the engine is reached.
pub(super) struct Engine {
    endpoint: Endpoint,
    /// docker, which connects where the endpoint is no socket.
    docker: PathBuf,
    operation: OperationId,
    sockets: Arc<Sockets>,
}

/// A connection to the engine.
struct Connection {
    socket: UnixStream,
    _registered: Registered,
    /// The client that connects to an engine elsewhere.
    _client: Option<Attached>,
}

impl Engine {
    /// Returns the engine at an endpoint.
    pub(super) fn new(
        endpoint: Endpoint,
        docker: PathBuf,
        operation: OperationId,
        sockets: Arc<Sockets>,
    ) -> Self {
        Self {
            endpoint,
            docker,
            operation,
            sockets,
        }
    }

    fn connect(&self) -> io::Result<Connection> {
        let (socket, client) = match &self.endpoint {
            Endpoint::Socket(path) => (UnixStream::connect(path)?, None),
            Endpoint::Remote => {
                let mut command = Command::new(&self.docker);
                command.args(["system", "dial-stdio"]);
                process::mark(&mut command, self.operation.as_str());
                let (client, socket) = Attached::spawn(command).map_err(io::Error::other)?;
                (socket, Some(client))
            }
        };
        Ok(Connection {
            _registered: self.sockets.register(&socket)?,
            socket,
            _client: client,
        })
    }

    /// Sends a request on with another body, and returns the whole answer.
    pub(super) fn ask(&self, request: &Request, body: &[u8]) -> io::Result<Answer> {
        self.exchange(&request.sent_on_with(body))
    }

    /// Asks the engine for the JSON at a path; `None` where there is none.
    pub(super) fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let answer = self.exchange(&docker::request("GET", path))?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            status => {
                let said = String::from_utf8_lossy(&answer.body);
                Err(io::Error::other(format!(
                    "the engine answered {status}: {}",
                    said.trim()
                )))
            }
        }
    }

    fn exchange(&self, request: &[u8]) -> io::Result<Answer> {
        let connection = self.connect()?;
        let mut socket = &connection.socket;
        socket.write_all(request)?;
        Answer::read(&mut socket)
    }

    /// Sends a request on, and everything after it in both directions, until the engine ends the answer.
    pub(super) fn pass_on(&self, request: &Request, client: &UnixStream) -> io::Result<()> {
        let connection = self.connect()?;
        let engine = &connection.socket;
        (&*engine).write_all(&request.sent_on())?;
        thread::scope(|scope| {
            // The rest of the request may be still to come.
            let sending = scope.spawn(|| {
                copy(client, engine);
                // The engine learns that the client has no more to say, or is gone.
                let _ = engine.shutdown(Shutdown::Write);
            });
            let answered = answer(request, engine, client);
            // An error is still to be answered.
            let _ = client.shutdown(match answered {
                Ok(()) => Shutdown::Both,
                Err(_) => Shutdown::Read,
            });
            let _ = engine.shutdown(Shutdown::Both);
            let _ = sending.join();
            answered
        })
    }
}

/// Passes an answer on. One that refuses an upgrade does not end with the connection to the engine.
fn answer(request: &Request, engine: &UnixStream, mut client: &UnixStream) -> io::Result<()> {
    if request.upgrades() {
        let (status, bytes) = Answer::read_head(&mut &*engine)?;
        if status != 101 && status != 200 {
            let answer = Answer::read_on(&mut &*engine, bytes)?;
            return client.write_all(&answer.bytes());
        }
        client.write_all(&bytes)?;
    }
    copy(engine, client);
    Ok(())
}

/// Copies until one end is closed. An error is an end, too.
fn copy(mut from: &UnixStream, mut to: &UnixStream) {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                let bytes = buffer.get(..read).unwrap_or_default();
                if to.write_all(bytes).is_err() {
                    return;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
