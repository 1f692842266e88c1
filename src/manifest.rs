//! The manifest: dev containers that are known before they have a container.
//!
//! It is a JSON file:
//!
//! ```json
//! {
//!   "devcontainers": [
//!     {"id": "UUID", "name": "…", "workspace_folder": "~/project", "config_path": ".devcontainer/devcontainer.json",
//!      "up_args": ["--mount", "type=bind,source=/a,target=/b"], "autostart": true}
//!   ],
//!   "scripts": [{"id": "UUID", "log_source_id": "UUID"}]
//! }
//! ```
//!
//! Only `workspace_folder` is required. A relative `config_path` is relative to it. In both, a leading `~`, `$NAME` and
//! `${NAME}` are replaced. The script with the id of a dev container gives the id of the log that its operations write
//! to. `up_args` are additional arguments of `devcontainer up`. One with `autostart` is started when the daemon starts.
//! Unknown fields are errors.

mod expand;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::path::{Path, PathBuf};
use std::{fmt, io};

use serde::Deserialize;
use uuid::Uuid;

use self::expand::{Environment, ExpandError, expand};
use crate::model::location::Predefined;
use crate::model::up_arg::{UpArg, UpArgError};

/// The size of the largest manifest, in bytes.
const MAX_SIZE: u64 = 4 << 20;
/// The smallest manifest with a dev container.
const EXAMPLE: &str = r#"it should be {"devcontainers":[{"workspace_folder":"…"}]}"#;

/// The content of a manifest.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The dev containers, in the order of the manifest.
    pub devcontainers: Vec<Predefined>,
    /// Contradictions that leave the manifest usable.
    pub errors: Vec<String>,
}

/// A manifest that cannot be used.
#[derive(Debug)]
pub struct ManifestError {
    path: PathBuf,
    cause: Cause,
}

/// The cause why a manifest cannot be used.
#[derive(Debug)]
enum Cause {
    Read(io::Error),
    NotAFile,
    NotAnObject,
    Json(serde_json::Error),
    Entry { index: usize, cause: EntryError },
}

/// The cause why an entry of `devcontainers` cannot be used.
#[derive(Debug)]
enum EntryError {
    Expand(ExpandError),
    Relative(String),
    UpArg(String, UpArgError),
    DuplicateId,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::NotAFile => write!(
                f,
                "it is not a regular file, or larger than {} MiB",
                MAX_SIZE >> 20
            ),
            Self::NotAnObject => write!(f, "it is not a JSON object; {EXAMPLE}"),
            Self::Json(error) => write!(f, "{error}; {EXAMPLE}"),
            Self::Entry { index, cause } => write!(f, "devcontainers[{index}]: {cause}"),
        }
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expand(error) => error.fmt(f),
            Self::Relative(folder) => {
                write!(f, "workspace_folder {folder:?} is not an absolute path")
            }
            Self::UpArg(text, error) => write!(f, "up_args {text:?}: {error}"),
            Self::DuplicateId => f.write_str("its id is used twice"),
        }
    }
}

impl std::error::Error for ManifestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Read(error) => Some(error),
            Cause::Json(error) => Some(error),
            Cause::Entry {
                cause: EntryError::Expand(error),
                ..
            } => Some(error),
            Cause::Entry { .. } | Cause::NotAFile | Cause::NotAnObject => None,
        }
    }
}

