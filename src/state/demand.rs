//! The interest of clients in what changes.

use std::time::{Duration, Instant};

/// A second request within this time shows interest, which lasts for this time after the last request.
const LASTS: Duration = Duration::from_secs(60);

/// Open streams, and requests that come again and again.
#[derive(Debug, Default)]
pub(super) struct Interest {
    streams: usize,
    last: Option<Instant>,
    until: Option<Instant>,
}

impl Interest {
    /// Notes a request. Returns true if interest begins with it. A single request does not count.
    pub(super) fn asked(&mut self, now: Instant) -> bool {
        let before = self.last.replace(now);
        let again = before.is_some_and(|before| now.saturating_duration_since(before) < LASTS);
        let begins = again && !self.is_there(now);
        if again {
            self.until = Some(now + LASTS);
        }
        begins
    }

    /// Notes a stream of changes that was opened.
    pub(super) fn opened(&mut self) {
        self.streams += 1;
    }

    /// Notes a stream of changes that has ended.
    pub(super) fn closed(&mut self, now: Instant) {
        self.streams = self.streams.saturating_sub(1);
        self.until = Some(now + LASTS);
    }

    /// Returns true if there is interest.
    pub(super) fn is_there(&self, now: Instant) -> bool {
        self.has_streams() || self.until.is_some_and(|until| now < until)
    }

    /// Returns true if a client follows changes instead of asking again.
    pub(super) fn has_streams(&self) -> bool {
        self.streams > 0
    }

    /// Returns the time at which interest ends without another request. `None` while there is a stream, or no interest.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.until.filter(|_| !self.has_streams())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_only_repeated_requests_and_streams_show_interest() {
        let mut interest = Interest::default();
        let t = Instant::now();
        let at = |seconds| t + Duration::from_secs(seconds);
        assert!(!interest.asked(at(0)) && !interest.is_there(at(0)));
        assert!(
            !interest.asked(at(60)),
            "a request each minute costs nothing"
        );
        assert!(interest.asked(at(119)) && interest.is_there(at(119)));
        assert!(!interest.asked(at(130)), "it has begun before");
        assert_eq!(interest.ends(), Some(at(190)));
        assert!(interest.is_there(at(189)) && !interest.is_there(at(190)));
        interest.opened();
        assert!(interest.is_there(at(1000)) && interest.ends().is_none());
        interest.closed(at(1000));
        assert!(interest.is_there(at(1059)) && !interest.is_there(at(1060)));
    }
}
