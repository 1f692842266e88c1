//! devcontainerd: tells which containers and dev containers there are, which no longer match their configuration,
//! and recreates them. `ARCHITECTURE.md` has the picture.

// Nothing that comes from outside may end a thread. Tests and benchmarks may.
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod baseline;
pub mod cli;
pub mod daemon;
pub mod devcontainer;
pub mod docker;
pub mod healthcheck;
pub mod http;
pub mod jobs;
pub mod journal;
pub mod keeper;
pub mod lock;
pub mod logging;
pub mod manifest;
pub mod model;
pub mod order;
pub mod places;
pub mod process;
pub mod programs;
pub mod refresher;
pub mod replace;
pub mod shared;
pub mod signals;
pub mod sink;
pub mod state;
pub mod store;
#[cfg(test)]
mod test_dir;
pub mod time;
pub mod wake;
pub mod watcher;
