//! Lists containers: `docker ps` for the ids, `docker inspect` of what may have changed.

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::command::{Failure, ListError, Program, run};
use super::inspect::Read;
use super::inspecting::{BATCH, Inspected, inspect_alone, inspect_together};
use super::ports;
use crate::base::notify::Notifier;
use crate::base::sort::by_text;
use crate::base::text::{enumerate, shorten};
use crate::docker::command::is_id;
use crate::model::container::ContainerInfo;
use crate::model::listing::{Listed, Scope};

/// What events name is inspected together within the first of these; where that hangs, each alone within the second.
/// The third is for finding out whether docker answers at all, and whether a container that hung does so again.
/// Many may take longer, and so may a machine that is slow.
const TOGETHER: Duration = Duration::from_millis(500);
const TOGETHER_MORE: Duration = Duration::from_millis(10);
const ALONE: Duration = Duration::from_secs(1);
const PROBE: Duration = Duration::from_millis(150);
/// How many times as long as a `ps` took an `inspect` may take before it is said to hang, if that is more.
const SLOWER: u32 = 4;
/// How often those are read that docker tries to start again and again: not all that becomes of them is told.
const UNSTEADY_EVERY: Duration = Duration::from_secs(2);
/// How many that were silent before are tried again at once.
const FEW: usize = 4;

/// Docker's command line, and what is known from earlier listings.
pub struct Lister {
    timeout: Duration,
    /// Readable once no listing is wanted any more.
    stop: Arc<Notifier>,
    ids: HashSet<String>,
    known: HashMap<String, Known>,
    backoff: Backoff,
    /// What the last `ps` and the last `inspect` complained about.
    complaints: [Vec<String>; 2],
    /// Counts readings.
    readings: u64,
    /// How long docker last took to tell which containers there are.
    ps_took: Duration,
}

/// What was last read of a container.
struct Known {
    /// `None`: it could not be read.
    info: Option<Arc<ContainerInfo>>,
    warnings: Vec<String>,
    reading: u64,
}

