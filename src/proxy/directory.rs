//! The private directory of a proxy's socket.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::model::ids::OperationId;
use crate::process;

/// The name of a directory is this, and the mark of the operation.
const PREFIX: &str = "devcontainerd-";
const SOCKET: &str = "docker.sock";
/// The longest path of a socket, in bytes (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// A directory that only this user may enter. It is removed with its socket when this is dropped.
pub(super) struct Directory {
    path: PathBuf,
    socket: PathBuf,
}

impl Directory {
    /// Makes the directory of an operation's proxy below the temporary directory, or below `/tmp` if that has a long
    /// path.
    pub(super) fn create(operation: &OperationId) -> io::Result<Self> {
        let name = format!(
            "{PREFIX}{}",
            process::mark_of(operation.as_str()).replace(':', ".")
        );
        let fits = |path: &PathBuf| path.as_os_str().len() <= MAX_SOCKET_PATH;
        let paths = [std::env::temp_dir(), "/tmp".into()].map(|temporary| temporary.join(&name));
        let mut paths = paths.into_iter().filter(|path| fits(&path.join(SOCKET)));
        let path = paths.next().ok_or(io::ErrorKind::InvalidFilename)?;
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        let socket = path.join(SOCKET);
        Ok(Self { path, socket })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(directory: &Path) {
    let _ = fs::remove_file(directory.join(SOCKET));
    let _ = fs::remove_dir(directory);
}

/// Removes the directories of operations of this user's daemons that were killed.
pub fn remove_leftovers() {
    let user = rustix::process::geteuid().as_raw();
    let mut directories = vec![std::env::temp_dir(), "/tmp".into()];
    directories.dedup();
    for temporary in directories {
        for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let mark = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let Some(mark) = mark.map(|mark| mark.replace('.', ":")) else {
                continue;
            };
            // Links are not followed, as others may write there, too.
            let is_ours = |found: fs::Metadata| found.is_dir() && found.uid() == user;
            if process::is_mark_of_the_dead(&mark) && entry.metadata().is_ok_and(is_ours) {
                remove(&entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_directory_is_private_and_goes_with_its_socket() {
        let operation = OperationId::parse("0123456789abcdef").unwrap();
        let directory = Directory::create(&operation).unwrap();
        let path = directory.path.clone();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let _listener = UnixListener::bind(directory.socket()).unwrap();
        remove_leftovers();
        assert!(directory.socket().exists(), "its daemon lives");
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn directories_of_dead_daemons_are_removed() {
        let ours = process::mark_of("0123456789abcdee");
        let dead = ours.replacen(':', ":1", 1).replace(':', ".");
        let path = std::env::temp_dir().join(format!("{PREFIX}{dead}"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join(SOCKET), "").unwrap();
        let link = path.with_extension("link");
        let target = crate::base::test_dir::TestDir::new();
        let kept = target.write(SOCKET, "");
        std::os::unix::fs::symlink(target.path(), &link).unwrap();
        remove_leftovers();
        assert!(!path.exists());
        assert!(kept.exists(), "a link is not followed");
        fs::remove_file(link).unwrap();
    }
}
