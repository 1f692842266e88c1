//! The files that builds take from their contexts by name.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use super::{Found, Scanner, read_fingerprint, stamp_of};
use crate::base::links::{MAX_LINKS, parts_to_follow};
use crate::base::text::one_line;
use crate::devcontainer::config::dockerfile::{self, Source};
use crate::devcontainer::config::dockerignore::Ignored;
use crate::devcontainer::config::file::read_config;
use crate::devcontainer::config::glob::Glob;
use crate::devcontainer::fingerprint::fingerprint_bytes;
use crate::devcontainer::scan::error::FileError;
use crate::model::build::{Build, Dockerfile};
use crate::model::inputs::{Content, Input, MAX_INPUTS, Stamp};
use crate::model::location::normal;

/// The sizes of the largest Dockerfile and `.dockerignore` that are followed, in bytes.
const MAX_DOCKERFILE: usize = 256 << 10;
const MAX_DOCKERIGNORE: usize = 64 << 10;
/// How many builds are followed.
const MAX_BUILDS: usize = 100;
/// How many steps comparing the paths of one dev container with `.dockerignore` files may take: some seconds.
const MAX_IGNORE_STEPS: usize = 1 << 29;

impl Scanner<'_> {
    /// Looks at a Dockerfile and at the files that it takes from its context by name.
    pub(in crate::devcontainer::scan) fn build(&mut self, build: &Build) {
        self.builds += 1;
        if self.builds > MAX_BUILDS {
            self.is_truncated = true;
            return;
        }
        let (text, of) = match &build.dockerfile {
            Dockerfile::File(path) => (self.dockerfile(path), path.display().to_string()),
            Dockerfile::Inline(text) => (Some(text.clone()), "dockerfile_inline".to_owned()),
            Dockerfile::Remote => return,
        };
        let copied = dockerfile::copied(&text.unwrap_or_default(), build);
        for problem in &copied.unknown {
            self.leave_unchecked(&one_line(&format!("{of}: {problem}")));
        }
        // Sources are sorted by their contexts.
        let sources: Vec<&Source> = copied.sources.iter().collect();
        for sources in sources.chunk_by(|a, b| a.context == b.context) {
            let name = sources.first().and_then(|source| source.context.as_ref());
            let context = match name {
                None => build.context.as_ref(),
                Some(name) => build.contexts.get(name),
            };
            if let Some(context) = context {
                let preferred = build.ignore_file.as_deref().filter(|_| name.is_none());
                self.sources(context, sources, preferred);
            }
        }
    }

    /// Looks at the files that a build takes from a context by name. A `preferred` ignore file that exists goes before
    /// that of the context.
    fn sources(&mut self, context: &Path, sources: &[&Source], preferred: Option<&Path>) {
        let ignored = preferred
            .and_then(|path| self.ignored(path))
            .or_else(|| self.ignored(&context.join(".dockerignore")))
            .unwrap_or_default();
        for source in sources {
            let parts = normal(&Path::new("/").join(&source.path));
            let parts = parts.strip_prefix("/").unwrap_or(&parts);
            if source.is_pattern {
                self.matching(context, source, parts, &ignored);
            } else if !parts.as_os_str().is_empty() && !is_excluded(source, parts) {
                self.named(context, parts, &ignored);
            }
        }
    }

    /// The text of a Dockerfile, which becomes an input.
    fn dockerfile(&mut self, path: &Path) -> Option<String> {
        let (found, text) = match read_dockerfile(path) {
            Ok((content, stamp, text)) => {
                if text.is_none() {
                    self.leave_unchecked(&format!(
                        "{} is larger than {} KiB, so that what it copies is not compared; split it",
                        path.display(),
                        MAX_DOCKERFILE >> 10
                    ));
                }
                (Ok((content, stamp)), text)
            }
            Err(error) => {
                self.is_inconclusive |= error.is_inconclusive();
                (Err(error), None)
            }
        };
        if self.is_new(path) {
            let input = self.input(path.to_path_buf(), found).naming_others();
            self.others.push(input);
        }
        text
    }

    /// Reads an ignore file; `None` where there is none. What counts of it is which files it lets through.
    fn ignored(&mut self, path: &Path) -> Option<Ignored> {
        let (found, ignored): (Found, _) = match read_config(path) {
            Ok((content, stamp)) => {
                let content = content.filter(|content| content.len() <= MAX_DOCKERIGNORE);
                if content.is_none() {
                    self.leave_unchecked(&format!(
                        "{} is larger than {} KiB and is not followed; make it smaller",
                        path.display(),
                        MAX_DOCKERIGNORE >> 10
                    ));
                }
                let content = content.unwrap_or_default();
                let ignored = Ignored::new(&String::from_utf8_lossy(&content));
                let content = Content::Fingerprint(fingerprint_bytes(&content));
                (Ok((content, stamp)), Some(ignored))
            }
            Err(error) => {
                let error = FileError::from(error);
                self.is_inconclusive |= error.is_inconclusive();
                let is_absent = matches!(error, FileError::Absent);
                (Err(error), (!is_absent).then(Ignored::default))
            }
        };
        if self.is_new(path) {
            let input = self.input(path.to_path_buf(), found).not_compared();
            self.others.push(input);
        }
        ignored
    }

    /// Looks at a file of the context, unless it is a directory. One that is ignored is absent.
    fn named(&mut self, context: &Path, relative: &Path, ignored: &Ignored) {
        let path = context.join(relative);
        let metadata = std::fs::metadata(&path);
        let mut links = Vec::new();
        let resolved = resolve(context, relative, &mut links);
        let leads_elsewhere = match (&metadata, &resolved) {
            (Ok(metadata), Ok(resolved)) => std::fs::metadata(context.join(resolved))
                .is_ok_and(|there| stamp_of(metadata).file_id() != stamp_of(&there).file_id()),
            _ => true,
        };
        // Looking at the path shows where these lead only if the system follows them as the builder does.
        if leads_elsewhere {
            self.links(links);
        }
        let resolved = match resolved {
            Ok(resolved) => resolved,
            // A link leads out of the context, where the builder does not follow.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.absent(path, metadata.ok().as_ref());
            }
            // Reading it says why.
            Err(_) => return self.file(path),
        };
        let mut is_out = |path: &Path| self.is_ignored(context, path, ignored);
        let Some(is_ignored) = is_out(relative).and_then(|is| Some(is || is_out(&resolved)?))
        else {
            return;
        };
        let resolved = context.join(resolved);
        let there = std::fs::metadata(&resolved);
        let is_same = match (&metadata, &there) {
            (Ok(a), Ok(b)) => stamp_of(a).file_id() == stamp_of(b).file_id(),
            (Err(_), Ok(_)) => false,
            (_, Err(_)) => true,
        };
        match there {
            Ok(there) if there.is_dir() => self.directory(path, Some(&there)),
            Ok(there) if is_ignored => self.absent(path, Some(&there)),
            _ => self.file(if is_same { path } else { resolved }),
        }
    }

    /// Compares a file by all of its bytes that was looked at in another way.
    pub(super) fn compare_bytes(&mut self, path: PathBuf) {
        let is_it = |input: &Input| {
            let is_in_doubt = input.names_others || !input.is_compared();
            is_in_doubt && !input.is_link() && *input.path == *path
        };
        let Some(index) = self.others.iter().position(is_it) else {
            return;
        };
        let input = self.read_bytes(path, super::LARGE);
        if let Some(known) = self.others.get_mut(index) {
            // A later stamp would hide a change since the first look.
            let stamp = known.stamp().copied().or(input.stamp().copied());
            let mut compared = Input::new(input.path.into_path_buf(), input.content, stamp);
            compared.names_others = known.names_others;
            *known = compared;
        }
    }

    /// Looks at the files of the context that match a pattern. Their directories are inputs, so that one that comes or
    /// goes is a change. A pattern that takes in everything is like a directory.
    fn matching(&mut self, context: &Path, source: &Source, parts: &Path, ignored: &Ignored) {
        let parts: Vec<String> = parts
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        let takes_all = |part: &String| part.chars().all(|c| c == '*');
        if parts.last().is_none_or(takes_all) || parts.iter().any(|part| part.contains("**")) {
            return;
        }
        let mut found = vec![PathBuf::new()];
        for part in &parts {
            let Some(glob) = Glob::new(part) else { return };
            let is_pattern = part.contains(['*', '?', '[']);
            let mut next = Vec::new();
            for directory in found {
                if is_pattern {
                    next.extend(self.entries_of(context, &directory, &glob));
                } else {
                    next.push(directory.join(part));
                }
            }
            found = next;
        }
        for relative in found {
            let Some(is_ignored) = self.is_ignored(context, &relative, ignored) else {
                return;
            };
            let is_left_out = is_ignored || is_excluded(source, &relative);
            let path = context.join(&relative);
            let is_file = std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
            if is_file && !is_left_out {
                self.file(path);
            }
        }
    }

    /// The entries of a directory of the context that match a pattern. The directory becomes an input.
    fn entries_of(&mut self, context: &Path, directory: &Path, glob: &Glob) -> Vec<PathBuf> {
        let path = normal(&context.join(directory));
        // Stamped before it is read, so that later changes show in the next stamp.
        let found = std::fs::metadata(&path).map_err(FileError::from);
        let found = found.and_then(|metadata| match metadata.is_dir() {
            true => Ok((Content::Directory, stamp_of(&metadata))),
            false => Err(FileError::Absent),
        });
        let is_directory = found.is_ok();
        if self.is_new(&path) {
            let input = self.input(path.clone(), found);
            self.others.push(input);
        }
        if !is_directory {
            return Vec::new();
        }
        let names = self.entries(&path).unwrap_or_default();
        let matches = |name: &OsString| glob.matches(&name.to_string_lossy());
        let names = names.into_iter().filter(matches);
        names.map(|name| directory.join(name)).collect()
    }

    /// Notes symbolic links on the way to a file, which may come to lead to another one.
    fn links(&mut self, links: Vec<PathBuf>) {
        for path in links {
            if self.others.len() >= MAX_INPUTS {
                self.is_truncated = true;
                return;
            }
            let metadata = path.symlink_metadata();
            if let Ok(metadata) = metadata
                && self.links.insert(path.clone())
            {
                let stamp = stamp_of(&metadata);
                self.others.push(Input::link(path, stamp));
            }
        }
    }

    /// Returns whether a file of the context is ignored. Returns `None`, and leaves it unchecked, where finding that out
    /// would take too long.
    fn is_ignored(&mut self, context: &Path, relative: &Path, ignored: &Ignored) -> Option<bool> {
        let steps = self.ignore_steps.saturating_add(ignored.cost(relative));
        if steps > MAX_IGNORE_STEPS {
            self.leave_unchecked(&format!(
                "what is copied from {} is too much to be compared with all patterns of its .dockerignore; copy directories \
                 instead of single files, or use fewer patterns",
                context.display()
            ));
            return None;
        }
        self.ignore_steps = steps;
        Some(ignored.includes(relative))
    }

    /// Notes a file that the builder does not see.
    fn absent(&mut self, path: PathBuf, metadata: Option<&Metadata>) {
        if self.is_new(&path) {
            let stamp = metadata.map(stamp_of);
            self.others.push(Input::new(path, Content::Absent, stamp));
        }
    }

    /// Notes a directory that is copied whole: a file in its place would be an input.
    fn directory(&mut self, path: PathBuf, metadata: Option<&Metadata>) {
        if self.is_new(&path) {
            let stamp = metadata.map(stamp_of);
            let input = Input::new(path, Content::Absent, stamp);
            self.others.push(input.not_compared());
        }
    }
}

