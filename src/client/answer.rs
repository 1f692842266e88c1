//! Reading an answer: its head, and its body by length, by chunks or up to the end of the connection.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use serde_json::Value;

use super::error::{Cause, ClientError};
use super::socket::Socket;

/// The length of a head, in bytes.
const MAX_HEAD: u64 = 32 << 10;
const MAX_HEADERS: usize = 64;
/// The length of a body that is read at once, and of a line of a stream. Ten thousand containers have 30 MB.
const MAX_BODY: u64 = 256 << 20;
/// The length of the line before a chunk.
const MAX_CHUNK_LINE: u64 = 256;

/// An answer whose head has been read.
pub struct Answer {
    url: String,
    pub(super) status: u16,
    body: BufReader<Body<Socket>>,
}

impl Answer {
    pub(super) fn read(url: &str, socket: Socket) -> Result<Self, Cause> {
        let mut reader = BufReader::new(socket);
        let (status, framing) = read_head(&mut reader)?;
        let body = Body { reader, framing };
        Ok(Self {
            url: url.to_owned(),
            status,
            body: BufReader::new(body),
        })
    }

    /// Sets the silence after which reading fails.
    pub(super) fn set_silence(&mut self, silence: Duration) {
        let socket = self.body.get_mut().reader.get_mut();
        socket.deadlines.silence = silence;
    }

    /// Reads the error of an answer that is one.
    pub(super) fn successful(mut self) -> Result<Self, ClientError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let mut bytes = Vec::new();
        // A daemon that serves nobody else closes the connection with the answer.
        let _ = self.body.by_ref().take(MAX_HEAD).read_to_end(&mut bytes);
        let error: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |name| {
            let text = error.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        Err(self.error(Cause::Refused {
            status: self.status,
            message: text("message"),
            detail: text("detail"),
        }))
    }

    /// Reads the whole body.
    pub fn bytes(mut self) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        let read = self.body.by_ref().take(MAX_BODY).read_to_end(&mut bytes);
        match read {
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.error(Cause::Io(error))),
        }
    }

    /// Reads the whole body, which is JSON.
    pub fn json(self) -> Result<Value, ClientError> {
        let url = self.url.clone();
        parse(url, &self.bytes()?)
    }

    /// Reads the next line of a stream of JSON lines. Returns `None` at the end of the stream.
    pub fn next_line(&mut self) -> Result<Option<Value>, ClientError> {
        let mut line = Vec::new();
        let read = self
            .body
            .by_ref()
            .take(MAX_BODY)
            .read_until(b'\n', &mut line);
        match read {
            Ok(0) => Ok(None),
            Ok(_) => parse(self.url.clone(), &line).map(Some),
            Err(error) => Err(self.error(Cause::Io(error))),
        }
    }

    /// Reads the body and forgets it.
    pub(super) fn drain(&mut self) -> Result<(), ClientError> {
        let read = io::copy(&mut self.body.by_ref().take(MAX_HEAD), &mut io::sink());
        read.map(|_| ())
            .map_err(|error| self.error(Cause::Io(error)))
    }

    fn error(&self, cause: Cause) -> ClientError {
        ClientError::new(self.url.clone(), cause)
    }
}

fn parse(url: String, bytes: &[u8]) -> Result<Value, ClientError> {
    let parsed = serde_json::from_slice(bytes);
    parsed.map_err(|error| ClientError::new(url, Cause::Io(error.into())))
}

/// Reads the lines of a head, and what they say about the body.
fn read_head(reader: &mut impl BufRead) -> Result<(u16, Framing), Cause> {
    let mut head = Vec::new();
    let mut limited = reader.take(MAX_HEAD);
    loop {
        let length = limited.read_until(b'\n', &mut head)?;
        if length == 0 && head.is_empty() {
            return Err(ended("the connection was closed").into());
        }
        let is_http = head.starts_with(b"HTTP/1.");
        if length == 0 || !is_http {
            return Err(Cause::NotHttp);
        }
        if head.ends_with(b"\r\n\r\n") {
            return parse_head(&head).ok_or(Cause::NotHttp);
        }
    }
}

