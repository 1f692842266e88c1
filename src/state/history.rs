//! The latest changes, for clients that follow them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::view::View;
use crate::model::api::{Container, Devcontainer};

/// Maximum number of changes that are kept. Clients further behind get a new snapshot.
const BEHIND: usize = 1000;

/// A difference from an earlier view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A container, new or changed.
    Container(Container),
    /// A dev container, new or changed.
    Devcontainer(Arc<Devcontainer>),
    /// A container or dev container that no longer exists.
    Removed {
        /// True for a dev container, false for a container.
        devcontainer: bool,
        /// Its id.
        id: String,
    },
    /// All warnings, which differ from those before.
    Warnings(Vec<String>),
}

/// The newest change of each object.
///
/// Each change has a number, the revision, greater than those before. A revision also stands for the view after it.
pub(super) struct History {
    revision: u64,
    /// All changes after this revision are known.
    floor: u64,
    /// By revision.
    log: Vec<(u64, Change)>,
}

impl Change {
    /// Returns a text that all changes of one object have in common.
    fn subject(&self) -> String {
        match self {
            Self::Container(container) => container.info.id.clone(),
            Self::Devcontainer(devcontainer) => devcontainer.id.to_string(),
            Self::Removed { id, .. } => id.clone(),
            Self::Warnings(_) => String::new(),
        }
    }
}

impl History {
    /// Returns a history whose first change gets the revision after `revision`.
    pub(super) fn new(revision: u64) -> Self {
        Self {
            revision,
            floor: revision,
            log: Vec::new(),
        }
    }

    /// Notes the changes between two views that differ. Returns the revision of `after`.
    pub(super) fn note(&mut self, before: Option<&View>, after: &View) -> u64 {
        let changes = before.map(|before| difference(before, after));
        match changes.filter(|changes| changes.len() <= BEHIND) {
            Some(changes) => {
                let subjects: HashSet<String> = changes.iter().map(Change::subject).collect();
                self.log
                    .retain(|(_, earlier)| !subjects.contains(&earlier.subject()));
                // Views that differ in their order alone differ in their revision, too: encoders rely on that.
                if changes.is_empty() {
                    self.revision += 1;
                }
                for change in changes {
                    self.revision += 1;
                    self.log.push((self.revision, change));
                }
                self.forget();
            }
            None => {
                self.revision += 1;
                self.floor = self.revision;
                self.log.clear();
            }
        }
        self.revision
    }

    /// Drops the oldest changes beyond the limit.
    fn forget(&mut self) {
        let excess = self.log.len().saturating_sub(BEHIND);
        let mut forgotten = self.log.drain(..excess);
        self.floor = forgotten
            .next_back()
            .map_or(self.floor, |(revision, _)| revision);
    }

    /// Returns the changes after `revision`, the last one of each object, oldest first. `None` if they are not known.
    pub(super) fn since(&self, revision: u64) -> Option<Vec<(u64, Change)>> {
        let is_known = (self.floor..=self.revision).contains(&revision);
        let newer = self.log.iter().filter(|(number, _)| *number > revision);
        is_known.then(|| newer.cloned().collect())
    }
}

fn difference(before: &View, after: &View) -> Vec<Change> {
    let containers = |view: &View| -> Vec<Change> {
        let all = view.containers.iter().cloned();
        all.map(Change::Container).collect()
    };
    let devcontainers = |view: &View| -> Vec<Change> {
        let all = view.devcontainers.iter().cloned();
        all.map(Change::Devcontainer).collect()
    };
    let mut changes = compare(containers(before), containers(after), false);
    changes.extend(compare(devcontainers(before), devcontainers(after), true));
    let warnings = after.all_warnings();
    changes.extend((before.all_warnings() != warnings).then_some(Change::Warnings(warnings)));
    changes
}

/// Returns the removals, then the new and changed objects.
fn compare(before: Vec<Change>, after: Vec<Change>, devcontainer: bool) -> Vec<Change> {
    let mut earlier: HashMap<String, &Change> = HashMap::new();
    earlier.extend(before.iter().map(|change| (change.subject(), change)));
    let is_new = |change: &Change| earlier.remove(&change.subject()) != Some(change);
    let mut new = after;
    new.retain(is_new);
    // In the order of the list, not in that of the map.
    before
        .iter()
        .map(Change::subject)
        .filter(|id| earlier.contains_key(id))
        .map(|id| Change::Removed { devcontainer, id })
        .chain(new)
        .collect()
}
