//! One dev container, with all that is known of it.

use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::entries::Derived;
use super::operation::{Activity, PastOperation};
use super::queue::QueuedOperation;
use super::view::Held;
use crate::model::api::LogSource;
use crate::model::container::ContainerInfo;
use crate::model::ids::{Key, OperationId};
use crate::model::inputs::{Inputs, Usage};
use crate::model::labels::{LABEL_COMPOSE_PROJECT, LABEL_COMPOSE_WORKING_DIR};
use crate::model::location::{CliPaths, Declared, Predefined, Resolved, Source};
use crate::model::operation::{OperationState, Repair};
use crate::model::original::ParkedName;

/// The repairs of one dev container: those to come, and those that are done.
#[derive(Default)]
pub(super) struct Repairs {
    /// The repair that an operation before the last one left.
    pub(super) leftover: Option<Repair>,
    /// How often docker refused the current repair.
    pub(super) attempts: u32,
    /// The newest operation that needs no repair any more. Older ones are not tried again.
    pub(super) done_up_to: Option<OperationId>,
}

impl Repairs {
    /// Ends the repair of what this operation left.
    pub(super) fn end(&mut self, operation: &OperationId) {
        self.done_up_to = Some(operation.clone());
        self.attempts = 0;
        self.leftover.take_if(|left| left.operation == *operation);
    }
}

/// The source of logs that no script of the manifest claims.
const FALLBACK_LOG_SOURCE: Uuid = Uuid::from_u128(0x3b57_9bf4_1ed8_4b99_87a8_e9a1_e341_0410);

/// A dev container.
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) id: Uuid,
    pub(super) name: String,
    /// The workspace folder, as it was written.
    pub(super) folder: PathBuf,
    /// The configuration, as it was written in the manifest or in the label of the container. `None` where the search
    /// order finds it.
    pub(super) config: Option<PathBuf>,
    /// The folder and the configuration on disk.
    pub(super) resolved: Resolved,
    /// The paths of its inputs; `None` where it has no configuration, or where they may not be scanned.
    pub(super) paths: Option<Arc<CliPaths>>,
    /// The inputs that the last scan found.
    pub(super) inputs: Option<Arc<Inputs>>,
    /// True if the next scan is to read all inputs, because there are other containers now.
    pub(super) rescans_all: bool,
    /// Grows with each scan that was taken, and with each list. Scans of an older version are out of date.
    pub(super) version: u32,
    /// The definition in the manifest or on the command line; `None` for a detected dev container.
    pub(super) predefined: Option<Predefined>,
    /// True if a client has asked for it to be listed.
    pub(super) is_requested: bool,
    /// True if the last search below the directories of `--discover` has found it.
    pub(super) is_discovered: bool,
    /// The container that is shown.
    pub(super) container: Option<Arc<ContainerInfo>>,
    /// Further containers with the labels of this dev container.
    pub(super) others: Vec<Arc<ContainerInfo>>,
    /// The operations that have left services of its compose project: parked, or half made.
    pub(super) left_services: Vec<OperationId>,
    /// The work on its containers that is under way.
    pub(super) activity: Activity,
    /// The operation that is to be done to them, and waits for its turn. Repairs go on meanwhile.
    pub(super) queued: Option<QueuedOperation>,
    /// How it is shown until a list shows what its last operation has done.
    pub(super) held: Option<Held>,
    /// The operation that ended last; `None` from the beginning of the next one.
    pub(super) last: Option<PastOperation>,
    /// The repairs of what operations left.
    pub(super) repairs: Repairs,
    /// The parts of answers that were derived from all this.
    pub(super) derived: Derived,
}

impl Entry {
    /// Returns the folder and the configuration as they were written.
    pub(super) fn declared(&self) -> Declared {
        Declared {
            folder: self.folder.clone(),
            config: self.config.clone(),
            source: self.source(),
        }
    }

    /// Returns the usage that its configuration says, as the last scan found it.
    pub(super) fn usage(&self) -> Option<&Usage> {
        self.inputs.as_ref()?.usage().map(|usage| &**usage)
    }

