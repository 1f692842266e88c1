//! Lists all containers: `docker ps` for the ids, `docker inspect` for the rest.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{inspect, ports};
use crate::model::ContainerInfo;
use crate::process::{self, Ended, Limits, Stream};

/// Ids in one `inspect`: 6.5 kB of arguments, far below every limit, and about a megabyte of answer.
const BATCH: usize = 100;
/// How many inspects run at once.
const WORKERS: usize = 4;
/// What one command may print; beyond it something is wrong.
const MAX_OUTPUT: usize = 64 << 20;
/// What is kept of a command's complaints.
const MAX_STDERR: usize = 16 << 10;
/// How long a container whose inspect hung is left alone.
const LEAVE_ALONE: Duration = Duration::from_secs(30);
/// How many containers a warning names.
const NAMED: usize = 5;

/// A listing.
pub struct Listed {
    /// In docker's order: newest first.
    pub containers: Vec<Arc<ContainerInfo>>,
    /// Of all containers that there are, those included of which nothing else is known.
    pub ids: HashSet<String>,
    /// What was odd.
    pub warnings: Vec<String>,
}

/// Why there is no listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError(String);

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ListError {}

/// Docker's command line, and what is known from earlier listings.
pub struct Docker {
    timeout: Duration,
    /// Readable once no listing is wanted any more.
    stop: Arc<OwnedFd>,
    known: HashMap<String, Arc<ContainerInfo>>,
    hung: HashMap<String, Instant>,
}

/// docker, and what becomes readable when it shall end early.
#[derive(Clone, Copy)]
struct Program<'a> {
    path: &'a Path,
    stop: BorrowedFd<'a>,
}

/// What one command printed.
struct Printed {
    command: &'static str,
    stdout: Vec<u8>,
    stderr: String,
    failed: Option<String>,
}

enum Failure {
    TimedOut,
    Other(ListError),
}

/// What several inspects brought.
#[derive(Default)]
struct Inspected {
    found: HashMap<String, ContainerInfo>,
    warnings: Vec<String>,
    timed_out: Vec<Vec<String>>,
    /// Not reached in time, or failed in another way than that they are gone.
    unanswered: Vec<Vec<String>>,
    error: Option<ListError>,
}

impl Docker {
    /// A listing takes at most `timeout`, and ends early once `stop` is readable.
    pub fn new(timeout: Duration, stop: Arc<OwnedFd>) -> Self {
        Self {
            timeout,
            stop,
            known: HashMap::new(),
            hung: HashMap::new(),
        }
    }

    /// Lists all containers, running or not, by running `program`.
    ///
    /// A container whose inspect hangs is shown as it was last known, with a warning, or left out; from then on it
    /// is inspected alone, and not more often than every 30 s. One that was removed in between is left out.
    pub fn list(&mut self, program: &Path) -> Result<Listed, ListError> {
        let begun = Instant::now();
        let deadline = begun + self.timeout;
        let mut warnings = Vec::new();
        let stop = self.stop.clone();
        let program = Program {
            path: program,
            stop: stop.as_fd(),
        };
        let ids = self.ids(program, deadline, &mut warnings)?;
        self.hung.retain(|id, _| ids.contains(id));
        let together: Vec<&String> = ids
            .iter()
            .filter(|id| !self.hung.contains_key(*id))
            .collect();
        let batches = together
            .chunks(BATCH)
            .map(|ids| ids.iter().map(|id| id.to_string()).collect());
        let listed = Instant::now();
        let half = listed + deadline.saturating_duration_since(listed) / 2;
        let mut inspected = inspect_all(program, batches.collect(), |_| Some(half));

        let again = self
            .hung
            .iter()
            .filter(|(_, since)| begun - **since >= LEAVE_ALONE);
        let again = again.map(|(id, _)| id.clone());
        let suspects = std::mem::take(&mut inspected.timed_out)
            .into_iter()
            .flatten();
        let alone: Vec<Vec<String>> = suspects.chain(again).map(|id| vec![id]).collect();
        if !alone.is_empty() {
            let share = self.timeout / 4;
            let end = deadline - self.timeout / 20;
            let second = inspect_all(program, alone, |now| {
                let until = end.min(now + share);
                (until.saturating_duration_since(now) >= share / 2).then_some(until)
            });
            let reached = Instant::now();
            let hung = second.timed_out.iter().flatten();
            self.hung.extend(hung.map(|id| (id.clone(), reached)));
            for id in second.found.keys() {
                self.hung.remove(id);
            }
            inspected.merge(second);
        }
        if let Some(error) = inspected.error {
            return Err(error);
        }
        warnings.append(&mut inspected.warnings);
        self.assemble(ids, inspected, warnings)
    }

