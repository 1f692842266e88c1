//! Requests read from a connection, each within its deadline and its bounds.

use std::io;
use std::time::{Duration, Instant};

use super::errors::{Error, Limit};
use super::limits::{MAX_BODY, MAX_FRAMING, MAX_HEAD, READ_TIMEOUT, WRITE_TIMEOUT};
use super::request::{Flaw, Framing, HeadError, Request, decides_framing, head_length, is_token};
use super::socket::{Socket, Unread};

/// The digits of the size of a chunk, leading zeros included.
const MAX_CHUNK_DIGITS: usize = 16;

/// The reason why there is no request to answer.
pub(super) enum NoRequest {
    /// The client has no further request, or is gone.
    Closed,
    /// The client gets this error, and the connection is closed.
    Rejected(Error),
}

/// The room in a buffer for what is read next, in bytes.
const CHUNK: usize = 4 << 10;

/// The memory in which requests are read, for one connection after the other.
#[derive(Default)]
pub(super) struct Memory {
    input: Vec<u8>,
    head: Vec<u8>,
}

/// Reads the requests of one connection.
pub(super) struct Reader<'a> {
    input: Input<'a>,
    /// The head of the request that was read last.
    head: &'a mut Vec<u8>,
    /// Its body, if its route takes one.
    body: Vec<u8>,
}

/// The rest of a connection after a request, which most clients repeat byte by byte.
pub(super) struct Repeats<'r, 'a> {
    input: &'r mut Input<'a>,
    /// The head of the request. Empty where a body followed it.
    head: &'r [u8],
}

/// The fate of the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// The route takes it.
    Kept,
    /// No route uses it, but the next request begins after it.
    Dropped,
}

struct Input<'a> {
    socket: &'a Socket,
    /// Bytes that were read, but belong to no request so far.
    buffer: &'a mut Vec<u8>,
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
    pub(super) fn new(socket: &'a Socket, memory: &'a mut Memory) -> Self {
        let Memory {
            input: buffer,
            head,
        } = memory;
        // The connection before may have left bytes of a request that was not served.
        buffer.clear();
        Self {
            input: Input { socket, buffer },
            head,
            body: Vec::new(),
        }
    }

    /// Reads a request, and its body as `admit` says, if that does not reject it. Waits at most `idle` for its first byte.
    /// A request may be repeated before the next one is read.
    pub(super) fn next<'r>(
        &'r mut self,
        request: &mut Request<'r>,
        idle: Duration,
        admit: impl FnOnce(&Request<'_>) -> Result<Body, Error>,
    ) -> Result<Repeats<'r, 'a>, NoRequest> {
        self.body = Vec::new();
        self.input.read_head(idle, self.head)?;
        request.parse(self.head)?.ok_or(NoRequest::Closed)?;
        let mut head = &**self.head;
        if request.has_body() {
            head = &[];
            // Nobody waits for the body of a client that may not use the daemon, nor asks for it.
            let kept = match admit(request).map_err(NoRequest::Rejected)? {
                Body::Kept => Some(&mut self.body),
                Body::Dropped => None,
            };
            request.has_content = self.input.read_body(request, kept)? > 0;
            request.body = &self.body;
        }
        let input = &mut self.input;
        Ok(Repeats { input, head })
    }
}

impl Repeats<'_, '_> {
    /// Waits at most `idle` for the next request. Returns whether it is the same one again: equal bytes mean an equal request.
    /// Any other one is left to the reader.
    pub(super) fn next(&mut self, idle: Duration) -> io::Result<bool> {
        if self.head.is_empty() {
            return Ok(false);
        }
        if self.input.buffer.is_empty() {
            self.input.fill(idle)?;
        }
        let is_same = memchr::arch::all::is_prefix(self.input.buffer, self.head);
        if is_same {
            self.input.buffer.drain(..self.head.len());
        }
        Ok(is_same)
    }

    /// Returns whether the client has sent more, which was not read.
    pub(super) fn are_more(&self) -> bool {
        !self.input.buffer.is_empty() || self.input.socket.stream().unread() == Unread::Bytes
    }
}

