//! `recreate` and `start`: what the devcontainer CLI does, and what becomes of the old container.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::aftermath::Aftermath;
use super::failure::Failure;
use super::output::Output;
use super::repair::NEW_CONTAINER_RUNS;
use super::run::{OperationRun, Outcome};
use super::settle::{self, RestoreScope};
use super::way::Way;
use crate::docker::{self, Client, Endpoint, Snapshot};
use crate::model::labels::IdLabels;
use crate::model::operation::{ContainersReport, Ending, Settlement};
use crate::model::original::Original;
use crate::process::{self, RunLimits};
use crate::proxy;
use crate::state::Fact;

/// The time between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);
/// How long docker is asked again for the containers, while it does not answer.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
/// How long it is asked again while the daemon stops. The next daemon repairs what is left.
const SETTLE_PATIENCE_CLOSING: Duration = Duration::from_millis(1500);
/// The time between two attempts.
const SETTLE_RETRY_EVERY: Duration = Duration::from_millis(500);

/// The reports on a container that runs, but whose lifecycle commands failed.
const NEW_CONTAINER_REPLACES: &str = "the new container runs, and the old one is gone";
const CONTAINER_RUNS: &str = "the container runs";

/// The containers that an operation is to be settled with.
struct Left {
    originals: Vec<Original>,
    /// The work of the proxy; `None` where compose replaced containers in place.
    done: Option<proxy::Done>,
    endpoint: Option<Endpoint>,
}

impl Left {
    fn socket(&self) -> Option<&Path> {
        self.endpoint.as_ref().and_then(Endpoint::socket)
    }
}

impl OperationRun {
    /// Runs `devcontainer up`, and settles what became of the containers.
    pub(super) fn up(&self) -> Outcome {
        if let Some(path) = self.unusable_path() {
            return Failure::UnusablePath(path).into();
        }
        let scope = match self.prepared(|| self.find_scope()) {
            Ok(scope) => scope,
            Err(e) => return self.stopped_by(e).into(),
        };
        let originals = scope.originals.clone();
        let endpoint = scope.endpoint.clone();
        let prepared = Fact::OperationPrepared(self.key, originals.clone(), self.inputs());
        self.operations.shared.apply(prepared);
        self.operations.settings.persister.save();
        let way = match Way::open(self, scope) {
            Ok(way) => way,
            Err(e) => return Failure::Proxy(e).into(),
        };
        let (ending, named) = self.run_cli(&way);
        let left = Left {
            originals,
            done: way.close(),
            endpoint,
        };
        let ending = self.verify(ending, &left, named.as_deref());
        self.settle(&left, ending, named)
    }

    /// Returns a path on which the CLI is known to hang.
    fn unusable_path(&self) -> Option<PathBuf> {
        let config = self.declared.config.as_deref();
        let paths = [Some(self.folder()), config].into_iter().flatten();
        let mut unusable = paths.filter(|path| path.as_os_str().as_encoded_bytes().contains(&b'='));
        unusable.next().map(Into::into)
    }

    /// Returns how the CLI ended, and the container that it named.
    fn run_cli(&self, way: &Way) -> (Ending, Option<String>) {
        let command = match way.command(self) {
            Ok(command) => command,
            Err(e) => return (Failure::Plan(e).into(), None),
        };
        if let Some(moved) = self.moved() {
            return (Failure::Moved(moved).into(), None);
        }
        let mut output = Output::new(&self.journal, way.true_names());
        let limits = RunLimits {
            deadline: self.deadline,
            abort: &[self.abort.as_fd()],
            grace: GRACE,
            late: None,
        };
        let id = self.id.as_str();
        let ended = process::run_operation(command, id, &limits, &mut |stream, bytes| {
            output.take(stream, bytes);
            if let Some(phase) = output.take_phase() {
                let begun = Fact::PhaseBegun(self.key, phase);
                self.operations.shared.apply(begun);
            }
            if output.take_initialized() {
                self.take_initialized_inputs();
            }
        });
        output.finish();
        let ending = match ended {
            Ok(ended) => self.judge(ended, &mut output),
            Err(e) => Failure::Spawn(e).into(),
        };
        (ending, output.result.and_then(|result| result.container_id))
    }

    fn take_initialized_inputs(&self) {
        if let Some(inputs) = self.inputs() {
            let initialized = Fact::InputsInitialized(self.key, inputs);
            self.operations.shared.apply(initialized);
        }
    }

    /// Judges how the CLI ended, by its exit status and its result.
    fn judge(&self, ended: process::Ended, output: &mut Output<'_>) -> Ending {
        match (ended, &output.result) {
            (process::Ended::Aborted, _) => self.aborted(),
            (process::Ended::TimedOut, _) => {
                Failure::TimedOut(self.operations.settings.timeout).into()
            }
            (process::Ended::Exited(status), Some(result)) if result.succeeded() => {
                if status.success() {
                    Ending::Succeeded
                } else {
                    Failure::Contradiction(status).into()
                }
            }
            (process::Ended::Exited(_), Some(_)) => {
                Failure::Reported(output.reason().unwrap_or_default()).into()
            }
            (process::Ended::Exited(status), None) => {
                Failure::NoResult(status, output.last_line.take()).into()
            }
        }
    }