impl Lister {
    /// A listing takes at most `timeout`, and ends early once `stop` is readable.
    pub fn new(timeout: Duration, stop: Arc<Notifier>) -> Self {
        Self {
            timeout,
            stop,
            ids: HashSet::new(),
            known: HashMap::new(),
            backoff: Backoff::default(),
            complaints: [Vec::new(), Vec::new()],
            readings: 0,
            ps_took: Duration::ZERO,
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
        let untold = match scope {
            Scope::All => self.list_all(program, None)?,
            Scope::Changed(named) => self.list_all(program, Some(named))?,
            Scope::Named(named) if named.is_empty() => self.try_again(program)?,
            Scope::Named(named) => self.read_named(program, named)?,
        };
        self.listed(untold)
    }

    /// `changed`: all else that is known may be taken as true. `None`: nothing may. Returns what is different all the
    /// same.
    fn list_all(
        &mut self,
        program: Program<'_>,
        changed: Option<&HashSet<String>>,
    ) -> Result<Vec<String>, ListError> {
        let begun = Instant::now();
        let deadline = begun + self.timeout;
        let (ids, complaints) = self.ids(program, deadline)?;
        self.ps_took = begun.elapsed();
        let before = std::mem::replace(&mut self.ids, ids);
        self.complaints = [complaints, Vec::new()];
        let asked = match changed {
            None => self.ids.iter().cloned().collect(),
            Some(changed) => self.to_be_read(changed),
        };
        let listed = Instant::now();
        let half = listed + deadline.saturating_duration_since(listed) / 2;
        let (asked, due) = self.backoff.part(asked, listed);
        let mut inspected = inspect_together(program, &asked, half);
        let suspects = std::mem::take(&mut inspected.timed_out);
        let (share, end) = (self.timeout / 4, deadline - self.timeout / 20);
        let alone = suspects.into_iter().chain(due.iter().cloned());
        inspected.merge(inspect_alone(program, alone.collect(), share, end));
        let untold = changed.map(|changed| self.untold(&before, changed, &inspected));
        self.take(asked.into_iter().chain(due), inspected)?;
        Ok(untold.unwrap_or_default())
    }

    /// What is new, what has changed, and some of the rest, so that nothing stays wrong for good.
    fn to_be_read(&self, changed: &HashSet<String>) -> Vec<String> {
        let is_known = |id: &&String| self.known.contains_key(*id) && !changed.contains(*id);
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

    /// What has come or gone, begun or ended to run, though it was said to be unchanged.
    fn untold(
        &self,
        before: &HashSet<String>,
        changed: &HashSet<String>,
        inspected: &Inspected,
    ) -> Vec<String> {
        let runs = |info: Option<&ContainerInfo>| info.is_some_and(|info| info.running);
        let is_other = |id: &&String| {
            let last = self.known.get(*id).and_then(|known| known.info.as_deref());
            let read = inspected.found.get(*id);
            let now = read.map(|read| runs(read.info.as_ref()));
            !before.contains(*id) || now.is_some_and(|now| now != runs(last))
        };
        let gone = before.iter().filter(|id| !self.ids.contains(*id));
        let other = self.ids.iter().filter(is_other);
        let untold = gone.chain(other).filter(|id| !changed.contains(*id));
        untold.cloned().collect()
    }

    /// Whatever hangs, the others of those named are there within 2 s.
    fn read_named(
        &mut self,
        program: Program<'_>,
        named: &HashSet<String>,
    ) -> Result<Vec<String>, ListError> {
        let begun = Instant::now();
        self.backoff.named(named);
        let (asked, due) = self.backoff.part(named.iter().cloned().collect(), begun);
        let mut inspected = match u32::try_from(asked.len()).unwrap_or(u32::MAX) {
            // To be alone is what comes next.
            1 => Inspected {
                timed_out: asked.clone(),
                ..Inspected::default()
            },
            many => {
                let time = self.patience(TOGETHER) + TOGETHER_MORE.saturating_mul(many);
                inspect_together(program, &asked, begun + time.min(self.timeout / 2))
            }
        };
        let suspects = std::mem::take(&mut inspected.timed_out);
        let again: Vec<String> = due.into_iter().filter(|id| named.contains(id)).collect();
        for (ids, time) in [(suspects, ALONE), (again.clone(), PROBE)] {
            let share = self.patience(time);
            inspected.merge(inspect_alone(program, ids, share, Instant::now() + share));
        }
        self.is_alive(program, &inspected)?;
        self.take(asked.into_iter().chain(again), inspected)?;
        Ok(Vec::new())
    }

    /// Those that were silent may have been so for a while only.
    fn try_again(&mut self, program: Program<'_>) -> Result<Vec<String>, ListError> {
        let begun = Instant::now();
        let mut due = self.backoff.due(begun);
        due.truncate(FEW);
        let share = self.patience(PROBE);
        let mut inspected = inspect_alone(program, due.clone(), share, begun + share);
        let unsteady = self.unsteady().map(|info| info.id.clone());
        let mut unsteady: Vec<String> = unsteady.filter(|id| !self.backoff.contains(id)).collect();
        let until = Instant::now() + self.patience(TOGETHER);
        let read = inspect_together(program, &unsteady, until);
        // There will be another time for these.
        unsteady.retain(|id| !read.timed_out.contains(id) && !read.unanswered.contains(id));
        inspected.merge(read);
        self.take(due.into_iter().chain(unsteady), inspected)?;
        Ok(Vec::new())
    }

    /// Those that docker tries to start again and again.
    fn unsteady(&self) -> impl Iterator<Item = &Arc<ContainerInfo>> {
        let infos = self.known.values().filter_map(|known| known.info.as_ref());
        infos.filter(|info| info.status == "restarting")
    }

    /// Where docker has said nothing about any container, it may not be for what these are.
    fn is_alive(&self, program: Program<'_>, inspected: &Inspected) -> Result<(), ListError> {
        if inspected.timed_out.is_empty() || !inspected.found.is_empty() {
            return Ok(());
        }
        let until = Instant::now() + self.patience(PROBE);
        self.ids(program, until).map(drop)
    }

    /// At least `time`; more where docker is slow.
    fn patience(&self, time: Duration) -> Duration {
        time.max(self.ps_took * SLOWER).min(self.timeout / 4)
    }

    /// All ids, and what docker complained about.
    fn ids(
        &self,
        program: Program<'_>,
        deadline: Instant,
    ) -> Result<(HashSet<String>, Vec<String>), ListError> {
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
            false => Err(ListError::new(format!(
                "docker ps printed what is not a container id: {:?}",
                shorten(line)
            ))),
        });
        Ok((ids.collect::<Result<_, _>>()?, printed.complaints()))
    }

