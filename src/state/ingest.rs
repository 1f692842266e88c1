//! Takes a container list: finds the dev container of each container, and what it was made from.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::State;
use super::baseline::Baseline;
use super::devcontainers::{Labelled, sort_by_precedence};
use super::entry::Entry;
use super::fact::Applied;
use crate::model::container::{ContainerInfo, RunState};
use crate::model::ids::{Key, OperationId};
use crate::model::inputs::Inputs;
use crate::model::labels::{IdLabels, LABEL_CONFIG, LABEL_FOLDER, LABEL_OPERATION, LABEL_TEST_RUN};
use crate::model::location::{Declared, Resolved, Source, normal};
use crate::model::original::ParkedName;
use crate::model::wsl::path_in;
use crate::state::fact::Inventory;

impl State {
    /// Takes a listing that ended at `now`. One from before the end of an operation is dropped, and made again.
    pub(super) fn take_listing(
        &mut self,
        result: Result<Inventory, String>,
        now: Instant,
    ) -> Applied {
        let is_outdated = self.listing.is_outdated();
        if result.is_ok() && is_outdated && self.listing.drop_running(now) {
            return Applied::Partly;
        }
        let failure_before = self.listing.failure().map(str::to_owned);
        let is_full = self.listing.is_full();
        let applied = match result {
            Ok(mut inventory) => {
                if !is_outdated {
                    self.keep_baselines(&inventory.listed.ids, inventory.at);
                }
                let unreported = std::mem::take(&mut inventory.listed.unreported);
                let retry_at = inventory.listed.retry_at;
                self.take_inventory(inventory);
                self.show_ends(self.listing.running_since());
                self.listing.end(Ok(()), now);
                self.listing.found(unreported, retry_at, now);
                self.repair_due |= is_full && !is_outdated;
                if is_outdated {
                    Applied::Partly
                } else {
                    Applied::Whole
                }
            }
            Err(reason) => {
                self.show_ends(None);
                self.listing.end(Err(reason), now);
                Applied::Whole
            }
        };
        if self.listing.failure() != failure_before.as_deref() {
            self.changed();
        }
        if is_full {
            self.schedule_retry(now);
        }
        applied
    }

    fn take_inventory(&mut self, mut inventory: Inventory) {
        for (key, place) in inventory.entry_places {
            match place {
                Some(place) => self.fleet.set_place(key, place),
                None => {
                    if let Some(entry) = self.fleet.get_mut(key) {
                        entry.resolved.become_silent(&entry.folder);
                    }
                }
            }
        }
        let mut unread = inventory.listed.ids;
        for info in &inventory.listed.containers {
            unread.remove(&info.id);
        }
        self.unread = unread.into_iter().collect();
        self.unread.sort_unstable();
        self.containers = inventory.listed.containers;
        self.warnings = inventory.listed.warnings;
        self.settle_places(&mut inventory.container_places, &mut inventory.gone_folders);
        self.fleet.reservations.look(&inventory.gone_folders);
        self.assign(&inventory.container_places);
        self.attach_recovered();
        let gone = self.fleet.drop_gone();
        self.fleet.drop_unused_links();
        self.keep_operations_of(&gone);
        self.keep_operations(inventory.at);
        self.unsaved |= self.fleet.have_names_changed();
        let keys: Vec<Key> = self.fleet.entries.iter().map(|entry| entry.key).collect();
        for key in keys {
            self.set_baselines(key, false);
        }
        self.changed();
    }

    /// Lets the labels of containers that cannot be resolved now lead where they led before. The name of a dev container
    /// whose container is there is kept for it, also where its folder is not.
    fn settle_places(
        &mut self,
        places: &mut HashMap<String, Resolved>,
        gone: &mut HashSet<PathBuf>,
    ) {
        let declared =
            |info: &Arc<ContainerInfo>| Some((info.id.clone(), self.label_address(info)?));
        let declared = self.containers.iter().filter_map(declared);
        for (id, declared) in declared.collect::<Vec<_>>() {
            if let Some(place) = places.get_mut(&id) {
                self.fleet.settle(&declared, place);
                gone.remove(&place.folder);
            }
        }
    }

