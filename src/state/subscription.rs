//! The subscription to docker's events: whether there is a child, how far it is trusted, and which containers it named.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::model::listing::Fault;

/// Pause after the first event: a program changes several things at once, which are read together.
const PAUSE: Duration = Duration::from_millis(50);
/// Maximum number of containers that are read one by one. Beyond it, all containers are read.
const MAX_NAMED: usize = 1000;
/// How long after a listing has found a change an event may come that reports it.
const REPORTED_WITHIN: Duration = Duration::from_secs(1);
/// The pause before the next child starts doubles from the first to the second of these, unless a child was of use.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_LAST: Duration = Duration::from_secs(30);
/// A child that lives this long and reports nothing odd was of use.
const PROVEN_AFTER: Duration = Duration::from_secs(1);
/// A child that lives this long will most likely go on.
const SETTLED_AFTER: Duration = Duration::from_secs(30);

/// The `docker events` child, in each state with what is known in it.
#[derive(Debug)]
pub(super) enum Subscription {
    /// No child. The next one may start at once.
    Off { trust: Trust },
    /// No child before `until`, which is `pause` after the last one turned out to be at fault.
    Backoff {
        until: Instant,
        pause: Duration,
        trust: Trust,
    },
    /// A child that may report something at any moment.
    Running(Child),
    /// A child that ended by itself, and whose thread is still to be joined.
    Failed { child: Child, fault: Fault },
}

/// The trust in what a child reports. Lists are kept true by trusted children alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Lists that began after the child's start are kept true.
    Given,
    /// The last child stayed silent: the next one is trusted once it has reported something.
    Withheld,
}

#[derive(Debug)]
pub(super) struct Child {
    started: Instant,
    /// Lists that began before this are not kept true by what it reports.
    since: Instant,
    /// The pause before its start; `None` if no child before it was at fault.
    pause: Option<Duration>,
    trust: Trust,
    /// Containers that may have changed since they were read.
    named: HashSet<String>,
    /// The time of the first event that named one of them.
    oldest: Option<Instant>,
    suspicion: Option<Suspicion>,
}

/// Changes that a listing found, and that the child has not reported.
#[derive(Debug)]
struct Suspicion {
    /// The containers that changed. Not empty.
    unreported: HashSet<String>,
    /// The child is at fault if it has not reported them by then.
    judged_at: Instant,
}

impl Default for Subscription {
    fn default() -> Self {
        Self::Off {
            trust: Trust::Given,
        }
    }
}

impl Subscription {
    /// A child is started. It does not report earlier events.
    pub(super) fn started(&mut self, now: Instant) {
        let (pause, trust) = match self {
            Self::Off { trust } => (None, *trust),
            Self::Backoff { pause, trust, .. } => (Some(*pause), *trust),
            Self::Running(child) | Self::Failed { child, .. } => (child.pause, child.trust),
        };
        *self = Self::Running(Child {
            started: now,
            since: now,
            pause,
            trust,
            named: HashSet::new(),
            oldest: None,
            suspicion: None,
        });
    }

    fn child_mut(&mut self) -> Option<&mut Child> {
        match self {
            Self::Running(child) | Self::Failed { child, .. } => Some(child),
            Self::Off { .. } | Self::Backoff { .. } => None,
        }
    }

    fn running(&self) -> Option<&Child> {
        match self {
            Self::Running(child) => Some(child),
            _ => None,
        }
    }

    /// Returns the time since which a list must have begun to be kept true by events. `None` if none is kept true.
    pub(super) fn since(&self) -> Option<Instant> {
        let trusted = self.running().filter(|child| child.trust == Trust::Given);
        trusted.map(|child| child.since)
    }

    /// Something happened that the child cannot have reported: all lists are from before.
    pub(super) fn doubt(&mut self, now: Instant) {
        self.take();
        if let Some(child) = self.child_mut() {
            child.since = now;
        }
    }

    /// Takes events about these containers. Returns false if there are too many to be followed, so that all is in
    /// doubt.
    pub(super) fn reported(&mut self, ids: HashSet<String>, now: Instant) -> bool {
        let Self::Running(child) = self else {
            return true;
        };
        if let Some(suspicion) = &mut child.suspicion {
            suspicion.unreported.retain(|id| !ids.contains(id));
        }
        child
            .suspicion
            .take_if(|suspicion| suspicion.unreported.is_empty());
        child.trust = Trust::Given;
        if !ids.is_empty() {
            child.oldest.get_or_insert(now);
        }
        child.named.extend(ids);
        child.named.len() <= MAX_NAMED
    }

