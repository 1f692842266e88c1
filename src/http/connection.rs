//! One connection: requests in, answers out, until the client or the daemon ends it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::time::Duration;

use super::errors::{self, Error, Limit};
use super::handlers::{Checked, Reply};
use super::limits::{CLOSING_TIMEOUT, IDLE_TIMEOUT, READ_TIMEOUT, WRITE_TIMEOUT};
use super::long_poll::PollEnd;
use super::places::{Place, Turn};
use super::presence::Presence;
use super::reader::{Memory, NoRequest, Reader};
use super::request::{Persistence, Request, Version};
use super::response::{Answer, Delivery, HeadWriter};
use super::routes::{self, Action, Scope};
use super::service::Service;
use super::socket::Socket;
use super::stream::{Format, StreamWriter};
use crate::daemon::operations::journal::Journal;
use crate::model::counters::COUNTERS;
use crate::model::operation::End;
use crate::model::origin::{Credentials, Origin};

/// The interval at which a client that waits for an operation is checked for its presence.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);

thread_local! {
    /// The memory of the connections that a thread serves, one after the other.
    static MEMORY: RefCell<(Memory, HeadWriter)> = RefCell::default();
}

/// The fate of a connection after an answer.
enum Next {
    /// The client may send another request.
    Read,
    /// The connection is closed. The client may send more all the same.
    CloseGently,
    /// The connection is closed. The client has said that it sends nothing more.
    Close,
}

/// Serves a connection to its end.
pub(super) fn serve(
    socket: Socket,
    service: &Service,
    scope: Scope,
    place: &Place,
    credentials: Option<Credentials>,
) {
    COUNTERS.connections.add();
    let origin = Origin {
        address: socket.client_address(),
        credentials,
    };
    MEMORY.with_borrow_mut(|(memory, heads)| {
        let mut connection = Connection {
            origin,
            socket: &socket,
            service,
            scope,
            place,
            heads,
        };
        connection.serve_all(&mut Reader::new(&socket, memory));
    });
}

/// Sends an error before any request is read, and closes the connection. The error arrives for sure only with patience:
/// if the connection were closed while bytes from the client are unread, the kernel would reset it.
pub(super) fn refuse(socket: &Socket, error: Error, patience: bool) {
    let mut heads = HeadWriter::default();
    // A new connection has room for it.
    let written = write(
        socket,
        &mut heads,
        &error.into(),
        Delivery::LAST,
        Duration::ZERO,
    );
    if written.is_ok() && patience {
        socket.close_gently(CLOSING_TIMEOUT);
    }
}

fn write(
    socket: &Socket,
    heads: &mut HeadWriter,
    answer: &Answer,
    delivery: Delivery,
    time: Duration,
) -> io::Result<()> {
    let head = heads.write(&answer.head(delivery));
    let mut parts = [head, answer.body(delivery)].map(IoSlice::new);
    socket.write_all(&mut parts, time)
}

struct Connection<'a> {
    /// The client, as the log names it.
    origin: Origin,
    socket: &'a Socket,
    service: &'a Service,
    scope: Scope,
    place: &'a Place,
    heads: &'a mut HeadWriter,
}

