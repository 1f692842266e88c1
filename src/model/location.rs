//! Where a dev container is: paths resolved on disk, and whether its folder may be operated on.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use uuid::Uuid;

/// Where the labels of a container, or an entry, point: what has to be resolved on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// As it was written.
    pub folder: PathBuf,
    /// As it was written; `None` lets the search order find it.
    pub config: Option<PathBuf>,
    /// Who wrote it.
    pub source: Source,
}

/// Folder and configuration of a dev container, resolved on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The workspace folder without symbolic links.
    pub folder: PathBuf,
    /// Whether that is an existing directory.
    pub folder_exists: bool,
    /// The configuration as it was given, or as the search found it.
    pub config: Option<PathBuf>,
    /// The same without symbolic links.
    pub canonical_config: Option<PathBuf>,
    /// Whether it may be looked at: all of it is where it may be, though it need not exist.
    pub may_be_looked_at: bool,
    /// Why it may not be operated on, if so.
    pub refused: Option<String>,
    /// Why nothing may be done to its containers either, if so.
    pub outside: Option<String>,
}

/// Who named a folder, and with that how far it is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Whoever started the daemon.
    Predefined,
    /// A label, which any image can set.
    Label,
}

impl Resolved {
    /// What to look at to learn whether its container is up to date. `None`: it has no configuration, or may not be
    /// looked at.
    pub fn site(&self, folder: &Path) -> Option<CliPaths> {
        let config = self.config.as_deref().filter(|_| self.may_be_looked_at)?;
        Some(CliPaths {
            folder: normal(folder),
            config: normal(config),
        })
    }

    /// Whether both are the same dev container.
    pub fn is_same(&self, other: &Self) -> bool {
        // As text: they have no `.` and `..`, and paths are compared part by part, which takes longer.
        let config = self.canonical_config.as_deref().map(Path::as_os_str);
        let others = other.canonical_config.as_deref().map(Path::as_os_str);
        config == others && self.folder.as_os_str() == other.folder.as_os_str()
    }
}

/// Where a dev container is, as the CLI is told: links are not resolved, as it does not resolve them either.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CliPaths {
    /// The workspace folder.
    pub folder: PathBuf,
    /// The configuration.
    pub config: PathBuf,
}

/// No path is longer (PATH_MAX).
pub const MAX_PATH: usize = 4096;

impl CliPaths {
    /// What relative paths in the configuration are relative to.
    pub fn directory(&self) -> &Path {
        self.config.parent().unwrap_or(Path::new("/"))
    }

    /// What an input is called: inside the workspace folder as it would be written in the configuration, so that one
    /// input has one name however the way to the folder is written; elsewhere by its path.
    pub fn name_of<'a>(&self, path: &'a Path) -> Cow<'a, Path> {
        match path.starts_with(&self.folder) {
            true => relative(path, self.directory()),
            false => path.into(),
        }
    }

    /// Where the CLI keeps the digests of features: hidden beside a hidden configuration.
    pub fn lock_file(&self) -> PathBuf {
        let name = self.config.file_name().unwrap_or_default();
        self.directory()
            .join(match name.as_bytes().starts_with(b".") {
                true => ".devcontainer-lock.json",
                false => "devcontainer-lock.json",
            })
    }
}

/// `path` without `.` and `..`, by its words alone: so does the CLI.
pub fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), append)
}

/// `path` and one more part, by its words alone.
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

/// How `path` is written in a file in `directory`; both without `.` and `..`.
pub fn relative<'a>(path: &'a Path, directory: &Path) -> Cow<'a, Path> {
    // Most often it is below: that takes no look at each part.
    let bytes = path.as_os_str().as_bytes();
    let below = bytes.strip_prefix(directory.as_os_str().as_bytes());
    if let Some(below) = below.and_then(|below| below.strip_prefix(b"/")) {
        return Path::new(OsStr::from_bytes(below)).into();
    }
    let shared = path.components().zip(directory.components());
    let shared = shared.take_while(|(a, b)| a == b).count();
    let up = directory
        .components()
        .skip(shared)
        .map(|_| Component::ParentDir);
    let rest = path.components().skip(shared);
    let relative: PathBuf = up.chain(rest).collect();
    match relative.as_os_str().is_empty() {
        true => Path::new(".").into(),
        false => relative.into(),
    }
}

/// A predefined dev container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predefined {
    /// Its id, where the manifest gives one.
    pub id: Option<Uuid>,
    /// Its name, where the manifest gives one.
    pub name: Option<String>,
    /// An absolute path.
    pub folder: PathBuf,
    /// An absolute path.
    pub config: Option<PathBuf>,
    /// Whose log its operations write, where a script tells.
    pub log_source: Option<Uuid>,
}

impl Predefined {
    /// One of which only the folder is known.
    pub fn folder(folder: PathBuf) -> Self {
        Self {
            id: None,
            name: None,
            folder,
            config: None,
            log_source: None,
        }
    }
}
