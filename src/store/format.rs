//! The format of `state.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::base::path_text::{path_from_text, path_to_text};
use crate::base::time::Timestamp;
use crate::model::inputs::Content;
use crate::state::baseline::{Baseline, InputOrigin};
use crate::state::persisted::{Link, Name, Persisted, Record, Requested};

/// The version that is written.
const VERSION: u32 = 5;
/// The versions before. They can still be read. Version 1 had no baselines. In version 2 these did not say by which
/// rules their inputs were found, and there were no names. In version 3 no input was doubtful. Before version 5 no client
/// could ask for a dev container.
const OLDER_VERSIONS: RangeInclusive<u32> = 1..=4;

#[derive(Serialize, Deserialize)]
struct Contents {
    version: u32,
    operations: Vec<Record>,
    #[serde(default)]
    baselines: BTreeMap<String, Baseline>,
    #[serde(default)]
    missing: BTreeMap<String, Timestamp>,
    #[serde(default)]
    names: Vec<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requested: Vec<Requested>,
}

#[derive(Deserialize)]
struct Versioned {
    version: Option<u32>,
}

/// Returns the contents of the file.
pub(super) fn to_json(persisted: Persisted) -> Vec<u8> {
    let contents = Contents {
        version: VERSION,
        operations: persisted.operations,
        baselines: persisted.baselines.into_iter().collect(),
        missing: persisted.missing.into_iter().collect(),
        names: persisted.names,
        links: persisted.links,
        requested: persisted.requested,
    };
    // Serializing fails only for maps whose keys are not text, and for types whose `Serialize` fails.
    serde_json::to_vec(&contents).unwrap_or_default()
}

/// A file that cannot be understood.
#[derive(Debug)]
pub(super) enum FormatError {
    /// It is not JSON, or its fields are not those of the format.
    Json(serde_json::Error),
    /// It has no version.
    NoVersion,
    /// Another program, or a newer daemon, has written it.
    OtherVersion(u32),
}

impl FormatError {
    /// Returns whether a newer daemon has written the file.
    pub(super) fn is_newer(&self) -> bool {
        matches!(self, Self::OtherVersion(version) if *version > VERSION)
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "{error}"),
            Self::NoVersion => f.write_str("it has no version"),
            Self::OtherVersion(version) => {
                let oldest = OLDER_VERSIONS.start();
                write!(f, "it has version {version}, not {oldest} to {VERSION}")
            }
        }
    }
}

impl std::error::Error for FormatError {}

impl From<serde_json::Error> for FormatError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

/// Reads the contents of the file.
pub(super) fn from_json(text: &[u8]) -> Result<Persisted, FormatError> {
    let versioned: Versioned = serde_json::from_slice(text)?;
    match versioned.version {
        Some(VERSION) => {}
        Some(older) if OLDER_VERSIONS.contains(&older) => {}
        Some(other) => return Err(FormatError::OtherVersion(other)),
        None => return Err(FormatError::NoVersion),
    }
    let contents: Contents = serde_json::from_slice(text)?;
    Ok(Persisted {
        operations: contents.operations,
        baselines: contents.baselines.into_iter().collect(),
        missing: contents.missing.into_iter().collect(),
        names: contents.names,
        links: contents.links,
        requested: contents.requested,
    })
}

/// A baseline, as it is written now and as versions 1 and 2 did.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Now {
        rules: u32,
        inputs: BTreeMap<String, String>,
    },
    WithoutRules(BTreeMap<String, String>),
}

impl Serialize for Baseline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inputs = self.inputs();
        let words = inputs.map(|(name, origin)| (path_to_text(name), word(origin)));
        let mut fields = serializer.serialize_struct("Baseline", 2)?;
        fields.serialize_field("rules", &self.rules())?;
        fields.serialize_field("inputs", &words.collect::<BTreeMap<_, _>>())?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Baseline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (rules, words) = match Written::deserialize(deserializer)? {
            Written::Now { rules, inputs } => (rules, inputs),
            Written::WithoutRules(inputs) => (0, inputs),
        };
        let read = words.into_iter().map(|(name, word)| {
            let origin = from_word(&word).ok_or_else(|| {
                serde::de::Error::custom(format!("{word:?} is not the content of an input"))
            })?;
            Ok((path_from_text(&name), origin))
        });
        let inputs: Vec<(PathBuf, InputOrigin)> = read.collect::<Result<_, _>>()?;
        Ok(Self::new(rules, inputs))
    }
}

const ABSENT: &str = "absent";
const DIRECTORY: &str = "directory";
const UNREADABLE: &str = "unreadable";
const UNKNOWN: &str = "unknown";

/// The character after the word of an [`InputOrigin::Open`].
const OPEN: char = '?';

/// The character after the word of an [`InputOrigin::Doubtful`].
const DOUBTFUL: char = '~';

