//! The stream of changes: a snapshot first, then each change when it happens.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::encode::encode_snapshot;
use super::filter::{Condition, Filter, Seen};
use super::handlers::age_headers;
use super::limits::Permit;
use super::service::Service;
use super::stream::{Format, StreamWriter};
use super::text;
use crate::base::json::to_line;
use crate::base::notify::Notifier;
use crate::base::poll::wait;
use crate::model::api::Event;
use crate::state::{Change, Update, View};

/// The interval at which files are scanned while the watcher cannot tell of their changes.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// A client that follows changes.
pub(super) struct EventStream {
    /// Readable when the state may have changed.
    notifier: Arc<Notifier>,
    pub(super) format: Format,
    filter: Filter,
    /// The last revision that the client has received, on an earlier stream.
    seen: Option<u64>,
    /// The age of the list that the stream begins with, and the reason why there is no newer one.
    stale: Option<(Duration, String)>,
    /// One of the streams that may be open at once.
    _permit: Permit,
}

impl EventStream {
    /// Creates a stream that goes on after the revision `seen`, if its changes are still known.
    pub(super) fn new(
        notifier: Arc<Notifier>,
        format: Format,
        filter: Filter,
        seen: Option<u64>,
        stale: Option<(Duration, String)>,
        permit: Permit,
    ) -> Self {
        Self {
            notifier,
            format,
            filter,
            seen,
            stale,
            _permit: permit,
        }
    }

    /// Returns the headers of the answer, besides those of every stream.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        self.stale.iter().flat_map(age_headers).collect()
    }

    /// Sends each change when it happens, until the client goes away, the daemon stops, or the condition of the client
    /// holds. A client that reads slowly gets only the last of several changes of one object.
    pub(super) fn send(&self, service: &Service, out: &mut StreamWriter<'_>) -> io::Result<()> {
        let _interest = service.interest();
        let mut seen = Seen::default();
        // A stream that has begun gets its snapshot even if the daemon stops at that moment.
        let mut revision = self.send_update(service, self.seen, &mut seen, out)?;
        let mut is_closing = service.is_closing();
        loop {
            if let Some((until, met)) = self.filter.end(&seen) {
                return self.send_end(revision, until, met, out);
            }
            if is_closing {
                return Ok(());
            }
            out.heartbeat_if_due()?;
            let is_unwatched = service.watcher_warning().is_some();
            let mut until = out.heartbeat_due();
            if is_unwatched {
                until = until.min(Instant::now() + SCAN_INTERVAL);
            }
            self.wait(out, until);
            out.check_peer()?;
            if is_unwatched {
                service.scan();
            }
            // The changes of the last operation come before the end.
            is_closing = service.is_closing();
            revision = self.send_update(service, Some(revision), &mut seen, out)?;
        }
    }

    /// Sends the changes since a revision. Returns the revision after them.
    fn send_update(
        &self,
        service: &Service,
        since: Option<u64>,
        seen: &mut Seen,
        out: &mut StreamWriter<'_>,
    ) -> io::Result<u64> {
        match service.update_since(since) {
            Update::Snapshot(view) => {
                self.send_snapshot(service, &view, seen, out)?;
                Ok(view.revision)
            }
            Update::Changes(changes, revision) => {
                let mut lines = Vec::new();
                for (revision, change) in &changes {
                    if self.filter.passes(change, seen) {
                        self.write_change(service, *revision, change, &mut lines);
                    }
                }
                out.write(&[&lines])?;
                Ok(revision)
            }
        }
    }

    fn send_snapshot(
        &self,
        service: &Service,
        view: &View,
        seen: &mut Seen,
        out: &mut StreamWriter<'_>,
    ) -> io::Result<()> {
        let is_everything = self.filter.is_everything();
        let part = (!is_everything).then(|| self.filter.part(view, seen));
        let part = part.as_ref();
        if self.format == Format::Text {
            let text = text::snapshot(part.unwrap_or(view));
            // A client should see at once that the stream has begun.
            return if text.is_empty() {
                out.heartbeat()
            } else {
                out.write(&[text.as_bytes()])
            };
        }
        let (before, after) = self.format.around(view.revision, "snapshot");
        let body = match part {
            Some(part) => encode_snapshot(part).into(),
            None => service.bodies.snapshot(view),
        };
        out.write(&[before.as_bytes(), &body, after.as_bytes()])
    }

    /// Sends the last line of a stream with a condition.
    fn send_end(
        &self,
        revision: u64,
        until: Condition,
        met: bool,
        out: &mut StreamWriter<'_>,
    ) -> io::Result<()> {
        let until = until.as_str();
        if self.format == Format::Text {
            let how = if met {
                "met"
            } else {
                "the dev container is gone"
            };
            return out.write(&[format!("until {until}: {how}\n").as_bytes()]);
        }
        let (before, after) = self.format.around(revision, "end");
        let line = to_line(&Event::End {
            revision,
            until,
            met,
        });
        out.write(&[before.as_bytes(), &line, after.as_bytes()])
    }

    /// Waits until the state may have changed, the client goes away, or that time has come.
    fn wait(&self, out: &StreamWriter<'_>, until: Instant) {
        // A sending half stays closed: it would end every wait at once.
        let flags = if out.is_probed() {
            PollFlags::empty()
        } else {
            PollFlags::RDHUP
        };
        let mut fds = [
            PollFd::new(out.socket(), flags),
            PollFd::from_borrowed_fd(self.notifier.as_fd(), PollFlags::IN),
        ];
        wait(&mut fds, until);
        self.notifier.take();
    }

    fn write_change(&self, service: &Service, revision: u64, change: &Change, out: &mut Vec<u8>) {
        if self.format == Format::Text {
            out.extend_from_slice(text::change(change).as_bytes());
            return;
        }
        let (before, after) = self.format.around(revision, event_type(change));
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(&service.bodies.change(revision, change));
        out.extend_from_slice(after.as_bytes());
    }
}

/// Returns the `type` of the line for a change.
fn event_type(change: &Change) -> &'static str {
    match change {
        Change::Container(_) => "container",
        Change::Devcontainer(_) => "devcontainer",
        Change::ContainerRemoved(_) => "container_removed",
        Change::DevcontainerRemoved(_) => "devcontainer_removed",
        Change::Warnings(_) => "warnings",
    }
}