fn parse_head(head: &[u8]) -> Option<(u16, Framing)> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).ok()?;
    let status = response.code?;
    let value = |name| {
        let mut headers = response.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let framing = if status == 204 {
        Framing::Ended
    } else if value("Transfer-Encoding").is_some() {
        Framing::Chunks { left: 0 }
    } else {
        match value("Content-Length") {
            Some(length) => Framing::Length(length.trim().parse().ok()?),
            None => Framing::UntilClose,
        }
    };
    Some((status, framing))
}

fn ended(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
}

/// The bytes of a body, without the marks between them.
struct Body<R> {
    reader: BufReader<R>,
    framing: Framing,
}

/// The end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// It has so many more bytes.
    Length(u64),
    /// It has chunks (RFC 9112, 7.1), and so many more bytes of one.
    Chunks { left: u64 },
    /// It ends with the connection.
    UntilClose,
    /// Nothing is left.
    Ended,
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.framing == (Framing::Chunks { left: 0 }) {
            self.framing = match self.next_chunk()? {
                0 => Framing::Ended,
                left => Framing::Chunks { left },
            };
        }
        let left = match self.framing {
            Framing::Length(0) | Framing::Ended => return Ok(0),
            Framing::Length(left) | Framing::Chunks { left } => left,
            Framing::UntilClose => return self.reader.read(buffer),
        };
        let length = self.reader.by_ref().take(left).read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            return Err(ended("the daemon broke off"));
        }
        let left = left - length as u64;
        self.framing = match self.framing {
            Framing::Chunks { .. } if left == 0 => {
                self.line()?;
                Framing::Chunks { left }
            }
            Framing::Chunks { .. } => Framing::Chunks { left },
            _ => Framing::Length(left),
        };
        Ok(length)
    }
}

impl<R: Read> Body<R> {
    /// Reads the length of the next chunk.
    fn next_chunk(&mut self) -> io::Result<u64> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.reader
            .by_ref()
            .take(MAX_CHUNK_LINE)
            .read_line(&mut line)?;
        if line.ends_with('\n') {
            Ok(line)
        } else {
            Err(ended("the daemon broke off"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the status and the body, or the error.
    fn read(answer: &str) -> Result<(u16, String), Cause> {
        let mut reader = BufReader::with_capacity(3, answer.as_bytes());
        let (status, framing) = read_head(&mut reader)?;
        let mut text = String::new();
        Body { reader, framing }.read_to_string(&mut text)?;
        Ok((status, text))
    }

    #[test]
    fn a_body_ends_by_length_by_chunks_or_with_the_connection() {
        let head = "HTTP/1.1 200 OK\r\n";
        for (rest, expected) in [
            ("Content-Length: 3\r\n\r\nabcdef", "abc"),
            (
                "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
                "ab0123456789",
            ),
            ("Content-Type: x\r\n\r\nall", "all"),
            ("Content-Length: 0\r\n\r\n", ""),
        ] {
            let found = read(&format!("{head}{rest}")).unwrap();
            assert_eq!(found, (200, expected.to_owned()), "{rest}");
        }
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n").unwrap().0, 204);
    }

    #[test]
    fn a_body_that_breaks_off_is_an_error() {
        for rest in [
            "Content-Length: 4\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n",
        ] {
            let found = read(&format!("HTTP/1.1 200 OK\r\n{rest}"));
            assert!(matches!(found, Err(Cause::Io(_))), "{rest}: {found:?}");
        }
    }

    #[test]
    fn another_protocol_is_no_answer() {
        for answer in [
            "SSH-2.0 200 x\r\n",
            "HTTP/1.1\r\n\r\n",
            "HTTP/1.1 OK 200\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nHalf",
        ] {
            assert!(matches!(read(answer), Err(Cause::NotHttp)), "{answer}");
        }
        assert!(matches!(read(""), Err(Cause::Io(_))));
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(40 << 10));
        assert!(matches!(read(&long), Err(Cause::NotHttp)));
    }
}
