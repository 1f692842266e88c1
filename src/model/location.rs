//! Where a dev container is: its folder and configuration as written, resolved on disk, and as the CLI gets them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use uuid::Uuid;

use super::inputs::FileId;
use super::up_arg::UpArg;

pub use super::access::{Access, Why};

/// The length of the longest path, in bytes, with its final NUL (PATH_MAX of Linux).
pub const MAX_PATH: usize = 4096;

/// Folder and configuration as a label or the manifest has them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Declared {
    /// The workspace folder.
    pub folder: PathBuf,
    /// The configuration; `None` lets the search order find it.
    pub config: Option<PathBuf>,
    /// The author of both.
    pub source: Source,
}

impl Declared {
    /// The folder, and the configuration if one is named.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [Some(&*self.folder), self.config.as_deref()]
            .into_iter()
            .flatten()
    }

    /// Returns the first of the paths that leads upwards by `..`.
    pub fn leading_upwards(&self) -> Option<&Path> {
        let has_parent_part =
            |path: &&Path| path.components().any(|part| part == Component::ParentDir);
        self.paths().find(has_parent_part)
    }
}

/// The author of a path, which decides how far the path is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The operator of the daemon.
    Predefined,
    /// The operator for the folder, and a label for the configuration in it.
    PredefinedFolder,
    /// A client, which has asked for the folder to be listed.
    Request,
    /// A search below a directory that the operator has named.
    Discovery,
    /// A label, which any image can set.
    Label,
}

impl Source {
    /// Returns whether the operator has named the folder, so that it is looked at wherever it is.
    pub fn is_operator(self) -> bool {
        matches!(self, Self::Predefined | Self::PredefinedFolder)
    }
}

/// Folder and configuration of a dev container, resolved on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The workspace folder without symbolic links.
    pub folder: PathBuf,
    /// True if the folder is an existing directory.
    pub folder_exists: bool,
    /// The directory that the folder is; `None` where there is none, or where it was not looked at.
    pub directory: Option<FileId>,
    /// The configuration as it was declared, or as the search found it.
    pub config: Option<PathBuf>,
    /// The configuration without symbolic links.
    pub canonical_config: Option<PathBuf>,
    /// The operations that are allowed.
    pub access: Access,
    /// True if the files that it is made from may be read: see [`Access`].
    pub may_be_scanned: bool,
}

impl Resolved {
    /// Returns why the inputs are not scanned, and the mend; `None` where they are.
    pub fn why_unscanned(&self) -> Option<String> {
        if self.folder_exists && self.may_be_scanned {
            let searched = || {
                format!(
                    "the workspace folder {} has no configuration in a place where the devcontainer CLI looks for it \
                     (.devcontainer/devcontainer.json, .devcontainer.json)",
                    self.folder.display()
                )
            };
            return self.config.is_none().then(searched);
        }
        self.access.why_no_up().map(Why::to_string)
    }

    /// The paths to scan for changes of the inputs; `folder` is the workspace folder as declared. `None` where there is
    /// no configuration, or where it may not be read.
    pub fn cli_paths(&self, folder: &Path) -> Option<CliPaths> {
        let config = self.config.as_deref().filter(|_| self.may_be_scanned)?;
        Some(CliPaths {
            folder: normal(folder),
            config: normal(config),
        })
    }

    /// The place of a dev container by its words alone, as far as these say it.
    pub fn as_written(declared: &Declared) -> Self {
        let config = declared.config.clone();
        Self {
            folder: normal(&declared.folder),
            folder_exists: true,
            directory: None,
            canonical_config: config.as_deref().map(normal),
            config,
            access: Access::Full,
            may_be_scanned: false,
        }
    }

    /// Takes that the file system of the workspace folder does not answer. `folder` is the folder as declared.
    pub fn become_silent(&mut self, folder: &Path) {
        self.access = Access::None(Why::Silent(folder.to_path_buf()));
        self.may_be_scanned = false;
    }

    /// Returns whether both are one dev container.
    pub fn is_same(&self, other: &Self) -> bool {
        // Compared as text, since they have no `.` and `..`: comparing paths goes part by part, which takes longer.
        let config = self.canonical_config.as_deref().map(Path::as_os_str);
        let others = other.canonical_config.as_deref().map(Path::as_os_str);
        config == others && self.folder.as_os_str() == other.folder.as_os_str()
    }
}

/// Folder and configuration as the CLI uses them: without `.` and `..`, but with symbolic links, which the CLI does not
/// resolve either.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CliPaths {
    /// The workspace folder.
    pub folder: PathBuf,
    /// The configuration.
    pub config: PathBuf,
}

impl CliPaths {
    /// The directory of the configuration, to which paths in the configuration are relative.
    pub fn directory(&self) -> &Path {
        self.config.parent().unwrap_or(Path::new("/"))
    }

