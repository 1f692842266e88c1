//! Lists containers: `docker ps` for the ids, `docker inspect` of those that may have changed.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::{Backoff, Silence};
use super::command::{Runner, Tracking};
use super::error::Error;
use super::evidence::Patience;
use super::image_labels::KnownImages;
use super::inspect::answer::Reading;
use super::inspector::{BATCH, Inspection, Inspector};
use super::known::KnownContainers;
use crate::base::notify::Notifier;
use crate::base::text::enumerate;
use crate::model::container::ContainerInfo;
use crate::model::listing::{Listed, Scope};

/// How many times as long as docker gets for a command a listing lasts at most.
pub const LONGEST: u32 = 4;
/// How often restarting containers are inspected: docker emits no event for some restarts.
const RESTARTING_EVERY: Duration = Duration::from_secs(2);
/// How many containers without an answer are tried again at once.
const RETRIED_AT_ONCE: usize = 4;
/// How many containers serve to find out whether docker answers.
const REFERENCES: usize = 8;

/// Docker's command line, and what is known from earlier listings.
pub struct Lister {
    timeout: Duration,
    /// Readable once no listing is wanted any more.
    stop: Arc<Notifier>,
    ids: Arc<HashSet<String>>,
    known: KnownContainers,
    backoff: Backoff,
    images: KnownImages,
    /// Warnings of the last `ps`.
    ps_warnings: Vec<String>,
    /// Warnings of the last `inspect`.
    inspect_warnings: Vec<String>,
    /// The number of this reading.
    reading: u64,
}

/// The way in which a listing treats known containers that are not said to have changed.
#[derive(Clone, Copy, PartialEq)]
enum Others {
    /// It reads them, too.
    Read,
    /// It takes what is known: events would have named them.
    Known,
}

impl Lister {
    /// Docker gets at most `timeout` for each command. A listing ends early once `stop` is readable.
    pub fn new(timeout: Duration, stop: Arc<Notifier>) -> Self {
        Self {
            timeout,
            stop,
            ids: Arc::default(),
            known: KnownContainers::default(),
            backoff: Backoff::default(),
            images: KnownImages::default(),
            ps_warnings: Vec::new(),
            inspect_warnings: Vec::new(),
            reading: 0,
        }
    }

    /// Lists all containers, running or not, by running `program`; `scope` says which ones are inspected.
    ///
    /// A container whose inspect hangs, while docker answers for others, is shown in its last known state, with a
    /// warning, or left out. One that may have changed gets all of the timeout before. From then on it is inspected
    /// alone, after a pause that grows to 30 s. A container that is removed during the listing is left out.
    ///
    /// # Errors
    ///
    /// docker fails, or takes longer than the timeout for a command.
    pub fn list(&mut self, program: &Path, scope: &Scope) -> Result<Listed, Error> {
        let stop = self.stop.clone();
        let docker = Runner {
            host: None,
            program,
            abort: &[stop.as_fd()],
            late: None,
            tracking: Tracking::Inherited,
        };
        self.reading += 1;
        let unreported = match scope {
            Scope::All(changed) => self.list_all(docker, changed, Others::Read)?,
            Scope::Changed(changed) => self.list_all(docker, changed, Others::Known)?,
            Scope::Named(named) if named.is_empty() => self.retry(docker)?,
            Scope::Named(named) => self.read_named(docker, named)?,
        };
        self.listed(unreported)
    }

    /// Lists all ids, and inspects the new ones, the `changed` ones, and of the others all or some. Where events are to
    /// report every change, returns the ids that are different though `changed` does not name them.
    fn list_all(
        &mut self,
        docker: Runner<'_>,
        changed: &HashSet<String>,
        others: Others,
    ) -> Result<Vec<String>, Error> {
        let begun = Instant::now();
        let (ids, warnings) = self.ps(docker, begun + self.timeout)?;
        let before = std::mem::replace(&mut self.ids, Arc::new(ids));
        self.forget_gone();
        self.ps_warnings = warnings;
        self.inspect_warnings = Vec::new();
        let to_read = match others {
            Others::Read => self.ids.iter().cloned().collect(),
            Others::Known => self.to_read(changed),
        };
        let (together, mut alone) = self.backoff.split(to_read, Instant::now());
        // A changed container is waited for even if it is not to be tried again yet.
        let must_answer = |id: &&String| self.ids.contains(*id) && self.backoff.is_hung(id);
        let must_answer: HashSet<String> = changed.iter().filter(must_answer).cloned().collect();
        alone.retain(|id| !must_answer.contains(id));
        alone.extend(must_answer.iter().cloned());
        let is_hasty = |id: &&String| others == Others::Known && self.is_unchanged(id, changed);
        let inspector = Inspector {
            hasty: together.iter().filter(is_hasty).cloned().collect(),
            ..self.inspector(docker, begun, &HashSet::new())
        };
        let inspection = inspector.inspect(&together, self.alone(&alone, &must_answer));
        let unreported = match others {
            Others::Read => Vec::new(),
            Others::Known => self.unreported(&before, changed, &inspection),
        };
        self.take(docker, together.into_iter().chain(alone), inspection)?;
        Ok(unreported)
    }

