//! When the container list is fresh enough, what is read anew and when, and what serves when that fails.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::demand::Interest;
use super::subscription::Events;
use crate::model::listing::{Fault, Scope};

/// How long the last good list serves while listing fails.
const SERVED_FOR: Duration = Duration::from_secs(60);
/// While listing fails it is tried at most once in this time, however many ask.
const TRIED_EVERY: Duration = Duration::from_secs(1);
/// While events are followed, all is listed that often, in case that one was lost.
const LISTED_EVERY: Duration = Duration::from_secs(60);
/// For those who follow changes where there are no events, it is listed at most that often.
const POLLED_EVERY: Duration = Duration::from_secs(1);
/// The same while there should be events: that often, and docker gets four times as much rest as it has work.
const POLLED_IN_FAULT: Duration = Duration::from_millis(1500);
/// Between two readings docker gets as much rest as the first one took, up to these: between two of what events name,
/// and before a listing because of a doubt.
const REST: Duration = Duration::from_millis(100);
const REST_IN_DOUBT: Duration = Duration::from_millis(500);

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

/// The last listing that ended well.
#[derive(Debug)]
struct Good {
    /// What happened since then it may not show, unless events tell.
    begun: Instant,
    /// The last time that it was certainly true.
    as_of: Instant,
}

#[derive(Debug)]
struct Failure {
    ended: Instant,
    reason: String,
}

#[derive(Debug)]
struct Running {
    begun: Instant,
    is_full: bool,
    /// When the first event came that it follows up.
    oldest: Option<Instant>,
}

/// The last reading, however it ended.
#[derive(Debug)]
struct Last {
    ended: Instant,
    took: Duration,
}

/// One listing at a time, for all who wait (P10).
#[derive(Debug)]
pub struct Listing {
    /// How old a list may be that no events keep true.
    cache_for: Duration,
    /// Who wants to know what changes.
    pub interest: Interest,
    /// What tells what changes.
    pub(super) events: Events,
    good: Option<Good>,
    /// Set while the newest attempt is one that failed.
    failure: Option<Failure>,
    running: Option<Running>,
    last: Option<Last>,
    /// From then on, a listing is to begin.
    wanted: Option<Instant>,
    /// Whether somebody waits for what events have named.
    hurry: bool,
    /// Something happened then that an older list does not show.
    not_before: Option<Instant>,
    /// Something was named then that nobody has read, and that a later list shows.
    unread: Option<Instant>,
    /// Whether the last listing was of no use.
    dropped_last: bool,
    /// When a container is to be tried again that docker said nothing about.
    retry_at: Option<Instant>,
}

impl Listing {
    /// A list may be `cache_for` old when somebody asks and no events are followed. The first one is wanted at once.
    pub fn new(cache_for: Duration, now: Instant) -> Self {
        Self {
            cache_for,
            interest: Interest::default(),
            events: Events::default(),
            good: None,
            failure: None,
            running: None,
            last: None,
            wanted: Some(now),
            hurry: false,
            not_before: None,
            unread: None,
            dropped_last: false,
            retry_at: None,
        }
    }

    /// What somebody gets who asked first at `asked`. A listing is wanted from now on where one is needed.
    pub fn ask(&mut self, asked: Instant, now: Instant) -> Freshness {
        if self.is_fresh(asked) {
            return Freshness::Fresh;
        }
        if let Some(failure) = &self.failure
            && (failure.ended >= asked || now < failure.ended + TRIED_EVERY)
        {
            return self.fall_back(failure.reason.clone(), now);
        }
        let good = self.good.as_ref().map(|good| good.begun);
        let is_current = good.is_some_and(|begun| self.is_since_the_last_event(begun, asked));
        match &self.running {
            Some(running) if running.is_full && self.is_recent(running.begun, asked) => {}
            _ if is_current && self.follows_events() => {
                let pending = self.events.oldest();
                self.hurry |= pending.is_some_and(|oldest| oldest <= asked);
            }
            _ => self.want(now),
        }
        Freshness::Wait
    }

    /// Whether the list holds what was true at `asked`, as far as anybody is owed that.
    fn is_fresh(&self, asked: Instant) -> bool {
        let Some(good) = &self.good else { return false };
        if !self.follows_events() {
            return self.is_recent(good.begun, asked);
        }
        let reading = self.running.as_ref().and_then(|running| running.oldest);
        let unread = reading.or(self.events.oldest());
        self.is_since_the_last_event(good.begun, asked)
            && unread.is_none_or(|oldest| oldest > asked)
    }

