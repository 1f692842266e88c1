//! The rules of the proxy: what becomes of each request.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::call::{self, Act, Call};
use super::edit::{self, Listed, NewContainer};
use super::engine::Engine;
use super::message::{Answer, Request};
use super::roles::{Membership, Owner, Role, is_same_path};
use super::{Done, OwnContainer, Plan};
use crate::base::notify::Notifier;
use crate::base::time::Timestamp;
use crate::docker::{self, Snapshot};
use crate::model::labels::{LABEL_COMPOSE_PROJECT, LABEL_COMPOSE_SERVICE};
use crate::model::original::Original;
use crate::model::project::Project;

/// The rules of one operation, and what has happened so far.
pub(super) struct Rules {
    pub(super) plan: Plan,
    pub(super) engine: Arc<Engine>,
    pub(super) closing: Arc<Notifier>,
    progress: Mutex<Progress>,
}

/// The progress of an operation.
#[derive(Default)]
pub(super) struct Progress {
    /// True once the containers that are to be replaced are parked.
    pub(super) is_replacing: bool,
    /// True once docker was told to stop them.
    pub(super) is_stopping: bool,
    /// True once it has stopped them.
    pub(super) is_stopped: bool,
    /// The ids of the new containers.
    pub(super) made: Vec<String>,
    /// Those of them that are the dev container.
    pub(super) made_devcontainers: Vec<String>,
    /// Containers of the compose project that are parked.
    pub(super) parked: Vec<Parked>,
    /// Projects that the plan does not name.
    pub(super) projects: Vec<Project>,
    /// The ids of containers of others that were left alone.
    pub(super) left_alone: Vec<String>,
    /// Names that compose gave to containers that were left alone, and the ids of those.
    pub(super) aliases: Vec<(String, String)>,
    /// The time at which the dev container was about to be made, for the first time.
    pub(super) made_from: Option<Timestamp>,
    /// True from the end of the operation on. Nothing is renamed any more.
    pub(super) is_closed: bool,
}

/// A container of the compose project that compose has stopped or removed.
pub(super) struct Parked {
    pub(super) original: Original,
    /// True once it seems to be removed.
    pub(super) is_removed: bool,
}

impl Rules {
    pub(super) fn new(plan: Plan, engine: Arc<Engine>, closing: Arc<Notifier>) -> Self {
        Self {
            plan,
            engine,
            closing,
            progress: Mutex::default(),
        }
    }

    /// Returns what was done to containers.
    pub(super) fn done(&self) -> Done {
        let progress = self.progress();
        let parked = progress.parked.iter();
        Done {
            parked: parked.map(|one| one.original.clone()).collect(),
            is_stopping: progress.is_stopping,
        }
    }

    /// Lets nothing be renamed from now on. Waits for a rename that is under way.
    pub(super) fn close(&self) {
        self.progress().is_closed = true;
    }

    /// Replaces a name that compose gave to a container that was left alone.
    pub(super) fn replace_alias(&self, request: &mut Request) {
        for (name, id) in &self.progress().aliases {
            let path = format!("/containers/{name}");
            let Some(at) = request.target.find(&path) else {
                continue;
            };
            let rest = request.target.get(at + path.len()..).unwrap_or_default();
            if rest.is_empty() || rest.starts_with(['/', '?']) {
                let before = request.target.get(..at).unwrap_or_default();
                request.target = format!("{before}/containers/{id}{rest}");
            }
        }
    }

    /// Makes a request for events include those since the dev container was about to be made. The CLI waits for its start,
    /// but not until docker has subscribed: on a busy machine, the container starts before.
    pub(super) fn extend_events(&self, request: &mut Request) {
        if let Some(made_from) = self.progress().made_from
            && let Some(target) = call::events_since(request, made_from)
        {
            request.target = target;
        }
    }

    /// Does what the rules say about a request. Returns the answer; `None` where the request is to be passed on.
    pub(super) fn decide(
        &self,
        request: &Request,
        client: &mut impl Read,
    ) -> io::Result<Option<Answer>> {
        match Call::of(request) {
            Call::List(labels) => self.list(request, &labels),
            Call::Inspect(container) => self.inspect(request, container),
            Call::Create => {
                let body = request.body(client)?;
                self.create(request, &body).map(Some)
            }
            Call::Act(act, container) => self.act(act, container),
            Call::Network => {
                let body = request.body(client)?;
                self.network(request, &body).map(Some)
            }
            Call::RemoveNetwork(network) => self.remove_network(network),
            // A container that is set aside must not be pruned.
            Call::Prune => Ok(Some(Answer::json(
                200,
                &json!({"ContainersDeleted": [], "NetworksDeleted": [], "SpaceReclaimed": 0}),
            ))),
            Call::Events | Call::Other => Ok(None),
        }
    }

