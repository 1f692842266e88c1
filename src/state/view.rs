//! The state in the form of the answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::State;
use super::devcontainers::place;
use super::entry::Entry;
use super::operation::Activity;
use super::remote;
use crate::model::api::{Container, Devcontainer, InputChange, Job, Owner, Status};
use crate::model::container::ContainerInfo;
use crate::model::ids::Key;
use crate::model::labels::LABEL_FOLDER;
use crate::model::listing::Containers;
use crate::model::operation::OperationKind;
use crate::model::original::ParkedName;
use crate::model::shared_list::SharedList;

/// All containers and dev containers at one moment.
#[derive(Default)]
pub struct View {
    /// In docker's order.
    pub containers: SharedList<Container>,
    /// By workspace folder, then config path.
    pub devcontainers: Vec<Arc<Devcontainer>>,
    /// All that a user should look after, in text for people.
    pub warnings: Vec<String>,
    /// The reason why there is no newer list, if listing failed.
    pub failure: Option<String>,
    /// The revision of the last change that this shows.
    pub revision: u64,
}

impl View {
    /// Returns the warnings of a stream of changes: it has no status code that could report a failure.
    pub fn all_warnings(&self) -> Vec<String> {
        let failure = self.failure.iter().map(|reason| {
            format!("containers cannot be listed: {reason}; the last known state is shown")
        });
        self.warnings.iter().cloned().chain(failure).collect()
    }

    /// Finds the dev container with this id or name.
    pub fn devcontainer(&self, id_or_name: &str) -> Option<&Arc<Devcontainer>> {
        let id = Uuid::parse_str(id_or_name).ok();
        let by_id = self.devcontainers.iter().find(|d| Some(d.id) == id);
        by_id.or_else(|| self.devcontainers.iter().find(|d| *d.name == *id_or_name))
    }
}

/// How a dev container is shown from the end of an operation until a list shows what that has done (P20).
pub(super) struct Held {
    since: Instant,
    status: Status,
    job: Option<Job>,
}

impl State {
    /// Shows the end of operations that a list from `begun` shows, or of all, where there is no list.
    pub(super) fn show_ends(&mut self, begun: Option<Instant>) {
        let is_shown = |held: &Held| begun.is_none_or(|begun| held.since <= begun);
        let is_held = |entry: &Entry| entry.held.as_ref().is_some_and(is_shown);
        for entry in self.fleet.entries.iter_mut_where(is_held) {
            entry.held = None;
            self.is_view_old = true;
        }
    }

    pub(super) fn build_view(&mut self) -> View {
        let changed = self.fleet.entries.to_show();
        for &key in &changed {
            if let Some(shown) = self.describe(key) {
                self.fleet.entries.keep_shown(key, shown);
            }
        }
        debug_assert!(self.is_derived_rightly());
        let has_same_members = !self.fleet.entries.take_coming_and_going();
        let last = self.view.as_deref().filter(|_| has_same_members);
        let devcontainers = self
            .fleet
            .sorted(&changed, last.map(|last| &*last.devcontainers));
        debug_assert!(devcontainers.is_sorted_by_key(|one| place(one)));
        let containers = self.shown_containers(&changed, last);
        self.shown = self.containers.clone();
        let entries = || self.fleet.entries.iter();
        let warnings = self.warnings.iter().cloned();
        let warnings = warnings
            .chain(entries().filter_map(Entry::duplicates_warning))
            .chain(entries().filter_map(Entry::folder_warning))
            .chain(self.watcher_warning.clone())
            .chain(self.discovery_warnings.iter().cloned());
        View {
            containers,
            devcontainers,
            warnings: warnings.collect(),
            failure: self.listing.failure().map(str::to_owned),
            ..View::default()
        }
    }

    /// Returns whether each dev container is kept as it would be shown now: none has changed unnoticed.
    fn is_derived_rightly(&self) -> bool {
        let entries = self.fleet.entries.iter();
        let mut all = entries.map(|entry| (self.describe(entry.key), entry.derived.shown()));
        all.all(|(now, kept)| now.as_ref() == kept.map(|kept| &**kept))
    }

