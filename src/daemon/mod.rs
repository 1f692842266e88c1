//! The threads of the daemon and the state that they share.

pub mod current;
pub mod discovery;
pub mod disk;
mod looks;
mod mounts;
pub mod operations;
pub mod persist;
pub mod refresher;
pub mod registry;
pub mod shared;
pub mod surroundings;
mod turns;
pub mod vigil;
pub mod wanted;
pub mod watcher;
