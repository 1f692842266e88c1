//! Builds the parts of the daemon, starts its threads, and stops them in order.

mod autostart;
mod check;
mod error;
mod manager;
mod runtime_socket;

use std::io;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::autostart::Autostart;
pub use self::check::check;
use self::error::ListenFlag;
pub use self::error::ServeError;
use self::manager::{Manager, Watchdog};
use crate::base::event::{Event, Value};
use crate::base::listen_fds;
use crate::base::notify::{Notifier, Pulse, RescanSignal};
use crate::base::open_files;
use crate::base::threads;
use crate::base::time::Timestamp;
use crate::cli::Config;
use crate::daemon::current::Observer;
use crate::daemon::discovery::Discovery;
use crate::daemon::disk::{Disk, Silent};
use crate::daemon::operations::sink::Sink;
use crate::daemon::operations::{OperationSettings, Operations};
use crate::daemon::persist::Persister;
use crate::daemon::refresher::{EngineVersion, EventsThread, OutageLog, Refresher};
use crate::daemon::registry::Registry;
use crate::daemon::shared::Shared;
use crate::daemon::surroundings::Surroundings;
use crate::daemon::vigil::Vigil;
use crate::daemon::watcher::Watcher;
use crate::docker::lister::Lister;
use crate::http::{
    Acceptor, Access, AllowedHosts, AllowedUsers, Bound, Places, Service, TokenFile,
};
use crate::manifest::{Manifest, ManifestError};
use crate::model::listen::ListenAddress;
use crate::model::location::{Declared, Predefined};
use crate::process;
use crate::process::programs::Programs;
use crate::process::signals::{Signal, Signals};
use crate::state::{Applied, Fact, Need, Settings, State};

/// The environment variable with the name of the WSL distribution that a process runs in.
const WSL_DISTRIBUTION: &str = "WSL_DISTRO_NAME";
/// The least number of operations that run at once where the command line does not say.
const MIN_OPERATIONS: usize = 2;
/// How long the last list may take.
const LAST_LIST: Duration = Duration::from_secs(2);
/// The time after the end of draining at which the docker commands that still restore containers are ended.
const LAST_CALL: Duration = Duration::from_millis(2_800);
/// The time after the end of draining from which on the daemon waits for no thread any more.
const LAST_MOMENT: Duration = Duration::from_millis(3_500);
/// The same for operations and their log sinks, which may take 5 s to finish.
const LAST_SINK: Duration = Duration::from_millis(5_500);
/// The time that requests get to be answered at the very end.
const ANSWERS_GRACE: Duration = Duration::from_secs(1);
/// How long the start, and a reload, wait for the folders of predefined dev containers. What takes longer comes later.
const PREDEFINING_PATIENCE: Duration = Duration::from_secs(3);
/// The interval at which the end of operations, threads and answers is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Runs the daemon until a signal stops it.
pub fn run(config: Config) -> Result<(), ServeError> {
    let inherited = listen_fds::take().map_err(ServeError::ListenFds)?;
    open_files::check().map_err(ServeError::OpenFiles)?;
    let manifest = read_manifest(config.manifest.as_deref()).map_err(ServeError::Manifest)?;
    process::set_priority(config.child_priority).map_err(ServeError::ChildNice)?;
    let mut signals = Signals::new().map_err(ServeError::Signals)?;
    if let Err(e) = process::adopt_orphans() {
        log::warn!("processes that leave an operation's group cannot be adopted: {e}");
    }
    let token = config.token_file.as_deref().map(read_token).transpose()?;
    let mut bound = bind(inherited, &config, token.is_some())?;
    bound.extend(
        config
            .runtime_socket
            .as_deref()
            .and_then(runtime_socket::bind),
    );
    let programs = Programs::new(config.docker.clone(), config.devcontainer.clone());
    log_start(&config, &bound, &programs);
    for missing in programs.missing() {
        Event::Advice.log(&[("reason", Value::Text(&missing))]);
    }
    log_problems(&manifest);
    let manager = Manager::find();
    let watchdog = manager.watchdog()?;
    let addresses: Vec<String> = bound.iter().map(|one| one.address.to_string()).collect();
    let daemon = Daemon::build(config, programs, token).map_err(ServeError::Descriptors)?;
    let starts_some = manifest.devcontainers.iter().any(|one| one.autostart);
    daemon.predefine(manifest);
    let stop = Stop::new().map_err(ServeError::Descriptors)?;
    let pulse = watchdog
        .as_ref()
        .map(|watchdog: &Watchdog| watchdog.pulse.clone());
    let threads = daemon.start_threads(bound, &stop, pulse)?;
    if starts_some {
        daemon.autostart()?;
    }
    manager.tell_ready();
    manager.keep_informed(&daemon.shared, addresses.join(" "), watchdog)?;
    while signals.wait() == Signal::Reload {
        manager.tell_reloading();
        daemon.reload();
        manager.tell_ready();
    }
    Event::Stopping.log(&[]);
    manager.tell_stopping(daemon.config.drain_timeout);
    daemon.stop(&mut signals, &stop, &threads);
    Ok(())
}

