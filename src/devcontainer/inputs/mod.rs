//! Looks at the files that a dev container is made from.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::compose;
use super::config;
use super::files::{self, FileId, Stamp};
use super::references::{Reference, Site, append, relative};

/// Of the local features of one configuration. What goes beyond is not compared.
pub const MAX_FEATURE_FILES: usize = 1000;
/// Of one directory in a feature.
const MAX_ENTRIES: usize = 10_000;
/// How deep directories in a feature may be nested: a link may lead upwards.
const MAX_DEPTH: usize = 8;

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
    /// Whether there is more in its features than is compared.
    pub truncated: bool,
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
    /// Looks at all inputs of `site`. `None`: they are as `before` says.
    ///
    /// Files are read only where their size, times or place differ from `before`, or where they are `distrusted`.
    pub fn look(site: &Arc<Site>, before: Option<&Self>, distrusted: &Distrusted) -> Option<Self> {
        let before = before.filter(|before| before.site == *site);
        if before.is_some_and(|before| before.items.iter().all(|item| item.holds(distrusted))) {
            return None;
        }
        let known = before.iter().flat_map(|before| before.items.iter());
        let mut looker = Looker {
            known: known.map(|item| (&*item.path, item)).collect(),
            distrusted,
            items: Vec::new(),
            seen: HashSet::new(),
            feature_files: 0,
            truncated: false,
        };
        let references = looker.config(site, before);
        looker.file(site.lock_file());
        for reference in references.iter() {
            match reference {
                Reference::File(path) => looker.file(path.clone()),
                Reference::Compose(path) => looker.compose(path, &references),
                Reference::Feature(path) => looker.feature(path.clone(), 0),
            }
        }
        let now = Self {
            site: site.clone(),
            items: looker.items.into(),
            references,
            truncated: looker.truncated,
        };
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
        }
    }

    /// All of them, each with its name: how it is called in the configuration's directory, so that one input has one
    /// name, however the way there is written. The configuration itself has an empty one.
    pub fn named(&self) -> impl Iterator<Item = (Cow<'_, Path>, &Input)> {
        let directory = self.site.directory();
        let mut config = Some(Path::new("").into());
        let items = self.items.iter();
        items.map(move |input| {
            let name = config.take();
            (
                name.unwrap_or_else(|| relative(&input.path, directory)),
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
        relative(&self.site.lock_file(), self.site.directory()).into_owned()
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

    fn new(path: PathBuf, found: io::Result<(Content, Stamp)>) -> Self {
        let (content, stamp) = match found {
            Ok((content, stamp)) => (content, Some(stamp)),
            Err(e) if is_absent(&e) => (Content::Absent, None),
            Err(_) => (Content::Unreadable, None),
        };
        Self {
            path: path.into(),
            content,
            names_others: false,
            stamp,
        }
    }

    fn naming_others(self) -> Self {
        Self {
            names_others: true,
            ..self
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// What looks at one input after the other.
struct Looker<'a> {
    known: HashMap<&'a Path, &'a Input>,
    distrusted: &'a Distrusted,
    items: Vec<Input>,
    seen: HashSet<PathBuf>,
    feature_files: usize,
    truncated: bool,
}

impl Looker<'_> {
    /// Returns what the configuration names.
    fn config(&mut self, site: &Site, before: Option<&Inputs>) -> Arc<[Reference]> {
        let path = site.config.clone();
        self.seen.insert(path.clone());
        if let (Some(known), Some(before)) = (self.still_known(&path), before) {
            self.items.push(known);
            return before.references.clone();
        }
        let mut references = Vec::new();
        let read = files::read_config(&path).and_then(|(content, stamp)| {
            let parsed = content.as_deref().and_then(config::parse);
            let environment = |name: &str| std::env::var_os(name);
            if let Some(config) = &parsed {
                references = site.references(config, &environment);
            }
            let fingerprint = match (parsed, content) {
                (Some(config), _) => config::fingerprint(&config),
                (None, Some(content)) => files::fingerprint_bytes(&content),
                (None, None) => files::read_fingerprint(&path)?.0,
            };
            Ok((Content::Fingerprint(fingerprint), stamp))
        });
        self.items.push(Input::new(path, read).naming_others());
        references.into()
    }

    /// A compose file, and the Dockerfiles that it names. Those are relative to the first one of all.
    fn compose(&mut self, path: &Path, references: &[Reference]) {
        if !self.seen.insert(path.to_path_buf()) {
            return;
        }
        let first = references.iter().find_map(|reference| match reference {
            Reference::Compose(first) => first.parent(),
            _ => None,
        });
        let mut dockerfiles = Vec::new();
        let read = files::read_config(path).and_then(|(content, stamp)| {
            let fingerprint = match content {
                Some(content) => {
                    let environment = |name: &str| std::env::var_os(name);
                    let directory = first.unwrap_or(path);
                    dockerfiles = compose::dockerfiles(&content, directory, &environment);
                    files::fingerprint_bytes(&content)
                }
                None => files::read_fingerprint(path)?.0,
            };
            Ok((Content::Fingerprint(fingerprint), stamp))
        });
        let input = Input::new(path.to_path_buf(), read);
        self.items.push(input.naming_others());
        dockerfiles.into_iter().for_each(|path| self.file(path));
    }

    fn file(&mut self, path: PathBuf) {
        if !self.seen.insert(path.clone()) {
            return;
        }
        let input = self.still_known(&path).unwrap_or_else(|| {
            let read = files::read_fingerprint(&path);
            let read = read.map(|(fingerprint, stamp)| (Content::Fingerprint(fingerprint), stamp));
            Input::new(path, read)
        });
        self.items.push(input);
    }

    /// A feature's directory, or something in one.
    fn feature(&mut self, path: PathBuf, depth: usize) {
        if self.feature_files >= MAX_FEATURE_FILES || depth > MAX_DEPTH {
            self.truncated = true;
            return;
        }
        self.feature_files += 1;
        let stamp = match std::fs::metadata(&path) {
            // Stamped before it is read: what comes after that shows in the next stamp.
            Ok(metadata) if metadata.is_dir() => Stamp::of(&metadata),
            _ => return self.file(path),
        };
        if !self.seen.insert(path.clone()) {
            return;
        }
        match entries(&path) {
            Ok(entries) => {
                self.items
                    .push(Input::new(path, Ok((Content::Directory, stamp))));
                for entry in entries {
                    self.feature(entry, depth + 1);
                }
            }
            Err(e) => self.items.push(Input::new(path, Err(e))),
        }
    }

    fn still_known(&self, path: &Path) -> Option<Input> {
        let known = self.known.get(path)?;
        known.holds(self.distrusted).then(|| (*known).clone())
    }
}

/// Backups and swap files of vim, backups, autosaved files and locks of Emacs.
fn is_of_an_editor(name: &[u8]) -> bool {
    let is_swap = matches!(name, [b'.', .., b'.', b's', b'w', _]);
    let is_autosaved = matches!(name, [b'#', .., b'#']);
    is_swap || is_autosaved || name.ends_with(b"~") || name.starts_with(b".#") || name == b"4913"
}

/// What is in a directory, sorted, but for what editors put beside a file while it is open. One with far too much in it
/// is as good as unreadable.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        if entries.len() >= MAX_ENTRIES {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let entry = entry?;
        if !is_of_an_editor(entry.file_name().as_bytes()) {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}