    /// The ids that are new or `changed`, and those read longest ago, so that no error stays for good.
    fn to_read(&self, changed: &HashSet<String>) -> Vec<String> {
        let is_known = |id: &&String| self.is_unchanged(id, changed);
        let (mut others, mut read): (Vec<&String>, Vec<&String>) =
            self.ids.iter().partition(is_known);
        others.sort_by_key(|id| self.known.get(id).map(|known| known.reading));
        read.extend(others.into_iter().take(BATCH));
        read.into_iter().cloned().collect()
    }

    fn is_unchanged(&self, id: &str, changed: &HashSet<String>) -> bool {
        let is_certain = self.known.get(id).is_some_and(|known| !known.is_doubtful);
        is_certain && !changed.contains(id)
    }

    /// The ids that have come or gone, or whose containers have started or stopped, though `changed` does not name
    /// them.
    fn unreported(
        &self,
        before: &HashSet<String>,
        changed: &HashSet<String>,
        inspection: &Inspection,
    ) -> Vec<String> {
        let runs = |info: Option<&ContainerInfo>| info.is_some_and(|info| info.running);
        let is_different = |id: &&String| {
            let last = self.known.info(id).map(Arc::as_ref);
            let now = inspection.found.get(*id).map(|read| match read {
                Reading::Changed(read) => runs(read.info.as_ref()),
                Reading::Unchanged => runs(last),
            });
            !before.contains(*id) || now.is_some_and(|now| now != runs(last))
        };
        let gone = before.iter().filter(|id| !self.ids.contains(*id));
        let different = self.ids.iter().filter(is_different);
        let unreported = gone.chain(different).filter(|id| !changed.contains(*id));
        unreported.cloned().collect()
    }

    /// Inspects only the containers that events name. One whose inspect hangs delays the others by about a second, once:
    /// what has changed in them is to be told soon.
    fn read_named(
        &mut self,
        docker: Runner<'_>,
        named: &HashSet<String>,
    ) -> Result<Vec<String>, Error> {
        let begun = Instant::now();
        self.backoff.shorten(named);
        let (together, hung) = self.backoff.split(named.iter().cloned().collect(), begun);
        let retried: Vec<String> = hung.into_iter().filter(|id| named.contains(id)).collect();
        let inspector = Inspector {
            hasty: named.clone(),
            ..self.inspector(docker, begun, named)
        };
        let inspection = inspector.inspect(&together, self.alone(&retried, &HashSet::new()));
        self.take(docker, together.into_iter().chain(retried), inspection)?;
        Ok(Vec::new())
    }

    /// Tries containers again that docker did not answer for, and reads those that it restarts again and again.
    fn retry(&mut self, docker: Runner<'_>) -> Result<Vec<String>, Error> {
        let begun = Instant::now();
        let mut due = self.backoff.due(begun);
        due.truncate(RETRIED_AT_ONCE);
        let restarting = self.known.restarting();
        let restarting = restarting.filter(|id| !self.backoff.contains(id));
        let restarting: Vec<String> = restarting.cloned().collect();
        let inspector = Inspector {
            hasty: restarting.iter().cloned().collect(),
            ..self.inspector(docker, begun, &HashSet::new())
        };
        let inspection = inspector.inspect(&restarting, self.alone(&due, &HashSet::new()));
        self.take(docker, due.into_iter().chain(restarting), inspection)?;
        Ok(Vec::new())
    }

    /// Those that docker did not answer for, each with the patience that it gets.
    fn alone(&self, ids: &[String], must_answer: &HashSet<String>) -> Vec<(String, Patience)> {
        let patience = |id: &String| {
            if must_answer.contains(id) {
                Patience::WHOLE
            } else if self.backoff.is_hung(id) {
                Patience::SHORT
            } else {
                Patience::FULL
            }
        };
        ids.iter().map(|id| (id.clone(), patience(id))).collect()
    }

