//! Children that we did not start: whoever loses its parent below us becomes ours, and somebody must reap it.

use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::io::Errno;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, getpid, set_child_subreaper, waitid, waitpid,
};

use super::priority;
use super::table::{Entry, Table};

/// Children whose status somebody wants. Locked while one is started, so that none ends before it is in here.
static AWAITED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Set once orphans are ours: whether all of them come from programs that we ran.
static ADOPTED: OnceLock<bool> = OnceLock::new();

/// From now on descendants that lose their parent become children of this process, which reaps them. The init
/// process of a container gets those of everybody.
pub fn adopt_orphans() -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    // The init process also gets what others left who entered its container, and whoever became this program by an
    // exec may have had children before: such orphans cannot be told from those of an operation.
    let all_ours = getpid() != Pid::INIT && children().is_empty();
    let _ = ADOPTED.set(all_ours);
    reap_orphans();
    Ok(())
}

/// Reaps every orphan that has ended, and leaves children that somebody waits for alone.
pub fn reap_orphans() {
    if ADOPTED.get().is_none() {
        return;
    }
    let awaited = awaited();
    if !some_child_has_ended() {
        return;
    }
    for child in children() {
        if !awaited.iter().any(|id| is(child, *id)) {
            // Whether it still runs, or somebody else was faster, does not matter.
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
    }
}

/// Starts a child that somebody will wait for.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut awaited = awaited();
    let child = priority::spawn(command)?;
    awaited.push(child.id());
    Ok(child)
}

/// Nobody waits for this child any more: it has been reaped.
pub(super) fn forget(child: &Child) {
    awaited().retain(|id| *id != child.id());
    // Some may have been overlooked while the list of children changed.
    reap_orphans();
}

/// Whether `entry` is an orphan of a program that we ran, or below one.
pub(super) fn is_stray(table: &Table, entry: &Entry) -> bool {
    let us = getpid().as_raw_pid();
    let child = table.lineage(entry).find(|above| above.parent == us);
    ADOPTED.get() == Some(&true)
        && child.is_some_and(|child| !awaited().iter().any(|id| is(child.pid, *id)))
}

fn awaited() -> MutexGuard<'static, Vec<u32>> {
    AWAITED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is(pid: Pid, id: u32) -> bool {
    u32::try_from(pid.as_raw_pid()) == Ok(id)
}

/// One call that tells whether there is anything to do at all. It cannot tell which child: rustix keeps that.
fn some_child_has_ended() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, options), Ok(Some(_)) | Err(Errno::INTR))
}

/// Each thread has a list of its own. A kernel may be built without them.
fn children() -> Vec<Pid> {
    let us = getpid().as_raw_pid();
    if !std::fs::exists(format!("/proc/self/task/{us}/children")).unwrap_or(false) {
        let table = Table::read();
        let children = table.all().filter(|entry| entry.parent == us);
        return children.map(|entry| entry.pid).collect();
    }
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let lists = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let pids = |list: String| -> Vec<Pid> {
        let words = list.split_whitespace();
        words
            .filter_map(|word| Pid::from_raw(word.parse().ok()?))
            .collect()
    };
    lists.flat_map(pids).collect()
}