    /// The name of an input: its path relative to the configuration if it is in the workspace folder, so that the name
    /// does not depend on how the path of the folder is written; otherwise its path.
    pub fn name_of<'a>(&self, path: &'a Path) -> Cow<'a, Path> {
        if path.starts_with(&self.folder) {
            relative(path, self.directory())
        } else {
            path.into()
        }
    }

    /// The path of an input by its name.
    pub fn path_of(&self, name: &Path) -> PathBuf {
        let directory = self.directory().to_path_buf();
        name.components().fold(directory, append)
    }

    /// The file in which the CLI keeps the digests of features. It is hidden if the configuration is.
    pub fn lock_file(&self) -> PathBuf {
        let config = self.config.file_name().unwrap_or_default();
        let is_hidden = config.as_bytes().starts_with(b".");
        self.directory().join(if is_hidden {
            ".devcontainer-lock.json"
        } else {
            "devcontainer-lock.json"
        })
    }
}

/// `path` without `.` and `..`, by its text alone, as in the CLI.
pub fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), append)
}

/// Appends one part to `path`, by its text alone.
pub fn append(mut path: PathBuf, part: Component<'_>) -> PathBuf {
    match part {
        Component::CurDir => {}
        Component::ParentDir => {
            path.pop();
        }
        part => path.push(part),
    }
    path
}

/// `path` relative to `directory`; both without `.` and `..`.
fn relative<'a>(path: &'a Path, directory: &Path) -> Cow<'a, Path> {
    // Most paths are below the directory, which can be seen without comparing part by part.
    let bytes = path.as_os_str().as_bytes();
    let below = bytes.strip_prefix(directory.as_os_str().as_bytes());
    if let Some(below) = below.and_then(|below| below.strip_prefix(b"/")) {
        return Path::new(OsStr::from_bytes(below)).into();
    }
    let pairs = path.components().zip(directory.components());
    let shared = pairs.take_while(|(a, b)| a == b).count();
    let up = directory
        .components()
        .skip(shared)
        .map(|_| Component::ParentDir);
    let rest = path.components().skip(shared);
    let relative: PathBuf = up.chain(rest).collect();
    if relative.as_os_str().is_empty() {
        Path::new(".").into()
    } else {
        relative.into()
    }
}

/// A dev container that the operator has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predefined {
    /// Its id, where the manifest gives one.
    pub id: Option<Uuid>,
    /// Its name, where the manifest gives one.
    pub name: Option<String>,
    /// The workspace folder; an absolute path.
    pub folder: PathBuf,
    /// The configuration; an absolute path.
    pub config: Option<PathBuf>,
    /// The id of the log that its operations write to, where the manifest gives one.
    pub log_source: Option<Uuid>,
    /// Additional arguments of `devcontainer up`.
    pub up_args: Vec<UpArg>,
    /// True if it is started when the daemon starts.
    pub autostart: bool,
}

impl Predefined {
    /// A dev container of which only the folder is known.
    pub fn folder(folder: PathBuf) -> Self {
        Self {
            id: None,
            name: None,
            folder,
            config: None,
            log_source: None,
            up_args: Vec::new(),
            autostart: false,
        }
    }

    /// Its folder and configuration.
    pub fn declared(&self) -> Declared {
        Declared {
            folder: self.folder.clone(),
            config: self.config.clone(),
            source: Source::Predefined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> CliPaths {
        CliPaths {
            folder: "/w".into(),
            config: "/w/.devcontainer/devcontainer.json".into(),
        }
    }

    #[test]
    fn the_lock_file_of_a_hidden_configuration_is_hidden() {
        let lock = |config: &str| {
            CliPaths {
                config: config.into(),
                ..paths()
            }
            .lock_file()
        };
        assert_eq!(
            lock("/w/.devcontainer.json"),
            Path::new("/w/.devcontainer-lock.json")
        );
        assert_eq!(
            paths().lock_file(),
            Path::new("/w/.devcontainer/devcontainer-lock.json")
        );
    }

    #[test]
    fn paths_are_written_as_in_the_directory_of_the_configuration() {
        for (path, expected) in [
            ("/w/.devcontainer/D", "D"),
            ("/w/.devcontainer/a/b", "a/b"),
            ("/w/D", "../D"),
            ("/x/D", "../../x/D"),
            ("/w/.devcontainer", "."),
        ] {
            let found = relative(Path::new(path), paths().directory());
            assert_eq!(found, Path::new(expected));
            assert_eq!(normal(&paths().directory().join(found)), Path::new(path));
        }
    }

    #[test]
    fn names_lead_back_to_paths() {
        for (path, name) in [
            ("/w/.devcontainer/D", "D"),
            ("/w/D", "../D"),
            ("/other/D", "/other/D"),
        ] {
            assert_eq!(paths().name_of(Path::new(path)), Path::new(name));
            assert_eq!(paths().path_of(Path::new(name)), Path::new(path));
        }
    }
}
