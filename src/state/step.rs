//! What the refresher does next.

use std::time::{Duration, Instant};

use super::State;
use super::freshness::earliest;
use crate::model::ids::Key;
use crate::model::listing::{Fault, Scope};
use crate::model::location::Declared;

/// The first pause, and the longest, while something cannot be put right.
const REPAIR_FIRST: Duration = Duration::from_secs(1);
const REPAIR_LAST: Duration = Duration::from_secs(30);

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// This.
    Do(Step),
    /// Nothing until then, or until something changes.
    Wait(Option<Instant>),
}

/// One thing to do; what it leads to is told to the state before the next one is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The daemon is about to stop.
    Stop,
    /// There is to be an events child.
    StartEvents,
    /// There is to be none: nobody needs it, or there is something wrong with it.
    EndEvents(Option<Fault>),
    /// Docker is to be asked this, and these places are to be resolved.
    List(Scope, Vec<(Key, Declared)>),
    /// There is something new to be written down.
    Save,
}

/// When containers that could not be put right are to be listed again.
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
    /// Asked by the refresher alone: what this says begins is begun.
    pub fn next_step(&mut self, now: Instant) -> Next {
        let is_needed = self.follows && self.listing.interest.is_there(now);
        match self.step(is_needed, now) {
            Some(step) => Next::Do(step),
            None => Next::Wait(self.wakes_at(is_needed)),
        }
    }

    fn step(&mut self, is_needed: bool, now: Instant) -> Option<Step> {
        if self.closing {
            return Some(Step::Stop);
        }
        let events = &self.listing.events;
        if events.has_child() {
            let fault = events.fault(now);
            if fault.is_some() || !is_needed {
                return Some(Step::EndEvents(fault.filter(|_| is_needed)));
            }
        } else if is_needed && self.may_start_events(now) {
            return Some(Step::StartEvents);
        }
        if self.retry_at().is_some_and(|at| at <= now) {
            self.retry.at = None;
            self.listing.want(now);
        }
        if let Some(scope) = self.listing.begin(now) {
            return Some(Step::List(scope, self.addresses()));
        }
        self.unsaved.then_some(Step::Save)
    }

    /// While docker does not answer, its events do not come either.
    fn may_start_events(&self, now: Instant) -> bool {
        let start_at = self.listing.events.start_at();
        self.listing.failure().is_none() && start_at.is_none_or(|at| at <= now)
    }

    fn wakes_at(&self, is_needed: bool) -> Option<Instant> {
        let events = &self.listing.events;
        let start_at = events.start_at();
        let waits = is_needed && !events.has_child() && self.listing.failure().is_none();
        earliest([
            self.listing.due(),
            self.retry_at(),
            events.judged_at(),
            start_at.filter(|_| waits),
            self.listing.interest.ends().filter(|_| events.has_child()),
        ])
    }

    fn retry_at(&self) -> Option<Instant> {
        self.retry.at.filter(|_| self.has_unsettled())
    }

    /// A listing has ended, after which containers are put right.
    pub(super) fn schedule_retry(&mut self, now: Instant) {
        let pause = match self.has_unsettled() {
            true => REPAIR_LAST.min(self.retry.pause * 2),
            false => REPAIR_FIRST,
        };
        self.retry = Retry {
            pause,
            at: Some(now + pause),
        };
    }
}
