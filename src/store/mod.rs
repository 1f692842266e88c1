//! The data that outlives a restart: `state.json` in the state directory.
//!
//! The file is written as a whole under another name, synced and renamed, so that a reader finds either the old or the
//! new one. If the directory cannot be used, the store warns once and keeps nothing. Where another daemon uses it, as one
//! that is about to stop, the store reads what that one has saved, and gets the directory when that one has ended.

mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use self::format::FormatError;
use crate::base::regular_file;
use crate::base::time::Timestamp;
use crate::base::within::within;
use crate::state::persisted::Persisted;

/// Writes and reads `persisted`, for tests of the state after a restart.
#[cfg(test)]
pub(crate) fn round_trip(persisted: Persisted) -> Persisted {
    format::from_json(&format::to_json(persisted)).unwrap()
}

const FILE: &str = "state.json";
/// The maximum size of the file in bytes. A larger file is neither read nor written.
const MAX_SIZE: u64 = 256 << 20;

/// The state directory, if it can be used.
#[derive(Default)]
pub struct Store {
    directory: OnceLock<Directory>,
    /// The directory, while another daemon uses it.
    awaited: Option<PathBuf>,
}

struct Directory {
    path: PathBuf,
    /// A flock(2) lock that is held while the store exists, so that only one daemon writes.
    _lock: File,
    /// The lock on the file, and the outcome of the last write.
    writing: Mutex<Writing>,
}

#[derive(Clone, Copy, PartialEq)]
enum Writing {
    /// The last write succeeded, or there was none.
    Works,
    /// The last write failed.
    Failed,
    /// The file is of a newer daemon, or cannot be understood and cannot be renamed. It is not overwritten.
    GivenUp,
}

