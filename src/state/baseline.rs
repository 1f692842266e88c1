//! Whether a container was made from what is on disk.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::sort::by_text;
use crate::base::time::Timestamp;
use crate::model::api::{ChangeKind, InputChange};
use crate::model::inputs::{Content, Input, Inputs};

/// The name of the configuration.
const CONFIG: &str = "";

/// What an input was when the container was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputOrigin {
    /// This.
    Known(Content),
    /// No file that could be read, when the container was first seen. If one turns up that is older than the container,
    /// it was that: its file system came late.
    Open(Content),
    /// Something else than it is: nothing tells what.
    Unknown,
}

/// The inputs that a container was made from, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline(Box<[(Box<Path>, InputOrigin)]>);

impl FromIterator<(PathBuf, InputOrigin)> for Baseline {
    fn from_iter<I: IntoIterator<Item = (PathBuf, InputOrigin)>>(inputs: I) -> Self {
        let sorted = by_text(inputs.into_iter().collect(), |(name, _)| bytes(name));
        let mut boxed: Vec<(Box<Path>, InputOrigin)> = Vec::with_capacity(sorted.len());
        for (name, was) in sorted {
            match boxed.last_mut() {
                // Of two with one name the later one stays.
                Some((last, stays)) if **last == name => *stays = was,
                _ => boxed.push((name.into(), was)),
            }
        }
        Self(boxed.into())
    }
}

impl Baseline {
    /// For a container that was made from exactly these inputs.
    pub fn exact(inputs: &Inputs) -> Self {
        let named = inputs.named();
        named
            .map(|(name, input)| (name.into_owned(), InputOrigin::Known(input.content)))
            .collect()
    }

    /// For a container, made at `created`, that is seen for the first time: an input that has not changed since is
    /// what it was made from; of a younger one only that is known that it changed.
    pub fn at_first_sight(inputs: &Inputs, created: Timestamp) -> Self {
        let named = inputs.named();
        let seen = named.map(|(name, input)| (name.into_owned(), seen_first(input, created)));
        seen.collect()
    }

    /// What was open when the container, made at `created`, was first seen, as far as it can be told now. `None`: nothing
    /// more than before.
    pub fn settled(&self, inputs: &Inputs, created: Timestamp) -> Option<Self> {
        let is_open = |name: &OsStr| matches!(self.get(name), Some(InputOrigin::Open(_)));
        if !self.inputs().any(|(name, _)| is_open(name.as_os_str())) {
            return None;
        }
        let told: Vec<(PathBuf, InputOrigin, bool)> = inputs
            .named()
            .filter(|(name, _)| is_open(name.as_os_str()))
            .map(|(name, input)| {
                (
                    name.into_owned(),
                    seen_first(input, created),
                    input.names_others,
                )
            })
            .filter(|(_, is, _)| matches!(is, InputOrigin::Known(_)))
            .collect();
        if told.is_empty() {
            return None;
        }
        if !told.iter().any(|(_, _, names_others)| *names_others) {
            let before = self.inputs().map(|(name, was)| (name.to_path_buf(), was));
            // Of two with one name the later one stays.
            let told = told.into_iter().map(|(name, is, _)| (name, is));
            return Some(before.chain(told).collect());
        }
        // Which inputs there are is known only now.
        let all = inputs.named().map(|(name, input)| {
            let was = self
                .get(name.as_os_str())
                .filter(|was| !matches!(was, InputOrigin::Open(_)));
            let is = was.unwrap_or_else(|| seen_first(input, created));
            (name.into_owned(), is)
        });
        Some(all.collect())
    }

    /// The same, but for the lock file, which the CLI writes itself: as it is in `after`, when the CLI has ended.
    pub fn with_lock_of(&self, after: &Inputs) -> Self {
        let lock = after.lock_name();
        let inputs = self.inputs().map(|(name, was)| (name.to_path_buf(), was));
        let found = after.named().find(|(name, _)| **name == lock);
        let found = found.map(|(_, input)| (lock, InputOrigin::Known(input.content)));
        // Of two, the later one stays.
        inputs.chain(found).collect()
    }

    /// Whether the configuration says the same in both.
    pub fn has_config_of(&self, other: &Self) -> bool {
        self.get(OsStr::new(CONFIG)) == other.get(OsStr::new(CONFIG))
    }

