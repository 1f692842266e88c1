//! The owner of a workspace folder that only a label names, or a search has found: its commands run as the daemon's user, so nobody else may have
//! written them (P18). git guards a repository in the same way (`safe.directory`).

use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::model::location::{Declared, Resolved, Source};

/// The permission of the group, and of all other users, to write.
const GROUP_MAY_WRITE: u32 = 0o020;
const OTHERS_MAY_WRITE: u32 = 0o002;

/// The uid that the kernel shows for each user that a user namespace does not have, unless it is set otherwise.
const OVERFLOW_UID: u32 = 65534;

/// The user that the daemon runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
}

/// A path that another user has written, or may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOwn {
    /// The workspace folder, which nobody but this source names.
    folder: PathBuf,
    source: Source,
    /// The folder, its configuration, or a directory between the two.
    path: PathBuf,
    flaw: Flaw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// It belongs to `owner`, and the daemon runs as `user`.
    Owner { owner: u32, user: u32 },
    /// Members of this group may write it.
    Group(u32),
    /// Everybody may write it.
    Others,
}

/// Returns why no commands of a folder are run as the daemon's user: for the folder, its configuration, and each directory
/// between the two. With a `--workspace-root`, and for a folder that the operator has named, there is no reason. What cannot
/// be looked at is left to the CLI.
pub fn not_own(declared: &Declared, resolved: &Resolved, roots: &[PathBuf]) -> Option<NotOwn> {
    let source = declared.source;
    if !matches!(source, Source::Label | Source::Discovery) || !roots.is_empty() {
        return None;
    }
    let user = User {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    let paths = guarded(&declared.folder, resolved);
    paths.into_iter().find_map(|path| {
        let flaw = user.flaw_of(&fs::metadata(&path).ok()?)?;
        let folder = declared.folder.clone();
        Some(NotOwn {
            folder,
            source,
            path,
            flaw,
        })
    })
}

/// The folder, and what is between it and the configuration: as it is written, and without links.
fn guarded<'a>(written: &'a Path, resolved: &'a Resolved) -> Vec<PathBuf> {
    let mut paths = vec![resolved.folder.clone()];
    let configs = [
        (written, resolved.config.as_deref()),
        (&*resolved.folder, resolved.canonical_config.as_deref()),
    ];
    for (folder, config) in configs {
        let below = config.and_then(|config| config.strip_prefix(folder).ok());
        let mut path = folder.to_path_buf();
        for part in below.into_iter().flatten() {
            path.push(part);
            if !paths.contains(&path) {
                paths.push(path.clone());
            }
        }
    }
    paths
}

impl User {
    /// Returns why a file may hold what another user has written. The group of the daemon's user may write where it is
    /// private: with the number of the user, as most systems make it for each user.
    fn flaw_of(self, file: &Metadata) -> Option<Flaw> {
        self.flaw(file.uid(), file.gid(), file.mode())
    }

    fn flaw(self, owner: u32, group: u32, mode: u32) -> Option<Flaw> {
        let is_private = group == self.gid && group == self.uid;
        if owner != self.uid {
            let user = self.uid;
            Some(Flaw::Owner { owner, user })
        } else if mode & OTHERS_MAY_WRITE != 0 {
            Some(Flaw::Others)
        } else if mode & GROUP_MAY_WRITE != 0 && !is_private {
            Some(Flaw::Group(group))
        } else {
            None
        }
    }
}