    /// Takes where the folder and the configuration are on disk now. Where these are other paths, the inputs that were
    /// found before are forgotten.
    pub(super) fn set_resolved(&mut self, resolved: Resolved) {
        self.resolved = resolved;
        let paths = self.resolved.cli_paths(&self.folder);
        if self.paths.as_deref() != paths.as_ref() {
            self.paths = paths.map(Arc::new);
            self.inputs = None;
        }
    }

    /// Restores the configuration of the definition, where there is no container that says otherwise.
    pub(super) fn restore_config(&mut self) {
        if self.container.is_none()
            && let Some(predefined) = &self.predefined
        {
            self.config = predefined.config.clone();
        }
    }

    /// Returns whether it has the configuration that its definition gives, if it has one.
    pub(super) fn has_config_of_definition(&self) -> bool {
        let predefined = self.predefined.as_ref();
        predefined.is_none_or(|predefined| predefined.config == self.config)
    }

    /// Returns the source of its configuration, which decides how far it is trusted.
    pub(super) fn source(&self) -> Source {
        match &self.predefined {
            Some(predefined) if predefined.config == self.config => Source::Predefined,
            Some(_) => Source::PredefinedFolder,
            None if self.is_requested => Source::Request,
            None if self.is_discovered && self.container.is_none() => Source::Discovery,
            None => Source::Label,
        }
    }

    /// Returns whether this definition, with other names or ids, made it before.
    pub(super) fn is_defined_by(&self, predefined: &Predefined) -> bool {
        let before = self.predefined.as_ref();
        before.is_some_and(|b| b.folder == predefined.folder && b.config == predefined.config)
    }

    /// Returns whether the operator has named its folder only, and no container has shown a configuration yet.
    pub(super) fn takes_any_config(&self) -> bool {
        let is_open = |predefined: &Predefined| predefined.config.is_none();
        self.config.is_none() && self.predefined.as_ref().is_some_and(is_open)
    }

    /// Returns whether it may be dropped once nothing defines it any more.
    pub(super) fn is_unused(&self) -> bool {
        !self.is_anchored() && !self.is_requested && !self.is_discovered
    }

    /// Returns whether it is listed, or has something to do, whatever clients ask for and a search finds.
    pub(super) fn is_anchored(&self) -> bool {
        let is_defined = self.predefined.is_some() || self.container.is_some();
        is_defined || self.is_busy() || self.queued.is_some()
    }

    /// Returns the source that the lines of its operations' logs belong to.
    pub(super) fn log_source(&self) -> LogSource {
        let predefined = self.predefined.as_ref();
        let id = predefined.and_then(|predefined| predefined.log_source);
        LogSource {
            id: id.unwrap_or(FALLBACK_LOG_SOURCE),
            devcontainer_id: self.id,
            devcontainer_name: self.name.as_str().into(),
        }
    }

    /// Returns all of its containers, the one that is shown first.
    pub(super) fn containers(&self) -> impl Iterator<Item = &Arc<ContainerInfo>> {
        self.container.iter().chain(&self.others)
    }

    /// Returns whether one of its containers is in the compose project of another container: by name and directory.
    pub(super) fn is_in_project_of(&self, other: &ContainerInfo) -> bool {
        let project = other.own_label(LABEL_COMPOSE_PROJECT);
        let directory = other.own_label(LABEL_COMPOSE_WORKING_DIR);
        let mut own = self.containers();
        project.is_some()
            && own.any(|one| {
                one.own_label(LABEL_COMPOSE_PROJECT) == project
                    && one.own_label(LABEL_COMPOSE_WORKING_DIR) == directory
            })
    }

    /// Returns whether an operation has parked one of its containers.
    pub(super) fn has_parked(&self, operation: &OperationId) -> bool {
        let mut parked = self
            .containers()
            .filter_map(|one| ParkedName::parse(&one.name));
        parked.any(|parked| parked.operation == *operation)
    }

    /// Returns whether its last operation was this one, and did not succeed.
    pub(super) fn has_failed(&self, operation: &OperationId) -> bool {
        self.last().is_some_and(|past| {
            let state = past.end.ending.state();
            past.operation.id == *operation && state != OperationState::Succeeded
        })
    }
}
