//! The targets of scans of the disk, and their results.

use std::sync::Arc;

use super::State;
use super::entry::Entry;
use super::fact::Applied;
use crate::model::ids::Key;
use crate::model::inputs::Inputs;
use crate::state::fact::{Found, ScanTarget, Unlocated};

impl State {
    /// Returns the dev containers to scan.
    pub fn scan_targets(&mut self) -> Arc<[ScanTarget]> {
        if let Some(targets) = &self.targets {
            return targets.clone();
        }
        let targets: Arc<[ScanTarget]> = self
            .fleet
            .entries
            .iter()
            .filter_map(|entry| entry.scan_target(self.lacks_baseline(entry)))
            .collect();
        self.targets = Some(targets.clone());
        targets
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
                    }
                    // Its inputs are still to be scanned.
                    applied = Applied::Partly;
                }
                Found::Silent(key) => {
                    if let Some(entry) = self.fleet.get_mut(key) {
                        entry.resolved.become_silent(&entry.folder);
                    }
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
