//! What outlives a restart: `state.json` in the state directory.
//!
//! It is written whole to another file, synced and renamed, so that whoever reads it finds the old or the new one.
//! Where the directory cannot be used, that is said once, and the daemon goes on without.

mod format;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};

use crate::base::regular_file;
use crate::base::time::Timestamp;
use crate::state::persisted::Persisted;

/// What is read of what was written, for tests of what outlives a restart.
#[cfg(test)]
pub(crate) fn round_trip(persisted: Persisted) -> Persisted {
    format::from_json(&format::to_json(persisted)).unwrap()
}

const FILE: &str = "state.json";
/// A larger file is none of ours: neither read nor written.
const MAX_SIZE: u64 = 256 << 20;

/// The state directory.
pub struct Store {
    directory: Option<Directory>,
}

struct Directory {
    path: PathBuf,
    /// Held while the daemon lives: of two daemons, one writes.
    _lock: File,
    /// How writing went; guards the file too.
    writing: Mutex<Writing>,
}

#[derive(Clone, Copy, PartialEq)]
enum Writing {
    Works,
    Failed,
    /// The file is somebody else's, and is left to them.
    GivenUp,
}

impl Store {
    /// Opens `directory`, and makes it where it does not exist.
    pub fn open(directory: Option<&Path>) -> Self {
        let opened = match directory {
            Some(path) => Directory::open(path).map_err(|e| format!("{}: {e}", path.display())),
            None => Err("there is no home directory".to_owned()),
        };
        if let Err(why) = &opened {
            log::warn!(
                "nothing will outlive a restart, as the state directory cannot be used: {why}; name another one with \
                 --state-dir"
            );
        }
        Self {
            directory: opened.ok(),
        }
    }

    /// What was written last. A file that cannot be understood is set aside.
    pub fn load(&self) -> Persisted {
        let Some(directory) = &self.directory else {
            return Persisted::default();
        };
        let path = directory.path.join(FILE);
        match read(&path) {
            Ok(persisted) => persisted,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Persisted::default(),
            Err(e) => {
                if !set_aside(&path, &e) {
                    // Better nothing is kept than that what is not ours is overwritten.
                    *directory.writing() = Writing::GivenUp;
                }
                Persisted::default()
            }
        }
    }

    /// Writes this in place of what was there. It is asked for when it is this caller's turn, so that the newest is
    /// written last. Returns whether it is worth trying again.
    pub fn save(&self, persisted: impl FnOnce() -> Persisted) -> bool {
        let Some(directory) = &self.directory else {
            return false;
        };
        let mut writing = directory.writing();
        if *writing == Writing::GivenUp {
            return false;
        }
        let written = write(&directory.path, &format::to_json(persisted()));
        if let (Err(e), Writing::Works) = (&written, *writing) {
            let path = directory.path.display();
            log::warn!(
                "{FILE} in {path} cannot be written: {e}; a restart would find an older one"
            );
        }
        *writing = match written {
            Ok(()) => Writing::Works,
            Err(_) => Writing::Failed,
        };
        *writing == Writing::Failed
    }
}

