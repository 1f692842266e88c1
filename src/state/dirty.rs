//! Whether a container was made from what is on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::devcontainer::inputs::{Content, Input, Inputs};
use crate::model::{Change, ChangeKind};
use crate::time::Timestamp;

/// What an input was when the container was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Was {
    Known(Content),
    /// Something else than it is: nothing tells what.
    Unknown,
}

/// The inputs that a container was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Baseline(BTreeMap<PathBuf, Was>);

impl Baseline {
    /// For a container that was made from exactly these inputs.
    pub(super) fn exact(inputs: &Inputs) -> Self {
        let known = |input: &Input| (input.path.clone(), Was::Known(input.content));
        Self(inputs.0.iter().map(known).collect())
    }

    /// For a container, made at `created`, that is seen for the first time: an input that has not changed since is
    /// what it was made from; of a younger one only that is known that it changed.
    pub(super) fn at_first_sight(inputs: &Inputs, created: Timestamp) -> Self {
        let was = |input: &Input| {
            let younger = input.modified.is_some_and(|modified| modified > created);
            let was = match younger {
                true => Was::Unknown,
                false => Was::Known(input.content),
            };
            (input.path.clone(), was)
        };
        Self(inputs.0.iter().map(was).collect())
    }

    /// What has changed since, by path.
    pub(super) fn changes(&self, inputs: &Inputs) -> Vec<Change> {
        let is: BTreeMap<&Path, Content> = inputs
            .0
            .iter()
            .map(|input| (input.path.as_path(), input.content))
            .collect();
        let gone = self
            .0
            .keys()
            .filter(|path| !is.contains_key(path.as_path()));
        let gone = gone.map(|path| (path.as_path(), Content::Absent));
        let mut changes: Vec<Change> = is
            .iter()
            .map(|(path, content)| (*path, *content))
            .chain(gone)
            .filter_map(|(path, content)| {
                let change = self.change(path, content)?;
                let path = path.display().to_string();
                Some(Change { path, change })
            })
            .collect();
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        changes
    }

    fn change(&self, path: &Path, is: Content) -> Option<ChangeKind> {
        let was = match self.0.get(path) {
            Some(Was::Known(content)) => *content,
            Some(Was::Unknown) => return Some(ChangeKind::Unknown),
            None => Content::Absent,
        };
        match (was, is) {
            (was, is) if was == is => None,
            (Content::Unreadable, _) | (_, Content::Unreadable) => Some(ChangeKind::Unknown),
            (Content::Absent, _) => Some(ChangeKind::Created),
            (_, Content::Absent) => Some(ChangeKind::Removed),
            (Content::Fingerprint(_), Content::Fingerprint(_)) => Some(ChangeKind::Modified),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(content: Content, modified: Option<i64>) -> Inputs {
        let modified = modified.map(|seconds| Timestamp::new(seconds, 0));
        Inputs(vec![Input::found("/w/c.json", content, modified)])
    }

    fn text(text: &str) -> Content {
        Content::Fingerprint(crate::devcontainer::config::fingerprint(text.as_bytes()))
    }

    fn check(baseline: &Baseline, now: Content, expected: Option<ChangeKind>) {
        let changes = baseline.changes(&inputs(now, None));
        let found = changes.first().map(|change| change.change);
        assert_eq!(found, expected, "{now:?}");
    }

    #[test]
    fn p5_the_same_content_is_no_change_and_undoing_one_makes_it_clean() {
        let baseline = Baseline::exact(&inputs(text("1"), Some(5)));
        check(&baseline, text("1"), None);
        check(&baseline, text("2"), Some(ChangeKind::Modified));
        check(&baseline, Content::Absent, Some(ChangeKind::Removed));
        check(&baseline, Content::Unreadable, Some(ChangeKind::Unknown));
        check(&baseline, text("1"), None);
    }

    #[test]
    fn what_was_absent_is_created() {
        let baseline = Baseline::exact(&inputs(Content::Absent, None));
        check(&baseline, Content::Absent, None);
        check(&baseline, text("1"), Some(ChangeKind::Created));
        check(&Baseline::default(), text("1"), Some(ChangeKind::Created));
    }

    #[test]
    fn at_first_sight_only_a_younger_input_is_a_change() {
        let created = Timestamp::new(100, 0);
        for (modified, expected) in [(99, None), (100, None), (101, Some(ChangeKind::Unknown))] {
            let inputs = inputs(text("1"), Some(modified));
            let baseline = Baseline::at_first_sight(&inputs, created);
            check(&baseline, text("1"), expected);
        }
        let absent = Baseline::at_first_sight(&inputs(Content::Absent, None), created);
        check(&absent, Content::Absent, None);
        check(&absent, text("1"), Some(ChangeKind::Created));
    }

    #[test]
    fn an_input_that_is_no_longer_looked_at_is_removed() {
        let baseline = Baseline::exact(&inputs(text("1"), None));
        let changes = baseline.changes(&Inputs::default());
        assert_eq!(changes[0].change, ChangeKind::Removed);
        assert_eq!(changes[0].path, "/w/c.json");
    }
}
