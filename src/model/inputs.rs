//! The files that a dev container is made from, as a scan found them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::build::Build;
use super::compose::ComposeSetup;
use super::location::CliPaths;
use super::unchecked::Unchecked;
use crate::base::time::Timestamp;

/// How many inputs of a dev container are compared.
pub const MAX_INPUTS: usize = 1000;

/// The version of the rules that say which files are inputs. A change that makes a scan find more kinds of inputs than
/// the last release raises it, so that containers with older baselines do not become dirty by that.
///
/// | rules | inputs |
/// |---|---|
/// | 0 | the configuration, its lock file, Dockerfiles, compose files, and the files of local features |
/// | 1 | also the files that these name: sources of `COPY` and `ADD`, `env_file`s, `.env`, other compose files |
pub const INPUT_RULES: u32 = 1;

/// The age from which a file's times are trusted. A file that changed shortly before it was read may change again
/// without new times, because the kernel's clock for them advances in steps of some milliseconds.
const SETTLED_AFTER: Duration = Duration::from_millis(100);

/// [`SETTLED_AFTER`] on file systems that keep times in seconds, or in steps of two seconds (FAT).
const COARSELY_SETTLED_AFTER: Duration = Duration::from_millis(2100);

/// A file of a file system, whatever its names are: its device and inode.
pub type FileId = (u64, u64);

/// The file that `metadata` describes.
pub fn file_id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// The properties of a file that change when its content does, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    file_id: FileId,
    size: u64,
    modified: Timestamp,
    changed: Timestamp,
    is_settled: bool,
}

impl Stamp {
    /// The stamp of a file that was looked at at `now`.
    pub fn of(metadata: &Metadata, now: Timestamp) -> Self {
        let changed = change_time(metadata);
        let is_coarse = metadata.ctime_nsec() == 0 && metadata.mtime_nsec() == 0;
        let settled_after = if is_coarse {
            COARSELY_SETTLED_AFTER
        } else {
            SETTLED_AFTER
        };
        let age = now.seconds_since(changed);
        Self {
            file_id: file_id(metadata),
            size: metadata.size(),
            modified: modification_time(metadata),
            changed,
            is_settled: age > settled_after.as_secs_f64(),
        }
    }

    /// A settled stamp with this time, for tests of the rules.
    #[cfg(test)]
    pub fn modified_at(modified: Timestamp) -> Self {
        Self {
            file_id: (0, 0),
            size: 0,
            modified,
            changed: modified,
            is_settled: true,
        }
    }

    /// The file that was looked at.
    pub fn file_id(&self) -> FileId {
        self.file_id
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When the content of the file last changed, as the file system says.
    pub fn modified(&self) -> Timestamp {
        self.modified
    }

    /// Returns whether the file was so old that any later change gives it another stamp.
    #[cfg(test)]
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Returns whether the file is certainly unchanged; `now` is its metadata now.
    pub fn still_holds(&self, now: &Metadata) -> bool {
        self.is_settled
            && self.file_id == file_id(now)
            && self.size == now.size()
            && self.modified == modification_time(now)
            && self.changed == change_time(now)
    }
}

fn modification_time(metadata: &Metadata) -> Timestamp {
    Timestamp::new(metadata.mtime(), metadata.mtime_nsec() as u32)
}

fn change_time(metadata: &Metadata) -> Timestamp {
    Timestamp::new(metadata.ctime(), metadata.ctime_nsec() as u32)
}

/// The content of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// There is no such file.
    Absent,
    /// A file; equal fingerprints mean equal contents.
    Fingerprint(Uuid),
    /// The directory of a feature, or a directory in it. Its files are inputs of their own.
    Directory,
    /// It cannot be read, or is neither a file nor a directory.
    Unreadable,
}

/// An input as a scan found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its path.
    pub path: Box<Path>,
    /// Its content.
    pub content: Content,
    /// True if its content names other inputs.
    pub names_others: bool,
    /// False if only its effect on other inputs counts.
    is_compared: bool,
    /// True if it is a symbolic link itself, not what the link leads to.
    is_link: bool,
    /// The fingerprint of a configuration byte by byte. Earlier versions compared it where they could not read the
    /// configuration.
    verbatim: Option<Uuid>,
    stamp: Option<Stamp>,
}

