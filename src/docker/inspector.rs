//! Inspects many containers: several commands at once, and others that show whether docker is slow or a container hangs.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::command::Runner;
use super::error::Error;
use super::evidence::{Answered, Board, Patience};
use super::inspect::answer::{Answer, Reading};
use super::known::KnownContainers;
use super::lister::LONGEST;
use crate::process::Late;

/// The ids in one `inspect`: 6.5 kB of arguments, far below every limit, and about a megabyte of answer.
pub(super) const BATCH: usize = 100;
/// The inspects that run at once.
const WORKERS: usize = 4;
/// The pause between two commands that only show whether docker answers.
const PROBED_EVERY: Duration = Duration::from_millis(100);

/// How containers are inspected in one listing.
pub(super) struct Inspector<'a> {
    pub(super) docker: Runner<'a>,
    /// The last reading of each container.
    pub(super) known: &'a KnownContainers,
    /// The time that docker gets for one command.
    pub(super) timeout: Duration,
    /// When the listing began.
    pub(super) begun: Instant,
    /// Ids of containers that docker answered for before.
    pub(super) references: Vec<String>,
    /// Ids of containers that may be shown in their last state for now.
    pub(super) hasty: HashSet<String>,
}

/// The outcome of several inspects.
#[derive(Default)]
pub(super) struct Inspection {
    pub(super) found: HashMap<String, Reading>,
    pub(super) warnings: Vec<String>,
    /// The ids of containers whose inspect hangs while docker answers for others.
    pub(super) hung: Vec<String>,
    /// The ids whose inspect failed though they may exist.
    pub(super) unanswered: Vec<String>,
    /// Why an inspect failed as a whole.
    pub(super) error: Option<Error>,
    /// The ids in a common inspect that hangs.
    suspects: Vec<String>,
}

/// One inspect to make.
struct Batch {
    ids: Vec<String>,
    patience: Patience,
}

/// Which inspects are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Those in as few commands as possible.
    First,
    /// Those of single containers, because their common inspect hangs.
    Suspects,
}

impl Batch {
    fn alone(id: String, patience: Patience) -> Self {
        let ids = vec![id];
        Self { ids, patience }
    }
}

