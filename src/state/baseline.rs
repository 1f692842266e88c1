//! Baselines: the inputs that a container was made from, to be compared with those on disk.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::base::time::Timestamp;
use crate::model::api::{ChangeKind, InputChange};
use crate::model::inputs::{Content, INPUT_RULES, Input, Inputs};

/// The name of the configuration.
const CONFIG: &str = "";

/// The content of an input when the container was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputOrigin {
    /// It is known to have been this.
    Known(Content),
    /// There was no readable file when the container was first seen, nor a configuration if the file was absent. If one
    /// turns up that is older than the container, it was that one: its file system was mounted late.
    Open(Content),
    /// It was this, or something that it was for a time while the CLI was making the container.
    Doubtful(Content),
    /// It was something else than now, and nothing shows what.
    Unknown,
}

/// The inputs that a container was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// The [`INPUT_RULES`] by which the inputs were found. A scan by later ones finds more.
    rules: u32,
    /// Sorted by name.
    inputs: Box<[(Box<Path>, InputOrigin)]>,
}

impl Baseline {
    /// Returns the baseline with these inputs, which were found by these rules ([`INPUT_RULES`]).
    pub fn new(rules: u32, inputs: impl IntoIterator<Item = (PathBuf, InputOrigin)>) -> Self {
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
        Self {
            rules,
            inputs: boxed.into(),
        }
    }

    /// Returns the baseline of a container that was made from exactly these inputs.
    pub fn exact(inputs: &Inputs) -> Self {
        let known = |(name, input): (Cow<'_, Path>, &Input)| {
            (name.into_owned(), InputOrigin::Known(input.content))
        };
        Self::new(INPUT_RULES, inputs.named().map(known))
    }

    /// Returns the baseline of a container that was made at `created` and is seen for the first time. It was made from
    /// inputs that have not changed since. Of younger inputs only the change is known.
    pub fn at_first_sight(inputs: &Inputs, created: Timestamp) -> Self {
        let named = inputs.named();
        let has_config = has_config(inputs);
        let seen = named.map(|(name, input)| {
            let was = seen_first(input, created, has_config);
            (name.into_owned(), was)
        });
        Self::new(INPUT_RULES, seen)
    }

    /// Returns the baseline with what these inputs show of a container that was made at `created`: origins that were
    /// open when it was first seen, and inputs that older rules did not find. `None` if they show no more than was
    /// known.
    ///
    /// Inputs are added only while all that names others says what it said when the container was made. Where it says
    /// something else, they are not those that the container was made from.
    pub fn completed(&self, inputs: &Inputs, created: Timestamp) -> Option<Self> {
        let read = self.with_configuration_read(inputs);
        let completed = read.as_ref().unwrap_or(self).with_shown(inputs, created);
        completed.or(read)
    }

    /// Returns the baseline with the meaning of a configuration that older rules compared byte by byte, because they
    /// could not read it. `None` if there is none.
    fn with_configuration_read(&self, inputs: &Inputs) -> Option<Self> {
        let (_, config) = inputs.named().next()?;
        let Some(InputOrigin::Known(was)) = self.get(OsStr::new(CONFIG)) else {
            return None;
        };
        let is_read = was != config.content && config.was_seen_as(was);
        let read = (PathBuf::new(), InputOrigin::Known(config.content));
        // The later of two inputs with one name stays.
        (self.rules < INPUT_RULES && is_read)
            .then(|| Self::new(self.rules, self.owned_inputs().chain([read])))
    }