impl Input {
    /// An input that names no others. `stamp` is `None` where the content does not come from a look at the file.
    pub fn new(path: PathBuf, content: Content, stamp: Option<Stamp>) -> Self {
        Self {
            path: path.into(),
            content,
            names_others: false,
            is_compared: true,
            is_link: false,
            verbatim: None,
            stamp,
        }
    }

    /// An input whose content names other inputs.
    pub fn naming_others(self) -> Self {
        Self {
            names_others: true,
            ..self
        }
    }

    /// An input of which only the effect on others counts.
    pub fn not_compared(self) -> Self {
        Self {
            is_compared: false,
            ..self
        }
    }

    /// A symbolic link, of which only where it leads counts. `stamp` is that of the link.
    pub fn link(path: PathBuf, stamp: Stamp) -> Self {
        Self {
            is_link: true,
            ..Self::new(path, Content::Absent, Some(stamp)).not_compared()
        }
    }

    /// Returns whether its content is compared.
    pub fn is_compared(&self) -> bool {
        self.is_compared
    }

    /// Returns whether it is a symbolic link itself.
    pub fn is_link(&self) -> bool {
        self.is_link
    }

    /// An input with this fingerprint byte by byte.
    pub fn with_verbatim(self, verbatim: Option<Uuid>) -> Self {
        Self { verbatim, ..self }
    }

    /// An input that was looked at again, with its stamp of now.
    pub fn with_stamp(self, stamp: Stamp) -> Self {
        let stamp = Some(stamp);
        Self { stamp, ..self }
    }

    /// Returns whether it is a configuration with this fingerprint byte by byte.
    pub fn has_bytes(&self, verbatim: Option<Uuid>) -> bool {
        let was_read = matches!(self.content, Content::Fingerprint(_));
        was_read && verbatim.is_some() && self.verbatim == verbatim
    }

    /// Returns whether an earlier version may have taken the input as it is now for `content`.
    pub fn was_seen_as(&self, content: Content) -> bool {
        self.verbatim
            .is_some_and(|verbatim| content == Content::Fingerprint(verbatim))
    }

    /// An input with a settled stamp of this time, for tests of the rules.
    #[cfg(test)]
    pub fn found(path: &str, content: Content, modified: Option<Timestamp>) -> Self {
        Self::new(path.into(), content, modified.map(Stamp::modified_at))
    }

    /// The stamp of the file that was looked at.
    pub fn stamp(&self) -> Option<&Stamp> {
        self.stamp.as_ref()
    }

    /// When the content of a file last changed, as the file system says; `None` for anything but a file.
    pub fn modified(&self) -> Option<Timestamp> {
        let is_file = matches!(self.content, Content::Fingerprint(_));
        self.stamp.filter(|_| is_file).map(|stamp| stamp.modified)
    }

    /// Returns whether the file is larger than `size` bytes.
    pub fn is_larger_than(&self, size: u64) -> bool {
        self.stamp.is_some_and(|stamp| stamp.size > size)
    }
}

/// All inputs of a dev container: its configuration, the lock file of its features, and the files that the
/// configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    paths: Arc<CliPaths>,
    /// The configuration comes first.
    items: Box<[Input]>,
    references: Arc<[Reference]>,
    extent: Extent,
    usage: Option<Arc<Usage>>,
}

/// The properties of a configuration by which tools work in the container, with their variables replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// `remoteUser`; never empty.
    pub remote_user: Option<Box<str>>,
    /// `workspaceFolder`; never empty.
    pub workspace_folder: Option<Box<str>>,
    /// True if compose makes the container.
    pub is_compose: bool,
    /// `forwardPorts`, in their order, with the labels of `portsAttributes`.
    pub forward_ports: Box<[ForwardPort]>,
}