    /// Finds the dev container of each container, and the container of each dev container.
    fn assign(&mut self, places: &HashMap<String, Resolved>) {
        let mut labelled: Vec<Labelled<'_>> = self
            .containers
            .iter()
            .filter_map(|info| {
                let resolved = places.get(&info.id)?;
                let declared = self.label_address(info)?;
                Some(Labelled {
                    info,
                    declared,
                    resolved,
                })
            })
            .collect();
        // Names are given in this order, whatever that of docker is. A dev container is written as a label has it that
        // may be followed, and without links where there is such a label: links may lead elsewhere tomorrow.
        labelled.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        // A dev container gets the container of its own configuration rather than another one of its folder.
        labelled.sort_by_cached_key(|one| !self.fleet.knows(one.resolved));
        self.owners.clear();
        let mut members: HashMap<Key, Vec<Arc<ContainerInfo>>> = HashMap::new();
        for container in &labelled {
            let has_container = |key: Key| members.contains_key(&key);
            let key = self.fleet.adopt(container, &has_container);
            self.owners.insert(container.info.id.clone(), key);
            members.entry(key).or_default().push(container.info.clone());
        }
        for entry in &mut self.fleet.entries {
            let mut containers = members.remove(&entry.key).unwrap_or_default();
            let is_refused = |id: &str| {
                places
                    .get(id)
                    .is_some_and(|place| !place.access.allows_up())
            };
            sort_by_precedence(&mut containers, is_refused);
            let ids = containers.iter().map(|info| &info.id);
            entry.rescans_all |= ids.ne(entry.containers().map(|info| &info.id));
            let mut sorted = containers.into_iter();
            entry.container = sorted.next();
            entry.others = sorted.collect();
            // A scan that is under way began before these containers were known.
            entry.version += 1;
            entry.restore_config();
        }
        self.assign_left_services();
    }

    /// Finds the dev container that is to repair what an operation left of its compose project: that of the operation,
    /// where it is known, or any one of the project.
    fn assign_left_services(&mut self) {
        for entry in &mut self.fleet.entries {
            entry.left_services.clear();
        }
        for info in &self.containers {
            if self.owners.contains_key(&info.id) {
                continue;
            }
            let parked = ParkedName::parse(&info.name).map(|parked| parked.operation);
            let is_half_made = info.run_state == RunState::Created;
            let label = info.own_label(LABEL_OPERATION).filter(|_| is_half_made);
            let made_by = label.and_then(OperationId::parse);
            let Some(operation) = parked.clone().or(made_by) else {
                continue;
            };
            let entries = &self.fleet.entries;
            let position = match parked {
                Some(_) => {
                    let of_operation = |entry: &Entry| entry.operation_id() == Some(&operation);
                    let of_project = |entry: &Entry| entry.is_in_project_of(info);
                    let likely = |entry: &Entry| of_project(entry) && entry.has_parked(&operation);
                    let known = entries.iter().position(of_operation);
                    known
                        .or_else(|| entries.iter().position(likely))
                        .or_else(|| entries.iter().position(of_project))
                }
                // docker may finish what a client asked for that was ended since.
                None => entries
                    .iter()
                    .position(|entry| entry.has_failed(&operation)),
            };
            let entry = position.and_then(|at| self.fleet.entries.get_mut(at));
            if let Some(entry) = entry
                && !entry.left_services.contains(&operation)
            {
                entry.left_services.push(operation);
            }
        }
    }