    fn ids(
        &self,
        program: Program<'_>,
        deadline: Instant,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<String>, ListError> {
        let arguments = ["ps", "--all", "--quiet", "--no-trunc"];
        let printed =
            run(program, "docker ps", &arguments, deadline).map_err(|failure| match failure {
                Failure::TimedOut => self.too_slow("docker ps"),
                Failure::Other(error) => error,
            })?;
        if printed.failed.is_some() {
            return Err(printed.error());
        }
        warnings.extend(printed.complaints());
        let text = String::from_utf8_lossy(&printed.stdout);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines
            .map(|line| match is_id(line) {
                true => Ok(line.to_owned()),
                false => Err(ListError(format!(
                    "docker ps printed what is not a container id: {:?}",
                    shorten(line)
                ))),
            })
            .collect()
    }

    fn too_slow(&self, command: &str) -> ListError {
        ListError(format!(
            "{command} did not finish within the limit of {} s (--list-timeout)",
            self.timeout.as_secs_f64()
        ))
    }

    /// Puts new and last known facts together in docker's order.
    fn assemble(
        &mut self,
        ids: Vec<String>,
        inspected: Inspected,
        mut warnings: Vec<String>,
    ) -> Result<Listed, ListError> {
        let mut found = inspected.found;
        let silent: HashSet<&String> = inspected
            .timed_out
            .iter()
            .chain(&inspected.unanswered)
            .flatten()
            .chain(self.hung.keys())
            .collect();
        let mut known = HashMap::new();
        let mut containers = Vec::new();
        let mut stale = Vec::new();
        for id in &ids {
            let last = self.known.get(id);
            let fresh = match found.remove(id) {
                // An unchanged container keeps its place in memory.
                Some(info) => match last {
                    Some(last) if **last == info => Some(last.clone()),
                    _ => Some(Arc::new(info)),
                },
                None if silent.contains(id) => {
                    stale.push(last.map_or(id.as_str(), |info| &info.name));
                    last.cloned()
                }
                None => None,
            };
            if let Some(info) = fresh {
                known.insert(id.clone(), info.clone());
                containers.push(info);
            }
        }
        if containers.is_empty() && stale.len() > 1 {
            return Err(self.too_slow("docker inspect"));
        }
        if !stale.is_empty() {
            warnings.push(format!(
                "docker inspect does not answer for {}; what was last known is shown",
                enumerate(&stale)
            ));
        }
        warnings.extend(ports::shared_host_ports(containers.iter().map(Arc::as_ref)));
        self.known = known;
        // Both commands, and each batch, may say the same.
        let mut said = HashSet::new();
        warnings.retain(|warning| said.insert(warning.clone()));
        Ok(Listed {
            containers,
            ids: ids.into_iter().collect(),
            warnings,
        })
    }
}

/// Runs one inspect for each of `tasks`, several at once; each has the deadline that `deadline` gives it when it
/// starts, and is left out where there is none.
fn inspect_all(
    program: Program<'_>,
    mut tasks: Vec<Vec<String>>,
    deadline: impl Fn(Instant) -> Option<Instant> + Sync,
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
                    unanswered: vec![ids],
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
            one.timed_out.push(ids);
            return one;
        }
        Err(Failure::Other(error)) => {
            one.error = Some(error);
            return one;
        }
    };
    let parsed = inspect::parse(&printed.stdout, &mut one.warnings);
    let complaints = printed.complaints();
    match parsed {
        // Whatever the status: ids that are missing were removed in between.
        Ok(found) if !found.is_empty() || complaints.is_empty() => {
            one.found = found
                .into_iter()
                .map(|info| (info.id.clone(), info))
                .collect();
            if printed.failed.is_some() && !complaints.is_empty() {
                let said_missing = |id: &String| printed.misses(id);
                let left = ids.into_iter().filter(|id| !said_missing(id));
                one.unanswered.push(left.collect());
            }
            one.warnings.extend(complaints);
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
            one.error = Some(ListError(format!(
                "docker inspect printed what cannot be read: {e}"
            )));
        }
    }
    one
}

