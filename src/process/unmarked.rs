//! Processes that are known to have no mark. Their environments need not be read again, which is most of the cost of a search
//! among all processes.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::marks::{Mark, Marked};
use super::table;

/// The age from which a process gets no mark any more. A child that is about to execute the program of an operation has its
/// daemon's environment for a moment.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// The number of processes that are kept.
const MAX: usize = 8192;

/// The processes that the last search has found.
#[derive(Default)]
pub(super) struct Unmarked(HashMap<Pid, Seen>);

/// A process as its directory in /proc tells it from others with the same id. The kernel makes an inode for it once; a later
/// one, also of the same process, has another number or time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    inode: u64,
    made: (i64, i64),
}

#[derive(Clone, Copy)]
struct Seen {
    identity: Identity,
    since: Instant,
    is_unmarked: bool,
}

impl Identity {
    fn of(process: Pid) -> Option<Self> {
        let found = std::fs::metadata(format!("/proc/{process}")).ok();
        found.map(|found: Metadata| Self {
            inode: found.ino(),
            made: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl Unmarked {
    /// Returns whether there may be a process with a mark that `is_it`.
    pub(super) fn may_be_any_with(&mut self, is_it: impl Fn(&Mark) -> bool) -> bool {
        let processes = table::all_ids().filter_map(|pid| {
            let identity = Identity::of(pid)?;
            Some((pid, identity, Instant::now()))
        });
        self.search(processes, Marked::of, is_it)
    }

    fn search(
        &mut self,
        processes: impl Iterator<Item = (Pid, Identity, Instant)>,
        mut look: impl FnMut(Pid) -> Marked,
        is_it: impl Fn(&Mark) -> bool,
    ) -> bool {
        let mut found = false;
        let mut all = HashMap::new();
        for (pid, identity, now) in processes {
            let known = self.0.get(&pid).filter(|seen| seen.identity == identity);
            let mut seen = known.copied().unwrap_or(Seen {
                identity,
                since: now,
                is_unmarked: false,
            });
            if !seen.is_unmarked {
                match look(pid) {
                    Marked::Yes(mark) => found |= is_it(&mark),
                    Marked::Unknown => found = true,
                    Marked::No => seen.is_unmarked = now >= seen.since + SETTLED_AFTER,
                    Marked::Unreadable => {}
                }
            }
            if all.len() < MAX {
                all.insert(pid, seen);
            }
        }
        self.0 = all;
        found
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn identity(inode: u64) -> Identity {
        Identity {
            inode,
            made: (1, 2),
        }
    }

    #[test]
    fn p16_a_process_is_read_until_it_is_known_to_get_no_mark() {
        let begun = Instant::now();
        let mut unmarked = Unmarked::default();
        let mut search = |seconds, inodes: &[u64], marked: fn(i32) -> Marked| {
            let mut looks = Vec::new();
            let now = begun + Duration::from_secs(seconds);
            let processes = (1..).zip(inodes).map(|(pid, inode)| {
                let pid = Pid::from_raw(pid).unwrap();
                (pid, identity(*inode), now)
            });
            let look = |pid: Pid| {
                looks.push(pid.as_raw_pid());
                marked(pid.as_raw_pid())
            };
            let found = unmarked.search(processes, look, |mark| mark.as_str() == "it");
            (found, looks)
        };
        let marked = |pid| match pid {
            1 => Marked::Yes(Mark::read("another")),
            2 => Marked::Unreadable,
            _ => Marked::No,
        };
        assert_eq!(search(0, &[7, 7, 7, 7], marked), (false, vec![1, 2, 3, 4]));
        assert_eq!(search(0, &[7, 7, 7, 7], marked), (false, vec![1, 2, 3, 4]));
        let got_it = |pid| match pid {
            4 => Marked::Yes(Mark::read("it")),
            _ => Marked::No,
        };
        assert_eq!(search(1, &[7, 7, 7, 7], got_it), (true, vec![1, 2, 3, 4]));
        assert_eq!(search(2, &[7, 7, 7, 7], got_it), (true, vec![4]));
        // Another process has the id of one that ended.
        assert_eq!(search(3, &[7, 8], marked), (false, vec![2]));
        assert_eq!(search(4, &[7, 8, 7], marked), (false, vec![2, 3]));
        let unknown = |_| Marked::Unknown;
        assert_eq!(search(5, &[7, 8, 7], unknown), (true, vec![2, 3]));
    }

    #[test]
    fn the_directory_of_a_process_tells_it_from_others() {
        let us = rustix::process::getpid();
        assert!(Identity::of(us) == Identity::of(us));
        let mut child = Command::new("sleep").arg("20").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(Identity::of(pid).is_some_and(|one| Some(one) != Identity::of(us)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Identity::of(pid).is_none());
    }
}
