//! Ending processes wherever they went: out of their group, out of their session, away from their parent.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::table::{Entry, Table};
use crate::base::poll::wait;

/// What podman leaves running for as long as a container, or its network, lives. Ending one would end the container.
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
/// A process has no environment for a moment while it becomes another program.
const EXEC: Duration = Duration::from_millis(2);

/// Kills until nothing is left that both say yes to, or `time` is over. Returns how many were killed.
///
/// `may_be` chooses by a table of processes. `is` is asked about a process whose number cannot come again any more,
/// and may look at it. This process, those that it descends from, the helpers of containers with what runs below
/// them, and processes in other namespaces are never killed.
pub(super) fn end_all(
    time: Duration,
    may_be: &dyn Fn(&Table, &Entry) -> bool,
    is: &dyn Fn(&Entry) -> bool,
) -> usize {
    let deadline = Instant::now() + time;
    let our_namespace = namespace("self");
    let is_ours = |entry: &Entry| is_within(&our_namespace, entry) && is(entry);
    let mut killed = 0;
    let mut quiet = 0;
    while quiet < 2 && Instant::now() < deadline {
        let table = Table::read();
        let candidates = table.alive();
        let candidates = candidates.filter(|e| may_be(&table, e) && !is_spared(&table, e));
        let ending: Vec<_> = candidates.filter_map(|e| hold(e, &is_ours)).collect();
        for pidfd in &ending {
            // Whoever has ended meanwhile needs it no more.
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
        killed += ending.len();
        match ending.is_empty() {
            true => {
                quiet += 1;
                std::thread::sleep(EXEC);
            }
            false => quiet = 0,
        }
        wait_for_all(&ending, deadline);
    }
    killed
}

/// Stops a process, so that it does nothing about the end of others. Readable once it has ended; `None` when it is none
/// of those to be ended.
fn hold(entry: &Entry, is: &dyn Fn(&Entry) -> bool) -> Option<OwnedFd> {
    let pidfd = pidfd_open(entry.pid, PidfdFlags::empty()).ok()?;
    if !entry.is_current() || !is(entry) {
        return None;
    }
    pidfd_send_signal(&pidfd, Signal::STOP).ok()?;
    Some(pidfd)
}

fn wait_for_all(ending: &[OwnedFd], deadline: Instant) {
    for pidfd in ending {
        wait(&mut [PollFd::new(pidfd, PollFlags::IN)], deadline);
    }
}

fn is_spared(table: &Table, entry: &Entry) -> bool {
    let below_us = |above: &&Entry| !table.is_above_us(above);
    table.is_above_us(entry) || table.lineage(entry).take_while(below_us).any(is_helper)
}

fn is_helper(entry: &Entry) -> bool {
    // pasta and passt call themselves `pasta.avx2` where the processor can do that.
    let name = entry.name.strip_suffix(".avx2").unwrap_or(&entry.name);
    match name {
        "podman" => is_podmans_own(entry),
        name => HELPERS.contains(&name),
    }
}

/// podman also runs as what keeps its namespaces, without a command, and as what cleans up after a container; all else
/// is somebody's command.
fn is_podmans_own(entry: &Entry) -> bool {
    let line = std::fs::read(format!("/proc/{}/cmdline", entry.pid)).unwrap_or_default();
    let words: Vec<&[u8]> = line
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .collect();
    words.len() < 2 || words.contains(&&b"cleanup"[..])
}

fn namespace(process: &str) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{process}/ns/pid")).ok()
}

/// A process whose namespace may not be read is in none of ours.
fn is_within(ours: &Option<PathBuf>, entry: &Entry) -> bool {
    ours.is_some() && namespace(&entry.pid.to_string()) == *ours
}
