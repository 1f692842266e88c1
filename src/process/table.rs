//! A table of the processes of this machine, read from /proc (proc(5)).

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;

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

/// Processes, with all of their descendants. They are read one after the other, so that the table is not a snapshot of one
/// moment.
pub(super) struct Table(HashMap<i32, Entry>);

/// Returns the ids of all visible processes.
pub(super) fn all_ids() -> impl Iterator<Item = Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| Pid::from_raw(process.file_name().to_str()?.parse().ok()?))
}

/// Returns the ids of the children of a process, which proc_tid_children(5) lists for each of its threads. `None` where the
/// lists may not be read, or the kernel was built without them.
pub(super) fn children_of(parent: Pid) -> Option<Vec<Pid>> {
    let tasks = format!("/proc/{parent}/task");
    let mut children = Vec::new();
    let tasks = match std::fs::read_dir(tasks) {
        Ok(tasks) => tasks,
        // It has ended.
        Err(e) if e.kind() == ErrorKind::NotFound && Entry::of(parent).is_none() => {
            return Some(children);
        }
        Err(_) => return None,
    };
    for task in tasks.flatten() {
        // A thread may end meanwhile.
        if let Ok(list) = std::fs::read_to_string(task.path().join("children")) {
            let ids = list.split_whitespace().filter_map(|word| word.parse().ok());
            children.extend(ids.filter_map(Pid::from_raw));
        } else if parent == getpid() && !has_lists() {
            return None;
        }
    }
    Some(children)
}

fn has_lists() -> bool {
    let us = getpid();
    std::fs::exists(format!("/proc/{us}/task/{us}/children")).unwrap_or(false)
}

impl Table {
    /// Reads all visible processes.
    pub(super) fn read() -> Self {
        Self::of(all_ids())
    }

    /// Reads this process and its descendants. Returns `None` where the kernel does not list them.
    pub(super) fn read_below_us() -> Option<Self> {
        let mut left = children_of(getpid())?;
        let mut below = HashSet::from([getpid()]);
        while let Some(pid) = left.pop() {
            // Ids that were reused meanwhile could form a circle.
            if below.insert(pid) {
                left.extend(children_of(pid)?);
            }
        }
        Some(Self::of(below.into_iter()))
    }

    fn of(ids: impl Iterator<Item = Pid>) -> Self {
        let entries = ids.filter_map(Entry::of);
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
    use std::os::unix::process::CommandExt;
    use std::process::Stdio;

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
    fn descendants_are_found_at_any_depth() {
        let script = "sh -c 'sh -c \"echo; exec sleep 1000\" & wait' & wait";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]).process_group(0);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let begun = std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]);
        begun.unwrap();
        let group = i32::try_from(child.id()).unwrap();
        let all = Table::read();
        let in_group = |table: &Table| {
            let found = table.all().filter(|entry| entry.group == group);
            let mut ids: Vec<i32> = found.map(|entry| entry.pid.as_raw_pid()).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(in_group(&all).len(), 3);
        let below = Table::read_below_us().unwrap();
        assert_eq!(in_group(&below), in_group(&all));
        assert!(!below.all().any(|entry| entry.pid.as_raw_pid() == 1));
        let group = Pid::from_raw(group).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
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