    fn too_slow(&self, command: &str) -> ListError {
        ListError::new(format!(
            "{command} did not finish within the limit of {} s (--list-timeout)",
            self.timeout.as_secs_f64()
        ))
    }

    /// Takes what was read of the containers that were `asked` about. One that docker did not tell of is gone, unless
    /// it was silent.
    fn take(
        &mut self,
        asked: impl Iterator<Item = String>,
        inspected: Inspected,
    ) -> Result<(), ListError> {
        if let Some(error) = inspected.error {
            return Err(error);
        }
        let now = Instant::now();
        for id in asked {
            let hangs = inspected.timed_out.contains(&id);
            if hangs || inspected.unanswered.contains(&id) {
                self.backoff.add(&id, hangs, now);
                self.ids.insert(id);
                continue;
            }
            self.backoff.remove(&id);
            if !inspected.found.contains_key(&id) {
                self.ids.remove(&id);
            }
        }
        for (id, read) in inspected.found {
            let last = self.known.get(&id).and_then(|known| known.info.as_ref());
            let known = Known::new(read, last, self.readings);
            self.ids.insert(id.clone());
            self.known.insert(id, known);
        }
        let ids = &self.ids;
        self.known.retain(|id, _| ids.contains(id));
        self.backoff.retain(ids);
        let [_, complaints] = &mut self.complaints;
        *complaints = inspected.complaints;
        Ok(())
    }

    /// What is known now.
    fn listed(&self, untold: Vec<String>) -> Result<Listed, ListError> {
        let known = self.known.values().filter_map(|known| known.info.clone());
        let containers = newest_first(known.collect());
        let silent = self.backoff.ids().map(|id| {
            let info = self.known.get(id).and_then(|known| known.info.as_ref());
            info.map_or(id.as_str(), |info| &info.name)
        });
        let silent = by_text(silent.collect(), |name| name.as_bytes().to_vec());
        // There is nothing to show in their place.
        if containers.is_empty() && silent.len() > 1 {
            return Err(self.too_slow("docker inspect"));
        }
        let odd = containers
            .iter()
            .filter_map(|info| self.known.get(&info.id));
        let unreadable = self.known.values().filter(|known| known.info.is_none());
        let odd = odd
            .chain(unreadable)
            .flat_map(|known| known.warnings.clone());
        let mut warnings: Vec<String> = self.complaints.concat().into_iter().chain(odd).collect();
        if !silent.is_empty() {
            warnings.push(format!(
                "docker inspect does not answer for {}; what was last known is shown",
                enumerate(&silent)
            ));
        }
        warnings.extend(ports::shared_host_ports(containers.iter().map(Arc::as_ref)));
        // Both commands, and each batch, may say the same.
        let mut said = HashSet::new();
        warnings.retain(|warning| said.insert(warning.clone()));
        let unsteady = self.unsteady().next();
        let unsteady = unsteady.map(|_| Instant::now() + UNSTEADY_EVERY);
        Ok(Listed {
            containers,
            ids: self.ids.clone(),
            warnings,
            unreported: untold,
            retry_at: self.backoff.again_at().into_iter().chain(unsteady).min(),
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

/// As docker lists them. podman does the reverse.
fn newest_first(containers: Vec<Arc<ContainerInfo>>) -> Vec<Arc<ContainerInfo>> {
    by_text(containers, |info| {
        let age = i64::MAX.abs_diff(info.created_at.as_nanos());
        [&age.to_be_bytes(), info.id.as_bytes()].concat()
    })
}
