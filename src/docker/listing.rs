//! Lists containers: `docker ps` for the ids, `docker inspect` of what may have changed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::inspect::Read;
use super::inspecting::{Inspected, inspect_all};
use super::ports;
use super::run::{Failure, Program, run};
use crate::model::ContainerInfo;
use crate::order::by_text;
use crate::wake::Bell;

/// Ids in one `inspect`: 6.5 kB of arguments, far below every limit, and about a megabyte of answer.
const BATCH: usize = 100;
/// How long a container whose inspect hung is left alone, at first and at the most.
const LEAVE_ALONE: Duration = Duration::from_secs(2);
const LEAVE_ALONE_LAST: Duration = Duration::from_secs(30);
/// What events name is inspected together within the first of these; where that hangs, each alone within the second.
/// The third is for finding out whether docker answers at all.
const TOGETHER: Duration = Duration::from_millis(500);
const ALONE: Duration = Duration::from_secs(1);
const PROBE: Duration = Duration::from_millis(500);
/// If more than these hang, it is not for what they are.
const FEW: usize = 4;
/// How many containers a warning names.
const NAMED: usize = 5;

/// What of the containers is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Which there are, and all about each.
    All,
    /// Which there are, and all about those that are new and about these.
    Changed(HashSet<String>),
    /// All about these, and nothing else.
    Named(HashSet<String>),
}

/// A listing.
pub struct Listed {
    /// In docker's order: newest first.
    pub containers: Vec<Arc<ContainerInfo>>,
    /// Of all containers that there are, those included of which nothing else is known.
    pub ids: HashSet<String>,
    /// What was odd.
    pub warnings: Vec<String>,
    /// Containers that were said to be unchanged, and have come, gone, begun or ended to run.
    pub untold: Vec<String>,
    /// When to try again what docker said nothing about.
    pub retry_at: Option<Instant>,
}

/// Why there is no listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError(String);

impl ListError {
    pub(super) fn new(said: String) -> Self {
        Self(said)
    }
}

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
    stop: Arc<Bell>,
    /// In docker's order.
    ids: Vec<String>,
    known: HashMap<String, Known>,
    hung: HashMap<String, Hung>,
    /// Containers about which docker was not reached in time, or said something unexpected, when it was last asked.
    unanswered: HashSet<String>,
    /// What commands complained about, since all was listed.
    complaints: Vec<String>,
    /// Counts readings.
    readings: u64,
}

/// What was last read of a container.
struct Known {
    /// `None`: it could not be read.
    info: Option<Arc<ContainerInfo>>,
    warnings: Vec<String>,
    reading: u64,
}

/// A container about which docker says nothing.
struct Hung {
    again_at: Instant,
    pause: Duration,
}

impl Docker {
    /// A listing takes at most `timeout`, and ends early once `stop` is readable.
    pub fn new(timeout: Duration, stop: Arc<Bell>) -> Self {
        Self {
            timeout,
            stop,
            ids: Vec::new(),
            known: HashMap::new(),
            hung: HashMap::new(),
            unanswered: HashSet::new(),
            complaints: Vec::new(),
            readings: 0,
        }
    }

    /// Lists all containers, running or not, and reads by running `program` what `scope` says.
    ///
    /// A container whose inspect hangs is shown as it was last known, with a warning, or left out; from then on it
    /// is inspected alone, after a pause that grows to 30 s. One that was removed in between is left out.
    pub fn list(&mut self, program: &Path, scope: &Scope) -> Result<Listed, ListError> {
        let stop = self.stop.clone();
        let program = Program {
            path: program,
            stop: stop.as_fd(),
        };
        self.readings += 1;
        match scope {
            Scope::All => self.list_all(program, None),
            Scope::Changed(named) => self.list_all(program, Some(named)),
            Scope::Named(named) => self.read_named(program, named),
        }
    }

