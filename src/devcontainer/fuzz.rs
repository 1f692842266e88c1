//! Output of the devcontainer CLI and files of people that the fuzzer makes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::cli::line::{Line, MAX_LINE};
use super::cli::log::LogReader;
use super::cli::result::UpResult;
use super::config::compose::{self, Call, canonical_env_file};
use super::config::dockerfile::copied;
use super::config::dockerignore::Ignored;
use super::config::jsonc;
use crate::base::cut::cut;
use crate::base::time::Timestamp;
use crate::model::build::{Build, Dockerfile};

/// Longer than the note of what was dropped from a line, and than the words around a step's name.
const NOTE: usize = 100;

/// Reads the CLI's standard error. The lines are the same however it arrives, and bounded.
pub fn cli_log(data: &[u8]) {
    let (early, late) = cut(data);
    let whole = lines(&[data]);
    assert_eq!(whole, lines(&[early, late]));
    assert!(whole.iter().all(|line| line.text.len() <= MAX_LINE + NOTE));
}

fn lines(parts: &[&[u8]]) -> Vec<Line> {
    let now = Timestamp::new(0, 0);
    let mut reader = LogReader::default();
    let mut lines = Vec::new();
    for part in parts {
        lines.extend(reader.feed(part, now));
    }
    lines.extend(reader.finish(now));
    let _ = (reader.take_initialized(), reader.take_phase());
    let _ = reader.cause_of("Command failed: docker run");
    lines
}

/// Reads the CLI's result, and one whose end is missing. The reason is bounded.
pub fn cli_result(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let bytes = text.as_bytes();
    let (early, _) = cut(bytes);
    let early = String::from_utf8_lossy(early);
    let results = [UpResult::parse(&text), UpResult::parse_cut(&early)];
    for result in results.iter().flatten() {
        assert!(result.reason().len() <= (10 << 10));
        let _ = (result.succeeded(), result.raw_texts().count());
    }
}

/// Reads a configuration. A comment before it changes nothing (P5), and neither does writing it as plain JSON.
pub fn jsonc(data: &[u8]) {
    let Some(config) = jsonc::parse(data) else {
        return;
    };
    let fingerprint = jsonc::fingerprint(&config);
    let same = |text: &[u8]| {
        let again = jsonc::parse(text).map(|config| jsonc::fingerprint(&config));
        assert_eq!(again, Some(fingerprint));
    };
    same(config.to_string().as_bytes());
    // A byte order mark is skipped at the beginning alone.
    if !data.starts_with("\u{feff}".as_bytes()) {
        same(&[b"/* a comment */ // and another\n", data].concat());
    }
}

/// Reads a compose project, whose files are parted by a zero byte: two compose files and one of variables.
pub fn compose(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let names = ["/w/c.yml", "/w/d.yml", "/w/.env", "/w/e"];
    let files: BTreeMap<&Path, &str> = names.iter().map(Path::new).zip(text.split('\0')).collect();
    let environment = |name: &str| (name == "HOME").then(|| "/home/user".into());
    let read = || {
        let read = &mut |path: &Path, _| Ok(files.get(path).map(|text| (*text).to_owned()));
        let named: [PathBuf; 1] = ["/w/c.yml".into()];
        let call = Call::new(Path::new("/w"), &named, &environment, read);
        compose::read(&call, &environment, read)
    };
    let (first, second) = (read(), read());
    assert_eq!(first.services, second.services);
    assert_eq!(first.problems, second.problems);
}

/// Reads a file of variables. A comment before it changes nothing (P5).
pub fn env_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let text = text.trim_start_matches('\u{feff}');
    let commented = canonical_env_file(&format!("# a comment\n{text}"));
    assert_eq!(canonical_env_file(text), commented);
}

/// Reads a Dockerfile, and after a zero byte a `.dockerignore`, in which a comment changes nothing.
pub fn dockerfile(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (dockerfile, patterns) = text.split_once('\0').unwrap_or((&text, ""));
    let mut build = Build::new(Dockerfile::Remote);
    build.args.insert("A".to_owned(), "a*".to_owned());
    build.contexts.insert("a*".to_owned(), PathBuf::new());
    let copied = copied(dockerfile, &build);
    let ignored = Ignored::new(patterns);
    let commented = Ignored::new(&format!("#\n{}", patterns.trim_start_matches('\u{feff}')));
    for source in &copied.sources {
        let path = Path::new(&source.path);
        assert_eq!(ignored.includes(path), commented.includes(path));
        let _ = Ignored::new(&source.excluded.join("\n")).includes(path);
    }
    for path in ["a", "a/b.txt", "src/main.rs", "./x", "é"] {
        let path = Path::new(path);
        assert_eq!(ignored.includes(path), commented.includes(path));
    }
}
