//! An operation's log as a stream: JSON lines, server-sent events or plain text.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::{Slot, WRITE_TIMEOUT};
use super::response::{Length, encode_head};
use super::socket::{Peer, Socket};
use crate::devcontainer::log::plain_text;
use crate::journal::Journal;
use crate::model::LogLine;
use crate::shared::Shared;
use crate::state::to_line;

/// A quiet stream says that often that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often to look whether anybody still listens.
const LOOK: Duration = Duration::from_secs(1);

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    JsonLines,
    Events,
    Text,
}

/// A log to be sent.
pub(super) struct LogStream {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    /// `None`: there has been no operation.
    pub(super) journal: Option<Arc<Journal>>,
    /// The first line of interest.
    pub(super) from: u64,
    pub(super) format: Format,
    /// Whether to stay until the operation has ended.
    pub(super) follow: bool,
    /// One of the streams that there may be at once.
    pub(super) _slot: Option<Slot>,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/x-ndjson",
            Self::Events => "text/event-stream",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    fn heartbeat(self) -> &'static [u8] {
        match self {
            Self::JsonLines => b"{\"type\":\"heartbeat\"}\n",
            Self::Events => b": heartbeat\n\n",
            Self::Text => b"\n",
        }
    }

    fn write(self, number: u64, line: &LogLine, out: &mut Vec<u8>) {
        match self {
            Self::JsonLines => out.extend(to_line(line)),
            Self::Events => {
                out.extend_from_slice(format!("id: {number}\ndata: ").as_bytes());
                out.extend(to_line(line));
                out.push(b'\n');
            }
            Self::Text => {
                out.extend_from_slice(plain_text(&line.output).as_bytes());
                out.push(b'\n');
            }
        }
    }
}

impl LogStream {
    /// The head of the answer.
    pub(super) fn head(&self, is_1_1: bool, keep_alive: bool) -> Vec<u8> {
        let mut headers = vec![
            ("Content-Type", self.format.content_type().to_owned()),
            ("Cache-Control", "no-store".to_owned()),
        ];
        headers.extend(self.headers.iter().cloned());
        encode_head(self.status, &headers, Length::Stream, is_1_1, keep_alive)
    }

    /// Sends each line when it happens, until the log has ended, nobody reads, or the daemon stops.
    pub(super) fn send(&self, socket: &Socket, is_1_1: bool, shared: &Shared) -> io::Result<()> {
        let mut next = self.from;
        let mut last_sent = Instant::now();
        let mut probed = false;
        let mut until = None;
        while let Some(journal) = &self.journal {
            let wait = if self.follow { LOOK } else { Duration::ZERO };
            let page = journal.read(next, wait);
            let first = page.next - page.lines.len() as u64;
            let mut out = Vec::new();
            for (line, number) in page.lines.iter().zip(first..) {
                self.format.write(number, line, &mut out);
            }
            if out.is_empty() {
                // One that sends no more may be gone: that shows when something is sent to it.
                let probe = match socket.peer() {
                    Peer::Gone => return Err(io::ErrorKind::ConnectionAborted.into()),
                    Peer::Silent => !std::mem::replace(&mut probed, true),
                    Peer::Present => false,
                };
                if self.follow && (probe || last_sent.elapsed() >= HEARTBEAT) {
                    out.extend_from_slice(self.format.heartbeat());
                }
            }
            if !out.is_empty() {
                write_chunk(socket, &out, is_1_1)?;
                last_sent = Instant::now();
            }
            next = page.next;
            let until = *until.get_or_insert(page.end);
            let enough = page.ended || (!self.follow && next >= until);
            if enough || shared.ask(|state| state.is_closing()) {
                break;
            }
        }
        let end: &[u8] = if is_1_1 { b"0\r\n\r\n" } else { b"" };
        socket.write(end, Instant::now() + WRITE_TIMEOUT)
    }
}

fn write_chunk(socket: &Socket, bytes: &[u8], is_1_1: bool) -> io::Result<()> {
    let deadline = Instant::now() + WRITE_TIMEOUT;
    if !is_1_1 {
        return socket.write(bytes, deadline);
    }
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    socket.write(&chunk, deadline)
}
