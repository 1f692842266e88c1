//! What stands in `state.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::base::path_text::{path_from_text, path_to_text};
use crate::model::inputs::Content;
use crate::state::baseline::{Baseline, InputOrigin};
use crate::state::persisted::{Persisted, Record};

/// Of the format that is written. The first one had no baselines. A file of a version that is neither is not ours to
/// understand.
const VERSION: u32 = 2;
const READ_TOO: u32 = 1;

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
pub(super) fn to_json(persisted: Persisted) -> Vec<u8> {
    let contents = Contents {
        version: VERSION,
        operations: persisted.operations,
        baselines: persisted.baselines.into_iter().collect(),
    };
    // Our types have text keys and no failing parts: there is no way for this to fail.
    serde_json::to_vec(&contents).unwrap_or_default()
}

/// What the text says, or why it cannot be understood.
pub(super) fn from_json(text: &[u8]) -> Result<Persisted, String> {
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
    Ok(Persisted {
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

fn word(was: InputOrigin) -> String {
    let word = |content| match content {
        Content::Absent => ABSENT.to_owned(),
        Content::Directory => DIRECTORY.to_owned(),
        Content::Unreadable => UNREADABLE.to_owned(),
        Content::Fingerprint(fingerprint) => fingerprint.to_string(),
    };
    match was {
        InputOrigin::Known(content) => word(content),
        InputOrigin::Open(content) => word(content) + &OPEN.to_string(),
        InputOrigin::Unknown => UNKNOWN.to_owned(),
    }
}

fn from_word(word: &str) -> Option<InputOrigin> {
    if word == UNKNOWN {
        return Some(InputOrigin::Unknown);
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
        true => InputOrigin::Open(content),
        false => InputOrigin::Known(content),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::operation::OperationState;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::path::PathBuf;

    #[test]
    fn p7_a_file_of_every_version_can_still_be_read() {
        let first = from_json(include_bytes!("../../tests/fixtures/state/v1.json")).unwrap();
        assert_eq!(first.operations[0].state, OperationState::Failed);
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
            ("", InputOrigin::Unknown),
            ("a", InputOrigin::Known(Content::Absent)),
            ("b", InputOrigin::Known(Content::Directory)),
            ("c", InputOrigin::Known(Content::Unreadable)),
            ("d", InputOrigin::Open(Content::Absent)),
            ("e", InputOrigin::Open(Content::Unreadable)),
        ];
        let inputs = inputs.map(|(name, was)| (PathBuf::from(name), was));
        let odd = (PathBuf::from(odd), InputOrigin::Known(fingerprint));
        let baseline: Baseline = inputs.into_iter().chain([odd.clone()]).collect();
        let mut persisted =
            from_json(include_bytes!("../../tests/fixtures/state/v2.json")).unwrap();
        persisted.operations[0].folder = odd.0.clone();
        persisted.operations[0].config = Some(odd.0);
        persisted.operations[0].made_from = Some(baseline.clone());
        persisted.baselines.insert("id".into(), baseline);
        assert_eq!(from_json(&to_json(persisted.clone())).unwrap(), persisted);
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
