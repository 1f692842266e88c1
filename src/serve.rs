//! Builds the parts, starts the threads, and stops them in order.

use std::fmt::Display;
use std::io;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::notify::{Notifier, RescanSignal};
use crate::base::time::Timestamp;
use crate::cli::{Config, UsageError};
use crate::daemon::current::Observer;
use crate::daemon::operations::sink::Sink;
use crate::daemon::operations::{OperationSettings, Operations};
use crate::daemon::persist::Persister;
use crate::daemon::refresher::{EventsThread, Refresher};
use crate::daemon::shared::Shared;
use crate::daemon::watcher::Watcher;
use crate::devcontainer::resolve::canonical;
use crate::docker::lister::Lister;
use crate::http::{self, AllowedHosts, Bound, Limits, Service};
use crate::manifest::Manifest;
use crate::model::location::{Predefined, Resolved, Source};
use crate::process;
use crate::process::programs::Programs;
use crate::process::signals::{Signal, Signals};
use crate::state::{Applied, Fact, Settings, State};
use crate::store::Store;

/// What running operations get to end when the daemon is told to stop.
const JOBS_GRACE: Duration = Duration::from_secs(10);
/// What puts containers right after that ends then, with its docker.
const LAST_CALL: Duration = Duration::from_millis(12_800);
/// After this it ends, whatever still runs.
const LAST_MOMENT: Duration = Duration::from_millis(13_500);
/// What requests that are being answered get.
const ANSWERS_GRACE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);

/// Why the daemon did not start.
pub enum StartError {
    /// Something on the command line, or in what it names, cannot be used.
    Usage(UsageError),
    /// Something else.
    Other(String),
}

/// Runs until a signal stops it.
pub fn run(config: Config) -> Result<(), StartError> {
    let other = |what: &'static str| move |e: io::Error| StartError::Other(format!("{what}: {e}"));
    let (predefined, complaints) = read_predefined(&config).map_err(StartError::Usage)?;
    set_priority(&config).map_err(StartError::Usage)?;
    let mut signals = Signals::new().map_err(other("signals"))?;
    if let Err(e) = process::adopt_orphans() {
        log::warn!("processes that leave an operation's group may stay: {e}");
    }
    let bound = bind(&config)?;
    for bound in &bound {
        log::info!("listening on {}", bound.address);
    }
    report(&complaints);
    let parts = Parts::build(config).map_err(other("start"))?;
    parts.predefine(predefined);
    let stop = Arc::new(Notifier::new().map_err(other("start"))?);
    let threads = parts.start_threads(bound, stop.clone())?;
    notify_ready();
    while signals.wait() == Signal::Reload {
        parts.reload();
    }
    log::info!("stopping");
    parts.stop(&mut signals, &stop, &threads);
    Ok(())
}

fn set_priority(config: &Config) -> Result<(), UsageError> {
    let nice = config.child_priority.nice.unwrap_or_default();
    process::set_priority(config.child_priority).map_err(|e| format!("--child-nice {nice}: {e}"))
}

fn bind(config: &Config) -> Result<Vec<Bound>, StartError> {
    let bind = |address| {
        Bound::new(address).map_err(|e| {
            let shown = address.to_string();
            let shown = shown.strip_prefix("http://").unwrap_or(&shown);
            let mend = match e.kind() {
                io::ErrorKind::AddrInUse => "; is a daemon running already? Choose another address",
                _ => "",
            };
            StartError::Usage(format!("--listen {shown}: {e}{mend}"))
        })
    };
    config.listen.iter().map(bind).collect()
}

/// The predefined dev containers, and what is odd about the manifest.
fn read_predefined(config: &Config) -> Result<(Vec<Predefined>, Vec<String>), UsageError> {
    let manifest = match &config.manifest {
        Some(path) => Manifest::read(path).map_err(|e| format!("--manifest: {e}"))?,
        None => Manifest::default(),
    };
    let folders = config.devcontainer_folders.iter().cloned();
    let folders = folders.map(Predefined::folder);
    let predefined = manifest.devcontainers.into_iter().chain(folders);
    Ok((predefined.collect(), manifest.errors))
}

fn report(complaints: &[String]) {
    for complaint in complaints {
        log::error!("manifest: {complaint}");
    }
}

struct Parts {
    config: Config,
    shared: Arc<Shared>,
    observer: Arc<Observer>,
    programs: Arc<Programs>,
    roots: Arc<[PathBuf]>,
    operations: Arc<Operations>,
    persister: Arc<Persister>,
    limits: Arc<Limits>,
    rescan_signal: RescanSignal,
}

