//! Data that several parts of the daemon share, with the rules that need nothing else.

pub mod access;
pub mod allow_uid;
pub mod api;
pub mod build;
pub mod compose;
pub mod container;
pub mod counters;
pub mod error_code;
pub mod ids;
pub mod inputs;
pub mod labels;
pub mod listen;
pub mod listing;
pub mod location;
pub mod moved;
pub mod operation;
pub mod origin;
pub mod original;
pub mod phase;
pub mod project;
pub mod setup;
pub mod shared_list;
pub mod unchecked;
pub mod up_arg;
pub mod wsl;
