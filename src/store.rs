//! What outlives a restart: `state.json` in the state directory.
//!
//! It is written whole to another file, synced and renamed, so that whoever reads it finds the old or the new one.
//! Where the directory cannot be used, that is said once, and the daemon goes on without.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::model::{JobKind, JobState};
use crate::replace::{Old, OperationId};
use crate::time::Timestamp;

const FILE: &str = "state.json";
/// Of the format. A file of another version is not ours to understand.
const VERSION: u32 = 1;
/// A larger file is none of ours.
const MAX_SIZE: u64 = 16 << 20;

/// An operation on a dev container, the running or the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The resolved workspace folder.
    pub folder: PathBuf,
    /// The resolved configuration.
    pub config: Option<PathBuf>,
    /// Which operation.
    pub id: OperationId,
    /// What it does.
    pub kind: JobKind,
    /// Where it stood when this was written.
    pub state: JobState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// Containers to put back, should it not end well.
    pub olds: Vec<Old>,
    /// Whether that is still to be done.
    #[serde(default)]
    pub unsettled: bool,
    /// The container that it made, where it succeeded and that is still to be done.
    #[serde(default)]
    pub made: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Contents {
    version: u32,
    operations: Vec<Record>,
}

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

    /// The operations that were written last. A file that cannot be understood is set aside.
    pub fn load(&self) -> Vec<Record> {
        let Some(directory) = &self.directory else {
            return Vec::new();
        };
        let path = directory.path.join(FILE);
        match read(&path) {
            Ok(contents) => contents.operations,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => {
                if !set_aside(&path, &e) {
                    // Better nothing is kept than that what is not ours is overwritten.
                    *directory.writing() = Writing::GivenUp;
                }
                Vec::new()
            }
        }
    }

    /// Writes these operations in place of those before. They are asked for when it is this caller's turn, so that
    /// the newest are written last.
    pub fn save(&self, operations: impl FnOnce() -> Vec<Record>) {
        let Some(directory) = &self.directory else {
            return;
        };
        let mut writing = directory.writing();
        if *writing == Writing::GivenUp {
            return;
        }
        let contents = Contents {
            version: VERSION,
            operations: operations(),
        };
        let written = write(&directory.path, &contents);
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

fn read(path: &Path) -> io::Result<Contents> {
    if fs::metadata(path)?.len() > MAX_SIZE {
        return Err(io::Error::other("it is too large"));
    }
    let contents: Contents = serde_json::from_slice(&fs::read(path)?)?;
    match contents.version {
        VERSION => Ok(contents),
        other => Err(io::Error::other(format!(
            "it has version {other}, not {VERSION}"
        ))),
    }
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

fn write(directory: &Path, contents: &Contents) -> io::Result<()> {
    let new = temporary(directory);
    let mut file = create(&new)?;
    file.write_all(&serde_json::to_vec(contents)?)?;
    file.sync_all()?;
    fs::rename(new, directory.join(FILE))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    fn record() -> Record {
        Record {
            folder: "/w".into(),
            config: Some("/w/.devcontainer.json".into()),
            id: OperationId::new(SystemTime::now()),
            kind: JobKind::Recreate,
            state: JobState::Running,
            started_at: Timestamp::new(1_700_000_000, 0),
            finished_at: None,
            error: None,
            olds: Vec::new(),
            unsettled: false,
            made: None,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_was_saved_is_loaded_by_the_next_one() {
        let dir = TestDir::new();
        let path = dir.path().join("a/b");
        let store = Store::open(Some(&path));
        assert_eq!(store.load(), []);
        store.save(|| vec![record()]);
        let saved = store.load();
        drop(store);
        assert_eq!(Store::open(Some(&path)).load(), saved);
        assert_eq!((mode(&path), mode(&path.join(FILE))), (0o700, 0o600));
        assert!(!temporary(&path).exists());
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_set_aside() {
        for text in ["", "{", "[]", r#"{"version":99,"operations":[]}"#] {
            let dir = TestDir::new();
            dir.write(FILE, text);
            let store = Store::open(Some(dir.path()));
            assert_eq!(store.load(), [], "{text}");
            store.save(|| vec![record()]);
            assert_eq!(store.load().len(), 1, "{text}");
            let kept = fs::read_dir(dir.path()).unwrap().flatten();
            let mut kept = kept.filter(|f| f.path().extension().is_some_and(|e| e == "unreadable"));
            assert_eq!(
                fs::read_to_string(kept.next().unwrap().path()).unwrap(),
                text
            );
        }
    }

    #[test]
    fn without_a_directory_nothing_is_kept_and_nothing_fails() {
        let dir = TestDir::new();
        let file = dir.write("file", "");
        for directory in [None, Some(file.join("below")), Some(file)] {
            let store = Store::open(directory.as_deref());
            store.save(|| vec![record()]);
            assert_eq!(store.load(), []);
        }
    }

    #[test]
    fn of_two_daemons_one_writes() {
        let dir = TestDir::new();
        let first = Store::open(Some(dir.path()));
        let second = Store::open(Some(dir.path()));
        second.save(|| vec![record()]);
        assert_eq!(first.load(), []);
    }
}
