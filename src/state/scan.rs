//! What is to be looked at on disk, and what is known of it.

use std::path::PathBuf;
use std::sync::Arc;

use super::State;
use super::devcontainers::Entry;
use crate::model::ids::Key;
use crate::model::inputs::Inputs;
use crate::model::location::{CliPaths, Declared, Resolved};

/// A dev container to look at, and what was there when it was last looked at.
#[derive(Clone)]
pub struct ScanTarget {
    /// Which one.
    pub key: Key,
    /// What it is made from. `None`: it has no configuration, or may not be looked at.
    pub site: Option<Arc<CliPaths>>,
    /// Set where it is not settled yet where it is.
    pub unsettled: Option<Unsettled>,
    /// `None`: never, or before it had the container that it has now.
    pub before: Option<Arc<Inputs>>,
    version: u32,
}

/// A dev container whose folder does not exist, or whose configuration nobody has named: it may be found now.
#[derive(Clone)]
pub struct Unsettled {
    /// Where.
    pub address: Declared,
    /// Whether the folder was there.
    pub folder_exists: bool,
    /// The configuration that was found, if none is named.
    pub found: Option<PathBuf>,
}

/// What is new on disk.
pub enum Found {
    /// Other inputs.
    Inputs(ScanTarget, Inputs),
    /// Where this address leads now.
    Resolved(Key, Declared, Resolved),
}

impl State {
    /// The dev containers to look at.
    pub fn scan_targets(&mut self) -> Arc<[ScanTarget]> {
        if let Some(targets) = &self.targets {
            return targets.clone();
        }
        let entries = self.fleet.entries.iter();
        let targets = entries.filter_map(|entry| entry.scan_target(self.lacks_baseline(entry)));
        let targets: Arc<[ScanTarget]> = targets.collect();
        self.targets = Some(targets.clone());
        targets
    }

    /// Takes what was found on disk in place of what each target says was known. Returns whether all of it was taken:
    /// somebody else may have looked in between, and may have seen something newer.
    pub fn apply(&mut self, found: Vec<Found>) -> bool {
        let mut taken_all = true;
        for one in found {
            match one {
                Found::Inputs(target, inputs) => {
                    let entry = self.fleet.get_mut(target.key);
                    let taken = entry.is_some_and(|entry| entry.take_inputs(&target, inputs));
                    if taken {
                        self.settle_baselines(target.key);
                        self.set_baselines(target.key, target.before.is_none());
                    }
                    taken_all &= taken;
                }
                Found::Resolved(key, address, place) => {
                    let entry = self.fleet.get_mut(key);
                    if let Some(entry) = entry.filter(|entry| entry.address() == address) {
                        entry.settle_at(place);
                    }
                    // Its inputs are still to be looked at.
                    taken_all = false;
                }
            }
        }
        self.changed();
        taken_all
    }
}

impl Entry {
    fn scan_target(&self, lacks_baseline: bool) -> Option<ScanTarget> {
        let is_searched = self.config.is_none() || !self.place.folder_exists;
        let unsettled = (is_searched && self.place.outside.is_none()).then(|| Unsettled {
            address: self.address(),
            folder_exists: self.place.folder_exists,
            found: self.place.config.clone(),
        });
        (unsettled.is_some() || self.site.is_some()).then(|| ScanTarget {
            key: self.key,
            site: self.site.clone(),
            unsettled,
            // Of a new container it counts what is there after it was made.
            before: self
                .inputs
                .clone()
                .filter(|_| !lacks_baseline && !self.rescans_all),
            version: self.version,
        })
    }

    fn take_inputs(&mut self, target: &ScanTarget, inputs: Inputs) -> bool {
        let fits = self.version == target.version && self.site == target.site;
        if fits {
            self.inputs = Some(Arc::new(inputs));
            self.version += 1;
            self.rescans_all = false;
        }
        fits
    }
}
