//! Tells a slow docker from a container whose inspect hangs: by what docker answers in the meantime.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::base::notify::Notifier;
use crate::base::poll;

/// The evidence that it takes to give an inspect up before its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// The time in which it is left alone.
    first: Duration,
    /// How many commands docker must have answered that began later.
    answers: usize,
    /// True if it is not given up before its deadline all the same.
    until_deadline: bool,
}

impl Patience {
    /// For a container whose last state must not be shown in place of its present one. Docker answers for a container that
    /// it is starting or stopping when that is done, while it answers for others at once.
    pub(super) const WHOLE: Self = Self {
        until_deadline: true,
        ..Self::FULL
    };
    /// For a container whose last state is most likely the present one.
    pub(super) const FULL: Self = Self {
        first: Duration::from_millis(500),
        answers: 4,
        until_deadline: false,
    };
    /// For a container that hung when it was last inspected.
    pub(super) const SHORT: Self = Self {
        first: Duration::from_millis(100),
        answers: 2,
        until_deadline: false,
    };

    /// For this many containers in one command, which takes longer than the commands that it is compared with.
    pub(super) fn for_batch_of(containers: usize) -> Self {
        Self {
            answers: Self::FULL.answers + containers / 20,
            ..Self::FULL
        }
    }
}

/// A command that docker has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// The inspect of a container.
    Inspect,
    /// The list of ids.
    List,
}

/// An inspect under way, and what docker has answered since it began.
#[derive(Debug)]
struct Attempt {
    begun: Instant,
    patience: Patience,
    /// True if it is the inspect of one container, so that giving it up means that the container hangs.
    is_alone: bool,
    inspects: usize,
    lists: usize,
}

impl Attempt {
    /// Notes that docker has answered a command that began at `asked`.
    fn note(&mut self, answered: Answered, asked: Instant) {
        if asked < self.begun {
            return;
        }
        match answered {
            Answered::Inspect => self.inspects += 1,
            Answered::List => self.lists += 1,
        }
    }

    /// Returns whether waiting longer is of no use. A list says little about one container: on a busy engine an inspect
    /// may be the slower one, so that only other inspects count before the deadline.
    fn is_hopeless(&self, now: Instant) -> bool {
        let answers = if self.is_alone {
            self.inspects
        } else {
            self.inspects + self.lists
        };
        !self.patience.until_deadline
            && now >= self.begun + self.patience.first
            && answers >= self.patience.answers
    }

    /// Returns whether docker, and not only this inspect, was fine until the deadline.
    fn has_hung(&self) -> bool {
        self.inspects + self.lists >= self.patience.answers
    }
}

/// The inspects under way, one for each worker.
pub(super) struct Board {
    slots: Mutex<Vec<Slot>>,
    /// The workers' notifiers. One is readable once its inspect is given up.
    give_up: Vec<Notifier>,
    /// Readable once all workers have ended.
    pub(super) done: Notifier,
}

/// An inspect that lasts long.
pub(super) struct Doubt {
    /// When it has lasted so long that docker is to be asked for something else.
    pub(super) at: Instant,
    /// True if it is the inspect of one container.
    pub(super) is_of_one: bool,
}

#[derive(Default)]
struct Slot {
    attempt: Option<Attempt>,
    is_given_up: bool,
    has_ended: bool,
}

impl Board {
    /// A board for this many workers. Fails if the process has no file descriptors left.
    pub(super) fn new(workers: usize) -> std::io::Result<Self> {
        let give_up: Result<Vec<Notifier>, _> = (0..workers).map(|_| Notifier::new()).collect();
        Ok(Self {
            slots: Mutex::new((0..workers).map(|_| Slot::default()).collect()),
            give_up: give_up?,
            done: Notifier::new()?,
        })
    }

    /// A worker begins an inspect of `containers`. Returns the notifier that tells it to give up.
    pub(super) fn begin(
        &self,
        worker: usize,
        containers: usize,
        patience: Patience,
        now: Instant,
    ) -> Option<&Notifier> {
        let mut slots = self.slots();
        let give_up = self.give_up.get(worker)?;
        give_up.take();
        if let Some(slot) = slots.get_mut(worker) {
            slot.is_given_up = false;
            slot.attempt = Some(Attempt {
                begun: now,
                patience,
                is_alone: containers == 1,
                inspects: 0,
                lists: 0,
            });
        }
        Some(give_up)
    }

