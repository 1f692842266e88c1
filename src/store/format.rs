//! What stands in `state.json`.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::baseline::{Baseline, Was};
use crate::devcontainer::inputs::Content;
use crate::model::{JobKind, JobState};
use crate::replace::{Old, OperationId};
use crate::time::Timestamp;

/// Of the format that is written. The first one had no baselines. A file of a version that is neither is not ours to
/// understand.
const VERSION: u32 = 2;
const READ_TOO: u32 = 1;

/// What outlives a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// The running or last one of each dev container.
    pub operations: Vec<Record>,
    /// What containers were made from, by container id.
    pub baselines: HashMap<String, Baseline>,
}

/// An operation on a dev container, the running or the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The resolved workspace folder.
    #[serde(with = "path_text")]
    pub folder: PathBuf,
    /// The resolved configuration.
    #[serde(with = "optional_path_text", default)]
    pub config: Option<PathBuf>,
    /// Which operation.
    pub id: OperationId,
    /// What it does.
    pub kind: JobKind,
    /// Where it stood when this was written.
    pub state: JobState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// Containers to put back, should it not end well.
    pub olds: Vec<Old>,
    /// Whether that is still to be done.
    #[serde(default)]
    pub unsettled: bool,
    /// The container that it made, where it succeeded and that is still to be done.
    #[serde(default)]
    pub made: Option<String>,
    /// The inputs as they were before the CLI started.
    #[serde(default)]
    pub made_from: Option<Baseline>,
}

#[derive(Serialize, Deserialize)]
struct Contents {
    version: u32,
    operations: Vec<Record>,
    #[serde(default)]
    baselines: BTreeMap<String, Baseline>,
}

#[derive(Deserialize)]
struct Versioned {
    version: Option<u32>,
}

/// The text of the file.
pub(super) fn to_json(kept: Kept) -> Vec<u8> {
    let contents = Contents {
        version: VERSION,
        operations: kept.operations,
        baselines: kept.baselines.into_iter().collect(),
    };
    // Our types have text keys and no failing parts: there is no way for this to fail.
    serde_json::to_vec(&contents).unwrap_or_default()
}

/// What the text says, or why it cannot be understood.
pub(super) fn from_json(text: &[u8]) -> Result<Kept, String> {
    let versioned: Versioned = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    match versioned.version {
        Some(VERSION | READ_TOO) => {}
        Some(other) => {
            return Err(format!(
                "it has version {other}, not {READ_TOO} or {VERSION}"
            ));
        }
        None => return Err("it has no version".to_owned()),
    }
    let contents: Contents = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    Ok(Kept {
        operations: contents.operations,
        baselines: contents.baselines.into_iter().collect(),
    })
}

impl Serialize for Baseline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.inputs()
                .map(|(name, was)| (path_to_text(name), word(was))),
        )
    }
}

impl<'de> Deserialize<'de> for Baseline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words: BTreeMap<String, String> = BTreeMap::deserialize(deserializer)?;
        let read = words.into_iter().map(|(name, word)| {
            let was = from_word(&word)
                .ok_or_else(|| serde::de::Error::custom(format!("{word:?} is no content")))?;
            Ok((path_from_text(&name), was))
        });
        read.collect()
    }
}

const ABSENT: &str = "absent";
const DIRECTORY: &str = "directory";
const UNREADABLE: &str = "unreadable";
const UNKNOWN: &str = "unknown";

/// After the word for what is open.
const OPEN: char = '?';

fn word(was: Was) -> String {
    let word = |content| match content {
        Content::Absent => ABSENT.to_owned(),
        Content::Directory => DIRECTORY.to_owned(),
        Content::Unreadable => UNREADABLE.to_owned(),
        Content::Fingerprint(fingerprint) => fingerprint.to_string(),
    };
    match was {
        Was::Known(content) => word(content),
        Was::Open(content) => word(content) + &OPEN.to_string(),
        Was::Unknown => UNKNOWN.to_owned(),
    }
}