fn word(origin: InputOrigin) -> String {
    let word = |content| match content {
        Content::Absent => ABSENT.to_owned(),
        Content::Directory => DIRECTORY.to_owned(),
        Content::Unreadable => UNREADABLE.to_owned(),
        Content::Fingerprint(fingerprint) => fingerprint.to_string(),
    };
    match origin {
        InputOrigin::Known(content) => word(content),
        InputOrigin::Open(content) => word(content) + &OPEN.to_string(),
        InputOrigin::Doubtful(content) => word(content) + &DOUBTFUL.to_string(),
        InputOrigin::Unknown => UNKNOWN.to_owned(),
    }
}

fn from_word(word: &str) -> Option<InputOrigin> {
    if word == UNKNOWN {
        return Some(InputOrigin::Unknown);
    }
    let (word, origin): (_, fn(Content) -> InputOrigin) =
        if let Some(word) = word.strip_suffix(OPEN) {
            (word, InputOrigin::Open)
        } else if let Some(word) = word.strip_suffix(DOUBTFUL) {
            (word, InputOrigin::Doubtful)
        } else {
            (word, InputOrigin::Known)
        };
    let content = match word {
        ABSENT => Content::Absent,
        DIRECTORY => Content::Directory,
        UNREADABLE => Content::Unreadable,
        fingerprint => Content::Fingerprint(Uuid::parse_str(fingerprint).ok()?),
    };
    Some(origin(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::operation::OperationState;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

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
        assert!(second.baselines.values().all(|one| one.rules() == 0));
        let third = from_json(include_bytes!("../../tests/fixtures/state/v3.json")).unwrap();
        assert_eq!(third.baselines.len(), 1);
        assert!(third.baselines.values().all(|one| one.rules() == 1));
        assert_eq!((third.missing.len(), third.names.len()), (1, 2));
        assert!(third.operations[0].unknown_since.is_some());
        let fourth = from_json(include_bytes!("../../tests/fixtures/state/v4.json")).unwrap();
        let mut inputs = fourth.baselines.values().flat_map(Baseline::inputs);
        let is_doubtful = |(_, origin)| matches!(origin, InputOrigin::Doubtful(_));
        assert!(inputs.any(is_doubtful));
        assert!(fourth.requested.is_empty());
        let fifth = from_json(include_bytes!("../../tests/fixtures/state/v5.json")).unwrap();
        assert_eq!(fifth.requested[0].folder, Path::new("/srv/asked/for"));
        assert_eq!(from_json(&to_json(fifth.clone())).unwrap(), fifth);
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/state");
        let fixtures = std::fs::read_dir(directory).unwrap().count();
        assert_eq!(fixtures, VERSION as usize, "one for each version");
    }

    /// Some fields are younger than the version that they were first written with.
    #[test]
    fn p7_a_file_without_the_fields_that_came_later_can_be_read() {
        let newest = include_bytes!("../../tests/fixtures/state/v5.json");
        let whole: serde_json::Value = serde_json::from_slice(newest).unwrap();
        for field in ["baselines", "missing", "names", "links", "requested"] {
            let mut without = whole.clone();
            without.as_object_mut().unwrap().remove(field);
            let read = from_json(without.to_string().as_bytes()).unwrap();
            assert_eq!(read.operations.len(), 1, "{field}");
        }
        for field in ["config", "unsettled", "made", "made_from", "unknown_since"] {
            let mut without = whole.clone();
            let operation = without["operations"][0].as_object_mut().unwrap();
            operation.remove(field);
            assert!(from_json(without.to_string().as_bytes()).is_ok(), "{field}");
        }
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
            ("f", InputOrigin::Doubtful(Content::Absent)),
        ];
        let with_paths = inputs.map(|(name, origin)| (PathBuf::from(name), origin));
        let odd_path = PathBuf::from(odd);
        let odd_input = (odd_path.clone(), InputOrigin::Known(fingerprint));
        let baseline = Baseline::new(7, with_paths.into_iter().chain([odd_input]));
        let mut persisted =
            from_json(include_bytes!("../../tests/fixtures/state/v2.json")).unwrap();
        persisted.operations[0].folder = odd_path.clone();
        persisted.operations[0].config = Some(odd_path);
        persisted.operations[0].made_from = Some(baseline.clone());
        persisted.baselines.insert("id".into(), baseline);
        assert_eq!(from_json(&to_json(persisted.clone())).unwrap(), persisted);
    }

    #[test]
    fn other_files_are_not_understood() {
        for (text, why) in [
            (
                r#"{"version":6,"operations":[]}"#,
                "it has version 6, not 1 to 5",
            ),
            (r#"{"operations":[]}"#, "it has no version"),
            (r#"{"version":2}"#, "missing field"),
            (
                r#"{"version":2,"operations":[],"baselines":{"a":{"b":"c"}}}"#,
                "\"c\" is not the content of an input",
            ),
            ("[2", "EOF"),
        ] {
            let error = from_json(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