impl Parts {
    fn build(mut config: Config) -> io::Result<Self> {
        let settings = Settings {
            cache_for: config.cache_duration,
            allows_events: config.events,
            revision: Timestamp::now().as_millis().unsigned_abs(),
        };
        let state = State::new(&settings, Instant::now());
        let programs = Programs::new(config.docker.clone(), config.devcontainer.clone());
        let programs = Arc::new(programs);
        let roots: Arc<[PathBuf]> = config
            .workspace_roots
            .iter()
            .map(|root| canonical(root))
            .collect();
        let rescan_signal = RescanSignal::new()?;
        let shared = Arc::new(Shared::new(state));
        let observer = Observer::new(
            shared.clone(),
            config.list_timeout,
            roots.clone(),
            rescan_signal.clone(),
        );
        let store = Store::open(config.state_dir.as_deref());
        let persister = Arc::new(Persister::recover(shared.clone(), store));
        let settings = OperationSettings {
            roots: roots.clone(),
            sink: config.log_sink.take().and_then(Sink::new),
            timeout: config.job_timeout,
            persister: persister.clone(),
        };
        let operations = Operations::new(shared.clone(), programs.clone(), settings)?;
        Ok(Self {
            shared,
            observer: Arc::new(observer),
            programs,
            roots,
            operations: Arc::new(operations),
            persister,
            limits: Arc::default(),
            rescan_signal,
            config,
        })
    }

    fn predefine(&self, predefined: Vec<Predefined>) {
        let place = |p: &Predefined| {
            let config: Option<&Path> = p.config.as_deref();
            Resolved::resolve(&p.folder, config, Source::Predefined, &self.roots)
        };
        let defined = predefined.into_iter().map(|p| {
            let place = place(&p);
            (p, place)
        });
        let defined: Vec<_> = defined.collect();
        if let Applied::Rejected(errors) = self.shared.apply(Fact::Predefined(defined)) {
            for error in errors {
                log::error!("{error}");
            }
        }
    }

    /// A manifest that cannot be used changes nothing.
    fn reload(&self) {
        match read_predefined(&self.config) {
            Ok((predefined, complaints)) => {
                report(&complaints);
                self.predefine(predefined);
                self.shared.apply(Fact::ListOutdated(Vec::new()));
                log::info!("the manifest was read again");
            }
            Err(error) => log::error!("{error}; the last good one stays in force"),
        }
    }

    /// Returns those that end once `stop` is readable.
    fn start_threads(
        &self,
        bound: Vec<Bound>,
        stop: Arc<Notifier>,
    ) -> Result<[JoinHandle<()>; 2], StartError> {
        let refresher = Refresher {
            shared: self.shared.clone(),
            observer: self.observer.clone(),
            programs: self.programs.clone(),
            docker: Lister::new(self.config.list_timeout, stop.clone()),
            roots: self.roots.clone(),
            operations: self.operations.clone(),
            persister: self.persister.clone(),
            rescan_signal: self.rescan_signal.clone(),
            events: EventsThread::default(),
        };
        let service = Arc::new(Service {
            shared: self.shared.clone(),
            observer: self.observer.clone(),
            operations: self.operations.clone(),
            programs: self.programs.clone(),
            allowed_hosts: AllowedHosts(self.config.allow_hosts.clone()),
            limits: self.limits.clone(),
        });
        let watcher = Watcher::new(
            self.shared.clone(),
            self.observer.clone(),
            self.rescan_signal.clone(),
        );
        start("watcher", move || watcher.run())?;
        let accept = move || http::accept(&bound, stop.as_fd(), &service);
        Ok([
            start("refresher", move || refresher.run())?,
            start("accept", accept)?,
        ])
    }

    /// Operations get a while to end, unless a second signal comes; then they are ended.
    fn stop(&self, signals: &mut Signals, stop: &Notifier, threads: &[JoinHandle<()>]) {
        let begun = Instant::now();
        self.shared.apply(Fact::Closing);
        stop.notify();
        let running = || self.shared.read(|state| state.operations_running() > 0);
        while running() && begun.elapsed() < JOBS_GRACE {
            if signals.stop_within(LOOK) {
                log::info!("stopping at once");
                break;
            }
        }
        self.operations.interrupt();
        self.persister.save_what_is_new();
        // Without them a hung docker and the files of unix sockets would stay.
        let ended = || self.operations.are_idle() && threads.iter().all(JoinHandle::is_finished);
        while !ended() && begun.elapsed() < LAST_MOMENT {
            if begun.elapsed() > LAST_CALL {
                self.operations.last_call();
            }
            thread::sleep(LOOK);
        }
        let answers = Instant::now();
        while self.limits.answering() > 0 && answers.elapsed() < ANSWERS_GRACE {
            thread::sleep(LOOK);
        }
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    let failed = |e: io::Error| StartError::Other(format!("no thread can be started: {e}"));
    let thread = thread::Builder::new().name(name.into());
    thread.spawn(run).map_err(failed)
}

/// Tells a service manager that the daemon answers (sd_notify(3)).
fn notify_ready() {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let name = name.as_encoded_bytes();
    let send = || {
        let address = match name.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(Path::new(&*String::from_utf8_lossy(name)))?,
        };
        UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address)
    };
    if let Err(e) = send() {
        warn_not_notified(&e);
    }
}

fn warn_not_notified(error: &dyn Display) {
    log::warn!("the service manager cannot be told that the daemon is ready: {error}");
}
