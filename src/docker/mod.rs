//! docker and podman: their command lines, and how their answers are read.

mod backoff;
mod client;
mod command;
mod error;
pub mod events;
mod inspect;
mod inspector;
pub mod lister;
mod ports;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use command::is_id;
pub use error::Error;
pub use inspect::snapshot::Snapshot;
