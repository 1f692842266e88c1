//! The containers as docker last showed them.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::inspect::answer::{Mark, Marker, Reading};
use super::inspect::info::Read;
use super::ports;
use crate::model::container::{ContainerInfo, Port, RunState};
use crate::model::listing::Containers;

/// The last reading of each container. A reading costs what has changed.
#[derive(Default)]
pub(super) struct KnownContainers {
    all: HashMap<String, Known>,
    /// Those that could be read, newest first, as docker lists them; podman lists the oldest first.
    sorted: Containers,
    /// The containers that docker starts again and again.
    restarting: BTreeSet<String>,
    /// The containers of which docker left something unclear.
    warned: HashSet<String>,
    /// The warnings about ports that several containers share; `None` where ports have changed since.
    shared_ports: Option<Vec<String>>,
    marker: Marker,
}

/// The last reading of a container.
pub(super) struct Known {
    /// `None` if it could not be read.
    pub(super) info: Option<Arc<ContainerInfo>>,
    pub(super) warnings: Vec<String>,
    /// The image that its labels may come from.
    pub(super) image: Option<String>,
    /// True if docker does not say whether they do.
    pub(super) is_doubtful: bool,
    /// The number of the reading.
    pub(super) reading: u64,
    /// The mark of the text that docker printed; `None` if the same text may mean something else by now.
    mark: Option<Mark>,
}

impl Known {
    fn says_the_same(&self, read: &Read) -> bool {
        self.info.as_deref() == read.info.as_ref()
            && self.warnings == read.warnings
            && self.image == read.image
            && self.is_doubtful == read.is_doubtful
    }
}

impl KnownContainers {
    pub(super) fn get(&self, id: &str) -> Option<&Known> {
        self.all.get(id)
    }

    /// Returns what is known of a container, if it could be read.
    pub(super) fn info(&self, id: &str) -> Option<&Arc<ContainerInfo>> {
        self.all.get(id)?.info.as_ref()
    }

    /// Returns the mark of the text that docker printed of a container, if the same text says the same.
    pub(super) fn mark(&self, id: &str) -> Option<Mark> {
        self.all.get(id)?.mark
    }

