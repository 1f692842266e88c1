//! How the image of a dev container or of a service is built.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// How an image is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// The directory whose files the Dockerfile may copy; `None` where it is a URL.
    pub context: Option<PathBuf>,
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// The last stage to build, if it is not the last one of the Dockerfile.
    pub target: Option<String>,
    /// Build arguments that have a value.
    pub args: BTreeMap<String, String>,
    /// Other directories whose files the Dockerfile may copy, by the names that `--from` has for them, in small letters.
    pub contexts: BTreeMap<String, PathBuf>,
    /// An ignore file that the builder prefers to `.dockerignore` where it exists.
    pub ignore_file: Option<PathBuf>,
}

impl Build {
    /// A build of all of a Dockerfile, without a context and arguments.
    pub fn new(dockerfile: Dockerfile) -> Self {
        Self {
            context: None,
            dockerfile,
            target: None,
            args: BTreeMap::new(),
            contexts: BTreeMap::new(),
            ignore_file: None,
        }
    }
}

/// Where a Dockerfile is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dockerfile {
    /// In this file.
    File(PathBuf),
    /// In the compose file itself, with this text.
    Inline(String),
    /// In a context that is a URL.
    Remote,
}
