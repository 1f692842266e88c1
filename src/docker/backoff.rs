//! Containers about which docker says nothing, and when to ask again.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long one whose inspect hung is left alone at first, and how long one of which something else was said.
const HUNG: Duration = Duration::from_secs(2);
const UNANSWERED: Duration = Duration::from_millis(500);
/// The pause doubles up to this.
const LONGEST: Duration = Duration::from_secs(30);

/// Containers that are shown as they were last known.
#[derive(Default)]
pub(super) struct Backoff(HashMap<String, Silence>);

struct Silence {
    /// Whether to ask about others at the same time would make them silent, too.
    hangs: bool,
    since: Instant,
    pause: Duration,
}

impl Silence {
    fn again_at(&self) -> Instant {
        self.since + self.pause
    }
}

impl Backoff {
    /// Docker was silent about this one, once more.
    pub(super) fn add(&mut self, id: &str, hangs: bool, now: Instant) {
        let first = if hangs { HUNG } else { UNANSWERED };
        let last = self.0.get(id).filter(|last| last.hangs == hangs);
        let pause = last.map_or(first, |last| LONGEST.min(last.pause * 2));
        let since = now;
        self.0.insert(
            id.to_owned(),
            Silence {
                hangs,
                since,
                pause,
            },
        );
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    pub(super) fn retain(&mut self, ids: &HashSet<String>) {
        self.0.retain(|id, _| ids.contains(id));
    }

    /// Something has happened to these, which may be what makes docker speak again.
    pub(super) fn named(&mut self, ids: &HashSet<String>) {
        for id in ids {
            if let Some(silence) = self.0.get_mut(id) {
                silence.pause = silence.pause.min(HUNG);
            }
        }
    }

    /// Those of `ids` to ask about together, and all that are to be asked about alone.
    pub(super) fn part(&self, ids: Vec<String>, now: Instant) -> (Vec<String>, Vec<String>) {
        let speaks = |id: &String| self.0.get(id).is_none_or(|silence| !silence.hangs);
        (
            ids.into_iter().filter(speaks).collect(),
            self.due(now).into_iter().filter(|id| !speaks(id)).collect(),
        )
    }

    /// Those that are to be tried again.
    pub(super) fn due(&self, now: Instant) -> Vec<String> {
        let due = self
            .0
            .iter()
            .filter(|(_, silence)| silence.again_at() <= now);
        due.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// When that will be.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.0.values().map(Silence::again_at).min()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}