    /// The inspect of a worker has ended. Returns whether it hung, if it brought no answer.
    pub(super) fn end(&self, worker: usize, answered: bool) -> bool {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(worker) else {
            return false;
        };
        let Some(attempt) = slot.attempt.take() else {
            return false;
        };
        let hung = slot.is_given_up || attempt.has_hung();
        drop(slots);
        if answered {
            self.note(Answered::Inspect, attempt.begun);
        }
        hung
    }

    /// A worker has nothing more to do.
    pub(super) fn leave(&self, worker: usize) {
        let mut slots = self.slots();
        if let Some(slot) = slots.get_mut(worker) {
            slot.has_ended = true;
        }
        if slots.iter().all(|slot| slot.has_ended) {
            self.done.notify();
        }
    }

    /// Notes that docker has answered a command that began at `asked`, and gives up what waits in vain.
    pub(super) fn note(&self, answered: Answered, asked: Instant) {
        let now = Instant::now();
        for (slot, give_up) in self.slots().iter_mut().zip(&self.give_up) {
            let Some(attempt) = &mut slot.attempt else {
                continue;
            };
            attempt.note(answered, asked);
            if attempt.is_hopeless(now) {
                slot.is_given_up = true;
                give_up.notify();
            }
        }
    }

    /// Returns when the first inspect under way has lasted so long that docker is to be asked for something else.
    pub(super) fn next_doubt(&self) -> Option<Doubt> {
        let slots = self.slots();
        let attempts = slots.iter().filter(|slot| !slot.is_given_up);
        let doubts = attempts
            .filter_map(|slot| slot.attempt.as_ref())
            .map(|one| Doubt {
                at: one.begun + one.patience.first,
                is_of_one: one.is_alone,
            });
        doubts.min_by_key(|doubt| doubt.at)
    }

    /// Waits until all workers have ended, or until `deadline`. Returns true if they have.
    pub(super) fn wait(&self, deadline: Instant) -> bool {
        while !self.has_ended() {
            if Instant::now() >= deadline {
                return false;
            }
            poll::wait(&mut [PollFd::new(&self.done, PollFlags::IN)], deadline);
        }
        true
    }

    fn has_ended(&self) -> bool {
        self.slots().iter().all(|slot| slot.has_ended)
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn attempt(begun: Instant, is_alone: bool) -> Attempt {
        Attempt {
            begun,
            patience: Patience::FULL,
            is_alone,
            inspects: 0,
            lists: 0,
        }
    }

    #[test]
    fn p20_time_alone_makes_no_container_hang() {
        let begun = Instant::now();
        let mut slow = attempt(begun, true);
        assert!(!slow.is_hopeless(begun + 1000 * SECOND));
        for _ in 0..3 {
            slow.note(Answered::Inspect, begun + SECOND);
        }
        assert!(!slow.is_hopeless(begun + 1000 * SECOND) && !slow.has_hung());
        slow.note(Answered::Inspect, begun + SECOND);
        assert!(slow.is_hopeless(begun + SECOND) && slow.has_hung());
        assert!(!slow.is_hopeless(begun + SECOND / 4), "not at once");
    }

    #[test]
    fn p20_a_container_that_may_have_changed_is_waited_for_until_its_deadline() {
        let begun = Instant::now();
        let mut slow = attempt(begun, true);
        slow.patience = Patience::WHOLE;
        for _ in 0..100 {
            slow.note(Answered::Inspect, begun + SECOND);
        }
        assert!(!slow.is_hopeless(begun + 1000 * SECOND));
        assert!(slow.has_hung(), "docker answered for others all the time");
    }

    #[test]
    fn p20_commands_that_began_before_an_inspect_say_nothing_about_it() {
        let begun = Instant::now() + SECOND;
        let mut slow = attempt(begun, true);
        for _ in 0..10 {
            slow.note(Answered::Inspect, begun - SECOND);
        }
        assert!(!slow.has_hung());
    }

    #[test]
    fn p20_lists_count_for_one_container_at_the_deadline_only() {
        let begun = Instant::now();
        for (is_alone, is_hopeless) in [(true, false), (false, true)] {
            let mut slow = attempt(begun, is_alone);
            for _ in 0..4 {
                slow.note(Answered::List, begun);
            }
            assert_eq!(slow.is_hopeless(begun + SECOND), is_hopeless);
            assert!(slow.has_hung());
        }
    }

    #[test]
    fn p20_many_containers_get_more_patience() {
        assert_eq!(Patience::for_batch_of(2), Patience::FULL);
        assert_eq!(Patience::for_batch_of(100).answers, 9);
    }
}
