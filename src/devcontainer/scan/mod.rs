//! Looks at the files that a dev container is made from.

mod files;
mod scanner;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use self::scanner::Scanner;
use crate::model::inputs::{Content, ForceReread, Input, Inputs};
use crate::model::location::CliPaths;

/// Looks at all inputs of `site`. `None`: they are as `before` says, or nothing can be said of them at this moment.
///
/// Files are read only where their size, times or place differ from `before`, or where they are `force_reread`.
pub fn scan(
    site: &Arc<CliPaths>,
    before: Option<&Inputs>,
    force_reread: &ForceReread,
) -> Option<Inputs> {
    let before = before.filter(|before| before.site == *site);
    if before.is_some_and(|before| before.items().all(|input| holds(input, force_reread))) {
        return None;
    }
    let now = Scanner::new(before, force_reread).look(site)?;
    (before != Some(&now)).then_some(now)
}

/// Returns whether an input certainly is what it was.
fn holds(input: &Input, force_reread: &ForceReread) -> bool {
    let now = std::fs::metadata(&input.path);
    match (&now, &input.stamp) {
        (Ok(now), Some(then)) => {
            then.still_holds(now)
                && !force_reread.all
                && !force_reread.files.contains(&then.file_id())
        }
        (Err(e), None) => is_absent(e) && input.content == Content::Absent,
        _ => false,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
