//! One connection: requests in, answers out, until either end has enough.

use std::io;
use std::time::{Duration, Instant};

use super::handlers::{Reply, Service, at_the_end, closed};
use super::limits::WRITE_TIMEOUT;
use super::request::{Framing, HeadError, MAX_HEAD, Request};
use super::response::Answer;
use super::socket::{Peer, Socket};
use super::stream::Format;
use crate::daemon::operations::journal::Journal;
use crate::model::operation::End;

/// For the head of a request, from its first byte; of a new connection, from its beginning. The same for a body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Between requests.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// For a client to notice that no more of what it sends is read.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_BODY: u64 = 64 << 10;
/// How often to look whether somebody who waits is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Serves a connection to its end.
pub(super) fn serve(socket: Socket, service: &Service) {
    let mut connection = Connection {
        socket,
        buffer: Vec::new(),
        service,
    };
    let mut idle = READ_TIMEOUT;
    loop {
        match connection.serve_one(idle) {
            Ok(true) => idle = IDLE_TIMEOUT,
            Ok(false) => return connection.socket.close_gently(CLOSING_TIMEOUT),
            // Whatever went wrong with the connection, nobody is left to be told.
            Err(_) => return,
        }
    }
}

struct Connection<'a> {
    socket: Socket,
    /// What was read and not used yet.
    buffer: Vec<u8>,
    service: &'a Service,
}

/// Why there is no request to answer.
enum NoRequest {
    /// The client has none, or is gone.
    Closed,
    /// It is told this, and the connection is closed.
    Refused(Answer),
}

impl From<io::Error> for NoRequest {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl Connection<'_> {
    /// Answers one request. Returns whether there may be another one.
    fn serve_one(&mut self, idle: Duration) -> io::Result<bool> {
        let request = self.read_head(idle).and_then(|request| {
            self.read_body(&request)?;
            Ok(request)
        });
        match request {
            Ok(request) => self.answer(&request),
            Err(NoRequest::Closed) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(NoRequest::Refused(answer)) => {
                self.write(&answer, true, false, false)?;
                Ok(false)
            }
        }
    }

    fn read_head(&mut self, idle: Duration) -> Result<Request, NoRequest> {
        let mut deadline = Instant::now() + READ_TIMEOUT;
        loop {
            match Request::parse(&self.buffer) {
                Ok(Some((request, length))) => {
                    self.buffer.drain(..length);
                    return Ok(request);
                }
                Ok(None) => {}
                Err(error) => return Err(NoRequest::Refused(error.into())),
            }
            if self.buffer.is_empty() {
                self.fill(idle)?;
                deadline = Instant::now() + READ_TIMEOUT;
            } else {
                self.fill_until(deadline)?;
            }
        }
    }