impl Input<'_> {
    /// Moves a complete head to `head`.
    fn read_head(&mut self, idle: Duration, head: &mut Vec<u8>) -> Result<(), NoRequest> {
        // For the bytes of this request that were read with the one before.
        let mut deadline = None;
        loop {
            if let Some(length) = head_length(self.buffer) {
                head.clear();
                head.extend_from_slice(self.buffer.get(..length).unwrap_or_default());
                self.buffer.drain(..length);
                return Ok(());
            }
            if self.buffer.is_empty() {
                self.fill(idle)?;
            } else {
                // A flaw is reported as soon as it shows.
                Request::new().parse(self.buffer)?;
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + READ_TIMEOUT);
                self.fill_until(deadline)?;
            }
        }
    }

    /// Reads more. An end of the stream is an error.
    fn fill(&mut self, time: Duration) -> io::Result<()> {
        self.buffer.reserve(CHUNK);
        match self.socket.read(self.buffer, time)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
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

    /// Reads a body, and puts it into `kept`. Returns its length.
    fn read_body(
        &mut self,
        request: &Request<'_>,
        mut kept: Option<&mut Vec<u8>>,
    ) -> Result<u64, NoRequest> {
        if matches!(request.framing, Framing::Length(length) if length > MAX_BODY) {
            return Err(NoRequest::Rejected(Error::Limit(Limit::Body)));
        }
        if request.expects_continue {
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
            self.socket.write(interim, WRITE_TIMEOUT)?;
        }
        let deadline = Instant::now() + READ_TIMEOUT;
        match request.framing {
            Framing::Length(length) => self.take(length, &mut kept, deadline).map(|()| length),
            Framing::Chunked => self.take_chunks(&mut kept, deadline),
        }
    }

    fn take(
        &mut self,
        mut length: u64,
        kept: &mut Option<&mut Vec<u8>>,
        deadline: Instant,
    ) -> Result<(), NoRequest> {
        loop {
            let here = length.min(self.buffer.len() as u64);
            let bytes = self.buffer.drain(..here as usize);
            if let Some(kept) = kept {
                kept.extend_from_slice(bytes.as_slice());
            }
            drop(bytes);
            length -= here;
            if length == 0 {
                return Ok(());
            }
            self.fill_until(deadline)?;
        }
    }

    /// RFC 9112, section 7.1.
    fn take_chunks(
        &mut self,
        kept: &mut Option<&mut Vec<u8>>,
        deadline: Instant,
    ) -> Result<u64, NoRequest> {
        let mut content = MAX_BODY;
        let mut framing = MAX_FRAMING;
        loop {
            let line = self.line(deadline)?;
            let size = chunk_size(&line).ok_or(Flaw::Chunk)?;
            // The ends of the line and of the chunk are two bytes each.
            take(&mut framing, line.len() as u64 + 4)?;
            if size == 0 {
                self.skip_trailers(deadline)?;
                return Ok(MAX_BODY - content);
            }
            take(&mut content, size)?;
            self.take(size, kept, deadline)?;
            while self.buffer.len() < 2 {
                self.fill_until(deadline)?;
            }
            if !self.buffer.starts_with(b"\r\n") {
                return Err(Flaw::Chunk.into());
            }
            self.buffer.drain(..2);
        }
    }

    fn skip_trailers(&mut self, deadline: Instant) -> Result<(), NoRequest> {
        let mut total = 0;
        loop {
            let line = self.line(deadline)?;
            if line.is_empty() {
                return Ok(());
            }
            if !is_trailer(&line) {
                return Err(Flaw::Trailer.into());
            }
            total += line.len();
            if total > MAX_HEAD {
                return Err(HeadError::TooLarge.into());
            }
        }
    }

    /// Reads a line. Returns it without its CR LF.
    fn line(&mut self, deadline: Instant) -> Result<Vec<u8>, NoRequest> {
        loop {
            let end = self.buffer.iter().position(|b| *b == b'\n');
            // The bytes after the line may be content, in which any byte may stand.
            let line = end.map_or(&**self.buffer, |end| {
                self.buffer.get(..=end).unwrap_or_default()
            });
            if has_bare_line_end(line) {
                return Err(Flaw::LineEnd.into());
            }
            if let Some(line) = line.strip_suffix(b"\r\n") {
                if line.len() > MAX_HEAD {
                    return Err(HeadError::TooLarge.into());
                }
                let line = line.to_vec();
                self.buffer.drain(..line.len() + 2);
                return Ok(line);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(HeadError::TooLarge.into());
            }
            self.fill_until(deadline)?;
        }
    }
}

/// Takes bytes from those that a body may still have.
fn take(left: &mut u64, bytes: u64) -> Result<(), NoRequest> {
    let rest = left.checked_sub(bytes);
    *left = rest.ok_or(NoRequest::Rejected(Error::Limit(Limit::Body)))?;
    Ok(())
}

/// True if CR or LF stands alone in `bytes`. A CR at their end is no such one: its LF may follow.
fn has_bare_line_end(bytes: &[u8]) -> bool {
    let mut before = 0;
    // A byte is an LF where the one before is a CR, and nowhere else.
    bytes.iter().any(|&byte| {
        let is_after_cr = std::mem::replace(&mut before, byte) == b'\r';
        is_after_cr != (byte == b'\n')
    })
}