impl Directory {
    fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let lock = File::open(path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(
            |e| match io::Error::from(e) {
                e if e.kind() == io::ErrorKind::WouldBlock => {
                    io::Error::other("another devcontainerd uses it")
                }
                e => e,
            },
        )?;
        // Whether it can be written is better known now than when it matters.
        create(&temporary(path))?;
        fs::remove_file(temporary(path))?;
        Ok(Self {
            path: path.to_path_buf(),
            _lock: lock,
            writing: Mutex::new(Writing::Works),
        })
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Persisted> {
    let (file, _) = regular_file::open(path)?;
    let mut text = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_SIZE {
        return Err(io::Error::other("it is too large"));
    }
    format::from_json(&text).map_err(io::Error::other)
}

/// Returns whether the name is free now.
fn set_aside(path: &Path, why: &io::Error) -> bool {
    let now = Timestamp::now().as_millis();
    let aside = path.with_file_name(format!("{FILE}.{now}.unreadable"));
    let shown = path.display();
    match fs::rename(path, &aside) {
        Ok(()) => log::warn!(
            "{shown} cannot be used: {why}; it is kept as {}",
            aside.display()
        ),
        Err(e) => {
            log::warn!(
                "{shown} cannot be used: {why}; nor can it be set aside: {e}; nothing is written there"
            );
            return false;
        }
    }
    true
}

fn temporary(directory: &Path) -> PathBuf {
    directory.join(format!("{FILE}.new"))
}

/// A new file, whatever was there before, a link somewhere else included.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn write(directory: &Path, contents: &[u8]) -> io::Result<()> {
    if contents.len() as u64 > MAX_SIZE {
        return Err(io::Error::other("it would be too large"));
    }
    let new = temporary(directory);
    let written = create(&new).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&new, directory.join(FILE))
    });
    if written.is_err() {
        // Half of it takes room that may be what is missing.
        let _ = fs::remove_file(&new);
    }
    written?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;
    use std::os::unix::fs::PermissionsExt;

    /// What the newest fixture has.
    fn persisted() -> Persisted {
        let persisted = format::from_json(include_bytes!("../../tests/fixtures/state/v2.json"));
        persisted.unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn p7_what_was_saved_is_loaded_by_the_next_one() {
        let dir = TestDir::new();
        let path = dir.path().join("a/b");
        let store = Store::open(Some(&path));
        assert_eq!(store.load(), Persisted::default());
        assert!(!store.save(persisted));
        drop(store);
        assert_eq!(Store::open(Some(&path)).load(), persisted());
        assert_eq!((mode(&path), mode(&path.join(FILE))), (0o700, 0o600));
        assert!(!temporary(&path).exists());
    }

    #[test]
    fn p7_a_file_that_cannot_be_understood_is_set_aside() {
        let mut whole = format::to_json(persisted());
        whole.truncate(whole.len() / 2);
        let truncated = String::from_utf8(whole).unwrap();
        let texts = [
            "",
            "{",
            "[]",
            r#"{"version":99,"operations":[]}"#,
            &truncated,
        ];
        for text in texts {
            let dir = TestDir::new();
            dir.write(FILE, text);
            let store = Store::open(Some(dir.path()));
            assert_eq!(store.load(), Persisted::default(), "{text}");
            store.save(persisted);
            assert_eq!(store.load(), persisted(), "{text}");
            let aside = fs::read_dir(dir.path()).unwrap().flatten();
            let mut aside =
                aside.filter(|f| f.path().extension().is_some_and(|e| e == "unreadable"));
            assert_eq!(
                fs::read_to_string(aside.next().unwrap().path()).unwrap(),
                text
            );
        }
    }

    #[test]
    fn p7_without_a_directory_nothing_is_kept_and_nothing_fails() {
        let dir = TestDir::new();
        let file = dir.write("file", "");
        for directory in [None, Some(file.join("below")), Some(file)] {
            let store = Store::open(directory.as_deref());
            assert!(!store.save(persisted), "it is no use to try again");
            assert_eq!(store.load(), Persisted::default());
        }
    }

    #[test]
    fn p7_of_two_daemons_one_writes() {
        let dir = TestDir::new();
        let first = Store::open(Some(dir.path()));
        let second = Store::open(Some(dir.path()));
        second.save(persisted);
        assert_eq!(first.load(), Persisted::default());
    }

    #[test]
    fn p7_what_cannot_be_written_is_tried_again() {
        let dir = TestDir::new();
        let store = Store::open(Some(dir.path()));
        // Not even root can make a file where a directory is that is not empty.
        dir.write("state.json.new/in-the-way", "");
        assert!(store.save(persisted));
        fs::remove_dir_all(temporary(dir.path())).unwrap();
        assert!(!store.save(persisted));
        assert_eq!(store.load(), persisted());
    }
}
