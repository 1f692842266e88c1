//! Goes through the inputs of one dev container.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::files::{self, stamp_of};
use crate::devcontainer::config::file::read_config;
use crate::devcontainer::config::{compose, jsonc};
use crate::devcontainer::fingerprint::fingerprint_bytes;
use crate::model::inputs::{
    Content, FileId, ForceReread, Input, Inputs, MAX_INPUTS, Reference, Stamp,
};
use crate::model::location::{CliPaths, MAX_PATH};

/// How deep directories in a feature may be nested.
const MAX_DEPTH: usize = 16;
/// What is read of one dev container. Where its files are larger together, those above the second size are compared by
/// size and time alone: to read them would take seconds.
const MAX_READ: u64 = 256 << 20;
const LARGE: u64 = MAX_READ / MAX_INPUTS as u64;
/// A larger compose file is compared, and names nothing; so do those after so many.
const MAX_COMPOSE: usize = 256 << 10;
const MAX_COMPOSE_FILES: usize = 32;
/// What is read of directories, those entries included that do not count.
const MAX_ENTRIES: usize = 100_000;

/// What looks at one input after the other.
pub(super) struct Scanner<'a> {
    before: Option<&'a Inputs>,
    known: HashMap<&'a Path, &'a Input>,
    force_reread: &'a ForceReread,
    items: Vec<Input>,
    /// Those of the items that are still to be read.
    unread: Vec<usize>,
    seen: HashSet<PathBuf>,
    compose_files: usize,
    entries: usize,
    truncated: bool,
    /// Whether something could not be looked at for a reason that says nothing of it.
    in_doubt: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(before: Option<&'a Inputs>, force_reread: &'a ForceReread) -> Self {
        let known = before.iter().flat_map(|before| before.items.iter());
        Self {
            before,
            known: known.map(|item| (&*item.path, item)).collect(),
            force_reread,
            items: Vec::new(),
            unread: Vec::new(),
            seen: HashSet::new(),
            compose_files: 0,
            entries: 0,
            truncated: false,
            in_doubt: false,
        }
    }

    /// Returns `None` where too little could be found out.
    pub(super) fn look(mut self, site: &Arc<CliPaths>) -> Option<Inputs> {
        let references = self.config(site);
        self.file(site.lock_file());
        for reference in references.iter() {
            match reference {
                Reference::File(path) => self.file(path.clone()),
                Reference::Compose(path) => self.compose(path, &references),
                Reference::Feature(path) => self.feature(path.clone(), &mut Vec::new()),
            }
        }
        let reads_large = self.read();
        (!self.in_doubt).then(|| Inputs {
            site: site.clone(),
            items: self.items.into(),
            references,
            truncated: self.truncated,
            reads_large,
        })
    }

    /// Returns what the configuration names.
    fn config(&mut self, site: &CliPaths) -> Arc<[Reference]> {
        let path = &site.config;
        self.seen.insert(path.clone());
        if let (Some(known), Some(before)) = (self.still_known(path), self.before) {
            self.items.push(known);
            return before.references.clone();
        }
        let mut references = Vec::new();
        let read = read_config(path).and_then(|(content, metadata)| {
            let parsed = content.as_deref().and_then(jsonc::parse);
            if let Some(config) = &parsed {
                references = site.references(config, &|name| std::env::var_os(name));
            }
            let fingerprint = match (parsed, content) {
                (Some(config), _) => jsonc::fingerprint(&config),
                (None, Some(content)) => fingerprint_bytes(&content),
                (None, None) => files::read_fingerprint(path, MAX_READ)?.0,
            };
            Ok((Content::Fingerprint(fingerprint), stamp_of(&metadata)))
        });
        let is_settled = !read.as_ref().is_err_and(says_nothing);
        let names_others = true;
        self.push(path.clone(), read, names_others);
        match (is_settled, self.before) {
            (false, Some(before)) => before.references.clone(),
            _ => references.into(),
        }
    }

    /// A compose file, and the Dockerfiles that it names. Those are relative to the first one of all.
    fn compose(&mut self, path: &Path, references: &[Reference]) {
        self.compose_files += 1;
        if self.compose_files > MAX_COMPOSE_FILES {
            self.truncated = true;
            return;
        }
        if !self.is_new(path) {
            return;
        }
        let first = references.iter().find_map(|reference| match reference {
            Reference::Compose(first) => first.parent(),
            _ => None,
        });
        let mut dockerfiles = Vec::new();
        let read = read_config(path).and_then(|(content, metadata)| {
            let fingerprint = match content {
                Some(content) => {
                    if content.len() <= MAX_COMPOSE {
                        let directory = first.unwrap_or(path);
                        let environment = |name: &str| std::env::var_os(name);
                        dockerfiles = compose::dockerfiles(&content, directory, &environment);
                    }
                    fingerprint_bytes(&content)
                }
                None => files::read_fingerprint(path, LARGE)?.0,
            };
            Ok((Content::Fingerprint(fingerprint), stamp_of(&metadata)))
        });
        let names_others = true;
        self.push(path.to_path_buf(), read, names_others);
        dockerfiles.into_iter().for_each(|path| self.file(path));
    }

    /// A file, which is read when the sizes of all are known.
    fn file(&mut self, path: PathBuf) {
        if self.is_new(&path) {
            self.unread.push(self.items.len());
            self.items.push(Input::absent(path));
        }
    }

    /// A feature's directory, or something in one; `within` are the directories that it is in.
    fn feature(&mut self, path: PathBuf, within: &mut Vec<FileId>) {
        let metadata = std::fs::metadata(&path);
        let Some(metadata) = metadata.ok().filter(Metadata::is_dir) else {
            return self.file(path);
        };
        // Stamped before it is read: what comes after that shows in the next stamp.
        let stamp = stamp_of(&metadata);
        // A link may lead back to where it is.
        if within.contains(&stamp.file_id()) {
            return;
        }
        if within.len() >= MAX_DEPTH {
            self.truncated = true;
            return;
        }
        if !self.is_new(&path) {
            return;
        }
        let names_others = false;
        match self.entries(&path) {
            Ok(entries) => {
                self.push(path.clone(), Ok((Content::Directory, stamp)), names_others);
                within.push(stamp.file_id());
                for name in entries {
                    self.feature(path.join(name), within);
                }
                within.pop();
            }
            Err(e) => self.push(path, Err(e), names_others),
        }
    }

    /// The names in a directory, sorted, but for what editors put beside a file while it is open. Of too many the first
    /// ones.
    fn entries(&mut self, directory: &Path) -> io::Result<BTreeSet<OsString>> {
        let room = MAX_INPUTS.saturating_sub(self.items.len());
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name();
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                self.truncated = true;
                break;
            }
            if !is_of_an_editor(name.as_bytes()) {
                names.insert(name);
            }
            if names.len() > room {
                names.pop_last();
                self.truncated = true;
            }
        }
        Ok(names)
    }

    /// Whether it is to be looked at, now.
    fn is_new(&mut self, path: &Path) -> bool {
        let text = path.as_os_str().as_bytes();
        if text.len() >= MAX_PATH || text.contains(&0) {
            // There is no such file.
            return false;
        }
        if self.items.len() >= MAX_INPUTS {
            self.truncated |= !self.seen.contains(path);
            return false;
        }
        self.seen.insert(path.to_path_buf())
    }

    /// Reads what is still to be read. Returns whether large files are among that.
    fn read(&mut self) -> bool {
        let unread = std::mem::take(&mut self.unread);
        let paths = unread.iter().filter_map(|index| self.items.get(*index));
        let sizes = paths.map(|input| std::fs::metadata(&input.path).map_or(0, |m| m.len()));
        let reads_large = sizes.fold(0, u64::saturating_add) <= MAX_READ;
        let limit = match reads_large {
            true => MAX_READ,
            false => LARGE,
        };
        let before_parking = self
            .before
            .is_some_and(|before| before.reads_large == reads_large);
        for index in unread {
            let Some(path) = self.items.get(index).map(|input| input.path.to_path_buf()) else {
                continue;
            };
            let known = self.still_known(&path);
            let known = known.filter(|known| before_parking || !known.is_larger_than(LARGE));
            let input = known.unwrap_or_else(|| {
                let read = files::read_fingerprint(&path, limit);
                let read = read.map(|(found, stamp)| (Content::Fingerprint(found), stamp));
                self.found(path, read)
            });
            if let Some(item) = self.items.get_mut(index) {
                *item = input;
            }
        }
        reads_large
    }

    fn push(&mut self, path: PathBuf, found: io::Result<(Content, Stamp)>, names_others: bool) {
        let input = self.found(path, found);
        self.items.push(Input {
            names_others,
            ..input
        });
    }

    /// What was found at `path`. An error that says nothing of what is there leaves what is known.
    fn found(&mut self, path: PathBuf, found: io::Result<(Content, Stamp)>) -> Input {
        let (content, stamp) = match found {
            Ok((content, stamp)) => (content, Some(stamp)),
            Err(e) if super::is_absent(&e) => (Content::Absent, None),
            Err(e) if says_nothing(&e) => match self.known.get(&*path) {
                Some(known) => (known.content, None),
                None => {
                    self.in_doubt |= is_about_us(&e);
                    (Content::Unreadable, None)
                }
            },
            Err(_) => (Content::Unreadable, None),
        };
        Input {
            content,
            stamp,
            ..Input::absent(path)
        }
    }

    fn still_known(&self, path: &Path) -> Option<Input> {
        let known = self.known.get(path)?;
        super::holds(known, self.force_reread).then(|| (*known).clone())
    }
}

/// Whether an error is about us, or about this moment, and not about the file: no descriptors or no memory left, an
/// interruption, somebody's lease, a file system that does not answer rightly.
fn says_nothing(error: &io::Error) -> bool {
    let definite = [Errno::ACCESS, Errno::PERM, Errno::LOOP, Errno::NAMETOOLONG];
    let definite = definite.map(Errno::raw_os_error);
    match error.raw_os_error() {
        Some(number) => !super::is_absent(error) && !definite.contains(&number),
        // Ours: what is there is no file.
        None => false,
    }
}

/// Whether it would be the same with any other file.
fn is_about_us(error: &io::Error) -> bool {
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::INTR,
        Errno::AGAIN,
    ];
    let number = error.raw_os_error();
    ours.iter()
        .any(|errno| number == Some(errno.raw_os_error()))
}

/// Backups and swap files of vim, backups, autosaved files and locks of Emacs.
fn is_of_an_editor(name: &[u8]) -> bool {
    let is_swap = matches!(name, [b'.', .., b'.', b's', b'w', _]);
    let is_autosaved = matches!(name, [b'#', .., b'#']);
    is_swap || is_autosaved || name.ends_with(b"~") || name.starts_with(b".#") || name == b"4913"
}
