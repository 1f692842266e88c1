//! The way on which the programs of an operation reach docker: through a proxy for the engine's socket, or, where a
//! program like podman has no engine, through a stand-in for its command line.

use std::io;
use std::path::Path;
use std::process::Command;

use super::failure::Failure;
use super::run::OperationRun;
use crate::devcontainer::cli::arguments::Up;
use crate::devcontainer::cli::names::TrueNames;
use crate::docker::{self, Client, Endpoint, Snapshot};
use crate::model::labels::IdLabels;
use crate::model::location::normal;
use crate::model::operation::OperationKind;
use crate::model::original::Original;
use crate::model::project::Project;
use crate::proxy::{self, OwnContainer, Proxy};
use crate::shim;

/// Variables with the seconds for which compose 1 waits for an answer. That to the start of the new container comes once
/// the old one has been stopped.
const TIMEOUTS_OF_COMPOSE: [&str; 2] = ["COMPOSE_HTTP_TIMEOUT", "DOCKER_CLIENT_TIMEOUT"];
const TIMEOUT_OF_COMPOSE: &str = "3600";
/// The name of an engine without a socket on this machine.
const REMOTE_ENGINE: &str = "docker";

/// The containers that an operation acts on, and those that it must know.
pub(super) struct Scope {
    /// The containers that the new one replaces.
    pub(super) originals: Vec<Original>,
    /// The other containers of the dev container.
    own: Vec<OwnContainer>,
    /// The ids of containers in the namespaces of the originals.
    renews: Vec<String>,
    projects: Vec<Project>,
    /// The engine, where docker has one.
    pub(super) endpoint: Option<Endpoint>,
}

/// The way on which programs reach docker, while it is open.
pub(super) enum Way {
    /// Through a proxy for the socket of the engine.
    Proxy { proxy: Proxy, engine: String },
    /// Through a stand-in for the command line.
    Shim(shim::Plan),
}

impl OperationRun {
    /// Asks docker for the containers that concern the operation.
    pub(super) fn find_scope(&self) -> Result<Scope, Failure> {
        let program = self.operations.programs.docker();
        // An engine on this machine answers all other questions faster than docker answers this one.
        let endpoint = self.docker(&program).endpoint()?;
        let docker = Client {
            socket: endpoint.as_ref().and_then(Endpoint::socket),
            ..self.docker(&program)
        };
        let mut found = self.find_containers(&docker)?;
        found.endpoint = endpoint;
        Ok(found)
    }

    fn find_containers(&self, docker: &Client<'_>) -> Result<Scope, Failure> {
        let targets = self.targets(docker)?;
        let replaces = self.kind == OperationKind::Recreate;
        let target = targets.target.filter(|one| !one.one_off);
        let all = targets.duplicates.iter().chain(&target);
        let mut projects: Vec<Project> = self.claims.clone();
        for one in all {
            let name = one.compose.as_ref().map(|service| service.project.clone());
            projects.extend(name.map(Project::Named));
            let directory = one.working_dir.as_ref().map(|path| normal(Path::new(path)));
            projects.extend(directory.map(Project::In));
        }
        let hidden = targets.duplicates.iter().map(|one| OwnContainer {
            id: one.id.clone(),
            is_hidden: true,
        });
        let mut own: Vec<OwnContainer> = hidden.collect();
        let (target, kept) = match replaces {
            true => (target, None),
            false => (None, target),
        };
        own.extend(kept.map(|one| OwnContainer {
            id: one.id,
            is_hidden: false,
        }));
        let renews = match &target {
            Some(target) => Self::find_joined(docker, target)?,
            None => Vec::new(),
        };
        Ok(Scope {
            originals: target.into_iter().map(Original::from).collect(),
            own,
            renews,
            projects,
            endpoint: None,
        })
    }

    /// Finds the services that live in the namespaces of `target`, or of another one of them.
    fn find_joined(docker: &Client<'_>, target: &Snapshot) -> Result<Vec<String>, docker::Error> {
        let Some(service) = &target.compose else {
            return Ok(Vec::new());
        };
        let members = docker.with_labels(&[service.project_label()])?;
        let members = docker.inspect(&members)?;
        let mut owners = vec![Original::from(target.clone())];
        let mut joined = Vec::new();
        while let Some(owner) = owners.pop() {
            for one in &members {
                if one.folder.is_none()
                    && one.is_joined_to(&owner.id, &owner.name)
                    && !joined.contains(&one.id)
                {
                    joined.push(one.id.clone());
                    owners.push(Original::from(one.clone()));
                }
            }
        }
        Ok(joined)
    }
}

