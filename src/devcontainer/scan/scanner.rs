//! Finds and reads the inputs of one dev container.

mod context;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::error::{FileError, ScanError};
use super::files::{read_fingerprint, stamp_of};
use super::reason::Reason;
use crate::devcontainer::config::file::read_config;
use crate::devcontainer::config::{jsonc, references, usage};
use crate::devcontainer::fingerprint::fingerprint_bytes;
use crate::model::build::Dockerfile;
use crate::model::inputs::{
    Content, Extent, FileId, ForceReread, Input, Inputs, MAX_INPUTS, Reference, Stamp, Usage,
};
use crate::model::location::{CliPaths, MAX_PATH};
use crate::model::unchecked::Unchecked;

/// How many directories in a feature may be nested.
pub(super) const MAX_DEPTH: usize = 16;
/// How many bytes are read of one dev container. Where its files are larger together, files above [`LARGE`] are
/// compared by size and time alone, because reading them would take seconds.
pub(super) const MAX_READ: u64 = 256 << 20;
pub(super) const LARGE: u64 = MAX_READ / MAX_INPUTS as u64;
/// How many directory entries are read, including those that do not count.
const MAX_ENTRIES: usize = 100_000;

/// The outcome of looking at one file.
type Found = Result<(Content, Stamp), FileError>;

/// A configuration, and its meaning.
struct Configured {
    config: Input,
    references: Arc<[Reference]>,
    usage: Option<Arc<Usage>>,
}