impl Connection<'_> {
    fn serve_all(&mut self, requests: &mut Reader<'_>) {
        let mut idle = READ_TIMEOUT;
        loop {
            match self.serve_next(requests, idle) {
                Ok(Next::Read) => idle = IDLE_TIMEOUT,
                Ok(Next::CloseGently) => return self.socket.close_gently(CLOSING_TIMEOUT),
                // Otherwise the connection is broken: no client is left that could get an error.
                Ok(Next::Close) | Err(_) => return,
            }
        }
    }

    /// Serves the next request, and those after it that are the same.
    fn serve_next(&mut self, requests: &mut Reader<'_>, idle: Duration) -> io::Result<Next> {
        let (service, scope) = (self.service, self.scope);
        let admit = |request: &Request<'_>| service.admit_body(request, scope);
        let mut request = Request::new();
        match requests.next(&mut request, idle, admit) {
            Ok(mut repeats) => {
                let checked = service.check(&request, scope);
                loop {
                    COUNTERS.requests.add();
                    let served = self.serve_in_turn(&request, &checked);
                    self.place.wait();
                    match (served?, request.persistence) {
                        (Persistence::KeepAlive, _) if repeats.next(IDLE_TIMEOUT)? => {}
                        (Persistence::KeepAlive, _) => return Ok(Next::Read),
                        (_, Persistence::Close) if !repeats.are_more() => return Ok(Next::Close),
                        _ => return Ok(Next::CloseGently),
                    }
                }
            }
            Err(NoRequest::Closed) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(NoRequest::Rejected(error)) => {
                service.refusals.note(&error, &self.origin, &request);
                self.write(&error.into(), Delivery::LAST)?;
                Ok(Next::CloseGently)
            }
        }
    }

    fn serve_in_turn(
        &mut self,
        request: &Request<'_>,
        checked: &Checked,
    ) -> io::Result<Persistence> {
        match self.place.begin() {
            Some(Turn::Any) => self.serve(request, checked, request.persistence),
            Some(Turn::Last) => self.serve(request, checked, Persistence::Close),
            Some(Turn::LastReserved) => self.serve_reserved(request, checked),
            // Another connection has got its place since the request was read.
            None => self.refuse(request),
        }
    }

    /// Serves a request that comes while every regular connection is being answered.
    fn serve_reserved(
        &mut self,
        request: &Request<'_>,
        checked: &Checked,
    ) -> io::Result<Persistence> {
        let _waits = match routes::route(&request.method, request.path) {
            Ok(Action::Healthz | Action::Metrics) => None,
            Ok(Action::Readyz | Action::Cancel(_)) => match self.service.limits.reserved_wait() {
                Some(permit) => Some(permit),
                None => return self.refuse(request),
            },
            _ => return self.refuse(request),
        };
        self.serve(request, checked, Persistence::Close)
    }

    fn refuse(&mut self, request: &Request<'_>) -> io::Result<Persistence> {
        let error = Error::Limit(Limit::Connections);
        self.service.refusals.note(&error, &self.origin, request);
        self.write(&error.into(), Delivery::to(request, Persistence::Close))
    }

    fn serve(
        &mut self,
        request: &Request<'_>,
        checked: &Checked,
        persistence: Persistence,
    ) -> io::Result<Persistence> {
        let service = self.service;
        let presence = Presence::new(self.socket, request.version);
        let is_there = || presence.may_be_there();
        let reply = service.reply(request, checked, self.scope, &self.origin, &is_there);
        let answer = match reply {
            Reply::Answer(answer) => answer,
            Reply::Result(journal, kind) => self
                .await_end(&journal, &presence)?
                .and_then(|end| errors::result(&end, kind))
                .unwrap_or_else(Answer::from),
            Reply::End(journal) => self
                .await_end(&journal, &presence)?
                .map_or_else(Answer::from, |_| Answer::empty()),
            Reply::Poll(poll) => match poll.wait(service, &presence)? {
                PollEnd::Closing => Error::Closing.into(),
                PollEnd::Look => service
                    .devcontainer(&poll.id, request, &is_there)
                    .unwrap_or_else(Answer::from),
            },
            Reply::Log(log) => {
                let send = |out: &mut StreamWriter<'_>| log.send(self.service, out);
                return self.stream(request, log.format, Vec::new(), send);
            }
            Reply::Events(events) => {
                let send = |out: &mut StreamWriter<'_>| events.send(self.service, out);
                return self.stream(request, events.format, events.headers(), send);
            }
        };
        let persistence = if self.service.is_draining() || answer.is_last {
            Persistence::Close
        } else {
            persistence
        };
        self.write(&answer, Delivery::to(request, persistence))
    }

    fn write(&mut self, answer: &Answer, delivery: Delivery) -> io::Result<Persistence> {
        write(self.socket, self.heads, answer, delivery, WRITE_TIMEOUT)?;
        Ok(delivery.persistence)
    }

    fn stream(
        &mut self,
        request: &Request<'_>,
        format: Format,
        headers: Vec<(&'static str, String)>,
        send: impl FnOnce(&mut StreamWriter<'_>) -> io::Result<()>,
    ) -> io::Result<Persistence> {
        // In HTTP/1.0 only the end of the connection marks the end of a stream.
        let persistence = match request.version {
            Version::Http10 => Persistence::Close,
            Version::Http11 => request.persistence,
        };
        let delivery = Delivery::to(request, persistence);
        let head = self.heads.write(&format.head(&headers, delivery));
        self.socket.write(head, WRITE_TIMEOUT)?;
        if !delivery.head_only {
            let mut out = StreamWriter::new(self.socket, request.version, format);
            out.write(&[format.preamble()])?;
            send(&mut out)?;
            out.finish()?;
        }
        Ok(persistence)
    }

    /// Waits for the end of an operation as long as the client does. The inner error is the end of the daemon.
    fn await_end(
        &self,
        journal: &Journal,
        presence: &Presence<'_>,
    ) -> io::Result<Result<End, Error>> {
        loop {
            if let Some(end) = journal.wait_for_end(PRESENCE_INTERVAL) {
                return Ok(Ok(end));
            }
            if self.service.is_closing() {
                return Ok(Err(Error::Closing));
            }
            presence.check()?;
        }
    }
}
