//! Compresses the files of the status page, lists them for `src/http/page.rs`, and finds the commit that `--version` names.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::{Compression, GzBuilder};

use self::commit::Commit;

#[path = "build/commit.rs"]
mod commit;

const PAGE: &str = "src/http/page";

fn main() -> io::Result<()> {
    compress_page()?;
    describe()
}

/// Sets what `--version` and `/version` say.
fn describe() -> io::Result<()> {
    let variable = |name: &str| env::var(name).map_err(io::Error::other);
    // A build for debugging names no commit. Otherwise, each commit would compile all of it again, and all tests.
    let is_release = variable("PROFILE")? == "release";
    let found = if is_release { find_commit() } else { None };
    let mut line = variable("CARGO_PKG_VERSION")?;
    if let Some(Commit { name, date }) = found {
        println!("cargo::rustc-env=DEVCONTAINERD_BUILD_COMMIT={name}");
        line = format!("{line} ({name}");
        if let Some(date) = date {
            println!("cargo::rustc-env=DEVCONTAINERD_BUILD_DATE={date}");
            line = format!("{line} {date}");
        }
        line.push(')');
    }
    println!("cargo::rustc-env=DEVCONTAINERD_BUILD={line}");
    Ok(())
}

fn find_commit() -> Option<Commit> {
    let root = Path::new(".");
    for name in commit::VARIABLES {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let sources = commit::SOURCES.iter().map(Path::new);
    let git = commit::watched(root);
    for path in sources.chain(git.iter().map(PathBuf::as_path)) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    Commit::find(root, |name| env::var(name).ok())
}

fn compress_page() -> io::Result<()> {
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
