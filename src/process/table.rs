//! A table of the processes of this machine, read from /proc (proc(5)).

use std::collections::HashMap;

use rustix::process::{Pid, getpid};

/// A process. Its id may be reused, but the pair of id and start time is unique.
pub(super) struct Entry {
    pub(super) pid: Pid,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// The name of its program, cut to 15 bytes by the kernel.
    pub(super) name: String,
    /// The time at which it started, in clock ticks since boot.
    pub(super) start: u64,
    /// False for a zombie.
    pub(super) alive: bool,
}

impl Entry {
    /// Reads the entry of `pid`. Returns `None` if there is no such process, or it may not be seen.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&stat))
    }

    /// Reads the format of proc_pid_stat(5). The name is in parentheses and may contain parentheses itself.
    fn parse(pid: Pid, stat: &str) -> Option<Self> {
        let (head, rest) = stat.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?;
        Some(Self {
            pid,
            name: name.to_owned(),
            alive: !matches!(state, "Z" | "X"),
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            // The start time is field 22 and the group is field 5.
            start: fields.nth(16)?.parse().ok()?,
        })
    }

    /// Returns whether the process still exists and still runs a program of this name.
    pub(super) fn is_current(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.start == self.start && now.name == self.name)
    }
}

/// All visible processes. They are read one after the other, so that the table is not a snapshot of one moment.
pub(super) struct Table(HashMap<i32, Entry>);

impl Table {
    pub(super) fn read() -> Self {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pid = |name: &std::ffi::OsStr| Pid::from_raw(name.to_str()?.parse().ok()?);
        let entries = processes.filter_map(|process| Entry::of(pid(&process.file_name())?));
        Self(entries.map(|e| (e.pid.as_raw_pid(), e)).collect())
    }

    /// Returns all processes, including zombies.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    pub(super) fn alive(&self) -> impl Iterator<Item = &Entry> {
        self.all().filter(|entry| entry.alive)
    }

    /// Returns the process, its parent and its further ancestors, as far as the table has them.
    pub(super) fn lineage<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Entry> {
        let line = std::iter::successors(Some(entry), |entry| self.0.get(&entry.parent));
        // Ids that were reused while the table was read could form a circle.
        line.take(self.0.len())
    }

    /// Returns whether `entry` is this process or one of its ancestors.
    pub(super) fn is_above_us(&self, entry: &Entry) -> bool {
        let us = self.0.get(&getpid().as_raw_pid());
        us.is_some_and(|us| self.lineage(us).any(|above| above.pid == entry.pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_contain_parentheses_and_spaces() {
        let numbers = "7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 987 23";
        let pid = Pid::from_raw(1).unwrap();
        for (name, state, alive) in [("sh", "S", true), (") Z 1 (", "R", true), ("x", "Z", false)] {
            let stat = format!("1 ({name}) {state} 4 5 6 {numbers}");
            let entry = Entry::parse(pid, &stat).unwrap();
            assert_eq!((&*entry.name, entry.alive), (name, alive));
            assert_eq!((entry.parent, entry.group, entry.start), (4, 5, 987));
        }
        for broken in ["", "1 (x", "1 (x) S 4 5", "1 x S 4 5 6"] {
            assert!(Entry::parse(pid, broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn this_process_is_in_the_table_with_its_parent() {
        let table = Table::read();
        let us = Entry::of(getpid()).unwrap();
        assert!(us.alive && us.is_current());
        assert!(table.is_above_us(&us));
        assert!(table.lineage(&us).count() > 1);
    }
}
