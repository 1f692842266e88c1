//! The next step of the refresher.

use std::time::{Duration, Instant};

use super::State;
use crate::model::listing::{Fault, Scope};

/// The first and the longest pause between two listings while containers wait for a repair.
const REPAIR_FIRST: Duration = Duration::from_secs(1);
const REPAIR_LAST: Duration = Duration::from_secs(30);

/// The answer to [`State::step`].
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// There is something to do.
    Do(Step),
    /// There is nothing to do until then, or until something changes.
    Wait(Option<Instant>),
}

/// One thing to do. The facts that come of it are applied before the next step is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// End: the daemon is about to stop.
    Stop,
    /// Start an events child.
    StartEvents,
    /// Stop the events child: because of this fault, or, with `None`, because it is not needed.
    StopEvents(Option<Fault>),
    /// Repair what operations left that did not come to their end: a listing of all containers has just shown it.
    Repair,
    /// List the containers in this scope.
    List(Scope),
    /// Write to disk what is unsaved.
    Save,
}

/// The schedule of listings while containers wait for a repair.
#[derive(Debug)]
pub(super) struct Retry {
    pause: Duration,
    at: Option<Instant>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            pause: REPAIR_FIRST,
            at: None,
        }
    }
}

impl State {
    /// Returns the next step of the refresher, which has begun with that.
    pub fn step(&mut self, now: Instant) -> Next {
        let needs_events = self.allows_events && self.listing.interest.is_there(now);
        match self.due_step(needs_events, now) {
            Some(step) => Next::Do(step),
            None => Next::Wait(self.wakes_at(needs_events)),
        }
    }

    fn due_step(&mut self, needs_events: bool, now: Instant) -> Option<Step> {
        if self.is_closing() {
            return Some(Step::Stop);
        }
        if std::mem::take(&mut self.repair_due) {
            return Some(Step::Repair);
        }
        let events = &self.listing.events;
        if events.has_child() {
            let fault = events.fault(now);
            if fault.is_some() || !needs_events {
                return Some(Step::StopEvents(fault.filter(|_| needs_events)));
            }
        } else if needs_events && self.may_start_events(now) {
            self.listing.events_started(now);
            return Some(Step::StartEvents);
        }
        if self.retry.at.is_some_and(|at| at <= now) && self.has_unsettled() {
            self.retry.at = None;
            self.listing.want(now);
        }
        if let Some(scope) = self.listing.begin(now) {
            return Some(Step::List(scope));
        }
        self.unsaved.then_some(Step::Save)
    }

    /// While docker does not answer, its events do not come either.
    fn may_start_events(&self, now: Instant) -> bool {
        let restart_at = self.listing.events.restart_at();
        self.listing.failure().is_none() && restart_at.is_none_or(|at| at <= now)
    }

    fn wakes_at(&self, needs_events: bool) -> Option<Instant> {
        let events = &self.listing.events;
        let waits_to_start = needs_events && self.listing.failure().is_none();
        earliest([
            self.listing.due(),
            self.retry_at(),
            events.judged_at(),
            events.restart_at().filter(|_| waits_to_start),
            self.listing.interest.ends().filter(|_| events.has_child()),
        ])
    }

    fn retry_at(&self) -> Option<Instant> {
        self.retry.at.filter(|_| self.has_unsettled())
    }

    /// A listing of all containers has ended. Schedules the next one in case it leaves something to be repaired.
    pub(super) fn schedule_retry(&mut self, now: Instant) {
        let pause = if self.has_unsettled() {
            REPAIR_LAST.min(self.retry.pause * 2)
        } else {
            REPAIR_FIRST
        };
        self.retry = Retry {
            pause,
            at: Some(now + pause),
        };
    }
}

/// Returns the earliest of several times.
pub(super) fn earliest<const N: usize>(times: [Option<Instant>; N]) -> Option<Instant> {
    times.into_iter().flatten().min()
}
