//! devcontainerd: tells which containers and dev containers there are, which no longer match their configuration,
//! and recreates them. `ARCHITECTURE.md` has the picture.

pub mod docker;
pub mod model;
pub mod process;
pub mod time;
