//! The devcontainer CLI and the files that it reads.

pub mod cli;
pub mod config;
pub mod fingerprint;
pub mod resolve;
pub mod scan;