    /// Whether a list from then will do for somebody who asked at `asked`, without events.
    fn is_recent(&self, begun: Instant, asked: Instant) -> bool {
        let oldest = asked.checked_sub(self.cache_for);
        oldest.is_none_or(|oldest| begun >= oldest)
            && self.unread.is_none_or(|unread| begun >= unread)
            && self.is_since_the_last_event(begun, asked)
    }

    /// Whoever asks is owed what was true then.
    fn is_since_the_last_event(&self, begun: Instant, asked: Instant) -> bool {
        self.not_before
            .is_none_or(|event| begun >= event.min(asked))
    }

    /// Whether events keep the last good list true.
    pub fn follows_events(&self) -> bool {
        let both = self.good.as_ref().zip(self.events.since());
        both.is_some_and(|(good, since)| good.begun >= since)
    }

    /// What serves somebody who has waited long enough.
    pub fn give_up(&self, reason: String, now: Instant) -> Freshness {
        self.fall_back(reason, now)
    }

    fn fall_back(&self, reason: String, now: Instant) -> Freshness {
        match &self.good {
            Some(good) if now < good.as_of + SERVED_FOR => Freshness::Stale {
                age: now.saturating_duration_since(good.as_of),
                reason,
            },
            _ => Freshness::Failed(reason),
        }
    }

