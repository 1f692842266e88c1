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
