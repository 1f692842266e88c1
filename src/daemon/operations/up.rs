//! `recreate` and `start`: what the devcontainer CLI does, and what becomes of the old container.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::Operations;
use super::output::Output;
use super::run::{Done, OperationRun};
use super::settle::{self, Fate, Touch};
use crate::base::time::Timestamp;
use crate::devcontainer::cli::arguments::Up;
use crate::devcontainer::config::jsonc as config;
use crate::docker::ClientError;
use crate::model::ids::Key;
use crate::model::operation::{OperationKind, OperationState, Repair, Repaired};
use crate::model::original::Original;
use crate::process::{self, RunLimits};
use crate::shim as stand_in;
use crate::shim::Plan;

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);
/// How long docker is asked again what became of the containers, when it does not answer.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);
/// The same when the daemon is about to stop: the next one puts right what is not by then.
const SETTLE_PATIENCE_CLOSING: Duration = Duration::from_millis(1500);
const SETTLE_AGAIN: Duration = Duration::from_millis(500);
/// Of an operation that was ended while the CLI was at work in the new container.
const NEW_ONE_RUNS: &str = "the new container runs, though not all of its commands may have";

impl OperationRun {
    pub(super) fn up(&self) -> Done {
        if let Err(why) = self.check_paths() {
            return Done::failed(why);
        }
        let originals = match self.kind {
            OperationKind::Recreate => self.find_originals(),
            _ => Ok(Vec::new()),
        };
        let originals = match originals {
            Ok(originals) => originals,
            Err(e) => return self.stopped_by(&e),
        };
        let inputs = self.inputs();
        self.operations.0.shared.update(|state| {
            state.set_originals(self.key, originals.clone());
            if let Some(inputs) = &inputs {
                state.set_operation_inputs(self.key, inputs);
            }
        });
        self.operations.0.persister.save();
        let done = self.run_cli(&originals);
        self.settle(&originals, done)
    }

    /// Paths that the CLI is known not to come back from.
    fn check_paths(&self) -> Result<(), String> {
        let config = self.address.config.as_deref();
        let paths = [Some(self.folder()), config];
        match paths
            .into_iter()
            .flatten()
            .find(|path| path.as_os_str().as_encoded_bytes().contains(&b'='))
        {
            Some(path) => Err(format!(
                "the devcontainer CLI hangs on a path with `=`: {}; nothing was changed. Rename the folder",
                path.display()
            )),
            None => Ok(()),
        }
    }

    /// Containers that an operation before this one left neither replaced nor put back. What cannot be put right is an
    /// old container like others.
    pub(super) fn repair_first(&self) {
        for repair in self
            .operations
            .0
            .shared
            .read(|state| state.left_behind(self.key))
        {
            self.say("putting right what an earlier operation left");
            match put_right(&self.operations.0, &repair) {
                Ok(_) => self
                    .operations
                    .0
                    .shared
                    .update(|state| state.clear_leftover(self.key)),
                Err(e) => self.say(&format!("that was not possible: {e}")),
            }
        }
    }

    /// The containers that the new one is to replace.
    fn find_originals(&self) -> Result<Vec<Original>, ClientError> {
        let program = self.operations.0.programs.docker();
        let docker = self.docker(&program);
        let mut originals = self.own_containers(&docker)?;
        let config = self.place.canonical_config.as_deref();
        let configured = config.and_then(config::compose_service);
        let services = originals.iter().filter_map(|one| one.old.compose.clone());
        let services = services.filter(|one| Some(&one.service) == configured.as_ref());
        for service in services.collect::<Vec<_>>() {
            let ids = docker.with_labels(&service.labels())?.into_iter();
            let more = ids.filter(|id| originals.iter().all(|one| one.old.id != *id));
            originals.extend(docker.inspect(&more.collect::<Vec<_>>())?);
        }
        let originals = originals.into_iter().filter(|one| !one.one_off);
        Ok(originals.map(|one| one.old.before_parking()).collect())
    }