impl Way {
    /// Opens the way for an operation.
    ///
    /// # Errors
    ///
    /// The socket of the proxy cannot be made.
    pub(super) fn open(run: &OperationRun, scope: Scope) -> io::Result<Self> {
        let programs = &run.operations.programs;
        let Some(endpoint) = scope.endpoint else {
            let (called_docker, called_compose) = shim::paths();
            let services = scope
                .originals
                .iter()
                .filter_map(|one| one.compose.as_ref());
            let service = services.map(|service| service.service.clone()).next();
            let hidden = scope.own.into_iter().filter(|one| one.is_hidden);
            return Ok(Self::Shim(shim::Plan {
                operation: run.id.clone(),
                called_docker,
                called_compose,
                docker: programs.docker(),
                compose: programs.compose(),
                service,
                hides: hidden.map(|one| one.id).collect(),
                replaces: scope.originals,
            }));
        };
        let journal = run.clone();
        let engine = match &endpoint {
            Endpoint::Socket(path) => path.display().to_string(),
            Endpoint::Remote => REMOTE_ENGINE.to_owned(),
        };
        let proxy = Proxy::start(proxy::Plan {
            operation: run.id.clone(),
            folder: match &run.subject.labels {
                Some(labels) => labels.folder.clone().into(),
                None => run.folder().to_path_buf(),
            },
            docker: programs.docker(),
            endpoint,
            replaces: scope.originals,
            own: scope.own,
            renews: scope.renews,
            projects: scope.projects,
            say: Box::new(move |text| journal.say(text)),
        })?;
        Ok(Self::Proxy { proxy, engine })
    }

    /// Returns the true names of what the CLI is given for them, as they stand in its messages and in docker's.
    pub(super) fn true_names(&self) -> TrueNames {
        let pairs = match self {
            Self::Proxy { proxy, engine } => {
                let socket = proxy.socket().display().to_string();
                let encoded = |path: &str| path.replace('/', "%2F");
                vec![
                    (encoded(&socket), encoded(engine)),
                    (socket, engine.clone()),
                ]
            }
            Self::Shim(plan) => {
                let path = |path: &Path| path.display().to_string();
                vec![
                    (path(&plan.called_compose), "docker-compose".to_owned()),
                    (path(&plan.called_docker), "docker".to_owned()),
                ]
            }
        };
        pairs.into_iter().collect()
    }

    /// The command line of the devcontainer CLI.
    pub(super) fn command(&self, run: &OperationRun) -> serde_json::Result<Command> {
        let programs = &run.operations.programs;
        let (docker, compose) = match self {
            Self::Proxy { .. } => (programs.docker(), programs.compose()),
            Self::Shim(plan) => (plan.called_docker.clone(), plan.called_compose.clone()),
        };
        let labels = run.subject.labels.as_ref().map(IdLabels::pairs);
        let up = Up {
            folder: run.folder(),
            config: run.declared.config.as_deref(),
            docker: &docker,
            compose: &compose,
            id_labels: labels.as_deref().unwrap_or_default(),
            more: run
                .operations
                .settings
                .up_args
                .iter()
                .chain(&run.subject.up_args),
            remove_existing: run.kind == OperationKind::Recreate,
        };
        let mut command = Command::new(programs.devcontainer());
        command.args(up.arguments());
        match self {
            Self::Proxy { proxy, .. } => {
                let mut host = std::ffi::OsString::from("unix://");
                host.push(proxy.socket());
                command.env("DOCKER_HOST", host);
                for variable in docker::VARIABLES_OF_CLIENT {
                    command.env_remove(variable);
                }
                for variable in TIMEOUTS_OF_COMPOSE {
                    if std::env::var_os(variable).is_none() {
                        command.env(variable, TIMEOUT_OF_COMPOSE);
                    }
                }
            }
            Self::Shim(plan) => {
                command.env(shim::VARIABLE, serde_json::to_string(plan)?);
            }
        }
        Ok(command)
    }

    /// Ends the way, and returns what was done on it; `None` where that is not known.
    pub(super) fn close(self) -> Option<proxy::Done> {
        match self {
            Self::Proxy { proxy, .. } => Some(proxy.finish()),
            Self::Shim(_) => None,
        }
    }
}
