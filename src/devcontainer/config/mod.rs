//! `devcontainer.json`, and the files that it names.

pub mod compose;
pub mod file;
pub mod jsonc;
pub mod references;
