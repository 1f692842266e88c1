//! One operation, from its beginning to its end.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::ThreadGuard;
use super::abort::Abort;
use super::audit::Audit;
use super::failure::Failure;
use super::journal::Journal;
use crate::base::event::{ENDED, Value, sentence};
use crate::base::flock::FolderLock;
use crate::base::time::Timestamp;
use crate::devcontainer::cli::line::Line;
use crate::docker::{self, Client, Snapshot};
use crate::model::api::LogLevel;
use crate::model::counters::COUNTERS;
use crate::model::ids::{Key, OperationId};
use crate::model::inputs::Inputs;
use crate::model::labels::IdLabels;
use crate::model::location::{Declared, Resolved};
use crate::model::operation::{
    ContainersReport, End, EndedOperation, Ending, OperationKind, Settlement,
};
use crate::model::project::Project;
use crate::model::up_arg::UpArg;
use crate::state::{Fact, State};

/// An operation that runs.
#[derive(Clone)]
pub(super) struct OperationRun {
    pub(super) key: Key,
    pub(super) kind: OperationKind,
    /// The id of the container that the request names, if it names one.
    pub(super) container: Option<String>,
    pub(super) subject: Subject,
    /// True if it acts on all containers of the dev container.
    pub(super) all: bool,
    pub(super) id: OperationId,
    pub(super) audit: Audit,
    pub(super) declared: Declared,
    /// The location that the labels of the container name, which leads to the same place.
    pub(super) labelled: Option<Declared>,
    pub(super) resolved: Resolved,
    /// The compose projects in which no other operation runs meanwhile.
    pub(super) claims: Vec<Project>,
    pub(super) journal: Arc<Journal>,
    pub(super) abort: Arc<Abort>,
    /// Held until the end is saved.
    pub(super) _locks: Vec<Arc<FolderLock>>,
    /// When it was queued; `None` where it has begun.
    pub(super) queued_at: Option<Instant>,
    /// When it must have ended.
    pub(super) deadline: Instant,
    pub(super) operations: ThreadGuard,
}

/// The dev container as the state knows it when the operation begins.
#[derive(Clone)]
pub(super) struct Subject {
    /// The id of the container that is shown.
    pub(super) shown: Option<String>,
    /// The labels of that container, if the CLI would not find it by its folder and configuration.
    pub(super) labels: Option<IdLabels>,
    /// The additional arguments of `devcontainer up` for this dev container.
    pub(super) up_args: Vec<UpArg>,
}

impl Subject {
    /// Returns what the state knows; `labels` are those of its target.
    pub(super) fn of(state: &State, key: Key, labels: Option<IdLabels>) -> Self {
        Self {
            shown: state.containers_of(key).into_iter().next(),
            labels,
            up_args: state.up_args(key).to_vec(),
        }
    }
}

/// The containers of a dev container.
pub(super) struct Targets {
    /// The one that the operation acts on.
    pub(super) target: Option<Snapshot>,
    /// The others that the CLI would find, also those that have the labels from their image alone.
    pub(super) duplicates: Vec<Snapshot>,
}

impl Targets {
    /// Finds the target among the containers of a dev container: the one that the request names, otherwise the one that
    /// was `shown`. If that is gone by now, it is one that runs rather than one that does not, then one that is not
    /// `listed` yet.
    ///
    /// # Errors
    ///
    /// A listing that could not read the labels of an image has shown a copy as the target (P23).
    fn among(
        mut own: Vec<Snapshot>,
        named: Option<&str>,
        shown: Option<&str>,
        listed: &[String],
    ) -> Result<Self, Failure> {
        let position = |id: &str| own.iter().position(|one| one.id == id);
        let at = match named {
            Some(named) => position(named),
            None => shown.and_then(position).or_else(|| {
                let own = own.iter().enumerate();
                let own = own.filter(|(_, one)| one.is_devcontainer());
                own.min_by_key(|(_, one)| {
                    (!one.run_state.has_processes(), listed.contains(&one.id))
                })
                .map(|(at, _)| at)
            }),
        };
        let target = at.map(|at| own.remove(at));
        if let Some(copy) = target.as_ref().filter(|one| !one.is_devcontainer()) {
            return Err(Failure::Copy(copy.name.clone()));
        }
        Ok(Self {
            target,
            duplicates: own,
        })
    }
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
    /// Runs the operation to its end, after it has waited for its turn.
    pub(super) fn run(mut self) {
        let turn = self.leave_queue();
        self.operations.0.feed_sink(&self.journal);
        if let Err(outcome) = turn {
            return self.end(outcome);
        }
        self.audit.begun();
        for project in &self.claims {
            log::debug!("no other operation runs in the compose project {project} meanwhile");
        }
        let outcome = self.perform();
        self.end(outcome);
    }

