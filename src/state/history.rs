//! What has changed since when, for those who follow.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::view::View;
use crate::model::api::{Container, Devcontainer};

/// Who is further behind gets everything anew.
const BEHIND: usize = 1000;

/// What is other than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A container, new or changed.
    Container(Container),
    /// A dev container, new or changed.
    Devcontainer(Arc<Devcontainer>),
    /// What is not listed any more.
    Removed {
        /// Whether it was a dev container, and not a container.
        devcontainer: bool,
        /// Its id.
        id: String,
    },
    /// All that is odd.
    Warnings(Vec<String>),
}

/// The newest changes, each of another object.
///
/// Each change has a number, the revision, greater than those before. A revision also stands for the state after it.
pub(super) struct Changes {
    revision: u64,
    /// All changes after this revision are known.
    floor: u64,
    /// By revision.
    log: Vec<(u64, Change)>,
}

impl Change {
    /// The same for all changes of one object.
    fn subject(&self) -> String {
        match self {
            Self::Container(container) => container.info.id.clone(),
            Self::Devcontainer(devcontainer) => devcontainer.id.to_string(),
            Self::Removed { id, .. } => id.clone(),
            Self::Warnings(_) => String::new(),
        }
    }
}

impl Changes {
    /// The first change gets the revision after `revision`.
    pub(super) fn new(revision: u64) -> Self {
        Self {
            revision,
            floor: revision,
            log: Vec::new(),
        }
    }

    /// Notes how `after` differs from `before`, which differ. Returns the revision of `after`.
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
                for what in changes {
                    self.revision += 1;
                    self.log.push((self.revision, what));
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

    /// Who needs these is too far behind.
    fn forget(&mut self) {
        let excess = self.log.len().saturating_sub(BEHIND);
        let mut forgotten = self.log.drain(..excess);
        self.floor = forgotten
            .next_back()
            .map_or(self.floor, |(revision, _)| revision);
    }

    /// What has changed after `revision`, of each object the last change, oldest first. `None`: that is not known.
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

/// What is gone, then what is new or has changed.
fn compare(before: Vec<Change>, after: Vec<Change>, devcontainer: bool) -> Vec<Change> {
    let mut earlier: HashMap<String, &Change> = HashMap::new();
    earlier.extend(before.iter().map(|what| (what.subject(), what)));
    let is_new = |what: &Change| earlier.remove(&what.subject()) != Some(what);
    let mut new = after;
    new.retain(is_new);
    // In the order of the list, whatever that of the map.
    let gone = before.iter().map(Change::subject);
    let gone = gone.filter(|id| earlier.contains_key(id));
    let gone = gone.map(|id| Change::Removed { devcontainer, id });
    gone.chain(new).collect()
}
