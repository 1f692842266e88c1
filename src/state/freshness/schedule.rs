//! When containers are read next.

use std::time::{Duration, Instant};

use super::{Listing, Running, TRIED_EVERY};
use crate::model::listing::Scope;
use crate::state::step::earliest;

/// Interval between listings of all containers while events are followed, in case an event was lost.
const LISTED_EVERY: Duration = Duration::from_secs(60);
/// Minimum poll interval for streams where there are no events.
const POLLED_EVERY: Duration = Duration::from_secs(1);
/// Poll interval after a failure of events: at least this long, and at least five times the last listing.
const POLLED_IN_FAULT: Duration = Duration::from_millis(1500);
/// Between two readings docker rests for as long as the first took, up to these: before named containers are read, and
/// before a listing because of a doubt.
const REST: Duration = Duration::from_millis(100);
pub(super) const REST_IN_DOUBT: Duration = Duration::from_millis(500);

impl Listing {
    /// Returns the time at which docker has rested from the last reading, for `limit` at most.
    pub(super) fn rested(&self, limit: Duration) -> Option<Instant> {
        let last = self.last.as_ref();
        last.map(|last| last.ended + last.took.min(limit))
    }

    /// Returns the time at which all containers are to be listed.
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
        if self.events.is_at_fault() {
            as_allowed.min(POLLED_IN_FAULT.max(took * 5))
        } else {
            as_allowed
        }
    }

    /// Returns the time at which named containers are to be read.
    fn named_due(&self) -> Option<Instant> {
        let named = if self.hurry {
            self.events.oldest()
        } else {
            self.events.due()
        };
        let due = earliest([named, self.retry_at]).filter(|_| self.follows_events());
        due.map(|due| self.rested(REST).map_or(due, |rested| due.max(rested)))
    }

    /// Returns the time of the next reading, unless a request comes before.
    pub(in crate::state) fn due(&self) -> Option<Instant> {
        earliest([self.full_due(), self.named_due()]).filter(|_| self.running.is_none())
    }

    /// Returns the scope of the reading that is due, which has begun with that.
    pub(in crate::state) fn begin(&mut self, now: Instant) -> Option<Scope> {
        self.due().filter(|due| *due <= now)?;
        let is_full = self.full_due().is_some_and(|due| due <= now);
        let follows_events = self.follows_events();
        let (mut named, oldest) = self.events.take();
        self.hurry = false;
        if is_full {
            named.extend(std::mem::take(&mut self.changed));
            self.wanted = None;
            self.hold(now);
        }
        self.running = Some(Running {
            begun: now,
            is_full,
            oldest,
        });
        Some(if !is_full {
            Scope::Named(named)
        } else if follows_events {
            Scope::Changed(named)
        } else {
            Scope::All(named)
        })
    }
}
