//! The configuration of a dev container and the files that it names.

pub mod compose;
pub mod file;
pub mod jsonc;
mod project;
mod references;
pub mod search;
mod substitute;
mod usage;

pub use project::compose_project;
pub use references::references;
pub use usage::usage;
