//! Orphans: descendants whose parent has ended become children of this process, which must reap them.

use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::io::Errno;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, getpid, set_child_subreaper, waitid, waitpid,
};

use super::priority;
use super::table::{self, Entry, Table};
use crate::base::{listen_fds, sd_notify};

/// The children whose exit status is awaited. Locked while a child starts, so that it is listed before it can end.
static AWAITED: Mutex<Vec<Awaited>> = Mutex::new(Vec::new());

struct Awaited {
    id: u32,
    /// True if it was found to have ended.
    has_ended: bool,
}

/// Set once this process adopts orphans. True if all of them descend from programs that this process has run.
static ADOPTED: OnceLock<bool> = OnceLock::new();

/// Makes this process the parent of its orphaned descendants (PR_SET_CHILD_SUBREAPER(2const)) and starts to reap them.
pub fn adopt_orphans() -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    // The init process of a container also adopts the orphans of programs that others run in it, and a process that
    // executes this program may have had children before. Those cannot be distinguished from orphans of an operation.
    let all_ours = getpid() != Pid::INIT && children().is_empty();
    let _ = ADOPTED.set(all_ours);
    reap_orphans();
    Ok(())
}

/// Reaps all orphans that have ended. Does not reap children whose exit status is awaited.
pub fn reap_orphans() {
    if ADOPTED.get().is_none() {
        return;
    }
    let mut awaited = awaited();
    if !has_ended(WaitId::All) {
        return;
    }
    // Mostly an awaited child has just ended. Whoever waits for it is about to reap it, and calls this again then.
    if awaited.iter_mut().any(Awaited::has_just_ended) {
        return;
    }
    for child in children() {
        if !awaited.iter().any(|one| is(child, one.id)) {
            // It fails if another thread has reaped the child, and does nothing if the child still runs.
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
    }
}

/// Starts a child whose exit status will be awaited.
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    // They are for this process only.
    let variables = listen_fds::VARIABLES.iter().chain(&sd_notify::VARIABLES);
    // A command with changes gets a copy of the whole environment.
    for variable in variables.filter(|variable| std::env::var_os(variable).is_some()) {
        command.env_remove(variable);
    }
    let mut awaited = awaited();
    let child = priority::spawn(command)?;
    awaited.push(Awaited {
        id: child.id(),
        has_ended: false,
    });
    Ok(child)
}

/// Ends the wait for a child that has been reaped.
pub(super) fn forget(child: &Child) {
    awaited().retain(|one| one.id != child.id());
    // An earlier pass may have missed orphans while the list of children changed.
    reap_orphans();
}

/// Returns whether `entry` is an orphan of a program that this process has run, or a descendant of one.
pub(super) fn is_stray(table: &Table, entry: &Entry) -> bool {
    let us = getpid().as_raw_pid();
    let child = table.lineage(entry).find(|above| above.parent == us);
    ADOPTED.get() == Some(&true)
        && child.is_some_and(|child| !awaited().iter().any(|one| is(child.pid, one.id)))
}

fn awaited() -> MutexGuard<'static, Vec<Awaited>> {
    AWAITED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is(pid: Pid, id: u32) -> bool {
    u32::try_from(pid.as_raw_pid()) == Ok(id)
}

impl Awaited {
    /// Returns whether it has ended since the last call.
    fn has_just_ended(&mut self) -> bool {
        let pid = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        let before = self.has_ended;
        self.has_ended |= pid.is_some_and(|pid| has_ended(WaitId::Pid(pid)));
        self.has_ended && !before
    }
}

/// Returns whether such a child may have ended, which nobody has reaped. rustix does not return the id of that child.
fn has_ended(child: WaitId<'_>) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(child, options), Ok(Some(_)) | Err(Errno::INTR))
}

/// Returns the ids of all children.
fn children() -> Vec<Pid> {
    table::children_of(getpid()).unwrap_or_else(|| {
        let us = getpid().as_raw_pid();
        let table = Table::read();
        let children = table.all().filter(|entry| entry.parent == us);
        children.map(|entry| entry.pid).collect()
    })
}

/// Reads all processes that programs of this process may have left. Those are descendants of this process once it adopts
/// orphans.
pub(super) fn read_ours() -> Table {
    let adopts = ADOPTED.get().is_some();
    let below = adopts.then(Table::read_below_us).flatten();
    below.unwrap_or_else(Table::read)
}
