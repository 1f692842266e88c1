//! The directories that git ignores, by the patterns of its ignore files: <https://git-scm.com/docs/gitignore>.
//!
//! git itself is not asked: it runs programs that the configuration of a repository names (`core.fsmonitor`), and a
//! repository that is merely found is not trusted.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::config::glob::Glob;

/// The name of the file with the patterns for a directory.
pub const FILE: &str = ".gitignore";
/// The name of the directory of a repository, or of the file that names it.
pub const REPOSITORY: &str = ".git";
/// The size of the largest ignore file that is read, in bytes.
const MAX_SIZE: u64 = 64 << 10;

/// The ignore files that count for a directory, that of the innermost directory first.
#[derive(Clone, Default)]
pub struct IgnoreFiles(Option<Rc<IgnoreFile>>);

struct IgnoreFile {
    /// The directory that its patterns are relative to.
    directory: PathBuf,
    /// In the order of the file.
    patterns: Vec<Pattern>,
    /// The files that count where no pattern of this one matches.
    next: IgnoreFiles,
}

/// A pattern, as far as it is for directories.
struct Pattern {
    glob: Glob,
    /// True if it is for paths relative to the directory of its file; false if it is for names at any depth.
    is_anchored: bool,
    /// After `!`
    keeps: bool,
}

impl IgnoreFiles {
    /// Returns the ignore files that count outside of a directory for what is in it. None do where these ignore the
    /// directory itself: it was named all the same. `global` are the patterns of the user.
    pub fn around(directory: &Path, global: Option<&Path>) -> Self {
        let above = || directory.ancestors().skip(1);
        let is_top = |path: &&Path| path.join(REPOSITORY).symlink_metadata().is_ok();
        let Some(top) = above().find(is_top) else {
            return Self::default();
        };
        let mut between: Vec<&Path> = above().take_while(|path| path.starts_with(top)).collect();
        between.reverse();
        let mut files = Self::default();
        for path in between {
            if files.ignore(path) {
                return Self::default();
            }
            files = files.within(path, path == top, true, global);
        }
        if files.ignore(directory) {
            return Self::default();
        }
        files
    }

    /// Returns the ignore files that count in a directory: those of before and its own, if `has_own`. With `is_repository`, a
    /// repository begins there, for which those of before do not count.
    pub fn within(
        &self,
        directory: &Path,
        is_repository: bool,
        has_own: bool,
        global: Option<&Path>,
    ) -> Self {
        let mut files = self.clone();
        if is_repository {
            files = Self::default();
            let exclude = directory.join(REPOSITORY).join("info/exclude");
            for file in global.into_iter().chain([&*exclude]) {
                files = files.with(file, directory);
            }
        }
        let is_in_repository = is_repository || self.0.is_some();
        if has_own && is_in_repository {
            files = files.with(&directory.join(FILE), directory);
        }
        files
    }

    /// Adds the patterns of a file, which are relative to `directory`. A file counts also where it has none: it says that
    /// the directory is in a repository.
    fn with(self, file: &Path, directory: &Path) -> Self {
        let text = read(file).unwrap_or_default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Self(Some(Rc::new(IgnoreFile {
            directory: directory.to_path_buf(),
            patterns: text.lines().filter_map(Pattern::new).collect(),
            next: self,
        })))
    }

    /// Returns whether these files ignore a directory, of which those above are not ignored. The last pattern that matches
    /// of the innermost file decides.
    pub fn ignore(&self, directory: &Path) -> bool {
        let mut files = self;
        while let Some(file) = &files.0 {
            let relative = directory.strip_prefix(&file.directory).unwrap_or(directory);
            let relative = relative.to_string_lossy();
            let name = directory.file_name().unwrap_or_default().to_string_lossy();
            let mut last_first = file.patterns.iter().rev();
            let matching = last_first.find(|pattern| {
                let subject = if pattern.is_anchored {
                    &relative
                } else {
                    &name
                };
                pattern.glob.matches(subject)
            });
            if let Some(pattern) = matching {
                return !pattern.keeps;
            }
            files = &file.next;
        }
        false
    }
}

/// Reads an ignore file. git does not follow a link there either.
fn read(path: &Path) -> Option<String> {
    let is_file = path.symlink_metadata().ok()?.is_file();
    let mut content = Vec::new();
    let file = is_file.then(|| File::open(path).ok()).flatten()?;
    file.take(MAX_SIZE + 1).read_to_end(&mut content).ok()?;
    let is_whole = content.len() as u64 <= MAX_SIZE;
    is_whole.then(|| String::from_utf8_lossy(&content).into_owned())
}

