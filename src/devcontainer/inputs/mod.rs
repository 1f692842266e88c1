//! Looks at the files that a dev container is made from.

mod looker;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use self::looker::Looker;
use super::files::{FileId, Stamp};
use super::references::{Reference, Site, append};

pub use self::looker::MAX_INPUTS;

/// What an input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// It does not exist.
    Absent,
    /// Equal fingerprints, equal inputs.
    Fingerprint(Uuid),
    /// It is the directory of a feature, or one in it. What it holds are inputs of their own.
    Directory,
    /// It exists and cannot be read, or is neither file nor directory.
    Unreadable,
}

/// An input as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: Box<Path>,
    /// What it holds.
    pub content: Content,
    /// Whether it says which other inputs there are.
    pub names_others: bool,
    stamp: Option<Stamp>,
}

/// All inputs of one dev container: its configuration, the lock file of its features, and what the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Whose.
    pub site: Arc<Site>,
    /// The configuration comes first, the lock file second.
    items: Box<[Input]>,
    /// What the configuration names.
    references: Arc<[Reference]>,
    /// Whether there is more than is compared.
    pub truncated: bool,
    /// Whether large files are compared by what they hold.
    reads_large: bool,
}

/// Files that are read again though they look the same: somebody wrote to them, perhaps without their times telling.
#[derive(Default)]
pub struct Distrusted {
    /// All of them.
    pub all: bool,
    /// These.
    pub files: HashSet<FileId>,
}

impl Inputs {
    /// Looks at all inputs of `site`. `None`: they are as `before` says, or nothing can be said of them at this moment.
    ///
    /// Files are read only where their size, times or place differ from `before`, or where they are `distrusted`.
    pub fn look(site: &Arc<Site>, before: Option<&Self>, distrusted: &Distrusted) -> Option<Self> {
        let before = before.filter(|before| before.site == *site);
        if before.is_some_and(|before| before.items.iter().all(|item| item.holds(distrusted))) {
            return None;
        }
        let now = Looker::new(before, distrusted).look(site)?;
        (before != Some(&now)).then_some(now)
    }

    /// One with these items, for tests of the rules; the first one is the configuration.
    #[cfg(test)]
    pub(crate) fn found(site: Site, items: Vec<Input>) -> Self {
        Self {
            site: Arc::new(site),
            items: items.into(),
            references: Arc::new([]),
            truncated: false,
            reads_large: true,
        }
    }

    /// All of them, each with its name ([`Site::name_of`]). The configuration itself has an empty one.
    pub fn named(&self) -> impl Iterator<Item = (Cow<'_, Path>, &Input)> {
        let mut config = Some(Path::new("").into());
        let items = self.items.iter();
        items.map(move |input| {
            let name = config.take();
            (
                name.unwrap_or_else(|| self.site.name_of(&input.path)),
                input,
            )
        })
    }

    /// Where the input with this name is.
    pub fn path_of(&self, name: &Path) -> PathBuf {
        match name.as_os_str().is_empty() {
            true => self.site.config.clone(),
            false => name
                .components()
                .fold(self.site.directory().to_path_buf(), append),
        }
    }

    /// All of them.
    pub fn items(&self) -> impl Iterator<Item = &Input> {
        self.items.iter()
    }

    /// The lock file's name.
    pub fn lock_name(&self) -> PathBuf {
        self.site.name_of(&self.site.lock_file()).into_owned()
    }
}

impl Input {
    /// One of which only this is known, for tests of the rules.
    #[cfg(test)]
    pub(crate) fn found(
        path: &str,
        content: Content,
        modified: Option<crate::time::Timestamp>,
    ) -> Self {
        Self {
            path: Path::new(path).into(),
            content,
            names_others: false,
            stamp: modified.map(Stamp::modified_at),
        }
    }

    /// When its content last changed, as the file system says. Of a directory that is no matter.
    pub fn modified(&self) -> Option<crate::time::Timestamp> {
        let is_file = matches!(self.content, Content::Fingerprint(_));
        self.stamp.filter(|_| is_file).map(|stamp| stamp.modified)
    }

    /// Whether it certainly is what it was.
    fn holds(&self, distrusted: &Distrusted) -> bool {
        let now = std::fs::metadata(&self.path);
        match (&now, &self.stamp) {
            (Ok(now), Some(then)) => {
                then.still_holds(now)
                    && !distrusted.all
                    && !distrusted.files.contains(&then.file_id())
            }
            (Err(e), None) => is_absent(e) && self.content == Content::Absent,
            _ => false,
        }
    }

    fn is_larger_than(&self, size: u64) -> bool {
        self.stamp.is_some_and(|stamp| stamp.size > size)
    }

    /// One of which nothing is there.
    fn absent(path: PathBuf) -> Self {
        Self {
            path: path.into(),
            content: Content::Absent,
            names_others: false,
            stamp: None,
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