    /// Inspects in a reading that began at `begun`; `read` are the containers that it is about.
    fn inspector<'a>(
        &'a self,
        docker: Runner<'a>,
        begun: Instant,
        read: &HashSet<String>,
    ) -> Inspector<'a> {
        let answered = self.known.ids().filter(|id| !self.backoff.contains(id));
        let others = answered.filter(|id| !read.contains(*id));
        Inspector {
            docker,
            known: &self.known,
            timeout: self.timeout,
            begun,
            references: others.take(REFERENCES).cloned().collect(),
            hasty: HashSet::new(),
        }
    }

    /// All ids, and docker's warnings.
    fn ps(
        &self,
        docker: Runner<'_>,
        deadline: Instant,
    ) -> Result<(HashSet<String>, Vec<String>), Error> {
        let listed = docker.list("ps", deadline);
        listed.map_err(|error| error.of_listing(self.timeout))
    }

    fn too_slow(&self, command: String) -> Error {
        Error::TimedOut {
            command,
            list_timeout: Some(self.timeout),
        }
    }

    /// Takes an inspection of the containers `read`. A container that is not in docker's answer is gone, unless docker
    /// did not answer for it.
    fn take(
        &mut self,
        docker: Runner<'_>,
        read: impl Iterator<Item = String>,
        mut inspection: Inspection,
    ) -> Result<(), Error> {
        if let Some(error) = inspection.error {
            return Err(error);
        }
        let now = Instant::now();
        let until = now + self.timeout;
        let changed = inspection.found.values_mut().filter_map(|read| match read {
            Reading::Changed(read) => Some(&mut **read),
            Reading::Unchanged => None,
        });
        self.images.judge(docker, changed, until);
        for id in read {
            let silence = if inspection.hung.contains(&id) {
                Some(Silence::Hung)
            } else if inspection.unanswered.contains(&id) {
                Some(Silence::Unanswered)
            } else {
                None
            };
            let is_known = self.ids.contains(&id);
            if let Some(silence) = silence {
                self.backoff.add(&id, silence, now);
                if !is_known {
                    Arc::make_mut(&mut self.ids).insert(id);
                }
                continue;
            }
            self.backoff.remove(&id);
            if is_known && !inspection.found.contains_key(&id) {
                Arc::make_mut(&mut self.ids).remove(&id);
                self.known.remove(&id);
            }
        }
        for (id, read) in inspection.found {
            if !self.ids.contains(&id) {
                Arc::make_mut(&mut self.ids).insert(id.clone());
            }
            self.known.take(id, read, self.reading);
        }
        self.inspect_warnings = inspection.warnings;
        Ok(())
    }

    /// Forgets what is known of containers that are gone.
    fn forget_gone(&mut self) {
        self.known.retain(&self.ids);
        let used = self.known.values();
        let used: HashSet<&str> = used.filter_map(|known| known.image.as_deref()).collect();
        self.images.retain(|image| used.contains(image));
        self.backoff.retain(&self.ids);
    }

    /// The listing by what is known now.
    fn listed(&mut self, unreported: Vec<String>) -> Result<Listed, Error> {
        let containers = self.known.sorted().clone();
        // There is nothing to show in their place.
        if containers.is_empty() && self.backoff.ids().next().is_some() {
            return Err(self.too_slow("docker inspect".to_owned()));
        }
        let restarting = self.known.restarting().next();
        let restarting_at = restarting.map(|_| Instant::now() + RESTARTING_EVERY);
        Ok(Listed {
            warnings: self.warnings(),
            containers,
            ids: self.ids.clone(),
            unreported,
            retry_at: self.backoff.due_at().into_iter().chain(restarting_at).min(),
        })
    }

    /// The names of the containers that docker does not answer for, sorted; the ids of those without a known name.
    fn unanswered_names(&self) -> Vec<&str> {
        let ids = self.backoff.ids();
        let names = ids.map(|id| {
            let info = self.known.info(id);
            info.map_or(id.as_str(), |info| &info.name)
        });
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names
    }

    fn warnings(&mut self) -> Vec<String> {
        let of_commands = self.ps_warnings.iter().chain(&self.inspect_warnings);
        let mut warnings: Vec<String> = of_commands.cloned().collect();
        warnings.extend(self.known.warnings());
        let unanswered = self.unanswered_names();
        if !unanswered.is_empty() {
            warnings.push(format!(
                "docker inspect does not answer for {}; the last known state is shown",
                enumerate(&unanswered)
            ));
        }
        warnings.extend_from_slice(self.known.shared_ports());
        // Several commands may give one warning.
        let mut seen = HashSet::new();
        warnings.retain(|warning| seen.insert(warning.clone()));
        warnings
    }
}
