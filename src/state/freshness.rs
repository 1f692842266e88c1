//! When the container list is fresh enough, when it is read again, and what serves when that fails.

mod schedule;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use self::schedule::REST_IN_DOUBT;
use super::demand::Interest;
use super::subscription::Subscription;
use crate::model::listing::Fault;

/// How long the last good list serves while listing fails.
const SERVED_FOR: Duration = Duration::from_secs(60);
/// Minimum pause between attempts while listing fails, however many requests come.
const TRIED_EVERY: Duration = Duration::from_secs(1);

/// How many times as old as a request allows a list may be for a scrape, and the age from which it is too old in any case. An
/// idle daemon that is scraped often runs docker once a minute.
const SCRAPED_AT: u32 = 6;
const SCRAPED_LAST: Duration = Duration::from_secs(60);

/// The answer to a request for the container list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The list is fresh enough.
    Fresh,
    /// Listing failed. The last good list serves.
    Stale {
        /// The age of that list.
        age: Duration,
        /// Why there is no newer one.
        reason: String,
    },
    /// Listing failed for this reason, and there is no list that could serve.
    Failed(String),
    /// A listing is wanted or under way: ask again when it has ended.
    Wait,
}

/// How new a list a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// One that may be as old as the settings allow.
    Recent,
    /// One that began after the request came: it is to show that something is not there.
    Newer,
}

/// The last listing that ended well.
#[derive(Debug)]
struct Good {
    /// The list may not show what happened since then, unless events are followed.
    begun: Instant,
    /// The last time at which the list was certainly true.
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
    /// The time of the first event that it follows up.
    oldest: Option<Instant>,
}

/// The last reading, however it ended.
#[derive(Debug)]
struct Last {
    ended: Instant,
    took: Duration,
}

/// The schedule of listings: one at a time, for all who wait (P10).
#[derive(Debug)]
pub(super) struct Listing {
    /// The maximum age of a list that no events keep true.
    cache_for: Duration,
    /// The interest of clients in what changes.
    pub(super) interest: Interest,
    /// The source of the events that keep a list true.
    pub(super) events: Subscription,
    good: Option<Good>,
    /// Set while the newest attempt is a failed one.
    failure: Option<Failure>,
    running: Option<Running>,
    last: Option<Last>,
    /// The time from which on a listing is wanted.
    wanted: Option<Instant>,
    /// True if a request waits for containers that events have named.
    hurry: bool,
    /// The time of a change that older lists do not show.
    not_before: Option<Instant>,
    /// The containers that may have changed then, until a listing reads them.
    changed: HashSet<String>,
    /// The end of the last operation that changed containers. No older list serves any more, even if listing fails.
    must_show: Option<Instant>,
    /// The time at which a named container was left unread. Later lists show it.
    unread: Option<Instant>,
    /// True if the last listing was dropped.
    dropped_last: bool,
    /// The time at which containers are tried again about which docker gave no answer.
    retry_at: Option<Instant>,
}

impl Listing {
    /// Without events, a list may be `cache_for` old when a request comes. The first list is wanted at once.
    pub(super) fn new(cache_for: Duration, now: Instant) -> Self {
        Self {
            cache_for,
            interest: Interest::default(),
            events: Subscription::default(),
            good: None,
            failure: None,
            running: None,
            last: None,
            wanted: Some(now),
            hurry: false,
            not_before: None,
            changed: HashSet::new(),
            must_show: None,
            unread: None,
            dropped_last: false,
            retry_at: None,
        }
    }

    /// Answers a request that came at `asked`. If it needs a listing, one is wanted from now on.
    pub(super) fn ask(&mut self, asked: Instant, need: Need, now: Instant) -> Freshness {
        let is_fresh = match need {
            Need::Recent => self.is_fresh(asked),
            Need::Newer => self.good.as_ref().is_some_and(|good| good.begun >= asked),
        };
        // While listing fails, even a young list may be out of date.
        if self.failure.is_none() && is_fresh {
            return Freshness::Fresh;
        }
        if let Some(failure) = &self.failure
            && (failure.ended >= asked || now < failure.ended + TRIED_EVERY)
        {
            return self.fall_back(failure.reason.clone(), now);
        }
        match need {
            Need::Recent => self.want_recent(asked, now),
            Need::Newer => {
                let running = self.running.as_ref();
                if !running.is_some_and(|running| running.is_full && running.begun >= asked) {
                    self.want(now);
                }
            }
        }
        Freshness::Wait
    }

