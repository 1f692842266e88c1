//! The only thread that reads the container list.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::current::report_dirty;
use super::operations::{self, Operations};
use super::persist::Persister;
use super::shared::Shared;
use crate::base::notify::{Notifier, RescanSignal};
use crate::docker::lister::Lister;
use crate::docker::{self, events};
use crate::model::ids::Key;
use crate::model::listing::{Fault, Scope};
use crate::model::location::{Declared, Resolved};
use crate::process::programs::Programs;
use crate::state::{Inventory, State, Step};

/// What the refresher needs.
pub struct Refresher {
    /// The state to tell.
    pub shared: Arc<Shared>,
    /// Where docker is.
    pub programs: Arc<Programs>,
    /// How it is asked.
    pub docker: Lister,
    /// The resolved folders of `--workspace-root`.
    pub roots: Arc<[PathBuf]>,
    /// Put right what a listing shows of operations that did not come to their end.
    pub operations: Arc<Operations>,
    /// Writes down what containers were made from.
    pub persister: Arc<Persister>,
    /// Tells the watcher that there may be other directories to watch.
    pub rescan_signal: RescanSignal,
    /// The events child.
    pub events: EventsThread,
}

/// The thread that reads what the events child tells, if there is one.
#[derive(Default)]
pub struct EventsThread {
    running: Option<(Arc<Notifier>, JoinHandle<()>)>,
    /// Whether it was said that events cannot be followed.
    said_so: bool,
}

impl Refresher {
    /// Does what the state says, until the daemon stops.
    pub fn run(mut self) {
        // What still runs of an earlier operation would change what a listing finds.
        operations::end_leftovers();
        loop {
            match self.shared.next_step() {
                Step::List(scope, known) => self.list(&scope, known),
                Step::StartEvents => self.start_events(),
                Step::EndEvents(fault) => self.end_events(fault),
                Step::Save => self.persister.save(),
                Step::Stop => break,
            }
        }
        self.events.end();
    }

    fn start_events(&mut self) {
        self.shared
            .update(|state| state.listing.events_started(Instant::now()));
        let shared = self.shared.clone();
        let program = self.programs.docker();
        let started = self.events.start(move |stop| {
            let why = events::follow(&program, stop, &mut |ids| {
                shared.update(|state| state.listing.told(ids, Instant::now()));
            });
            shared.update(|state| state.listing.events_over(why, Instant::now()));
        });
        if let Err(e) = started {
            let why = Fault::Ended(format!("docker events cannot be run: {e}"));
            self.shared
                .update(|state| state.listing.events_over(why, Instant::now()));
        }
    }

    /// `fault`: why it is of no use; `None`: nobody needs it.
    fn end_events(&mut self, fault: Option<Fault>) {
        self.events.end();
        self.shared.update(|state| {
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

    fn list(&mut self, scope: &Scope, known: Vec<(Key, Declared)>) {
        let facts = self.facts(scope, known).map_err(|e| e.to_string());
        if self.shared.read(|state| state.is_closing()) {
            return;
        }
        let is_listed = facts.is_ok();
        let before = self.shared.read(State::view);
        let (was_failing, is_good, after) = self.shared.update(|state| {
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
            self.shared.scan();
            self.persister.save_what_is_new();
        }
        if is_good {
            self.operations.repair();
        }
        self.rescan_signal.request();
    }

    /// One that is well for a moment only is not.
    fn report_events(&mut self) {
        let is_settled = |state: &mut State| state.listing.is_settled(Instant::now());
        if self.events.said_so && self.shared.read(is_settled) {
            self.events.said_so = false;
            log::info!("events are followed again");
        }
    }

    fn facts(
        &mut self,
        scope: &Scope,
        known: Vec<(Key, Declared)>,
    ) -> Result<Inventory, docker::Error> {
        let program = self.programs.docker();
        let listed = self.docker.list(&program, scope)?;
        let entry_places: Vec<(Key, Resolved)> = known
            .into_iter()
            .map(|(key, address)| (key, address.resolve(&self.roots)))
            .collect();
        let labelled = listed.containers.iter().filter_map(|info| {
            let place = State::label_address(info)?.resolve(&self.roots);
            Some((info.id.clone(), place))
        });
        let container_places: HashMap<String, Resolved> = labelled.collect();
        Ok(Inventory {
            listed,
            container_places,
            entry_places,
        })
    }
}

impl EventsThread {
    /// `follow` is to return soon after its bell was rung.
    fn start(&mut self, follow: impl FnOnce(&Notifier) + Send + 'static) -> std::io::Result<()> {
        let notifier = Arc::new(Notifier::new()?);
        let stop = notifier.clone();
        let thread = thread::Builder::new().name("events".into());
        let thread = thread.spawn(move || follow(&stop))?;
        self.running = Some((notifier, thread));
        Ok(())
    }

    /// Ends the child, and waits for that.
    fn end(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            stop.notify();
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