impl fmt::Display for NotOwn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            folder,
            source,
            path,
            flaw,
        } = self;
        let named_by = match source {
            Source::Discovery => "only --discover has found",
            _ => "only a label names",
        };
        write!(f, "{named_by} {}, and ", folder.display())?;
        let path = path.display();
        match flaw {
            Flaw::Owner { owner, user } => {
                write!(f, "{path} belongs to uid {owner}")?;
                if *owner == OVERFLOW_UID {
                    f.write_str(" (or to a user that this user namespace does not have)")?;
                }
                write!(f, ", while the daemon runs as uid {user}")?;
            }
            Flaw::Group(gid) => write!(f, "the members of group {gid} may write {path}")?,
            Flaw::Others => write!(f, "everybody may write {path}")?,
        }
        let root = folder.parent().unwrap_or(folder).display();
        write!(
            f,
            "; another user's commands would run as the daemon's user. To allow it, start the daemon with --workspace-root \
             {root}, or name the folder with --devcontainer-folder {} or in a manifest",
            folder.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;
    use crate::devcontainer::resolve::resolve;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn p18_a_folder_belongs_to_the_user_and_nobody_else_may_write_it() {
        let root = User { uid: 0, gid: 0 };
        let person = User {
            uid: 1000,
            gid: 1000,
        };
        let of_users = User {
            uid: 1000,
            gid: 100,
        };
        let owner = |owner, user| Some(Flaw::Owner { owner, user });
        for (user, file, expected) in [
            (root, (0, 0, 0o755), None),
            (root, (0, 5, 0o755), None),
            (root, (0, 0, 0o775), None),
            (root, (0, 5, 0o775), Some(Flaw::Group(5))),
            (root, (0, 0, 0o757), Some(Flaw::Others)),
            (root, (0, 0, 0o1777), Some(Flaw::Others)),
            (root, (1000, 1000, 0o700), owner(1000, 0)),
            (root, (65534, 65534, 0o755), owner(65534, 0)),
            (person, (1000, 1000, 0o775), None),
            (person, (0, 0, 0o755), owner(0, 1000)),
            (person, (1001, 1000, 0o775), owner(1001, 1000)),
            (of_users, (1000, 100, 0o755), None),
            (of_users, (1000, 100, 0o775), Some(Flaw::Group(100))),
        ] {
            let (owner, group, mode) = file;
            assert_eq!(user.flaw(owner, group, mode), expected, "{user:?} {file:?}");
        }
    }

    #[test]
    fn p18_the_directories_between_folder_and_configuration_count() {
        let dir = TestDir::new();
        let folder = dir.path().join("w");
        let config = dir.write("w/.devcontainer/a/devcontainer.json", "{}");
        let elsewhere = dir.write("w/b/c/devcontainer.json", "{}");
        let declared = |config: &Path, source| Declared {
            folder: folder.clone(),
            config: Some(config.to_path_buf()),
            source,
        };
        let found = |declared: &Declared, roots: &[PathBuf]| {
            not_own(declared, &resolve(declared, roots), roots)
        };
        let label = declared(&config, Source::Label);
        let with_mode = |path: &Path, mode, check: &dyn Fn()| {
            let before = fs::metadata(path).unwrap().permissions();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            check();
            fs::set_permissions(path, before).unwrap();
        };
        assert_eq!(found(&label, &[]), None);
        for path in [&*folder, config.parent().unwrap(), &*config] {
            with_mode(path, 0o757, &|| {
                let not_own = found(&label, &[]).unwrap();
                assert_eq!((&*not_own.path, not_own.flaw), (path, Flaw::Others));
                assert_eq!(found(&label, &[dir.path().to_path_buf()]), None);
                assert_eq!(found(&declared(&config, Source::Predefined), &[]), None);
            });
        }
        let link = folder.join(".devcontainer/devcontainer.json");
        symlink(&elsewhere, &link).unwrap();
        for path in [folder.join("b"), folder.join(".devcontainer"), elsewhere] {
            with_mode(&path, 0o757, &|| {
                let not_own = found(&declared(&link, Source::Label), &[]).unwrap();
                assert!(not_own.path == path || path.ends_with("devcontainer.json"));
            });
        }
    }

    #[test]
    fn the_message_has_the_mend() {
        let message = |flaw| {
            let folder = PathBuf::from("/home/me/app");
            let path = folder.join(".devcontainer");
            NotOwn {
                folder,
                source: Source::Label,
                path,
                flaw,
            }
            .to_string()
        };
        let unmapped = Flaw::Owner {
            owner: 65534,
            user: 0,
        };
        assert_eq!(
            message(unmapped),
            "only a label names /home/me/app, and /home/me/app/.devcontainer belongs to uid 65534 (or to a user that this \
             user namespace does not have), while the daemon runs as uid 0; another user's commands would run as the \
             daemon's user. To allow it, start the daemon with --workspace-root /home/me, or name the folder with \
             --devcontainer-folder /home/me/app or in a manifest"
        );
        assert!(message(Flaw::Others).contains("everybody may write /home/me/app/.devcontainer;"));
        assert!(message(Flaw::Group(7)).contains("the members of group 7 may write /home"));
    }
}
