//! Requests read from a connection, each within its deadline and its bounds.

use std::io;
use std::time::{Duration, Instant};

use super::errors::{Error, Limit};
use super::limits::{MAX_BODY, MAX_HEAD, READ_TIMEOUT, WRITE_TIMEOUT};
use super::request::{Flaw, Framing, HeadError, Request};
use super::socket::Socket;

/// The reason why there is no request to answer.
pub(super) enum NoRequest {
    /// The client has no further request, or is gone.
    Closed,
    /// The client gets this error, and the connection is closed.
    Rejected(Error),
}

/// Reads the requests of one connection.
pub(super) struct Reader<'a> {
    socket: &'a Socket,
    /// Bytes that were read, but belong to no request so far.
    buffer: Vec<u8>,
}

impl From<io::Error> for NoRequest {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl From<HeadError> for NoRequest {
    fn from(error: HeadError) -> Self {
        Self::Rejected(Error::Head(error))
    }
}

impl From<Flaw> for NoRequest {
    fn from(flaw: Flaw) -> Self {
        HeadError::Bad(flaw).into()
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(socket: &'a Socket) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
        }
    }

    /// Reads a request, and skips its body. Waits at most `idle` for its first byte.
    pub(super) fn next(&mut self, idle: Duration) -> Result<Request, NoRequest> {
        let mut request = self.read_head(idle)?;
        request.has_content = self.skip_body(&request)? > 0;
        Ok(request)
    }

    fn read_head(&mut self, idle: Duration) -> Result<Request, NoRequest> {
        let mut deadline = Instant::now() + READ_TIMEOUT;
        loop {
            if let Some((request, length)) = Request::parse(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(request);
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
        let length = self.socket.read(&mut chunk, time)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let read = chunk.get(..length).unwrap_or_default();
        self.buffer.extend_from_slice(read);
        Ok(())
    }

    fn fill_until(&mut self, deadline: Instant) -> Result<(), NoRequest> {
        let left = deadline.saturating_duration_since(Instant::now());
        let filled = if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            self.fill(left)
        };
        filled.map_err(|e| match e.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                NoRequest::Rejected(Error::Limit(Limit::Time))
            }
            _ => NoRequest::Closed,
        })
    }

    /// Reads a body and drops it: no route uses one, but the next request begins after it. Returns its length.
    fn skip_body(&mut self, request: &Request) -> Result<u64, NoRequest> {
        if !request.has_body() {
            return Ok(0);
        }
        if matches!(request.framing, Framing::Length(length) if length > MAX_BODY) {
            return Err(NoRequest::Rejected(Error::Limit(Limit::Body)));
        }
        if request.expects_continue {
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
            self.socket.write(interim, Instant::now() + WRITE_TIMEOUT)?;
        }
        let deadline = Instant::now() + READ_TIMEOUT;
        match request.framing {
            Framing::Length(length) => self.skip(length, deadline).map(|()| length),
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

    /// RFC 9112, section 7.1. The deadline bounds the number of small chunks.
    fn skip_chunks(&mut self, deadline: Instant) -> Result<u64, NoRequest> {
        let mut left = MAX_BODY;
        loop {
            let size = self.chunk_size(deadline)?;
            if size == 0 {
                return self.skip_trailers(deadline).map(|()| MAX_BODY - left);
            }
            let rest = left.checked_sub(size);
            left = rest.ok_or(NoRequest::Rejected(Error::Limit(Limit::Body)))?;
            self.skip(size, deadline)?;
            if self.skip_line(deadline)? > 0 {
                return Err(Flaw::Chunk.into());
            }
        }
    }

    fn chunk_size(&mut self, deadline: Instant) -> Result<u64, NoRequest> {
        loop {
            // `parse_chunk_size` reads a size without digits as zero, which is the end of the body.
            if self.buffer.first().is_some_and(|b| !b.is_ascii_hexdigit()) {
                return Err(Flaw::Chunk.into());
            }
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((length, size))) => {
                    self.buffer.drain(..length);
                    return Ok(size);
                }
                Ok(httparse::Status::Partial) if self.buffer.len() < MAX_HEAD => {
                    self.fill_until(deadline)?;
                }
                _ => return Err(Flaw::Chunk.into()),
            }
        }
    }

    fn skip_trailers(&mut self, deadline: Instant) -> Result<(), NoRequest> {
        let mut total = 0;
        loop {
            let length = self.skip_line(deadline)?;
            if length == 0 {
                return Ok(());
            }
            total += length;
            if total > MAX_HEAD {
                return Err(HeadError::TooLarge.into());
            }
        }
    }

    /// Skips a line. Returns its length without CR LF.
    fn skip_line(&mut self, deadline: Instant) -> Result<usize, NoRequest> {
        loop {
            if let Some(length) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                self.buffer.drain(..length + 2);
                return Ok(length);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(HeadError::TooLarge.into());
            }
            self.fill_until(deadline)?;
        }
    }
}