    /// Returns a dev container as the answers show it.
    pub fn describe(&self, key: Key) -> Option<Devcontainer> {
        let entry = self.fleet.get(key)?;
        let info = entry.container.as_ref();
        let changes = info.map(|info| self.changes(entry, info));
        Some(self.devcontainer(entry, changes.unwrap_or_default()))
    }

    fn devcontainer(&self, entry: &Entry, changes: Vec<InputChange>) -> Devcontainer {
        let info = entry.container.as_ref();
        let running = info.is_some_and(|info| info.running);
        let held = entry.held.as_ref();
        let error = entry.failure(info).filter(|_| held.is_none());
        let config = entry.resolved.config.as_deref();
        let dirty = !changes.is_empty();
        let name: Arc<str> = entry.name.as_str().into();
        Devcontainer {
            id: entry.id,
            name: name.clone(),
            workspace_folder: shown(&entry.folder),
            config_path: config.map(shown),
            running,
            status: entry.status(),
            dirty,
            changes,
            unchecked: entry.unchecked(),
            container: info.map(|info| Container {
                info: info.clone(),
                devcontainer_dirty: dirty,
                owner: Some(entry.owner(name)),
            }),
            remote_user: info.map(|info| remote::user(info, entry.usage())),
            forward_ports: entry
                .usage()
                .map(|usage| usage.forward_ports.clone())
                .unwrap_or_default(),
            remote_workspace_folder: info.and_then(|info| entry.remote_workspace_folder(info)),
            error,
            job: held.map_or_else(|| entry.job(), |held| held.job),
        }
    }

    /// Returns the containers as the answers show them. Those are as in the last view that have not changed since, nor
    /// their dev containers, which are not among these. There is none where dev containers have come or gone.
    fn shown_containers(&self, changed: &[Key], last: Option<&View>) -> SharedList<Container> {
        let shown = |info: &Arc<ContainerInfo>| self.container(info);
        let Some(last) = last else {
            return self.containers.iter().map(shown).collect();
        };
        let mut all = last.containers.clone();
        let (gone, came) = Containers::differing(&self.shown, &self.containers, Arc::ptr_eq);
        all.splice(gone, self.containers.range(came).map(shown));
        let changed = changed.iter().filter_map(|key| self.fleet.get(*key));
        let changed = changed.flat_map(|entry| entry.containers().map(Arc::as_ptr));
        let mut changed: Vec<*const ContainerInfo> = changed.collect();
        changed.sort_unstable();
        if !changed.is_empty() {
            let containers = self.containers.iter().enumerate();
            let is_of_changed = |info| changed.binary_search(&Arc::as_ptr(info)).is_ok();
            for (index, info) in containers.filter(|(_, info)| is_of_changed(info)) {
                all.set(index, shown(info));
            }
        }
        debug_assert!(self.containers.iter().map(shown).eq(all.iter().cloned()));
        all
    }

    fn container(&self, info: &Arc<ContainerInfo>) -> Container {
        let entry = self.owner_of(info);
        let shown = entry.and_then(|entry| entry.derived.shown());
        let container = shown.and_then(|shown| shown.container.as_ref());
        match container.filter(|container| Arc::ptr_eq(&container.info, info)) {
            Some(container) => container.clone(),
            None => Container {
                info: info.clone(),
                devcontainer_dirty: entry
                    .is_some_and(|entry| !self.changes(entry, info).is_empty()),
                owner: entry.map(|entry| {
                    let name = shown.map(|shown| shown.name.clone());
                    entry.owner(name.unwrap_or_else(|| entry.name.as_str().into()))
                }),
            },
        }
    }

    pub(super) fn owner_of(&self, info: &ContainerInfo) -> Option<&Entry> {
        let key = self.owners.get(&info.id)?;
        self.fleet.get(*key)
    }

    fn changes(&self, entry: &Entry, info: &ContainerInfo) -> Vec<InputChange> {
        let Some(inputs) = &entry.inputs else {
            return Vec::new();
        };
        let running = entry.running();
        let being_made = || running.and_then(|running| running.baseline_of(info));
        let baseline = self.baselines.get(&info.id).or_else(being_made);
        let mut changes = baseline.map_or_else(Vec::new, |baseline| baseline.changes(inputs));
        if running.is_some() {
            // The CLI writes its lock file at some point of the operation.
            let lock = inputs.paths().lock_file().display().to_string();
            changes.retain(|change| change.path != lock);
        }
        changes
    }
}