/// Collects the inputs of one dev container.
pub(super) struct Scanner<'a> {
    pub(super) before: Option<&'a Inputs>,
    known: HashMap<&'a Path, &'a Input>,
    force_reread: &'a ForceReread,
    /// All inputs but the configuration.
    pub(super) others: Vec<Input>,
    /// The indexes of those that are not read yet.
    unread: Vec<usize>,
    pub(super) seen: HashSet<PathBuf>,
    links: HashSet<PathBuf>,
    /// Files that something names and that must exist.
    pub(super) required: Vec<PathBuf>,
    pub(super) compose_files: usize,
    builds: usize,
    /// The steps that comparing paths with `.dockerignore` files has taken.
    ignore_steps: usize,
    entries: usize,
    pub(super) is_truncated: bool,
    /// True if a file that names others could not be read at the moment.
    pub(super) is_inconclusive: bool,
    unchecked: Unchecked,
    error: Option<ScanError>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(before: Option<&'a Inputs>, force_reread: &'a ForceReread) -> Self {
        let known = before.into_iter().flat_map(Inputs::items);
        Self {
            before,
            known: known.map(|item| (&*item.path, item)).collect(),
            force_reread,
            others: Vec::new(),
            unread: Vec::new(),
            seen: HashSet::new(),
            links: HashSet::new(),
            required: Vec::new(),
            compose_files: 0,
            builds: 0,
            ignore_steps: 0,
            entries: 0,
            is_truncated: false,
            is_inconclusive: false,
            unchecked: Unchecked::default(),
            error: None,
        }
    }

    pub(super) fn scan(mut self, paths: &Arc<CliPaths>) -> Result<Inputs, ScanError> {
        let Configured {
            config,
            references,
            usage,
        } = self.config(paths);
        if config.content == Content::Absent {
            self.leave_unchecked(&Reason::NoConfig(&paths.config).to_string());
        }
        self.file(paths.lock_file());
        for reference in references.iter() {
            match reference {
                Reference::Build(build) => self.build(build),
                Reference::Compose(setup) => self.compose(&paths.folder, setup),
                Reference::File(path) => self.file(path.clone()),
                Reference::Feature(path) => self.feature(path.clone(), &mut Vec::new()),
                Reference::Unchecked(reason) => self.leave_unchecked(reason),
            }
        }
        if self.is_inconclusive {
            self.keep_known();
        }
        let reads_large = self.read();
        // The reasons that concern all inputs come before those of single files, of which there may be many.
        if self.is_truncated {
            self.leave_unchecked(&Reason::TooMany(&paths.config).to_string());
        }
        if !reads_large {
            self.leave_unchecked(&Reason::TooManyBytes(&paths.config).to_string());
        }
        self.leave_missing_unchecked(&references);
        if let Some(error) = self.error {
            return Err(error);
        }
        let extent = Extent {
            is_truncated: self.is_truncated,
            unchecked: self.unchecked,
            reads_large,
        };
        let paths = paths.clone();
        let inputs = Inputs::new(paths, config, self.others, references, extent);
        Ok(inputs.with_usage(usage))
    }

    /// Notes that something is not compared, for this reason ([`Unchecked::add`]).
    ///
    /// The reason follows from the contents of inputs: where these are unchanged, nothing is scanned again. One that
    /// follows from the configuration alone is a [`Reference::Unchecked`].
    pub(super) fn leave_unchecked(&mut self, reason: &str) {
        self.unchecked.add(reason);
    }

    /// Notes which files and folders that the configuration names do not exist.
    fn leave_missing_unchecked(&mut self, references: &[Reference]) {
        let is_absent = |input: &&Input| input.content == Content::Absent;
        let absent: HashSet<&Path> = self
            .others
            .iter()
            .filter(is_absent)
            .map(|i| &*i.path)
            .collect();
        let named_by_configuration = references.iter().filter_map(|reference| match reference {
            Reference::Build(build) => match &build.dockerfile {
                Dockerfile::File(path) => Some(path),
                Dockerfile::Inline(_) | Dockerfile::Remote => None,
            },
            Reference::File(path) | Reference::Feature(path) => Some(path),
            Reference::Compose(_) | Reference::Unchecked(_) => None,
        });
        for path in named_by_configuration.chain(&self.required) {
            if absent.contains(&**path) {
                self.unchecked.add(&Reason::Missing(path).to_string());
            }
        }
    }

    /// Looks at the configuration.
    fn config(&mut self, paths: &CliPaths) -> Configured {
        let path = &paths.config;
        self.seen.insert(path.clone());
        if let (Some(known), Some(before)) = (self.still_known(path), self.before) {
            return Configured {
                config: known,
                references: before.references().clone(),
                usage: before.usage().cloned(),
            };
        }
        let mut verbatim = None;
        let (found, references, usage) = match read_meaning(path, self.before) {
            Ok(Meaning::Unchanged(config, before)) => {
                return Configured {
                    config,
                    references: before.references().clone(),
                    usage: before.usage().cloned(),
                };
            }
            Ok(Meaning::Read(content, stamp, bytes, config)) => {
                verbatim = bytes;
                let environment = |name: &str| std::env::var_os(name);
                let config = config.as_ref();
                let usage = config.map(|config| usage(paths, config, &environment).into());
                let references = match config {
                    Some(config) => references(paths, config, &environment),
                    None => {
                        let reason = Reason::without_meaning(path, &stamp);
                        vec![Reference::Unchecked(reason.to_string().into())]
                    }
                };
                (Ok((content, stamp)), references.into(), usage)
            }
            Err(error) => {
                let before = self.before.filter(|_| error.is_inconclusive());
                let references = before.map(|before| before.references().clone());
                let usage = before.and_then(|before| before.usage().cloned());
                (Err(error), references.unwrap_or_default(), usage)
            }
        };
        let config = self.input(path.clone(), found);
        Configured {
            config: config.naming_others().with_verbatim(verbatim),
            references,
            usage,
        }
    }

    /// Adds a file, which is read when the sizes of all files are known.
    pub(super) fn file(&mut self, path: PathBuf) {
        if !self.is_new(&path) {
            return self.compare_bytes(path);
        }
        self.unread.push(self.others.len());
        self.others.push(Input::new(path, Content::Absent, None));
    }

    /// Looks at the directory of a feature, or at an entry of it. `parents` are the directories around it.
    fn feature(&mut self, path: PathBuf, parents: &mut Vec<FileId>) {
        let metadata = std::fs::metadata(&path);
        let Some(metadata) = metadata.ok().filter(Metadata::is_dir) else {
            return self.file(path);
        };
        // Stamped before it is read, so that later changes show in the next stamp.
        let stamp = stamp_of(&metadata);
        // A symbolic link may lead to a directory around it.
        if parents.contains(&stamp.file_id()) {
            return;
        }
        if parents.len() >= MAX_DEPTH {
            self.is_truncated = true;
            return;
        }
        if !self.is_new(&path) {
            return;
        }
        let entries = self.entries(&path);
        let (found, entries) = match entries {
            Ok(entries) => (Ok((Content::Directory, stamp)), entries),
            Err(error) => (Err(error.into()), BTreeSet::new()),
        };
        let input = self.input(path.clone(), found);
        self.others.push(input);
        parents.push(stamp.file_id());
        for name in entries {
            self.feature(path.join(name), parents);
        }
        parents.pop();
    }

    /// The names in a directory, sorted, without those that editors add while a file is open. Of too many the first
    /// ones are returned.
    fn entries(&mut self, directory: &Path) -> io::Result<BTreeSet<OsString>> {
        let room = MAX_INPUTS.saturating_sub(self.count());
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name();
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                self.is_truncated = true;
                break;
            }
            if !is_of_an_editor(name.as_bytes()) {
                names.insert(name);
            }
            if names.len() > room {
                names.pop_last();
                self.is_truncated = true;
            }
        }
        Ok(names)
    }

    /// How many inputs there are, with the configuration.
    fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Notes a path. Returns whether it is to be looked at now.
    pub(super) fn is_new(&mut self, path: &Path) -> bool {
        let text = path.as_os_str().as_bytes();
        if text.len() >= MAX_PATH || text.contains(&0) {
            // There is no such file.
            return false;
        }
        if self.count() >= MAX_INPUTS {
            self.is_truncated |= !self.seen.contains(path);
            return false;
        }
        self.seen.insert(path.to_path_buf())
    }

    /// Reads the files that are not read yet. Returns whether large files are compared by content.
    fn read(&mut self) -> bool {
        let unread = std::mem::take(&mut self.unread);
        let paths = unread.iter().filter_map(|index| self.others.get(*index));
        let sizes = paths.map(|input| std::fs::metadata(&input.path).map_or(0, |m| m.len()));
        let reads_large = sizes.fold(0, u64::saturating_add) <= MAX_READ;
        for index in unread {
            let path = self.others.get(index).map(|input| input.path.to_path_buf());
            let read = path.map(|path| self.read_one(path, reads_large));
            if let (Some(read), Some(input)) = (read, self.others.get_mut(index)) {
                *input = read;
            }
        }
        reads_large
    }

    fn read_one(&mut self, path: PathBuf, reads_large: bool) -> Input {
        let is_alike = self
            .before
            .is_some_and(|before| before.extent().reads_large == reads_large);
        let known = self.still_known(&path);
        if let Some(known) = known.filter(|known| is_alike || !known.is_larger_than(LARGE)) {
            return known;
        }
        self.read_bytes(path, if reads_large { MAX_READ } else { LARGE })
    }

    /// Reads a file, of which size and time are compared in place of the content where it has more than `limit` bytes.
    pub(super) fn read_bytes(&mut self, path: PathBuf, limit: u64) -> Input {
        let found = read_fingerprint(&path, limit);
        let found = found.map(|(fingerprint, stamp)| (Content::Fingerprint(fingerprint), stamp));
        self.input(path, found.map_err(FileError::from))
    }

    /// The input at `path`. After an inconclusive error its content is taken to be unchanged.
    pub(super) fn input(&mut self, path: PathBuf, found: Found) -> Input {
        let (content, stamp) = match found {
            Ok((content, stamp)) => (content, Some(stamp)),
            Err(FileError::Absent) => (Content::Absent, None),
            Err(FileError::Unreadable) => {
                self.leave_unchecked(&Reason::Unreadable(&path).to_string());
                (Content::Unreadable, None)
            }
            Err(error) => {
                self.leave_unchecked(&Reason::Unclear(&path).to_string());
                let known = self.known.get(&*path);
                let content = known.map_or(Content::Unreadable, |known| known.content);
                if let (None, FileError::NoResources(source)) = (known, error) {
                    let path = path.clone();
                    self.error.get_or_insert(ScanError { path, source });
                }
                (content, None)
            }
        };
        Input::new(path, content, stamp)
    }

    pub(super) fn still_known(&self, path: &Path) -> Option<Input> {
        let known = self.known.get(path)?;
        // A file that a build did not see may be one that it sees now.
        if known.content == Content::Absent && known.stamp().is_some() {
            return None;
        }
        super::holds(known, self.force_reread).then(|| (*known).clone())
    }
}

