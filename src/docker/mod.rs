//! docker and podman: their command lines, and how their answers are read.

mod backoff;
mod client;
mod command;
pub mod events;
mod inspect;
mod inspecting;
pub mod lister;
mod ports;

pub use client::{Client, ClientError, Snapshot};
pub use command::{ListError, is_id};