    /// Wants what a request that came at `asked` waits for, if it is not under way.
    fn want_recent(&mut self, asked: Instant, now: Instant) {
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
    }

    /// Returns true if the list shows what was true at `asked`, as far as a request may expect that.
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

    /// Returns true if a list that began at `begun` is recent enough for a request at `asked`, without events.
    fn is_recent(&self, begun: Instant, asked: Instant) -> bool {
        let oldest = asked.checked_sub(self.cache_for);
        oldest.is_none_or(|oldest| begun >= oldest)
            && self.unread.is_none_or(|unread| begun >= unread)
            && self.is_since_the_last_event(begun, asked)
    }

    /// A request may expect what was true when it came, and nothing later.
    fn is_since_the_last_event(&self, begun: Instant, asked: Instant) -> bool {
        self.not_before
            .is_none_or(|event| begun >= event.min(asked))
    }

    /// Returns true if events keep the last good list true.
    pub(super) fn follows_events(&self) -> bool {
        let both = self.good.as_ref().zip(self.events.since());
        both.is_some_and(|(good, since)| good.begun >= since)
    }

    /// Returns what serves a request that has waited long enough: the last good list, if it is not too old, and shows
    /// what operations have done (P20).
    pub(super) fn fall_back(&self, reason: String, now: Instant) -> Freshness {
        match &self.good {
            Some(good) if now < good.as_of + SERVED_FOR && !self.owes_list() => Freshness::Stale {
                age: now.saturating_duration_since(good.as_of),
                reason,
            },
            _ => Freshness::Failed(reason),
        }
    }

    /// Returns the age of the last good list, whatever it is, and the reason why there is no newer one; `None` while
    /// listing does not fail, or if there is no list.
    pub(super) fn staleness(&self, now: Instant) -> Option<(Duration, String)> {
        let (failure, good) = self.failure.as_ref().zip(self.good.as_ref())?;
        let age = now.saturating_duration_since(good.as_of);
        Some((age, failure.reason.clone()))
    }

