//! The only thread that reads the container list.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::devcontainer::inputs::Inputs;
use crate::docker::{Docker, ListError};
use crate::places::Place;
use crate::programs::Programs;
use crate::shared::{Shared, report_dirty};
use crate::state::{Address, Facts, Key, State};
use crate::watcher::Wake;

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
    /// Tells the watcher that there may be other directories to watch.
    pub wake: Wake,
}

impl Refresher {
    /// Lists whenever somebody needs it, until the daemon stops.
    pub fn run(mut self) {
        loop {
            let known = self.shared.wait_until(|state| {
                let now = Instant::now();
                let begins = !state.is_closing() && state.listing.begin(now);
                (begins || state.is_closing()).then(|| begins.then(|| state.addresses()))
            });
            match known {
                Some(known) => self.list(known),
                None => return,
            }
        }
    }

    fn list(&mut self, known: Vec<(Key, Address)>) {
        let facts = self.facts(known).map_err(|e| e.to_string());
        if self.shared.ask(|state| state.is_closing()) {
            return;
        }
        let before = self.shared.ask(State::view);
        let failed = facts.as_ref().err().cloned();
        let (was_failing, after) = self.shared.tell(|state| {
            let was_failing = state.listing.failure().map(str::to_owned);
            state.finish_listing(facts, Instant::now());
            (was_failing, state.view())
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
        let places = entry_places.iter().map(|(_, place)| place);
        let inputs = self.look(places.chain(container_places.values()));
        Ok(Facts {
            listed,
            container_places,
            entry_places,
            inputs,
        })
    }

    /// The inputs of places that have never been looked at: a container gets its baseline when it is first seen.
    fn look<'a>(&self, places: impl Iterator<Item = &'a Place>) -> Vec<(PathBuf, Inputs)> {
        let known = self.shared.ask(State::look_targets);
        let known: HashSet<&Path> = known.iter().map(|target| target.config.as_path()).collect();
        let configs: HashSet<&Path> = places
            .filter(|place| place.refused.is_none())
            .filter_map(|place| place.canonical_config.as_deref())
            .collect();
        configs
            .difference(&known)
            .filter_map(|config| Some((config.to_path_buf(), Inputs::look(config, None)?)))
            .collect()
    }
}

impl Address {
    /// Resolves it on disk.
    pub fn resolve(&self, roots: &[PathBuf]) -> Place {
        Place::resolve(&self.folder, self.config.as_deref(), self.source, roots)
    }
}

/// One line of log for each warning that is new.
fn report_warnings(before: &[String], after: &[String]) {
    for warning in after.iter().filter(|warning| !before.contains(warning)) {
        log::warn!("{warning}");
    }
}
