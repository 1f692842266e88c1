//! One operation, from its beginning to its end.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::journal::Journal;
use super::{Abort, Counted};
use crate::base::flock::FolderLock;
use crate::base::time::Timestamp;
use crate::devcontainer::cli::log::Line;
use crate::devcontainer::scan;
use crate::docker::{Client, ClientError, Snapshot};
use crate::model::api::LogLevel;
use crate::model::ids::{Key, OperationId};
use crate::model::inputs::{ForceReread, Inputs};
use crate::model::labels::{LABEL_CONFIG, LABEL_FOLDER};
use crate::model::location::{Declared, Resolved};
use crate::model::operation::{OperationKind, OperationState, Outcome};

/// An operation that runs.
#[derive(Clone)]
pub(super) struct OperationRun {
    pub(super) key: Key,
    pub(super) kind: OperationKind,
    pub(super) id: OperationId,
    pub(super) address: Declared,
    pub(super) place: Resolved,
    pub(super) journal: Arc<Journal>,
    pub(super) abort: Arc<Abort>,
    /// Kept until the end is written down.
    pub(super) _lock: Arc<FolderLock>,
    /// When it must have ended.
    pub(super) deadline: Instant,
    pub(super) operations: Counted,
}

/// What came of an operation.
pub(super) struct Done {
    pub(super) state: OperationState,
    pub(super) error: Option<String>,
    /// What else those should know who waited for it.
    pub(super) note: Option<String>,
    /// The container that it made.
    pub(super) container: Option<String>,
}

impl Done {
    pub(super) fn succeeded() -> Self {
        Self {
            state: OperationState::Succeeded,
            error: None,
            note: None,
            container: None,
        }
    }

    pub(super) fn failed(error: String) -> Self {
        Self {
            state: OperationState::Failed,
            error: Some(error),
            ..Self::succeeded()
        }
    }
}

impl OperationRun {
    pub(super) fn run(self) {
        log::info!("{} of {} begins", self.kind.verb(), self.folder().display());
        // With the lock held: nobody else begins anything here that would be a leftover.
        super::end_leftovers();
        let done = self.perform();
        self.end(done);
    }