impl Inspector<'_> {
    /// Inspects `ids` in as few commands as possible, and each of `alone` in its own. If a common command hangs, its
    /// containers are inspected one by one.
    pub(super) fn inspect(&self, ids: &[String], alone: Vec<(String, Patience)>) -> Inspection {
        let together = ids.chunks(BATCH).map(|ids| match ids {
            [id] => Batch::alone(id.clone(), self.patience(id)),
            ids => Batch {
                ids: ids.to_vec(),
                patience: Patience::for_batch_of(ids.len()),
            },
        });
        let alone = alone.into_iter();
        let alone = alone.map(|(id, patience)| Batch::alone(id, patience));
        let mut inspection = self.run(together.chain(alone).collect(), Round::First);
        let suspects = std::mem::take(&mut inspection.suspects);
        if inspection.error.is_some() || suspects.is_empty() {
            return inspection;
        }
        let alone = suspects.into_iter().map(|id| {
            let patience = self.patience(&id);
            Batch::alone(id, patience)
        });
        inspection.merge(self.run(alone.collect(), Round::Suspects));
        inspection
    }

    /// Returns the patience with a container that is inspected alone for the first time.
    fn patience(&self, id: &str) -> Patience {
        if self.hasty.contains(id) {
            Patience::FULL
        } else {
            Patience::WHOLE
        }
    }

    fn run(&self, mut batches: Vec<Batch>, round: Round) -> Inspection {
        let workers = batches.len().min(WORKERS);
        let others = self.others_than(&batches);
        batches.reverse();
        let batches = Mutex::new(batches);
        let all = Mutex::new(Inspection::default());
        let board = match Board::new(workers) {
            Ok(board) => board,
            Err(e) => {
                return Inspection {
                    error: Some(Error::NoResources(e)),
                    ..Inspection::default()
                };
            }
        };
        let work = &|worker, late: Option<&(dyn Fn() + Sync)>| {
            loop {
                let next = lock(&batches).pop();
                let (has_failed, has_found, have_many_hung) = {
                    let all = lock(&all);
                    let have_many_hung = all.hung.len() >= WORKERS;
                    (all.error.is_some(), !all.found.is_empty(), have_many_hung)
                };
                let Some(mut batch) = next.filter(|_| !has_failed) else {
                    break;
                };
                // All together would take longer than a listing may.
                if have_many_hung && batch.patience == Patience::WHOLE {
                    batch.patience = Patience::FULL;
                }
                let has_others = has_found || !others.is_empty();
                let deadline = self.deadline(round, has_others);
                let inspection = self.try_batch(&board, worker, batch, deadline, late);
                lock(&all).merge(inspection);
            }
            board.leave(worker);
        };
        let observe = &|| self.observe(&board, &all, &others);
        thread::scope(|scope| {
            if workers == 1 {
                // Mostly it has ended before there is something to observe. Several of its commands may last long.
                let once = Once::new();
                let late = || once.call_once(|| drop(start(scope, Box::new(observe))));
                return work(0, Some(&late));
            }
            let mut started = 0;
            for worker in 0..workers {
                match start(scope, Box::new(move || work(worker, None))) {
                    Ok(_) => started += 1,
                    Err(_) => board.leave(worker),
                }
            }
            if started == 0 && workers > 0 {
                // No thread can be started. This one does the work, and nothing tells slow from hung.
                work(0, None);
            }
            observe();
        });
        all.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The references that are not among these: if one of these hangs, asking for it shows nothing.
    fn others_than(&self, batches: &[Batch]) -> Vec<String> {
        let asked: HashSet<&String> = batches.iter().flat_map(|batch| &batch.ids).collect();
        let references = self.references.iter();
        references
            .filter(|id| !asked.contains(id))
            .cloned()
            .collect()
    }

    /// Returns the deadline of an inspect that begins now. Where no other container shows that docker answers, the
    /// listing ends when its time is over.
    fn deadline(&self, round: Round, has_others: bool) -> Instant {
        let now = Instant::now();
        if round == Round::Suspects && !has_others {
            (self.begun + self.timeout).max(now + self.timeout / 4)
        } else {
            (now + self.timeout).min(self.begun + self.timeout * LONGEST)
        }
    }

    fn try_batch(
        &self,
        board: &Board,
        worker: usize,
        batch: Batch,
        deadline: Instant,
        late: Option<&(dyn Fn() + Sync)>,
    ) -> Inspection {
        let Batch { ids, patience } = batch;
        let is_alone = ids.len() == 1;
        let give_up = board.begin(worker, ids.len(), patience, Instant::now());
        let mut abort: Vec<BorrowedFd<'_>> = self.docker.abort.to_vec();
        abort.extend(give_up.map(AsFd::as_fd));
        let late = late.zip(board.next_doubt());
        let docker = Runner {
            abort: &abort,
            late: late.map(|(act, doubt)| Late { at: doubt.at, act }),
            ..self.docker
        };
        let result = inspect_batch(docker, self.known, &ids, deadline);
        let hung = board.end(worker, result.is_ok());
        let error = match result {
            Ok(inspection) => return inspection,
            Err(error) => error,
        };
        let mut inspection = Inspection::default();
        match error {
            Error::TimedOut { .. } | Error::Aborted { .. } if hung && is_alone => {
                inspection.hung = ids;
            }
            Error::TimedOut { .. } | Error::Aborted { .. } if hung => inspection.suspects = ids,
            error => inspection.error = Some(error.of_listing(self.timeout)),
        }
        inspection
    }

    /// Watches the inspects until all have ended. While one of them lasts long, asks docker for something else, each
    /// time for another container: one of them may hang by now.
    fn observe(&self, board: &Board, all: &Mutex<Inspection>, others: &[String]) {
        let mut turn = 0;
        loop {
            let doubt = board.next_doubt();
            let until = doubt.map_or_else(|| Instant::now() + PROBED_EVERY, |doubt| doubt.at);
            if board.wait(until) {
                return;
            }
            let Some(doubt) = board
                .next_doubt()
                .filter(|doubt| doubt.at <= Instant::now())
            else {
                continue;
            };
            let found: Vec<String> = lock(all).found.keys().cloned().collect();
            let references = found.iter().chain(others);
            let references: Vec<&String> = references.filter(|_| doubt.is_of_one).collect();
            let at = turn % references.len().max(1);
            self.probe(board, references.get(at).copied());
            turn += 1;
            if board.wait(Instant::now() + PROBED_EVERY) {
                return;
            }
        }
    }

    /// Asks docker for a container that it has answered for. If there is none, or docker does not answer for it either,
    /// asks for the list.
    fn probe(&self, board: &Board, reference: Option<&String>) {
        let mut abort: Vec<BorrowedFd<'_>> = self.docker.abort.to_vec();
        abort.push(board.done.as_fd());
        let docker = Runner {
            abort: &abort,
            ..self.docker
        };
        if let Some(reference) = reference {
            let asked = Instant::now();
            match docker.run(&["inspect", reference], asked + self.timeout) {
                Ok(output) if output.succeeded() => return board.note(Answered::Inspect, asked),
                Err(Error::Aborted { .. }) => return,
                _ => {}
            }
        }
        let asked = Instant::now();
        // A fault that makes this fail makes the inspects fail, too.
        if docker.list("ps", asked + self.timeout).is_ok() {
            board.note(Answered::List, asked);
        }
    }
}

