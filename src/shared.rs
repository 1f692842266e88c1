//! The one state, and the lock around it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::devcontainer::config;
use crate::devcontainer::inputs::{Distrusted, Inputs};
use crate::places::canonical;
use crate::state::listing::Freshness;
use crate::state::{Found, LookTarget, Next, State, Step, Unsettled, View};
use crate::wake::{Bell, Wake};

/// How much longer than a listing may take its callers wait: it is ended at its own deadline, and what it says then
/// is better than what we would.
const LISTING_GRACE: Duration = Duration::from_millis(500);

/// How often what was found is looked at again, because it was not taken whole.
const LOOKS: usize = 10;

/// The state as all threads share it.
///
/// The lock is held for the moment that a pure function takes, never while something is read, run or waited for (P1).
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Of the refresher: there may be something to do.
    to_do: Condvar,
    /// Rung after every change, for those who wait for other things, too.
    bells: Mutex<Vec<Weak<Bell>>>,
    list_timeout: Duration,
    /// The resolved folders of `--workspace-root`.
    roots: Arc<[PathBuf]>,
    /// Of the watcher.
    wake: Wake,
}

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
    /// A listing may take `list_timeout`. `roots` are the resolved folders of `--workspace-root`.
    pub fn new(state: State, list_timeout: Duration, roots: Arc<[PathBuf]>, wake: Wake) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            to_do: Condvar::new(),
            bells: Mutex::default(),
            list_timeout,
            roots,
            wake,
        }
    }

    /// Asks the state something. `question` must not block.
    pub fn ask<T>(&self, question: impl FnOnce(&mut State) -> T) -> T {
        question(&mut self.lock())
    }

    /// Tells the state something, and wakes all who wait for a change. `fact` must not block.
    pub fn tell<T>(&self, fact: impl FnOnce(&mut State) -> T) -> T {
        let told = fact(&mut self.lock());
        self.changed.notify_all();
        self.to_do.notify_all();
        let bells = self.bells().clone();
        for bell in bells.iter().filter_map(Weak::upgrade) {
            bell.ring();
        }
        told
    }

    /// A bell that is rung after every change, as long as somebody has it. Fails where no descriptors are left.
    pub fn bell(&self) -> io::Result<Arc<Bell>> {
        let bell = Arc::new(Bell::new()?);
        let mut bells = self.bells();
        bells.retain(|bell| bell.strong_count() > 0);
        bells.push(Arc::downgrade(&bell));
        Ok(bell)
    }

    fn bells(&self) -> MutexGuard<'_, Vec<Weak<Bell>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do for the refresher.
    pub fn next_step(&self) -> Step {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let until = match state.next_step(now) {
                Next::Do(step) => return step,
                Next::Wait(until) => until,
            };
            let to_do = &self.to_do;
            state = match until {
                None => to_do.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(now);
                    let waited = to_do.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Waits until `condition` has an answer, or `deadline` has come. It is asked again after every change.
    pub fn wait_until_or<T>(
        &self,
        deadline: Instant,
        mut condition: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(answer) = condition(&mut state) {
                return Some(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            (state, _) = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

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
        self.look();
        let view = self.ask(State::view);
        Ok(Current { view, stale })
    }

    fn fresh_listing(&self, is_interested: bool) -> Result<Freshness, NoView> {
        let asked = Instant::now();
        let (begins, answer) = self.ask(|state| {
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
            Ok(self.ask(|state| state.listing.give_up(reason, Instant::now())))
        })
    }

    /// Looks at the files that dev containers are made from, and reads those that changed.
    pub fn look(&self) {
        if self.look_again_at(&Distrusted::default()) {
            // Most likely the watcher is about to notice it, too. If not, it watches the wrong place.
            self.wake.follow_paths_again();
        }
    }

    /// The same; these files are read even if they look unchanged. Returns whether anything was new.
    pub fn look_again_at(&self, distrusted: &Distrusted) -> bool {
        let mut any = false;
        // Somebody else may look in between, and a configuration found just now names more to look at.
        for _ in 0..LOOKS {
            let targets = self.ask(State::look_targets);
            let found: Vec<Found> = targets
                .iter()
                .filter_map(|target| self.look_at(target, distrusted))
                .collect();
            if found.is_empty() {
                return any;
            }
            any = true;
            let before = self.ask(State::view);
            let (taken, after) = self.tell(|state| (state.apply(found), state.view()));
            report_dirty(&before, &after);
            if taken {
                return true;
            }
        }
        any
    }

    fn look_at(&self, target: &LookTarget, distrusted: &Distrusted) -> Option<Found> {
        if let Some(unsettled) = &target.unsettled
            && is_elsewhere(unsettled)
        {
            let address = unsettled.address.clone();
            let place = address.resolve(&self.roots);
            return Some(Found::Place(target.key, address, place));
        }
        let site = target.site.as_ref()?;
        let inputs = Inputs::look(site, target.before.as_deref(), distrusted)?;
        Some(Found::Inputs(target.clone(), inputs))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a pure function is a bug; what it leaves is still the best there is to answer from.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_elsewhere(unsettled: &Unsettled) -> bool {
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
