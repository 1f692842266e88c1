//! One operation, from its beginning to its end.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::ThreadGuard;
use super::abort::Abort;
use super::failure::Failure;
use super::journal::Journal;
use crate::base::flock::FolderLock;
use crate::base::time::Timestamp;
use crate::devcontainer::cli::line::Line;
use crate::devcontainer::scan;
use crate::docker::{self, Client, Snapshot};
use crate::model::api::LogLevel;
use crate::model::ids::{Key, OperationId};
use crate::model::inputs::{ForceReread, Inputs};
use crate::model::labels::{LABEL_CONFIG, LABEL_FOLDER};
use crate::model::location::{Declared, Resolved};
use crate::model::operation::{
    ContainersReport, End, EndedOperation, Ending, OperationKind, Settlement,
};
use crate::state::Fact;

/// An operation that runs.
#[derive(Clone)]
pub(super) struct OperationRun {
    pub(super) key: Key,
    pub(super) kind: OperationKind,
    pub(super) id: OperationId,
    pub(super) declared: Declared,
    pub(super) resolved: Resolved,
    pub(super) journal: Arc<Journal>,
    pub(super) abort: Arc<Abort>,
    /// Held until the end is saved.
    pub(super) _lock: Arc<FolderLock>,
    /// When it must have ended.
    pub(super) deadline: Instant,
    pub(super) operations: ThreadGuard,
}

/// The outcome of an operation.
pub(super) struct Outcome {
    pub(super) ending: Ending,
    /// The report on the containers, if there is something to say.
    pub(super) containers: Option<ContainersReport>,
    /// The container that the operation made.
    pub(super) container: Option<String>,
    pub(super) settlement: Settlement,
}

impl From<Ending> for Outcome {
    fn from(ending: Ending) -> Self {
        Self {
            ending,
            containers: None,
            container: None,
            settlement: Settlement::Settled,
        }
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.to_string())
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Ending::from(failure).into()
    }
}

impl OperationRun {
    /// Runs the operation to its end.
    pub(super) fn run(self) {
        log::info!("{} of {} begins", self.kind.verb(), self.folder().display());
        // The lock is held: no other daemon begins anything here that would be taken for a leftover.
        super::end_leftovers();
        let outcome = self.perform();
        self.end(outcome);
    }

    fn perform(&self) -> Outcome {
        self.operations.settings.persister.save();
        if self.kind != OperationKind::Delete {
            self.repair_first();
        }
        match self.kind {
            OperationKind::Recreate | OperationKind::Start => self.up(),
            OperationKind::Stop => self.for_all("stopping", |docker, ids| docker.stop(ids)),
            OperationKind::Delete => self.for_all("removing", |docker, ids| docker.remove(ids)),
        }
    }

    /// Returns the workspace folder as it was written.
    pub(super) fn folder(&self) -> &Path {
        &self.declared.folder
    }

    /// Writes a line of the daemon's own to the log.
    pub(super) fn say(&self, text: &str) {
        let line = Line::new(Timestamp::now(), LogLevel::Info, text);
        self.journal.write(vec![line]);
    }

