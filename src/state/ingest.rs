//! Takes a container list: which dev container each container belongs to, and what it was made from.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::baseline::Baseline;
use super::devcontainers::{Entry, Labelled};
use super::{State, devcontainers as fleet};
use crate::base::sort::by_text;
use crate::model::container::ContainerInfo;
use crate::model::ids::Key;
use crate::model::inputs::Inputs;
use crate::model::labels::{LABEL_CONFIG, LABEL_FOLDER, LABEL_TEST_RUN};
use crate::model::listing::Listed;
use crate::model::location::{Declared, Resolved, Source};

/// A container list and everything on disk that belongs to it.
pub struct Inventory {
    /// What docker says.
    pub listed: Listed,
    /// The places of containers with the labels of a dev container, by container id.
    pub container_places: HashMap<String, Resolved>,
    /// The places of the dev containers that were known.
    pub entry_places: Vec<(Key, Resolved)>,
}

impl State {
    /// Takes a listing that ended at `now`. Returns whether it tells how all things are: one from before the end of an
    /// operation does not, and is made again.
    pub fn finish_listing(&mut self, result: Result<Inventory, String>, now: Instant) -> bool {
        let is_outdated = self.listing.is_outdated();
        if result.is_ok() && is_outdated && self.listing.again(now) {
            return false;
        }
        let failure = self.listing.failure().map(str::to_owned);
        let found = result.as_ref().ok();
        let found = found.map(|facts| (facts.listed.untold.clone(), facts.listed.retry_at));
        let result = result.map(|facts| {
            if !is_outdated {
                self.forget_baselines(&facts.listed.ids);
            }
            self.take_facts(facts);
        });
        let is_full = self.listing.is_full();
        let is_good = result.is_ok() && !is_outdated && is_full;
        self.listing.end(result, now);
        if let Some((untold, retry_at)) = found {
            self.listing.found(untold, retry_at, now);
        }
        if self.listing.failure() != failure.as_deref() {
            self.changed();
        }
        if is_full {
            self.schedule_retry(now);
        }
        is_good
    }

    fn take_facts(&mut self, facts: Inventory) {
        for (key, place) in facts.entry_places {
            if let Some(entry) = self.fleet.get_mut(key) {
                entry.settle_at(place);
            }
        }
        self.containers = facts.listed.containers;
        self.warnings = facts.listed.warnings;
        self.assign(&facts.container_places);
        self.attach_recovered();
        // What no dev container has claimed by now belongs to one that is gone.
        self.recovered.clear();
        self.fleet.drop_gone();
        let keys: Vec<Key> = self.fleet.entries.iter().map(|entry| entry.key).collect();
        for key in keys {
            self.set_baselines(key, false);
        }
        self.changed();
    }

    /// Finds the dev container of each container, and the container of each dev container.
    fn assign(&mut self, places: &HashMap<String, Resolved>) {
        let labelled: Vec<Labelled<'_>> = self
            .containers
            .iter()
            .filter_map(|info| {
                let place = places.get(&info.id)?;
                Labelled::of(info, place)
            })
            .collect();
        // Whatever docker's order is, names are given in this one.
        let labelled = by_text(labelled, |one| {
            let config = one.config.unwrap_or_default();
            [one.folder, config, &one.info.id].join("\0").into_bytes()
        });
        self.owners.clear();
        let mut members: HashMap<Key, Vec<Arc<ContainerInfo>>> = HashMap::new();
        for container in &labelled {
            let key = self.fleet.adopt(container);
            self.owners.insert(container.info.id.clone(), key);
            members.entry(key).or_default().push(container.info.clone());
        }
        for entry in &mut self.fleet.entries {
            let members = members.remove(&entry.key).unwrap_or_default();
            let members = fleet::by_precedence(members);
            let ids = members.iter().map(|info| &info.id);
            entry.rescans_all |= ids.ne(entry.containers().map(|info| &info.id));
            let mut members = members.into_iter();
            entry.container = members.next();
            entry.others = members.collect();
            // Whoever is looking has begun before these containers were known.
            entry.version += 1;
            entry.give_back_config();
        }
    }

