//! Looks at the files that a dev container is made from.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::config;
use crate::time::Timestamp;

/// Larger files are no configuration; they are compared by size and times alone.
pub(super) const MAX_CONFIG: u64 = 4 << 20;
/// A file changed so shortly before it was read may change again without its times telling: the kernel's clock for
/// them has steps of some milliseconds.
const SETTLED_AFTER: Duration = Duration::from_millis(100);

/// What an input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// It does not exist.
    Absent,
    /// Equal fingerprints, equal inputs.
    Fingerprint(Uuid),
    /// It exists and cannot be read, or is no file.
    Unreadable,
}

/// An input as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub content: Content,
    /// When its content last changed, as the file system says.
    pub modified: Option<Timestamp>,
    stamp: Option<Stamp>,
}

/// All inputs of one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs(pub Vec<Input>);

/// What tells a file that changed from one that did not, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: Timestamp,
    changed: Timestamp,
    /// Whether it was old enough when it was read for the rest to be trusted.
    settled: bool,
}

impl Inputs {
    /// Looks at the inputs of the configuration at `config`. `None`: they are as `before` says.
    ///
    /// Files are read only where their size, times or place differ from `before`.
    pub fn look(config: &Path, before: Option<&Self>) -> Option<Self> {
        let known = before.and_then(|inputs| inputs.0.first());
        let input = Input::look(config.to_path_buf(), known)?;
        Some(Self(vec![input]))
    }

    /// Where they are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|input| input.path.as_path())
    }
}

impl Input {
    /// One of which only this is known, for tests of the rules.
    #[cfg(test)]
    pub(crate) fn found(path: &str, content: Content, modified: Option<Timestamp>) -> Self {
        Self {
            path: path.into(),
            content,
            modified,
            stamp: None,
        }
    }

    fn look(path: PathBuf, before: Option<&Self>) -> Option<Self> {
        let stamp = std::fs::metadata(&path).map(|metadata| Stamp::of(&metadata));
        if let Some(before) = before {
            let same = match (&stamp, &before.stamp) {
                (Ok(now), Some(then)) => then.settled && now.is_same_file(then),
                (Err(e), None) => {
                    e.kind() == io::ErrorKind::NotFound && before.content == Content::Absent
                }
                _ => false,
            };
            if same {
                return None;
            }
        }
        Some(Self::read(path))
    }

    fn read(path: PathBuf) -> Self {
        match read_config(&path) {
            Ok((fingerprint, stamp)) => Self {
                path,
                content: Content::Fingerprint(fingerprint),
                modified: Some(stamp.modified),
                stamp: Some(stamp),
            },
            Err(e) => Self {
                path,
                content: match e.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Content::Absent,
                    _ => Content::Unreadable,
                },
                modified: None,
                stamp: None,
            },
        }
    }
}

fn read_config(path: &Path) -> io::Result<(Uuid, Stamp)> {
    let mut file = open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut content = Vec::new();
    Read::take(&mut file, MAX_CONFIG + 1).read_to_end(&mut content)?;
    let fingerprint = match content.len() as u64 {
        ..=MAX_CONFIG => config::fingerprint(&content),
        _ => config::fingerprint_bytes(format!("{} {}", stamp.size, stamp.modified).as_bytes()),
    };
    Ok((fingerprint, stamp))
}

/// Opens a regular file to be read, and nothing else.
pub(super) fn open(path: &Path) -> io::Result<File> {
    // A label chooses the path, and to open a device may do something: a watchdog is armed, a tape rewound.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // It may be another one by now: opening a pipe must not wait for somebody to write to it.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let changed = Timestamp::new(metadata.ctime(), metadata.ctime_nsec() as u32);
        let age = Timestamp::now().seconds_since(changed);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: Timestamp::new(metadata.mtime(), metadata.mtime_nsec() as u32),
            changed,
            settled: age > SETTLED_AFTER.as_secs_f64(),
        }
    }

    fn is_same_file(&self, other: &Self) -> bool {
        *self
            == Self {
                settled: self.settled,
                ..*other
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    fn content(path: &Path) -> Content {
        Inputs::look(path, None).unwrap().0[0].content
    }

    #[test]
    fn p5_a_touch_or_the_same_content_again_is_no_change() {
        let dir = TestDir::new();
        let path = dir.write("devcontainer.json", r#"{"image":"x"}"#);
        let before = content(&path);
        dir.write("devcontainer.json", r#"{ "image": "x" } // a comment"#);
        assert_eq!(content(&path), before);
        dir.write("devcontainer.json", r#"{"image":"y"}"#);
        assert_ne!(content(&path), before);
        dir.write("devcontainer.json", r#"{"image":"x"}"#);
        assert_eq!(content(&path), before);
    }

    #[test]
    fn a_second_look_at_a_settled_file_reads_nothing() {
        let dir = TestDir::new();
        let path = dir.write("devcontainer.json", "{}");
        let begun = std::time::Instant::now();
        let mut inputs = Inputs::look(&path, None).unwrap();
        while let Some(again) = Inputs::look(&path, Some(&inputs)) {
            inputs = again;
            assert!(begun.elapsed() < Duration::from_secs(10), "never settles");
        }
        assert!(begun.elapsed() >= SETTLED_AFTER / 2);
        dir.write("devcontainer.json", r#"{"a":1}"#);
        assert!(Inputs::look(&path, Some(&inputs)).is_some());
    }

    #[test]
    fn p5_every_edit_is_seen_by_the_next_look_however_fast_they_come() {
        let dir = TestDir::new();
        let path = dir.write("devcontainer.json", "0");
        let mut inputs = Inputs::look(&path, None).unwrap();
        for number in 0..1000 {
            // Of equal length, and often within one step of the clock of the file system.
            let text = format!("{:04}", number + 1000);
            dir.write("devcontainer.json", &text);
            if let Some(changed) = Inputs::look(&path, Some(&inputs)) {
                inputs = changed;
            }
            let expected = Content::Fingerprint(config::fingerprint(text.as_bytes()));
            assert_eq!(inputs.0[0].content, expected, "edit {number}");
        }
    }

    #[test]
    fn what_is_absent_or_no_file() {
        let dir = TestDir::new();
        assert_eq!(content(&dir.path().join("none")), Content::Absent);
        let file = dir.write("file", "{}");
        assert_eq!(content(&file.join("below")), Content::Absent);
        assert_eq!(content(dir.path()), Content::Unreadable);
        assert_eq!(content(Path::new("/dev/zero")), Content::Unreadable);
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert_eq!(content(&pipe), Content::Unreadable);
    }

    #[test]
    fn what_is_too_large_for_a_configuration_is_told_by_size_and_times() {
        let dir = TestDir::new();
        let path = dir.write("large", &"x".repeat(MAX_CONFIG as usize + 1));
        let before = content(&path);
        dir.write("large", &"x".repeat(MAX_CONFIG as usize + 2));
        assert_ne!(content(&path), before);
    }
}
