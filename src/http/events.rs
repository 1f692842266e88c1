//! The stream of changes: a snapshot first, then each change when it happens.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::handlers::age_headers;
use super::limits::Permit;
use super::service::Service;
use super::stream::{Format, StreamWriter};
use super::text;
use crate::base::notify::Notifier;
use crate::base::poll::wait;
use crate::state::{Change, Update, View};

/// The interval at which files are scanned while the watcher cannot tell of their changes.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// A client that follows changes.
pub(super) struct EventStream {
    /// Readable when the state may have changed.
    notifier: Arc<Notifier>,
    pub(super) format: Format,
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
        seen: Option<u64>,
        stale: Option<(Duration, String)>,
        permit: Permit,
    ) -> Self {
        Self {
            notifier,
            format,
            seen,
            stale,
            _permit: permit,
        }
    }

    /// Returns the headers of the answer, besides those of every stream.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        self.stale.iter().flat_map(age_headers).collect()
    }

    /// Sends each change when it happens, until the client goes away or the daemon stops. A client that reads slowly
    /// gets only the last of several changes of one object.
    pub(super) fn send(&self, service: &Service, out: &mut StreamWriter<'_>) -> io::Result<()> {
        let _interest = service.interest();
        // A stream that has begun gets its snapshot even if the daemon stops at that moment.
        let mut seen = self.send_update(service, self.seen, out)?;
        while !service.is_closing() {
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
            seen = self.send_update(service, Some(seen), out)?;
        }
        Ok(())
    }

    /// Sends the changes since a revision. Returns the revision after them.
    fn send_update(
        &self,
        service: &Service,
        seen: Option<u64>,
        out: &mut StreamWriter<'_>,
    ) -> io::Result<u64> {
        match service.update_since(seen) {
            Update::Snapshot(view) => {
                self.send_snapshot(service, &view, out)?;
                Ok(view.revision)
            }
            Update::Changes(changes, revision) => {
                let mut lines = Vec::new();
                for (revision, change) in &changes {
                    self.write_change(service, *revision, change, &mut lines);
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
        out: &mut StreamWriter<'_>,
    ) -> io::Result<()> {
        if self.format == Format::Text {
            let text = text::snapshot(view);
            // A client should see at once that the stream has begun.
            return if text.is_empty() {
                out.heartbeat()
            } else {
                out.write(&[text.as_bytes()])
            };
        }
        let (before, after) = self.format.around(view.revision, "snapshot");
        let body = service.bodies.snapshot(view);
        out.write(&[before.as_bytes(), &body, after.as_bytes()])
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