/// A configuration as it was read.
enum Meaning<'a> {
    /// Its content, its stamp, its fingerprint byte by byte, and its meaning where it has one.
    Read(Content, Stamp, Option<Uuid>, Option<Value>),
    /// It has the bytes that it had before, so that it means the same: this is the input, and what was found before.
    Unchanged(Input, &'a Inputs),
}

fn read_meaning<'a>(path: &Path, before: Option<&'a Inputs>) -> Result<Meaning<'a>, FileError> {
    let (content, stamp) = read_config(path)?;
    let verbatim = content.as_deref().map(fingerprint_bytes);
    if let Some(before) = before
        && let Some(known) = before.items().next()
        && known.has_bytes(verbatim)
    {
        return Ok(Meaning::Unchanged(known.clone().with_stamp(stamp), before));
    }
    let config = content.as_deref().and_then(jsonc::parse);
    let fingerprint = match (&config, verbatim) {
        (Some(config), _) => jsonc::fingerprint(config),
        (None, Some(verbatim)) => verbatim,
        (None, None) => read_fingerprint(path, MAX_READ)?.0,
    };
    let content = Content::Fingerprint(fingerprint);
    Ok(Meaning::Read(content, stamp, verbatim, config))
}

/// Returns whether vim or Emacs names its backups, swap files, autosaved files or locks like this.
fn is_of_an_editor(name: &[u8]) -> bool {
    let is_swap = matches!(name, [b'.', .., b'.', b's', b'w', _]);
    let is_autosaved = matches!(name, [b'#', .., b'#']);
    is_swap || is_autosaved || name.ends_with(b"~") || name.starts_with(b".#") || name == b"4913"
}