    /// All of them, by name.
    pub fn inputs(&self) -> impl Iterator<Item = (&Path, InputOrigin)> {
        self.0.iter().map(|(name, was)| (&**name, *was))
    }

    fn get(&self, name: &OsStr) -> Option<InputOrigin> {
        let found = self
            .0
            .binary_search_by(|(known, _)| known.as_os_str().cmp(name));
        self.0.get(found.ok()?).map(|(_, was)| *was)
    }

    /// What has changed since, by path.
    ///
    /// What only began or ceased to be an input because the configuration or a compose file names others now is not
    /// listed: it did not change, that file did. In a feature's directory every file is an input, and what is not there any
    /// more was removed.
    pub fn changes(&self, inputs: &Inputs) -> Vec<InputChange> {
        let named: Vec<(Cow<'_, Path>, Content)> = inputs
            .named()
            .map(|(name, input)| (name, input.content))
            .collect();
        let now: HashMap<&OsStr, Content> = named
            .iter()
            .map(|(name, is)| (name.as_os_str(), *is))
            .collect();
        let was = |name: &OsStr| {
            self.get(name)
                .unwrap_or(InputOrigin::Known(Content::Absent))
        };
        let names_others = inputs.named().any(|(name, input)| {
            input.names_others && compare(was(name.as_os_str()), input.content).is_some()
        });
        let came = now.iter().filter_map(|(name, is)| {
            let is_one_of_known = || directories(name).any(|above| self.get(above).is_some());
            let was = self.get(name).or_else(|| {
                let came = name.is_empty() || !names_others || is_one_of_known();
                came.then_some(InputOrigin::Known(Content::Absent))
            });
            let is_new = self.get(name).is_none();
            Some((*name, compare(was?, *is)?, is_new))
        });
        let went = self.inputs().filter_map(|(name, was)| {
            let name = name.as_os_str();
            let is_one_of_known = || directories(name).any(|above| now.contains_key(above));
            let went = !now.contains_key(name) && (!names_others || is_one_of_known());
            let change = went.then(|| compare(was, Content::Absent)).flatten();
            change.map(|change| (name, change, true))
        });
        // Where not all is compared, what is missing on either side may only be beyond the end.
        let cut = |(name, change, on_one_side): (_, _, bool)| {
            let feature = directories(name)
                .filter(|above| now.contains_key(above))
                .last();
            match feature.filter(|_| on_one_side && inputs.truncated) {
                Some(feature) => (feature, ChangeKind::Modified),
                None => (name, change),
            }
        };
        let changes = came.chain(went).map(cut).map(|(name, change)| InputChange {
            path: inputs.path_of(Path::new(name)).display().to_string(),
            change,
        });
        let text = |change: &InputChange| change.path.clone().into_bytes();
        let mut changes = by_text(changes.collect(), text);
        changes.dedup();
        changes
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// What an input was, by what it is when a container that was made at `created` is seen.
fn seen_first(input: &Input, created: Timestamp) -> InputOrigin {
    match (input.content, input.modified()) {
        (_, Some(modified)) if modified > created => InputOrigin::Unknown,
        (Content::Absent | Content::Unreadable, _) => InputOrigin::Open(input.content),
        _ => InputOrigin::Known(input.content),
    }
}

/// Those above `name` that are directories of features, if they are inputs.
fn directories(name: &OsStr) -> impl Iterator<Item = &OsStr> {
    let above = Path::new(name).ancestors().skip(1).map(Path::as_os_str);
    // The empty one is the name of the configuration.
    above.filter(|above| !above.is_empty())
}

fn compare(was: InputOrigin, is: Content) -> Option<ChangeKind> {
    let (InputOrigin::Known(was) | InputOrigin::Open(was)) = was else {
        return Some(ChangeKind::Unknown);
    };
    match (was, is) {
        (was, is) if was == is => None,
        (Content::Unreadable, _) | (_, Content::Unreadable) => Some(ChangeKind::Unknown),
        (Content::Absent, _) => Some(ChangeKind::Created),
        (_, Content::Absent) => Some(ChangeKind::Removed),
        _ => Some(ChangeKind::Modified),
    }
}