fn read_token(path: &Path) -> Result<Arc<TokenFile>, ServeError> {
    let read = TokenFile::read(path.to_owned()).map(Arc::new);
    read.map_err(|error| ServeError::Token(path.to_owned(), error))
}

/// Listens on the addresses, and on the sockets that a service manager has opened.
fn bind(
    inherited: Vec<OwnedFd>,
    config: &Config,
    has_token: bool,
) -> Result<Vec<Bound>, ServeError> {
    let inherited = inherited.into_iter().map(Bound::inherited);
    let mut bound: Vec<Bound> = inherited
        .collect::<Result<_, _>>()
        .map_err(ServeError::Inherited)?;
    for inherited in &bound {
        check_exposure(ListenFlag::Listen, &inherited.address, has_token)?;
    }
    bind_all(ListenFlag::Listen, &config.listen, has_token, &mut bound)?;
    let flag = ListenFlag::MetricsListen;
    bind_all(flag, &config.metrics_listen, has_token, &mut bound)?;
    bound.iter().for_each(log_listening);
    Ok(bound)
}

/// Listens on the addresses of a flag.
fn bind_all(
    flag: ListenFlag,
    addresses: &[ListenAddress],
    has_token: bool,
    all: &mut Vec<Bound>,
) -> Result<(), ServeError> {
    for address in addresses {
        check_exposure(flag, address, has_token)?;
    }
    for address in addresses {
        let bound = Bound::new(address);
        let bound = bound.map_err(|error| ServeError::Listen(flag, address.clone(), error))?;
        all.push(match flag {
            ListenFlag::Listen => bound,
            ListenFlag::MetricsListen => bound.for_metrics(),
        });
    }
    Ok(())
}

/// Other machines may reach an address only if there is a token.
fn check_exposure(
    flag: ListenFlag,
    address: &ListenAddress,
    has_token: bool,
) -> Result<(), ServeError> {
    if address.is_exposed() && !has_token {
        return Err(ServeError::Exposed(flag, address.clone()));
    }
    Ok(())
}

fn log_listening(bound: &Bound) {
    let address = bound.address.to_string();
    bound.event().log(&[("address", Value::Text(&address))]);
}

/// Logs in one line what the daemon works with.
fn log_start(config: &Config, bound: &[Bound], programs: &Programs) {
    let addresses: Vec<String> = bound.iter().map(|one| one.address.to_string()).collect();
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let docker = process::find(&programs.docker()).map(text);
    let cli = process::find(&programs.devcontainer()).map(text);
    let state_dir = config.state_dir.clone().map(text);
    let roots: Vec<String> = config.workspace_roots.iter().cloned().map(text).collect();
    Event::Started.log(&[
        ("version", Value::Text(env!("CARGO_PKG_VERSION"))),
        ("addresses", Value::List(&addresses)),
        ("docker", docker.as_deref().into()),
        ("devcontainer_cli", cli.as_deref().into()),
        ("state_dir", state_dir.as_deref().into()),
        match roots.is_empty() {
            true => ("roots", Value::Absent),
            false => ("roots", Value::List(&roots)),
        },
    ]);
}

