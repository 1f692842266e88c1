//! When the container list is fresh enough, when it is read anew, and what serves when that fails.

use std::time::{Duration, Instant};

/// How long the last good list serves while listing fails.
const SERVED_FOR: Duration = Duration::from_secs(60);
/// While listing fails it is tried at most once in this time, however many ask.
const TRIED_EVERY: Duration = Duration::from_secs(1);

/// What somebody who asks for the list is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The list is as it should be.
    Fresh,
    /// Listing failed; the last good list, `age` old, serves.
    Stale {
        /// How old it is.
        age: Duration,
        /// Why there is no newer one.
        reason: String,
    },
    /// Listing failed, and there is nothing else.
    Failed(String),
    /// A listing was asked for or is under way: ask again when it has ended.
    Wait,
}

/// A listing that ended.
#[derive(Debug)]
struct Good {
    begun: Instant,
}

#[derive(Debug)]
struct Failure {
    ended: Instant,
    reason: String,
}

/// One listing at a time, for all who wait (P10).
#[derive(Debug)]
pub struct Listing {
    /// How old a list may be.
    cache_for: Duration,
    good: Option<Good>,
    /// Set while the newest attempt is one that failed.
    failure: Option<Failure>,
    running: Option<Instant>,
    wanted: bool,
    /// Something happened then that an older list does not show.
    not_before: Option<Instant>,
    /// Whether the last listing was of no use.
    dropped_last: bool,
}

impl Listing {
    /// A list may be `cache_for` old when somebody asks. The first listing is wanted at once.
    pub fn new(cache_for: Duration) -> Self {
        Self {
            cache_for,
            good: None,
            failure: None,
            running: None,
            wanted: true,
            not_before: None,
            dropped_last: false,
        }
    }

    /// What somebody gets who asked first at `asked`. A listing is wanted from now on where one is needed.
    pub fn ask(&mut self, asked: Instant, now: Instant) -> Freshness {
        let oldest = asked.checked_sub(self.cache_for);
        let fresh = |begun: Instant| {
            oldest.is_none_or(|oldest| begun >= oldest)
                // Whoever asks is owed what was true then.
                && self.not_before.is_none_or(|event| begun >= event.min(asked))
        };
        if self.good.as_ref().is_some_and(|good| fresh(good.begun)) {
            return Freshness::Fresh;
        }
        if let Some(failure) = &self.failure
            && (failure.ended >= asked || now < failure.ended + TRIED_EVERY)
        {
            return self.fall_back(failure.reason.clone(), now);
        }
        if !self.running.is_some_and(fresh) {
            self.wanted = true;
        }
        Freshness::Wait
    }

    /// What serves somebody who has waited long enough.
    pub fn give_up(&self, reason: String, now: Instant) -> Freshness {
        self.fall_back(reason, now)
    }

    fn fall_back(&self, reason: String, now: Instant) -> Freshness {
        match &self.good {
            Some(good) if now < good.begun + SERVED_FOR => Freshness::Stale {
                age: now.saturating_duration_since(good.begun),
                reason,
            },
            _ => Freshness::Failed(reason),
        }
    }