    /// Why the newest attempt failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| &*failure.reason)
    }

    /// Lists from before `event` are out of date, and a new one is wanted at once: what is watched follows from it. Of
    /// what was known before, `ids` may have changed.
    pub fn invalidate(&mut self, event: Instant, ids: Vec<String>) {
        self.not_before = Some(event);
        self.events.name(ids);
        self.want(event);
    }

    /// A listing is wanted from `time` on, though nobody may have asked.
    pub fn want(&mut self, time: Instant) {
        self.wanted = Some(self.wanted.map_or(time, |wanted| wanted.min(time)));
    }

    /// Events came that name these containers.
    pub fn told(&mut self, ids: HashSet<String>, now: Instant) {
        self.hold(now);
        if !self.events.told(ids, now) {
            self.doubt(now);
            let rested = self.rested(REST_IN_DOUBT);
            self.want(rested.map_or(now, |rested| now.max(rested)));
        }
    }

    /// Until now the list was true, if events were followed.
    fn hold(&mut self, now: Instant) {
        if self.follows_events()
            && let Some(good) = &mut self.good
        {
            good.as_of = now;
        }
    }

    /// Nothing that was known before holds any more.
    fn doubt(&mut self, now: Instant) {
        self.events.take();
        self.events.doubt(now);
        self.unread = Some(now);
    }

    /// The events child has ended by itself, and this is why.
    pub fn events_over(&mut self, why: Fault, now: Instant) {
        self.hold(now);
        self.events.over(why);
    }

    /// There is no events child any more; `fault`: though it is needed.
    pub fn events_ended(&mut self, fault: Option<&Fault>, now: Instant) {
        if self.events.ended(fault, now) {
            self.unread = Some(now);
        }
        // While listing fails, it is tried again anyway.
        if fault.is_some() && self.failure.is_none() {
            // The next child begins with a listing; until then this one has to do.
            let next = self.events.start_at().unwrap_or(now);
            let soon = self.rested(REST_IN_DOUBT).unwrap_or(now);
            self.want(next.min(soon.max(now + TRIED_EVERY)));
        }
    }

    /// An events child was started. The list is as it says after the next listing.
    pub fn events_started(&mut self, now: Instant) {
        self.events.started(now);
        self.want(now);
    }

    /// Whether events have been followed for a while, and may be said to be.
    pub fn is_settled(&self, now: Instant) -> bool {
        self.follows_events() && self.events.is_settled(now)
    }

    /// When docker has had some rest, at most `limit`, after what it was last asked.
    fn rested(&self, limit: Duration) -> Option<Instant> {
        let last = self.last.as_ref();
        last.map(|last| last.ended + last.took.min(limit))
    }

    /// When all is to be listed, if it is.
    fn full_due(&self) -> Option<Instant> {
        let good = self.good.as_ref();
        let regular = match &self.failure {
            _ if self.follows_events() => good.map(|good| good.begun + LISTED_EVERY),
            Some(failure) => Some(failure.ended + TRIED_EVERY),
            None => good.map(|good| good.begun + self.polled_every()),
        };
        let regular = regular.filter(|_| self.follows_events() || self.interest.has_streams());
        earliest([self.wanted, regular])
    }

    fn polled_every(&self) -> Duration {
        let took = self.last.as_ref().map_or(Duration::ZERO, |last| last.took);
        let as_allowed = self.cache_for.max(POLLED_EVERY);
        match self.events.is_at_fault() {
            true => as_allowed.min(POLLED_IN_FAULT.max(took * 5)),
            false => as_allowed,
        }
    }

    /// When what events name is to be read, if there is something.
    fn named_due(&self) -> Option<Instant> {
        let named = match self.hurry {
            true => self.events.oldest(),
            false => self.events.due(),
        };
        let due = earliest([named, self.retry_at]).filter(|_| self.follows_events());
        due.map(|due| self.rested(REST).map_or(due, |rested| due.max(rested)))
    }

    /// When something is to be read, if nobody asks before.
    pub fn due(&self) -> Option<Instant> {
        earliest([self.full_due(), self.named_due()]).filter(|_| self.running.is_none())
    }

    /// What should be read now; that has begun, if there is anything.
    pub fn begin(&mut self, now: Instant) -> Option<Scope> {
        self.due().filter(|due| *due <= now)?;
        let is_full = self.full_due().is_some_and(|due| due <= now);
        let follows_events = self.follows_events();
        let (named, oldest) = self.events.take();
        self.hurry = false;
        if is_full {
            self.wanted = None;
            self.hold(now);
        }
        self.running = Some(Running {
            begun: now,
            is_full,
            oldest,
        });
        Some(match is_full {
            true if follows_events => Scope::Changed(named),
            true => Scope::All,
            false => Scope::Named(named),
        })
    }

    /// Whether the listing under way is of all that there are.
    pub(super) fn is_full(&self) -> bool {
        let running = self.running.as_ref();
        running.is_none_or(|running| running.is_full)
    }

    /// Whether something happened since the listing under way has begun.
    pub fn is_outdated(&self) -> bool {
        let begun = self.running.as_ref().zip(self.not_before);
        begun.is_some_and(|(running, event)| running.begun < event)
    }

    /// The listing under way has ended and is of no use. `false`: the one before was of none either, and this one must
    /// do, or nobody would ever get one while operations end all the time.
    pub fn again(&mut self, now: Instant) -> bool {
        if std::mem::replace(&mut self.dropped_last, true) {
            return false;
        }
        self.running = None;
        self.want(now);
        true
    }

    /// The listing under way has ended, well or with a reason why not.
    pub fn end(&mut self, result: Result<(), String>, now: Instant) {
        let is_full = self.is_full();
        let running = self.running.take();
        let begun = running.map_or(now, |running| running.begun);
        let took = now.saturating_duration_since(begun);
        self.last = Some(Last { ended: now, took });
        self.dropped_last = false;
        match (result, is_full) {
            (Ok(()), true) => {
                if self.failure.take().is_some() {
                    self.events.engine_is_back();
                }
                let as_of = begun;
                self.good = Some(Good { begun, as_of });
            }
            (Ok(()), false) => {
                if let Some(good) = &mut self.good {
                    good.as_of = good.as_of.max(begun);
                }
            }
            (Err(reason), true) => {
                self.failure = Some(Failure { ended: now, reason });
                if self.events.has_child() {
                    self.doubt(now);
                }
                // It is the answer to all who asked before, also where they wanted a newer one than this.
                self.wanted = None;
            }
            // A listing will tell why.
            (Err(_), false) => {
                self.doubt(now);
                self.want(now);
            }
        }
    }

    /// What the listing that has just ended found beside what was asked: of these containers no event has told that they
    /// changed, and one that docker said nothing about is to be tried again at `retry_at`.
    pub fn found(&mut self, untold: Vec<String>, retry_at: Option<Instant>, now: Instant) {
        self.events.found(untold, now);
        self.retry_at = retry_at;
    }
}

/// The first of several times.
pub(super) fn earliest<const N: usize>(times: [Option<Instant>; N]) -> Option<Instant> {
    times.into_iter().flatten().min()
}
