//! The latest changes, for clients that follow them.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use uuid::Uuid;

use super::differing::differing;
use super::view::View;
use crate::model::api::{Container, Devcontainer};
use crate::model::shared_list::SharedList;

/// Maximum number of changes that are kept. Clients further behind get a new snapshot.
const BEHIND: usize = 1000;

/// A difference from an earlier view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A container, new or changed.
    Container(Container),
    /// A dev container, new or changed.
    Devcontainer(Arc<Devcontainer>),
    /// The container with this id no longer exists.
    ContainerRemoved(String),
    /// The dev container with this id no longer exists.
    DevcontainerRemoved(Uuid),
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

/// The object that a change is about.
#[derive(PartialEq, Eq, Hash)]
enum Subject<'a> {
    /// The container with this id.
    Container(&'a str),
    Devcontainer(Uuid),
    Warnings,
}

impl Change {
    fn subject(&self) -> Subject<'_> {
        match self {
            Self::Container(container) => Subject::Container(&container.info.id),
            Self::Devcontainer(devcontainer) => Subject::Devcontainer(devcontainer.id),
            Self::ContainerRemoved(id) => Subject::Container(id),
            Self::DevcontainerRemoved(id) => Subject::Devcontainer(*id),
            Self::Warnings(_) => Subject::Warnings,
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

    /// Notes the changes between two views. Returns the revision of `after`: the last one where both are the same.
    pub(super) fn note(&mut self, before: Option<&View>, after: &View) -> u64 {
        match before.map(|before| Difference::between(before, after)) {
            Some(Difference::None) => {}
            // Views that differ in their order alone differ in their revision, too: encoders rely on that.
            Some(Difference::Order) => self.revision += 1,
            Some(Difference::Changes(changes)) if changes.len() <= BEHIND => {
                let subjects: HashSet<Subject<'_>> = changes.iter().map(Change::subject).collect();
                self.log
                    .retain(|(_, earlier)| !subjects.contains(&earlier.subject()));
                drop(subjects);
                for change in changes {
                    self.revision += 1;
                    self.log.push((self.revision, change));
                }
                self.forget();
            }
            Some(Difference::Changes(_)) | None => {
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

    /// Returns the revision of the last change of a container; a later one, if that change is no longer known.
    pub(super) fn last_of_container(&self, id: &str) -> u64 {
        self.last_of(&Subject::Container(id))
    }

    /// Returns the revision of the last change of a dev container, as [`History::last_of_container`] does.
    pub(super) fn last_of_devcontainer(&self, id: Uuid) -> u64 {
        self.last_of(&Subject::Devcontainer(id))
    }

    fn last_of(&self, subject: &Subject<'_>) -> u64 {
        let mut found = self
            .log
            .iter()
            .filter(|(_, change)| change.subject() == *subject);
        found.next().map_or(self.floor, |(revision, _)| *revision)
    }

    /// Returns the changes after `revision`, the last one of each object, oldest first. `None` if they are not known.
    pub(super) fn since(&self, revision: u64) -> Option<Vec<(u64, Change)>> {
        let is_known = (self.floor..=self.revision).contains(&revision);
        let begin = self.log.partition_point(|(number, _)| *number <= revision);
        is_known.then(|| self.log.get(begin..).unwrap_or_default().to_vec())
    }
}

/// How one view differs from another.
enum Difference {
    None,
    /// Both show the same in another order.
    Order,
    Changes(Vec<Change>),
}

impl Difference {
    fn between(before: &View, after: &View) -> Self {
        let (gone, came) =
            SharedList::differing(&before.containers, &after.containers, is_same_container);
        let containers = compare(
            before.containers.range(gone.clone()).map(by_id),
            after.containers.range(came.clone()).map(by_id),
            |id| Change::ContainerRemoved(id.to_owned()),
            |one| Change::Container(one.clone()),
        );
        let is_same = |a: &Arc<Devcontainer>, b: &Arc<Devcontainer>| Arc::ptr_eq(a, b) || a == b;
        let (gone_too, came_too) = differing(&before.devcontainers, &after.devcontainers, is_same);
        let devcontainers = compare(
            gone_too.iter().map(|one| (one.id, one)),
            came_too.iter().map(|one| (one.id, one)),
            Change::DevcontainerRemoved,
            |one| Change::Devcontainer(one.clone()),
        );
        let has_moved = [gone.len(), came.len(), gone_too.len(), came_too.len()] != [0; 4];
        let warnings = (before.warnings != after.warnings || before.failure != after.failure)
            .then(|| Change::Warnings(after.all_warnings()));
        let changes = containers.into_iter().chain(devcontainers).chain(warnings);
        let changes: Vec<Change> = changes.collect();
        match (changes.is_empty(), has_moved) {
            (false, _) => Self::Changes(changes),
            (true, true) => Self::Order,
            (true, false) => Self::None,
        }
    }
}

fn by_id(one: &Container) -> (&str, &Container) {
    (&one.info.id, one)
}

fn is_same_container(a: &Container, b: &Container) -> bool {
    (a.devcontainer_dirty, &a.owner) == (b.devcontainer_dirty, &b.owner)
        && (Arc::ptr_eq(&a.info, &b.info) || a.info == b.info)
}

/// Returns the removals, then the new and changed objects, each in the order of its list.
fn compare<'a, K: Copy + Eq + Hash, T: PartialEq + 'a>(
    before: impl Iterator<Item = (K, &'a T)> + Clone,
    after: impl Iterator<Item = (K, &'a T)> + Clone,
    removed: impl Fn(K) -> Change,
    changed: impl Fn(&T) -> Change,
) -> Vec<Change> {
    let earlier: HashMap<K, &T> = before.clone().collect();
    let now: HashSet<K> = after.clone().map(|(id, _)| id).collect();
    let gone = before.filter(|(id, _)| !now.contains(id));
    let new = after.filter(|(id, one)| earlier.get(id) != Some(one));
    let gone = gone.map(|(id, _)| removed(id));
    gone.chain(new.map(|(_, one)| changed(one))).collect()
}