/// Reads the size of a chunk from its first line. An extension may follow the size, but nothing that another program
/// could take for a part of the size or for the end of the line.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let (digits, extension) = match text.split_once(';') {
        Some((digits, extension)) => (digits, Some(extension)),
        None => (text, None),
    };
    let is_sound = |extension: &str| {
        let is_visible = extension.bytes().all(|b| matches!(b, b' '..=b'~'));
        is_visible && !extension.is_empty() && extension.trim_ascii() == extension
    };
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex || digits.len() > MAX_CHUNK_DIGITS || !extension.is_none_or(is_sound) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// True if a line is a header that may stand after a body. One that says where a message ends or whom it is for may not
/// (RFC 9110, section 6.5.1): programs differ in whether it counts.
fn is_trailer(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|b| *b == b':') else {
        return false;
    };
    let (name, value) = line.split_at(colon);
    let is_value = |b: &u8| matches!(b, b'\t' | b' '..=b'~' | 0x80..);
    is_token(name) && !decides_framing(name) && value.iter().all(is_value)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::http::socket::Stream;

    /// Returns the path and the body of each request, and whether it was taken for a repeated one.
    fn read_all(bytes: &[u8]) -> Vec<(String, String, bool)> {
        let (mut client, served) = UnixStream::pair().unwrap();
        client.write_all(bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let socket = Socket::new(Stream::Unix(served));
        let mut memory = Memory::default();
        // The rest of another connection.
        memory.input.extend(b"GET /old HTTP/1.0\r\n\r\n");
        memory.head.extend(bytes);
        let mut reader = Reader::new(&socket, &mut memory);
        let mut all = Vec::new();
        loop {
            let mut request = Request::new();
            let next = reader.next(&mut request, READ_TIMEOUT, |_| Ok(Body::Kept));
            let Ok(mut repeats) = next else { return all };
            let body = String::from_utf8(request.body.to_vec()).unwrap();
            all.push((request.path.to_owned(), body.clone(), false));
            while repeats.next(READ_TIMEOUT).unwrap_or(false) {
                all.push((request.path.to_owned(), body.clone(), true));
            }
        }
    }

    #[test]
    fn only_equal_requests_without_a_body_are_repeated() {
        let one = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        let longer = "GET /a HTTP/1.1\r\nHost: a\r\nX: a\r\n\r\n";
        let other = "GET /b HTTP/1.1\r\nHost: a\r\n\r\n";
        let post = "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
        let bytes = format!("{one}{one}{longer}{one}{other}{other}{post}x{post}y{one}GET /a");
        let all = read_all(bytes.as_bytes());
        let all: Vec<_> = all
            .iter()
            .map(|(path, body, is)| (&**path, &**body, *is))
            .collect();
        assert_eq!(
            all,
            [
                ("/a", "", false),
                ("/a", "", true),
                ("/a", "", false),
                ("/a", "", false),
                ("/b", "", false),
                ("/b", "", true),
                ("/c", "x", false),
                ("/c", "y", false),
                ("/a", "", false),
            ]
        );
    }

    #[test]
    fn p19_chunk_sizes_are_read_strictly() {
        for (line, size) in [
            ("0", 0),
            ("a", 10),
            ("1F", 31),
            ("00000010", 16),
            ("5;a=b", 5),
            ("5;a=\"b c\";d", 5),
            ("ffffffffffffffff", u64::MAX),
        ] {
            assert_eq!(chunk_size(line.as_bytes()), Some(size), "{line}");
        }
        for line in [
            "",
            ";",
            ";a",
            "g",
            "-1",
            "+1",
            "0x1",
            "1_0",
            " 5",
            "5 ",
            "5\t",
            "5 ;a",
            "5;",
            "5; a",
            "5;a ",
            "5;\u{b}",
            "2;\nxx",
            "5;a\rb",
            "5;é",
            "5,5",
            "00000000000000005",
        ] {
            assert_eq!(chunk_size(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn p19_trailers_are_read_strictly() {
        for line in ["Trailer: x", "X:", "X-Y:\t\"é\""] {
            assert!(is_trailer(line.as_bytes()), "{line}");
        }
        for line in [
            "x",
            ":",
            ": x",
            " X: y",
            "X : y",
            "X: \u{0}",
            "X: \u{7f}",
            "é: x",
            "Content-Length: 5",
            "transfer_encoding: chunked",
            "Host: a",
        ] {
            assert!(!is_trailer(line.as_bytes()), "{line:?}");
        }
    }
}
