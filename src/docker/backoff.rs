//! Containers that docker does not answer for, and when to try them again.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// The longest pause; each pause is twice the one before.
const LONGEST: Duration = Duration::from_secs(30);

/// Containers that are shown in their last known state.
#[derive(Default)]
pub(super) struct Backoff(HashMap<String, Pause>);

/// How docker did not answer for a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Its inspect hung, and would make those hang that are inspected with it.
    Hung,
    /// Its inspect was not reached, or failed for another reason than that it is gone.
    Unanswered,
}

struct Pause {
    silence: Silence,
    since: Instant,
    length: Duration,
}

impl Silence {
    fn first_pause(self) -> Duration {
        match self {
            Self::Hung => Duration::from_secs(2),
            Self::Unanswered => Duration::from_millis(500),
        }
    }
}

impl Pause {
    fn ends_at(&self) -> Instant {
        self.since + self.length
    }
}

impl Backoff {
    /// Notes that docker did not answer for `id` (again).
    pub(super) fn add(&mut self, id: &str, silence: Silence, now: Instant) {
        let last = self.0.get(id).filter(|last| last.silence == silence);
        let length = last.map_or(silence.first_pause(), |last| LONGEST.min(last.length * 2));
        let pause = Pause {
            silence,
            since: now,
            length,
        };
        self.0.insert(id.to_owned(), pause);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    pub(super) fn retain(&mut self, ids: &HashSet<String>) {
        self.0.retain(|id, _| ids.contains(id));
    }

    /// Shortens the pauses of containers that an event names: docker may answer for them again.
    pub(super) fn shorten(&mut self, ids: &HashSet<String>) {
        for id in ids {
            if let Some(pause) = self.0.get_mut(id) {
                pause.length = pause.length.min(Silence::Hung.first_pause());
            }
        }
    }

    /// Splits `ids` into those that can be inspected together and all hung ones that are due.
    pub(super) fn split(&self, ids: Vec<String>, now: Instant) -> (Vec<String>, Vec<String>) {
        let together = ids.into_iter().filter(|id| !self.is_hung(id)).collect();
        let alone = self.due(now).into_iter().filter(|id| self.is_hung(id));
        let alone = alone.collect();
        (together, alone)
    }

    /// The containers whose pause is over.
    pub(super) fn due(&self, now: Instant) -> Vec<String> {
        let due = self.0.iter().filter(|(_, pause)| pause.ends_at() <= now);
        due.map(|(id, _)| id.clone()).collect()
    }

    /// Returns whether the inspect of a container hung when it was last made.
    pub(super) fn is_hung(&self, id: &str) -> bool {
        let pause = self.0.get(id);
        pause.is_some_and(|pause| pause.silence == Silence::Hung)
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// The end of the first pause.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.0.values().map(Pause::ends_at).min()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_for_another_silence() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let pause = |backoff: &Backoff| (backoff.due_at().unwrap() - now).as_secs_f64();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            backoff.add("a", Silence::Hung, now);
            pauses.push(pause(&backoff));
        }
        assert_eq!(pauses, [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        backoff.shorten(&HashSet::from(["a".to_owned()]));
        assert_eq!(pause(&backoff), 2.0);
        backoff.add("a", Silence::Unanswered, now);
        assert_eq!(pause(&backoff), 0.5);
    }

    #[test]
    fn what_hung_is_inspected_alone_once_its_pause_is_over() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.add("hung", Silence::Hung, now);
        backoff.add("unanswered", Silence::Unanswered, now);
        let ids = || ["other", "hung", "unanswered"].map(str::to_owned).to_vec();
        let together = || vec!["other".to_owned(), "unanswered".to_owned()];
        assert_eq!(backoff.split(ids(), now), (together(), Vec::new()));
        let later = now + Duration::from_secs(2);
        let hung = vec!["hung".to_owned()];
        assert_eq!(backoff.split(ids(), later), (together(), hung));
    }
}
