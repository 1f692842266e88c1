//! The compose project of a configuration.

use std::path::PathBuf;

/// The keys of a configuration that concern its compose project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComposeSetup {
    /// Its files. Where there are none, the CLI looks for them.
    pub files: Box<[PathBuf]>,
    /// The service in whose container the tools work.
    pub service: Option<Box<str>>,
    /// The other services that are started with it. Where there are none, all are.
    pub run_services: Box<[Box<str>]>,
}
