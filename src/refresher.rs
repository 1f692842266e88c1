//! The only thread that reads the container list.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::docker::{Docker, ListError};
use crate::jobs::{self, Jobs};
use crate::keeper::Keeper;
use crate::places::{Address, Place};
use crate::programs::Programs;
use crate::shared::{Shared, report_dirty};
use crate::state::{Facts, Key, State};
use crate::wake::Wake;

/// What the refresher needs.
pub struct Refresher {
    /// The state to tell.
    pub shared: Arc<Shared>,
    /// Where docker is.
    pub programs: Arc<Programs>,
    /// How it is asked.
    pub docker: Docker,
    /// The resolved folders of `--workspace-root`.
    pub roots: Arc<[PathBuf]>,
    /// Put right what a listing shows of operations that did not come to their end.
    pub jobs: Arc<Jobs>,
    /// Writes down what containers were made from.
    pub keeper: Arc<Keeper>,
    /// Tells the watcher that there may be other directories to watch.
    pub wake: Wake,
}

/// The first pause, and the longest, while something cannot be put right.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(30);

enum Next {
    List(Vec<(Key, Address)>),
    Save,
    LookAgain,
    Stop,
}

impl Refresher {
    /// Lists whenever somebody needs it, until the daemon stops.
    pub fn run(mut self) {
        // What still runs of an earlier operation would change what a listing finds.
        jobs::end_leftovers();
        let mut pause = RETRY_FIRST;
        while let Some(known) = self.next(pause) {
            self.list(known);
            pause = match self.shared.ask(|state| state.has_unsettled()) {
                true => RETRY_LAST.min(pause * 2),
                false => RETRY_FIRST,
            };
        }
    }

    /// Waits until a listing is to begin: when somebody needs one, or while something is to be put right as soon as
    /// docker answers, after a pause. `None`: the daemon is about to stop.
    fn next(&self, pause: Duration) -> Option<Vec<(Key, Address)>> {
        let retry_at = Instant::now() + pause;
        loop {
            let unsettled = self.shared.ask(|state| state.has_unsettled());
            let deadline = match unsettled {
                true => retry_at,
                false => Instant::now() + Duration::from_secs(u64::from(u32::MAX)),
            };
            let next = self.shared.wait_until_or(deadline, |state| {
                if state.is_closing() {
                    return Some(Next::Stop);
                }
                if state.listing.begin(Instant::now()) {
                    return Some(Next::List(state.addresses()));
                }
                if state.is_unsaved() {
                    return Some(Next::Save);
                }
                (state.has_unsettled() != unsettled).then_some(Next::LookAgain)
            });
            match next {
                Some(Next::List(known)) => return Some(known),
                Some(Next::Save) => self.keeper.save(),
                Some(Next::Stop) => return None,
                Some(Next::LookAgain) => {}
                None => self.shared.ask(|state| state.listing.want()),
            }
        }
    }

    fn list(&mut self, known: Vec<(Key, Address)>) {
        let facts = self.facts(known).map_err(|e| e.to_string());
        if self.shared.ask(|state| state.is_closing()) {
            return;
        }
        let is_listed = facts.is_ok();
        let before = self.shared.ask(State::view);
        let failed = facts.as_ref().err().cloned();
        let (was_failing, is_good, after) = self.shared.tell(|state| {
            let was_failing = state.listing.failure().map(str::to_owned);
            let is_good = state.finish_listing(facts, Instant::now());
            (was_failing, is_good, state.view())
        });
        match (&was_failing, &failed) {
            (was, Some(reason)) if was.as_ref() != Some(reason) => {
                log::warn!("containers cannot be listed: {reason}");
            }
            (Some(_), None) => log::info!("containers can be listed again"),
            _ => {}
        }
        report_warnings(&before.warnings, &after.warnings);
        report_dirty(&before, &after);
        if is_listed {
            self.shared.look();
            self.keeper.save_what_is_new();
        }
        if is_good {
            self.jobs.repair();
        }
        self.wake.wake();
    }

    fn facts(&mut self, known: Vec<(Key, Address)>) -> Result<Facts, ListError> {
        let program = self.programs.docker();
        let listed = self.docker.list(&program)?;
        let entry_places: Vec<(Key, Place)> = known
            .into_iter()
            .map(|(key, address)| (key, address.resolve(&self.roots)))
            .collect();
        let labelled = listed.containers.iter().filter_map(|info| {
            let place = State::label_address(info)?.resolve(&self.roots);
            Some((info.id.clone(), place))
        });
        let container_places: HashMap<String, Place> = labelled.collect();
        Ok(Facts {
            listed,
            container_places,
            entry_places,
        })
    }
}

/// One line of log for each warning that is new.
fn report_warnings(before: &[String], after: &[String]) {
    for warning in after.iter().filter(|warning| !before.contains(warning)) {
        log::warn!("{warning}");
    }
}