    /// Acts on all containers of the dev container and of its compose project. `doing` stands in the log.
    fn for_all(
        &self,
        doing: &str,
        act: impl Fn(&Client<'_>, &[&str]) -> Result<(), docker::Error>,
    ) -> Outcome {
        let program = self.operations.programs.docker();
        let docker = self.docker(&program);
        let thorough = Client {
            thorough: true,
            ..docker
        };
        let acted = self.with_project(&docker).and_then(|all| {
            let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            if !names.is_empty() {
                self.say(&format!("{doing} {}", names.join(", ")));
            }
            let ids: Vec<&str> = all.iter().map(|one| one.id.as_str()).collect();
            act(&thorough, &ids)
        });
        match acted {
            Ok(()) => Ending::Succeeded.into(),
            Err(e) => self.stopped_by(e).into(),
        }
    }

    fn with_project(&self, docker: &Client<'_>) -> Result<Vec<Snapshot>, docker::Error> {
        let mut all = self.own_containers(docker)?;
        let projects = all
            .iter()
            .filter_map(|one| Some(one.compose.as_ref()?.project_label()));
        for project in projects.collect::<HashSet<_>>() {
            let ids = docker.with_labels(&[project])?.into_iter();
            let more = ids.filter(|id| all.iter().all(|one| one.id != *id));
            all.extend(docker.inspect(&more.collect::<Vec<_>>())?);
        }
        Ok(all)
    }

    /// Asks docker for the containers of the dev container: those that the last listing showed, and those that the CLI
    /// would find.
    pub(super) fn own_containers(
        &self,
        docker: &Client<'_>,
    ) -> Result<Vec<Snapshot>, docker::Error> {
        let shared = &self.operations.shared;
        let listed = shared.read(|state| state.containers_of(self.key));
        let mut labels = vec![format!("{LABEL_FOLDER}={}", self.folder().display())];
        let config = self.declared.config.as_deref();
        labels.extend(config.map(|config| format!("{LABEL_CONFIG}={}", config.display())));
        // Both are mostly the same, so docker is asked for both at once.
        let (known, labelled) = thread::scope(|scope| {
            let known = scope.spawn(|| docker.inspect(&listed));
            let labelled = docker.with_labels(&labels);
            (known.join(), labelled)
        });
        let mut own = known.unwrap_or_else(|_| Ok(Vec::new()))?;
        let more = labelled?.into_iter().filter(|id| !listed.contains(id));
        own.extend(docker.inspect(&more.collect::<Vec<_>>())?);
        let is_anothers = |id: &str| {
            let owner = shared.read(|state| state.owner(id));
            owner.is_some_and(|owner| owner != self.key)
        };
        // The CLI would take any container of the folder where no configuration is named.
        let is_unnamed = config.is_none();
        own.retain(|one| {
            let fits = listed.contains(&one.id) || !is_unnamed || one.config.is_none();
            fits && !one.is_test_run && !is_anothers(&one.id)
        });
        Ok(own)
    }

    /// Returns a docker client whose commands are part of the operation.
    pub(super) fn docker<'a>(&'a self, program: &'a Path) -> Client<'a> {
        Client {
            program,
            deadline: self.deadline,
            abort: Some(self.abort.as_fd()),
            operation: Some(self.id.as_str()),
            thorough: false,
        }
    }

    /// Returns the end that a failed docker command means for the operation.
    pub(super) fn stopped_by(&self, error: docker::Error) -> Ending {
        if error.is_aborted() {
            self.aborted()
        } else {
            Failure::from(error).into()
        }
    }

    /// Returns the end of an operation that was ended early.
    pub(super) fn aborted(&self) -> Ending {
        if self.abort.is_cancelled() {
            Ending::Cancelled
        } else {
            let verb = self.kind.verb();
            Ending::Interrupted(format!("the daemon stopped before the {verb} finished"))
        }
    }

    /// Scans the inputs: before the CLI starts, and after it has ended.
    pub(super) fn inputs(&self) -> Option<Inputs> {
        let paths = Arc::new(self.resolved.cli_paths(self.folder())?);
        scan::scan(&paths, None, &ForceReread::default()).ok()?
    }

    /// Reports the end to the state, to `state.json`, to both logs, and to all who wait.
    pub(super) fn end(&self, outcome: Outcome) {
        let operations = &self.operations;
        let end = End {
            ending: outcome.ending,
            containers: outcome.containers,
            finished_at: Timestamp::now(),
        };
        let now = Instant::now();
        let makes_containers = self.kind.makes_containers();
        let after = makes_containers.then(|| self.inputs()).flatten();
        let ended = EndedOperation {
            end: end.clone(),
            container: outcome.container,
            settlement: outcome.settlement,
        };
        operations.release(self.key);
        // Readers of either log find the end in the state.
        let fact = Fact::OperationEnded(self.key, ended, after);
        operations.shared.update(|state| state.apply(fact, now));
        operations.settings.persister.save();
        let summary = self.summary(&end);
        log::info!("{}: {summary}", self.folder().display());
        self.journal.end(end, summary);
    }

    fn summary(&self, end: &End) -> String {
        let seconds = end.finished_at.seconds_since(self.id.began_at()).max(0.0);
        let (verb, state) = (self.kind.verb(), end.ending.state().as_str());
        let summary = format!("{verb} {state} after {seconds:.1} s");
        match end.explanation(self.kind) {
            Some(explanation) => format!("{summary}: {explanation}"),
            None => summary,
        }
    }
}