    fn with_shown(&self, inputs: &Inputs, created: Timestamp) -> Option<Self> {
        let mut settled: Vec<(PathBuf, &Input)> = inputs
            .named()
            .filter(|(name, input)| self.settles(name, input, created))
            .map(|(name, input)| (name.into_owned(), input))
            .collect();
        let names_the_same = self.names_the_same(inputs, created);
        settled.retain(|(_, input)| names_the_same || !input.names_others);
        let names_more = settled.iter().any(|(_, input)| input.names_others);
        let completes = names_the_same && (names_more || self.rules < INPUT_RULES);
        if settled.is_empty() && !completes {
            return None;
        }
        let has_config = has_config(inputs);
        let first = |(name, input): (PathBuf, &Input)| {
            let was = seen_first(input, created, has_config);
            (name, was)
        };
        if settled.iter().any(|(name, _)| name.as_os_str() == CONFIG) {
            // The configuration was open, so that the other inputs are known only now.
            let all = inputs.named().map(|(name, input)| {
                let was = self.get(name.as_os_str());
                let was = was.filter(|was| !matches!(was, InputOrigin::Open(_)));
                let is = was.unwrap_or_else(|| seen_first(input, created, has_config));
                (name.into_owned(), is)
            });
            return Some(Self::new(INPUT_RULES, all));
        }
        let is_added = |name: &Path| completes && self.get(name.as_os_str()).is_none();
        let added = inputs.named().filter(|(name, _)| is_added(name));
        let added = added.map(|(name, input)| (name.into_owned(), input));
        let rules = if completes { INPUT_RULES } else { self.rules };
        // The later of two inputs with one name stays.
        let found = settled.into_iter().chain(added).map(first);
        Some(Self::new(rules, self.owned_inputs().chain(found)))
    }

    /// Returns true if the origin of this input was open, and it turns out to be what the container was made from.
    fn settles(&self, name: &Path, input: &Input, created: Timestamp) -> bool {
        let was_there = || matches!(seen_first(input, created, false), InputOrigin::Known(_));
        match self.get(name.as_os_str()) {
            // Its file system was there when it was not.
            Some(InputOrigin::Open(Content::Absent)) if !self.is_config_open() => {
                input.content == Content::Absent
            }
            Some(InputOrigin::Open(_)) => was_there(),
            _ => false,
        }
    }

    fn is_config_open(&self) -> bool {
        matches!(self.get(OsStr::new(CONFIG)), Some(InputOrigin::Open(_)))
    }

    /// Returns true if all known inputs that name others say what they said when the container, made at `created`, was
    /// made. One that is not known yet does not count.
    fn names_the_same(&self, inputs: &Inputs, created: Timestamp) -> bool {
        let mut naming = inputs.named().filter(|(_, input)| input.names_others);
        naming.all(|(name, input)| match self.get(name.as_os_str()) {
            Some(InputOrigin::Known(was)) => was == input.content,
            Some(InputOrigin::Open(was)) => {
                was == input.content || self.settles(&name, input, created)
            }
            Some(InputOrigin::Doubtful(_) | InputOrigin::Unknown) => false,
            None => name.as_os_str() != CONFIG,
        })
    }

    /// Returns the baseline with the lock file as it is in `after`, when the CLI has ended: the CLI writes it itself.
    pub fn with_lock_of(&self, after: &Inputs) -> Self {
        let lock = after.lock_name();
        let found = after.named().find(|(name, _)| **name == lock);
        let as_left = found.map(|(_, input)| (lock, InputOrigin::Known(input.content)));
        // The later of two inputs with one name stays.
        Self::new(self.rules, self.owned_inputs().chain(as_left))
    }

    /// Returns the baseline with what `seen` leaves open: these are the inputs at a time while the CLI was making the
    /// container, which may have been made from any that differ. `None` if all say what they said before.
    ///
    /// A file that is missing does not count. Many programs remove a file to save it, and a build fails without it.
    pub fn with_doubts(&self, seen: &Inputs) -> Option<Self> {
        let lock = seen.lock_name();
        let changed = self.changed_inputs(seen).into_iter();
        let doubts = changed.filter_map(|(name, change)| {
            let differs = matches!(change, ChangeKind::Created | ChangeKind::Modified);
            let was = match self.get(name.as_os_str()) {
                Some(InputOrigin::Known(was) | InputOrigin::Open(was)) => was,
                Some(InputOrigin::Doubtful(_) | InputOrigin::Unknown) => return None,
                None => Content::Absent,
            };
            let is_doubtful = differs && name != lock;
            is_doubtful.then_some((name, InputOrigin::Doubtful(was)))
        });
        let mut doubts = doubts.peekable();
        doubts.peek()?;
        // The later of two inputs with one name stays.
        Some(Self::new(self.rules, self.owned_inputs().chain(doubts)))
    }

