//! The daemon, driven over raw sockets, with stand-ins for docker and the devcontainer CLI.
//!
//! All tests share one process, and libtest runs as many at once as there are cores. No test changes its environment,
//! its umask, its limits or its working directory: what a daemon needs of these is set on its own command.

#[path = "../common/mod.rs"]
mod common;

mod activation;
mod advisories;
mod affected;
mod bodies;
mod bounds;
mod cancel;
mod causes;
mod check;
mod command_line;
mod commit;
mod costs;
mod daemon;
mod dead_file_system;
mod described;
mod dirty;
mod discovering;
mod documents;
mod draining;
mod errors;
mod events;
mod events_child;
mod exclusion;
mod fields;
mod freshness;
mod guard;
mod healthcheck;
mod hostile;
mod http;
mod image_labels;
mod inputs;
mod kubernetes;
mod labels;
mod lifecycle;
mod listen;
mod listing;
mod logging;
mod logs;
mod looking;
mod manifest;
mod metrics;
mod only_target;
mod operations;
mod output;
#[cfg(feature = "e2e")]
mod packages;
mod page;
mod phases;
mod places;
mod processes;
mod prometheus;
mod queue;
mod registering;
mod replacing;
mod restart;
mod restoring;
mod same_place;
mod scripts;
mod service_manager;
mod sink;
mod slow_docker;
mod structure;
mod supervisors;
mod token;
mod unchecked;
mod unscanned;
mod users;
mod watching;
mod ways;
mod wire;
mod words;