fn read_manifest(path: Option<&Path>) -> Result<Manifest, ManifestError> {
    path.map_or_else(|| Ok(Manifest::default()), Manifest::read)
}

fn log_problems(manifest: &Manifest) {
    for problem in &manifest.errors {
        log::error!("manifest: {problem}");
    }
}

/// The means by which threads are told to stop.
struct Stop {
    /// Readable once no connection is to be accepted any more.
    accepting: Arc<Notifier>,
    /// Readable once nothing is to be waited for any more.
    all: Arc<Notifier>,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self {
            accepting: Arc::new(Notifier::new()?),
            all: Arc::new(Notifier::new()?),
        })
    }
}

/// The parts that the threads share.
struct Daemon {
    config: Config,
    shared: Arc<Shared>,
    observer: Arc<Observer>,
    programs: Arc<Programs>,
    surroundings: Arc<Surroundings>,
    disk: Arc<Disk>,
    operations: Arc<Operations>,
    persister: Arc<Persister>,
    predefining: Predefining,
    places: Arc<Places>,
    rescan_signal: RescanSignal,
    vigil: Arc<Vigil>,
    discovery: Arc<Discovery>,
    token: Option<Arc<TokenFile>>,
}

impl Daemon {
    fn build(
        mut config: Config,
        programs: Programs,
        token: Option<Arc<TokenFile>>,
    ) -> io::Result<Self> {
        let programs = Arc::new(programs);
        let surroundings = Arc::new(Surroundings::read(&config, programs.clone()));
        let state = State::new(
            &Settings {
                cache_for: config.cache_duration,
                allows_events: config.events,
                wsl_distribution: std::env::var(WSL_DISTRIBUTION).ok(),
                max_operations: config.max_operations.unwrap_or_else(default_max_operations),
                revision: Timestamp::now().as_millis().unsigned_abs(),
            },
            Instant::now(),
        );
        let rescan_signal = RescanSignal::new()?;
        let disk = Arc::new(Disk::new(&config.workspace_roots, rescan_signal.clone()));
        let shared = Arc::new(Shared::new(state));
        let vigil = Arc::<Vigil>::default();
        let discovery = Arc::new(Discovery::new(
            std::mem::take(&mut config.discover),
            disk.clone(),
            shared.clone(),
            rescan_signal.clone(),
        ));
        let observer = Observer::new(
            shared.clone(),
            config.list_timeout,
            disk.clone(),
            discovery.clone(),
            rescan_signal.clone(),
            vigil.clone(),
        );
        let persister = Persister::recover(shared.clone(), config.state_dir.clone());
        let persister = Arc::new(persister);
        let operations = Operations::new(
            shared.clone(),
            programs.clone(),
            OperationSettings {
                disk: disk.clone(),
                up_args: std::mem::take(&mut config.up_args),
                sink: config.log_sink.take().and_then(Sink::new),
                timeout: config.job_timeout,
                persister: persister.clone(),
            },
        )?;
        let predefining = Predefining {
            disk: disk.clone(),
            shared: shared.clone(),
            count: Arc::default(),
            latest: Arc::default(),
        };
        Ok(Self {
            shared,
            predefining,
            observer: Arc::new(observer),
            programs,
            surroundings,
            disk,
            operations: Arc::new(operations),
            persister,
            places: Arc::default(),
            rescan_signal,
            vigil,
            discovery,
            token,
            config,
        })
    }

