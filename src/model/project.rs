//! Compose projects, as operations claim them.

use std::fmt;
use std::path::PathBuf;

/// A compose project, by one of the two facts that tell it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Project {
    /// By its name.
    Named(String),
    /// By the directory of its first compose file, resolved on disk.
    In(PathBuf),
}

impl fmt::Display for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::In(directory) => directory.display().fmt(f),
        }
    }
}
