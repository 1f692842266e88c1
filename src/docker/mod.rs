//! docker and podman: their command lines, and how their answers are read.

mod access;
mod api;
mod aside;
mod backoff;
mod client;
mod command;
mod endpoint;
mod error;
pub mod events;
mod evidence;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod image_labels;
mod inspect;
mod inspector;
mod known;
pub mod lister;
mod ports;
#[cfg(test)]
mod tests;
mod version;

pub use access::why_no_access;
pub use api::{list_path, request};
pub use client::Client;
pub use command::is_id;
pub use endpoint::{Endpoint, VARIABLES_OF_CLIENT};
pub use error::Error;
pub use inspect::snapshot::Snapshot;
