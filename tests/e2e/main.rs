//! The daemon with a real Docker engine and the real devcontainer CLI, which `scripts/with-engine.sh` provides.
//!
//! All tests run at once on one engine. Each looks only at its own containers, and removes them.

#[path = "../common/mod.rs"]
mod common;

mod arguments;
mod browser;
mod cancelling;
mod cli_failures;
mod cli_versions;
mod compose;
mod compose_failures;
mod compose_neighbours;
mod compose_reading;
mod dirty;
mod dockerfile;
mod endurance;
mod engine;
mod events;
mod exclusion;
mod feature;
mod identity;
mod jsonc;
mod keeping;
mod kills;
mod lifecycle;
mod listing;
mod only_target;
mod operations;
mod outage;
mod outside;
mod page;
mod podman;
mod process_one;
mod project;
mod queue;
mod random;
mod recreate;
mod remote;
mod reopening;
mod scratch;
mod soak;
mod systemd;
mod words;
mod workspace;
