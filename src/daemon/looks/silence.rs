//! The places whose file systems do not answer.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file systems that a network or another process serves, so that they can stop to answer.
const REMOTE: [&str; 14] = [
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "gfs2",
    "glusterfs",
    "lustre",
    "nfs",
    "nfs4",
    "ocfs2",
    "smb3",
    "vboxsf",
    "virtiofs",
];

/// Identifies a thread that was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u64);

/// The places at which threads were left behind, each until its thread comes back.
#[derive(Default)]
pub(super) struct Silences {
    all: Mutex<Vec<(Id, Vec<PathBuf>)>>,
    /// Their number, so that looking costs nothing where there are none.
    number: AtomicUsize,
    last_id: AtomicU64,
}

impl Silences {
    /// Returns an identity for a thread.
    pub(super) fn new_id(&self) -> Id {
        Id(self.last_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns how many threads were left behind.
    pub(super) fn number(&self) -> usize {
        self.number.load(Ordering::Acquire)
    }

    /// Returns whether one of `paths` is at such a place.
    pub(super) fn include<'a>(&self, paths: impl FnOnce() -> Vec<&'a Path>) -> bool {
        if self.number() == 0 {
            return false;
        }
        let all = self.all();
        let mut paths = paths().into_iter();
        paths.any(|path| {
            let mut places = all.iter().flat_map(|(_, places)| places);
            places.any(|place| path.starts_with(place))
        })
    }

    /// Notes that a thread was left behind while it looked at `paths`.
    pub(super) fn begin(&self, id: Id, paths: &[&Path]) {
        let mounts = mountinfo();
        let places = paths.iter().map(|path| place_of(path, &mounts)).collect();
        let mut all = self.all();
        all.push((id, places));
        self.number.store(all.len(), Ordering::Release);
    }

    /// Notes that a thread came back.
    pub(super) fn end(&self, id: Id) {
        let mut all = self.all();
        all.retain(|(one, _)| *one != id);
        self.number.store(all.len(), Ordering::Release);
    }

    fn all(&self) -> MutexGuard<'_, Vec<(Id, Vec<PathBuf>)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether one of `paths` is on a file system that a network or another process serves.
pub(super) fn are_remote(paths: &[&Path]) -> bool {
    let mounts = mountinfo();
    let mut paths = paths.iter();
    paths.any(|path| innermost(path, &mounts).is_some_and(|mount| mount.is_remote))
}

/// The mounts that this process sees (proc_pid_mountinfo(5)).
fn mountinfo() -> Vec<u8> {
    fs::read("/proc/self/mountinfo").unwrap_or_default()
}

/// Returns the place that does not answer where `path` does not: the whole mount, if a network or another process serves
/// it, otherwise the path alone.
fn place_of(path: &Path, mounts: &[u8]) -> PathBuf {
    match innermost(path, mounts) {
        Some(mount) if mount.is_remote && mount.point.parent().is_some() => mount.point,
        _ => path.to_path_buf(),
    }
}

/// Returns the mount that `path` is on, by the words of both: the path itself is not looked at.
fn innermost(path: &Path, mounts: &[u8]) -> Option<Mount> {
    let lines = mounts.split(|byte| *byte == b'\n').filter_map(mount);
    let around = lines.filter(|mount| path.starts_with(&mount.point));
    // Of two on one point, the later one hides the other.
    around.max_by_key(|mount| mount.point.components().count())
}

struct Mount {
    point: PathBuf,
    is_remote: bool,
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = unescaped(fields.nth(4)?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let is_remote = kind.starts_with(b"fuse") || REMOTE.iter().any(|one| one.as_bytes() == kind);
    Some(Mount { point, is_remote })
}

/// Replaces the octal escapes of mountinfo: those of blanks, line breaks and backslashes.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (
                b'\\',
                [
                    a @ b'0'..=b'3',
                    b @ b'0'..=b'7',
                    c @ b'0'..=b'7',
                    after @ ..,
                ],
            ) => Some(((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), after)),
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((first, after));
        text.push(byte);
        rest = after;
    }
    OsString::from_vec(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        30 22 0:30 / /nfs rw shared:2 master:1 - nfs4 host:/x rw\n\
        31 30 0:31 / /nfs/local rw - tmpfs tmpfs rw\n\
        32 22 0:32 / /with\\040blank rw - fuse.sshfs host: rw\n\
        33 22 0:33 / /home rw - ext4 /dev/sdb1 rw\n\
        a line that is none\n";

    #[test]
    fn p22_a_dead_mount_is_one_place_and_a_local_folder_is_its_own() {
        for (path, place) in [
            ("/nfs/a/b", "/nfs"),
            ("/nfs", "/nfs"),
            ("/nfsx/a", "/nfsx/a"),
            ("/nfs/local/a", "/nfs/local/a"),
            ("/with blank/a", "/with blank"),
            ("/home/u/w", "/home/u/w"),
            ("/w", "/w"),
        ] {
            let found = place_of(Path::new(path), MOUNTS.as_bytes());
            assert_eq!(found, Path::new(place), "{path}");
            let mount = innermost(Path::new(path), MOUNTS.as_bytes()).unwrap();
            assert_eq!(mount.is_remote, path != place || path == "/nfs", "{path}");
        }
        let root = "22 1 0:9 / / rw - fuse.root x rw\n";
        let found = place_of(Path::new("/a"), root.as_bytes());
        assert_eq!(found, Path::new("/a"), "all would be one place");
    }

    #[test]
    fn a_place_is_silent_until_its_thread_is_back() {
        let silences = Silences::default();
        let path = Path::new("/no/such/folder");
        let (first, second) = (silences.new_id(), silences.new_id());
        assert!(!silences.include(|| vec![path]));
        silences.begin(first, &[path]);
        silences.begin(second, &[path]);
        let below = path.join("below");
        assert!(silences.include(|| vec![Path::new("/"), &below]));
        assert!(!silences.include(|| vec![Path::new("/no/such/folders")]));
        silences.end(first);
        assert!(silences.include(|| vec![path]));
        silences.end(second);
        assert!(!silences.include(|| vec![path]));
        assert_eq!(silences.number(), 0);
    }
}