    /// `changed`: what else is known may be taken as true. `None`: nothing may.
    fn list_all(
        &mut self,
        program: Program<'_>,
        changed: Option<&HashSet<String>>,
    ) -> Result<Listed, ListError> {
        let deadline = Instant::now() + self.timeout;
        let (ids, complaints) = self.ids(program, deadline)?;
        let ids_before: HashSet<String> =
            std::mem::replace(&mut self.ids, ids).into_iter().collect();
        let asked = match changed {
            None => self.ids.clone(),
            Some(changed) => self.to_be_read(changed),
        };
        self.hung.retain(|id, _| self.ids.contains(id));
        let listed = Instant::now();
        let half = listed + deadline.saturating_duration_since(listed) / 2;
        let mut inspected = self.inspect_together(program, &asked, half);
        let suspects = std::mem::take(&mut inspected.timed_out);
        let alone = suspects.into_iter().flatten().chain(self.due(listed));
        let (share, end) = (self.timeout / 4, deadline - self.timeout / 20);
        inspected.merge(self.inspect_alone(program, alone.collect(), share, end));
        if let Some(error) = inspected.error {
            return Err(error);
        }
        self.complaints = complaints;
        let untold = changed.map(|named| {
            let are_there: HashSet<&String> = self.ids.iter().collect();
            let gone = ids_before.iter().filter(|id| !are_there.contains(id));
            let other = self.ids.iter().filter(|id| {
                let now = inspected.found.get(*id).and_then(|read| read.info.as_ref());
                let last = self.known.get(*id).and_then(|known| known.info.as_ref());
                now.is_some_and(|now| last.is_none_or(|last| last.running != now.running))
            });
            let untold = gone.chain(other).filter(|id| !named.contains(*id));
            untold.cloned().collect()
        });
        self.take(&asked, inspected);
        self.listed(untold.unwrap_or_default())
    }

    /// What is new, what has changed, and some of the rest, so that nothing stays wrong for good.
    fn to_be_read(&self, changed: &HashSet<String>) -> Vec<String> {
        let is_known = |id: &&String| {
            let in_doubt = changed.contains(*id) || self.unanswered.contains(*id);
            self.known.contains_key(*id) && !in_doubt
        };
        let (rest, mut read): (Vec<&String>, Vec<&String>) = self.ids.iter().partition(is_known);
        let reading = |id: &&String| {
            let known = self.known.get(*id);
            known
                .map_or(0, |known| known.reading)
                .to_be_bytes()
                .to_vec()
        };
        read.extend(by_text(rest, reading).into_iter().take(BATCH));
        read.into_iter().cloned().collect()
    }

    fn read_named(
        &mut self,
        program: Program<'_>,
        named: &HashSet<String>,
    ) -> Result<Listed, ListError> {
        let asked: Vec<String> = named.union(&self.unanswered).cloned().collect();
        let begun = Instant::now();
        let mut inspected = match asked.len() {
            // To be alone is what comes next.
            1 => Inspected {
                timed_out: vec![asked.clone()],
                ..Inspected::default()
            },
            _ => self.inspect_together(program, &asked, begun + TOGETHER.min(self.timeout / 2)),
        };
        let suspects = std::mem::take(&mut inspected.timed_out)
            .into_iter()
            .flatten();
        let suspects = suspects.filter(|id| !self.is_left_alone(id, begun));
        let alone: HashSet<String> = suspects.chain(self.due(begun)).collect();
        if alone.len() > FEW {
            return Err(self.too_slow("docker inspect"));
        }
        let share = ALONE.min(self.timeout / 4);
        let end = Instant::now() + share;
        inspected.merge(self.inspect_alone(program, alone.into_iter().collect(), share, end));
        if let Some(error) = inspected.error {
            return Err(error);
        }
        if !inspected.timed_out.is_empty() && inspected.found.is_empty() {
            let probe = PROBE.min(self.timeout / 4);
            self.ids(program, Instant::now() + probe)?;
        }
        for read in inspected
            .found
            .values()
            .filter_map(|read| read.info.as_ref())
        {
            self.insert(read);
        }
        self.take(&asked, inspected);
        self.listed(Vec::new())
    }

    /// Adds a container in docker's order, if it is new.
    fn insert(&mut self, new: &ContainerInfo) {
        if self.ids.contains(&new.id) {
            return;
        }
        let is_older = |id: &String| {
            let info = self.known.get(id).and_then(|known| known.info.as_ref());
            info.is_some_and(|info| info.created_at <= new.created_at)
        };
        let place = self.ids.iter().position(is_older);
        self.ids
            .insert(place.unwrap_or(self.ids.len()), new.id.clone());
    }

    fn is_left_alone(&self, id: &str, now: Instant) -> bool {
        self.hung.get(id).is_some_and(|hung| now < hung.again_at)
    }

    /// What hung before and is to be tried again.
    fn due(&self, now: Instant) -> Vec<String> {
        let due = self.hung.iter().filter(|(_, hung)| hung.again_at <= now);
        due.map(|(id, _)| id.clone()).collect()
    }

    fn inspect_together(
        &self,
        program: Program<'_>,
        ids: &[String],
        deadline: Instant,
    ) -> Inspected {
        let together = ids.iter().filter(|id| !self.hung.contains_key(*id));
        let together: Vec<String> = together.cloned().collect();
        let batches = together.chunks(BATCH).map(<[String]>::to_vec);
        inspect_all(program, batches.collect(), |_| Some(deadline))
    }

