//! The devcontainer CLI: its arguments, its log and its result.

pub mod arguments;
mod cause;
mod command;
mod event;
pub mod line;
pub mod log;
mod mend;
pub mod names;
mod phases;
pub mod result;
mod timing;
