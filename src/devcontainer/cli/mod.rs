//! How the devcontainer CLI is called, and how its output is read.

pub mod arguments;
pub mod log;
pub mod result;
