//! Answers that are true now: waits for a fresh list, scans the inputs, takes the view.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::devcontainer::config::jsonc as config;
use crate::devcontainer::resolve::canonical;
use crate::devcontainer::scan;
use crate::model::inputs::ForceReread;
use crate::state::freshness::Freshness;
use crate::state::{Found, ScanTarget, State, Unsettled, View};

/// How much longer than a listing may take its callers wait: it is ended at its own deadline, and what it says then
/// is better than what we would.
pub const LISTING_GRACE: Duration = Duration::from_millis(500);

/// How often what was found is looked at again, because it was not taken whole.
pub const LOOKS: usize = 10;

/// Why there is no view.
#[derive(Debug, PartialEq, Eq)]
pub enum NoView {
    /// Listing failed.
    Failed(String),
    /// The daemon is about to stop.
    Closing,
}

/// What is true now, and if that is not quite so, why.
pub struct Current {
    /// Everything as the answers show it.
    pub view: Arc<View>,
    /// How old the container list is and why there is no newer one, where listing failed.
    pub stale: Option<(Duration, String)>,
}

impl Shared {
    /// What is true now: of a container list that is fresh enough, and of the files as they are at this moment.
    pub fn current(&self) -> Result<Current, NoView> {
        self.current_for(false)
    }

    /// The same for somebody who may ask again soon.
    pub fn current_for_the_interested(&self) -> Result<Current, NoView> {
        self.current_for(true)
    }

    fn current_for(&self, is_interested: bool) -> Result<Current, NoView> {
        let stale = match self.fresh_listing(is_interested)? {
            Freshness::Stale { age, reason } => Some((age, reason)),
            Freshness::Failed(reason) => return Err(NoView::Failed(reason)),
            Freshness::Fresh | Freshness::Wait => None,
        };
        self.scan();
        let view = self.read(State::view);
        Ok(Current { view, stale })
    }

    fn fresh_listing(&self, is_interested: bool) -> Result<Freshness, NoView> {
        let asked = Instant::now();
        let (begins, answer) = self.read(|state| {
            let begins = is_interested && state.listing.interest.asked(asked);
            (begins, state.listing.ask(asked, asked))
        });
        if begins || answer == Freshness::Wait {
            self.to_do.notify_all();
        }
        if answer != Freshness::Wait {
            return Ok(answer);
        }
        let deadline = asked + self.list_timeout + LISTING_GRACE;
        let answer = self.wait_until_or(deadline, |state| {
            if state.is_closing() {
                return Some(Err(NoView::Closing));
            }
            let answer = state.listing.ask(asked, Instant::now());
            // It may need something else than at first.
            self.to_do.notify_all();
            (answer != Freshness::Wait).then_some(Ok(answer))
        });
        answer.unwrap_or_else(|| {
            let limit = self.list_timeout.as_secs_f64();
            let reason =
                format!("no listing finished within the limit of {limit} s (--list-timeout)");
            Ok(self.read(|state| state.listing.give_up(reason, Instant::now())))
        })
    }

    /// Looks at the files that dev containers are made from, and reads those that changed.
    pub fn scan(&self) {
        if self.rescan(&ForceReread::default()) {
            // Most likely the watcher is about to notice it, too. If not, it watches the wrong place.
            self.rescan_signal.request_retrace();
        }
    }

    /// The same; these files are read even if they look unchanged. Returns whether anything was new.
    pub fn rescan(&self, force_reread: &ForceReread) -> bool {
        let mut any = false;
        // Somebody else may look in between, and a configuration found just now names more to look at.
        for _ in 0..LOOKS {
            let targets = self.read(State::scan_targets);
            let found: Vec<Found> = targets
                .iter()
                .filter_map(|target| self.scan_one(target, force_reread))
                .collect();
            if found.is_empty() {
                return any;
            }
            any = true;
            let before = self.read(State::view);
            let (taken, after) = self.update(|state| (state.apply(found), state.view()));
            report_dirty(&before, &after);
            if taken {
                return true;
            }
        }
        any
    }

    fn scan_one(&self, target: &ScanTarget, force_reread: &ForceReread) -> Option<Found> {
        if let Some(unsettled) = &target.unsettled
            && is_elsewhere(unsettled)
        {
            let address = unsettled.address.clone();
            let place = address.resolve(&self.roots);
            return Some(Found::Resolved(target.key, address, place));
        }
        let site = target.site.as_ref()?;
        let inputs = scan::scan(site, target.before.as_deref(), force_reread)?;
        Some(Found::Inputs(target.clone(), inputs))
    }
}

pub fn is_elsewhere(unsettled: &Unsettled) -> bool {
    let address = &unsettled.address;
    let other_config =
        || address.config.is_none() && config::find(&address.folder) != unsettled.found;
    let folder_exists = address.folder.is_absolute() && canonical(&address.folder).is_dir();
    folder_exists != unsettled.folder_exists || other_config()
}

/// Writes to our log which dev containers no longer match their configuration, and which do again.
pub fn report_dirty(before: &View, after: &View) {
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
        } else if was_dirty && !now.dirty {
            log::info!("dev container {} matches its configuration", now.name);
        }
    }
}
