//! Operations: a thread for each, which belongs to the daemon and not to the request that began it (P13).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use crate::devcontainer::arguments::Up;
use crate::devcontainer::inputs::Inputs;
use crate::devcontainer::log::{Line, Lines, LogReader, plain_text};
use crate::devcontainer::result::UpResult;
use crate::journal::{Journal, Outcome};
use crate::model::{JobKind, JobState, LogLevel};
use crate::places::Place;
use crate::process::{self, Ended, Limits, Stream};
use crate::programs::Programs;
use crate::shared::Shared;
use crate::sink::Sink;
use crate::state::{Address, Key, Refusal};
use crate::time::Timestamp;

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);

/// What operations need, and how they are ended.
pub struct Jobs {
    shared: Arc<Shared>,
    programs: Arc<Programs>,
    roots: Arc<[PathBuf]>,
    sink: Option<Sink>,
    timeout: Duration,
    /// Readable once all operations shall end.
    abort: OwnedFd,
    threads: AtomicUsize,
}

/// Why an operation did not begin.
#[derive(Debug, PartialEq, Eq)]
pub enum StartError {
    /// The state says no.
    Refused(Refusal),
    /// The folder may not be operated on.
    NotAllowed(String),
}

/// Counts a thread for as long as it lives.
struct Counted(Arc<Jobs>);

impl Jobs {
    /// No operation yet. One may take `timeout`; its log also goes to `sink`.
    pub fn new(
        shared: Arc<Shared>,
        programs: Arc<Programs>,
        roots: Arc<[PathBuf]>,
        sink: Option<Sink>,
        timeout: Duration,
    ) -> std::io::Result<Self> {
        Ok(Self {
            shared,
            programs,
            roots,
            sink,
            timeout,
            abort: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            threads: AtomicUsize::new(0),
        })
    }

    /// Begins an operation and returns its log, which also tells its end.
    pub fn start(self: &Arc<Self>, key: Key, kind: JobKind) -> Result<Arc<Journal>, StartError> {
        let address = self.shared.ask(|state| state.address(key));
        let address = address.ok_or(StartError::Refused(Refusal::Gone))?;
        let place = address.resolve(&self.roots);
        if let Some(why) = place.refused {
            return Err(StartError::NotAllowed(why));
        }
        let now = Timestamp::now();
        let begun = self.shared.tell(|state| state.begin(key, kind, now));
        let journal = begun.map_err(StartError::Refused)?;
        let job = Job {
            key,
            kind,
            address,
            place,
            journal: journal.clone(),
            started_at: now,
            jobs: Counted::new(self),
        };
        self.feed_sink(&journal);
        let failed_job = job.clone();
        let thread = thread::Builder::new().name(kind.verb().into());
        if let Err(e) = thread.spawn(move || job.run()) {
            failed_job.end(
                JobState::Failed,
                Some(format!("no thread can be started: {e}")),
                None,
            );
        }
        Ok(journal)
    }

    fn feed_sink(self: &Arc<Self>, journal: &Arc<Journal>) {
        let Some(sink) = &self.sink else { return };
        let (sink, journal, counted) = (sink.clone(), journal.clone(), Counted::new(self));
        let thread = thread::Builder::new().name("sink".into());
        let spawned = thread.spawn(move || sink.feed(&journal, &counted.0.shared));
        if let Err(e) = spawned {
            log::warn!(
                "the log sink gets nothing of this operation: no thread can be started: {e}"
            );
        }
    }

    /// Ends all operations early.
    pub fn abort(&self) {
        // Fails only after 2^64 calls.
        let _ = rustix::io::write(&self.abort, &1_u64.to_ne_bytes());
    }

    /// Whether every thread of every operation has ended, the feeding of the sink included.
    pub fn are_idle(&self) -> bool {
        self.threads.load(Ordering::Acquire) == 0
    }
}