/// A port that tools make reachable on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForwardPort {
    /// The port.
    pub port: u16,
    /// The host that has it, such as a service of compose; `None` for the container itself. Never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Box<str>>,
    /// The label for people; never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Box<str>>,
}

/// How far inputs are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// True if there are more inputs than are compared.
    pub is_truncated: bool,
    /// The reasons why not everything is compared.
    pub unchecked: Unchecked,
    /// True if large files are compared by content, not by size and time alone.
    pub reads_large: bool,
}

impl Inputs {
    /// The inputs of the dev container at `paths`. `config` is its configuration, which names `references`; `others`
    /// are the lock file and the rest, in the order in which they were found.
    pub fn new(
        paths: Arc<CliPaths>,
        config: Input,
        others: Vec<Input>,
        references: Arc<[Reference]>,
        extent: Extent,
    ) -> Self {
        let mut items = Vec::with_capacity(1 + others.len());
        items.push(config);
        items.extend(others);
        Self {
            paths,
            items: items.into(),
            references,
            extent,
            usage: None,
        }
    }

    /// The inputs with the usage that the configuration says.
    pub fn with_usage(self, usage: Option<Arc<Usage>>) -> Self {
        Self { usage, ..self }
    }

    /// The usage that the configuration says; `None` where that cannot be read.
    pub fn usage(&self) -> Option<&Arc<Usage>> {
        self.usage.as_ref()
    }

    /// Folder and configuration of the dev container.
    pub fn paths(&self) -> &Arc<CliPaths> {
        &self.paths
    }

    /// Returns whether these are the same files with the same contents, whatever their times are.
    pub fn has_same_contents(&self, other: &Self) -> bool {
        let is_same =
            |(one, other): (&Input, &Input)| one.path == other.path && one.content == other.content;
        self.paths == other.paths
            && self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(is_same)
    }

    /// All inputs, the configuration first.
    pub fn items(&self) -> impl Iterator<Item = &Input> {
        self.items.iter()
    }

    /// All inputs that are compared, with their names ([`CliPaths::name_of`]). The name of the configuration is empty.
    pub fn named(&self) -> impl Iterator<Item = (Cow<'_, Path>, &Input)> {
        let compared = self.items.iter().enumerate();
        let compared = compared.filter(|(_, input)| input.is_compared);
        compared.map(|(index, input)| {
            let name = if index == 0 {
                Path::new("").into()
            } else {
                self.paths.name_of(&input.path)
            };
            (name, input)
        })
    }

    /// The path of the input with this name.
    pub fn path_of(&self, name: &Path) -> PathBuf {
        if name.as_os_str().is_empty() {
            self.paths.config.clone()
        } else {
            self.paths.path_of(name)
        }
    }

    /// The name of the lock file.
    pub fn lock_name(&self) -> PathBuf {
        self.paths.name_of(&self.paths.lock_file()).into_owned()
    }

    /// The files and folders that the configuration names.
    pub fn references(&self) -> &Arc<[Reference]> {
        &self.references
    }

    /// How far they are compared.
    pub fn extent(&self) -> &Extent {
        &self.extent
    }
}

/// Files to read again though their stamps are unchanged: they were written to, perhaps without new times.
#[derive(Default)]
pub struct ForceReread {
    /// True for all files.
    pub all: bool,
    /// Single files.
    pub files: HashSet<FileId>,
}

impl ForceReread {
    /// Adds the files of another one.
    pub fn merge(&mut self, other: &Self) {
        self.all |= other.all;
        self.files.extend(&other.files);
    }

    /// Returns whether this file is to be read again.
    pub fn includes(&self, file: FileId) -> bool {
        self.all || self.files.contains(&file)
    }
}

/// A file or folder that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A Dockerfile, which may name files of its context.
    Build(Box<Build>),
    /// A compose project, whose files name others.
    Compose(ComposeSetup),
    /// A file that names no others.
    File(PathBuf),
    /// The folder of a local feature, with all files in it.
    Feature(PathBuf),
    /// Something that cannot be followed, for this reason ([`Unchecked::add`]).
    Unchecked(Box<str>),
}
