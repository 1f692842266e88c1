//! The log of an operation as a stream: JSON lines, server-sent events or plain text.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::limits::Permit;
use super::service::Service;
use super::stream::{Format, StreamWriter};
use crate::base::json::write_line;
use crate::base::text::plain_text;
use crate::daemon::operations::journal::{Journal, PAGE, Page};
use crate::model::api::LogLine;

/// The interval at which a client that follows a silent operation is checked for its presence.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);

/// A log to send.
pub(super) struct LogStream {
    /// `None` before the first operation.
    pub(super) journal: Option<Arc<Journal>>,
    /// The number of the first line to send.
    pub(super) from: u64,
    pub(super) format: Format,
    pub(super) end: LogEnd,
}

/// The point at which a log stream ends.
pub(super) enum LogEnd {
    /// The last line that is there when the stream begins.
    Now,
    /// The end of the operation.
    Operation {
        /// One of the streams that may be open at once.
        _permit: Permit,
    },
}

impl LogStream {
    /// Sends each line when it is written, until the log ends, the client goes away, or the daemon stops.
    pub(super) fn send(&self, service: &Service, out: &mut StreamWriter<'_>) -> io::Result<()> {
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let wait = match self.end {
            LogEnd::Now => Duration::ZERO,
            LogEnd::Operation { .. } => PRESENCE_INTERVAL,
        };
        let mut next = self.from;
        let mut end_at_first = None;
        loop {
            let page = journal.read(next, wait);
            if !page.lines.is_empty() {
                out.write(&[&self.rendered(journal, next, &page)])?;
            } else if matches!(self.end, LogEnd::Operation { .. }) {
                out.check_peer()?;
                out.heartbeat_if_due()?;
            }
            next = page.next;
            let end = *end_at_first.get_or_insert(page.end);
            let is_sent = matches!(self.end, LogEnd::Now) && next >= end;
            if page.ended || is_sent || (page.lines.is_empty() && service.is_closing()) {
                return Ok(());
            }
        }
    }

    /// Returns the bytes of a page, which was asked for from line `from` on.
    fn rendered(&self, journal: &Journal, from: u64, page: &Page) -> Arc<[u8]> {
        let first = page.next - page.lines.len() as u64;
        let render = || {
            let mut bytes = Vec::with_capacity(PAGE);
            for (number, line) in (first..).zip(&page.lines) {
                self.format.write_line(number, line, &mut bytes);
            }
            bytes
        };
        let form = self.format.content_type().as_str();
        // Only those who follow a running operation read the same page at the same time.
        if page.ended || matches!(self.end, LogEnd::Now) {
            return render().into();
        }
        journal.rendering.get(form, from..page.next, render)
    }
}

impl Format {
    fn write_line(self, number: u64, line: &LogLine, out: &mut Vec<u8>) {
        match self {
            Self::JsonLines | Self::Events => {
                let event = if line.outcome.is_some() {
                    "outcome"
                } else {
                    "line"
                };
                let (before, after) = self.around(number, event);
                out.extend_from_slice(before.as_bytes());
                write_line(line, out);
                out.extend_from_slice(after.as_bytes());
            }
            Self::Text => {
                out.extend_from_slice(plain_text(&line.output).as_bytes());
                out.push(b'\n');
                if let Some(outcome) = line.outcome {
                    out.extend_from_slice(b"outcome: ");
                    out.extend_from_slice(outcome.as_str().as_bytes());
                    out.push(b'\n');
                }
            }
        }
    }
}
