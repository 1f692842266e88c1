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
use super::operation::Run;
use crate::model::container::{ContainerInfo, RunState};
use crate::model::ids::{Key, OperationId};
use crate::model::inputs::Inputs;
use crate::model::labels::{IdLabels, LABEL_CONFIG, LABEL_FOLDER, LABEL_OPERATION, LABEL_TEST_RUN};
use crate::model::listing::{Containers, Listed};
use crate::model::location::{Declared, Resolved, Source, normal};
use crate::model::original::ParkedName;
use crate::model::wsl::path_in;
use crate::state::fact::{EntryPlaces, Inventory, Places};

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
                if inventory.moves != self.moves {
                    // The places that it has may be those of before.
                    self.listing.want(now);
                }
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

    fn take_inventory(&mut self, inventory: Inventory) {
        let Inventory {
            listed, places, at, ..
        } = inventory;
        self.unread = unread(&listed);
        self.warnings = listed.warnings;
        let before = std::mem::replace(&mut self.containers, listed.containers);
        let may_have_left = self.has_left_services || self.may_have_left(&before);
        let are_assigned = places.is_some();
        let are_all_found = match places {
            Some(places) => self.take_places(places),
            None => {
                self.renew_members(&before);
                false
            }
        };
        if are_assigned || may_have_left {
            self.assign_left_services();
        }
        if are_assigned {
            self.attach_recovered();
        }
        let gone = self.fleet.drop_gone();
        self.fleet.reservations.trim();
        if are_all_found {
            self.fleet.drop_unused_links();
        }
        self.keep_operations_of(&gone);
        self.keep_operations(at);
        self.unsaved |= self.fleet.have_names_changed();
        for key in self.fleet.entries.to_compare() {
            self.set_baselines(key, false);
            self.fleet.entries.keep_compared(key);
        }
        debug_assert!(self.have_all_baselines());
        self.changed();
    }

    /// Returns whether these containers belong to the same dev containers as those of the last listing: only their states
    /// differ.
    pub fn keeps_members(&self, containers: &Containers) -> bool {
        let (before, after) = differing(&self.containers, containers);
        let labelled =
            |info: &'_ Arc<ContainerInfo>| Some((info.id.clone(), self.label_address(info)?));
        if self.is_unassigned {
            return false;
        }
        if before.len() == after.len() {
            let mut changed = changed(before, after);
            return changed.all(|(before, after)| labelled(before) == labelled(after));
        }
        let before = before.into_iter().filter_map(labelled);
        before.eq(after.into_iter().filter_map(labelled))
    }

    /// Takes the new states of containers of dev containers, which are those of `before`.
    fn renew_members(&mut self, before: &Containers) {
        let (before, after) = differing(before, &self.containers);
        let renewed = if before.len() == after.len() {
            changed(before, after).map(|(_, after)| after).collect()
        } else {
            after
        };
        let mut members: HashMap<Key, Vec<Arc<ContainerInfo>>> = HashMap::new();
        for info in renewed {
            let Some(entry) = self.owner_of(info) else {
                continue;
            };
            let containers = members
                .entry(entry.key)
                .or_insert_with(|| entry.containers().cloned().collect());
            for one in containers.iter_mut().filter(|one| one.id == info.id) {
                one.clone_from(info);
            }
        }
        for (key, containers) in members {
            self.set_containers(key, containers);
        }
    }

    fn set_containers(&mut self, key: Key, mut containers: Vec<Arc<ContainerInfo>>) {
        sort_by_precedence(&mut containers, |id| self.refused.contains(id));
        self.fleet.set_containers(key, containers);
    }

    /// Returns whether all paths of dev containers were looked at.
    fn take_places(&mut self, mut places: Places) -> bool {
        let are_all_found = matches!(places.of_entries, EntryPlaces::Found(_));
        if let EntryPlaces::Found(found) = places.of_entries {
            for (key, place) in found {
                match place {
                    Some(place) => self.fleet.set_place(key, place),
                    None => self.fleet.silence(key),
                }
            }
        }
        self.settle_places(&mut places.of_containers, &mut places.gone_folders);
        self.fleet.reservations.look(&places.gone_folders);
        self.assign(&places.of_containers);
        are_all_found
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
                    is_linked: normal(&declared.folder) != resolved.folder,
                    declared,
                    resolved,
                })
            })
            .collect();
        // Names are given in this order, whatever that of docker is. A dev container is written as a label has it that
        // may be followed, and without links where there is such a label: links may lead elsewhere tomorrow.
        labelled.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        // A dev container gets the container of its own configuration rather than another one of its folder.
        let mut folders = self.fleet.by_folder();
        labelled.sort_by_cached_key(|one| self.fleet.at(one.resolved, &folders).is_none());
        self.fleet.numbers.clear();
        let owners_before = std::mem::take(&mut self.owners);
        let mut members: HashMap<Key, Vec<Arc<ContainerInfo>>> = HashMap::new();
        self.is_unassigned = false;
        for container in &labelled {
            let has_container = |key: Key| members.contains_key(&key);
            let (key, is_other) = self.fleet.adopt(container, &mut folders, &has_container);
            // The change may concern the containers before this one.
            self.is_unassigned |= is_other;
            if owners_before.get(&container.info.id) != Some(&key) {
                // Its containers are shown as its own from now on.
                self.fleet.entries.forget(key);
            }
            self.owners.insert(container.info.id.clone(), key);
            members.entry(key).or_default().push(container.info.clone());
        }
        let refused = places.iter().filter(|(_, place)| !place.access.allows_up());
        self.refused = refused.map(|(id, _)| id.clone()).collect();
        let keys: Vec<Key> = self.fleet.entries.iter().map(|entry| entry.key).collect();
        for key in keys {
            let containers = members.remove(&key).unwrap_or_default();
            self.set_containers(key, containers);
        }
    }

    /// Returns whether one of the containers that differ from those of `before` may be what an operation left of a compose
    /// project.
    fn may_have_left(&self, before: &Containers) -> bool {
        let (_, new) = differing(before, &self.containers);
        new.iter().any(|info| may_be_left(info))
    }

    /// Finds the dev container that is to repair what an operation left of its compose project: that of the operation,
    /// where it is known, or any one of the project.
    fn assign_left_services(&mut self) {
        let mut left: HashMap<Key, Vec<OperationId>> = HashMap::new();
        let candidates = self.containers.iter().filter(|info| may_be_left(info));
        self.has_left_services = false;
        for info in candidates {
            self.has_left_services = true;
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
            if let Some(key) = self.repairer(info, parked.as_ref(), &operation) {
                let left = left.entry(key).or_default();
                if !left.contains(&operation) {
                    left.push(operation);
                }
            }
        }
        let left = |key| left.get(&key).map_or(&[][..], Vec::as_slice);
        let has_other = |entry: &Entry| entry.left_services != left(entry.key);
        for entry in self.fleet.entries.iter_mut_where(has_other) {
            entry.left_services = left(entry.key).to_vec();
        }
    }

    /// Returns the dev container that is to repair what this operation left of a service, which has a `parked` name or is
    /// half made.
    fn repairer(
        &self,
        info: &ContainerInfo,
        parked: Option<&OperationId>,
        operation: &OperationId,
    ) -> Option<Key> {
        let find = |is_it: &dyn Fn(&Entry) -> bool| {
            let mut entries = self.fleet.entries.iter();
            entries.find(|entry| is_it(entry)).map(|entry| entry.key)
        };
        if parked.is_none() {
            // docker may finish what a client asked for that was ended since.
            return find(&|entry| entry.has_failed(operation));
        }
        let of_project = |entry: &Entry| entry.is_in_project_of(info);
        find(&|entry| entry.operation_id() == Some(operation))
            .or_else(|| find(&|entry| of_project(entry) && entry.has_parked(operation)))
            .or_else(|| find(&of_project))
    }

    /// Sets the baselines of containers that are seen for the first time, where they are known by now. With
    /// `just_scanned`, the inputs of the dev container were scanned after its containers were made.
    pub(super) fn set_baselines(&mut self, key: Key, just_scanned: bool) {
        let Some(entry) = self.fleet.get(key) else {
            return;
        };
        let inputs = entry.inputs.as_deref().filter(|_| just_scanned);
        let mut has_new = false;
        for info in entry.containers() {
            if self.baselines.contains_key(&info.id) {
                continue;
            }
            if let Some(baseline) = entry.first_baseline(info, inputs) {
                self.baselines.insert(info.id.clone(), baseline);
                if entry.has_made(info) {
                    self.made_here.insert(info.id.clone());
                }
                self.unsaved = true;
                has_new = true;
            }
        }
        if has_new {
            self.fleet.entries.forget(key);
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

    /// Returns whether no baseline can be set that is not.
    fn have_all_baselines(&self) -> bool {
        let has_it = |entry: &Entry, info: &ContainerInfo| {
            self.baselines.contains_key(&info.id) || entry.first_baseline(info, None).is_none()
        };
        let mut entries = self.fleet.entries.iter();
        entries.all(|entry| entry.containers().all(|info| has_it(entry, info)))
    }

    /// Returns true if one of its containers has no baseline before its inputs are scanned.
    pub(super) fn lacks_baseline(&self, entry: &Entry) -> bool {
        entry
            .containers()
            .any(|info| !self.baselines.contains_key(&info.id) && !entry.is_making(info))
    }

    /// Returns the locations to resolve for a listing: those of the known dev containers.
    pub fn addresses(&self) -> Vec<(Key, Declared)> {
        let entries = self.fleet.entries.iter();
        entries.map(|entry| (entry.key, entry.declared())).collect()
    }

    /// Returns the places of the dev containers that the labels of their containers name just so, as the last listing has
    /// found them.
    pub fn known_places(&self) -> HashMap<Declared, Resolved> {
        let entries = self.fleet.entries.iter();
        let found = entries.filter(|entry| {
            let is_labelled = entry.container.is_some() && entry.source() == Source::Label;
            is_labelled && !entry.resolved.access.is_silent()
        });
        found
            .map(|entry| (entry.declared(), entry.resolved.clone()))
            .collect()
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

    /// Returns whether the last operation is one of this run, and has made a container.
    fn has_made(&self, info: &ContainerInfo) -> bool {
        self.last()
            .is_some_and(|past| past.run == Run::This && past.baseline_of(info).is_some())
    }

    fn is_making(&self, info: &ContainerInfo) -> bool {
        let running = self.running();
        running.is_some_and(|running| running.baseline_of(info).is_some())
    }
}

impl Labelled<'_> {
    fn order(&self) -> (bool, bool, &OsStr, Option<&OsStr>, &str) {
        let is_refused = !self.resolved.access.allows_up();
        let config = self.declared.config.as_deref().map(Path::as_os_str);
        let folder = self.declared.folder.as_os_str();
        (is_refused, self.is_linked, folder, config, &self.info.id)
    }
}

/// Returns whether an operation may have left a container: it has a parked name, or is half made.
fn may_be_left(info: &ContainerInfo) -> bool {
    info.run_state == RunState::Created || ParkedName::parse(&info.name).is_some()
}

type Differing<'a> = Vec<&'a Arc<ContainerInfo>>;

/// Returns what is left of two lists without the containers that they have in common at their beginning and at their end.
fn differing<'a>(before: &'a Containers, after: &'a Containers) -> (Differing<'a>, Differing<'a>) {
    let (gone, came) = Containers::differing(before, after, Arc::ptr_eq);
    (before.range(gone).collect(), after.range(came).collect())
}

/// Returns the pairs of containers that differ, of two lists of one length.
fn changed<'a>(
    before: Differing<'a>,
    after: Differing<'a>,
) -> impl Iterator<Item = (&'a Arc<ContainerInfo>, &'a Arc<ContainerInfo>)> {
    let pairs = before.into_iter().zip(after);
    pairs.filter(|(before, after)| !Arc::ptr_eq(before, after))
}

/// Returns the ids of the containers about which docker has not answered yet, sorted.
fn unread(listed: &Listed) -> Vec<String> {
    if listed.ids.len() == listed.containers.len() {
        return Vec::new();
    }
    let read: HashSet<&str> = listed.containers.iter().map(|info| &*info.id).collect();
    let unread = listed.ids.iter().filter(|id| !read.contains(id.as_str()));
    let mut unread: Vec<String> = unread.cloned().collect();
    unread.sort_unstable();
    unread
}

/// Returns the labels by which the CLI finds a container, if it is a dev container.
pub(super) fn id_labels(info: &ContainerInfo) -> Option<IdLabels> {
    Some(IdLabels {
        folder: info.own_label(LABEL_FOLDER)?.to_owned(),
        config: info.own_label(LABEL_CONFIG).map(str::to_owned),
    })
}