impl From<ExpandError> for EntryError {
    fn from(error: ExpandError) -> Self {
        Self::Expand(error)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    devcontainers: Vec<Entry>,
    #[serde(default)]
    scripts: Option<Vec<Script>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Option<Uuid>,
    name: Option<String>,
    workspace_folder: String,
    config_path: Option<String>,
    #[serde(default)]
    up_args: Vec<String>,
    #[serde(default)]
    autostart: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    id: Uuid,
    /// A value of any kind, since a bad one is no reason to have no dev containers.
    #[serde(default)]
    log_source_id: serde_json::Value,
}

impl Script {
    /// The source, if it is a UUID that can name one.
    fn log_source(&self) -> Option<Uuid> {
        let text = self.log_source_id.as_str()?;
        Uuid::parse_str(text).ok().filter(|id| !id.is_nil())
    }
}

impl Manifest {
    /// Reads the manifest at `path`.
    ///
    /// # Errors
    ///
    /// It cannot be read, is not JSON of this form, has a variable that is not set, a relative folder or an argument that
    /// may not be given, or has an id twice.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let read = || {
            let metadata = std::fs::metadata(path).map_err(Cause::Read)?;
            if !metadata.is_file() || metadata.len() > MAX_SIZE {
                return Err(Cause::NotAFile);
            }
            let content = std::fs::read(path).map_err(Cause::Read)?;
            Self::parse(&content, &|name| std::env::var(name).ok())
        };
        read().map_err(|cause| ManifestError {
            path: path.to_path_buf(),
            cause,
        })
    }

    fn parse(content: &[u8], variable: Environment<'_>) -> Result<Self, Cause> {
        // serde accepts an array in place of an object.
        if !content.trim_ascii_start().starts_with(b"{") {
            return Err(Cause::NotAnObject);
        }
        let file: File = serde_json::from_slice(content).map_err(Cause::Json)?;
        let scripts = file.scripts.as_deref().unwrap_or_default();
        let mut devcontainers: Vec<Predefined> = Vec::new();
        for (index, entry) in file.devcontainers.iter().enumerate() {
            let error = |cause| Cause::Entry { index, cause };
            let devcontainer = entry.resolve(scripts, variable).map_err(error)?;
            let has_its_id =
                |earlier: &Predefined| earlier.id.is_some() && earlier.id == devcontainer.id;
            if devcontainers.iter().any(has_its_id) {
                return Err(error(EntryError::DuplicateId));
            }
            devcontainers.push(devcontainer);
        }
        let errors = file.contradictions(&devcontainers);
        Ok(Self {
            devcontainers,
            errors,
        })
    }
}

impl File {
    /// Dev containers without a script, if there are scripts, scripts without a dev container, and scripts without a
    /// source.
    fn contradictions(&self, devcontainers: &[Predefined]) -> Vec<String> {
        let Some(scripts) = &self.scripts else {
            return Vec::new();
        };
        let without_script = devcontainers
            .iter()
            .filter(|devcontainer| {
                let mut ids = scripts.iter().map(|script| Some(script.id));
                ids.all(|id| id != devcontainer.id)
            })
            .map(|devcontainer| {
                format!(
                    "no script has the id of dev container {}; its log goes to the fallback source",
                    devcontainer.folder.display()
                )
            });
        let without_devcontainer = scripts
            .iter()
            .filter(|script| devcontainers.iter().all(|one| one.id != Some(script.id)))
            .map(|script| format!("script {} names no dev container", script.id));
        let without_source = scripts
            .iter()
            .filter(|script| script.log_source().is_none())
            .map(|script| {
                format!(
                    "the log_source_id of script {} is {}, and should be a UUID that is not nil; its log goes to the fallback \
                     source",
                    script.id, script.log_source_id
                )
            });
        let all = without_script.chain(without_devcontainer);
        all.chain(without_source).collect()
    }
}

impl Entry {
    fn resolve(
        &self,
        scripts: &[Script],
        variable: Environment<'_>,
    ) -> Result<Predefined, EntryError> {
        let folder = PathBuf::from(expand(&self.workspace_folder, variable)?);
        if !folder.is_absolute() {
            return Err(EntryError::Relative(self.workspace_folder.clone()));
        }
        let config = match self.config_path.as_deref() {
            None | Some("") => None,
            Some(config) => Some(folder.join(expand(config, variable)?)),
        };
        let script = scripts.iter().find(|script| Some(script.id) == self.id);
        let up_args = self.up_args.iter().map(|text| {
            let parsed = UpArg::parse(text);
            parsed.map_err(|error| EntryError::UpArg(text.clone(), error))
        });
        Ok(Predefined {
            id: self.id,
            name: self.name.clone().filter(|name| !name.is_empty()),
            folder,
            config,
            log_source: script.and_then(Script::log_source),
            up_args: up_args.collect::<Result<_, _>>()?,
            autostart: self.autostart,
        })
    }
}

#[cfg(test)]
mod tests;
