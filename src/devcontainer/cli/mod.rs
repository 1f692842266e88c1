//! The devcontainer CLI: its arguments, its log and its result.

pub mod arguments;
mod cause;
mod event;
pub mod line;
pub mod log;
pub mod result;
mod timing;
