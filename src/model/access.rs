//! The operations that are allowed on a dev container, and the reason why no others are.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The operations that are allowed for a dev container.
///
/// `up` uses the folder and its configuration, while stopping and deleting use containers only. A scan reads files, but
/// changes nothing, so that it may wait for a folder to appear. Of several reasons the first one in this table counts.
///
/// | reason | access | scan |
/// |---|---|---|
/// | a path is too long | `None` | no |
/// | the file system does not answer | `None` | no |
/// | the folder is relative, and outside of the workspace roots | `None` | no |
/// | the folder is outside of the workspace roots | `None` | no |
/// | the folder is relative | `StopOnly` | no |
/// | the folder does not exist | `StopOnly` | yes, unless one of the two below holds too |
/// | others than the operator name a configuration outside of the folder | `StopOnly` | no |
/// | others than the operator name a path with `..` | `StopOnly` | no |
/// | none | `Full` | yes |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every operation.
    Full,
    /// Stopping and deleting containers.
    StopOnly(Why),
    /// No operation.
    None(Why),
}

impl Access {
    /// Returns whether containers may be started and created.
    pub fn allows_up(&self) -> bool {
        self.why_no_up().is_none()
    }

    /// Returns whether containers may be stopped and deleted.
    pub fn allows_stop(&self) -> bool {
        self.why_no_stop().is_none()
    }

    /// Returns whether the file system of the folder did not answer, so that nothing else is known.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::None(Why::Silent(_)))
    }

    /// The reason why containers may not be started or created.
    pub fn why_no_up(&self) -> Option<&Why> {
        match self {
            Self::Full => None,
            Self::StopOnly(why) | Self::None(why) => Some(why),
        }
    }

    /// The reason why containers may not even be stopped.
    pub fn why_no_stop(&self) -> Option<&Why> {
        match self {
            Self::Full | Self::StopOnly(_) => None,
            Self::None(why) => Some(why),
        }
    }
}

/// The reason why an operation is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A path, of which this is the beginning, has `MAX_PATH` bytes or more.
    TooLong(String),
    /// The file system of the folder does not answer.
    Silent(PathBuf),
    /// The folder is a relative path.
    Relative(PathBuf),
    /// The folder is below none of the workspace roots.
    OutsideRoots(PathBuf),
    /// The folder does not exist or is not a directory.
    Missing(PathBuf),
    /// The configuration that a label or a client names, or a search has found, is not in its folder.
    ConfigOutside {
        /// The configuration without symbolic links.
        config: PathBuf,
        /// The workspace folder.
        folder: PathBuf,
    },
    /// A label or a client names a path with `..`, which is ambiguous: behind a symbolic link it leads elsewhere for the kernel than
    /// for the CLI, which resolves it by its text. The path that is used would not be the one that was checked. The CLI
    /// itself writes no such labels.
    LeadsUp(PathBuf),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(begin) => write!(
                f,
                "{begin}… is longer than a path can be: it is not an existing directory"
            ),
            Self::Silent(folder) => write!(
                f,
                "the file system of the workspace folder {} does not answer; check its mount, or the server or program \
                 behind it; it is looked at again when it answers",
                folder.display()
            ),
            Self::Relative(folder) => write!(
                f,
                "the workspace folder {} is not an absolute path; {}",
                folder.display(),
                mend_of_relative(folder)
            ),
            Self::OutsideRoots(folder) => write!(
                f,
                "the workspace folder {} is not below a --workspace-root; add one to allow it",
                folder.display()
            ),
            Self::Missing(folder) => write!(
                f,
                "the workspace folder {} is not an existing directory that the daemon can see; where the daemon runs \
                 in a container, mount the folder there at the same path",
                folder.display()
            ),
            Self::ConfigOutside { config, folder } => write!(
                f,
                "the config {} is not below the workspace folder {}; to allow it, name both in a manifest",
                config.display(),
                folder.display()
            ),
            Self::LeadsUp(path) => {
                write!(
                    f,
                    "the path {} leads upwards with `..`; to allow it, name the dev container in a manifest",
                    path.display()
                )
            }
        }
    }
}

/// The mend for a folder that is not an absolute path.
fn mend_of_relative(folder: &Path) -> &'static str {
    match folder.as_os_str().as_bytes() {
        [b'\\', b'\\', ..] => {
            "it is a path of Windows: run the daemon in the WSL distribution that has the folder, with WSL_DISTRO_NAME set \
             to the name of the distribution"
        }
        [drive, b':', ..] if drive.is_ascii_alphabetic() => {
            "it is a path of Windows: keep the folder in a WSL distribution, and run the daemon there"
        }
        _ => "a label must name the folder from the root on, as the devcontainer CLI does",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_allows_more_or_less() {
        let why = || Why::Missing("/w".into());
        for (access, up, stop) in [
            (Access::Full, true, true),
            (Access::StopOnly(why()), false, true),
            (Access::None(why()), false, false),
        ] {
            assert_eq!((access.allows_up(), access.allows_stop()), (up, stop));
        }
    }
}