    /// Why the newest attempt failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| &*failure.reason)
    }

    /// Lists from before `event` are out of date, and a new one is wanted at once: what is watched follows from it.
    pub fn invalidate(&mut self, event: Instant) {
        self.not_before = Some(event);
        self.wanted = true;
    }

    /// Whether a listing should begin now; it has begun, if so.
    pub fn begin(&mut self, now: Instant) -> bool {
        let begins = self.wanted && self.running.is_none();
        if begins {
            self.wanted = false;
            self.running = Some(now);
        }
        begins
    }

    /// Whether something happened since the listing under way has begun.
    pub fn is_outdated(&self) -> bool {
        let begun = self.running.zip(self.not_before);
        begun.is_some_and(|(begun, event)| begun < event)
    }

    /// The listing under way has ended and is of no use. `false`: the one before was of none either, and this one must
    /// do, or nobody would ever get one while operations end all the time.
    pub fn again(&mut self) -> bool {
        if std::mem::replace(&mut self.dropped_last, true) {
            return false;
        }
        self.running = None;
        self.wanted = true;
        true
    }

    /// A listing is wanted, though nobody has asked.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// The listing under way has ended, well or with a reason why not.
    pub fn end(&mut self, result: Result<(), String>, now: Instant) {
        let begun = self.running.take().unwrap_or(now);
        self.dropped_last = false;
        match result {
            Ok(()) => {
                self.good = Some(Good { begun });
                self.failure = None;
            }
            Err(reason) => {
                self.failure = Some(Failure { ended: now, reason });
                // It is the answer to all who asked before, also where they wanted a newer one than this.
                self.wanted = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHE: Duration = Duration::from_secs(10);

    /// A listing that began and ended at once, `ok` or not.
    fn attempt(listing: &mut Listing, at: Instant, ok: bool) {
        assert!(listing.begin(at), "nobody wants a listing");
        listing.end(ok.then_some(()).ok_or("down".into()), at);
    }

    fn start() -> (Listing, Instant) {
        (
            Listing::new(CACHE),
            Instant::now() + Duration::from_secs(1000),
        )
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn stale(age: u64) -> Freshness {
        Freshness::Stale {
            age: seconds(age),
            reason: "down".into(),
        }
    }

    #[test]
    fn a_list_serves_for_its_time_and_then_is_read_anew() {
        let (mut listing, t) = start();
        attempt(&mut listing, t, true);
        assert_eq!(
            listing.ask(t + seconds(10), t + seconds(10)),
            Freshness::Fresh
        );
        assert!(!listing.begin(t + seconds(10)));
        assert_eq!(
            listing.ask(t + seconds(11), t + seconds(11)),
            Freshness::Wait
        );
        attempt(&mut listing, t + seconds(11), true);
        assert_eq!(
            listing.ask(t + seconds(11), t + seconds(11)),
            Freshness::Fresh
        );
    }

    #[test]
    fn p10_one_listing_at_a_time_serves_all_who_wait() {
        let (mut listing, t) = start();
        assert!(listing.begin(t));
        for later in 0..100 {
            let now = t + Duration::from_millis(later);
            assert_eq!(listing.ask(now, now), Freshness::Wait);
            assert!(!listing.begin(now));
        }
        listing.end(Ok(()), t + seconds(1));
        assert_eq!(
            listing.ask(t + seconds(1), t + seconds(1)),
            Freshness::Fresh
        );
        assert!(
            !listing.begin(t + seconds(1)),
            "it was read for all of them"
        );
    }

    #[test]
    fn a_listing_from_before_an_event_does_not_show_it() {
        let (mut listing, t) = start();
        attempt(&mut listing, t, true);
        listing.invalidate(t + seconds(2));
        assert_eq!(listing.ask(t + seconds(2), t + seconds(2)), Freshness::Wait);
        assert!(listing.begin(t + seconds(2)));
        listing.invalidate(t + seconds(3));
        assert_eq!(listing.ask(t + seconds(3), t + seconds(3)), Freshness::Wait);
        listing.end(Ok(()), t + seconds(4));
        assert_eq!(listing.ask(t + seconds(3), t + seconds(4)), Freshness::Wait);
        attempt(&mut listing, t + seconds(4), true);
        assert_eq!(
            listing.ask(t + seconds(3), t + seconds(4)),
            Freshness::Fresh
        );
    }

    #[test]
    fn p2_a_good_list_serves_for_60_seconds_while_listing_fails() {
        let (mut listing, t) = start();
        attempt(&mut listing, t, true);
        let ask = |listing: &mut Listing, at: u64| listing.ask(t + seconds(at), t + seconds(at));
        assert_eq!(ask(&mut listing, 20), Freshness::Wait);
        attempt(&mut listing, t + seconds(20), false);
        assert_eq!(ask(&mut listing, 20), stale(20));
        assert_eq!(ask(&mut listing, 59), Freshness::Wait);
        attempt(&mut listing, t + seconds(59), false);
        assert_eq!(ask(&mut listing, 59), stale(59));
        assert_eq!(ask(&mut listing, 61), Freshness::Wait);
        attempt(&mut listing, t + seconds(61), false);
        assert_eq!(ask(&mut listing, 61), Freshness::Failed("down".into()));
        assert_eq!(ask(&mut listing, 63), Freshness::Wait);
        attempt(&mut listing, t + seconds(63), true);
        assert_eq!(ask(&mut listing, 63), Freshness::Fresh);
        assert_eq!(listing.failure(), None);
    }

    #[test]
    fn p2_a_failing_docker_is_tried_once_a_second_however_many_ask() {
        let (mut listing, t) = start();
        let mut attempts = 0;
        for millis in 0..10_000 {
            let now = t + Duration::from_millis(millis);
            listing.ask(now, now);
            if listing.begin(now) {
                attempts += 1;
                listing.end(Err("down".into()), now);
            }
        }
        assert_eq!(attempts, 10);
    }

    #[test]
    fn p2_a_failure_answers_those_who_asked_while_it_was_under_way() {
        let t = start().1;
        let mut listing = Listing::new(Duration::ZERO);
        listing.ask(t, t);
        assert!(listing.begin(t));
        let late = t + Duration::from_millis(1);
        assert_eq!(listing.ask(late, late), Freshness::Wait);
        let ended = t + Duration::from_millis(2);
        listing.end(Err("down".into()), ended);
        let down = Freshness::Failed("down".into());
        assert_eq!(listing.ask(late, ended), down);
        assert!(!listing.begin(ended), "tried again at once");
    }

    #[test]
    fn who_has_waited_long_enough_gets_the_last_good_list() {
        let (mut listing, t) = start();
        assert_eq!(
            listing.give_up("down".into(), t),
            Freshness::Failed("down".into())
        );
        attempt(&mut listing, t, true);
        assert_eq!(listing.give_up("down".into(), t + seconds(5)), stale(5));
    }
}