    fn run_cli(&self, originals: &[Original]) -> Done {
        let command = match self.command(originals) {
            Ok(command) => command,
            Err(why) => return Done::failed(why),
        };
        let mut output = Output::new(&self.journal);
        let limits = RunLimits {
            deadline: self.deadline,
            abort: Some(self.abort.as_fd()),
            grace: GRACE,
        };
        let operation = self.id.as_str();
        let ended = process::run_operation(command, operation, &limits, &mut |stream, bytes| {
            output.take(stream, bytes);
            if output.take_initialized()
                && let Some(inputs) = self.inputs()
            {
                let shared = &self.operations.0.shared;
                shared.update(|state| state.set_initialized_inputs(self.key, &inputs));
            }
        });
        output.finish();
        let mut done = match ended {
            Ok(ended) => self.judge(ended, &mut output),
            Err(e) => Done::failed(e.to_string()),
        };
        done.container = output.result.and_then(|result| result.container_id);
        done
    }

    fn command(&self, originals: &[Original]) -> Result<Command, String> {
        let programs = &self.operations.0.programs;
        let (docker, compose) = stand_in::paths();
        let up = Up {
            folder: self.folder(),
            config: self.address.config.as_deref(),
            docker: &docker,
            compose: &compose,
            remove_existing: self.kind == OperationKind::Recreate,
        };
        let config = self.place.canonical_config.as_deref();
        let replaces = self.kind == OperationKind::Recreate;
        let plan = Plan {
            operation: self.id.clone(),
            called_docker: docker.clone(),
            called_compose: compose.clone(),
            docker: programs.docker(),
            compose: programs.compose(),
            replaces: originals.to_vec(),
            service: config
                .filter(|_| replaces)
                .and_then(config::compose_service),
        };
        let plan = serde_json::to_string(&plan)
            .map_err(|e| format!("the path of docker cannot be handed on: {e}"))?;
        let mut command = Command::new(programs.devcontainer());
        command.args(up.arguments()).env(stand_in::VARIABLE, plan);
        Ok(command)
    }

    /// What came of it.
    fn judge(&self, ended: process::Ended, output: &mut Output<'_>) -> Done {
        let (docker, compose) = stand_in::paths();
        let paths = [(compose, "docker-compose"), (docker, "docker")];
        let paths = paths.map(|(path, name)| (path.display().to_string(), name));
        let paths: Vec<(&str, &str)> = paths.iter().map(|(p, name)| (p.as_str(), *name)).collect();
        if let Some(result) = &mut output.result {
            result.rename(&paths);
        }
        match (ended, &output.result) {
            (process::Ended::Aborted, _) => self.aborted(),
            (process::Ended::TimedOut, _) => {
                let limit = self.operations.0.timeout.as_secs_f64();
                Done::failed(format!(
                    "it did not end within the limit of {limit} s (--job-timeout)"
                ))
            }
            (process::Ended::Exited(status), Some(result)) => match result.succeeded() {
                true if status.success() => Done::succeeded(),
                true => Done::failed(format!(
                    "devcontainer reported success, but ended with {status}"
                )),
                false => Done::failed(with_cause(result.reason(), output.cause())),
            },
            (process::Ended::Exited(status), None) => {
                let said = output.last_line.as_deref().unwrap_or("it said nothing");
                Done::failed(format!(
                    "devcontainer ended with {status} and without a result: {said}"
                ))
            }
        }
    }

    /// Finds out what became of the containers, and puts back the old ones where there is no new one.
    fn settle(&self, originals: &[Original], mut done: Done) -> Done {
        let closing = self.operations.0.shared.read(|state| state.is_closing());
        let patience = match closing {
            true => SETTLE_PATIENCE_CLOSING,
            false => SETTLE_PATIENCE,
        };
        let program = self.operations.0.programs.docker();
        let succeeded = done.state == OperationState::Succeeded;
        let until = Instant::now() + patience;
        let fate = loop {
            let docker = self.operations.0.settling_client(&program, &self.id);
            let ended = settle::Ending {
                well: succeeded,
                named: done.container.as_deref(),
                deferred: false,
            };
            match settle::settle(&docker, &self.id, originals, &ended, Touch::All) {
                Err(_) if Instant::now() < until => thread::sleep(SETTLE_AGAIN),
                settled => break settled,
            }
        };
        match fate {
            Ok(fate) => self.note_fate(&fate, &mut done),
            Err(e) => {
                let made = done.container.clone().filter(|_| succeeded);
                self.operations
                    .0
                    .shared
                    .update(|state| state.set_unsettled(self.key, made));
                let after = match originals.is_empty() {
                    true => String::new(),
                    false => "; nothing is removed, and the old container is put back as soon as docker answers"
                        .to_owned(),
                };
                let error = done.error.take().or(done.note.take());
                let error = error.map_or_else(String::new, |error| format!("{error}; "));
                done.error = Some(format!("{error}docker does not answer: {e}{after}"));
                if succeeded {
                    done.state = OperationState::Failed;
                }
            }
        }
        done
    }