impl Inspected {
    fn merge(&mut self, other: Self) {
        self.found.extend(other.found);
        self.warnings.extend(other.warnings);
        self.timed_out.extend(other.timed_out);
        self.unanswered.extend(other.unanswered);
        self.error = self.error.take().or(other.error);
    }
}

impl Printed {
    /// What stands on standard error, but for ids that were not found, in docker's and in podman's words.
    fn complaints(&self) -> Vec<String> {
        let lines = self.stderr.lines().map(str::trim_end);
        let lines = lines.filter(|line| !line.trim().is_empty() && !says_missing(line));
        lines.map(str::to_owned).collect()
    }

    /// Whether it says that there is no container `id`.
    fn misses(&self, id: &str) -> bool {
        let mut lines = self.stderr.lines();
        lines.any(|line| says_missing(line) && line.contains(id))
    }

    fn error(&self) -> ListError {
        let status = self.failed.as_deref().unwrap_or("no container");
        let said = self.stderr.trim();
        ListError(match said {
            "" => format!("{} failed ({status}) and said nothing", self.command),
            said => format!("{} failed ({status}): {said}", self.command),
        })
    }
}

pub(super) fn says_missing(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    [
        "no such object",
        "no such container",
        "no such image",
        "image not known",
    ]
    .iter()
    .any(|words| line.contains(words))
}

fn run(
    program: Program<'_>,
    name: &'static str,
    arguments: &[&str],
    deadline: Instant,
) -> Result<Printed, Failure> {
    let mut command = Command::new(program.path);
    command.args(arguments);
    let limits = Limits {
        deadline,
        abort: Some(program.stop),
        grace: Duration::ZERO,
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended = process::run(command, &limits, &mut |stream, bytes| match stream {
        Stream::Stdout => keep(&mut stdout, bytes, MAX_OUTPUT + 1),
        Stream::Stderr => keep(&mut stderr, bytes, MAX_STDERR),
    });
    let ended = ended.map_err(|e| Failure::Other(ListError(e.to_string())))?;
    if stdout.len() > MAX_OUTPUT {
        let limit = MAX_OUTPUT >> 20;
        return Err(Failure::Other(ListError(format!(
            "{name} printed more than {limit} MiB"
        ))));
    }
    match ended {
        Ended::Exited(status) => Ok(Printed {
            command: name,
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            failed: (!status.success()).then(|| status.to_string()),
        }),
        Ended::TimedOut => Err(Failure::TimedOut),
        Ended::Aborted => Err(Failure::Other(ListError(
            "the daemon is about to stop".into(),
        ))),
    }
}

pub(super) fn keep(buffer: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let room = limit.saturating_sub(buffer.len()).min(bytes.len());
    buffer.extend_from_slice(bytes.get(..room).unwrap_or_default());
}

/// Whether docker could have printed this as an id. Nothing else may become an argument.
pub(crate) fn is_id(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

fn enumerate(names: &[&str]) -> String {
    let shown = names.get(..names.len().min(NAMED)).unwrap_or_default();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