    /// Returns the age of the last good list. It is 0 while events keep that true.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        let good = self.good.as_ref()?;
        let age = now.saturating_duration_since(good.as_of);
        Some(if self.follows_events() {
            Duration::ZERO
        } else {
            age
        })
    }

    /// Takes a scrape of the metrics, which shows what is known and waits for nothing. If it is long since docker was last
    /// asked, a listing is wanted from now on, so that the next scrape shows whether docker answers. Returns whether one is.
    pub(super) fn scraped(&mut self, now: Instant) -> bool {
        let failed = self.failure.as_ref().map(|failure| failure.ended);
        let tried = failed.or(self.good.as_ref().map(|good| good.begun));
        let patience = (self.cache_for * SCRAPED_AT).clamp(TRIED_EVERY, SCRAPED_LAST);
        let is_old = tried.is_some_and(|tried| now >= tried + patience);
        let wants_list = is_old && self.running.is_none() && !self.follows_events();
        if wants_list {
            self.want(now);
        }
        wants_list
    }

    /// Returns true if the last good list does not show what operations have done.
    pub(super) fn owes_list(&self) -> bool {
        let good = self.good.as_ref();
        self.must_show
            .is_some_and(|end| good.is_none_or(|good| good.begun < end))
    }

    /// Returns when the listing under way began, if it is one of all containers.
    pub(super) fn running_since(&self) -> Option<Instant> {
        let running = self.running.as_ref().filter(|running| running.is_full);
        running.map(|running| running.begun)
    }

    /// Returns the reason why the newest attempt failed, if it did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|failure| &*failure.reason)
    }

    /// Lists from before `event` are out of date. A new one is wanted at once, because files are watched by it. Of the
    /// known containers, `ids` may have changed.
    pub(super) fn invalidate(&mut self, event: Instant, ids: Vec<String>) {
        self.not_before = Some(event);
        self.changed.extend(ids);
        self.want(event);
    }

    /// An operation has ended at `end` and has changed containers.
    pub(super) fn must_show(&mut self, end: Instant) {
        self.must_show = Some(end);
    }

    /// A listing is wanted from `time` on, also without a request.
    pub(super) fn want(&mut self, time: Instant) {
        self.wanted = Some(self.wanted.map_or(time, |wanted| wanted.min(time)));
    }

    /// Events came that name these containers.
    pub(super) fn events_named(&mut self, ids: HashSet<String>, now: Instant) {
        self.hold(now);
        if !self.events.reported(ids, now) {
            self.doubt(now);
            let rested = self.rested(REST_IN_DOUBT);
            self.want(rested.map_or(now, |rested| now.max(rested)));
        }
    }

    /// Events that are followed show that the list was true until now.
    fn hold(&mut self, now: Instant) {
        if self.follows_events()
            && let Some(good) = &mut self.good
        {
            good.as_of = now;
        }
    }

    /// Every list from before is in doubt.
    fn doubt(&mut self, now: Instant) {
        self.events.doubt(now);
        self.unread = Some(now);
    }

    /// The events child ended by itself.
    pub(super) fn events_failed(&mut self, fault: Fault, now: Instant) {
        self.hold(now);
        self.events.failed(fault);
    }

    /// The events child is gone: because of this fault, or, with `None`, because it is not needed.
    pub(super) fn events_stopped(&mut self, fault: Option<&Fault>, now: Instant) {
        if self.events.stopped(fault, now) {
            self.unread = Some(now);
        }
        // While listing fails, it is tried again anyway.
        if fault.is_some() && self.failure.is_none() {
            // The next child begins with a listing. A long backoff does not delay it.
            let next = self.events.restart_at().unwrap_or(now);
            let soon = self.rested(REST_IN_DOUBT).unwrap_or(now);
            self.want(next.min(soon.max(now + TRIED_EVERY)));
        }
    }

    /// An events child is started. It keeps true what the next listing shows.
    pub(super) fn events_started(&mut self, now: Instant) {
        self.events.started(now);
        self.want(now);
    }

    /// Returns true if events have been followed for a while, so that the log may say so.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        self.follows_events() && self.events.is_settled(now)
    }

    /// Returns true if something was listed, well or not.
    pub(super) fn has_tried(&self) -> bool {
        self.last.is_some()
    }

    /// Returns true if the listing under way is of all containers.
    pub(super) fn is_full(&self) -> bool {
        let running = self.running.as_ref();
        running.is_none_or(|running| running.is_full)
    }

    /// Returns true if lists from the beginning of the listing under way are out of date by now.
    pub(super) fn is_outdated(&self) -> bool {
        let begun = self.running.as_ref().zip(self.not_before);
        begun.is_some_and(|(running, event)| running.begun < event)
    }

    /// Drops the listing under way, which is out of date, and wants another one. Returns false if the one before was
    /// dropped, too, so that this one must do: while operations end all the time, there would never be a list.
    pub(super) fn drop_running(&mut self, now: Instant) -> bool {
        if std::mem::replace(&mut self.dropped_last, true) {
            return false;
        }
        self.running = None;
        self.want(now);
        true
    }

    /// The listing under way ended, well or for this reason.
    pub(super) fn end(&mut self, result: Result<(), String>, now: Instant) {
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
                // The failure answers all earlier requests, also those that wanted a newer listing.
                self.wanted = None;
            }
            // A listing of all containers shows why.
            (Err(_), false) => {
                self.doubt(now);
                self.want(now);
            }
        }
    }

    /// Takes what else the listing that just ended has found: changes of containers that no event has reported, and the
    /// time at which containers are tried again about which docker gave no answer.
    pub(super) fn found(
        &mut self,
        unreported: Vec<String>,
        retry_at: Option<Instant>,
        now: Instant,
    ) {
        self.events.found(unreported, now);
        self.retry_at = retry_at;
    }
}
