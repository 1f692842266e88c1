//! Reads a configuration or a compose file whole, in bounded memory.

use std::io::{self, Read};
use std::path::Path;

use crate::base::regular_file::open;
use crate::base::time::Timestamp;
use crate::model::inputs::Stamp;

/// The size of the largest configuration that is read, in bytes.
pub const MAX_CONFIG: u64 = 1 << 20;

/// Reads a file; the content is `None` where it is larger than [`MAX_CONFIG`]. The stamp is that of the moment before it
/// is read, so that a change meanwhile is found.
pub fn read_config(path: &Path) -> io::Result<(Option<Vec<u8>>, Stamp)> {
    let (file, metadata) = open(path)?;
    let stamp = Stamp::of(&metadata, Timestamp::now());
    let mut content = Vec::new();
    file.take(MAX_CONFIG + 1).read_to_end(&mut content)?;
    let fits = content.len() as u64 <= MAX_CONFIG;
    Ok((fits.then_some(content), stamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;

    #[test]
    fn a_file_that_is_too_large_has_no_content() {
        let dir = TestDir::new();
        for (size, fits) in [(MAX_CONFIG, true), (MAX_CONFIG + 1, false)] {
            let path = dir.write("c.json", &" ".repeat(size as usize));
            let (content, stamp) = read_config(&path).unwrap();
            assert_eq!(stamp.size(), size);
            assert_eq!(content.is_some(), fits, "{size}");
        }
    }
}