impl Pattern {
    fn new(line: &str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let line = without_trailing_spaces(line);
        let (text, keeps) = match line.strip_prefix('!') {
            Some(text) => (text, true),
            None => (line, false),
        };
        let text = text.strip_suffix('/').unwrap_or(text);
        let is_anchored = text.contains('/');
        let text = text.strip_prefix('/').unwrap_or(text);
        let glob = (!text.is_empty()).then(|| Glob::new(&as_glob(text)))??;
        Some(Self {
            glob,
            is_anchored,
            keeps,
        })
    }
}

/// Removes the blanks at the end, but for one after a backslash.
fn without_trailing_spaces(line: &str) -> &str {
    let trimmed = line.trim_end_matches(' ');
    let backslashes = trimmed.len() - trimmed.trim_end_matches('\\').len();
    let is_escaped = backslashes % 2 == 1 && trimmed.len() < line.len();
    let end = trimmed.len() + usize::from(is_escaped);
    line.get(..end).unwrap_or(line)
}

/// Returns a pattern as [`Glob`] has it: classes are negated by `^`, and `**` is more than `*` only as a part of its own.
fn as_glob(text: &str) -> String {
    let parts = text.split('/').map(|part| match part {
        "**" => part.to_owned(),
        _ => part_as_glob(part),
    });
    parts.collect::<Vec<_>>().join("/")
}

fn part_as_glob(part: &str) -> String {
    let mut glob = String::with_capacity(part.len());
    let mut before = None;
    let mut is_escaped = false;
    for character in part.chars() {
        let plain = (!is_escaped).then_some(character);
        match (before, plain) {
            (Some('*'), Some('*')) => {}
            (Some('['), Some('!')) => glob.push('^'),
            _ => glob.push(character),
        }
        is_escaped = plain == Some('\\');
        before = plain;
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;

    /// Returns those of `paths` that patterns in the directory `/r` ignore.
    fn ignored<'a>(patterns: &str, paths: &[&'a str]) -> Vec<&'a str> {
        let dir = TestDir::new();
        let file = dir.write("ignore", patterns);
        let files = IgnoreFiles::default().with(&file, Path::new("/r"));
        let is_ignored = |path: &&&str| files.ignore(&Path::new("/r").join(path));
        paths.iter().filter(is_ignored).copied().collect()
    }

    #[test]
    fn patterns_are_those_of_gitignore() {
        for (patterns, hit, missed) in [
            ("a", &["a", "b/a"][..], &["ab", "b"][..]),
            ("/a\nb/", &["a", "b", "x/b"], &["x/a"]),
            ("a/b", &["a/b"], &["x/a/b", "b"]),
            ("**/a/b", &["a/b", "x/y/a/b"], &["b"]),
            ("a/**", &["a/b", "a/b/c"], &["a"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["x/b"]),
            ("*.d", &["x.d", "y/.d"], &["x.d.e"]),
            ("x/*.d", &["x/a.d"], &["x/y/a.d", "a.d"]),
            ("a**c", &["abc", "x/ac"], &["ab"]),
            ("a*\n!ab", &["ac"], &["ab"]),
            ("!ab\na*", &["ab"], &[]),
            (
                "# a\n\\#a\n\\!b\n\nc  \nd\\ ",
                &["#a", "!b", "c", "d "],
                &["a", "b", "d"],
            ),
            ("[!a]1\n[^b]2", &["b1", "a2"], &["a1", "b2"]),
            ("a\r\nb", &["a", "b"], &[]),
            ("\\**x", &["*ax"], &["ax"]),
            ("/\n//\n!\n[", &[], &["a"]),
        ] {
            assert_eq!(ignored(patterns, hit), hit, "{patterns:?}");
            assert_eq!(ignored(patterns, missed), [""; 0], "{patterns:?}");
        }
    }

    #[test]
    fn a_file_that_is_a_link_or_too_large_has_no_patterns() {
        let dir = TestDir::new();
        let file = dir.write("file", "a\n");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(read(&file).is_some());
        assert_eq!(read(&link), None);
        let large = "a\n".repeat(MAX_SIZE as usize);
        assert_eq!(read(&dir.write("large", &large)), None);
    }
}
