//! The only thread that reads the container list.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::docker::events::{self, Fault};
use crate::docker::{Docker, ListError, Scope};
use crate::jobs::{self, Jobs};
use crate::keeper::Keeper;
use crate::places::{Address, Place};
use crate::programs::Programs;
use crate::shared::{Shared, report_dirty};
use crate::state::{Facts, Key, State, Step};
use crate::wake::{Bell, Wake};

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
    /// The events child.
    pub events: EventsThread,
}

/// The thread that reads what the events child tells, if there is one.
#[derive(Default)]
pub struct EventsThread {
    running: Option<(Arc<Bell>, JoinHandle<()>)>,
    /// Whether it was said that events cannot be followed.
    said_so: bool,
}

impl Refresher {
    /// Does what the state says, until the daemon stops.
    pub fn run(mut self) {
        // What still runs of an earlier operation would change what a listing finds.
        jobs::end_leftovers();
        loop {
            match self.shared.next_step() {
                Step::List(scope, known) => self.list(&scope, known),
                Step::StartEvents => self.start_events(),
                Step::EndEvents(fault) => self.end_events(fault),
                Step::Save => self.keeper.save(),
                Step::Stop => break,
            }
        }
        self.events.end();
    }

    fn start_events(&mut self) {
        self.shared
            .tell(|state| state.listing.events_started(Instant::now()));
        let shared = self.shared.clone();
        let program = self.programs.docker();
        let started = self.events.start(move |stop| {
            let why = events::follow(&program, stop, &mut |ids| {
                shared.tell(|state| state.listing.told(ids, Instant::now()));
            });
            shared.tell(|state| state.listing.events_over(why, Instant::now()));
        });
        if let Err(e) = started {
            let why = Fault::Ended(format!("docker events cannot be run: {e}"));
            self.shared
                .tell(|state| state.listing.events_over(why, Instant::now()));
        }
    }

    /// `fault`: why it is of no use; `None`: nobody needs it.
    fn end_events(&mut self, fault: Option<Fault>) {
        self.events.end();
        self.shared.tell(|state| {
            let fault = fault.as_ref();
            state.listing.events_ended(fault, Instant::now());
        });
        match fault {
            None => log::debug!("events are not followed any more: nobody asks"),
            Some(fault) if !std::mem::replace(&mut self.events.said_so, true) => {
                log::warn!("{fault}; until that is over, containers are listed");
            }
            Some(fault) => log::debug!("{fault}"),
        }
    }

    fn list(&mut self, scope: &Scope, known: Vec<(Key, Address)>) {
        let facts = self.facts(scope, known).map_err(|e| e.to_string());
        if self.shared.ask(|state| state.is_closing()) {
            return;
        }
        let is_listed = facts.is_ok();
        let before = self.shared.ask(State::view);
        let (was_failing, is_good, after) = self.shared.tell(|state| {
            let was_failing = state.listing.failure().map(str::to_owned);
            let is_good = state.finish_listing(facts, Instant::now());
            (was_failing, is_good, state.view())
        });
        match (&was_failing, &after.failure) {
            (None, Some(reason)) => log::warn!("containers cannot be listed: {reason}"),
            (Some(was), Some(reason)) if was != reason => {
                log::debug!("containers cannot be listed: {reason}");
            }
            (Some(_), None) => log::info!("containers can be listed again"),
            _ => {}
        }
        report_warnings(&before.warnings, &after.warnings);
        report_dirty(&before, &after);
        self.report_events();
        if is_listed {
            self.shared.look();
            self.keeper.save_what_is_new();
        }
        if is_good {
            self.jobs.repair();
        }
        self.wake.wake();
    }

    /// One that is well for a moment only is not.
    fn report_events(&mut self) {
        let is_settled = |state: &mut State| state.listing.is_settled(Instant::now());
        if self.events.said_so && self.shared.ask(is_settled) {
            self.events.said_so = false;
            log::info!("events are followed again");
        }
    }

    fn facts(&mut self, scope: &Scope, known: Vec<(Key, Address)>) -> Result<Facts, ListError> {
        let program = self.programs.docker();
        let listed = self.docker.list(&program, scope)?;
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

impl EventsThread {
    /// `follow` is to return soon after its bell was rung.
    fn start(&mut self, follow: impl FnOnce(&Bell) + Send + 'static) -> std::io::Result<()> {
        let bell = Arc::new(Bell::new()?);
        let stop = bell.clone();
        let thread = thread::Builder::new().name("events".into());
        let thread = thread.spawn(move || follow(&stop))?;
        self.running = Some((bell, thread));
        Ok(())
    }

    /// Ends the child, and waits for that.
    fn end(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            stop.ring();
            // A panic in there has been reported, and there is nothing that it could have left half done.
            let _ = thread.join();
        }
    }
}

/// One line of log for each warning that is new.
fn report_warnings(before: &[String], after: &[String]) {
    for warning in after.iter().filter(|warning| !before.contains(warning)) {
        log::warn!("{warning}");
    }
}
