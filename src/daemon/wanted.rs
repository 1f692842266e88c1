//! Waits that end when nobody wants their result any more.

use std::time::Duration;

/// The interval at which a wait asks if its result is wanted.
pub(super) const WANTED_INTERVAL: Duration = Duration::from_secs(1);

/// Returns false once nobody wants the result any more. It is called without a lock.
pub type IsWanted<'a> = &'a dyn Fn() -> bool;

/// For a result that is wanted in any case.
pub const ALWAYS: IsWanted<'static> = &|| true;