    /// Each gets a share of the time that is left. What hangs is left alone from then on.
    fn inspect_alone(
        &mut self,
        program: Program<'_>,
        ids: Vec<String>,
        share: Duration,
        end: Instant,
    ) -> Inspected {
        let tasks = ids.into_iter().map(|id| vec![id]).collect();
        let inspected = inspect_all(program, tasks, |now| {
            let until = end.min(now + share);
            (until.saturating_duration_since(now) >= share / 2).then_some(until)
        });
        let now = Instant::now();
        for id in inspected.timed_out.iter().flatten() {
            let last = self.hung.get(id).map(|hung| hung.pause * 2);
            let pause = last.unwrap_or(LEAVE_ALONE).min(LEAVE_ALONE_LAST);
            let again_at = now + pause;
            self.hung.insert(id.clone(), Hung { again_at, pause });
        }
        for id in inspected.found.keys() {
            self.hung.remove(id);
        }
        inspected
    }

    /// All ids, and what docker complained about.
    fn ids(
        &self,
        program: Program<'_>,
        deadline: Instant,
    ) -> Result<(Vec<String>, Vec<String>), ListError> {
        let arguments = ["ps", "--all", "--quiet", "--no-trunc"];
        let printed =
            run(program, "docker ps", &arguments, deadline).map_err(|failure| match failure {
                Failure::TimedOut => self.too_slow("docker ps"),
                Failure::Other(error) => error,
            })?;
        if printed.failed.is_some() {
            return Err(printed.error());
        }
        let text = String::from_utf8_lossy(&printed.stdout);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let ids = lines.map(|line| match is_id(line) {
            true => Ok(line.to_owned()),
            false => Err(ListError(format!(
                "docker ps printed what is not a container id: {:?}",
                shorten(line)
            ))),
        });
        Ok((ids.collect::<Result<_, _>>()?, printed.complaints()))
    }

    fn too_slow(&self, command: &str) -> ListError {
        ListError(format!(
            "{command} did not finish within the limit of {} s (--list-timeout)",
            self.timeout.as_secs_f64()
        ))
    }

    /// Takes what was read of the containers that were `asked` about. One that docker did not tell of is gone, unless
    /// it was silent.
    fn take(&mut self, asked: &[String], inspected: Inspected) {
        self.unanswered = inspected.unanswered.into_iter().flatten().collect();
        let is_silent = |id: &String| self.hung.contains_key(id) || self.unanswered.contains(id);
        let unknown: HashSet<&String> = asked
            .iter()
            .filter(|id| !inspected.found.contains_key(*id))
            .collect();
        self.ids.retain(|id| !unknown.contains(id) || is_silent(id));
        let new = unknown
            .into_iter()
            .filter(|id| is_silent(id) && !self.ids.contains(id));
        let new: Vec<String> = new.cloned().collect();
        self.ids.splice(..0, new);
        for (id, read) in inspected.found {
            let last = self.known.get(&id).and_then(|known| known.info.as_ref());
            let known = Known::new(read, last, self.readings);
            self.known.insert(id, known);
        }
        let are_there: HashSet<&String> = self.ids.iter().collect();
        self.known.retain(|id, _| are_there.contains(id));
        self.hung.retain(|id, _| are_there.contains(id));
        self.complaints.extend(inspected.complaints);
    }

    /// What is known now, in docker's order.
    fn listed(&self, untold: Vec<String>) -> Result<Listed, ListError> {
        let mut warnings = self.complaints.clone();
        let mut containers = Vec::with_capacity(self.ids.len());
        let mut stale = Vec::new();
        for id in &self.ids {
            let known = self.known.get(id);
            let info = known.and_then(|known| known.info.as_ref());
            containers.extend(info.cloned());
            warnings.extend(known.into_iter().flat_map(|known| known.warnings.clone()));
            if self.hung.contains_key(id) || self.unanswered.contains(id) {
                stale.push(info.map_or(id.as_str(), |info| &info.name));
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
        // Both commands, and each batch, may say the same.
        let mut said = HashSet::new();
        warnings.retain(|warning| said.insert(warning.clone()));
        let unanswered = (!self.unanswered.is_empty()).then(|| Instant::now() + LEAVE_ALONE);
        let hung = self.hung.values().map(|hung| hung.again_at);
        Ok(Listed {
            containers,
            ids: self.ids.iter().cloned().collect(),
            warnings,
            untold,
            retry_at: hung.chain(unanswered).min(),
        })
    }
}

impl Known {
    /// An unchanged container keeps its place in memory.
    fn new(read: Read, last: Option<&Arc<ContainerInfo>>, reading: u64) -> Self {
        let info = read.info.map(|info| match last {
            Some(last) if **last == info => last.clone(),
            _ => Arc::new(info),
        });
        Self {
            info,
            warnings: read.warnings,
            reading,
        }
    }
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
