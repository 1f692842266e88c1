//! A request that is answered once a dev container has changed.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::limits::Permit;
use super::presence::Presence;
use super::service::Service;
use crate::base::notify::Notifier;
use crate::base::poll::wait;

/// The interval at which the client is checked for its presence, and at which files are scanned while the watcher cannot
/// tell of their changes.
const INTERVAL: Duration = Duration::from_secs(1);

/// A client that waits for another revision of a dev container than it has.
pub(super) struct LongPoll {
    /// The id of the dev container.
    pub(super) id: String,
    /// The revision that the client has.
    pub(super) revision: u64,
    /// When it gets the dev container though nothing has changed.
    pub(super) deadline: Instant,
    /// Readable when the state may have changed.
    pub(super) notifier: Arc<Notifier>,
    /// One of the streams that may be open at once.
    pub(super) _permit: Permit,
}

/// The reason why the wait is over.
pub(super) enum PollEnd {
    /// The dev container has changed or is gone, or the time is over.
    Look,
    /// The daemon stops.
    Closing,
}

impl LongPoll {
    /// Waits until the dev container has another revision, the time is over, or the daemon stops. Fails where the client
    /// is gone.
    pub(super) fn wait(&self, service: &Service, presence: &Presence<'_>) -> io::Result<PollEnd> {
        let _interest = service.interest();
        loop {
            if service.is_closing() {
                return Ok(PollEnd::Closing);
            }
            let now = Instant::now();
            let shown = service.shown_devcontainer(&self.id);
            let is_as_before = shown.is_some_and(|(_, revision)| revision == self.revision);
            if !is_as_before || now >= self.deadline {
                return Ok(PollEnd::Look);
            }
            let mut fds = [PollFd::from_borrowed_fd(
                self.notifier.as_fd(),
                PollFlags::IN,
            )];
            wait(&mut fds, self.deadline.min(now + INTERVAL));
            self.notifier.take();
            presence.check()?;
            if service.watcher_warning().is_some() {
                service.scan();
            }
        }
    }
}
