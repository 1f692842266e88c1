//! devcontainerd lists containers and dev containers, says which of them no longer match their configuration, and
//! recreates them. `ARCHITECTURE.md` describes how the parts fit together.

// Input from outside must not end a thread. Tests and benchmarks may panic.
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

// Only `main.rs`, the tests and the benchmarks use this library. Everything that they do not use is private, so that
// the compiler finds dead code.
pub use base::logging;
pub use base::text::one_line;
pub use devcontainer::config::compose;
pub use devcontainer::config::jsonc::parse as parse_config;
pub use process::end_leftovers;

mod base;
pub mod cli;
mod client;
mod daemon;
mod devcontainer;
mod docker;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod http;
mod manifest;
mod model;
mod process;
mod proxy;
pub mod serve;
pub mod shim;
mod state;
mod store;
pub mod words;
