//! An operation's log as a stream: JSON lines, server-sent events or plain text.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::Permit;
use super::socket::{Peer, Socket};
use super::stream::{Format, HEARTBEAT, write_chunk, write_end};
use crate::base::json::to_line;
use crate::base::text::plain_text;
use crate::daemon::operations::journal::Journal;
use crate::daemon::shared::Shared;
use crate::model::api::LogLine;

/// How often to look whether anybody still listens.
const LOOK: Duration = Duration::from_secs(1);

/// A log to be sent.
pub(super) struct LogStream {
    /// `None`: there has been no operation.
    pub(super) journal: Option<Arc<Journal>>,
    /// The first line of interest.
    pub(super) from: u64,
    pub(super) format: Format,
    /// Whether to stay until the operation has ended.
    pub(super) follow: bool,
    /// One of the streams that there may be at once.
    pub(super) _permit: Option<Permit>,
}

impl Format {
    fn write(self, number: u64, line: &LogLine, out: &mut Vec<u8>) {
        match self {
            Self::JsonLines | Self::Events => {
                let (before, after) = self.around(number);
                out.extend_from_slice(before.as_bytes());
                out.extend(to_line(line));
                out.extend_from_slice(after.as_bytes());
            }
            Self::Text => {
                out.extend_from_slice(plain_text(&line.output).as_bytes());
                out.push(b'\n');
            }
        }
    }
}

impl LogStream {
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
                    Peer::HalfClosed => !std::mem::replace(&mut probed, true),
                    Peer::Present => false,
                };
                if self.follow && (probe || last_sent.elapsed() >= HEARTBEAT) {
                    out.extend_from_slice(self.format.heartbeat());
                }
            }
            if !out.is_empty() {
                write_chunk(socket, &[&out], is_1_1)?;
                last_sent = Instant::now();
            }
            next = page.next;
            let until = *until.get_or_insert(page.end);
            let enough = page.ended || (!self.follow && next >= until);
            if enough || shared.read(|state| state.is_closing()) {
                break;
            }
        }
        write_end(socket, is_1_1)
    }
}
