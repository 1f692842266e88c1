//! The configuration of a dev container and the files that it names.

mod build_options;
pub mod compose;
pub mod dockerfile;
pub mod dockerignore;
pub mod file;
pub mod glob;
pub mod jsonc;
mod project;
mod references;
pub mod search;
mod substitute;
mod usage;

pub use project::compose_project;
pub use references::references;
pub use usage::usage;
