//! The thread that does what the state says: it lists containers, and starts and stops the events child.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::current::{Observer, report_dirty};
use super::disk::{Disk, Silent};
use super::operations::{self, Operations};
use super::persist::Persister;
use super::shared::Shared;
use super::surroundings::Surroundings;
use super::vigil::Quiet;
use crate::base::event::{Event, Value};
use crate::base::notify::{Notifier, RescanSignal};
use crate::base::threads;
use crate::base::time::Timestamp;
use crate::docker::lister::Lister;
use crate::docker::{self, events};
use crate::model::container::ContainerInfo;
use crate::model::counters::COUNTERS;
use crate::model::listing::{Fault, Listed, Scope};
use crate::model::location::{Declared, Resolved};
use crate::process;
use crate::process::programs::Programs;
use crate::state::{EntryPlaces, Fact, Inventory, Places, State, Step, View};

/// The time for the engine to tell its version.
const VERSION_PATIENCE: Duration = Duration::from_secs(10);
/// The age from which the places of dev containers are looked for again, though the kernel tells of no change. It does not
/// tell of a mount, nor of links in the labels of containers that are not shown.
const PLACES_MAX_AGE: Duration = Duration::from_secs(60);
/// How many reasons of one outage are logged.
const MAX_REASONS: usize = 16;

/// The refresher, with all that its steps need.
pub struct Refresher {
    /// The state that says what to do, and takes what comes of it.
    pub shared: Arc<Shared>,
    /// Scans the inputs after each listing.
    pub observer: Arc<Observer>,
    /// The path of docker.
    pub programs: Arc<Programs>,
    /// The container that the daemon runs in.
    pub surroundings: Arc<Surroundings>,
    /// Logs the version of the engine.
    pub engine: EngineVersion,
    /// Lists containers.
    pub docker: Lister,
    /// The folders of dev containers.
    pub disk: Arc<Disk>,
    /// Repair what operations left that did not come to their end.
    pub operations: Arc<Operations>,
    /// Saves what outlives a restart.
    pub persister: Arc<Persister>,
    /// Wakes the watcher, as there may be other directories to watch.
    pub rescan_signal: RescanSignal,
    /// The events child.
    pub events: EventsThread,
    /// The reasons for which listing has failed since it last succeeded, as the log has them.
    pub outage: OutageLog,
    /// When nothing had changed on disk before the last listing.
    pub quiet: Option<Quiet>,
    /// When the places of all dev containers were last looked for.
    pub placed: Option<Instant>,
}

/// The reasons of an outage that the log has, each once.
#[derive(Default)]
pub struct OutageLog(Vec<String>);

/// The thread that asks the engine for its version, once it has made a list. No answer waits for it.
pub struct EngineVersion {
    stop: Arc<Notifier>,
    is_asked: bool,
    thread: Option<JoinHandle<()>>,
}

/// The thread that reads from the events child, if there is one.
#[derive(Default)]
pub struct EventsThread {
    running: Option<(Arc<Notifier>, JoinHandle<()>)>,
    /// True if the log says that events cannot be followed.
    is_fault_logged: bool,
}

impl Refresher {
    /// Takes one step after the other, until the daemon stops.
    pub fn run(mut self) {
        // This reads about all processes, while docker makes the first list.
        let builder = thread::Builder::new().name("leftovers".into());
        let mut leftovers = builder.spawn(operations::end_leftovers).ok();
        if leftovers.is_none() {
            operations::end_leftovers();
        }
        loop {
            match self.shared.next_step() {
                Step::List(scope) => self.list(&scope, leftovers.take()),
                Step::StartEvents => self.start_events(),
                Step::StopEvents(fault) => self.stop_events(fault),
                Step::Repair => self.operations.repair(),
                Step::Save => self.persister.save(),
                Step::Stop => break,
            }
        }
        self.events.stop();
        self.engine.join();
    }

    fn start_events(&mut self) {
        let shared = self.shared.clone();
        let program = self.programs.docker();
        let started = self.events.start(move |stop| {
            let fault = events::follow(&program, stop, &mut |ids| {
                shared.apply_unseen(Fact::EventsNamed(ids));
            });
            shared.apply(Fact::EventsFailed(fault));
        });
        if let Err(e) = started {
            let fault = Fault::Ended(format!("docker events cannot be run: {e}"));
            self.shared.apply(Fact::EventsFailed(fault));
        }
    }

