//! Finds the commit that a build is of: git's, or that of the environment where the sources are no repository.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Paths in the package of what the program is compiled from.
pub const SOURCES: [&str; 5] = ["Cargo.lock", "Cargo.toml", "build", "build.rs", "src"];
/// Names of variables that give the commit and its date (in seconds since 1970) where git does not.
pub const VARIABLES: [&str; 2] = ["DEVCONTAINERD_COMMIT", "SOURCE_DATE_EPOCH"];

/// A commit.
#[derive(Debug, PartialEq, Eq)]
pub struct Commit {
    /// The first 12 digits of its hash, with `-dirty` where the sources differ from it.
    pub name: String,
    /// The day in UTC on which it was made, as in `2026-11-29`.
    pub date: Option<String>,
}

impl Commit {
    /// Returns the commit of the package in `root`. `variable` looks up a variable of the environment.
    pub fn find(root: &Path, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let [commit, date] = VARIABLES;
        Self::of_git(root).or_else(|| {
            let name = variable(commit).filter(|name| !name.is_empty())?;
            let date = variable(date).and_then(|seconds| day(&seconds));
            Some(Self { name, date })
        })
    }

    fn of_git(root: &Path) -> Option<Self> {
        // A repository around the package, as where it is vendored, has other commits.
        if !git(root, &["rev-parse", "--show-prefix"])?.is_empty() {
            return None;
        }
        let shown = git(
            root,
            &["log", "-1", "--no-show-signature", "--format=%H %ct"],
        )?;
        let (hash, seconds) = shown.split_once(' ')?;
        let mut name = hash.get(..12)?.to_owned();
        let status = ["status", "--porcelain", "--untracked-files=normal", "--"];
        if !git(root, &[&status[..], &SOURCES].concat())?.is_empty() {
            name += "-dirty";
        }
        let date = day(seconds);
        Some(Self { name, date })
    }
}

/// Returns the files and directories of git that change when another commit is checked out or made.
pub fn watched(root: &Path) -> Vec<PathBuf> {
    // In a worktree, some are in the directory of the repository that it belongs to.
    let in_git = |name: &str| git(root, &["rev-parse", "--git-path", name]).map(|at| root.join(at));
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]);
    // A branch whose name is packed has no file until it moves; then the directory changes.
    let branch = branch.and_then(|name| {
        let file = in_git(&name)?;
        let there = file.ancestors().find(|path| path.exists());
        there.map(Path::to_owned)
    });
    let files = ["HEAD", "packed-refs", "reftable"];
    let files = files.into_iter().filter_map(in_git);
    files.filter(|path| path.exists()).chain(branch).collect()
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.arg("--no-optional-locks").arg("-C").arg(root);
    let output = command.args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

/// Returns the day in UTC of a time in seconds since 1970.
fn day(seconds: &str) -> Option<String> {
    let mut days = seconds.parse::<u32>().ok()? / 86_400;
    let is_leap = |year: u32| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u32::from(is_leap(year)) {
        days -= 365 + u32::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u32::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    Some(format!("{year}-{month:02}-{:02}", days + 1))
}
