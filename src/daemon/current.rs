//! Answers that are true now: waits for a fresh list, scans the inputs, takes the view.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::discovery::Discovery;
use super::disk::Disk;
use super::shared::{Shared, Source, Unanswered};
use super::turns::{Scanned, Turns};
use super::vigil::{News, Quiet, Targets, Vigil};
use super::wanted::{ALWAYS, IsWanted, WANTED_INTERVAL};
use crate::base::event::{Event, Value};
use crate::base::notify::RescanSignal;
use crate::docker::lister::LONGEST;
use crate::model::counters::COUNTERS;
use crate::model::inputs::ForceReread;
use crate::state::{Applied, Fact, Found, Freshness, Need, State, View};

/// How much longer than two listings may take a request waits: the error of a listing is more precise than ours.
const LISTING_GRACE: Duration = Duration::from_millis(500);

/// Maximum number of scans in a row, each of which was made because the one before was not taken whole, and the time after
/// which none follows.
const MAX_SCANS: usize = 10;
const MAX_SCANNING: Duration = Duration::from_secs(10);

/// The age from which a scan is renewed, though the kernel tells of no change. A scan that begins then mostly ends before
/// [`MAX_AGE`].
const RENEWED_AFTER: Duration = Duration::from_millis(40);
/// The maximum age of a scan that answers are given from.
const MAX_AGE: Duration = Duration::from_millis(50);

/// Observes what is true now, for requests and for other threads.
pub struct Observer {
    shared: Arc<Shared>,
    /// How long docker may take for a command of a listing.
    list_timeout: Duration,
    disk: Arc<Disk>,
    discovery: Arc<Discovery>,
    turns: Turns,
    /// The scans of those dev containers of which the kernel does not tell.
    turns_of_untold: Turns,
    /// Wakes the watcher.
    rescan_signal: RescanSignal,
    vigil: Arc<Vigil>,
}

