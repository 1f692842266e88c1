//! Lists dev containers that clients ask for, and forgets them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, Silent};
use super::persist::Persister;
use super::shared::Shared;
use crate::base::event::{Event, Value};
use crate::devcontainer::config::search;
use crate::devcontainer::resolve::{canonical, is_below, resolve};
use crate::model::ids::Key;
use crate::model::location::{Declared, Resolved, Source, Why, normal};
use crate::model::origin::Origin;
use crate::state::{Added, KeptListed};

/// Lists what clients ask for.
pub struct Registry {
    /// The state that lists it.
    pub shared: Arc<Shared>,
    /// The workspace folders.
    pub disk: Arc<Disk>,
    /// Saves what was asked for.
    pub persister: Arc<Persister>,
}

/// The reason why a dev container is not listed.
#[derive(Debug, PartialEq, Eq)]
pub enum AddError {
    /// Clients may not ask for the folder or the configuration, for this reason.
    NotAllowed(String),
    /// The folder does not exist, as this reason says.
    NoFolder(String),
    /// The folder has no configuration, or not this one.
    NoConfig {
        /// The workspace folder.
        folder: PathBuf,
        /// The configuration that was named.
        named: Option<PathBuf>,
    },
    /// The folder has several configurations, and none is named.
    SeveralConfigs(Vec<PathBuf>),
    /// The file system of the folder does not answer, as this reason says.
    Silent(String),
    /// As many dev containers were asked for as may be: this number.
    TooMany(usize),
}

impl Registry {
    /// Lists the dev container in a folder, which is an absolute path, with a configuration, which may be relative to it, until
    /// it is forgotten. Returns it, and whether it is new.
    pub fn add(
        &self,
        folder: PathBuf,
        config: Option<PathBuf>,
        origin: &Origin,
    ) -> Result<(Key, bool), AddError> {
        let declared = Declared {
            config: config.map(|config| folder.join(config)),
            folder,
            source: Source::Request,
        };
        let wanted = declared.clone();
        let added = self.add_declared(declared);
        match &added {
            Ok((key, is_new)) => {
                let outcome = if *is_new { "listed" } else { "listed already" };
                self.log(Event::Registered, *key, origin, ("outcome", outcome));
            }
            Err(why) => {
                let folder = wanted.folder.to_string_lossy();
                let config = wanted.config.as_ref().map(|one| one.to_string_lossy());
                let why = why.to_string();
                let fields = [
                    ("folder", Value::Text(&folder)),
                    ("config", config.as_deref().into()),
                    ("reason", Value::Text(&why)),
                ];
                Event::RegisterRefused.log_with(&origin.fields(), &fields);
            }
        }
        added
    }

    fn add_declared(&self, declared: Declared) -> Result<(Key, bool), AddError> {
        let silent = Why::Silent(declared.folder.clone());
        let roots = self.disk.roots();
        let wanted = declared.clone();
        let found = self.disk.at(&declared, move || find(&wanted, &roots));
        let found = found.map_err(|Silent| AddError::Silent(silent.to_string()))?;
        let (declared, resolved) = found?;
        let added = self.shared.update(|state| state.add(&declared, resolved));
        let (key, is_new) = match added {
            Added::New(key) => (key, true),
            Added::Known(key) => (key, false),
            Added::TooMany(number) => return Err(AddError::TooMany(number)),
        };
        self.persister.save_what_is_new();
        Ok((key, is_new))
    }

    /// Forgets that a dev container was asked for.
    pub fn forget(&self, key: Key, origin: &Origin) -> Result<(), KeptListed> {
        let identity = self.shared.read(|state| state.identity(key));
        let forgotten = self.shared.update(|state| state.forget_requested(key));
        self.persister.save_what_is_new();
        if let Some(identity) = identity {
            match &forgotten {
                Ok(()) => log(
                    Event::Forgotten,
                    &identity,
                    origin,
                    ("outcome", "forgotten"),
                ),
                Err(why) => {
                    let why = why.to_string();
                    log(Event::ForgetRefused, &identity, origin, ("reason", &why));
                }
            }
        }
        forgotten
    }