/// Returns whether `--exclude` leaves out a file.
fn is_excluded(source: &Source, path: &Path) -> bool {
    let excluded = Ignored::new(&source.excluded.join("\n"));
    let name = path.file_name().map(Path::new);
    name.is_some_and(|name| excluded.includes(name))
}

/// Reads a Dockerfile: its content, its stamp, and its text unless it is too large.
fn read_dockerfile(path: &Path) -> Result<(Content, Stamp, Option<String>), FileError> {
    let (content, stamp) = read_config(path)?;
    let fingerprint = match &content {
        Some(content) => fingerprint_bytes(content),
        None => read_fingerprint(path, super::MAX_READ)?.0,
    };
    let content = content.filter(|content| content.len() <= MAX_DOCKERFILE);
    let text = content.map(|content| String::from_utf8_lossy(&content).into_owned());
    Ok((Content::Fingerprint(fingerprint), stamp, text))
}

/// Resolves the links of a path in a context as a builder does, for which the context is the root directory. Adds the
/// paths of these links to `links`.
fn resolve(context: &Path, relative: &Path, links: &mut Vec<PathBuf>) -> io::Result<PathBuf> {
    let mut at = PathBuf::new();
    let mut left = parts_to_follow(relative);
    while let Some(name) = left.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let path = context.join(&next);
        if !path.symlink_metadata()?.is_symlink() {
            at = next;
            continue;
        }
        if links.len() == MAX_LINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let target = path.read_link()?;
        links.push(path);
        if target.is_absolute() {
            at = PathBuf::new();
        }
        left.extend(parts_to_follow(&target));
    }
    Ok(at)
}
