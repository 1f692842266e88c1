//! The mounts of file systems that a network or another process serves, and the paths that lead to them.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::base::links::{MAX_LINKS, parts_to_follow};

/// The file systems that a network or another process serves, so that they can stop to answer.
const REMOTE: [&str; 15] = [
    "9p",
    "afs",
    "autofs",
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

/// The mounts that this process sees (proc_pid_mountinfo(5)).
pub(super) struct Mounts(Vec<Mount>);

struct Mount {
    /// The number of the device, as the kernel writes it.
    device: Vec<u8>,
    /// The directory or file of the device that is mounted.
    root: PathBuf,
    point: PathBuf,
    is_remote: bool,
}

impl Mounts {
    pub(super) fn read() -> Self {
        Self::parse(&fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    pub(super) fn parse(mountinfo: &[u8]) -> Self {
        let lines = mountinfo.split(|byte| *byte == b'\n');
        Self(lines.filter_map(mount).collect())
    }

    /// Returns the remote mount that `path` is on, by the words of both: the path itself is not looked at.
    pub(super) fn around(&self, path: &Path) -> Option<&Path> {
        let innermost = self.innermost(path)?;
        // With the root directory, all would be one place.
        let is_place = innermost.is_remote && innermost.point.parent().is_some();
        is_place.then_some(&innermost.point)
    }

    /// Returns the point of the mount that `path` is on, by the words of both.
    pub(super) fn point_around(&self, path: &Path) -> Option<&Path> {
        self.innermost(path).map(|mount| &*mount.point)
    }

    /// Returns the names on the way to what is mounted at one of these points, as far as `is_one` takes them.
    pub(super) fn names_of(&self, points: &[&Path], is_one: fn(&str) -> bool) -> Vec<String> {
        let at_points = self.0.iter().filter(|one| points.contains(&&*one.point));
        let names = at_points.flat_map(|one| one.root.iter());
        let names = names.filter_map(|name| name.to_str());
        names
            .filter(|name| is_one(name))
            .map(str::to_owned)
            .collect()
    }

    fn innermost(&self, path: &Path) -> Option<&Mount> {
        let around = self.0.iter().filter(|one| path.starts_with(&one.point));
        // The later one of two on one point hides the other.
        around.max_by_key(|one| one.point.components().count())
    }

    /// Returns where other file systems than that of `directory` are mounted below it, by the words of all.
    pub(super) fn elsewhere(&self, directory: &Path) -> HashSet<PathBuf> {
        let own = self.innermost(directory).map(|mount| &mount.device);
        let below = self.0.iter().filter(|one| one.point.starts_with(directory));
        let others = below.filter(|one| one.point != directory && Some(&one.device) != own);
        others.map(|one| one.point.clone()).collect()
    }

    /// Returns the remote mount that `path` leads to. Its links are read up to that mount, which is not touched; but
    /// those file systems before it are, so that this may hang as well.
    pub(super) fn behind(&self, path: &Path) -> Option<PathBuf> {
        let mut left = parts_to_follow(path);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            if let Some(point) = self.around(&next) {
                return Some(point.to_path_buf());
            }
            let Ok(target) = fs::read_link(&next) else {
                at = next;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            left.extend(parts_to_follow(&target));
        }
        None
    }
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = fields.nth(2)?.to_vec();
    let root = unescaped(fields.next()?);
    let point = unescaped(fields.next()?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let is_remote = kind.starts_with(b"fuse") || REMOTE.iter().any(|one| one.as_bytes() == kind);
    Some(Mount {
        device,
        root,
        point,
        is_remote,
    })
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
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::base::test_dir::TestDir;

    const MOUNTS: &str = "\
        22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        30 22 0:30 / /nfs rw shared:2 master:1 - nfs4 host:/x rw\n\
        31 30 0:31 / /nfs/local rw - tmpfs tmpfs rw\n\
        32 22 0:32 / /with\\040blank rw - fuse.sshfs host: rw\n\
        33 22 0:33 / /home rw - ext4 /dev/sdb1 rw\n\
        34 22 0:34 / /auto rw - autofs systemd-1 rw\n\
        a line that is none\n";

    #[test]
    fn p22_a_remote_mount_is_found_by_words() {
        let mounts = Mounts::parse(MOUNTS.as_bytes());
        for (path, place) in [
            ("/nfs/a/b", Some("/nfs")),
            ("/nfs", Some("/nfs")),
            ("/nfsx/a", None),
            ("/nfs/local/a", None),
            ("/with blank/a", Some("/with blank")),
            ("/home/u/w", None),
            ("/auto/a", Some("/auto")),
            ("/w", None),
        ] {
            let found = mounts.around(Path::new(path));
            assert_eq!(found, place.map(Path::new), "{path}");
        }
        let root = Mounts::parse(b"22 1 0:9 / / rw - fuse.root x rw\n");
        let found = root.around(Path::new("/a"));
        assert_eq!(found, None, "all would be one place");
    }

    #[test]
    fn other_file_systems_are_found_by_words() {
        let mounts = MOUNTS.to_owned() + "35 22 8:1 /x /home/bound rw - ext4 /dev/sda1 rw\n";
        let mounts = Mounts::parse(mounts.as_bytes());
        for (directory, expected) in [
            ("/home", &["/home/bound"][..]),
            ("/nfs", &["/nfs/local"]),
            ("/nfs/local", &[]),
            (
                "/",
                &["/nfs", "/nfs/local", "/with blank", "/home", "/auto"],
            ),
        ] {
            let expected = expected.iter().map(PathBuf::from).collect();
            assert_eq!(
                mounts.elsewhere(Path::new(directory)),
                expected,
                "{directory}"
            );
        }
    }

    #[test]
    fn p22_a_remote_mount_is_found_behind_links() {
        let directory = TestDir::new();
        let directory = directory.path();
        fs::create_dir(directory.join("sub")).unwrap();
        let link = |name: &str, target: &str| {
            symlink(target, directory.join(name)).unwrap();
        };
        link("to-nfs", "/nfs/deep");
        link("sub/up", "../to-nfs/x");
        link("loop", "loop");
        link("to-local", "sub");
        let mounts = Mounts::parse(MOUNTS.as_bytes());
        for (path, place) in [
            ("to-nfs", Some("/nfs")),
            ("to-nfs/a", Some("/nfs")),
            ("sub/up/p1", Some("/nfs")),
            ("to-local/up", Some("/nfs")),
            ("to-nfs/../a", Some("/nfs")),
            ("loop/a", None),
            ("to-local/none", None),
            ("none/a", None),
        ] {
            let found = mounts.behind(&directory.join(path));
            assert_eq!(found.as_deref(), place.map(Path::new), "{path}");
        }
    }
}