    fn log(&self, event: Event, key: Key, origin: &Origin, more: (&'static str, &str)) {
        if let Some(identity) = self.shared.read(|state| state.identity(key)) {
            log(event, &identity, origin, more);
        }
    }

    /// Returns the folder that an absolute path leads to. One outside of the workspace roots is not looked at.
    pub fn folder(&self, path: &Path) -> Result<PathBuf, String> {
        let roots = self.disk.roots();
        let wanted = path.to_path_buf();
        let look = move || match normal(&wanted) {
            plain if is_below(&plain, &roots) => canonical(&wanted),
            plain => plain,
        };
        let found = self.disk.within(path, look);
        found.map_err(|Silent| Why::Silent(path.to_path_buf()).to_string())
    }
}

/// Logs an event of a dev container with one more field.
fn log(
    event: Event,
    (name, place): &(String, Resolved),
    origin: &Origin,
    (field, value): (&'static str, &str),
) {
    let folder = place.folder.to_string_lossy();
    let config = place.canonical_config.as_ref();
    let config = config.map(|config| config.to_string_lossy());
    let fields = [
        ("devcontainer", Value::Text(name)),
        ("folder", Value::Text(&folder)),
        ("config", config.as_deref().into()),
        (field, Value::Text(value)),
    ];
    event.log_with(&origin.fields(), &fields);
}

/// Finds the dev container that a client asks for on disk.
fn find(declared: &Declared, roots: &[PathBuf]) -> Result<(Declared, Resolved), AddError> {
    let mut declared = declared.clone();
    let mut resolved = allowed(&declared, roots)?;
    if declared.config.is_none() {
        let mut all = search::all(&declared.folder, Path::is_file);
        declared.config = match all.len() {
            0 | 1 => all.pop(),
            _ => return Err(AddError::SeveralConfigs(all)),
        };
        resolved = allowed(&declared, roots)?;
    }
    let config = resolved.canonical_config.as_deref();
    if !config.is_some_and(Path::is_file) {
        return Err(AddError::NoConfig {
            folder: declared.folder,
            named: declared.config,
        });
    }
    Ok((declared, resolved))
}

/// Resolves a place where operations are allowed.
fn allowed(declared: &Declared, roots: &[PathBuf]) -> Result<Resolved, AddError> {
    let resolved = resolve(declared, roots);
    match resolved.access.why_no_up() {
        None => Ok(resolved),
        Some(why @ Why::Missing(_)) => Err(AddError::NoFolder(why.to_string())),
        Some(why) => Err(AddError::NotAllowed(why.to_string())),
    }
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed(why) | Self::NoFolder(why) | Self::Silent(why) => f.write_str(why),
            Self::NoConfig {
                folder,
                named: Some(named),
            } => write!(
                f,
                "the configuration {} is not an existing file; config_path is relative to the workspace folder {}, or absolute",
                named.display(),
                folder.display()
            ),
            Self::NoConfig {
                folder,
                named: None,
            } => write!(
                f,
                "the workspace folder {} has no configuration: neither .devcontainer/devcontainer.json, nor \
                 .devcontainer.json, nor .devcontainer/NAME/devcontainer.json; create one",
                folder.display()
            ),
            Self::SeveralConfigs(configs) => {
                let configs = configs.iter().map(|one| one.display().to_string());
                let configs: Vec<String> = configs.collect();
                write!(
                    f,
                    "the workspace folder has several configurations; name one of them as config_path: {}",
                    configs.join(", ")
                )
            }
            Self::TooMany(number) => write!(
                f,
                "{number} dev containers were asked for; forget some by DELETE /devcontainers/ID?forget=true"
            ),
        }
    }
}
