//! Processes, and what the kernel shows of a daemon.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::{Daemon, eventually};

impl Daemon {
    /// A value in /proc/PID/status, in its unit there (kB for memory).
    pub fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn threads(&self) -> u64 {
        self.status("Threads")
    }

    /// True if each of its threads waits for something.
    pub fn all_threads_sleep(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        threads.flatten().all(|thread| {
            // A thread that ends meanwhile has no such file.
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(')')
                .is_some_and(|(_, rest)| rest.starts_with(" S"))
        })
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }

    /// The sockets that it has open: those that listen, and connections.
    pub fn sockets(&self) -> usize {
        let all = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let targets = all.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        let sockets = targets.filter(|to| to.to_string_lossy().starts_with("socket:"));
        sockets.count()
    }

    /// Runs shell code in the namespaces of a daemon that has its own
    /// ([`super::Sandbox::daemon_in_namespaces`]).
    #[track_caller]
    pub fn enter(&self, code: &str) {
        let pid = self.pid().to_string();
        let entered = Command::new("nsenter")
            .args(["--user", "--mount", "--target", &pid, "sh", "-ec", code])
            .status();
        assert!(entered.unwrap().success(), "{code}");
    }

    /// The number of its inotify watches.
    pub fn watches(&self) -> usize {
        let fds = fs::read_dir(format!("/proc/{}/fdinfo", self.pid())).unwrap();
        let infos = fds.flatten();
        let infos = infos.filter_map(|fd| fs::read_to_string(fd.path()).ok());
        infos.map(|info| info.matches("inotify wd:").count()).sum()
    }

    /// The child that follows events.
    pub fn events_child(&self) -> Option<u32> {
        let is_it = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains("docker events ") || line.contains("tail -n +1 -f")
        };
        self.children().into_iter().find(is_it)
    }

    /// Waits for the child that follows events.
    #[track_caller]
    pub fn follows(&self) -> u32 {
        eventually("events are followed", || self.events_child())
    }

    /// Its descendants, zombies included.
    pub fn children(&self) -> Vec<u32> {
        descendants(self.pid())
    }
}

pub(super) fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, signal));
}

/// The processes of the operations of the daemon `pid`, whatever their parent is now, each with its command line, but for
/// those with which podman keeps a container running.
pub fn operation_processes(pid: u32) -> BTreeMap<u32, String> {
    processes_of(pid, |mark| !mark.ends_with(b":events"))
}

/// Returns those of one operation. A daemon may be repairing the dev container of another test meanwhile.
pub fn processes_of_operation(pid: u32, operation: &str) -> BTreeMap<u32, String> {
    processes_of(pid, |mark| mark.ends_with(operation.as_bytes()))
}

fn processes_of(pid: u32, is_wanted: impl Fn(&[u8]) -> bool) -> BTreeMap<u32, String> {
    let variable = format!("DEVCONTAINERD_OPERATION={pid}:");
    let all = fs::read_dir("/proc").unwrap().flatten();
    let ours = all.filter_map(|process| {
        let id: u32 = process.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(process.path().join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        let is_ours = |one: &[u8]| {
            let name = one.strip_prefix(variable.as_bytes());
            name.is_some_and(&is_wanted)
        };
        let ours = variables.any(is_ours);
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let program = line.split(' ').next().unwrap_or_default();
        (ours && !program.ends_with("/conmon")).then_some((id, line))
    });
    ours.collect()
}

/// The descendants of `pid` that have ended and are not reaped.
pub fn zombies(pid: u32) -> Vec<u32> {
    let is_one = |child: &u32| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default();
        state.trim_start().starts_with('Z')
    };
    descendants(pid).into_iter().filter(is_one).collect()
}

pub fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

/// All processes below `pid`.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut parents: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let child = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1));
        if let (Some(child), Some(Ok(parent))) = (child, parent.map(str::parse)) {
            parents.entry(parent).or_default().push(child);
        }
    }
    let mut found = parents.remove(&pid).unwrap_or_default();
    let mut next = 0;
    while next < found.len() {
        found.extend(parents.remove(&found[next]).unwrap_or_default());
        next += 1;
    }
    found
}