    fn perform(&self) -> Outcome {
        if self.kind != OperationKind::Delete {
            self.repair_first();
        }
        match self.kind {
            OperationKind::Recreate | OperationKind::Start => self.up(),
            OperationKind::Stop => self.stop(),
            OperationKind::Delete => self.delete(),
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

    /// Asks docker for the container that the operation acts on, and for the others of the dev container.
    ///
    /// # Errors
    ///
    /// docker does not answer, also about the labels of an image, or the container turns out to be that of no dev
    /// container.
    pub(super) fn targets(&self, docker: &Client<'_>) -> Result<Targets, Failure> {
        let own = self.own_containers(docker)?;
        let shared = &self.operations.shared;
        let listed = shared.read(|state| state.containers_of(self.key));
        Targets::among(
            own,
            self.container.as_deref(),
            self.subject.shown.as_deref(),
            &listed,
        )
    }

    /// Asks docker for the containers of the dev container: those that the last listing showed, and those that the CLI
    /// would find.
    pub(super) fn own_containers(
        &self,
        docker: &Client<'_>,
    ) -> Result<Vec<Snapshot>, docker::Error> {
        let shared = &self.operations.shared;
        let listed = shared.read(|state| state.containers_of(self.key));
        let config = self.declared.config.as_deref();
        let labels = self.subject.labels.clone().unwrap_or_else(|| IdLabels {
            folder: self.folder().display().to_string(),
            config: config.map(|config| config.display().to_string()),
        });
        let labels = labels.pairs();
        // Both are mostly the same, so docker is asked for both at once.
        let (known, labelled) = thread::scope(|scope| {
            let known = scope.spawn(|| docker.inspect(&listed));
            let labelled = docker.with_labels(&labels);
            (known.join(), labelled)
        });
        let mut own = known.unwrap_or_else(|_| Ok(Vec::new()))?;
        let more = labelled?.into_iter().filter(|id| !listed.contains(id));
        own.extend(docker.inspect(&more.collect::<Vec<_>>())?);
        // An image that is gone by now was still there for the listing.
        let copies = shared.read(|state| state.copies_among(own.iter().map(|one| &*one.id)));
        for one in own.iter_mut().filter(|one| copies.contains(&one.id)) {
            (one.folder, one.config) = (None, None);
        }
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
            socket: None,
        }
    }

    /// Returns the end that a failure means for the operation. A docker command also fails where the operation is ended
    /// early.
    pub(super) fn stopped_by(&self, failure: impl Into<Failure>) -> Ending {
        match failure.into() {
            Failure::Docker(error) if error.is_aborted() => self.aborted(),
            failure => failure.into(),
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
        let paths = self.resolved.cli_paths(self.folder())?;
        self.operations.settings.disk.inputs(paths)
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
        let has_run_cli = self.kind.makes_containers() && self.queued_at.is_none();
        let after = has_run_cli.then(|| self.inputs()).flatten();
        let ended = EndedOperation {
            end: end.clone(),
            container: outcome.container,
            settlement: outcome.settlement,
        };
        operations.release(self.key);
        self.count(&end);
        // Readers of either log find the end in the state.
        let fact = Fact::OperationEnded(self.key, ended, after);
        operations.shared.update(|state| state.apply(fact, now));
        operations.settings.persister.save();
        let explanation = end.explanation(self.kind);
        let seconds = end.finished_at.seconds_since(self.id.began_at()).max(0.0);
        let fields = [
            ("operation", Value::Text(self.kind.verb())),
            ("outcome", Value::Text(end.ending.state().as_str())),
            ("seconds", Value::Seconds(seconds)),
            ("reason", explanation.as_deref().into()),
        ];
        // The audit names the operation itself.
        self.audit.ended(fields.get(1..).unwrap_or_default());
        self.journal.end(end, sentence(ENDED, &fields));
    }

    fn count(&self, end: &End) {
        let millis = end.finished_at.as_millis() - self.id.began_at().as_millis();
        let took = Duration::from_millis(millis.max(0).unsigned_abs());
        let took = Some(took).filter(|_| self.queued_at.is_none());
        COUNTERS.operation_ended(self.kind, end.ending.state(), took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p23_a_copy_that_a_listing_took_for_a_dev_container_is_no_target() {
        let copy = Snapshot::running("copy");
        let own = Snapshot {
            folder: Some("/w".to_owned()),
            ..Snapshot::running("own")
        };
        let all = || vec![copy.clone(), own.clone()];
        let listed = [copy.id.clone(), own.id.clone()];
        for (named, shown) in [(None, Some("copy")), (Some("copy"), Some("own"))] {
            let found = Targets::among(all(), named, shown, &listed);
            assert!(matches!(found, Err(Failure::Copy(name)) if name == "copy"));
        }
        for shown in [Some("own"), Some("gone"), None] {
            let found = Targets::among(all(), None, shown, &listed).unwrap();
            assert_eq!(found.target.as_ref(), Some(&own));
            assert_eq!(found.duplicates, std::slice::from_ref(&copy), "hidden");
        }
        let found = Targets::among(all(), Some("gone"), Some("own"), &listed).unwrap();
        assert_eq!(found.target, None);
    }
}