impl Entry {
    /// Returns it as its containers show it. `name` is its name.
    fn owner(&self, name: Arc<str>) -> Owner {
        Owner {
            id: self.id,
            name,
            status: self.status(),
        }
    }

    fn duplicates_warning(&self) -> Option<String> {
        if self.others.is_empty() {
            return None;
        }
        let used = &self.container.as_ref()?.name;
        // A container with a parked name is about to be removed, or to get its name back.
        if ParkedName::parse(used).is_some() {
            return None;
        }
        let others: Vec<&str> = self
            .others
            .iter()
            .map(|info| info.name.as_str())
            .filter(|name| ParkedName::parse(name).is_none())
            .collect();
        if others.is_empty() {
            return None;
        }
        let is_or_are = if others.len() == 1 { "is" } else { "are" };
        Some(format!(
            "dev container {} has several containers: {used} is used, {} {is_or_are} ignored; remove the ones you do not need",
            self.name,
            others.join(", ")
        ))
    }

    /// Returns a warning where the operator or a client has named a folder that does not exist.
    fn folder_warning(&self) -> Option<String> {
        let is_named = self.predefined.is_some() || self.is_requested;
        let is_missing = is_named && !self.resolved.folder_exists;
        let why = self.resolved.access.why_no_up().filter(|_| is_missing)?;
        let mend = match &self.predefined {
            Some(_) => String::new(),
            None => format!("; DELETE /devcontainers/{}?forget=true forgets it", self.id),
        };
        Some(format!("dev container {}: {why}{mend}", self.name))
    }

    /// Returns the path of the workspace in the container. The folder may have been mounted by another path than the one
    /// that it is known by.
    fn remote_workspace_folder(&self, info: &ContainerInfo) -> Option<String> {
        let labelled = info.own_label(LABEL_FOLDER).map(Path::new);
        let folders = [Some(&*self.folder), labelled, Some(&*self.resolved.folder)];
        let mut folders = folders.into_iter().flatten();
        folders.find_map(|folder| remote::workspace_folder(info, folder, self.usage()))
    }

    /// Returns why not everything that its container was made from is compared.
    fn unchecked(&self) -> Option<String> {
        self.container.as_ref()?;
        let why = self.resolved.why_unscanned();
        why.or_else(|| match &self.inputs {
            Some(inputs) => inputs.extent().unchecked.text(),
            None => self.resolved.config.as_deref().map(not_compared_yet),
        })
    }

    /// Returns how it is shown while `now` is the end of its operation, which no list shows yet.
    pub(super) fn hold(&self, now: Instant) -> Held {
        Held {
            since: now,
            status: self.status(),
            job: self.job(),
        }
    }

    fn status(&self) -> Status {
        if let Some(held) = &self.held {
            return held.status;
        }
        let container = self.container.as_ref();
        let running = container.is_some_and(|info| info.running);
        match &self.activity {
            Activity::Operating(operation)
                if running && container.is_some_and(|info| operation.is_usable(info)) =>
            {
                Status::Running
            }
            Activity::Operating(operation) => match operation.kind() {
                OperationKind::Recreate | OperationKind::Start => Status::Starting,
                OperationKind::Stop => Status::Stopping,
                OperationKind::Delete => Status::Deleting,
            },
            Activity::Repairing { .. } => Status::Starting,
            Activity::Idle if running => Status::Running,
            Activity::Idle if self.failure(container).is_some() => Status::Error,
            Activity::Idle => Status::Stopped,
        }
    }

    /// Returns the reason why the last operation failed, unless a new container was made since.
    fn failure(&self, container: Option<&Arc<ContainerInfo>>) -> Option<String> {
        let end = &self.last()?.end;
        let made_since = container.is_some_and(|info| info.created_at > end.finished_at);
        end.error().filter(|_| !made_since)
    }
}

/// The reason where no scan has succeeded yet: it is about to begin, or the process lacks the descriptors for it.
fn not_compared_yet(config: &Path) -> String {
    format!("the configuration {} is not compared yet", config.display())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
