//! Answers that are true now: waits for a fresh list, scans the inputs, takes the view.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::shared::{Shared, Unanswered};
use super::turns::Turns;
use super::wanted::{ALWAYS, IsWanted, WANTED_INTERVAL};
use crate::base::notify::RescanSignal;
use crate::docker::lister::LONGEST;
use crate::model::inputs::ForceReread;
use crate::state::{Applied, Fact, Freshness, Need, State, View};

/// How much longer than two listings may take a request waits: the error of a listing is more precise than ours.
const LISTING_GRACE: Duration = Duration::from_millis(500);

/// Maximum number of scans in a row, each of which was made because the one before was not taken whole, and the time after
/// which none follows.
const MAX_SCANS: usize = 10;
const MAX_SCANNING: Duration = Duration::from_secs(10);

/// Observes what is true now, for requests and for other threads.
pub struct Observer {
    shared: Arc<Shared>,
    /// How long docker may take for a command of a listing.
    list_timeout: Duration,
    disk: Arc<Disk>,
    turns: Turns,
    /// Wakes the watcher.
    rescan_signal: RescanSignal,
}

/// Why there is no view.
#[derive(Debug, PartialEq, Eq)]
pub enum NoView {
    /// Listing failed.
    Failed(String),
    /// The daemon is about to stop.
    Closing,
    /// Nobody waits for it any more.
    Unwanted,
}

/// A view, with the reason if it is not quite current.
pub struct Current {
    /// Everything as the answers show it.
    pub view: Arc<View>,
    /// The age of the container list and the reason why there is no newer one, if listing failed.
    pub stale: Option<(Duration, String)>,
}

impl Observer {
    /// Returns an observer of a state and of the inputs on `disk`. A command of a listing may take `list_timeout`. A scan
    /// that finds something wakes the watcher with `rescan_signal`.
    pub fn new(
        shared: Arc<Shared>,
        list_timeout: Duration,
        disk: Arc<Disk>,
        rescan_signal: RescanSignal,
    ) -> Self {
        Self {
            shared,
            list_timeout,
            disk,
            turns: Turns::default(),
            rescan_signal,
        }
    }

    /// Returns what is true now: a container list that is fresh enough, and the files as they are at this moment. The
    /// call counts as interest.
    pub fn current(&self, is_wanted: IsWanted<'_>) -> Result<Current, NoView> {
        self.observe(Need::Recent, true, is_wanted)
    }

    /// Returns what is true now, like [`Observer::current`], by a list that begins after the call: it shows what is not
    /// there.
    pub fn newer(&self, is_wanted: IsWanted<'_>) -> Result<Current, NoView> {
        self.observe(Need::Newer, true, is_wanted)
    }

    /// Returns what is true now, like [`Observer::current`]. The call does not count as interest.
    pub fn probe(&self, is_wanted: IsWanted<'_>) -> Result<Current, NoView> {
        self.observe(Need::Recent, false, is_wanted)
    }

    fn observe(
        &self,
        need: Need,
        shows_interest: bool,
        is_wanted: IsWanted<'_>,
    ) -> Result<Current, NoView> {
        let stale = match self.fresh_list(need, shows_interest, is_wanted)? {
            Freshness::Stale { age, reason } => Some((age, reason)),
            Freshness::Failed(reason) => return Err(NoView::Failed(reason)),
            Freshness::Fresh | Freshness::Wait => None,
        };
        self.scan_while(is_wanted);
        let view = self.shared.view();
        Ok(Current { view, stale })
    }

    fn fresh_list(
        &self,
        need: Need,
        shows_interest: bool,
        is_wanted: IsWanted<'_>,
    ) -> Result<Freshness, NoView> {
        let asked = Instant::now();
        let freshness = self.shared.ask(asked, need, shows_interest);
        if freshness != Freshness::Wait {
            return Ok(freshness);
        }
        // The one that is under way may have begun too early. A docker that does not answer fails much sooner.
        let longest = self.list_timeout * LONGEST * 2 + LISTING_GRACE;
        let deadline = asked + longest;
        loop {
            let until = deadline.min(Instant::now() + WANTED_INTERVAL);
            match self.shared.ask_until(asked, need, until) {
                Ok(freshness) => return Ok(freshness),
                Err(Unanswered::Closing) => return Err(NoView::Closing),
                Err(Unanswered::TimedOut) if until == deadline => {
                    let reason = format!("no listing finished within {} s", longest.as_secs());
                    let fall_back = |state: &State| state.fall_back(reason, Instant::now());
                    return Ok(self.shared.read(fall_back));
                }
                Err(Unanswered::TimedOut) if is_wanted() => {}
                Err(Unanswered::TimedOut) => return Err(NoView::Unwanted),
            }
        }
    }

    /// Scans the inputs of all dev containers, and reads those that changed.
    pub fn scan(&self) {
        self.scan_while(ALWAYS);
    }

    fn scan_while(&self, is_wanted: IsWanted<'_>) {
        if self.rescan_while(&ForceReread::default(), is_wanted) {
            // Most likely the watcher is about to notice it, too. If not, it watches the wrong place.
            self.rescan_signal.request_retrace();
        }
    }

    /// Scans the inputs of all dev containers, and reads those that changed and those to be reread even if they look
    /// unchanged. Returns true if this call found anything new; another one may have scanned for it.
    pub fn rescan(&self, force_reread: &ForceReread) -> bool {
        self.rescan_while(force_reread, ALWAYS)
    }

    fn rescan_while(&self, force_reread: &ForceReread, is_wanted: IsWanted<'_>) -> bool {
        let scan = |force_reread| self.scan_all(force_reread);
        self.turns.scan(force_reread, is_wanted, scan)
    }

    fn scan_all(&self, force_reread: ForceReread) -> bool {
        let force_reread = Arc::new(force_reread);
        let begun = Instant::now();
        let mut any = false;
        // Another thread may have taken a listing in between, and a configuration that was just found names more inputs.
        for _ in 0..MAX_SCANS {
            let targets = self.shared.scan_targets();
            let shared = self.shared.clone();
            let take_late = move |found| {
                shared.apply(Fact::Scanned(vec![found]));
            };
            let found = self.disk.scan(&targets, force_reread.clone(), take_late);
            if found.is_empty() {
                return any;
            }
            any = true;
            let before = self.shared.view();
            let (applied, after) = self.shared.update(|state| {
                let applied = state.apply(Fact::Scanned(found), Instant::now());
                (applied, state.view())
            });
            report_dirty(&before, &after);
            if applied == Applied::Whole || begun.elapsed() >= MAX_SCANNING {
                return true;
            }
        }
        any
    }
}

/// Logs which dev containers no longer match their configuration, and which do again.
pub(super) fn report_dirty(before: &View, after: &View) {
    for now in &after.devcontainers {
        let was = before.devcontainers.iter().find(|d| d.id == now.id);
        let was_dirty = was.is_some_and(|was| was.dirty);
        if now.dirty && !was_dirty {
            let paths: Vec<&str> = now.changes.iter().map(|c| c.path.as_str()).collect();
            log::info!(
                "dev container {} no longer matches its configuration: {} changed",
                now.name,
                paths.join(", ")
            );
        } else if was_dirty && !now.dirty && now.container.is_some() && now.unchecked.is_none() {
            log::info!("dev container {} matches its configuration", now.name);
        }
    }
}