    /// Returns what makes the marks.
    pub(super) fn marker(&self) -> &Marker {
        &self.marker
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &String> {
        self.all.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Known> {
        self.all.values()
    }

    /// Returns those that could be read, newest first.
    pub(super) fn sorted(&self) -> &Containers {
        &self.sorted
    }

    /// Returns the ids of the containers that docker starts again and again.
    pub(super) fn restarting(&self) -> impl Iterator<Item = &String> {
        self.restarting.iter()
    }

    /// Takes what the reading of this number says of a container.
    pub(super) fn take(&mut self, id: String, read: Reading, reading: u64) {
        match read {
            Reading::Changed(read) => self.insert(id, *read, reading),
            Reading::Unchanged => {
                if let Some(known) = self.all.get_mut(&id) {
                    known.reading = reading;
                }
            }
        }
    }

    /// A container of which nothing has changed that is shown keeps its place in memory.
    fn insert(&mut self, id: String, read: Read, reading: u64) {
        // A doubtful container is read again, as the doubt may be gone.
        let mark = read.mark.filter(|_| !read.is_doubtful);
        if let Some(known) = self.all.get_mut(&id)
            && known.says_the_same(&read)
        {
            known.reading = reading;
            known.mark = mark;
            return;
        }
        let shared_ports = self.shared_ports.take();
        let before = self.remove(&id);
        let last = before.and_then(|known| known.info);
        let info = read.info.map(|info| match &last {
            Some(last) if **last == info => last.clone(),
            _ => Arc::new(info),
        });
        if let Some(info) = &info {
            let place = self.sorted.partition_point(|one| precedes(one, info));
            self.sorted.insert(place, info.clone());
            if info.run_state == RunState::Restarting {
                self.restarting.insert(id.clone());
            }
        }
        if have_same_ports(last.as_deref(), info.as_deref()) {
            self.shared_ports = shared_ports;
        }
        if !read.warnings.is_empty() {
            self.warned.insert(id.clone());
        }
        let known = Known {
            info,
            warnings: read.warnings,
            image: read.image,
            is_doubtful: read.is_doubtful,
            reading,
            mark,
        };
        self.all.insert(id, known);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Known> {
        let known = self.all.remove(id)?;
        if let Some(info) = &known.info {
            let place = self.sorted.partition_point(|one| precedes(one, info));
            if self.sorted.get(place).is_some_and(|one| one.id == info.id) {
                self.sorted.remove(place);
            }
            if !info.ports.is_empty() {
                self.shared_ports = None;
            }
        }
        self.restarting.remove(id);
        self.warned.remove(id);
        Some(known)
    }

    /// Removes all but these.
    pub(super) fn retain(&mut self, ids: &HashSet<String>) {
        let gone = self.all.keys().filter(|id| !ids.contains(*id));
        let gone: Vec<String> = gone.cloned().collect();
        for id in gone {
            self.remove(&id);
        }
    }

    /// Returns what docker left unclear of containers: first of those that could be read, newest first.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warned: Vec<&Known> = self.warned.iter().filter_map(|id| self.get(id)).collect();
        warned.sort_by(|a, b| match (&a.info, &b.info) {
            (Some(a), Some(b)) => order(a).cmp(&order(b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => a.warnings.cmp(&b.warnings),
        });
        let warnings = warned.into_iter().flat_map(|known| &known.warnings);
        warnings.cloned().collect()
    }

    /// Returns a warning for each port of the host that several containers share.
    pub(super) fn shared_ports(&mut self) -> &[String] {
        let containers = self.sorted.iter().map(Arc::as_ref);
        self.shared_ports
            .get_or_insert_with(|| ports::shared_host_ports(containers))
    }
}

/// Returns whether two readings of a container say the same of its ports.
fn have_same_ports(one: Option<&ContainerInfo>, other: Option<&ContainerInfo>) -> bool {
    fn ports(info: Option<&ContainerInfo>) -> &[Port] {
        info.map_or(&[], |info| &info.ports)
    }
    ports(one) == ports(other)
}

fn precedes(one: &ContainerInfo, other: &ContainerInfo) -> bool {
    order(one) < order(other)
}

fn order(info: &ContainerInfo) -> (Reverse<i64>, &str) {
    (Reverse(info.created_at.as_nanos()), &info.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::model::container::Pairs;
    use crate::model::setup::Setup;

    fn read(id: &str, created: i64, run_state: RunState) -> Read {
        let info = ContainerInfo {
            created_at: Timestamp::new(created, 0),
            id: id.into(),
            name: format!("name of {id}"),
            image: "base".into(),
            labels: Pairs::default(),
            running: true,
            ports: Vec::new(),
            run_state,
            error: None,
            health: None,
            mounts: Default::default(),
            setup: Setup::default(),
            foreign_labels: Box::default(),
        };
        Read {
            id: id.into(),
            info: Some(info),
            warnings: Vec::new(),
            image: None,
            is_doubtful: false,
            mark: None,
        }
    }

    fn ids(known: &KnownContainers) -> Vec<&str> {
        known.sorted().iter().map(|info| &*info.id).collect()
    }

    #[test]
    fn containers_are_sorted_whatever_comes_and_goes() {
        let mut known = KnownContainers::default();
        for (id, created) in [("a", 1), ("c", 3), ("b", 2), ("d", 3)] {
            known.insert(id.into(), read(id, created, RunState::Running), 1);
        }
        assert_eq!(
            ids(&known),
            ["c", "d", "b", "a"],
            "newest first, then by id"
        );
        known.insert("b".into(), read("b", 4, RunState::Running), 2);
        assert_eq!(ids(&known), ["b", "c", "d", "a"]);
        known.remove("c");
        assert_eq!(ids(&known), ["b", "d", "a"]);
        known.retain(&["a".to_owned(), "z".to_owned()].into());
        assert_eq!(ids(&known), ["a"]);
        assert!(known.remove("z").is_none());
    }

    #[test]
    fn an_unchanged_container_is_the_same_object() {
        let mut known = KnownContainers::default();
        known.insert("a".into(), read("a", 1, RunState::Running), 1);
        let first = known.info("a").unwrap().clone();
        known.insert("a".into(), read("a", 1, RunState::Running), 2);
        assert!(Arc::ptr_eq(&first, known.info("a").unwrap()));
        known.insert("a".into(), read("a", 1, RunState::Paused), 3);
        assert!(!Arc::ptr_eq(&first, known.info("a").unwrap()));
        assert!(Arc::ptr_eq(
            known.sorted().get(0).unwrap(),
            known.info("a").unwrap()
        ));
    }

    #[test]
    fn a_container_that_is_unchanged_was_read_all_the_same() {
        let mut known = KnownContainers::default();
        known.insert("a".into(), read("a", 1, RunState::Running), 1);
        known.take("a".into(), Reading::Unchanged, 2);
        assert_eq!(known.get("a").map(|known| known.reading), Some(2));
        assert_eq!(ids(&known), ["a"]);
    }

    #[test]
    fn what_is_noted_of_a_container_goes_with_it() {
        let mut known = KnownContainers::default();
        let unreadable = Read {
            info: None,
            warnings: vec!["unreadable".into()],
            ..read("a", 1, RunState::Running)
        };
        let odd = Read {
            warnings: vec!["odd".into()],
            ..read("b", 1, RunState::Restarting)
        };
        known.insert("a".into(), unreadable, 1);
        known.insert("b".into(), odd, 1);
        assert_eq!(known.warnings(), ["odd", "unreadable"]);
        assert_eq!(known.restarting().collect::<Vec<_>>(), ["b"]);
        known.insert("b".into(), read("b", 1, RunState::Running), 2);
        known.insert("a".into(), read("a", 1, RunState::Running), 2);
        assert_eq!(known.warnings(), [""; 0]);
        assert_eq!(known.restarting().count(), 0);
        assert_eq!(ids(&known), ["a", "b"]);
    }
}
