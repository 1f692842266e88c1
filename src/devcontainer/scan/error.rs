//! Errors of a scan, by what they say about the file.

use std::path::PathBuf;
use std::{fmt, io};

use rustix::io::Errno;

/// A scan that could not find out enough, though another one soon may.
#[derive(Debug)]
pub struct ScanError {
    /// The path at which the scan failed first.
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "{path} cannot be read at the moment: {}", self.source)
    }
}

impl std::error::Error for ScanError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// An error of one file.
#[derive(Debug)]
pub(super) enum FileError {
    /// There is no such file.
    Absent,
    /// The file cannot be read, and that is a property of the file.
    Unreadable,
    /// The error says nothing about the file: a lease, or a file system that does not answer properly.
    Unclear,
    /// The error is one of this process or this moment: any other file would give it, too.
    NoResources(io::Error),
}

impl FileError {
    /// Returns whether the error says nothing about the file.
    pub(super) fn is_inconclusive(&self) -> bool {
        matches!(self, Self::Unclear | Self::NoResources(_))
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        let Some(number) = error.raw_os_error() else {
            // One of ours: it is not a regular file.
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Absent,
                _ => Self::Unreadable,
            };
        };
        match Errno::from_raw_os_error(number) {
            Errno::NOENT | Errno::NOTDIR => Self::Absent,
            Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NAMETOOLONG => Self::Unreadable,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR | Errno::AGAIN => {
                Self::NoResources(error)
            }
            _ => Self::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_what_they_say_about_the_file() {
        let of = |errno: Errno| FileError::from(io::Error::from(errno));
        assert!(matches!(of(Errno::NOENT), FileError::Absent));
        assert!(matches!(of(Errno::NOTDIR), FileError::Absent));
        assert!(matches!(of(Errno::ACCESS), FileError::Unreadable));
        assert!(matches!(of(Errno::LOOP), FileError::Unreadable));
        let ours = io::Error::from(io::ErrorKind::InvalidInput);
        assert!(matches!(FileError::from(ours), FileError::Unreadable));
        assert!(matches!(of(Errno::IO), FileError::Unclear));
        assert!(matches!(of(Errno::MFILE), FileError::NoResources(_)));
        assert!(of(Errno::MFILE).is_inconclusive() && of(Errno::IO).is_inconclusive());
        assert!(!of(Errno::ACCESS).is_inconclusive());
    }
}