    /// Reads more. An end of the stream is an error.
    fn fill(&mut self, time: Duration) -> io::Result<()> {
        let mut chunk = [0; MAX_HEAD];
        match self.socket.read(&mut chunk, time)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.buffer
                    .extend_from_slice(chunk.get(..length).unwrap_or_default());
                Ok(())
            }
        }
    }

    fn fill_until(&mut self, deadline: Instant) -> Result<(), NoRequest> {
        let left = deadline.saturating_duration_since(Instant::now());
        let filled = match left.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => self.fill(left),
        };
        filled.map_err(|e| match e.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                let limit = READ_TIMEOUT.as_secs();
                let detail = format!("the request was not complete within {limit} s");
                NoRequest::Refused(Answer::error(408, "Request timeout", &detail))
            }
            _ => NoRequest::Closed,
        })
    }

    /// Reads a body and throws it away: no route has a use for one, but the next request comes after it.
    fn read_body(&mut self, request: &Request) -> Result<(), NoRequest> {
        if !request.has_body() {
            return Ok(());
        }
        if matches!(request.body, Framing::Length(length) if length > MAX_BODY) {
            return Err(NoRequest::Refused(too_large()));
        }
        if request.expects_continue {
            let deadline = Instant::now() + WRITE_TIMEOUT;
            self.socket
                .write(b"HTTP/1.1 100 Continue\r\n\r\n", deadline)?;
        }
        let deadline = Instant::now() + READ_TIMEOUT;
        match request.body {
            Framing::Length(length) => self.skip(length, deadline),
            Framing::Chunked => self.skip_chunks(deadline),
        }
    }

    fn skip(&mut self, mut length: u64, deadline: Instant) -> Result<(), NoRequest> {
        loop {
            let here = length.min(self.buffer.len() as u64);
            self.buffer.drain(..here as usize);
            length -= here;
            if length == 0 {
                return Ok(());
            }
            self.fill_until(deadline)?;
        }
    }

    /// RFC 9112, section 7.1. The deadline bounds how often there may be little in a chunk.
    fn skip_chunks(&mut self, deadline: Instant) -> Result<(), NoRequest> {
        let mut left = MAX_BODY;
        loop {
            let size = self.chunk_size(deadline)?;
            if size == 0 {
                return self.skip_trailers(deadline);
            }
            left = left
                .checked_sub(size)
                .ok_or_else(|| NoRequest::Refused(too_large()))?;
            self.skip(size, deadline)?;
            if self.line(deadline)? > 0 {
                return Err(bad_chunk());
            }
        }
    }

    fn chunk_size(&mut self, deadline: Instant) -> Result<u64, NoRequest> {
        loop {
            // No digits at all would be read as zero, the end of the body.
            if self.buffer.first().is_some_and(|b| !b.is_ascii_hexdigit()) {
                return Err(bad_chunk());
            }
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((length, size))) => {
                    self.buffer.drain(..length);
                    return Ok(size);
                }
                Ok(httparse::Status::Partial) if self.buffer.len() < MAX_HEAD => {
                    self.fill_until(deadline)?;
                }
                _ => return Err(bad_chunk()),
            }
        }
    }

    fn skip_trailers(&mut self, deadline: Instant) -> Result<(), NoRequest> {
        let mut total = 0;
        loop {
            match self.line(deadline)? {
                0 => return Ok(()),
                length => total += length,
            }
            if total > MAX_HEAD {
                return Err(NoRequest::Refused(HeadError::TooLarge.into()));
            }
        }
    }

    /// Skips one line. Returns its length without CR LF.
    fn line(&mut self, deadline: Instant) -> Result<usize, NoRequest> {
        loop {
            if let Some(length) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                self.buffer.drain(..length + 2);
                return Ok(length);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(NoRequest::Refused(HeadError::TooLarge.into()));
            }
            self.fill_until(deadline)?;
        }
    }

    fn answer(&mut self, request: &Request) -> io::Result<bool> {
        let _answering = self.service.limits.answer();
        let head_only = request.method == tiny_http::Method::Head;
        let answer = match self.service.reply(request) {
            Reply::Answer(answer) => answer,
            Reply::AtTheEnd(journal, kind) => {
                let answer = |end: &End| at_the_end(end, kind);
                self.await_end(&journal, answer, request.is_1_1)?
            }
            Reply::AfterTheEnd(journal) => {
                self.await_end(&journal, |_| Answer::empty(), request.is_1_1)?
            }
            Reply::Log(stream) => {
                return self.stream(request, stream.format, |socket| {
                    stream.send(socket, request.is_1_1, &self.service.shared)
                });
            }
            Reply::Events(stream) => {
                return self.stream(request, stream.format, |socket| {
                    stream.send(socket, request.is_1_1)
                });
            }
        };
        let closing = self.service.shared.read(|state| state.is_closing());
        let keep_alive = request.keep_alive && !closing;
        self.write(&answer, request.is_1_1, keep_alive, head_only)?;
        Ok(keep_alive)
    }

    /// Returns whether there may be another request after the stream.
    fn stream(
        &self,
        request: &Request,
        format: Format,
        send: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> io::Result<bool> {
        let keep_alive = request.keep_alive && request.is_1_1;
        let head = format.head(request.is_1_1, keep_alive);
        self.socket.write(&head, Instant::now() + WRITE_TIMEOUT)?;
        if request.method != tiny_http::Method::Head {
            send(&self.socket)?;
        }
        Ok(keep_alive)
    }

    fn write(
        &self,
        answer: &Answer,
        is_1_1: bool,
        keep_alive: bool,
        head_only: bool,
    ) -> io::Result<()> {
        let deadline = Instant::now() + WRITE_TIMEOUT;
        let (first, rest) = answer.encode(is_1_1, keep_alive, head_only);
        self.socket.write(&first, deadline)?;
        self.socket.write(rest.unwrap_or_default(), deadline)
    }

    /// Waits for the end of an operation, as long as the client does.
    fn await_end(
        &self,
        journal: &Journal,
        answer: impl Fn(&End) -> Answer,
        is_1_1: bool,
    ) -> io::Result<Answer> {
        let mut probed = false;
        loop {
            if let Some(end) = journal.wait_for_end(LOOK) {
                return Ok(answer(&end));
            }
            if self.service.shared.read(|state| state.is_closing()) {
                return Ok(closed());
            }
            match self.socket.peer() {
                Peer::Present => {}
                Peer::Gone => return Err(io::ErrorKind::ConnectionAborted.into()),
                // One that only closed its sending half takes an interim answer; one that is gone resets.
                Peer::HalfClosed if is_1_1 => {
                    if !std::mem::replace(&mut probed, true) {
                        let deadline = Instant::now() + WRITE_TIMEOUT;
                        self.socket
                            .write(b"HTTP/1.1 102 Processing\r\n\r\n", deadline)?;
                    }
                }
                Peer::HalfClosed => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
    }
}

fn bad_chunk() -> NoRequest {
    NoRequest::Refused(HeadError::Bad("bad chunk").into())
}

fn too_large() -> Answer {
    let detail = format!("a body may have {} KiB; none is needed", MAX_BODY >> 10);
    Answer::error(413, "Request body too large", &detail)
}
