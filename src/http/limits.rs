//! The bounds of all that a client may cost (P19), and the counters that keep them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Connections at once. For a further one, one that waits for a request is closed.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// Further connections at once while all of those are answered. They get `/healthz`, `/readyz` and `cancel`, or 503.
pub(super) const MAX_RESERVED: usize = 8;
/// Requests on those at once that may have to wait, so that `/healthz` is always answered.
const MAX_RESERVED_WAITS: usize = MAX_RESERVED - 2;
/// Threads of connections that have given way: they are about to end, or wait for what a client that is gone asked for.
pub(super) const MAX_LEAVING: usize = 64;
/// Connections at once of which it is not known yet whose they are. Further ones wait in the kernel's queue.
const MAX_ARRIVING: usize = 16;
/// Streams at once, each on one of the connections.
pub(super) const MAX_STREAMS: usize = 32;
/// Connections of users who are not served that are closed gently at once; further ones are closed abruptly.
const MAX_REFUSALS: usize = 8;
/// Bytes of a request head. Larger ones are rejected.
pub(super) const MAX_HEAD: usize = 8 << 10;
/// Headers of a request.
pub(super) const MAX_HEADERS: usize = 64;
/// Bytes of a request body.
pub(super) const MAX_BODY: u64 = 64 << 10;
/// Bytes of the lines before the chunks of a body.
pub(super) const MAX_FRAMING: u64 = MAX_BODY;
/// For a request head, from its first byte or from the beginning of the connection, and again for a body.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// For a client to take an answer, or a piece of a stream.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// For a client to take more of an answer while others need its place.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two requests of a connection.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// For another revision of an object than the client has.
pub(super) const LONGEST_POLL: Duration = Duration::from_secs(300);
/// For a client to notice that the daemon reads no more of what it sends.
pub(super) const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

/// Counts streams and the connections that have no place.
#[derive(Default)]
pub(super) struct Limits {
    arrivals: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
    reserved_waits: Arc<AtomicUsize>,
    refusals: Arc<AtomicUsize>,
}

/// The right to one of a limited number of places, given back on drop.
pub(super) struct Permit(Arc<AtomicUsize>);

impl Limits {
    /// Returns `None` where [`MAX_ARRIVING`] connections have been accepted whose user is not known yet.
    pub(super) fn arrival(&self) -> Option<Permit> {
        Permit::take(&self.arrivals, MAX_ARRIVING)
    }

    /// Returns `None` where [`MAX_STREAMS`] are open.
    pub(super) fn stream(&self) -> Option<Permit> {
        Permit::take(&self.streams, MAX_STREAMS)
    }

    /// Returns `None` where [`MAX_RESERVED_WAITS`] requests wait on reserved connections.
    pub(super) fn reserved_wait(&self) -> Option<Permit> {
        Permit::take(&self.reserved_waits, MAX_RESERVED_WAITS)
    }

    /// Returns `None` where [`MAX_REFUSALS`] connections are being closed gently.
    pub(super) fn refusal(&self) -> Option<Permit> {
        Permit::take(&self.refusals, MAX_REFUSALS)
    }

    /// Returns how many streams are open.
    pub(super) fn streaming(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }
}

impl Permit {
    fn take(counter: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let add = |count| (count < limit).then_some(count + 1);
        counter
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add)
            .ok()
            .map(|_| Self(counter.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p19_permits_are_limited_and_given_back() {
        let limits = Limits::default();
        let taken: Vec<Permit> = (0..MAX_STREAMS).filter_map(|_| limits.stream()).collect();
        assert_eq!(taken.len(), MAX_STREAMS);
        assert!(limits.stream().is_none());
        assert!(limits.reserved_wait().is_some());
        drop(taken);
        assert!(limits.stream().is_some());
    }
}