    fn note_fate(&self, fate: &Fate, done: &mut Done) {
        // The CLI names the container whose commands failed; of one that was ended it says nothing.
        let is_named = done.container.is_some();
        done.container = fate.made.clone().or(done.container.take());
        let harmed = !fate.lost.is_empty() || !fate.troubles.is_empty();
        for trouble in &fate.troubles {
            self.say(trouble);
        }
        if !fate.troubles.is_empty() {
            let made = fate.made.clone();
            self.operations
                .0
                .shared
                .update(|state| state.set_unsettled(self.key, made));
        }
        if done.state == OperationState::Succeeded && fate.put_back {
            *done =
                Done::failed("devcontainer reported success, but there is no new container".into());
        }
        if done.state == OperationState::Succeeded {
            for trouble in &fate.troubles {
                log::warn!("{}: {trouble}", self.folder().display());
            }
            return;
        }
        let summary = match (fate.summary(), &fate.made) {
            (Some(summary), _) => summary,
            (None, Some(_)) if !is_named => NEW_ONE_RUNS.to_owned(),
            (None, _) => return,
        };
        let said = done.error.take();
        match (said, harmed) {
            (Some(error), _) => done.error = Some(format!("{error}; {summary}")),
            (None, true) => done.error = Some(summary),
            (None, false) => {
                let note = done.note.take().unwrap_or_default();
                done.note = Some(format!("{note}; {summary}"));
            }
        }
    }
}

/// Puts right what an operation left of a dev container, if nobody else is at it.
pub(super) fn repair(operations: &Operations, key: Key) {
    let place = operations
        .shared
        .read(|state| state.address(key))
        .map(|a| a.resolve(&operations.roots));
    let place = place.filter(|place| place.outside.is_none());
    // Somebody else who has the lock is in the middle of an operation, and this is no leftover.
    let Some(lock) = place.and_then(|place| operations.try_lock(&place.folder)) else {
        return;
    };
    super::end_leftovers();
    let now = Timestamp::now();
    let begun = operations
        .shared
        .update(|state| state.begin_repair(key, lock.is_held(), now));
    let Some(repair) = begun else { return };
    let result = put_right(operations, &repair);
    match &result {
        Ok(Repaired {
            summary,
            complete: true,
        }) => {
            if let Some(summary) = summary {
                log::info!("what an operation left is put right: {summary}");
            }
        }
        Ok(Repaired { summary, .. }) => {
            let summary = summary.as_deref().unwrap_or_default();
            log::warn!("what an operation left cannot be put right: {summary}");
        }
        Err(e) => log::warn!("what an operation left cannot be put right yet: {e}"),
    }
    operations.shared.update(|state| {
        if result.as_ref().is_ok_and(|repaired| repaired.complete) {
            let ids = state.containers_of(key);
            state.listing.invalidate(Instant::now(), ids);
        }
        state.end_repair(&repair, result.map_err(|e| e.to_string()));
    });
    operations.persister.save();
}

fn put_right(operations: &Operations, repair: &Repair) -> Result<Repaired, ClientError> {
    let program = operations.programs.docker();
    let docker = operations.settling_client(&program, &repair.operation);
    let touch = match repair.is_ours {
        true => Touch::All,
        false => Touch::SetAside,
    };
    let ending = settle::Ending {
        well: repair.made.is_some(),
        named: repair.made.as_deref(),
        deferred: true,
    };
    let fate = settle::settle(
        &docker,
        &repair.operation,
        &repair.originals,
        &ending,
        touch,
    )?;
    let ran = fate.made.is_some().then(|| NEW_ONE_RUNS.to_owned());
    Ok(Repaired {
        complete: fate.troubles.is_empty(),
        summary: fate.summary().or(ran),
    })
}

/// The CLI often says only which command failed.
fn with_cause(reason: String, cause: Option<String>) -> String {
    match cause {
        Some(cause) if reason.contains("Command failed") && !reason.contains(&cause) => {
            format!("{reason}: {cause}")
        }
        _ => reason,
    }
}
