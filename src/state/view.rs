//! What is true, in the form of the answers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::State;
use super::devcontainers::Entry;
use super::operation::Activity;
use crate::base::sort::by_text;
use crate::model::api::{Container, Devcontainer, InputChange, Status};
use crate::model::container::ContainerInfo;
use crate::model::inputs::MAX_INPUTS;
use crate::model::operation::OperationKind;
use crate::model::original::ParkedName;

/// All containers and dev containers at one moment.
#[derive(Default)]
pub struct View {
    /// In docker's order.
    pub containers: Vec<Container>,
    /// By workspace folder, then config path.
    pub devcontainers: Vec<Arc<Devcontainer>>,
    /// What is odd.
    pub warnings: Vec<String>,
    /// Why there is no newer list, where listing failed.
    pub failure: Option<String>,
    /// The number of the last change that this shows.
    pub revision: u64,
}

impl View {
    /// What is odd, and what those who follow changes cannot be told by a status.
    pub fn all_warnings(&self) -> Vec<String> {
        let failure = self.failure.iter().map(|reason| {
            format!("containers cannot be listed: {reason}; what was last known is shown")
        });
        self.warnings.iter().cloned().chain(failure).collect()
    }

    /// Whether both show the same.
    pub(super) fn shows_the_same(&self, other: &Self) -> bool {
        self.containers == other.containers
            && self.devcontainers == other.devcontainers
            && self.warnings == other.warnings
            && self.failure == other.failure
    }

    /// The dev container with this id or name.
    pub fn devcontainer(&self, id_or_name: &str) -> Option<&Arc<Devcontainer>> {
        let id = Uuid::parse_str(id_or_name).ok();
        let by_id = self.devcontainers.iter().find(|d| Some(d.id) == id);
        by_id.or_else(|| self.devcontainers.iter().find(|d| d.name == id_or_name))
    }
}

impl State {
    pub(super) fn build_view(&self) -> View {
        let mut changes: HashMap<&str, Vec<InputChange>> = self
            .containers
            .iter()
            .filter_map(|info| Some((&*info.id, self.changes(self.owner_of(info)?, info))))
            .collect();
        let is_dirty = |info: &ContainerInfo| changes.get(&*info.id).is_some_and(|c| !c.is_empty());
        let containers = self.containers.iter();
        let containers = containers.map(|info| self.container(info, is_dirty(info)));
        let containers = containers.collect();
        let entries = self.fleet.entries.iter();
        let devcontainers = entries.map(|entry| {
            let info = entry.container.as_ref();
            let changes = info.and_then(|info| changes.remove(&*info.id));
            Arc::new(self.devcontainer(entry, changes.unwrap_or_default()))
        });
        // No path has a NUL, and none comes before any configuration.
        let text = |one: &Arc<Devcontainer>| {
            let config = one.config_path.as_deref();
            let config = config.map_or_else(String::new, |config| format!("\0{config}"));
            (one.workspace_folder.clone() + &config).into_bytes()
        };
        let devcontainers = by_text(devcontainers.collect(), text);
        let doubles = self.fleet.entries.iter().filter_map(Entry::doubles);
        let warnings = self.warnings.iter().cloned().chain(doubles);
        let truncated = self.fleet.entries.iter().filter_map(Entry::truncated);
        let warnings = warnings.chain(truncated);
        View {
            containers,
            devcontainers,
            warnings: warnings.chain(self.watcher_warning.clone()).collect(),
            failure: self.listing.failure().map(str::to_owned),
            ..View::default()
        }
    }

    fn devcontainer(&self, entry: &Entry, changes: Vec<InputChange>) -> Devcontainer {
        let info = entry.container.as_ref();
        let running = info.is_some_and(|info| info.running);
        let error = entry.failure(info);
        let config = entry.place.config.as_deref();
        let dirty = !changes.is_empty();
        Devcontainer {
            id: entry.id,
            name: entry.name.clone(),
            workspace_folder: shown(&entry.folder),
            config_path: config.map(shown),
            running,
            status: entry.status(info),
            dirty,
            changes,
            container: info.map(|info| self.container(info, dirty)),
            error,
            job: entry.job(),
        }
    }

    fn container(&self, info: &Arc<ContainerInfo>, dirty: bool) -> Container {
        let entry = self.owner_of(info);
        Container {
            info: info.clone(),
            devcontainer_dirty: dirty,
            devcontainer_status: entry.map(|entry| entry.status(entry.container.as_ref())),
        }
    }

    fn owner_of(&self, info: &ContainerInfo) -> Option<&Entry> {
        let key = self.owners.get(&info.id)?;
        self.fleet.get(*key)
    }

    fn changes(&self, entry: &Entry, info: &ContainerInfo) -> Vec<InputChange> {
        let Some(inputs) = &entry.inputs else {
            return Vec::new();
        };
        let running = entry.running();
        let being_made = || running.and_then(|running| running.made(info));
        let baseline = self.baselines.get(&info.id).or_else(being_made);
        let mut changes = baseline.map_or_else(Vec::new, |baseline| baseline.changes(inputs));
        if running.is_some() {
            // The CLI is about to write it, or has just done so.
            let lock = inputs.site.lock_file().display().to_string();
            changes.retain(|change| change.path != lock);
        }
        changes
    }
}

impl Entry {
    fn doubles(&self) -> Option<String> {
        // One that is set aside is about to go, or to come back.
        let used = &self.container.as_ref()?.name;
        if ParkedName::parse(used).is_some() {
            return None;
        }
        let others = self.others.iter().map(|info| info.name.as_str());
        let others: Vec<&str> = others
            .filter(|name| ParkedName::parse(name).is_none())
            .collect();
        (!others.is_empty()).then(|| {
            format!(
                "dev container {} has several containers: {used} is used, not {}; remove those that are not needed",
                self.name,
                others.join(", ")
            )
        })
    }

    fn truncated(&self) -> Option<String> {
        let inputs = self.inputs.as_ref().filter(|inputs| inputs.truncated)?;
        Some(format!(
            "{} and its features have more than {MAX_INPUTS} files, or too many levels; the rest is not compared",
            inputs.site.config.display()
        ))
    }

    fn status(&self, container: Option<&Arc<ContainerInfo>>) -> Status {
        let running = container.is_some_and(|info| info.running);
        match &self.activity {
            Activity::Operating(running) => match running.kind() {
                OperationKind::Recreate | OperationKind::Start => Status::Starting,
                OperationKind::Stop => Status::Stopping,
                OperationKind::Delete => Status::Deleting,
            },
            Activity::Repairing(_) => Status::Starting,
            Activity::Idle if running => Status::Running,
            Activity::Idle if self.failure(container).is_some() => Status::Error,
            Activity::Idle => Status::Stopped,
        }
    }

    /// Why the last operation failed, unless somebody has made a new container since.
    fn failure(&self, container: Option<&Arc<ContainerInfo>>) -> Option<String> {
        let end = &self.last()?.end;
        let made_since = container.is_some_and(|info| info.created_at > end.finished_at);
        end.error().filter(|_| !made_since)
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
