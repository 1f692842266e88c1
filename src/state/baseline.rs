//! Baselines: the inputs that a container was made from, to be compared with those on disk.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::base::time::Timestamp;
use crate::model::api::{ChangeKind, InputChange};
use crate::model::inputs::{Content, Input, Inputs};

/// The name of the configuration.
const CONFIG: &str = "";

/// The content of an input when the container was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputOrigin {
    /// It is known to have been this.
    Known(Content),
    /// There was no readable file when the container was first seen. If one turns up that is older than the container,
    /// it was that one: its file system was mounted late.
    Open(Content),
    /// It was something else than now, and nothing shows what.
    Unknown,
}

/// The inputs that a container was made from, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline(Box<[(Box<Path>, InputOrigin)]>);

impl FromIterator<(PathBuf, InputOrigin)> for Baseline {
    fn from_iter<I: IntoIterator<Item = (PathBuf, InputOrigin)>>(inputs: I) -> Self {
        let mut sorted: Vec<(PathBuf, InputOrigin)> = inputs.into_iter().collect();
        sorted.sort_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
        let mut boxed: Vec<(Box<Path>, InputOrigin)> = Vec::with_capacity(sorted.len());
        for (name, was) in sorted {
            match boxed.last_mut() {
                // The later of two inputs with one name stays.
                Some((last, stays)) if **last == name => *stays = was,
                _ => boxed.push((name.into(), was)),
            }
        }
        Self(boxed.into())
    }
}

impl Baseline {
    /// Returns the baseline of a container that was made from exactly these inputs.
    pub fn exact(inputs: &Inputs) -> Self {
        let named = inputs.named();
        named
            .map(|(name, input)| (name.into_owned(), InputOrigin::Known(input.content)))
            .collect()
    }

    /// Returns the baseline of a container that was made at `created` and is seen for the first time. It was made from
    /// inputs that have not changed since. Of younger inputs only the change is known.
    pub fn at_first_sight(inputs: &Inputs, created: Timestamp) -> Self {
        let named = inputs.named();
        let seen = named.map(|(name, input)| (name.into_owned(), seen_first(input, created)));
        seen.collect()
    }

    /// Returns the baseline with origins that were open when the container, made at `created`, was first seen, and that
    /// these inputs show. `None` if they show no more than was known.
    pub fn completed(&self, inputs: &Inputs, created: Timestamp) -> Option<Self> {
        let is_open = |name: &OsStr| matches!(self.get(name), Some(InputOrigin::Open(_)));
        if !self.inputs().any(|(name, _)| is_open(name.as_os_str())) {
            return None;
        }
        let found: Vec<(PathBuf, InputOrigin, bool)> = inputs
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
        if found.is_empty() {
            return None;
        }
        if !found.iter().any(|(_, _, names_others)| *names_others) {
            let before = self.inputs().map(|(name, was)| (name.to_path_buf(), was));
            // The later of two inputs with one name stays.
            let found = found.into_iter().map(|(name, is, _)| (name, is));
            return Some(before.chain(found).collect());
        }
        // The configuration was open, so that the other inputs are known only now.
        let all = inputs.named().map(|(name, input)| {
            let was = self
                .get(name.as_os_str())
                .filter(|was| !matches!(was, InputOrigin::Open(_)));
            let is = was.unwrap_or_else(|| seen_first(input, created));
            (name.into_owned(), is)
        });
        Some(all.collect())
    }

    /// Returns the baseline with the lock file as it is in `after`, when the CLI has ended: the CLI writes it itself.
    pub fn with_lock_of(&self, after: &Inputs) -> Self {
        let lock = after.lock_name();
        let inputs = self.inputs().map(|(name, was)| (name.to_path_buf(), was));
        let found = after.named().find(|(name, _)| **name == lock);
        let as_left = found.map(|(_, input)| (lock, InputOrigin::Known(input.content)));
        // The later of two inputs with one name stays.
        inputs.chain(as_left).collect()
    }

    /// Returns true if both have one content of the configuration.
    pub fn has_config_of(&self, other: &Self) -> bool {
        self.get(OsStr::new(CONFIG)) == other.get(OsStr::new(CONFIG))
    }

    /// Returns all inputs, sorted by name.
    pub fn inputs(&self) -> impl Iterator<Item = (&Path, InputOrigin)> {
        self.0.iter().map(|(name, was)| (&**name, *was))
    }

    fn get(&self, name: &OsStr) -> Option<InputOrigin> {
        let found = self
            .0
            .binary_search_by(|(known, _)| known.as_os_str().cmp(name));
        self.0.get(found.ok()?).map(|(_, was)| *was)
    }

    /// Returns the changes since then, sorted by path.
    ///
    /// An input that only became or ceased to be one because the configuration or a compose file names others now is
    /// not listed: it did not change, that file did. In a feature's directory every file is an input, and a file that
    /// is gone was removed.
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
        // If not all is compared, an input that is missing on one side may only be beyond the end.
        let cut = |(name, change, on_one_side): (_, _, bool)| {
            let feature = directories(name)
                .filter(|above| now.contains_key(above))
                .last();
            match feature.filter(|_| on_one_side && inputs.extent().is_truncated) {
                Some(feature) => (feature, ChangeKind::Modified),
                None => (name, change),
            }
        };
        let mut changes: Vec<InputChange> = came
            .chain(went)
            .map(cut)
            .map(|(name, change)| InputChange {
                path: inputs.path_of(Path::new(name)).display().to_string(),
                change,
            })
            .collect();
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        changes.dedup();
        changes
    }
}

/// Returns the origin of an input that is first seen with a container that was made at `created`.
fn seen_first(input: &Input, created: Timestamp) -> InputOrigin {
    match (input.content, input.modified()) {
        (_, Some(modified)) if modified > created => InputOrigin::Unknown,
        (Content::Absent | Content::Unreadable, _) => InputOrigin::Open(input.content),
        _ => InputOrigin::Known(input.content),
    }
}

/// Returns the directories above `name`, which are those of features if they are inputs.
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