    fn stop_events(&mut self, fault: Option<Fault>) {
        self.events.stop();
        self.events.report_fault(fault.as_ref());
        if fault.is_some() {
            COUNTERS.events_restarts.add();
        }
        self.shared.apply(Fact::EventsStopped(fault));
    }

    /// Lists containers. `leftovers` ends the processes of an earlier operation, which may have changed what a listing finds.
    fn list(&mut self, scope: &Scope, leftovers: Option<JoinHandle<bool>>) {
        let now = self.observer.quiet();
        let begun = Instant::now();
        let are_placed = self.placed.is_some_and(|at| at.elapsed() < PLACES_MAX_AGE);
        let may_be_quiet = matches!(scope, Scope::Named(_)) || are_placed;
        let is_unchanged = may_be_quiet && now.is_some() && now == self.quiet;
        let is_quiet = is_unchanged && !self.shared.read(State::has_unscanned);
        let mut inventory = self.take_inventory(scope, is_quiet);
        if leftovers.is_some_and(|thread| thread.join().is_ok_and(|any| any)) {
            inventory = self.take_inventory(scope, is_quiet);
        }
        if self.shared.is_closing() {
            return;
        }
        count(scope, inventory.as_ref().err(), begun.elapsed());
        let is_listed = inventory.is_ok();
        let fact = Fact::Listed(inventory.map_err(|e| e.to_string()));
        let before = self.shared.view();
        let after = self.shared.update(|state| {
            state.apply(fact, Instant::now());
            state.view()
        });
        let docker = self.programs.docker();
        if self.outage.report(after.failure.as_deref())
            && let Some(why) = docker::why_no_access(&docker)
        {
            let reason = format!("docker: {why}");
            Event::Advice.log(&[("reason", Value::Text(&reason))]);
        }
        report_listing(&before, &after);
        self.report_settled_events();
        if is_listed {
            self.quiet = now;
            if !is_quiet {
                self.placed = Some(begun);
            }
            self.observer.scan_listed(is_quiet);
            self.persister.save_what_is_new();
            self.engine.log_once(&docker);
            if !matches!(scope, Scope::Named(_)) {
                self.surroundings.report(&self.shared, &after);
            }
        }
        if !is_quiet || self.observer.needs_watcher() {
            self.rescan_signal.request();
        }
    }

    fn take_inventory(
        &mut self,
        scope: &Scope,
        is_quiet: bool,
    ) -> Result<Inventory, docker::Error> {
        let program = self.programs.docker();
        let moves = self.shared.read(State::moves);
        let listed = self.docker.list(&program, scope)?;
        let keeps_members = |state: &State| state.keeps_members(&listed.containers);
        let places = match is_quiet {
            true if self.shared.read(keeps_members) => None,
            true => {
                let known = self.shared.read(State::known_places);
                Some(self.places(&listed, EntryPlaces::AsBefore, known))
            }
            false => {
                let mut known = HashMap::new();
                let mut of_entries = Vec::new();
                for (key, declared, found) in
                    self.disk.resolve_all(self.shared.read(State::addresses))
                {
                    let found = found.ok();
                    // The label of a container mostly names the same location.
                    if let Some(place) = found.clone() {
                        known.insert(declared, place);
                    }
                    of_entries.push((key, found));
                }
                let of_entries = EntryPlaces::Found(of_entries);
                Some(self.places(&listed, of_entries, known))
            }
        };
        Ok(Inventory {
            listed,
            places,
            moves,
            at: Timestamp::now(),
        })
    }

    /// Finds where the containers of dev containers lead, but for those whose places are known.
    fn places(
        &self,
        listed: &Listed,
        of_entries: EntryPlaces,
        known: HashMap<Declared, Resolved>,
    ) -> Places {
        let labelled: Vec<_> = self.shared.read(|state| {
            let declared =
                |info: &Arc<ContainerInfo>| Some((info.id.clone(), state.label_address(info)?));
            listed.containers.iter().filter_map(declared).collect()
        });
        let mut of_containers = HashMap::new();
        let mut others = Vec::new();
        for (id, declared) in labelled {
            match known.get(&declared) {
                Some(place) => {
                    of_containers.insert(id, place.clone());
                }
                None => others.push((id, declared)),
            }
        }
        for (id, declared, found) in self.disk.resolve_all(others) {
            let last = |Silent| self.shared.read(|state| state.silent_place(&declared));
            of_containers.insert(id, found.unwrap_or_else(last));
        }
        Places {
            of_entries,
            of_containers,
            gone_folders: self.disk.gone(self.shared.read(State::reserved_folders)),
        }
    }

