//! Compresses the files of the status page, and lists them for `src/http/page.rs`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::{env, fs};

use flate2::{Compression, GzBuilder};

const PAGE: &str = "src/http/page";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={PAGE}");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let entries = fs::read_dir(PAGE)?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    let mut table = String::from("&[\n");
    for path in &paths {
        let content = fs::read(path)?;
        let name = path.file_name().unwrap_or_default();
        let to = Path::new(&out).join(name).with_added_extension("gz");
        fs::write(&to, compress(&content)?)?;
        let tag = tag(&content);
        let row = writeln!(
            table,
            "File {{ name: {name:?}, tag: \"{tag:016x}\", content: include_bytes!({to:?}) }},"
        );
        row.map_err(io::Error::other)?;
    }
    table.push(']');
    fs::write(Path::new(&out).join("page.rs"), table)
}

/// Without a time or a name in it, so that a build can be repeated byte by byte.
fn compress(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressed = GzBuilder::new().write(Vec::new(), Compression::best());
    compressed.write_all(content)?;
    compressed.finish()
}

/// The FNV-1a hash of 64 bits.
fn tag(content: &[u8]) -> u64 {
    content.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
