//! Scans the files that a dev container is made from.

mod compose;
mod error;
mod files;
mod reason;
mod scanner;

use std::sync::Arc;

use self::error::{FileError, ScanError};
use self::scanner::Scanner;
use crate::model::inputs::{Content, ForceReread, Input, Inputs};
use crate::model::location::CliPaths;

/// Scans all inputs of the dev container at `paths`. Returns `None` where they are as `before`.
///
/// Files are read only where their stamps or paths differ from `before`, or where `force_reread` includes them.
///
/// # Errors
///
/// The process lacks the resources to read a file of which nothing is known.
pub fn scan(
    paths: &Arc<CliPaths>,
    before: Option<&Inputs>,
    force_reread: &ForceReread,
) -> Result<Option<Inputs>, ScanError> {
    let before = before.filter(|before| before.paths() == paths);
    if before.is_some_and(|before| before.items().all(|input| holds(input, force_reread))) {
        return Ok(None);
    }
    let now = Scanner::new(before, force_reread).scan(paths)?;
    Ok((before != Some(&now)).then_some(now))
}

/// Returns whether an input is certainly unchanged.
fn holds(input: &Input, force_reread: &ForceReread) -> bool {
    let metadata = if input.is_link() {
        std::fs::symlink_metadata(&input.path)
    } else {
        std::fs::metadata(&input.path)
    };
    let metadata = metadata.map_err(FileError::from);
    match (metadata, input.stamp()) {
        (Ok(now), Some(then)) => then.still_holds(&now) && !force_reread.includes(then.file_id()),
        (Err(FileError::Absent), None) => input.content == Content::Absent,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
