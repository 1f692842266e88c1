//! Streams: their three formats, chunks, heartbeats, and clients that go away.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use super::limits::WRITE_TIMEOUT;
use super::request::Version;
use super::response::{Caching, ContentType, Delivery, Head, Length};
use super::socket::{Peer, Socket};

/// The longest silence of a stream.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The format of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    JsonLines,
    /// Server-sent events (WHATWG HTML, section 9.2).
    Events,
    Text,
}

impl Format {
    /// Returns its media type, which no other format has.
    pub(super) fn content_type(self) -> ContentType {
        match self {
            Self::JsonLines => ContentType::JsonLines,
            Self::Events => ContentType::EventStream,
            Self::Text => ContentType::Text,
        }
    }

    /// Returns the head of the answer, with these further headers.
    pub(super) fn head<'a>(
        self,
        headers: &'a [(&'static str, String)],
        delivery: Delivery,
    ) -> Head<'a> {
        Head {
            status: 200,
            content_type: Some(self.content_type()),
            caching: Caching::Never,
            headers,
            varies_by_accept: false,
            length: Length::Stream,
            delivery,
        }
    }

    fn heartbeat(self) -> &'static [u8] {
        match self {
            Self::JsonLines => b"{\"type\":\"heartbeat\"}\n",
            Self::Events => b": heartbeat\n\n",
            Self::Text => b"\n",
        }
    }

    /// Returns the text at the beginning of a stream: how long a browser waits before it connects again.
    pub(super) fn preamble(self) -> &'static [u8] {
        match self {
            Self::Events => b"retry: 1000\n\n",
            Self::JsonLines | Self::Text => b"",
        }
    }

    /// Returns the text before and after a line of JSON that has this id and is an event of this type.
    pub(super) fn around(self, id: u64, event: &str) -> (String, &'static str) {
        match self {
            Self::Events => (format!("id: {id}\nevent: {event}\ndata: "), "\n"),
            Self::JsonLines | Self::Text => (String::new(), ""),
        }
    }
}

/// Writes a stream to a client, and notices when it goes away.
pub(super) struct StreamWriter<'a> {
    socket: &'a Socket,
    version: Version,
    format: Format,
    last_sent: Instant,
    /// A heartbeat was sent to find out if a client that closed its sending half still reads.
    is_probed: bool,
}

impl<'a> StreamWriter<'a> {
    pub(super) fn new(socket: &'a Socket, version: Version, format: Format) -> Self {
        Self {
            socket,
            version,
            format,
            last_sent: Instant::now(),
            is_probed: false,
        }
    }

    pub(super) fn socket(&self) -> &'a Socket {
        self.socket
    }

    /// True once the client is known to have closed its sending half.
    pub(super) fn is_probed(&self) -> bool {
        self.is_probed
    }

    /// Sends `parts` as one chunk. Sends nothing where they are empty, because an empty chunk ends a stream.
    pub(super) fn write(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length == 0 {
            return Ok(());
        }
        let (before, after) = match self.version {
            Version::Http10 => (String::new(), ""),
            Version::Http11 => (format!("{length:x}\r\n"), "\r\n"),
        };
        let framed = [before.as_bytes()].into_iter().chain(parts.iter().copied());
        let framed = framed.chain([after.as_bytes()]);
        let mut framed: Vec<IoSlice<'_>> = framed.map(IoSlice::new).collect();
        self.socket.write_all(&mut framed, WRITE_TIMEOUT)?;
        self.last_sent = Instant::now();
        Ok(())
    }

    pub(super) fn heartbeat(&mut self) -> io::Result<()> {
        self.write(&[self.format.heartbeat()])
    }

    /// Returns when the next heartbeat is due.
    pub(super) fn heartbeat_due(&self) -> Instant {
        self.last_sent + HEARTBEAT
    }

    pub(super) fn heartbeat_if_due(&mut self) -> io::Result<()> {
        if Instant::now() < self.heartbeat_due() {
            return Ok(());
        }
        self.heartbeat()
    }

    /// Fails where the client is gone. A client that closed its sending half may still read: it is sent a heartbeat
    /// once, which resets the connection of a client that is gone.
    pub(super) fn check_peer(&mut self) -> io::Result<()> {
        match self.socket.peer() {
            Peer::Present => Ok(()),
            Peer::Gone => Err(io::ErrorKind::ConnectionAborted.into()),
            Peer::HalfClosed if self.is_probed => Ok(()),
            Peer::HalfClosed => {
                self.is_probed = true;
                self.heartbeat()
            }
        }
    }

    /// Marks the end of the stream.
    pub(super) fn finish(self) -> io::Result<()> {
        let end: &[u8] = match self.version {
            Version::Http10 => b"",
            Version::Http11 => b"0\r\n\r\n",
        };
        self.socket.write(end, WRITE_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use crate::http::socket::Stream;

    /// Returns the bytes that a client receives.
    fn received(version: Version, write: impl FnOnce(&mut StreamWriter<'_>)) -> String {
        let (mut client, server) = UnixStream::pair().unwrap();
        let socket = Socket::new(Stream::Unix(server));
        let mut out = StreamWriter::new(&socket, version, Format::JsonLines);
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            text
        });
        write(&mut out);
        out.finish().unwrap();
        drop(socket);
        reader.join().unwrap()
    }

    #[test]
    fn parts_are_one_chunk_and_no_parts_are_none() {
        let write = |out: &mut StreamWriter<'_>| {
            out.write(&[b"ab", b"", b"cd"]).unwrap();
            out.write(&[b""]).unwrap();
            out.heartbeat().unwrap();
        };
        let heartbeat = "{\"type\":\"heartbeat\"}\n";
        let chunked = format!("4\r\nabcd\r\n15\r\n{heartbeat}\r\n0\r\n\r\n");
        assert_eq!(heartbeat.len(), 0x15);
        assert_eq!(received(Version::Http11, write), chunked);
        assert_eq!(received(Version::Http10, write), format!("abcd{heartbeat}"));
    }

    #[test]
    fn large_parts_keep_their_place() {
        // Larger than the buffers of a socket.
        let large = "x".repeat(1 << 20);
        let write = |out: &mut StreamWriter<'_>| {
            out.write(&[b"a", large.as_bytes(), b"b"]).unwrap();
        };
        assert_eq!(received(Version::Http10, write), format!("a{large}b"));
    }
}
