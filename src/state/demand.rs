//! Whether anybody wants to know what changes.

use std::time::{Duration, Instant};

/// Who asks again within this time is interested, and stays so for this time after the last question.
const LASTS: Duration = Duration::from_secs(60);

/// Open streams, and questions that come again and again.
#[derive(Debug, Default)]
pub struct Interest {
    streams: usize,
    last: Option<Instant>,
    until: Option<Instant>,
}

impl Interest {
    /// Somebody asks for what there is. Returns whether interest begins with that: a question alone is none.
    pub fn asked(&mut self, now: Instant) -> bool {
        let before = self.last.replace(now);
        let again = before.is_some_and(|before| now.saturating_duration_since(before) < LASTS);
        let begins = again && !self.is_there(now);
        if again {
            self.until = Some(now + LASTS);
        }
        begins
    }

    /// A stream of changes was opened.
    pub fn opened(&mut self) {
        self.streams += 1;
    }

    /// One of them has ended.
    pub fn closed(&mut self, now: Instant) {
        self.streams = self.streams.saturating_sub(1);
        self.until = Some(now + LASTS);
    }

    /// Whether somebody is interested.
    pub fn is_there(&self, now: Instant) -> bool {
        self.has_streams() || self.until.is_some_and(|until| now < until)
    }

    /// Whether somebody follows changes, and does not ask.
    pub fn has_streams(&self) -> bool {
        self.streams > 0
    }

    /// When interest ends, unless somebody asks again. `None` while there is a stream, or where there is none at all.
    pub fn ends(&self) -> Option<Instant> {
        self.until.filter(|_| !self.has_streams())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_only_who_asks_again_or_follows_is_interested() {
        let mut interest = Interest::default();
        let t = Instant::now();
        let at = |seconds| t + Duration::from_secs(seconds);
        assert!(!interest.asked(at(0)) && !interest.is_there(at(0)));
        assert!(
            !interest.asked(at(60)),
            "a question each minute costs nothing"
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