    /// Sets the baselines of containers that are seen for the first time, where they are known by now. With
    /// `just_scanned`, the inputs of the dev container were scanned after its containers were made.
    pub(super) fn set_baselines(&mut self, key: Key, just_scanned: bool) {
        let Some(entry) = self.fleet.get(key) else {
            return;
        };
        let inputs = entry.inputs.as_deref().filter(|_| just_scanned);
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

    /// Completes the baselines of a dev container whose inputs were just scanned: with inputs that could not be read
    /// before.
    pub(super) fn complete_baselines(&mut self, key: Key) {
        let Some(entry) = self.fleet.get(key) else {
            return;
        };
        let Some(inputs) = &entry.inputs else { return };
        for info in entry.containers() {
            if let Some(baseline) = self.baselines.get_mut(&info.id)
                && let Some(settled) = baseline.completed(inputs, info.created_at)
            {
                *baseline = settled;
                self.unsaved = true;
            }
        }
    }

    /// Returns true if one of its containers has no baseline before its inputs are scanned.
    pub(super) fn lacks_baseline(&self, entry: &Entry) -> bool {
        entry
            .containers()
            .any(|info| !self.baselines.contains_key(&info.id) && !entry.is_making(info))
    }

    /// Returns the locations to resolve for the next listing: those of the known dev containers.
    pub(super) fn addresses(&self) -> Vec<(Key, Declared)> {
        let entries = self.fleet.entries.iter();
        entries.map(|entry| (entry.key, entry.declared())).collect()
    }

    /// Returns the last known place of a location whose file system does not answer: as a dev container has it, or as it
    /// is written.
    pub fn silent_place(&self, declared: &Declared) -> Resolved {
        let mut entries = self.fleet.entries.iter();
        let same = entries
            .find(|entry| entry.folder == declared.folder && entry.config == declared.config);
        let mut place = same.map_or_else(
            || Resolved::as_written(declared),
            |entry| entry.resolved.clone(),
        );
        place.become_silent(&declared.folder);
        place
    }

    /// Returns the folders of dev containers that are not known, whose names are kept as long as these exist.
    pub fn reserved_folders(&self) -> Vec<PathBuf> {
        let folders = self.fleet.reservations.folders();
        folders.map(Path::to_path_buf).collect()
    }

    /// Returns the location that the labels of a container name, if it is a dev container.
    pub fn label_address(&self, info: &ContainerInfo) -> Option<Declared> {
        if info.own_label(LABEL_TEST_RUN) == Some("true") {
            return None;
        }
        Some(self.declared_by(&id_labels(info)?))
    }

    /// Returns the location that labels name. Paths of Windows into this WSL distribution are paths in it.
    pub fn declared_by(&self, labels: &IdLabels) -> Declared {
        let distribution = self.wsl_distribution.as_deref();
        let path = |text: &String| path_in(distribution, text).unwrap_or_else(|| text.into());
        Declared {
            folder: path(&labels.folder),
            config: labels.config.as_ref().map(path),
            source: Source::Label,
        }
    }
}

impl Entry {
    /// Returns the baseline of a container that is seen for the first time, with its inputs as they are now. A
    /// container that an operation is making gets its baseline when that ends.
    fn first_baseline(&self, info: &ContainerInfo, inputs: Option<&Inputs>) -> Option<Baseline> {
        if self.is_making(info) {
            return None;
        }
        let past = self.last();
        match past.and_then(|past| Some((past, past.baseline_of(info)?))) {
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
        running.is_some_and(|running| running.baseline_of(info).is_some())
    }
}

impl Labelled<'_> {
    /// Returns whether its label names the folder by a path with links.
    pub(super) fn is_linked(&self) -> bool {
        normal(&self.declared.folder) != self.resolved.folder
    }

    fn order(&self) -> (bool, bool, &OsStr, Option<&OsStr>, &str) {
        let is_refused = !self.resolved.access.allows_up();
        let is_linked = self.is_linked();
        let config = self.declared.config.as_deref().map(Path::as_os_str);
        let folder = self.declared.folder.as_os_str();
        (is_refused, is_linked, folder, config, &self.info.id)
    }
}

/// Returns the labels by which the CLI finds a container, if it is a dev container.
pub(super) fn id_labels(info: &ContainerInfo) -> Option<IdLabels> {
    Some(IdLabels {
        folder: info.own_label(LABEL_FOLDER)?.to_owned(),
        config: info.own_label(LABEL_CONFIG).map(str::to_owned),
    })
}