    /// Makes the dev containers of the manifest and of `--devcontainer-folder` the predefined ones.
    fn predefine(&self, manifest: Manifest) {
        let folders = self.config.devcontainer_folders.iter().cloned();
        let predefined = manifest
            .devcontainers
            .into_iter()
            .chain(folders.map(Predefined::folder));
        let declared = predefined.map(|p| {
            let declared = p.declared();
            (p, declared)
        });
        let declared = declared.collect();
        let predefining = self.predefining.clone();
        let number = predefining.count.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, receiver) = channel();
        let work = move || {
            predefining.predefine(number, declared);
            if sender.send(()).is_err() {
                // Nobody waits for it any more.
                predefining.shared.apply(Fact::ListOutdated(Vec::new()));
            }
        };
        if let Err(error) = start("predefine", work) {
            log::error!("the manifest does not come into force: {error}");
        } else if receiver.recv_timeout(PREDEFINING_PATIENCE).is_err() {
            log::warn!(
                "the file system of a predefined dev container does not answer; the predefined ones are shown a little later"
            );
        }
    }

    /// Reads the token and the manifest again. What cannot be used changes nothing.
    fn reload(&self) {
        if let Some(token) = &self.token {
            token.reload();
        }
        match read_manifest(self.config.manifest.as_deref()) {
            Ok(manifest) => {
                log_problems(&manifest);
                self.predefine(manifest);
                self.shared.apply(Fact::ListOutdated(Vec::new()));
                Event::ManifestRead.log(&[]);
            }
            Err(error) => {
                let reason = error.to_string();
                Event::ManifestRefused.log(&[("reason", Value::Text(&reason))]);
            }
        }
    }

    /// Starts the dev containers of the manifest that ask for it, in a thread of its own: docker may not be there yet.
    fn autostart(&self) -> Result<(), ServeError> {
        let autostart = Autostart {
            shared: self.shared.clone(),
            observer: self.observer.clone(),
            operations: self.operations.clone(),
        };
        start("autostart", move || autostart.run()).map(drop)
    }

    fn access(&self, bound: &[Bound]) -> Access {
        let ip = |bound: &Bound| match &bound.address {
            ListenAddress::Tcp(address) => Some(address.ip()),
            ListenAddress::Unix(_) => None,
        };
        Access {
            users: AllowedUsers::new(&self.config.allow_uids),
            hosts: AllowedHosts {
                names: self.config.allow_hosts.clone(),
                addresses: bound.iter().filter_map(ip).collect(),
            },
            token: self.token.clone(),
        }
    }

    /// Starts all threads. Returns those that end once they are told to stop: that of the refresher, and those that accept.
    fn start_threads(
        &self,
        bound: Vec<Bound>,
        stop: &Stop,
        pulse: Option<Arc<Pulse>>,
    ) -> Result<(JoinHandle<()>, Weak<()>), ServeError> {
        let refresher = Refresher {
            shared: self.shared.clone(),
            observer: self.observer.clone(),
            programs: self.programs.clone(),
            surroundings: self.surroundings.clone(),
            engine: EngineVersion::new(stop.all.clone()),
            docker: Lister::new(self.config.list_timeout, stop.all.clone()),
            disk: self.disk.clone(),
            operations: self.operations.clone(),
            persister: self.persister.clone(),
            rescan_signal: self.rescan_signal.clone(),
            events: EventsThread::default(),
            outage: OutageLog::default(),
            quiet: None,
            placed: None,
        };
        let service = Arc::new(Service::new(
            self.shared.clone(),
            self.observer.clone(),
            self.operations.clone(),
            Registry {
                shared: self.shared.clone(),
                disk: self.disk.clone(),
                persister: self.persister.clone(),
            },
            self.surroundings.clone(),
            self.access(&bound),
            self.places.clone(),
        ));
        let watcher = Watcher::new(
            self.shared.clone(),
            self.observer.clone(),
            self.disk.clone(),
            self.rescan_signal.clone(),
            self.vigil.clone(),
            self.discovery.clone(),
        );
        start("watcher", move || watcher.run())?;
        let acceptor = Acceptor::start(bound, stop.accepting.clone(), pulse, service);
        Ok((
            start("refresher", move || refresher.run())?,
            acceptor.map_err(|error| ServeError::Thread("connection", error))?,
        ))
    }

    /// Waits until running operations have ended. Their readers are answered meanwhile, and the addresses are free for
    /// another daemon. A second signal ends the wait.
    fn drain(&self, signals: &mut Signals, stop: &Stop) {
        let begun = Instant::now();
        self.shared.apply(Fact::Draining);
        stop.accepting.notify();
        let limit = self.config.drain_timeout;
        let count = self.shared.read(State::operations_running);
        if count > 0 {
            let seconds = limit.as_secs_f64();
            log::info!(
                "operations that run: {count}; they get up to {seconds} s to end (--drain-timeout)"
            );
        }
        while self.operations.are_at_work() && begun.elapsed() < limit {
            if signals.stop_within(CHECK_INTERVAL) {
                log::info!("stopping at once");
                return;
            }
        }
        if count > 0 && !self.operations.are_at_work() {
            self.show_ends(signals);
        }
    }

    /// Waits for a list that shows what the operations have done, for those who follow events and for the next daemon.
    fn show_ends(&self, signals: &mut Signals) {
        let begun = Instant::now();
        self.shared.ask(begun, Need::Recent, true);
        while self.shared.read(State::owes_list) && begun.elapsed() < LAST_LIST {
            if signals.stop_within(CHECK_INTERVAL) {
                break;
            }
        }
    }

    /// Gives operations, threads and answers time to end. A second signal ends running operations at once.
    fn stop(
        &self,
        signals: &mut Signals,
        stop: &Stop,
        (refresher, acceptor): &(JoinHandle<()>, Weak<()>),
    ) {
        self.drain(signals, stop);
        let begun = Instant::now();
        self.shared.apply(Fact::Closing);
        stop.all.notify();
        self.operations.interrupt();
        self.persister.save_what_is_new();
        // They end a docker command that hangs, and remove the files of unix sockets.
        loop {
            let are_idle = self.operations.are_idle();
            let have_ended = are_idle && refresher.is_finished() && acceptor.strong_count() == 0;
            let limit = if are_idle { LAST_MOMENT } else { LAST_SINK };
            if have_ended || begun.elapsed() >= limit {
                break;
            }
            if begun.elapsed() > LAST_CALL {
                self.operations.last_call();
            }
            thread::sleep(CHECK_INTERVAL);
        }
        let answers_begun = Instant::now();
        while self.places.answering() > 0 && answers_begun.elapsed() < ANSWERS_GRACE {
            thread::sleep(CHECK_INTERVAL);
        }
    }
}