/// The result of a scan, for the watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    /// All is as it was, but for times.
    Nothing,
    /// The inputs of a dev container that was never scanned.
    New,
    /// Other inputs, or another place of a dev container, than before.
    Changed,
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
        discovery: Arc<Discovery>,
        rescan_signal: RescanSignal,
        vigil: Arc<Vigil>,
    ) -> Self {
        Self {
            shared,
            list_timeout,
            disk,
            discovery,
            turns: Turns::default(),
            turns_of_untold: Turns::default(),
            rescan_signal,
            vigil,
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
        self.discovery.refresh();
        let asked = Instant::now();
        let (freshness, source) = match self.shared.ask(asked, need, shows_interest) {
            (freshness, Some(source)) => (freshness, source),
            (_, None) => {
                let freshness = self.await_list(asked, need, is_wanted)?;
                (freshness, self.shared.source())
            }
        };
        let stale = match freshness {
            Freshness::Stale { age, reason } => Some((age, reason)),
            Freshness::Failed(reason) => return Err(NoView::Failed(reason)),
            Freshness::Fresh | Freshness::Wait => None,
        };
        let view = match source {
            Source::View(view) => view,
            Source::Targets(targets) => {
                self.scan_if_needed(&targets, is_wanted);
                // The watcher may have handled a change since the request was asked, so that no scan was needed.
                self.shared.view()
            }
        };
        Ok(Current { view, stale })
    }

    fn await_list(
        &self,
        asked: Instant,
        need: Need,
        is_wanted: IsWanted<'_>,
    ) -> Result<Freshness, NoView> {
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
        self.discovery.refresh();
        let (news, _) = self.news();
        self.scan_while(news, ALWAYS);
    }

    /// Scans, unless the last scan is new and the kernel tells of no change since.
    fn scan_if_needed(&self, targets: &Targets, is_wanted: IsWanted<'_>) {
        let last = self.turns.last_whole();
        let (news, untold) = self.vigil.news_since(targets, last);
        let last = last.filter(|_| news == News::None);
        match last.map(|begun| begun.elapsed()) {
            Some(age) if age < MAX_AGE => {
                if untold.is_some() {
                    self.scan_untold(is_wanted);
                }
                if age >= RENEWED_AFTER {
                    // The others need not wait.
                    let finding = Cell::new(Finding::Nothing);
                    self.turns
                        .scan_if_free(|reread| self.scan_all(reread, &finding));
                    self.tell_watcher(finding.get(), news);
                }
            }
            _ => self.scan_while(news, is_wanted),
        }
    }

    fn scan_while(&self, news: News, is_wanted: IsWanted<'_>) {
        let finding = Cell::new(Finding::Nothing);
        let scan = |reread| self.scan_all(reread, &finding);
        self.turns.scan(&ForceReread::default(), is_wanted, scan);
        self.tell_watcher(finding.get(), news);
    }

    /// Scans the inputs of those dev containers alone of which the kernel does not tell.
    fn scan_untold(&self, is_wanted: IsWanted<'_>) {
        let finding = Cell::new(Finding::Nothing);
        let scan = |reread| {
            // Those who wait share this scan, so that it is of the targets of now.
            let targets = || {
                let targets = self.shared.scan_targets();
                let (news, untold) = self.vigil.news(&targets);
                untold.filter(|_| news == News::None).unwrap_or(targets)
            };
            self.scan_these(&targets, reread, &finding)
        };
        self.turns_of_untold
            .scan(&ForceReread::default(), is_wanted, scan);
        self.tell_watcher(finding.get(), News::None);
    }

    /// Scans after a listing. With `is_quiet`, nothing on disk has changed since the last one, as far as the kernel tells.
    pub fn scan_listed(&self, is_quiet: bool) {
        match self.news() {
            (News::None, None) if is_quiet => {}
            (News::None, Some(_)) if is_quiet => self.scan_untold(ALWAYS),
            _ => self.scan(),
        }
    }

    /// Returns the time of now, if no input or place of a dev container has changed that was not handled.
    pub fn quiet(&self) -> Option<Quiet> {
        self.vigil.quiet(&self.shared.scan_targets())
    }

    /// Returns whether the watcher may watch other paths than those of the inputs.
    pub fn needs_watcher(&self) -> bool {
        self.news().0 != News::None
    }

    fn news(&self) -> (News, Option<Targets>) {
        self.vigil.news(&self.shared.scan_targets())
    }

    /// Tells the watcher of a `finding` where it has told these `news`.
    fn tell_watcher(&self, finding: Finding, news: News) {
        match (finding, news) {
            (Finding::Nothing, _) => {}
            // It may watch the wrong place.
            (Finding::Changed, News::None | News::Unknown) => self.rescan_signal.request_retrace(),
            (Finding::New | Finding::Changed, _) => self.rescan_signal.request(),
        }
    }

    /// Scans the inputs of all dev containers, and reads those that changed and those to be reread even if they look
    /// unchanged.
    pub fn rescan(&self, force_reread: &ForceReread) {
        let finding = Cell::new(Finding::Nothing);
        let scan = |reread| self.scan_all(reread, &finding);
        self.turns.scan(force_reread, ALWAYS, scan);
    }

    fn scan_all(&self, force_reread: ForceReread, finding: &Cell<Finding>) -> Scanned {
        self.scan_these(&|| self.shared.scan_targets(), force_reread, finding)
    }

    fn scan_these(
        &self,
        targets: &dyn Fn() -> Targets,
        force_reread: ForceReread,
        finding: &Cell<Finding>,
    ) -> Scanned {
        let begun = Instant::now();
        let scanned = self.scan_until_whole(targets, force_reread, finding, begun);
        COUNTERS.scanned(begun.elapsed());
        scanned
    }

    fn scan_until_whole(
        &self,
        targets: &dyn Fn() -> Targets,
        force_reread: ForceReread,
        finding: &Cell<Finding>,
        begun: Instant,
    ) -> Scanned {
        let force_reread = Arc::new(force_reread);
        // Another thread may have taken a listing in between, and a configuration that was just found names more inputs.
        for _ in 0..MAX_SCANS {
            let shared = self.shared.clone();
            let take_late = move |found| {
                shared.apply(Fact::Scanned(vec![found]));
            };
            let found = self.disk.scan(&targets(), force_reread.clone(), take_late);
            if found.is_empty() {
                return Scanned::Whole;
            }
            finding.set(finding.get().max(Finding::of(&found)));
            let before = self.shared.view();
            let (applied, after) = self.shared.update(|state| {
                let applied = state.apply(Fact::Scanned(found), Instant::now());
                (applied, state.view())
            });
            report_dirty(&before, &after);
            if applied == Applied::Whole {
                return Scanned::Whole;
            }
            if begun.elapsed() >= MAX_SCANNING {
                break;
            }
        }
        Scanned::Partly
    }
}

impl Finding {
    fn of(found: &[Found]) -> Self {
        let all = found.iter().map(|one| match one {
            Found::Inputs(target, inputs) => match &target.before {
                None => Self::New,
                Some(before) if before.has_same_contents(inputs) => Self::Nothing,
                Some(_) => Self::Changed,
            },
            Found::Resolved(..) | Found::Silent(_) => Self::Changed,
        });
        all.max().unwrap_or(Self::Nothing)
    }
}

/// Logs which dev containers no longer match their configuration, and which do again.
pub(super) fn report_dirty(before: &View, after: &View) {
    let before = before.devcontainers.iter();
    let dirty: HashSet<Uuid> = before.filter(|one| one.dirty).map(|one| one.id).collect();
    for now in &after.devcontainers {
        let was_dirty = dirty.contains(&now.id);
        if now.dirty && !was_dirty {
            let paths: Vec<String> = now.changes.iter().map(|c| c.path.clone()).collect();
            Event::BecameDirty.log(&[
                ("devcontainer", Value::Text(&now.name)),
                ("paths", Value::List(&paths)),
            ]);
        } else if was_dirty && !now.dirty && now.container.is_some() && now.unchecked.is_none() {
            Event::BecameClean.log(&[("devcontainer", Value::Text(&now.name))]);
        }
    }
}
