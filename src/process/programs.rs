//! Where docker and the devcontainer CLI are.

use std::path::{Path, PathBuf};

use crate::process;

/// The two programs, as the command line names them.
#[derive(Clone, Debug)]
pub struct Programs {
    docker: Option<PathBuf>,
    devcontainer: Option<PathBuf>,
}

impl Programs {
    /// `None` stands for the program of the usual name on `PATH`.
    pub fn new(docker: Option<PathBuf>, devcontainer: Option<PathBuf>) -> Self {
        Self {
            docker,
            devcontainer,
        }
    }

    /// docker, or podman where only that is there. Looked for each time: it may be installed while we run.
    pub fn docker(&self) -> PathBuf {
        if let Some(named) = &self.docker {
            return named.clone();
        }
        let usual = ["docker", "podman"].map(Path::new);
        let found = usual.into_iter().find(|name| process::find(name).is_some());
        found.unwrap_or(Path::new("docker")).to_path_buf()
    }

    /// docker-compose, where docker has no `compose` of its own.
    pub fn compose(&self) -> PathBuf {
        let is_podman = self
            .docker()
            .file_name()
            .is_some_and(|name| name == "podman");
        let of_podman = Path::new("podman-compose");
        match is_podman && process::find(of_podman).is_some() {
            true => of_podman.into(),
            false => "docker-compose".into(),
        }
    }

    /// The devcontainer CLI.
    pub fn devcontainer(&self) -> PathBuf {
        let usual = || PathBuf::from("devcontainer");
        self.devcontainer.clone().unwrap_or_else(usual)
    }

    /// What is missing, and the mend.
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
