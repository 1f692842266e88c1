//! How the devcontainer CLI (0.89) calls compose: `-f FILE…`, in the workspace folder, and `--env-file` where the
//! configuration names no files.

use std::path::{Path, PathBuf};

use super::files::Files;
use super::interpolation::{Lookup, interpolate};
use super::node::Node;
use super::{Kind, Read};
use crate::devcontainer::config::substitute::Environment;

/// The files that the CLI names where the configuration has an empty list. The second one may be missing.
const DEFAULT_FILE: &str = "docker-compose.yml";
const DEFAULT_OVERRIDE: &str = "docker-compose.override.yml";

const PROJECT_NAME: &str = "COMPOSE_PROJECT_NAME";

/// A call of compose.
#[derive(Debug)]
pub struct Call {
    /// The workspace folder, which is compose's working directory.
    folder: PathBuf,
    /// The compose files.
    pub(super) files: Vec<PathBuf>,
    /// The value of `--env-file`.
    env_file: Option<PathBuf>,
}

impl Call {
    /// The call for a configuration that names these files. Where these are none, `read` reads `.env` of the folder.
    pub fn new(
        folder: &Path,
        named: &[PathBuf],
        environment: Environment<'_>,
        read: Read<'_>,
    ) -> Self {
        let folder = folder.to_path_buf();
        if !named.is_empty() {
            return Self {
                folder,
                files: named.to_vec(),
                env_file: None,
            };
        }
        let path = folder.join(".env");
        let text = read(&path, Kind::Env).ok().flatten();
        let in_environment = environment("COMPOSE_FILE").and_then(|value| value.into_string().ok());
        let in_file = || value_in(text.as_deref()?, "COMPOSE_FILE");
        let listed = in_environment
            .filter(|list| !list.is_empty())
            .or_else(in_file);
        let files = match &listed {
            Some(list) => list.split(':').map(|file| folder.join(file)).collect(),
            None => [DEFAULT_FILE, DEFAULT_OVERRIDE]
                .map(|file| folder.join(file))
                .into(),
        };
        Self {
            folder,
            files,
            env_file: text.map(|_| path),
        }
    }

    /// The compose files that must exist.
    pub(super) fn required_files(&self) -> impl Iterator<Item = &Path> {
        let files = self.files.iter().map(PathBuf::as_path);
        files.filter(|file| *file != self.folder.join(DEFAULT_OVERRIDE))
    }

    /// The project's directory: that of the first file.
    pub fn directory(&self) -> PathBuf {
        let first = self.files.first().and_then(|first| first.parent());
        first.unwrap_or(&self.folder).to_path_buf()
    }

    /// The files of variables for the compose files, and whether they may be missing.
    pub(super) fn env_files(&self, environment: Environment<'_>) -> (Vec<PathBuf>, bool) {
        let text = |name: &str| environment(name).and_then(|value| value.into_string().ok());
        if let Some(file) = &self.env_file {
            return (vec![file.clone()], false);
        }
        if let Some(list) = text("COMPOSE_ENV_FILES").filter(|list| !list.is_empty()) {
            return (
                list.split(',').map(|file| self.folder.join(file)).collect(),
                false,
            );
        }
        let is_disabled = text("COMPOSE_DISABLE_ENV_FILE")
            .is_some_and(|value| ["1", "t", "true"].contains(&value.to_lowercase().as_str()));
        let default = (!is_disabled).then(|| self.directory().join(".env"));
        (default.into_iter().collect(), true)
    }

    /// A variable of compose's environment. The working directory is that of the CLI, not the daemon's.
    pub(super) fn variable(&self, name: &str, environment: Environment<'_>) -> Option<String> {
        match name {
            "PWD" => Some(self.folder.display().to_string()),
            _ => environment(name)?.into_string().ok(),
        }
    }

    /// The name that the project has for compose, and whether a compose file says it.
    pub(super) fn name(&self, files: &mut Files<'_>, variables: Lookup<'_>) -> (String, bool) {
        let mut named = None;
        for file in &self.files {
            let documents = files.documents(file);
            let documents = documents.iter().flat_map(|documents| documents.iter());
            let names = documents.filter_map(|one| one.map()?.get("name").and_then(Node::text));
            for name in names.filter(|name| !name.is_empty()) {
                named = Some(name.to_owned());
            }
        }
        let is_named = named.is_some();
        let given = variables(PROJECT_NAME).filter(|name| !name.is_empty());
        let name = given.or_else(|| interpolate(&named?, variables).ok());
        let name = name.unwrap_or_else(|| {
            let directory = self.directory();
            let base = directory.file_name().unwrap_or_default().to_string_lossy();
            normalized(&base).trim_start_matches(['-', '_']).to_owned()
        });
        (name, is_named)
    }
}

/// The value of a variable in the text of `.env`, as the CLI finds it.
pub fn value_in(text: &str, name: &str) -> Option<String> {
    let mut lines = text.split(['\n', '\r']);
    let value = lines.find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix('=')
            .filter(|value| !value.is_empty())
    })?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// `name` with the characters that a project's name may have.
pub fn normalized(name: &str) -> String {
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    name.to_lowercase().chars().filter(allowed).collect()
}
