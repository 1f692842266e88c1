//! The devcontainer CLI and the files that it reads.

pub mod cli;
pub mod config;
pub mod discover;
pub mod fingerprint;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod gitignore;
pub mod ownership;
pub mod resolve;
pub mod scan;