impl Counted {
    fn new(jobs: &Arc<Jobs>) -> Self {
        jobs.threads.fetch_add(1, Ordering::AcqRel);
        Self(jobs.clone())
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One operation.
#[derive(Clone)]
struct Job {
    key: Key,
    kind: JobKind,
    address: Address,
    place: Place,
    journal: Arc<Journal>,
    started_at: Timestamp,
    jobs: Counted,
}

impl Job {
    fn run(self) {
        log::info!("{} of {} begins", self.kind.verb(), self.folder().display());
        if let Some(config) = &self.place.canonical_config
            && let Some(inputs) = Inputs::look(config, None)
        {
            let shared = &self.jobs.0.shared;
            shared.ask(|state| state.set_operation_inputs(self.key, inputs));
        }
        let mut output = Output::new(&self.journal);
        let limits = Limits {
            deadline: Instant::now() + self.jobs.0.timeout,
            abort: Some(self.jobs.0.abort.as_fd()),
            grace: GRACE,
        };
        let ended = process::run(self.command(), &limits, &mut |stream, bytes| {
            output.take(stream, bytes);
        });
        output.finish();
        let (state, error) = match ended {
            Ok(ended) => self.judge(ended, &output),
            Err(e) => (JobState::Failed, Some(e.to_string())),
        };
        let container = output.result.and_then(|result| result.container_id);
        self.end(state, error, container.as_deref());
    }

    fn folder(&self) -> &Path {
        &self.address.folder
    }

    fn command(&self) -> Command {
        let programs = &self.jobs.0.programs;
        let docker = programs.docker_path();
        let up = Up {
            folder: self.folder(),
            config: self.address.config.as_deref(),
            docker: docker.as_deref(),
            remove_existing: self.kind == JobKind::Recreate,
        };
        let mut command = Command::new(programs.devcontainer());
        command.args(up.arguments());
        command
    }

    /// What came of it.
    fn judge(&self, ended: Ended, output: &Output<'_>) -> (JobState, Option<String>) {
        let verb = self.kind.verb();
        let failed = |reason| (JobState::Failed, Some(reason));
        match (ended, &output.result) {
            (Ended::Aborted, _) => {
                let reason = format!("the daemon was told to stop before the {verb} had ended");
                (JobState::Interrupted, Some(reason))
            }
            (Ended::TimedOut, _) => {
                let limit = self.jobs.0.timeout.as_secs_f64();
                failed(format!(
                    "it did not end within the limit of {limit} s (--job-timeout)"
                ))
            }
            (Ended::Exited(status), Some(result)) => match result.succeeded() {
                true if status.success() => (JobState::Succeeded, None),
                true => failed(format!(
                    "devcontainer reported success, but ended with {status}"
                )),
                false => failed(result.reason()),
            },
            (Ended::Exited(status), None) => {
                let said = output.last_line.as_deref().unwrap_or("it said nothing");
                failed(format!(
                    "devcontainer ended with {status} and without a result: {said}"
                ))
            }
        }
    }

    fn end(&self, state: JobState, error: Option<String>, container: Option<&str>) {
        let finished_at = Timestamp::now();
        let seconds = finished_at.seconds_since(self.started_at).max(0.0);
        let verb = self.kind.verb();
        let mut summary = format!("{verb} {} after {seconds:.1} s", state.as_str());
        if let Some(error) = &error {
            summary = format!("{summary}: {error}");
        }
        let outcome = Outcome {
            state,
            error,
            finished_at,
            ended: Instant::now(),
        };
        // Whoever learns of the end from either log finds it in the state.
        self.jobs.0.shared.tell(|state| {
            state.end(self.key, outcome.clone(), container);
        });
        log::info!("{}: {summary}", self.folder().display());
        self.journal.end(outcome, summary);
    }
}

/// Takes what the CLI prints: its result from standard output, the log from standard error.
struct Output<'a> {
    journal: &'a Journal,
    stdout: Lines,
    stderr: LogReader,
    /// The last one counts.
    result: Option<UpResult>,
    /// Of what people are shown.
    last_line: Option<String>,
}

impl<'a> Output<'a> {
    fn new(journal: &'a Journal) -> Self {
        Self {
            journal,
            stdout: Lines::default(),
            stderr: LogReader::default(),
            result: None,
            last_line: None,
        }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let now = Timestamp::now();
        match stream {
            Stream::Stderr => {
                let lines = self.stderr.feed(bytes, now);
                self.write(lines);
            }
            Stream::Stdout => {
                let mut others = Vec::new();
                let result = &mut self.result;
                self.stdout.feed(bytes, &mut |line, _| {
                    others.extend(stdout_line(line, result, now));
                });
                self.write(others);
            }
        }
    }

    fn finish(&mut self) {
        let now = Timestamp::now();
        let mut lines = self.stderr.finish(now);
        let result = &mut self.result;
        self.stdout
            .finish(&mut |line, _| lines.extend(stdout_line(line, result, now)));
        self.write(lines);
    }

    fn write(&mut self, lines: Vec<Line>) {
        if let Some(last) = lines.last() {
            self.last_line = Some(plain_text(&last.text));
        }
        self.journal.write(lines);
    }
}

/// A line of standard output: the result, or something for people that is no object.
fn stdout_line(line: &[u8], result: &mut Option<UpResult>, now: Timestamp) -> Option<Line> {
    let text = String::from_utf8_lossy(line);
    if let Some(found) = UpResult::parse(&text) {
        *result = Some(found);
        return None;
    }
    let text = text.trim_end();
    let shown = !text.is_empty() && !text.starts_with('{');
    shown.then(|| Line::new(now, LogLevel::Info, text))
}