    /// Returns true if both have one content of the configuration.
    pub fn has_config_of(&self, other: &Self) -> bool {
        self.get(OsStr::new(CONFIG)) == other.get(OsStr::new(CONFIG))
    }

    /// Returns all inputs, sorted by name.
    pub fn inputs(&self) -> impl Iterator<Item = (&Path, InputOrigin)> {
        self.inputs.iter().map(|(name, was)| (&**name, *was))
    }

    /// Returns the [`INPUT_RULES`] by which the inputs were found.
    pub fn rules(&self) -> u32 {
        self.rules
    }

    fn owned_inputs(&self) -> impl Iterator<Item = (PathBuf, InputOrigin)> {
        self.inputs().map(|(name, was)| (name.to_path_buf(), was))
    }

    fn get(&self, name: &OsStr) -> Option<InputOrigin> {
        let found = self
            .inputs
            .binary_search_by(|(known, _)| known.as_os_str().cmp(name));
        self.inputs.get(found.ok()?).map(|(_, was)| *was)
    }

    /// Returns the changes since then, sorted by path.
    ///
    /// An input that only became or ceased to be one because the configuration or a compose file names others now is
    /// not listed: it did not change, that file did. In a feature's directory every file is an input, and a file that
    /// is gone was removed.
    pub fn changes(&self, inputs: &Inputs) -> Vec<InputChange> {
        let changed = self.changed_inputs(inputs).into_iter();
        let mut changes: Vec<InputChange> = changed
            .map(|(name, change)| InputChange {
                path: inputs.path_of(&name).display().to_string(),
                change,
            })
            .collect();
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        changes.dedup();
        changes
    }

    /// Returns the names of the inputs that changed since then, some of them more than once.
    fn changed_inputs(&self, inputs: &Inputs) -> Vec<(PathBuf, ChangeKind)> {
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
        let changed = came.chain(went).map(cut);
        changed
            .map(|(name, change)| (name.into(), change))
            .collect()
    }
}

/// Returns whether there is a configuration, so that an input that is absent is not on a file system that is mounted
/// late.
fn has_config(inputs: &Inputs) -> bool {
    let config = inputs.items().next();
    config.is_some_and(|config| matches!(config.content, Content::Fingerprint(_)))
}

/// Returns the origin of an input that is first seen with a container that was made at `created`. One that is absent
/// beside a configuration was not there: if one comes, it has changed, whatever its time.
fn seen_first(input: &Input, created: Timestamp, has_config: bool) -> InputOrigin {
    match (input.content, input.modified()) {
        (Content::Absent, _) if has_config => InputOrigin::Known(Content::Absent),
        (_, Some(modified)) if modified > created => InputOrigin::Unknown,
        (Content::Absent | Content::Unreadable, _) => InputOrigin::Open(input.content),
        _ => InputOrigin::Known(input.content),
    }
}

/// Returns the directories above `name`, which are those of features if they are inputs.
fn directories(name: &OsStr) -> impl Iterator<Item = &OsStr> {
    let path = Path::new(name);
    let above = path.ancestors().skip(1).filter_map(|above| {
        // A name is relative to the directory of the configuration, which is itself called `.`.
        let is_own = above.as_os_str().is_empty();
        let rest = path.strip_prefix(above).ok()?;
        let is_beside = rest.starts_with("..") || (is_own && rest == Path::new("."));
        let above = if is_own { Path::new(".") } else { above };
        (!is_beside).then_some(above.as_os_str())
    });
    above.filter(|_| !name.is_empty())
}

fn compare(was: InputOrigin, is: Content) -> Option<ChangeKind> {
    let was = match was {
        InputOrigin::Known(was) | InputOrigin::Open(was) => was,
        InputOrigin::Doubtful(was) if was != is => was,
        InputOrigin::Doubtful(_) | InputOrigin::Unknown => return Some(ChangeKind::Unknown),
    };
    match (was, is) {
        (was, is) if was == is => None,
        (Content::Unreadable, _) | (_, Content::Unreadable) => Some(ChangeKind::Unknown),
        (Content::Absent, _) => Some(ChangeKind::Created),
        (_, Content::Absent) => Some(ChangeKind::Removed),
        _ => Some(ChangeKind::Modified),
    }
}
