//! Replacing a container without ever losing it (P12).
//!
//! The devcontainer CLI removes the old container before it builds the new one. So it gets a stand-in for docker: our
//! own binary, which hides the old container from it and sets it aside, stopped and under another name, only when the
//! CLI is about to run the new one. What came of it is settled afterwards, from what docker says: either the new one
//! runs and the old one is removed, or what was half made is removed and the old one is put back.
//!
//! The new name says all that is needed to put a container back, so that a daemon that knows nothing else can do it.

mod aside;
mod settle;
pub mod stand_in;

pub use aside::{Aside, ComposeService, LABEL_OPERATION, Old, OperationId, Was};
pub use settle::{Ending, Fate, Touch, settle};