    /// Hands over the containers to be read, and the time of the first event about them.
    pub(super) fn take(&mut self) -> (HashSet<String>, Option<Instant>) {
        self.child_mut().map_or_else(Default::default, |child| {
            (std::mem::take(&mut child.named), child.oldest.take())
        })
    }

    /// Returns the time of the first event that is still to be followed up.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.running()?.oldest
    }

    /// Returns the time at which named containers are read if no request waits for them.
    pub(super) fn due(&self) -> Option<Instant> {
        self.oldest().map(|oldest| oldest + PAUSE)
    }

    /// Takes changes that a listing found, and that no event had reported.
    pub(super) fn found(&mut self, unreported: Vec<String>, now: Instant) {
        let Self::Running(child) = self else { return };
        // The event may have come since the listing began.
        let mut new: HashSet<String> = unreported.into_iter().collect();
        new.retain(|id| !child.named.contains(id));
        match &mut child.suspicion {
            Some(suspicion) => suspicion.unreported.extend(new),
            None if new.is_empty() => {}
            None => {
                child.suspicion = Some(Suspicion {
                    unreported: new,
                    judged_at: now + REPORTED_WITHIN,
                });
            }
        }
    }

    /// The child ended by itself.
    pub(super) fn failed(&mut self, fault: Fault) {
        *self = match std::mem::take(self) {
            Self::Running(child) | Self::Failed { child, .. } => Self::Failed { child, fault },
            without_child => without_child,
        };
    }

    /// Returns the reason why the child is of no more use, if there is one.
    pub(super) fn fault(&self, now: Instant) -> Option<Fault> {
        if let Self::Failed { fault, .. } = self {
            return Some(fault.clone());
        }
        let is_silent = self.judged_at().is_some_and(|at| at <= now);
        is_silent.then_some(Fault::Silent)
    }

    /// Returns the time at which the child is at fault unless it reports something by then.
    pub(super) fn judged_at(&self) -> Option<Instant> {
        let suspicion = self.running()?.suspicion.as_ref();
        suspicion.map(|suspicion| suspicion.judged_at)
    }

    /// The child is gone: because of this fault, or, with `None`, because it is not needed. Returns true if it named
    /// containers that have not been read.
    pub(super) fn stopped(&mut self, fault: Option<&Fault>, now: Instant) -> bool {
        let child = match std::mem::take(self) {
            Self::Running(child) | Self::Failed { child, .. } => child,
            without_child => {
                *self = without_child;
                return false;
            }
        };
        *self = match fault {
            None => Self::Off { trust: child.trust },
            Some(fault) => {
                let pause = child.pause_after(fault, now);
                Self::Backoff {
                    until: now + pause,
                    pause,
                    trust: match fault {
                        Fault::Silent => Trust::Withheld,
                        Fault::Ended(_) | Fault::Odd(_) => Trust::Given,
                    },
                }
            }
        };
        !child.named.is_empty()
    }

    /// Returns true if the child has lived for so long that events can be said to be followed.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        let child = self.running();
        child.is_some_and(|child| now >= child.started + SETTLED_AFTER)
    }

    /// Returns true if the last child was at fault, or this one is not trusted yet.
    pub(super) fn is_at_fault(&self) -> bool {
        match self {
            Self::Off { trust } => *trust == Trust::Withheld,
            Self::Backoff { .. } => true,
            Self::Running(child) | Self::Failed { child, .. } => {
                child.pause.is_some() || child.trust == Trust::Withheld
            }
        }
    }

    /// Returns true if there is a child, or its thread is still to be joined.
    pub(super) fn has_child(&self) -> bool {
        matches!(self, Self::Running(_) | Self::Failed { .. })
    }

    /// Returns the time before which no child may start. `None` if one may start at once.
    pub(super) fn restart_at(&self) -> Option<Instant> {
        match self {
            Self::Backoff { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// The engine answers again. Its outage may be the reason why the last child ended.
    pub(super) fn engine_is_back(&mut self) {
        if let Self::Backoff { trust, .. } = *self {
            *self = Self::Off { trust };
        }
    }
}

impl Child {
    fn pause_after(&self, fault: &Fault, now: Instant) -> Duration {
        let was_of_use = matches!(fault, Fault::Ended(_)) && now >= self.started + PROVEN_AFTER;
        match self.pause {
            Some(last) if !was_of_use => RESTART_LAST.min(last * 2),
            _ => RESTART_FIRST,
        }
    }
}