/// Makes dev containers the predefined ones, in a thread of its own: their folders may not answer (P22).
#[derive(Clone)]
struct Predefining {
    disk: Arc<Disk>,
    shared: Arc<Shared>,
    /// How often that was begun.
    count: Arc<AtomicU64>,
    /// The latest one that has come into force.
    latest: Arc<Mutex<u64>>,
}

impl Predefining {
    /// Makes these the predefined ones, unless a definition with a later number has come into force.
    fn predefine(&self, number: u64, declared: Vec<(Predefined, Declared)>) {
        let resolved = self.disk.resolve_all(declared).into_iter();
        let all = resolved.map(|(predefined, declared, found)| {
            let last = |Silent| self.shared.read(|state| state.silent_place(&declared));
            (predefined, found.unwrap_or_else(last))
        });
        let all: Vec<_> = all.collect();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if *latest > number {
            return;
        }
        *latest = number;
        let before = self.shared.view();
        if let Applied::Rejected(errors) = self.shared.apply(Fact::Predefined(all)) {
            for error in errors {
                log::error!("{error}");
            }
        }
        for warning in &self.shared.view().warnings {
            if !before.warnings.contains(warning) {
                log::warn!("{warning}");
            }
        }
    }
}

/// Returns the number of cores, as a build uses about one, and at least 2, so that a short operation does not wait for one
/// long build.
fn default_max_operations() -> usize {
    let cores = thread::available_parallelism();
    cores
        .map_or(MIN_OPERATIONS, NonZero::get)
        .max(MIN_OPERATIONS)
}

fn start(
    name: &'static str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, ServeError> {
    let started = threads::start(name, run);
    started.map_err(|e| ServeError::Thread(name, e))
}
