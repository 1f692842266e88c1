//! The reasons why a scan leaves something out.

use std::fmt;
use std::path::Path;

use super::compose::{MAX_COMPOSE, MAX_COMPOSE_FILES};
use super::scanner::{LARGE, MAX_DEPTH, MAX_READ};
use crate::devcontainer::config::file::MAX_CONFIG;
use crate::model::inputs::{MAX_INPUTS, Stamp};

/// The reason why something is not compared, with the mend.
pub(super) enum Reason<'a> {
    /// There is no such configuration.
    NoConfig(&'a Path),
    /// The configuration names a file or folder that does not exist.
    Missing(&'a Path),
    /// The file cannot be read, and that is a property of the file.
    Unreadable(&'a Path),
    /// The file cannot be read, which says nothing about it.
    Unclear(&'a Path),
    /// The configuration cannot be parsed.
    Unparsable(&'a Path),
    /// The configuration exceeds [`MAX_CONFIG`].
    LargeConfig(&'a Path),
    /// The file of a compose project exceeds [`MAX_COMPOSE`].
    LargeCompose(&'a Path),
    /// The file of a compose project comes after [`MAX_COMPOSE_FILES`] others.
    BeyondCompose(&'a Path),
    /// The file of a compose project is not UTF-8.
    NotUtf8(&'a Path),
    /// All files of the configuration together exceed [`MAX_READ`].
    TooManyBytes(&'a Path),
    /// The configuration names more than is followed.
    TooMany(&'a Path),
}

impl<'a> Reason<'a> {
    /// The reason why a configuration that was read has no meaning.
    pub(super) fn without_meaning(path: &'a Path, stamp: &Stamp) -> Self {
        if stamp.size() > MAX_CONFIG {
            Self::LargeConfig(path)
        } else {
            Self::Unparsable(path)
        }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConfig(path) => {
                let path = path.display();
                write!(
                    f,
                    "the configuration {path} does not exist, so that what it names is not compared"
                )
            }
            Self::Missing(path) => write!(
                f,
                "{}, which the configuration names, does not exist",
                path.display()
            ),
            Self::Unreadable(path) => write!(
                f,
                "{} cannot be read; it must be a file that the user of the daemon may read",
                path.display()
            ),
            Self::Unclear(path) => write!(f, "{} cannot be read at the moment", path.display()),
            Self::Unparsable(path) => write!(
                f,
                "the configuration {} cannot be parsed, so that what it names is not compared; correct its syntax",
                path.display()
            ),
            Self::LargeConfig(path) => write!(
                f,
                "the configuration {} is larger than {} MiB, so that what it names is not compared; make it smaller",
                path.display(),
                MAX_CONFIG >> 20
            ),
            Self::LargeCompose(path) => write!(
                f,
                "{} is larger than {} KiB, so that what it names is not compared; make it smaller",
                path.display(),
                MAX_COMPOSE >> 10
            ),
            Self::BeyondCompose(path) => write!(
                f,
                "{} is one of more than {MAX_COMPOSE_FILES} files of a compose project, so that it is not compared",
                path.display()
            ),
            Self::NotUtf8(path) => write!(
                f,
                "{} is not UTF-8, so that what it names is not compared; save it as UTF-8",
                path.display()
            ),
            Self::TooManyBytes(path) => write!(
                f,
                "the files that {} names are larger than {} MiB together, so that those above {} KiB are compared by size \
                 and time only; keep large files out of its features",
                path.display(),
                MAX_READ >> 20,
                LARGE >> 10
            ),
            Self::TooMany(path) => write!(
                f,
                "{} names more than {MAX_INPUTS} files, more than {MAX_COMPOSE_FILES} compose files, or directories nested \
                 more than {MAX_DEPTH} deep; the rest is not compared",
                path.display()
            ),
        }
    }
}