    /// Checks that a container of this dev container runs, where the operation replaced none.
    fn verify(&self, ending: Ending, left: &Left, named: Option<&str>) -> Ending {
        let Some(named) = named.filter(|_| ending == Ending::Succeeded) else {
            return ending;
        };
        if !left.originals.is_empty() || !docker::is_id(named) {
            return ending;
        }
        let program = self.operations.programs.docker();
        let docker = Client {
            socket: left.socket(),
            ..self.docker(&program)
        };
        let found = docker.inspect(&[named.to_owned()]);
        // Where docker does not answer, settling says so.
        let Ok(found) = found else { return ending };
        match found.first() {
            None => Failure::NoContainer.into(),
            Some(one) => match self.why_not_ours(one) {
                Some(failure) => failure.into(),
                None => ending,
            },
        }
    }

    fn why_not_ours(&self, one: &Snapshot) -> Option<Failure> {
        let name = one.name.clone();
        let folder = one.folder.as_ref()?;
        let labels = IdLabels {
            folder: folder.clone(),
            config: one.config.clone(),
        };
        let shared = &self.operations.shared;
        let labelled = shared.read(|state| state.declared_by(&labels));
        let resolved = self.operations.settings.disk.resolve(&labelled).ok()?;
        let is_ours = if labelled.config.is_some() {
            resolved.is_same(&self.resolved)
        } else {
            resolved.folder == self.resolved.folder
        };
        if !is_ours {
            let folder = folder.clone();
            return Some(Failure::Anothers { name, folder });
        }
        let state = &one.run_state;
        (!state.has_processes()).then(|| Failure::NotRunning(name, state.to_string()))
    }

    /// Finds out what became of the containers, and puts back the old ones where there is no new one.
    fn settle(&self, left: &Left, ending: Ending, named: Option<String>) -> Outcome {
        let succeeded = ending == Ending::Succeeded;
        let error = match self.ask_docker(left, succeeded, named.as_deref()) {
            Ok(aftermath) => {
                return self.conclude(ending, named, &aftermath, !left.originals.is_empty());
            }
            Err(error) => error,
        };
        let consequence = if left.originals.is_empty() {
            ""
        } else {
            "; nothing is removed, and the old container is put back as soon as docker answers"
        };
        let text = format!("docker does not answer: {error}{consequence}");
        let (ending, containers) = if succeeded {
            (Ending::Failed(text), None)
        } else {
            (ending, Some(ContainersReport::Harmed(text)))
        };
        Outcome {
            ending,
            containers,
            container: named.clone(),
            settlement: Settlement::Open {
                made: named.filter(|_| succeeded),
            },
        }
    }

    fn ask_docker(
        &self,
        left: &Left,
        succeeded: bool,
        named: Option<&str>,
    ) -> Result<Aftermath, docker::Error> {
        let is_closing = self.operations.shared.is_closing();
        let patience = if is_closing {
            SETTLE_PATIENCE_CLOSING
        } else {
            SETTLE_PATIENCE
        };
        let program = self.operations.programs.docker();
        let until = Instant::now() + patience;
        let done = left.done.as_ref();
        loop {
            let docker = self
                .operations
                .settling_client(&program, &self.id, left.socket());
            let report = settle::EndReport {
                succeeded,
                named,
                parked: Some(done.map_or(&[], |done| &done.parked)),
                is_stopping: done.map(|done| done.is_stopping),
                in_place: done.is_none(),
                deferred: false,
            };
            match settle::settle(
                &docker,
                &self.id,
                &left.originals,
                &report,
                RestoreScope::All,
            ) {
                Err(_) if Instant::now() < until => thread::sleep(SETTLE_RETRY_EVERY),
                settled => return settled,
            }
        }
    }

    fn conclude(
        &self,
        ending: Ending,
        named: Option<String>,
        aftermath: &Aftermath,
        replaces: bool,
    ) -> Outcome {
        for trouble in &aftermath.troubles {
            self.say(trouble);
        }
        let settlement = if aftermath.troubles.is_empty() {
            Settlement::Settled
        } else {
            Settlement::Open {
                made: aftermath.made.clone(),
            }
        };
        let ending = match ending {
            Ending::Succeeded if aftermath.put_back => Failure::NoContainer.into(),
            ending => ending,
        };
        let containers = if ending == Ending::Succeeded {
            for trouble in &aftermath.troubles {
                log::warn!("{}: {trouble}", self.folder().display());
            }
            None
        } else {
            report(aftermath, named.is_some(), replaces)
        };
        Outcome {
            ending,
            containers,
            container: aftermath.made.clone().or(named),
            settlement,
        }
    }
}

/// Returns the report on the containers of an operation that did not succeed. `is_named` is true where the CLI named
/// the container whose commands failed: of one that was ended early it says nothing. `replaces` is true where there was
/// an old container.
fn report(aftermath: &Aftermath, is_named: bool, replaces: bool) -> Option<ContainersReport> {
    let is_harmed = !aftermath.lost.is_empty() || !aftermath.troubles.is_empty();
    let runs = aftermath.made.is_some();
    let text = aftermath.summary().or_else(|| {
        runs.then(|| match (is_named, replaces) {
            (true, true) => NEW_CONTAINER_REPLACES.to_owned(),
            (true, false) => CONTAINER_RUNS.to_owned(),
            (false, _) => NEW_CONTAINER_RUNS.to_owned(),
        })
    })?;
    Some(if is_harmed {
        ContainersReport::Harmed(text)
    } else {
        ContainersReport::Unharmed(text)
    })
}
