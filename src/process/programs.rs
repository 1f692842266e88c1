//! The paths of docker and the devcontainer CLI.

use std::path::{Path, PathBuf};

use crate::process;

/// The programs that the command line names.
#[derive(Clone, Debug)]
pub struct Programs {
    docker: Option<PathBuf>,
    devcontainer: Option<PathBuf>,
}

impl Programs {
    /// Takes the paths or names of the programs. `None` stands for the default name on `PATH`.
    pub fn new(docker: Option<PathBuf>, devcontainer: Option<PathBuf>) -> Self {
        Self {
            docker,
            devcontainer,
        }
    }

    /// Returns docker, or podman if only podman is installed. `PATH` is searched on each call, because a program may be
    /// installed while the daemon runs.
    pub fn docker(&self) -> PathBuf {
        if let Some(named) = &self.docker {
            return named.clone();
        }
        let names = ["docker", "podman"].map(Path::new);
        let found = names.into_iter().find(|name| process::find(name).is_some());
        found.unwrap_or(Path::new("docker")).to_path_buf()
    }

    /// Returns the compose program for a docker without a `compose` command.
    pub fn compose(&self) -> PathBuf {
        let podman_compose = Path::new("podman-compose");
        let is_podman = self
            .docker()
            .file_name()
            .is_some_and(|name| name == "podman");
        if is_podman && process::find(podman_compose).is_some() {
            podman_compose.into()
        } else {
            "docker-compose".into()
        }
    }

    /// Returns the devcontainer CLI.
    pub fn devcontainer(&self) -> PathBuf {
        let default = || PathBuf::from("devcontainer");
        self.devcontainer.clone().unwrap_or_else(default)
    }

    /// Returns a message for each program that is not installed.
    pub fn missing(&self) -> Vec<String> {
        let docker = (self.docker(), "docker", "--docker");
        let devcontainer = (self.devcontainer(), "devcontainer CLI", "--devcontainer");
        [docker, devcontainer]
            .into_iter()
            .filter(|(program, ..)| process::find(program).is_none())
            .map(|(program, name, flag)| {
                let program = program.display();
                format!("{name}: {program} was not found; install it, or name it with {flag}")
            })
            .collect()
    }
}
