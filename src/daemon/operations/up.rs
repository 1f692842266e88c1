//! `recreate` and `start`: what the devcontainer CLI does, and what becomes of the old container.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::aftermath::Aftermath;
use super::failure::Failure;
use super::output::Output;
use super::repair::NEW_CONTAINER_RUNS;
use super::run::{OperationRun, Outcome};
use super::settle::{self, RestoreScope};
use crate::devcontainer::cli::arguments::Up;
use crate::devcontainer::config::search;
use crate::docker;
use crate::model::operation::{ContainersReport, Ending, OperationKind, Settlement};
use crate::model::original::Original;
use crate::process::{self, RunLimits};
use crate::shim::{self, Plan};
use crate::state::Fact;

/// The time between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);
/// How long docker is asked again for the containers, while it does not answer.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
/// How long it is asked again while the daemon stops. The next daemon repairs what is left.
const SETTLE_PATIENCE_CLOSING: Duration = Duration::from_millis(1500);
/// The time between two attempts.
const SETTLE_RETRY_EVERY: Duration = Duration::from_millis(500);

impl OperationRun {
    /// Runs `devcontainer up`, and settles what became of the containers.
    pub(super) fn up(&self) -> Outcome {
        if let Some(path) = self.unusable_path() {
            return Failure::UnusablePath(path).into();
        }
        let originals = match self.find_originals() {
            Ok(originals) => originals,
            Err(e) => return self.stopped_by(e).into(),
        };
        let prepared = Fact::OperationPrepared(self.key, originals.clone(), self.inputs());
        self.operations.shared.apply(prepared);
        self.operations.settings.persister.save();
        let (ending, named) = self.run_cli(&originals);
        self.settle(&originals, ending, named)
    }

    /// Returns a path on which the CLI is known to hang.
    fn unusable_path(&self) -> Option<PathBuf> {
        let config = self.declared.config.as_deref();
        let paths = [Some(self.folder()), config].into_iter().flatten();
        let mut unusable = paths.filter(|path| path.as_os_str().as_encoded_bytes().contains(&b'='));
        unusable.next().map(Into::into)
    }

    /// Asks docker for the containers that the new one is to replace.
    fn find_originals(&self) -> Result<Vec<Original>, docker::Error> {
        if self.kind != OperationKind::Recreate {
            return Ok(Vec::new());
        }
        let program = self.operations.programs.docker();
        let docker = self.docker(&program);
        let target = self.targets(&docker)?.target;
        let lasting = target.into_iter().filter(|one| !one.one_off);
        Ok(lasting.map(settle::original_of).collect())
    }

    fn compose_service(&self) -> Option<String> {
        let config = self.resolved.canonical_config.as_deref();
        config.and_then(search::compose_service)
    }

    /// Returns how the CLI ended, and the container that it named.
    fn run_cli(&self, originals: &[Original]) -> (Ending, Option<String>) {
        let command = match self.command(originals) {
            Ok(command) => command,
            Err(e) => return (Failure::Plan(e).into(), None),
        };
        let mut output = Output::new(&self.journal);
        let limits = RunLimits {
            deadline: self.deadline,
            abort: Some(self.abort.as_fd()),
            grace: GRACE,
        };
        let id = self.id.as_str();
        let ended = process::run_operation(command, id, &limits, &mut |stream, bytes| {
            output.take(stream, bytes);
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

    fn command(&self, originals: &[Original]) -> serde_json::Result<Command> {
        let programs = &self.operations.programs;
        let (docker, compose) = shim::paths();
        let replaces = self.kind == OperationKind::Recreate;
        let up = Up {
            folder: self.folder(),
            config: self.declared.config.as_deref(),
            docker: &docker,
            compose: &compose,
            remove_existing: replaces,
        };
        let mut command = Command::new(programs.devcontainer());
        command.args(up.arguments());
        let plan = Plan {
            operation: self.id.clone(),
            called_docker: docker,
            called_compose: compose,
            docker: programs.docker(),
            compose: programs.compose(),
            replaces: originals.to_vec(),
            service: self.compose_service().filter(|_| replaces),
        };
        command.env(shim::VARIABLE, serde_json::to_string(&plan)?);
        Ok(command)
    }

    /// Judges how the CLI ended, by its exit status and its result.
    fn judge(&self, ended: process::Ended, output: &mut Output<'_>) -> Ending {
        let (docker, compose) = shim::paths();
        let names = [(compose, "docker-compose"), (docker, "docker")];
        let names = names.map(|(path, name)| (path.display().to_string(), name));
        if let Some(result) = &mut output.result {
            result.rename(&names.each_ref().map(|(path, name)| (path.as_str(), *name)));
        }
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
            (process::Ended::Exited(_), Some(result)) => {
                Failure::Reported(with_cause(result.reason(), output.cause())).into()
            }
            (process::Ended::Exited(status), None) => {
                Failure::NoResult(status, output.last_line.take()).into()
            }
        }
    }

    /// Finds out what became of the containers, and puts back the old ones where there is no new one.
    fn settle(&self, originals: &[Original], ending: Ending, named: Option<String>) -> Outcome {
        let succeeded = ending == Ending::Succeeded;
        let error = match self.ask_docker(originals, succeeded, named.as_deref()) {
            Ok(aftermath) => return self.conclude(ending, named, &aftermath),
            Err(error) => error,
        };
        let consequence = if originals.is_empty() {
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
        originals: &[Original],
        succeeded: bool,
        named: Option<&str>,
    ) -> Result<Aftermath, docker::Error> {
        let is_closing = self.operations.shared.read(|state| state.is_closing());
        let patience = if is_closing {
            SETTLE_PATIENCE_CLOSING
        } else {
            SETTLE_PATIENCE
        };
        let program = self.operations.programs.docker();
        let until = Instant::now() + patience;
        loop {
            let docker = self.operations.settling_client(&program, &self.id);
            let report = settle::EndReport {
                succeeded,
                named,
                deferred: false,
            };
            match settle::settle(&docker, &self.id, originals, &report, RestoreScope::All) {
                Err(_) if Instant::now() < until => thread::sleep(SETTLE_RETRY_EVERY),
                settled => return settled,
            }
        }
    }

    fn conclude(&self, ending: Ending, named: Option<String>, aftermath: &Aftermath) -> Outcome {
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
            report(aftermath, named.as_deref())
        };
        Outcome {
            ending,
            containers,
            container: aftermath.made.clone().or(named),
            settlement,
        }
    }
}

/// Returns the report on the containers of an operation that did not succeed.
fn report(aftermath: &Aftermath, named: Option<&str>) -> Option<ContainersReport> {
    let is_harmed = !aftermath.lost.is_empty() || !aftermath.troubles.is_empty();
    // The CLI names the container whose commands failed. Of one that was ended early it says nothing.
    let runs = aftermath.made.is_some() && named.is_none();
    let text = aftermath
        .summary()
        .or_else(|| runs.then(|| NEW_CONTAINER_RUNS.to_owned()))?;
    Some(if is_harmed {
        ContainersReport::Harmed(text)
    } else {
        ContainersReport::Unharmed(text)
    })
}

/// Adds the cause that docker gave: the CLI often says only which command failed.
fn with_cause(reason: String, cause: Option<String>) -> String {
    match cause {
        Some(cause) if reason.contains("Command failed") && !reason.contains(&cause) => {
            format!("{reason}: {cause}")
        }
        _ => reason,
    }
}
