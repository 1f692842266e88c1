//! Looks at workspaces: whatever touches a path of a workspace runs on a helper thread, which is left behind where its
//! file system does not answer (P22).
//!
//! A call on a dead NFS or FUSE mount returns never, and nothing in the process can end it. So no thread that others wait
//! for makes such a call. The one that waits for a helper gives up when there is evidence that the helper hangs: it has
//! not been on a processor for two seconds, or for six where a disk of this machine may just be busy. Then its place is
//! silent, and nothing looks there any more, until that thread comes back by itself. The place is the remote mount to
//! which the paths lead, by links as well; where they lead to none, it is the item alone.

mod batch;
mod evidence;
mod silence;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::batch::Batch;
use self::silence::Silences;
use crate::base::notify::RescanSignal;
use crate::base::pool::{Pool, Settings};

/// How often a helper thread is looked at while one place keeps it.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// How long a helper thread may do nothing at a file system that a network or another process serves.
const PATIENCE_REMOTE: Duration = CHECK_INTERVAL;
/// How long a helper thread may do nothing at any other file system. A write that waits for a busy disk can delay all
/// readers for seconds.
const PATIENCE_LOCAL: Duration = Duration::from_secs(6);
/// How long one place may take, even if its thread works.
const LONGEST_ITEM: Duration = Duration::from_secs(10);
/// How long all places of one call may take. What is not looked at by then is taken to be silent.
const LONGEST: Duration = Duration::from_secs(20);
/// How long the links of a path may take that leads to a place.
const LINKS_PATIENCE: Duration = Duration::from_millis(500);
/// How many threads may be left behind. With so many, nothing is looked at until one of them is back.
const MAX_LEFT_BEHIND: usize = 32;

/// The threads that look. Looks rarely overlap.
const HELPERS: Settings = Settings {
    name: "look",
    stack: 2 << 20,
    kept: 1,
    kept_for: None,
};

/// A place does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent;

/// Something to look at.
pub trait Located {
    /// Returns the paths that are looked at, as far as they are known: all spellings of the folder.
    fn paths(&self) -> Vec<&Path>;
}

/// Looks at workspaces, on helper threads.
pub struct Looks {
    common: Arc<Common>,
}

struct Common {
    pool: Arc<Pool>,
    silences: Silences,
    /// Wakes the watcher when a place answers again.
    rescan_signal: RescanSignal,
}

impl Looks {
    /// Returns what looks at workspaces, and asks for a scan with `rescan_signal` when a place answers again.
    pub fn new(rescan_signal: RescanSignal) -> Self {
        Self {
            common: Arc::new(Common {
                pool: Pool::new(HELPERS),
                silences: Silences::default(),
                rescan_signal,
            }),
        }
    }

    /// Looks at one place.
    ///
    /// # Errors
    ///
    /// The place does not answer.
    pub fn one<I, T>(
        &self,
        item: I,
        look: impl Fn(&I) -> T + Send + Sync + 'static,
    ) -> Result<T, Silent>
    where
        I: Located + Send + Sync + 'static,
        T: Send + 'static,
    {
        let found = self.each([item].into(), look, |_| {});
        found.into_iter().next().unwrap_or(Err(Silent))
    }

    /// Looks at several places, one after the other, and returns what was found at each. Of a place that answers too late,
    /// `take_late` takes what was found there.
    pub fn each<I, T>(
        &self,
        items: Arc<[I]>,
        look: impl Fn(&I) -> T + Send + Sync + 'static,
        take_late: impl Fn(T) + Send + Sync + 'static,
    ) -> Vec<Result<T, Silent>>
    where
        I: Located + Send + Sync + 'static,
        T: Send + 'static,
    {
        if items.is_empty() {
            return Vec::new();
        }
        let found = Arc::new(Batch::new(items, look, take_late)).run(&self.common);
        let found = found.into_iter().map(|found| {
            let found = found?.downcast();
            found.map_or(Err(Silent), |found| Ok(*found))
        });
        found.collect()
    }
}

impl Common {
    fn is_full(&self) -> bool {
        self.silences.number() >= MAX_LEFT_BEHIND
    }
}

#[cfg(test)]
mod tests;