    /// Notes what containers were made from that are seen for the first time, where that is known by now.
    /// `just_looked`: the inputs of the dev container are as they are after its containers were made.
    pub(super) fn set_baselines(&mut self, key: Key, just_looked: bool) {
        let Some(entry) = self.fleet.get(key) else {
            return;
        };
        let inputs = entry.inputs.as_deref().filter(|_| just_looked);
        for info in entry.containers() {
            if self.baselines.contains_key(&info.id) {
                continue;
            }
            if let Some(baseline) = entry.first_baseline(info, inputs) {
                self.baselines.insert(info.id.clone(), baseline);
                self.unsaved = true;
            }
        }
    }

    /// Takes what its inputs, which were just looked at, tell of those that were not there to be read before.
    pub(super) fn settle_baselines(&mut self, key: Key) {
        let Some(entry) = self.fleet.get(key) else {
            return;
        };
        let Some(inputs) = &entry.inputs else { return };
        for info in entry.containers() {
            if let Some(baseline) = self.baselines.get_mut(&info.id)
                && let Some(settled) = baseline.settled(inputs, info.created_at)
            {
                *baseline = settled;
                self.unsaved = true;
            }
        }
    }

    /// Whether one of its containers waits for its inputs to be looked at.
    pub(super) fn lacks_baseline(&self, entry: &Entry) -> bool {
        entry
            .containers()
            .any(|info| !self.baselines.contains_key(&info.id) && !entry.is_making(info))
    }

    /// Of containers that are gone.
    fn forget_baselines(&mut self, ids: &HashSet<String>) {
        let before = self.baselines.len();
        self.baselines.retain(|id, _| ids.contains(id));
        self.unsaved |= self.baselines.len() != before;
    }

    /// The places to resolve for the next listing: those of the dev containers that are known.
    pub fn addresses(&self) -> Vec<(Key, Declared)> {
        let entries = self.fleet.entries.iter();
        entries.map(|entry| (entry.key, entry.address())).collect()
    }

    /// Where the labels of a container point, if it is a dev container.
    pub fn label_address(info: &ContainerInfo) -> Option<Declared> {
        if info.labels.get(LABEL_TEST_RUN) == Some("true") {
            return None;
        }
        Some(Declared {
            folder: info.labels.get(LABEL_FOLDER)?.into(),
            config: label_config(info).map(PathBuf::from),
            source: Source::Label,
        })
    }
}

impl Entry {
    /// What a container was made from that is seen for the first time; `inputs` are as they are now. One that an
    /// operation is just making gets its baseline when that ends.
    fn first_baseline(&self, info: &ContainerInfo, inputs: Option<&Inputs>) -> Option<Baseline> {
        if self.is_making(info) {
            return None;
        }
        let past = self.last();
        match past.and_then(|past| Some((past, past.made(info)?))) {
            // The daemon did not live to see how the CLI left its lock file.
            Some((past, made_from)) if past.is_interrupted() => {
                Some(made_from.with_lock_of(inputs?))
            }
            Some((_, made_from)) => Some(made_from.clone()),
            None => Some(Baseline::at_first_sight(inputs?, info.created_at)),
        }
    }

    fn is_making(&self, info: &ContainerInfo) -> bool {
        let running = self.running();
        running.is_some_and(|running| running.made(info).is_some())
    }
}

impl<'a> Labelled<'a> {
    fn of(info: &'a Arc<ContainerInfo>, place: &'a Resolved) -> Option<Self> {
        Some(Self {
            info,
            folder: info.labels.get(LABEL_FOLDER)?,
            config: label_config(info),
            place,
        })
    }
}

fn label_config(info: &ContainerInfo) -> Option<&str> {
    info.labels
        .get(LABEL_CONFIG)
        .filter(|config| !config.is_empty())
}