/// A state directory that cannot be used.
#[derive(Debug)]
enum OpenError {
    /// None is named, and there is no home directory.
    NoHome,
    /// Another daemon has locked this directory.
    InUse(PathBuf),
    /// This directory cannot be created, opened, locked or written to.
    Io(PathBuf, io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHome => f.write_str("there is no home directory"),
            Self::InUse(path) => write!(f, "{}: another devcontainerd uses it", path.display()),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

/// A file that cannot be used.
#[derive(Debug)]
enum ReadError {
    Io(io::Error),
    /// It is larger than [`MAX_SIZE`].
    TooLarge,
    Format(FormatError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::TooLarge => write!(f, "it is larger than {} MiB", MAX_SIZE >> 20),
            Self::Format(error) => write!(f, "{error}"),
        }
    }
}

impl ReadError {
    fn is_newer(&self) -> bool {
        matches!(self, Self::Format(error) if error.is_newer())
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Store {
    /// Opens `directory` and loads its data. If that takes longer than `patience`, as on a file system that does not
    /// answer, logs a warning and keeps nothing: the daemon is to serve all the same (P22).
    pub fn load_within(patience: Duration, directory: Option<PathBuf>) -> (Self, Persisted) {
        let path = directory.clone().unwrap_or_default();
        let load = move || {
            let store = Self::open(directory.as_deref());
            let persisted = store.load();
            (store, persisted)
        };
        within(patience, load).unwrap_or_else(|error| {
            log::warn!(
                "the state directory cannot be used, nothing will outlive a restart: {}: {error}; check its mount, and start \
                 the daemon again",
                path.display()
            );
            (Self::default(), Persisted::default())
        })
    }

    /// Returns whether another daemon used the directory when this store was made.
    pub fn is_awaited(&self) -> bool {
        self.awaited.is_some()
    }

    /// Waits until another daemon that uses the directory has ended, and gives what that one has left to `take`. Nothing is
    /// saved before that, as it would replace what was left. Returns false, at once, where there was no other daemon, and
    /// where the directory cannot be used afterwards.
    pub fn take_over(&self, take: impl FnOnce(Persisted)) -> bool {
        let Some(path) = self.awaited.as_deref() else {
            return false;
        };
        match Directory::open(path, FlockOperation::LockExclusive) {
            Ok(directory) => {
                take(directory.load());
                let is_used = self.directory.set(directory).is_ok();
                log::info!(
                    "the other devcontainerd has ended; {} is used from now on",
                    path.display()
                );
                is_used
            }
            Err(e) => {
                warn_unusable(&e);
                false
            }
        }
    }

    /// Opens `directory` and creates it if it does not exist. If that fails, logs a warning and keeps nothing.
    fn open(directory: Option<&Path>) -> Self {
        let open = |path| Directory::open(path, FlockOperation::NonBlockingLockExclusive);
        match directory.ok_or(OpenError::NoHome).and_then(open) {
            Ok(directory) => Self {
                directory: OnceLock::from(directory),
                awaited: None,
            },
            Err(OpenError::InUse(path)) => {
                log::warn!(
                    "another devcontainerd uses the state directory {}: until that one ends, what is new stays in memory; \
                     choose another one with --state-dir if both are to run for long",
                    path.display()
                );
                Self {
                    directory: OnceLock::new(),
                    awaited: Some(path),
                }
            }
            Err(e) => {
                warn_unusable(&e);
                Self::default()
            }
        }
    }

    /// Returns the data that was saved last, by the daemon that uses the directory.
    fn load(&self) -> Persisted {
        let Some(directory) = self.directory.get() else {
            let read = self.awaited.as_ref().map(|path| read(&path.join(FILE)));
            let saved = read.and_then(Result::ok);
            return saved.map(Persisted::of_another).unwrap_or_default();
        };
        directory.load()
    }

    /// Replaces the saved data. Blocks while another thread saves. Returns whether it is worth trying again.
    ///
    /// `persisted` is called once it is this thread's turn, so that the last write has the newest data.
    pub fn save(&self, persisted: impl FnOnce() -> Persisted) -> bool {
        let Some(directory) = self.directory.get() else {
            return false;
        };
        let mut writing = directory.writing();
        if *writing == Writing::GivenUp {
            return false;
        }
        match write(&directory.path, &format::to_json(persisted())) {
            Ok(()) => *writing = Writing::Works,
            Err(e) => {
                if *writing == Writing::Works {
                    let path = directory.path.display();
                    log::warn!(
                        "{FILE} in {path} cannot be written: {e}; after a restart, older data would be used"
                    );
                }
                *writing = Writing::Failed;
            }
        }
        *writing == Writing::Failed
    }
}

impl Directory {
    /// Returns the data that was saved last. A file that cannot be understood is renamed, with a warning; one of a newer
    /// daemon stays.
    fn load(&self) -> Persisted {
        let path = self.path.join(FILE);
        match read(&path) {
            Ok(persisted) => persisted,
            Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::NotFound => Persisted::default(),
            Err(e) if e.is_newer() => {
                log::warn!(
                    "{} is of a newer devcontainerd: {e}; it is left as it is, and nothing will outlive a restart; start the \
                     newer one again, choose another directory with --state-dir, or move the file away",
                    path.display()
                );
                *self.writing() = Writing::GivenUp;
                Persisted::default()
            }
            Err(e) => {
                if !move_away(&path, &e) {
                    *self.writing() = Writing::GivenUp;
                }
                Persisted::default()
            }
        }
    }

    /// Opens a directory and locks it, without waiting for another daemon or with that.
    fn open(path: &Path, how: FlockOperation) -> Result<Self, OpenError> {
        let failed = |e: io::Error| OpenError::Io(path.to_path_buf(), e);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(failed)?;
        let lock = File::open(path).map_err(failed)?;
        match retry_on_intr(|| flock(&lock, how)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(OpenError::InUse(path.to_path_buf())),
            Err(e) => return Err(failed(e.into())),
        }
        // A directory that cannot be written to is better reported now than at the first operation.
        create(&temporary(path)).map_err(failed)?;
        fs::remove_file(temporary(path)).map_err(failed)?;
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

fn warn_unusable(why: &OpenError) {
    log::warn!(
        "the state directory cannot be used, nothing will outlive a restart: {why}; choose another one with --state-dir"
    );
}

fn read(path: &Path) -> Result<Persisted, ReadError> {
    let (file, _) = regular_file::open(path)?;
    let mut text = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_SIZE {
        return Err(ReadError::TooLarge);
    }
    format::from_json(&text).map_err(ReadError::Format)
}

/// Renames a file that cannot be used. Returns whether its name is free now.
fn move_away(path: &Path, why: &ReadError) -> bool {
    let now = Timestamp::now().as_millis();
    let kept = path.with_file_name(format!("{FILE}.{now}.unreadable"));
    let shown = path.display();
    match fs::rename(path, &kept) {
        Ok(()) => {
            log::warn!(
                "{shown} cannot be used: {why}; it is kept as {}",
                kept.display()
            );
            true
        }
        Err(e) => {
            log::warn!(
                "{shown} cannot be used: {why}; it cannot be renamed: {e}; the state is not saved"
            );
            false
        }
    }
}

fn temporary(directory: &Path) -> PathBuf {
    directory.join(format!("{FILE}.new"))
}

/// Creates a new file in place of any file or link of this name.
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
        return Err(io::Error::other(format!(
            "it would be larger than {} MiB",
            MAX_SIZE >> 20
        )));
    }
    let new = temporary(directory);
    let written = create(&new).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&new, directory.join(FILE))
    });
    if written.is_err() {
        // A partial file may take the last room on the disk.
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

    /// Returns the data of the newest fixture.
    fn persisted() -> Persisted {
        let persisted = format::from_json(include_bytes!("../../tests/fixtures/state/v2.json"));
        persisted.unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn p7_saved_data_is_loaded_by_the_next_daemon() {
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
    fn p7_a_file_that_cannot_be_understood_is_renamed() {
        let mut whole = format::to_json(persisted());
        whole.truncate(whole.len() / 2);
        let truncated = String::from_utf8(whole).unwrap();
        let texts = [
            "",
            "{",
            "[]",
            r#"{"version":0,"operations":[]}"#,
            &truncated,
        ];
        for text in texts {
            let dir = TestDir::new();
            dir.write(FILE, text);
            let store = Store::open(Some(dir.path()));
            assert_eq!(store.load(), Persisted::default(), "{text}");
            store.save(persisted);
            assert_eq!(store.load(), persisted(), "{text}");
            let files = fs::read_dir(dir.path()).unwrap().flatten();
            let mut kept =
                files.filter(|f| f.path().extension().is_some_and(|e| e == "unreadable"));
            assert_eq!(
                fs::read_to_string(kept.next().unwrap().path()).unwrap(),
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
    fn p7_a_file_of_a_newer_daemon_stays_as_it_is() {
        let dir = TestDir::new();
        let newer = r#"{"version":99,"all":"new"}"#;
        dir.write(FILE, newer);
        for _ in 0..2 {
            let store = Store::open(Some(dir.path()));
            assert_eq!(store.load(), Persisted::default());
            assert!(!store.save(persisted), "it is no use to try again");
        }
        let files = fs::read_dir(dir.path()).unwrap().flatten();
        let names: Vec<_> = files.map(|file| file.file_name()).collect();
        assert_eq!(names, [FILE]);
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), newer);
    }

    #[test]
    fn p7_only_one_of_two_daemons_writes() {
        let dir = TestDir::new();
        let first = Store::open(Some(dir.path()));
        let second = Store::open(Some(dir.path()));
        assert!(!first.is_awaited() && second.is_awaited());
        second.save(persisted);
        assert_eq!(first.load(), Persisted::default());
        first.save(persisted);
        assert_eq!(second.load(), persisted());
        drop(first);
        let mut left = None;
        let took = second.take_over(|found| {
            assert!(!second.save(Persisted::default), "nothing is saved yet");
            left = Some(found);
        });
        assert!(took && left == Some(persisted()));
        assert_eq!(second.load(), persisted());
        second.save(Persisted::default);
        assert_eq!(second.load(), Persisted::default());
        assert!(Store::open(Some(dir.path())).is_awaited());
    }

    #[test]
    fn p7_a_write_that_fails_is_tried_again() {
        let dir = TestDir::new();
        let store = Store::open(Some(dir.path()));
        // Not even root can create a file in place of a directory that is not empty.
        dir.write("state.json.new/in-the-way", "");
        assert!(store.save(persisted));
        fs::remove_dir_all(temporary(dir.path())).unwrap();
        assert!(!store.save(persisted));
        assert_eq!(store.load(), persisted());
    }
}
