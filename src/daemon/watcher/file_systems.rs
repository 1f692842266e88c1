//! The kinds of changes on a file system that the kernel tells of.

use std::collections::HashMap;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, fstatfs, openat, statx};

use crate::daemon::mounts::Mounts;

/// The file systems whose files nobody but this kernel can change, by their numbers in statfs(2): btrfs, ext2 to ext4, F2FS,
/// ramfs, tmpfs and XFS. Those of a network and of another process (FUSE) change by other ways, too, and ZFS when it is
/// rolled back.
const OWN: [u64; 6] = [
    0x9123_683e,
    0xef53,
    0xf2f5_2010,
    0x8584_58f6,
    0x0102_1994,
    0x5846_5342,
];
/// The number of overlayfs in statfs(2).
const OVERLAY: u64 = 0x794c_7630;

/// The changes of which the kernel tells. Each variant includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Nothing,
    /// Names that appear and disappear. The root of a container is on an overlayfs, where only files have layers: one may
    /// be written to by its path in another layer.
    Names,
    Everything,
}

/// The file systems that were looked at.
pub(super) struct FileSystems {
    mounts: Mounts,
    /// By their devices.
    known: HashMap<u64, Told>,
}

impl FileSystems {
    pub(super) fn new() -> Self {
        Self {
            mounts: Mounts::read(),
            known: HashMap::new(),
        }
    }

    /// Returns what the kernel tells of the file system of the resolved `path`, which has this device.
    pub(super) fn told(&mut self, path: &Path, device: u64) -> Told {
        let mounts = &self.mounts;
        let told = self.known.entry(device);
        // A server may answer for a file, and not for its file system.
        *told.or_insert_with(|| match mounts.around(path) {
            Some(_) => Told::Nothing,
            None => told_at(path),
        })
    }
}

/// Returns what the kernel tells of a local file system. A link is on that of its directory, wherever it leads.
fn told_at(path: &Path) -> Told {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty());
    let found = file.and_then(|file| fstatfs(&file));
    found.map_or(Told::Nothing, |found| told(u64::from(found.f_type as u32)))
}

fn told(kind: u64) -> Told {
    match kind {
        OVERLAY => Told::Names,
        kind if OWN.contains(&kind) => Told::Everything,
        _ => Told::Nothing,
    }
}

/// Returns whether something is mounted on a path in a directory. Writes to a file that is mounted are told of in the
/// directory that it comes from. False where the kernel does not say (before Linux 5.8).
pub(super) fn is_mounted(path: &Path, directory: &Path) -> bool {
    let mount = |path: &Path| {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let found = statx(CWD, path, flags, StatxFlags::MNT_ID).ok()?;
        let has_it = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
        has_it.then_some(found.stx_mnt_id)
    };
    mount(path) != mount(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_kernel_writes_to_local_file_systems() {
        for (kind, expected) in [
            (0xef53, Told::Everything),
            (0x0102_1994, Told::Everything),
            (OVERLAY, Told::Names),
            (0x6969, Told::Nothing),      // NFS
            (0x6573_5546, Told::Nothing), // FUSE
            (0xff53_4d42, Told::Nothing), // SMB
            (0x0102_1997, Told::Nothing), // 9P, as in WSL
        ] {
            assert_eq!(told(kind), expected, "{kind:#x}");
        }
        assert_eq!(told_at(Path::new("/proc/self")), Told::Nothing);
        assert_eq!(told_at(Path::new("/nonexistent")), Told::Nothing);
    }

    #[test]
    fn a_mount_is_recognized() {
        assert!(is_mounted(Path::new("/proc"), Path::new("/")));
        assert!(!is_mounted(Path::new("/proc/self"), Path::new("/proc")));
    }
}
