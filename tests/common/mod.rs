//! A daemon under test: the real binary, in a directory of its own, on a port of its own.
//!
//! Unless a test brings the real ones, `docker` and `devcontainer` are the shell scripts in `tests/stand-ins`. The
//! docker one lists a directory in which each container is a file; a test can run shell code before either of them.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    unused_imports,
    reason = "each test program and the benchmark use a part of it"
)]

pub mod client;
mod containers;
mod daemon;
pub mod mirror;
mod process;
mod requests;
mod sandbox;
pub mod usage;
mod wait;

pub use self::containers::container_id;
pub use self::daemon::{BINARY, Daemon, DaemonBuilder};
pub use self::process::{descendants, kill, operation_processes, processes_of_operation, zombies};
pub use self::requests::{Response, parse};
pub use self::sandbox::{NO_EVENTS, Sandbox, sh};
pub use self::wait::{LONG, LONGEST, Stopwatch, eventually};
