//! The devcontainer CLI and what it reads: its arguments, its log, its result, and the inputs of a container.

pub mod arguments;
pub mod compose;
pub mod config;
pub mod files;
pub mod inputs;
pub mod log;
pub mod references;
pub mod result;
