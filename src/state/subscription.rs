//! The events child as the state knows it: whether there should be one, how far it is trusted, and what it has named.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::model::listing::Fault;

/// A program changes several things at once, which are read together.
const PAUSE: Duration = Duration::from_millis(50);
/// What names more containers than this at once is not followed any more: all are read anew.
const MAX_NAMED: usize = 1000;
/// How long after a listing has found something an event may come that explains it.
const EXPLAINED_WITHIN: Duration = Duration::from_secs(1);
/// The pause after a child has ended doubles up to the second of these, unless it was of use.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_LAST: Duration = Duration::from_secs(30);
/// One that lives that long, and tells nothing odd, was of use.
const PROVEN_AFTER: Duration = Duration::from_secs(1);
/// One that lives that long will go on so.
const SETTLED_AFTER: Duration = Duration::from_secs(30);

/// `docker events`, and what is to be read because of it.
#[derive(Debug)]
pub(super) struct Events {
    child: Option<Child>,
    /// No child starts before.
    start_at: Option<Instant>,
    pause: Duration,
    /// Containers that may have changed since they were read.
    named: HashSet<String>,
    /// When the first event came that named one of them.
    oldest: Option<Instant>,
    /// Whether the last child told nothing: the next one is not trusted before it has told something.
    distrusts: bool,
}

#[derive(Debug)]
struct Child {
    started: Instant,
    /// A list from before this is not kept true by what it tells.
    since: Instant,
    over: Option<Fault>,
    /// What a listing has found that it has not told.
    untold: HashSet<String>,
    judged_at: Option<Instant>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            child: None,
            start_at: None,
            pause: RESTART_FIRST,
            named: HashSet::new(),
            oldest: None,
            distrusts: false,
        }
    }
}

impl Events {
    /// A child was started. What it does not tell is what was before.
    pub(super) fn started(&mut self, now: Instant) {
        self.child = Some(Child {
            started: now,
            since: now,
            over: None,
            untold: HashSet::new(),
            judged_at: None,
        });
    }

    /// Lists that began since then are kept true by what the child tells; `None` without one.
    pub(super) fn since(&self) -> Option<Instant> {
        let child = self.child.as_ref().filter(|_| !self.distrusts);
        child
            .filter(|child| child.over.is_none())
            .map(|child| child.since)
    }

    /// Something happened that the child cannot have told: all lists are from before.
    pub(super) fn doubt(&mut self, now: Instant) {
        if let Some(child) = &mut self.child {
            child.since = now;
        }
    }

    /// Events came, about these containers. Returns whether they can be followed; if not, all is in doubt.
    pub(super) fn told(&mut self, ids: HashSet<String>, now: Instant) -> bool {
        let Some(child) = &mut self.child else {
            return true;
        };
        child.untold.retain(|id| !ids.contains(id));
        if child.untold.is_empty() {
            child.judged_at = None;
        }
        self.distrusts = false;
        self.oldest = self.oldest.or(Some(now).filter(|_| !ids.is_empty()));
        self.name(ids);
        self.named.len() <= MAX_NAMED
    }

    /// These are to be read again, whatever events say.
    pub(super) fn name(&mut self, ids: impl IntoIterator<Item = String>) {
        if self.child.is_some() {
            self.named.extend(ids);
        }
    }

    /// What is to be read, and since when; it is from now on somebody else's task.
    pub(super) fn take(&mut self) -> (HashSet<String>, Option<Instant>) {
        (std::mem::take(&mut self.named), self.oldest.take())
    }

    /// Since when something waits to be read.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.oldest
    }

    /// When what was named is read, where nobody waits for it.
    pub(super) fn due(&self) -> Option<Instant> {
        self.oldest.map(|oldest| oldest + PAUSE)
    }

    /// A listing found changes of these containers, which no event had named.
    pub(super) fn found(&mut self, untold: Vec<String>, now: Instant) {
        let named = &self.named;
        if let Some(child) = &mut self.child {
            // The event may have come since the listing began.
            let untold = untold.into_iter().filter(|id| !named.contains(id));
            child.untold.extend(untold);
            let judged_at = child.judged_at.unwrap_or(now + EXPLAINED_WITHIN);
            child.judged_at = (!child.untold.is_empty()).then_some(judged_at);
        }
    }

    /// The child has ended, and this is why.
    pub(super) fn over(&mut self, why: Fault) {
        if let Some(child) = &mut self.child {
            child.over = Some(why);
        }
    }

    /// Why the child is of no more use, if it is not.
    pub(super) fn fault(&self, now: Instant) -> Option<Fault> {
        let child = self.child.as_ref()?;
        let is_silent = child.judged_at.is_some_and(|at| at <= now);
        child.over.clone().or(is_silent.then_some(Fault::Silent))
    }

    /// When it will be known whether the child is of use.
    pub(super) fn judged_at(&self) -> Option<Instant> {
        self.child.as_ref()?.judged_at
    }

    /// The child is gone. Returns whether it has named something that nobody has read.
    pub(super) fn ended(&mut self, fault: Option<&Fault>, now: Instant) -> bool {
        let Some(child) = self.child.take() else {
            return false;
        };
        let (unread, _) = self.take();
        let was_of_use = now >= child.started + PROVEN_AFTER;
        match fault {
            None => (self.start_at, self.pause) = (None, RESTART_FIRST),
            Some(fault) => {
                if was_of_use && matches!(fault, Fault::Ended(_)) {
                    self.pause = RESTART_FIRST;
                }
                self.start_at = Some(now + self.pause);
                self.pause = RESTART_LAST.min(self.pause * 2);
                self.distrusts = *fault == Fault::Silent;
            }
        }
        !unread.is_empty()
    }

    /// Whether the child has lived for so long that it may be said to be well.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        let child = self.child.as_ref().filter(|child| child.over.is_none());
        child.is_some_and(|child| now >= child.started + SETTLED_AFTER)
    }

    /// Whether something was wrong with the last child, or may be with this one.
    pub(super) fn is_at_fault(&self) -> bool {
        self.start_at.is_some() || self.distrusts
    }

    /// Whether there is a child, or what is left of one.
    pub(super) fn has_child(&self) -> bool {
        self.child.is_some()
    }

    /// When a child may start, after one at fault; `None`: at once.
    pub(super) fn start_at(&self) -> Option<Instant> {
        self.start_at
    }

    /// The engine answers again: that is why a child may have ended.
    pub(super) fn engine_is_back(&mut self) {
        if !self.has_child() {
            (self.start_at, self.pause) = (None, RESTART_FIRST);
        }
    }
}
