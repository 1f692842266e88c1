//! Paths whose symbolic links are followed one by one.

use std::ffi::OsString;
use std::path::{Component, Path};

/// The maximum number of symbolic links on one path, as in Linux (path_resolution(7)).
pub const MAX_LINKS: usize = 40;

/// The parts of a path that lead somewhere, the last one first, so that those of a link can be put in its place.
pub fn parts_to_follow(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        _ => None,
    });
    parts.collect()
}
