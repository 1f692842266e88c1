//! The targets of scans of the disk, and their results.

use std::sync::Arc;

use super::State;
use super::differing::differing;
use super::entry::Entry;
use super::fact::Applied;
use crate::model::ids::Key;
use crate::model::inputs::Inputs;
use crate::state::fact::{Found, ScanTarget, Unlocated};

impl State {
    /// Returns whether there is a dev container to scan.
    pub fn has_scan_targets(&mut self) -> bool {
        if self.targets.is_none() || self.are_targets_old {
            self.scan_targets();
        }
        self.targets
            .as_ref()
            .is_some_and(|targets| !targets.is_empty())
    }

    /// Returns the dev containers to scan, by their keys. Those that have not changed are the same objects as before.
    pub fn scan_targets(&mut self) -> Arc<[Arc<ScanTarget>]> {
        if let Some(targets) = self.targets.as_ref().filter(|_| !self.are_targets_old) {
            return targets.clone();
        }
        for key in self.fleet.entries.to_target() {
            let entry = self.fleet.get(key);
            let target = entry.and_then(|entry| entry.scan_target(self.lacks_baseline(entry)));
            self.fleet.entries.keep_target(key, target);
        }
        debug_assert!(self.are_targets_right());
        let entries = self.fleet.entries.iter();
        let targets = entries.filter_map(|entry| entry.derived.target().cloned());
        let targets: Vec<Arc<ScanTarget>> = targets.collect();
        let is_same = |last: &&Arc<[Arc<ScanTarget>]>| {
            let (before, after) = differing(last, &targets, Arc::ptr_eq);
            before.is_empty() && after.is_empty()
        };
        let last = self.targets.as_ref().filter(is_same).cloned();
        let targets = last.unwrap_or_else(|| targets.into());
        self.are_targets_old = false;
        self.targets = Some(targets.clone());
        targets
    }

    /// Returns whether there is a dev container that no scan looks at, so that only a listing finds where it is.
    pub fn has_unscanned(&self) -> bool {
        let mut entries = self.fleet.entries.iter();
        entries.any(|entry| entry.derived.target().is_none())
    }

    /// Returns whether the target of each dev container is what it would be now: none has changed unnoticed.
    fn are_targets_right(&self) -> bool {
        let mut entries = self.fleet.entries.iter();
        entries.all(|entry| {
            let now = entry.scan_target(self.lacks_baseline(entry));
            now.as_ref() == entry.derived.target().map(|kept| &**kept)
        })
    }

    /// Takes what a scan has found, as far as it fits the targets of now: another scan may have been taken in between,
    /// and may have seen something newer.
    pub(super) fn take_scan(&mut self, found: Vec<Found>) -> Applied {
        let mut applied = Applied::Whole;
        for one in found {
            match one {
                Found::Inputs(target, inputs) => {
                    let entry = self.fleet.get_mut(target.key);
                    if entry.is_some_and(|entry| entry.take_inputs(&target, inputs)) {
                        self.doubt_inputs(target.key);
                        self.set_baselines(target.key, target.before.is_none());
                        self.complete_baselines(target.key);
                    } else {
                        applied = Applied::Partly;
                    }
                }
                Found::Resolved(key, address, place) => {
                    let entry = self.fleet.get(key);
                    if entry.is_some_and(|entry| entry.declared() == address) {
                        self.fleet.set_place(key, place);
                        self.unassign();
                    }
                    // Its inputs are still to be scanned.
                    applied = Applied::Partly;
                }
                Found::Silent(key) => {
                    self.fleet.silence(key);
                }
            }
        }
        self.changed();
        applied
    }

    /// Takes what was just scanned into account for the container that an operation is making.
    fn doubt_inputs(&mut self, key: Key) {
        let Some(entry) = self.fleet.get(key) else {
            return;
        };
        let running = entry.running();
        let may_be_read =
            running.is_some_and(|running| running.may_read_inputs(entry.containers()));
        let inputs = entry.inputs.clone().filter(|_| may_be_read);
        if let (Some(inputs), Some(running)) = (inputs, self.running_mut(key)) {
            self.unsaved |= running.doubt(&inputs);
        }
    }
}

impl Entry {
    fn scan_target(&self, lacks_baseline: bool) -> Option<ScanTarget> {
        let is_silent = self.resolved.access.is_silent();
        let is_searched = self.config.is_none() || !self.resolved.folder_exists;
        let may_be_found = is_silent || (is_searched && self.resolved.access.allows_stop());
        // A path of another system leads nowhere here.
        let may_be_found = may_be_found && self.folder.is_absolute();
        let unlocated = may_be_found.then(|| Unlocated {
            declared: self.declared(),
            folder_exists: self.resolved.folder_exists,
            found: self.resolved.config.clone(),
        });
        (unlocated.is_some() || self.paths.is_some()).then(|| ScanTarget {
            key: self.key,
            paths: self.paths.clone(),
            unlocated,
            folder: self.folder.clone(),
            canonical_folder: self.resolved.folder.clone(),
            is_silent,
            // A new container is compared with the inputs that are there after it was made.
            before: self
                .inputs
                .clone()
                .filter(|_| !lacks_baseline && !self.rescans_all),
            version: self.version,
        })
    }

    /// Returns false if the target is not that of now.
    fn take_inputs(&mut self, target: &ScanTarget, inputs: Inputs) -> bool {
        let fits = self.version == target.version && self.paths == target.paths;
        if fits {
            self.inputs = Some(Arc::new(inputs));
            self.version += 1;
            self.rescans_all = false;
        }
        fits
    }
}