    fn perform(&self) -> Done {
        self.operations.0.persister.save();
        if self.kind != OperationKind::Delete {
            self.repair_first();
        }
        match self.kind {
            OperationKind::Recreate | OperationKind::Start => self.up(),
            OperationKind::Stop => self.for_all("stopping", |docker, ids| docker.stop(ids)),
            OperationKind::Delete => self.for_all("removing", |docker, ids| docker.remove(ids)),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.address.folder
    }

    /// Writes a line of our own to the log.
    pub(super) fn say(&self, text: &str) {
        let line = Line::new(Timestamp::now(), LogLevel::Info, text);
        self.journal.write(vec![line]);
    }

    /// Does something to all containers of the dev container, and of its compose project.
    fn for_all(
        &self,
        what: &str,
        act: impl Fn(&Client<'_>, &[&str]) -> Result<(), ClientError>,
    ) -> Done {
        let program = self.operations.0.programs.docker();
        let docker = self.docker(&program);
        let thorough = Client {
            thorough: true,
            ..docker
        };
        let acted = self.with_project(&docker).and_then(|all| {
            let names: Vec<&str> = all.iter().map(|one| one.old.name.as_str()).collect();
            if !names.is_empty() {
                self.say(&format!("{what} {}", names.join(", ")));
            }
            let ids: Vec<&str> = all.iter().map(|one| one.old.id.as_str()).collect();
            act(&thorough, &ids)
        });
        match acted {
            Ok(()) => Done::succeeded(),
            Err(e) => self.stopped_by(&e),
        }
    }

    fn with_project(&self, docker: &Client<'_>) -> Result<Vec<Snapshot>, ClientError> {
        let mut all = self.own_containers(docker)?;
        let projects = all
            .iter()
            .filter_map(|one| Some(one.old.compose.as_ref()?.project_label()));
        for project in projects.collect::<HashSet<_>>() {
            let ids = docker.with_labels(&[project])?.into_iter();
            let more = ids.filter(|id| all.iter().all(|one| one.old.id != *id));
            all.extend(docker.inspect(&more.collect::<Vec<_>>())?);
        }
        Ok(all)
    }

    /// The containers of the dev container, as docker knows them now: those that the last listing showed, and those
    /// that the CLI would find.
    pub(super) fn own_containers(&self, docker: &Client<'_>) -> Result<Vec<Snapshot>, ClientError> {
        let shared = &self.operations.0.shared;
        let listed = shared.read(|state| state.containers_of(self.key));
        let mut labels = vec![format!("{LABEL_FOLDER}={}", self.folder().display())];
        let config = self.address.config.as_deref();
        labels.extend(config.map(|config| format!("{LABEL_CONFIG}={}", config.display())));
        // Most often both are the same, so they are asked for at once.
        let (known, labelled) = thread::scope(|scope| {
            let known = scope.spawn(|| docker.inspect(&listed));
            let labelled = docker.with_labels(&labels);
            (known.join(), labelled)
        });
        let mut own = known.unwrap_or_else(|_| Ok(Vec::new()))?;
        let more = labelled?.into_iter().filter(|id| !listed.contains(id));
        own.extend(docker.inspect(&more.collect::<Vec<_>>())?);
        // The CLI would take any container of the folder where no configuration is named.
        let is_anothers = |id: &str| {
            let owner = shared.read(|state| state.owner(id));
            owner.is_some_and(|owner| owner != self.key)
        };
        let unnamed = config.is_none();
        own.retain(|one| {
            let fits = listed.contains(&one.old.id) || !unnamed || one.config.is_none();
            fits && !one.is_test_run && !is_anothers(&one.old.id)
        });
        Ok(own)
    }

    /// Docker as a part of the operation.
    pub(super) fn docker<'a>(&'a self, program: &'a Path) -> Client<'a> {
        Client {
            program,
            deadline: self.deadline,
            abort: Some(self.abort.as_fd()),
            operation: Some(self.id.as_str()),
            thorough: false,
        }
    }

    /// What it means for the operation that a docker command failed.
    pub(super) fn stopped_by(&self, error: &ClientError) -> Done {
        match error.aborted {
            true => self.aborted(),
            false => Done::failed(error.to_string()),
        }
    }

    /// It was ended before it came to its end.
    pub(super) fn aborted(&self) -> Done {
        let verb = self.kind.verb();
        match self.abort.is_cancelled() {
            true => Done {
                state: OperationState::Cancelled,
                note: Some(format!("the {verb} was cancelled")),
                ..Done::succeeded()
            },
            false => Done {
                state: OperationState::Interrupted,
                ..Done::failed(format!(
                    "the daemon was told to stop before the {verb} had ended"
                ))
            },
        }
    }

    /// The inputs now: before the CLI starts, and after it has ended.
    pub(super) fn inputs(&self) -> Option<Inputs> {
        let site = Arc::new(self.place.site(self.folder())?);
        scan::scan(&site, None, &ForceReread::default())
    }

    pub(super) fn end(&self, done: Done) {
        let operations = &self.operations.0;
        let finished_at = Timestamp::now();
        let seconds = finished_at.seconds_since(self.id.began_at()).max(0.0);
        let verb = self.kind.verb();
        let mut summary = format!("{verb} {} after {seconds:.1} s", done.state.as_str());
        for said in done.error.iter().chain(&done.note) {
            summary = format!("{summary}: {said}");
        }
        let outcome = Outcome {
            state: done.state,
            error: done.error,
            note: done.note,
            finished_at,
            ended: Instant::now(),
        };
        let makes = matches!(self.kind, OperationKind::Recreate | OperationKind::Start);
        let after = makes.then(|| self.inputs()).flatten();
        let forgets = self.kind == OperationKind::Delete && done.state == OperationState::Succeeded;
        operations.aborts().remove(&self.key);
        // Whoever learns of the end from either log finds it in the state.
        operations.shared.update(|state| {
            let container = done.container.as_deref();
            state.end(self.key, outcome.clone(), container, after.as_ref());
            if forgets {
                state.clear_leftover(self.key);
                state.forget(self.key);
            }
        });
        operations.persister.save();
        log::info!("{}: {summary}", self.folder().display());
        self.journal.end(outcome, summary);
    }
}