fn from_word(word: &str) -> Option<Was> {
    if word == UNKNOWN {
        return Some(Was::Unknown);
    }
    let (word, is_open) = match word.strip_suffix(OPEN) {
        Some(word) => (word, true),
        None => (word, false),
    };
    let content = match word {
        ABSENT => Content::Absent,
        DIRECTORY => Content::Directory,
        UNREADABLE => Content::Unreadable,
        fingerprint => Content::Fingerprint(Uuid::parse_str(fingerprint).ok()?),
    };
    Some(match is_open {
        true => Was::Open(content),
        false => Was::Known(content),
    })
}

/// Before the bytes of a path that is no UTF-8, in hexadecimal digits: no path has one.
const NO_TEXT: char = '\0';

fn path_to_text(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.to_owned(),
        None => {
            let bytes = path.as_os_str().as_bytes().iter();
            bytes.fold(NO_TEXT.to_string(), |text, byte| {
                text + &format!("{byte:02x}")
            })
        }
    }
}

fn path_from_text(text: &str) -> PathBuf {
    let Some(digits) = text.strip_prefix(NO_TEXT) else {
        return text.into();
    };
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    OsString::from_vec(pairs.map_while(byte).collect()).into()
}

mod path_text {
    use super::*;

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&path_to_text(path))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        String::deserialize(from).map(|text| path_from_text(&text))
    }
}

mod optional_path_text {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        path.as_deref().map(path_to_text).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        Ok(text.map(|text| path_from_text(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn p7_a_file_of_every_version_can_still_be_read() {
        let first = from_json(include_bytes!("../../tests/fixtures/state/v1.json")).unwrap();
        assert_eq!(first.operations[0].state, JobState::Failed);
        assert_eq!(first.operations[0].made_from, None);
        assert_eq!(first.baselines.len(), 0);
        let second = from_json(include_bytes!("../../tests/fixtures/state/v2.json")).unwrap();
        assert_eq!(
            second.operations[0].folder,
            Path::new("/srv/fixture/project")
        );
        assert_eq!(second.baselines.len(), 1);
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/state");
        let fixtures = std::fs::read_dir(fixtures).unwrap().count();
        assert_eq!(fixtures, VERSION as usize, "one for each version");
    }

    #[test]
    fn every_kind_of_content_and_path_is_read_as_it_was_written() {
        let fingerprint = Content::Fingerprint(Uuid::from_u128(7));
        let odd = OsStr::from_bytes(b"../\xff\n\"");
        let inputs = [
            ("", Was::Unknown),
            ("a", Was::Known(Content::Absent)),
            ("b", Was::Known(Content::Directory)),
            ("c", Was::Known(Content::Unreadable)),
            ("d", Was::Open(Content::Absent)),
            ("e", Was::Open(Content::Unreadable)),
        ];
        let inputs = inputs.map(|(name, was)| (PathBuf::from(name), was));
        let odd = (PathBuf::from(odd), Was::Known(fingerprint));
        let baseline: Baseline = inputs.into_iter().chain([odd.clone()]).collect();
        let mut kept = from_json(include_bytes!("../../tests/fixtures/state/v2.json")).unwrap();
        kept.operations[0].folder = odd.0.clone();
        kept.operations[0].config = Some(odd.0);
        kept.operations[0].made_from = Some(baseline.clone());
        kept.baselines.insert("id".into(), baseline);
        assert_eq!(from_json(&to_json(kept.clone())).unwrap(), kept);
    }

    #[test]
    fn what_is_not_ours_is_not_understood() {
        for (text, why) in [
            (
                r#"{"version":3,"operations":[]}"#,
                "it has version 3, not 1 or 2",
            ),
            (r#"{"operations":[]}"#, "it has no version"),
            (r#"{"version":2}"#, "missing field"),
            (
                r#"{"version":2,"operations":[],"baselines":{"a":{"b":"c"}}}"#,
                "\"c\" is no content",
            ),
            ("[2", "EOF"),
        ] {
            let found = from_json(text.as_bytes()).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
    }
}