    /// A child that has lived for a moment only may fail again.
    fn report_settled_events(&mut self) {
        let is_settled = |state: &State| state.has_stable_events(Instant::now());
        if self.events.is_fault_logged && self.shared.read(is_settled) {
            self.events.is_fault_logged = false;
            Event::EventsRecovered.log(&[]);
        }
    }
}

impl EventsThread {
    /// Starts the thread. `follow` is to return soon after its notifier was notified.
    fn start(&mut self, follow: impl FnOnce(&Notifier) + Send + 'static) -> io::Result<()> {
        let notifier = Arc::new(Notifier::new()?);
        let stop = notifier.clone();
        let thread = threads::start("events", move || follow(&stop))?;
        self.running = Some((notifier, thread));
        Ok(())
    }

    /// Ends the child and its thread, and waits for that.
    fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            stop.notify();
            // A panic in there has been reported, and there is nothing that it could have left half done.
            let _ = thread.join();
        }
    }

    fn report_fault(&mut self, fault: Option<&Fault>) {
        match fault {
            None => log::debug!("events are not followed any more: there is no interest"),
            Some(fault) if self.is_fault_logged => log::debug!("{fault}"),
            Some(fault) => {
                self.is_fault_logged = true;
                let reason = fault.to_string();
                Event::EventsFailed.log(&[("reason", Value::Text(&reason))]);
            }
        }
    }
}

impl EngineVersion {
    /// Takes a notifier of the end of the daemon, at which a question to the engine ends early.
    pub fn new(stop: Arc<Notifier>) -> Self {
        Self {
            stop,
            is_asked: false,
            thread: None,
        }
    }

    fn log_once(&mut self, program: &Path) {
        if self.is_asked {
            if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
                self.join();
            }
            return;
        }
        self.is_asked = true;
        let Some(program) = process::find(program) else {
            return;
        };
        let stop = self.stop.clone();
        let ask = move || {
            let docker = docker::Client {
                program: &program,
                deadline: Instant::now() + VERSION_PATIENCE,
                abort: Some(stop.as_fd()),
                operation: None,
                thorough: false,
                socket: None,
            };
            match docker.version() {
                Ok(version) => Event::EngineFound.log(&[
                    ("docker", Value::Text(&program.to_string_lossy())),
                    ("engine_version", Value::Text(&version)),
                ]),
                Err(error) => log::debug!("the version of the engine is not known: {error}"),
            }
        };
        self.thread = threads::start("version", ask).ok();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported.
            let _ = thread.join();
        }
    }
}

impl OutageLog {
    /// Logs the reason for which listing fails, unless the log has it, and the end of an outage. Returns whether it has
    /// logged a reason.
    fn report(&mut self, failure: Option<&str>) -> bool {
        match failure {
            None if self.0.is_empty() => {}
            None => {
                self.0.clear();
                Event::ListingRecovered.log(&[]);
            }
            Some(reason) if self.0.iter().any(|logged| logged == reason) => {}
            Some(reason) if self.0.len() >= MAX_REASONS => {
                log::debug!("containers cannot be listed: {reason}");
            }
            Some(reason) => {
                self.0.push(reason.to_owned());
                Event::ListingFailed.log(&[("reason", Value::Text(reason))]);
                return true;
            }
        }
        false
    }
}

fn count(scope: &Scope, error: Option<&docker::Error>, took: Duration) {
    match scope {
        Scope::All(_) | Scope::Changed(_) => COUNTERS.listed(took),
        Scope::Named(_) => COUNTERS.reread(took),
    }
    if let Some(why) = error.and_then(docker::Error::listing_failure) {
        COUNTERS.listing_failed(why);
    }
}

/// Logs what a listing has changed: warnings, and which dev containers match their configuration.
fn report_listing(before: &View, after: &View) {
    let logged: HashSet<&String> = before.warnings.iter().collect();
    let new = |warning: &&String| !logged.contains(warning);
    for warning in after.warnings.iter().filter(new) {
        log::warn!("{warning}");
    }
    report_dirty(before, after);
}
