//! Killing processes that have left their group, their session or their parent.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::table::{Entry, Table};
use crate::base::poll::wait;

/// Programs that podman keeps running while a container or its network exists. Killing one would end the container.
const HELPERS: [&str; 10] = [
    "aardvark-dns",
    "catatonit",
    "conmon",
    "fuse-overlayfs",
    "netavark",
    "passt",
    "pasta",
    "rootlesskit",
    "rootlessport",
    "slirp4netns",
];
/// The pause before the last look for marks: during an execve(2), the environment of a process cannot be read for a moment.
pub(super) const EXEC: Duration = Duration::from_millis(2);

/// Kills processes until no process meets both conditions, or for at most `time`. Returns the number of killed ones. The last
/// look comes a `pause` after the one before.
///
/// `read` reads a table of processes, and `is_candidate` selects from it. `is_target` decides about a candidate while its id cannot be
/// reused, so that it may read the candidate's files below /proc.
///
/// Some are never killed: this process and its ancestors, the helpers of containers and their descendants, and
/// processes in other PID namespaces.
pub(super) fn kill_all(
    time: Duration,
    pause: Duration,
    read: fn() -> Table,
    is_candidate: &dyn Fn(&Table, &Entry) -> bool,
    is_target: &dyn Fn(&Entry) -> bool,
) -> usize {
    let deadline = Instant::now() + time;
    let our_namespace = namespace("self");
    let is_ours = |entry: &Entry| is_within(&our_namespace, entry) && is_target(entry);
    let mut killed = 0;
    let mut empty_passes = 0;
    while empty_passes < 2 && Instant::now() < deadline {
        let table = read();
        // Nothing is about to show itself where there is nothing. A process may have lost its parent while the table was
        // read, and have been missed.
        if table.alive().all(|entry| table.is_above_us(entry)) {
            empty_passes += 1;
            continue;
        }
        let stopped: Vec<OwnedFd> = table
            .alive()
            .filter(|e| is_candidate(&table, e) && !is_spared(&table, e))
            .filter_map(|e| stop(e, &is_ours))
            .collect();
        for pidfd in &stopped {
            // It fails only if the process has ended meanwhile.
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
        killed += stopped.len();
        if stopped.is_empty() {
            empty_passes += 1;
            if empty_passes == 1 {
                std::thread::sleep(pause);
            }
        } else {
            empty_passes = 0;
        }
        wait_for_all(&stopped, deadline);
    }
    killed
}

/// Stops a process, so that it cannot react to the end of others. Returns a descriptor that is readable once the
/// process has ended, or `None` if the process is gone or not a target.
fn stop(entry: &Entry, is_target: &dyn Fn(&Entry) -> bool) -> Option<OwnedFd> {
    let pidfd = pidfd_open(entry.pid, PidfdFlags::empty()).ok()?;
    if !entry.is_current() || !is_target(entry) {
        return None;
    }
    pidfd_send_signal(&pidfd, Signal::STOP).ok()?;
    Some(pidfd)
}

fn wait_for_all(pidfds: &[OwnedFd], deadline: Instant) {
    for pidfd in pidfds {
        wait(&mut [PollFd::new(pidfd, PollFlags::IN)], deadline);
    }
}

fn is_spared(table: &Table, entry: &Entry) -> bool {
    let below_us = |above: &&Entry| !table.is_above_us(above);
    table.is_above_us(entry) || table.lineage(entry).take_while(below_us).any(is_helper)
}

fn is_helper(entry: &Entry) -> bool {
    // pasta and passt are named `pasta.avx2` and `passt.avx2` on processors with AVX2.
    let name = entry.name.strip_suffix(".avx2").unwrap_or(&entry.name);
    match name {
        "podman" => is_podman_helper(entry),
        name => HELPERS.contains(&name),
    }
}

/// Distinguishes podman's helpers from commands that a user runs. One helper keeps the namespaces and has no arguments;
/// another one cleans up after a container.
fn is_podman_helper(entry: &Entry) -> bool {
    let line = std::fs::read(format!("/proc/{}/cmdline", entry.pid)).unwrap_or_default();
    let words: Vec<&[u8]> = line
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .collect();
    words.len() < 2 || words.contains(&&b"cleanup"[..])
}

/// Returns the PID namespace of a process. Returns `None` if it may not be read.
fn namespace(process: &str) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{process}/ns/pid")).ok()
}

/// A process whose namespace may not be read counts as outside.
fn is_within(ours: &Option<PathBuf>, entry: &Entry) -> bool {
    ours.is_some() && namespace(&entry.pid.to_string()) == *ours
}
