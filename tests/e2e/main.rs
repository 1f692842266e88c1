//! On a real Docker engine and the real devcontainer CLI, which `scripts/with-engine.sh` brings.
//!
//! All tests run at once on one engine: each looks only at containers of its own, and removes them.

#[path = "../common/mod.rs"]
mod common;

mod cancelling;
mod compose;
mod dirty;
mod endurance;
mod engine;
mod events;
mod failures;
mod identity;
mod keeping;
mod lifecycle;
mod listing;
mod operations;
mod outage;
mod recreate;
mod scratch;
mod workspace;
