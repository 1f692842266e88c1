//! The files that a dev container is made from, as a scan found them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::location::{CliPaths, append};
use crate::base::time::Timestamp;

/// A file changed so shortly before it was read may change again without its times telling: the kernel's clock for
/// them has steps of some milliseconds.
pub const SETTLED_AFTER: Duration = Duration::from_millis(100);

/// The same on file systems that keep whole seconds, or every other one (FAT).
pub const COARSELY_SETTLED_AFTER: Duration = Duration::from_millis(2100);

/// What tells a file that changed from one that did not, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    pub size: u64,
    pub modified: Timestamp,
    changed: Timestamp,
    /// Whether it was old enough when it was looked at for the rest to be trusted.
    pub settled: bool,
}

/// A file of a file system, whatever its names are.
pub type FileId = (u64, u64);

/// Which file this is about.
pub fn file_id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

impl Stamp {
    pub fn of(metadata: &Metadata, now: Timestamp) -> Self {
        let changed = Timestamp::new(metadata.ctime(), metadata.ctime_nsec() as u32);
        let is_coarse = metadata.ctime_nsec() == 0 && metadata.mtime_nsec() == 0;
        let settled_after = match is_coarse {
            true => COARSELY_SETTLED_AFTER,
            false => SETTLED_AFTER,
        };
        let age = now.seconds_since(changed);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: Timestamp::new(metadata.mtime(), metadata.mtime_nsec() as u32),
            changed,
            settled: age > settled_after.as_secs_f64(),
        }
    }

    /// One of which only this is known, for tests of the rules.
    #[cfg(test)]
    pub fn modified_at(modified: Timestamp) -> Self {
        Self {
            device: 0,
            inode: 0,
            size: 0,
            modified,
            changed: modified,
            settled: true,
        }
    }

    pub fn file_id(&self) -> FileId {
        (self.device, self.inode)
    }

    /// Whether what was found then is certainly what is there `now`.
    pub fn still_holds(&self, now: &Metadata) -> bool {
        let modified = Timestamp::new(now.mtime(), now.mtime_nsec() as u32);
        let changed = Timestamp::new(now.ctime(), now.ctime_nsec() as u32);
        self.settled
            && (self.device, self.inode, self.size) == (now.dev(), now.ino(), now.size())
            && (self.modified, self.changed) == (modified, changed)
    }
}

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
    /// What the file looked like; `None` where there was none to look at.
    pub stamp: Option<Stamp>,
}

/// All inputs of one dev container: its configuration, the lock file of its features, and what the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Whose.
    pub site: Arc<CliPaths>,
    /// The configuration comes first, the lock file second.
    pub items: Box<[Input]>,
    /// What the configuration names.
    pub references: Arc<[Reference]>,
    /// Whether there is more than is compared.
    pub truncated: bool,
    /// Whether large files are compared by what they hold.
    pub reads_large: bool,
}

/// Files that are read again though they look the same: somebody wrote to them, perhaps without their times telling.
#[derive(Default)]
pub struct ForceReread {
    /// All of them.
    pub all: bool,
    /// These.
    pub files: HashSet<FileId>,
}

impl Inputs {
    /// One with these items, for tests of the rules; the first one is the configuration.
    #[cfg(test)]
    pub fn found(site: CliPaths, items: Vec<Input>) -> Self {
        Self {
            site: Arc::new(site),
            items: items.into(),
            references: Arc::new([]),
            truncated: false,
            reads_large: true,
        }
    }

    /// All of them, each with its name ([`CliPaths::name_of`]). The configuration itself has an empty one.
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
    pub fn found(path: &str, content: Content, modified: Option<Timestamp>) -> Self {
        Self {
            path: Path::new(path).into(),
            content,
            names_others: false,
            stamp: modified.map(Stamp::modified_at),
        }
    }

    /// When its content last changed, as the file system says. Of a directory that is no matter.
    pub fn modified(&self) -> Option<Timestamp> {
        let is_file = matches!(self.content, Content::Fingerprint(_));
        self.stamp.filter(|_| is_file).map(|stamp| stamp.modified)
    }

    /// Whether its file is larger than `size` bytes.
    pub fn is_larger_than(&self, size: u64) -> bool {
        self.stamp.is_some_and(|stamp| stamp.size > size)
    }

    /// One of which nothing is there.
    pub fn absent(path: PathBuf) -> Self {
        Self {
            path: path.into(),
            content: Content::Absent,
            names_others: false,
            stamp: None,
        }
    }
}

/// Of one dev container. What goes beyond is not compared.
pub const MAX_INPUTS: usize = 1000;

/// A file or folder that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A Dockerfile.
    File(PathBuf),
    /// A compose file, which may name Dockerfiles.
    Compose(PathBuf),
    /// The folder of a local feature, of which every file counts.
    Feature(PathBuf),
}
