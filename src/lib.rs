//! devcontainerd lists containers and dev containers, says which of them no longer match their configuration, and recreates
//! them. `ARCHITECTURE.md` describes how the parts fit together.

// Input from outside must not end a thread. Tests and benchmarks may panic.
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod base;
pub mod cli;
mod daemon;
mod devcontainer;
mod docker;
mod http;
mod manifest;
mod model;
pub mod process;
pub mod serve;
pub mod shim;
mod state;
mod store;

pub use base::logging;
pub use base::text::one_line;
