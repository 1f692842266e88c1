//! What all streams have in common: three forms, chunks, heartbeats.

use std::io;
use std::time::{Duration, Instant};

use super::limits::WRITE_TIMEOUT;
use super::response::{Length, encode_head};
use super::socket::Socket;

/// A quiet stream says that often that it is still there.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// What is larger is not copied for each who takes its time.
const MAX_COPIED: usize = 64 << 10;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    JsonLines,
    Events,
    Text,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/x-ndjson",
            Self::Events => "text/event-stream",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    /// The head of the answer.
    pub(super) fn head(self, is_1_1: bool, keep_alive: bool) -> Vec<u8> {
        let headers = [
            ("Content-Type", self.content_type().to_owned()),
            ("Cache-Control", "no-store".to_owned()),
        ];
        encode_head(200, &headers, Length::Stream, is_1_1, keep_alive)
    }

    pub(super) fn heartbeat(self) -> &'static [u8] {
        match self {
            Self::JsonLines => b"{\"type\":\"heartbeat\"}\n",
            Self::Events => b": heartbeat\n\n",
            Self::Text => b"\n",
        }
    }

    /// What stands before and after a line of JSON with this number.
    pub(super) fn around(self, number: u64) -> (String, &'static str) {
        match self {
            Self::Events => (format!("id: {number}\ndata: "), "\n"),
            Self::JsonLines | Self::Text => (String::new(), ""),
        }
    }
}

/// Sends `parts` as one piece.
pub(super) fn write_chunk(socket: &Socket, parts: &[&[u8]], is_1_1: bool) -> io::Result<()> {
    let deadline = Instant::now() + WRITE_TIMEOUT;
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let size = format!("{length:x}\r\n");
    let (before, after): (&[u8], &[u8]) = match is_1_1 {
        true => (size.as_bytes(), b"\r\n"),
        false => (b"", b""),
    };
    let mut small = before.to_vec();
    for part in parts {
        if part.len() > MAX_COPIED {
            socket.write(&small, deadline)?;
            small.clear();
            socket.write(part, deadline)?;
        } else {
            small.extend_from_slice(part);
        }
    }
    small.extend_from_slice(after);
    socket.write(&small, deadline)
}

/// Says that nothing more comes.
pub(super) fn write_end(socket: &Socket, is_1_1: bool) -> io::Result<()> {
    let end: &[u8] = if is_1_1 { b"0\r\n\r\n" } else { b"" };
    socket.write(end, Instant::now() + WRITE_TIMEOUT)
}
