//! The commit that a build names: `build/commit.rs` in repositories of all kinds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use self::finding::{Commit, watched};
use crate::common::{Sandbox, sh};

#[path = "../../build/commit.rs"]
mod finding;

const COMMIT: &str = "git -c user.name=a -c user.email=a@example.org commit -q";
/// The time of the commits.
const DATE: &str = "export GIT_COMMITTER_DATE='2024-02-29T23:30:00-05:00'";

/// A package in a repository, with one commit.
fn repository() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let root = sandbox.path("package");
    fs::create_dir_all(root.join("src")).unwrap();
    fs::write(root.join("src/main.rs"), "fn main() {}").unwrap();
    sh(
        &root,
        &format!("{DATE}; git init -q -b trunk; git add src; {COMMIT} -m one"),
    );
    (sandbox, root)
}

fn found(root: &Path) -> Option<(String, Option<String>)> {
    let found = Commit::find(root, |_| None);
    found.map(|commit| (commit.name, commit.date))
}

/// The first digits of the hash, as git shows them.
fn hash(root: &Path) -> String {
    sh(root, "git rev-parse --short=12 HEAD >.git-says");
    let says = fs::read_to_string(root.join(".git-says")).unwrap();
    says.trim().to_owned()
}

/// What cargo compares: the paths, with those in directories, and their times.
fn times(paths: &[PathBuf]) -> BTreeMap<PathBuf, SystemTime> {
    let mut left = paths.to_owned();
    let mut times = BTreeMap::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        times.insert(path, modified);
    }
    times
}

#[test]
fn a_build_names_the_commit_of_git_and_its_day_in_utc() {
    let (_sandbox, root) = repository();
    let day = Some("2024-03-01".to_owned());
    assert_eq!(found(&root), Some((hash(&root), day.clone())));
    fs::write(root.join("README.md"), "no source").unwrap();
    assert_eq!(found(&root), Some((hash(&root), day.clone())));
    let dirty = Some((hash(&root) + "-dirty", day));
    fs::write(root.join("src/new.rs"), "").unwrap();
    assert_eq!(found(&root), dirty, "a file that git does not know");
    fs::remove_file(root.join("src/new.rs")).unwrap();
    fs::write(root.join("src/main.rs"), "fn main() { }").unwrap();
    assert_eq!(found(&root), dirty, "another content");
    sh(&root, "git add src");
    assert_eq!(found(&root), dirty, "another content that is staged");
}

#[test]
fn without_a_repository_the_environment_names_the_commit() {
    let sandbox = Sandbox::new();
    let root = sandbox.path("package");
    fs::create_dir(&root).unwrap();
    let find = |commit: &'static str, date: &'static str| {
        let variable = move |name: &str| match name {
            "DEVCONTAINERD_COMMIT" => Some(commit.to_owned()),
            "SOURCE_DATE_EPOCH" => Some(date.to_owned()),
            _ => None,
        };
        Commit::find(&root, variable).map(|commit| (commit.name, commit.date))
    };
    for (seconds, day) in [
        ("0", "1970-01-01"),
        ("951782399", "2000-02-28"),
        ("951782400", "2000-02-29"),
        ("4107542400", "2100-03-01"),
        ("1798761599", "2026-12-31"),
    ] {
        let expected = Some(("abc".to_owned(), Some(day.to_owned())));
        assert_eq!(find("abc", seconds), expected, "{seconds}");
    }
    assert_eq!(find("abc", "soon"), Some(("abc".to_owned(), None)));
    assert_eq!(find("", "0"), None);
    assert_eq!(found(&root), None);
    // The package is a part of another repository, whose commits are not its own.
    sh(
        &sandbox.path(""),
        &format!("git init -q; echo a >package/a; git add package; {COMMIT} -m all"),
    );
    assert_eq!(found(&root), None);
}

#[test]
fn what_is_watched_changes_with_each_commit_also_in_worktrees_and_with_packed_names() {
    let (sandbox, root) = repository();
    sh(&root, "git worktree add -q -b other ../other");
    for directory in [root.clone(), sandbox.path("other")] {
        for setup in [
            "",
            "git pack-refs --all",
            "git config core.logAllRefUpdates false",
        ] {
            sh(&directory, setup);
            let paths = watched(&directory);
            let before = times(&paths);
            let name = found(&directory).unwrap().0;
            sh(&directory, &format!("{COMMIT} --allow-empty -m next"));
            assert_ne!(found(&directory).unwrap().0, name, "{setup}");
            assert_ne!(times(&paths), before, "{setup}");
        }
    }
    let paths = watched(&root);
    let before = times(&paths);
    sh(&root, "git checkout -q --detach HEAD^");
    assert_ne!(times(&paths), before, "another commit is checked out");
}
