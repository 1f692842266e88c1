//! Asks docker all about some containers: several commands at once, each with a deadline of its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::command::{Failure, ListError, Program, run};
use super::inspect::{self, Read};

/// Ids in one `inspect`: 6.5 kB of arguments, far below every limit, and about a megabyte of answer.
pub(super) const BATCH: usize = 100;
/// How many inspects run at once.
const WORKERS: usize = 4;

/// What several inspects brought.
#[derive(Default)]
pub(super) struct Inspected {
    pub(super) found: HashMap<String, Read>,
    pub(super) complaints: Vec<String>,
    pub(super) timed_out: Vec<String>,
    /// Not reached in time, or failed in another way than that they are gone.
    pub(super) unanswered: Vec<String>,
    pub(super) error: Option<ListError>,
}

/// Asks about these in as few commands as there can be.
pub(super) fn inspect_together(
    program: Program<'_>,
    ids: &[String],
    deadline: Instant,
) -> Inspected {
    let batches = ids.chunks(BATCH).map(<[String]>::to_vec);
    inspect_all(program, batches.collect(), &|_| Some(deadline))
}

/// Asks about each in a command of its own, which gets at most `share`. Those whose turn does not come early enough
/// before `end` are left out.
pub(super) fn inspect_alone(
    program: Program<'_>,
    ids: Vec<String>,
    share: Duration,
    end: Instant,
) -> Inspected {
    let tasks = ids.into_iter().map(|id| vec![id]).collect();
    inspect_all(program, tasks, &|now| {
        let until = end.min(now + share);
        (until.saturating_duration_since(now) >= share / 2).then_some(until)
    })
}

/// Runs one inspect for each of `tasks`, several at once; each has the deadline that `deadline` gives it when it
/// starts, and is left out where there is none.
fn inspect_all(
    program: Program<'_>,
    mut tasks: Vec<Vec<String>>,
    deadline: &(dyn Fn(Instant) -> Option<Instant> + Sync),
) -> Inspected {
    let workers = tasks.len().min(WORKERS);
    tasks.reverse();
    let tasks = Mutex::new(tasks);
    let all = Mutex::new(Inspected::default());
    let work = || {
        loop {
            let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(ids) = task else { return };
            let one = match deadline(Instant::now()) {
                Some(deadline) => inspect_one(program, ids, deadline),
                None => Inspected {
                    unanswered: ids,
                    ..Inspected::default()
                },
            };
            all.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .merge(one);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            // Without another thread, this one does the work of all.
            let _ = std::thread::Builder::new()
                .name("inspect".into())
                .spawn_scoped(scope, work);
        }
        work();
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn inspect_one(program: Program<'_>, ids: Vec<String>, deadline: Instant) -> Inspected {
    let mut one = Inspected::default();
    let mut arguments = vec!["inspect"];
    arguments.extend(ids.iter().map(String::as_str));
    let printed = match run(program, "docker inspect", &arguments, deadline) {
        Ok(printed) => printed,
        Err(Failure::TimedOut) => {
            one.timed_out.extend(ids);
            return one;
        }
        Err(Failure::Other(error)) => {
            one.error = Some(error);
            return one;
        }
    };
    let parsed = inspect::parse(&printed.stdout);
    let complaints = printed.complaints();
    match parsed {
        // Whatever the status: ids that are missing were removed in between.
        Ok(found) if !found.is_empty() || complaints.is_empty() => {
            one.found = found
                .into_iter()
                .map(|read| (read.id.clone(), read))
                .collect();
            if printed.failed.is_some() && !complaints.is_empty() {
                let is_answered = |id: &String| one.found.contains_key(id) || printed.misses(id);
                let left: Vec<String> = ids.into_iter().filter(|id| !is_answered(id)).collect();
                one.unanswered.extend(left);
            }
            one.complaints.extend(complaints);
        }
        Ok(_) => one.error = Some(printed.error()),
        Err(_) if printed.failed.is_some() && !complaints.is_empty() => {
            one.error = Some(printed.error());
        }
        // podman prints no array at all where it finds nothing.
        Err(_) if printed.failed.is_some() && printed.stdout.trim_ascii().is_empty() => {
            one.error = printed.stderr.is_empty().then(|| printed.error());
        }
        Err(e) => {
            one.error = Some(ListError::new(format!(
                "docker inspect printed what cannot be read: {e}"
            )));
        }
    }
    one
}

impl Inspected {
    pub(super) fn merge(&mut self, other: Self) {
        self.found.extend(other.found);
        self.complaints.extend(other.complaints);
        self.timed_out.extend(other.timed_out);
        self.unanswered.extend(other.unanswered);
        self.error = self.error.take().or(other.error);
    }
}
