//! How many may be served at once, and how long an answer may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Connections at once; the next one is told to come again.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// Of these, streams.
pub(super) const MAX_STREAMS: usize = 32;
/// For a client to take an answer, or a piece of a stream.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many connections and streams there are.
#[derive(Default)]
pub struct Limits {
    connections: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
    answers: Arc<AtomicUsize>,
}

/// One of a limited number; given back when it is dropped.
pub(super) struct Permit(Arc<AtomicUsize>);

impl Limits {
    pub(super) fn connection(&self) -> Option<Permit> {
        Permit::take(&self.connections, MAX_CONNECTIONS)
    }

    pub(super) fn stream(&self) -> Option<Permit> {
        Permit::take(&self.streams, MAX_STREAMS)
    }

    /// For as long as a request is being answered.
    pub(super) fn answer(&self) -> Option<Permit> {
        Permit::take(&self.answers, MAX_CONNECTIONS)
    }

    /// How many requests are being answered.
    pub fn answering(&self) -> usize {
        self.answers.load(Ordering::Acquire)
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
    fn p19_slots_are_limited_and_given_back() {
        let limits = Limits::default();
        let taken: Vec<Permit> = (0..MAX_CONNECTIONS)
            .filter_map(|_| limits.connection())
            .collect();
        assert_eq!(taken.len(), MAX_CONNECTIONS);
        assert!(limits.connection().is_none());
        assert!(limits.stream().is_some());
        drop(taken);
        assert!(limits.connection().is_some());
    }
}