fn start<'a>(
    scope: &'a Scope<'a, '_>,
    act: Box<dyn FnOnce() + Send + 'a>,
) -> io::Result<ScopedJoinHandle<'a, ()>> {
    let thread = thread::Builder::new().name("inspect".into());
    thread.spawn_scoped(scope, act)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn inspect_batch(
    docker: Runner<'_>,
    known: &KnownContainers,
    ids: &[String],
    deadline: Instant,
) -> Result<Inspection, Error> {
    let mut arguments = vec!["inspect"];
    arguments.extend(ids.iter().map(String::as_str));
    let mut answer = Answer::new(known, ids);
    let output = docker.run_with(&arguments, deadline, &mut |bytes| answer.push(bytes))?;
    let is_blank = answer.is_blank();
    // Some may not exist any more, so that the status says nothing of the others.
    let found = match answer.finish() {
        Ok(found) => found,
        Err(_) if !output.succeeded() && is_blank => Vec::new(),
        Err(_) if !output.succeeded() => return Err(output.failure()),
        Err(e) => return Err(output.unreadable(e)),
    };
    let mut inspection = Inspection {
        found: found.into_iter().collect(),
        warnings: output.stderr.warnings(),
        ..Inspection::default()
    };
    let is_missing = |id: &&String| !inspection.found.contains_key(*id);
    let missing: Vec<String> = ids.iter().filter(is_missing).cloned().collect();
    if missing.is_empty() {
        return Ok(inspection);
    }
    // They may have been removed since they were listed.
    let (existing, _) = docker.list("ps", deadline)?;
    let (unanswered, gone): (Vec<String>, Vec<String>) =
        missing.into_iter().partition(|id| existing.contains(id));
    let is_about_gone = |line: &str| gone.iter().any(|id| line.contains(id));
    inspection.warnings.retain(|line| !is_about_gone(line));
    if inspection.found.is_empty() && !unanswered.is_empty() {
        return Err(output.failure());
    }
    inspection.unanswered = unanswered;
    Ok(inspection)
}

impl Inspection {
    pub(super) fn merge(&mut self, other: Self) {
        self.found.extend(other.found);
        self.warnings.extend(other.warnings);
        self.hung.extend(other.hung);
        self.suspects.extend(other.suspects);
        self.unanswered.extend(other.unanswered);
        self.error = self.error.take().or(other.error);
    }
}