    fn list(&self, request: &Request, labels: &[String]) -> io::Result<Option<Answer>> {
        let mut answer = self.engine.ask(request, &[])?;
        if answer.status == 200 {
            // So the CLI finds the container of its service, and compose 1 those of any.
            let of_a_service = labels
                .iter()
                .any(|label| label.starts_with(LABEL_COMPOSE_SERVICE));
            let shown = |one: &Listed<'_>| {
                let may_be_foreign = of_a_service && one.is_labelled;
                !(self.is_hidden(one.id) || may_be_foreign && self.is_foreign(one.id))
            };
            let renewed = |id: &str| self.plan.renews.iter().any(|one| one == id);
            if let Some(body) = edit::list(&answer.body, shown, renewed) {
                answer.body = body;
            }
        }
        Ok(Some(answer))
    }

    fn is_hidden(&self, id: &str) -> bool {
        let is_hidden = |one: &OwnContainer| one.is_hidden && one.id == id;
        self.plan.own.iter().any(is_hidden) || self.is_replaced(id) || self.is_removed(id)
    }

    pub(super) fn is_replaced(&self, id: &str) -> bool {
        self.plan.replaces.iter().any(|original| original.id == id)
    }

    pub(super) fn is_removed(&self, id: &str) -> bool {
        let progress = self.progress();
        let mut parked = progress.parked.iter();
        parked.any(|one| one.is_removed && one.original.id == id)
    }

    fn is_foreign(&self, id: &str) -> bool {
        let seen = self.see(id).ok().flatten();
        seen.is_some_and(|seen| matches!(self.role(&seen), Role::Foreign(_)))
    }

    fn inspect(&self, request: &Request, container: &str) -> io::Result<Option<Answer>> {
        if self.plan.renews.is_empty() && self.progress().parked.is_empty() {
            return Ok(None);
        }
        let Some(seen) = self.see(container)? else {
            return Ok(None);
        };
        if self.is_removed(&seen.id) {
            return Ok(Some(Answer::error(
                404,
                &format!("No such container: {container}"),
            )));
        }
        if !self.plan.renews.contains(&seen.id) {
            return Ok(None);
        }
        let mut answer = self.engine.ask(request, &[])?;
        if let Some(body) = edit::renewed(&answer.body) {
            answer.body = body;
        }
        Ok(Some(answer))
    }

    fn create(&self, request: &Request, body: &[u8]) -> io::Result<Answer> {
        let Some(new) = NewContainer::parse(body) else {
            return self.engine.ask(request, body);
        };
        let is_devcontainer = new
            .folder()
            .is_some_and(|folder| is_same_path(folder, &self.plan.folder));
        if is_devcontainer {
            self.progress().made_from.get_or_insert(Timestamp::now());
        }
        let service = new.service();
        if let Some(service) = &service
            && let Some((foreign, owner)) = self.foreign_of(service, new.working_dir())?
        {
            if is_devcontainer || matches!(owner, Owner::Project(_)) {
                let message = owner.refusal(&foreign, service);
                return Ok(Answer::error(409, &message));
            }
            self.leave_alone(&foreign, &owner);
            // To compose, it is as if it had been made again, under the name that compose asks for it by.
            let name = call::name_of_new(request).map(|name| (name, foreign.id.clone()));
            self.progress().aliases.extend(name);
            return Ok(Answer::json(
                201,
                &json!({"Id": foreign.id, "Warnings": []}),
            ));
        }
        if is_devcontainer {
            self.learn_project(service.as_ref(), new.working_dir());
            if let Err(e) = self.park_replaced() {
                let message = format!("the old container cannot be renamed: {e}");
                return Ok(Answer::error(500, &message));
            }
        } else if !service.as_ref().is_some_and(|service| {
            self.membership(&service.project, new.working_dir()) == Membership::Ours
        }) {
            return self.engine.ask(request, body);
        }
        let answer = self
            .engine
            .ask(request, &new.labelled(&self.plan.operation))?;
        if let Some(id) = edit::created_id(&answer.body).filter(|_| answer.status == 201) {
            let mut progress = self.progress();
            progress.made.push(id.clone());
            progress
                .made_devcontainers
                .extend(is_devcontainer.then_some(id));
        }
        Ok(answer)
    }

    fn act(&self, act: Act, container: &str) -> io::Result<Option<Answer>> {
        let Some(seen) = self.see(container)? else {
            return Ok(None);
        };
        match (self.role(&seen), act) {
            (Role::Made, Act::Start) => Ok(self.before_start(&seen.id)),
            (Role::Replaced, Act::Stop | Act::Remove) => Ok(Some(done(self.take_away_replaced()))),
            (Role::Foreign(_), Act::Start) => Ok(None),
            (Role::Foreign(owner), _) => {
                self.leave_alone(&seen, &owner);
                Ok(Some(Answer::done()))
            }
            (Role::Companion, act) => Ok(self.act_on_companion(act, container, seen)),
            (Role::Made | Role::Replaced | Role::Other, _) => Ok(None),
        }
    }

    /// Frees the ports of the old container before a new one is started.
    fn before_start(&self, id: &str) -> Option<Answer> {
        let is_devcontainer = self
            .progress()
            .made_devcontainers
            .iter()
            .any(|one| one == id);
        let stopped = match is_devcontainer {
            true => self.stop_replaced(),
            false => Ok(()),
        };
        let error = stopped.err()?;
        Some(Answer::error(
            500,
            &format!("the old container cannot be stopped: {error}"),
        ))
    }

    /// `container` is what the request names it by.
    fn act_on_companion(&self, act: Act, container: &str, seen: Snapshot) -> Option<Answer> {
        let is_running = seen.run_state.has_processes();
        let id = seen.id.clone();
        let is_removed = self.is_removed(&id);
        match act {
            Act::Change => None,
            _ if is_removed => Some(Answer::error(404, &format!("No such container: {id}"))),
            Act::Start => self.unpark(&id).err().map(|e| failed(&e)),
            Act::Stop => match self.park(seen) {
                Ok(()) if id.starts_with(container) => None,
                // The engine does not know it by its name any more.
                Ok(()) => Some(done(self.client().stop(&[&id]))),
                Err(e) => Some(failed(&e)),
            },
            Act::Rename => Some(done(self.park(seen))),
            Act::Remove => {
                let stopped = match is_running {
                    true => self.park(seen).and_then(|()| self.client().stop(&[&id])),
                    false => self.park(seen),
                };
                if stopped.is_ok() {
                    let mut progress = self.progress();
                    let parked = progress.parked.iter_mut().find(|one| one.original.id == id);
                    parked.into_iter().for_each(|one| one.is_removed = true);
                }
                Some(done(stopped))
            }
        }
    }

    fn network(&self, request: &Request, body: &[u8]) -> io::Result<Answer> {
        let named: Value = serde_json::from_slice(body).unwrap_or_default();
        let named = named.get("Container").and_then(Value::as_str);
        let seen = named.map(|id| self.see(id)).transpose()?.flatten();
        let Some(seen) = seen else {
            return self.engine.ask(request, body);
        };
        match self.role(&seen) {
            Role::Foreign(owner) => self.leave_alone(&seen, &owner),
            // It keeps its networks, as it may come back.
            Role::Replaced | Role::Companion if self.is_set_aside(&seen.id) => {}
            _ => return self.engine.ask(request, body),
        }
        Ok(Answer::json(200, &json!({})))
    }

    /// A network of the compose project stays while containers of it are set aside, which may come back.
    fn remove_network(&self, network: &str) -> io::Result<Option<Answer>> {
        if !self.has_set_aside() {
            return Ok(None);
        }
        let found = self.engine.get(&format!("/networks/{network}"))?;
        let found: Value = serde_json::from_slice(&found.unwrap_or_default()).unwrap_or_default();
        let project = found.pointer(&format!("/Labels/{LABEL_COMPOSE_PROJECT}"));
        let is_ours = project
            .and_then(Value::as_str)
            .is_some_and(|name| self.membership(name, None) == Membership::Ours);
        Ok(is_ours.then(Answer::done))
    }

    fn leave_alone(&self, seen: &Snapshot, owner: &Owner) {
        let mut progress = self.progress();
        if !progress.left_alone.contains(&seen.id) {
            progress.left_alone.push(seen.id.clone());
            let name = &seen.name;
            (self.plan.say)(&format!("container {name} is left alone: it {owner}"));
        }
    }

    /// Finds the container that a request names.
    pub(super) fn see(&self, container: &str) -> io::Result<Option<Snapshot>> {
        let Some(json) = self.engine.get(&format!("/containers/{container}/json"))? else {
            return Ok(None);
        };
        let image = |id: &str| self.engine.get(&format!("/images/{id}/json"));
        Snapshot::from_api(&json, image).map(Some)
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done(result: Result<(), docker::Error>) -> Answer {
    match result {
        Ok(()) => Answer::done(),
        Err(e) => failed(&e),
    }
}

fn failed(error: &docker::Error) -> Answer {
    Answer::error(500, &error.to_string())
}
