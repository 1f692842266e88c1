//! Reads a configuration or a compose file whole, in bounded memory.

use std::fs::Metadata;
use std::io::{self, Read};
use std::path::Path;

use crate::base::regular_file::open;

/// Larger files are no configuration.
pub const MAX_CONFIG: u64 = 1 << 20;

/// A configuration's content; `None` where the file is too large to be one.
pub fn read_config(path: &Path) -> io::Result<(Option<Vec<u8>>, Metadata)> {
    let (file, metadata) = open(path)?;
    let mut content = Vec::new();
    file.take(MAX_CONFIG + 1).read_to_end(&mut content)?;
    let fits = content.len() as u64 <= MAX_CONFIG;
    Ok((fits.then_some(content), metadata))
}
