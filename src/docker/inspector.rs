//! Inspects many containers: several commands at once, each with its own deadline.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::command::{Output, Runner};
use super::error::Error;
use super::inspect::info::{self, Read};

/// The ids in one `inspect`: 6.5 kB of arguments, far below every limit, and about a megabyte of answer.
pub(super) const BATCH: usize = 100;
/// The inspects that run at once.
const WORKERS: usize = 4;

/// The outcome of several inspects.
#[derive(Default)]
pub(super) struct Inspection {
    pub(super) found: HashMap<String, Read>,
    pub(super) warnings: Vec<String>,
    /// The ids in inspects that ran until their deadline.
    pub(super) timed_out: Vec<String>,
    /// The ids that were not reached in time, or whose inspect failed though they may exist.
    pub(super) unanswered: Vec<String>,
    /// Why an inspect failed as a whole.
    pub(super) error: Option<Error>,
}

/// Inspects `ids` in as few commands as possible.
pub(super) fn inspect_together(
    docker: Runner<'_>,
    ids: &[String],
    deadline: Instant,
) -> Inspection {
    let batches = ids.chunks(BATCH).map(<[String]>::to_vec);
    inspect_all(docker, batches.collect(), &|_| Some(deadline))
}

/// Inspects each of `ids` in its own command, which gets at most `share`. An id whose turn comes less than half a
/// `share` before `end` is left unanswered.
pub(super) fn inspect_alone(
    docker: Runner<'_>,
    ids: Vec<String>,
    share: Duration,
    end: Instant,
) -> Inspection {
    let batches = ids.into_iter().map(|id| vec![id]).collect();
    inspect_all(docker, batches, &|now| {
        let deadline = end.min(now + share);
        (deadline.saturating_duration_since(now) >= share / 2).then_some(deadline)
    })
}

/// Runs one inspect for each batch. `deadline` gives the deadline of an inspect that starts now, or `None` if it is
/// too late to start.
fn inspect_all(
    docker: Runner<'_>,
    mut batches: Vec<Vec<String>>,
    deadline: &(dyn Fn(Instant) -> Option<Instant> + Sync),
) -> Inspection {
    let workers = batches.len().min(WORKERS);
    batches.reverse();
    let batches = Mutex::new(batches);
    let all = Mutex::new(Inspection::default());
    let work = || {
        loop {
            let batch = batches.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(ids) = batch else { return };
            let inspection = match deadline(Instant::now()) {
                Some(deadline) => inspect_batch(docker, ids, deadline),
                None => Inspection {
                    unanswered: ids,
                    ..Inspection::default()
                },
            };
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.merge(inspection);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            // If no thread can be started, this one does all the work.
            let _ = std::thread::Builder::new()
                .name("inspect".into())
                .spawn_scoped(scope, work);
        }
        work();
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn inspect_batch(docker: Runner<'_>, ids: Vec<String>, deadline: Instant) -> Inspection {
    let mut inspection = Inspection::default();
    let mut arguments = vec!["inspect"];
    arguments.extend(ids.iter().map(String::as_str));
    let output = match docker.run(&arguments, deadline) {
        Ok(output) => output,
        Err(Error::TimedOut { .. }) => {
            inspection.timed_out = ids;
            return inspection;
        }
        Err(error) => {
            inspection.error = Some(error);
            return inspection;
        }
    };
    match read(&output) {
        Ok(found) => {
            let found = found.into_iter().map(|read| (read.id.clone(), read));
            inspection.found = found.collect();
        }
        Err(error) => {
            inspection.error = Some(error);
            return inspection;
        }
    }
    inspection.warnings = output.stderr.warnings();
    let is_missing = |id: &String| !inspection.found.contains_key(id);
    let missing: Vec<String> = ids.into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return inspection;
    }
    // They may have been removed since they were listed.
    match docker.list("ps", deadline) {
        Ok((existing, _)) => {
            let (unanswered, gone): (Vec<String>, Vec<String>) =
                missing.into_iter().partition(|id| existing.contains(id));
            let is_about_gone = |line: &str| gone.iter().any(|id| line.contains(id));
            inspection.warnings.retain(|line| !is_about_gone(line));
            if inspection.found.is_empty() && !unanswered.is_empty() {
                inspection.error = Some(output.failure());
            }
            inspection.unanswered = unanswered;
        }
        Err(Error::TimedOut { .. }) => inspection.unanswered = missing,
        Err(error) => inspection.error = Some(error),
    }
    inspection
}

/// The containers in an answer, whatever its status is: some may not exist any more.
fn read(output: &Output) -> Result<Vec<Read>, Error> {
    match info::parse(&output.stdout) {
        Ok(found) => Ok(found),
        Err(_) if !output.succeeded() && output.stdout.trim_ascii().is_empty() => Ok(Vec::new()),
        Err(_) if !output.succeeded() => Err(output.failure()),
        Err(e) => Err(output.unreadable(e)),
    }
}

impl Inspection {
    pub(super) fn merge(&mut self, other: Self) {
        self.found.extend(other.found);
        self.warnings.extend(other.warnings);
        self.timed_out.extend(other.timed_out);
        self.unanswered.extend(other.unanswered);
        self.error = self.error.take().or(other.error);
    }
}
