//! Says what a daemon would find if it were started, and what is wrong with that. It changes nothing.

use std::collections::HashSet;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use rustix::fs::{Access, access};

use super::error::ListenFlag;
use super::{ServeError, read_manifest};
use crate::base::notify::Notifier;
use crate::base::open_files;
use crate::base::text::printable;
use crate::base::token::Token;
use crate::base::within::within;
use crate::cli::{Config, UsageError, knows_variable};
use crate::client::Client;
use crate::daemon::surroundings::Surroundings;
use crate::devcontainer::resolve::{canonical, resolve};
use crate::docker::lister::Lister;
use crate::docker::{self, why_no_access};
use crate::http::is_stale;
use crate::model::listen::ListenAddress;
use crate::model::listing::Scope;
use crate::model::location::Predefined;
use crate::process::programs::Programs;
use crate::process::{self, Ended, RunLimits, Stream};
use crate::state::KnownPlace;

/// The time for everything. It is long for a slow engine; a file system that does not answer takes all of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The time for a daemon at an address to say that it is one.
const HEALTH: Duration = Duration::from_secs(2);
/// The time for a program to say its version.
const VERSION: Duration = Duration::from_secs(10);
/// The beginning of the names of all variables.
const PREFIX: &str = "DEVCONTAINERD_";

/// The findings so far, each of which is a line on standard output.
#[derive(Default)]
struct Report {
    has_problem: bool,
}

/// Prints what is there and what is wrong. `problems` are the values of flags and variables that cannot be used. Returns 1 if
/// anything is wrong.
pub fn check(config: Box<Config>, problems: Vec<UsageError>) -> ExitCode {
    let look = move || {
        let mut report = Report::default();
        report.values(&config, &problems);
        let places = report.places(&config);
        report.addresses(&config);
        report.state_dir(config.state_dir.as_deref());
        report.programs(&config, &places);
        report.has_problem
    };
    let has_problem = within(PATIENCE, look).unwrap_or_else(|error| {
        let mut report = Report::default();
        let why = "what comes next does not answer, such as a file system; check its mount";
        report.problem("check", format_args!("{error}: {why}"));
        true
    });
    ExitCode::from(u8::from(has_problem))
}

impl Report {
    fn fine(&mut self, part: &str, text: fmt::Arguments<'_>) {
        self.line("ok", part, text);
    }

    fn problem(&mut self, part: &str, text: fmt::Arguments<'_>) {
        self.has_problem = true;
        self.line("problem", part, text);
    }

    fn line(&mut self, verdict: &str, part: &str, text: fmt::Arguments<'_>) {
        let line = printable(&format!("{verdict:8} {part}: {text}"));
        // The exit status says the most to a reader that has closed the pipe.
        let _ = writeln!(io::stdout(), "{line}");
    }

    /// Checks what flags and variables say, as far as nothing else has to be looked for.
    fn values(&mut self, config: &Config, problems: &[UsageError]) {
        for problem in problems {
            self.problem("flags", format_args!("{problem}"));
        }
        let environment = fs::read("/proc/self/environ").unwrap_or_default();
        for variable in environment.split(|byte| *byte == 0) {
            let name = variable
                .split(|byte| *byte == b'=')
                .next()
                .unwrap_or_default();
            let name = String::from_utf8_lossy(name);
            if name.starts_with(PREFIX) && !knows_variable(&name) {
                self.line(
                    "advice",
                    "flags",
                    format_args!("no flag has the variable {name}"),
                );
            }
        }
        if let Err(error) = open_files::check() {
            self.problem("limits", format_args!("{error}"));
        }
        if let Err(error) = process::set_priority(config.child_priority) {
            self.problem("flags", format_args!("{}", ServeError::ChildNice(error)));
        }
        if let Some(path) = &config.token_file {
            match Token::read(path) {
                Ok(_) => self.fine("--token-file", format_args!("{}", path.display())),
                Err(error) => {
                    self.problem(
                        "flags",
                        format_args!("{}", ServeError::Token(path.clone(), error)),
                    );
                }
            }
        }
        let sink = config.log_sink.iter().flatten().next().map(Path::new);
        if let Some(sink) = sink.filter(|sink| process::find(sink).is_none()) {
            self.problem(
                "--log-sink",
                format_args!("{} was not found", sink.display()),
            );
        }
    }

    /// Checks the manifest and all folders. Returns those of the predefined dev containers.
    fn places(&mut self, config: &Config) -> Vec<KnownPlace> {
        let read = read_manifest(config.manifest.as_deref());
        let manifest = read.unwrap_or_else(|error| {
            self.problem("manifest", format_args!("{error}"));
            Default::default()
        });
        for problem in &manifest.errors {
            self.problem("manifest", format_args!("{problem}"));
        }
        for folder in config.workspace_roots.iter().chain(&config.discover) {
            let shown = folder.display();
            match folder.is_dir() {
                true => self.fine("directory", format_args!("{shown}")),
                false => self.problem(
                    "directory",
                    format_args!("{shown} is no directory; create it, or name another one"),
                ),
            }
        }
        let written = &config.workspace_roots;
        let roots: Vec<PathBuf> = written
            .iter()
            .cloned()
            .chain(written.iter().map(|root| canonical(root)))
            .collect();
        let mut predefined = manifest.devcontainers;
        predefined.extend(
            config
                .devcontainer_folders
                .iter()
                .cloned()
                .map(Predefined::folder),
        );
        let mut places = Vec::new();
        for one in predefined {
            let declared = one.declared();
            let resolved = resolve(&declared, &roots);
            match resolved.why_unscanned() {
                Some(why) => self.problem("workspace", format_args!("{why}")),
                None => self.fine("workspace", format_args!("{}", declared.folder.display())),
            }
            places.push(KnownPlace {
                folder: declared.folder,
                exists: resolved.folder_exists,
                resolved: resolved.folder,
                container: None,
            });
        }
        places
    }

    fn addresses(&mut self, config: &Config) {
        let of = |flag: ListenFlag, addresses: &[ListenAddress]| {
            let all = addresses.iter().map(|address| (flag, address.clone()));
            all.collect::<Vec<_>>()
        };
        let mut all = of(ListenFlag::Listen, &config.listen);
        all.extend(of(ListenFlag::MetricsListen, &config.metrics_listen));
        for (flag, address) in all {
            if address.is_exposed() && config.token_file.is_none() {
                let error = ServeError::Exposed(flag, address);
                self.problem("flags", format_args!("{error}"));
                continue;
            }
            match bind(&address) {
                Ok(()) => self.fine("address", format_args!("{address} is free")),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_served(&address) => {
                    self.fine("address", format_args!("a daemon answers at {address}"));
                }
                Err(error) => {
                    let error = ServeError::Listen(flag, address, error);
                    self.problem("flags", format_args!("{error}"));
                }
            }
        }
    }

    fn state_dir(&mut self, directory: Option<&Path>) {
        const PART: &str = "state directory";
        let shown = directory
            .unwrap_or(Path::new("a directory below a home that there is not"))
            .display();
        let nearest = directory.and_then(|one| one.ancestors().find(|one| one.exists()));
        match nearest.is_some_and(may_write) {
            true => self.fine(PART, format_args!("{shown}")),
            false => self.problem(
                PART,
                format_args!("{shown} cannot be written to; choose another one with --state-dir"),
            ),
        }
    }

    /// Checks docker, the engine, and the devcontainer CLI.
    fn programs(&mut self, config: &Config, places: &[KnownPlace]) {
        let programs = Programs::new(config.docker.clone(), config.devcontainer.clone());
        let around = Surroundings::read(config, Arc::new(programs));
        let programs = &around.programs;
        for missing in programs.missing() {
            self.problem("programs", format_args!("{missing}"));
        }
        if let Some(cli) = process::find(&programs.devcontainer()) {
            let (has_succeeded, said) = version_of(&cli);
            let (part, cli) = ("devcontainer CLI", cli.display());
            match has_succeeded {
                true => self.fine(part, format_args!("{cli} {said}")),
                false => self.problem(
                    part,
                    format_args!(
                        "{cli} --version failed: {said}; it needs node 20 or newer on PATH"
                    ),
                ),
            }
        }
        let docker = programs.docker();
        if let Some(found) = process::find(&docker)
            && let Err(error) = self.engine(config, &found, &around, places)
        {
            self.problem("docker", format_args!("{error}"));
            if let Some(why) = why_no_access(&docker) {
                self.problem("docker", format_args!("{why}"));
            }
        }
    }

    fn engine(
        &mut self,
        config: &Config,
        docker: &Path,
        around: &Surroundings,
        places: &[KnownPlace],
    ) -> Result<(), docker::Error> {
        let client = docker::Client {
            program: docker,
            deadline: Instant::now() + VERSION,
            abort: None,
            operation: None,
            thorough: false,
            socket: None,
        };
        let version = client.version()?;
        let stop = Notifier::new().map_err(docker::Error::NoResources)?;
        let mut lister = Lister::new(config.list_timeout, Arc::new(stop));
        let containers = lister.list(docker, &Scope::All(HashSet::new()))?.containers;
        let number = containers.len();
        let docker = docker.display();
        self.fine(
            "docker",
            format_args!("{docker}, an engine of version {version} with {number} containers"),
        );
        if let Some(own) = around.own(&mut containers.iter().map(|one| &**one)) {
            self.fine(
                "docker",
                format_args!(
                    "the engine is outside of the daemon's container, {}",
                    own.name
                ),
            );
            for advice in around.advice(own, places) {
                self.problem("docker", format_args!("{advice}"));
            }
        }
        Ok(())
    }
}

fn may_write(directory: &Path) -> bool {
    directory.is_dir() && access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// Finds out whether an address can be listened on.
fn bind(address: &ListenAddress) -> io::Result<()> {
    match address {
        ListenAddress::Tcp(address) => TcpListener::bind(address).map(drop),
        ListenAddress::Unix(path) => {
            is_stale(path)?;
            let directory = path.parent().unwrap_or(path);
            access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
        }
    }
}

fn is_served(address: &ListenAddress) -> bool {
    let client = Client::new(&[address.to_string()], None);
    client.is_ok_and(|client| client.health(HEALTH).is_ok_and(|status| status == 200))
}

/// Returns whether a program says its version, and the beginning of what it says.
fn version_of(program: &Path) -> (bool, String) {
    let limits = RunLimits {
        deadline: Instant::now() + VERSION,
        abort: &[],
        grace: Duration::ZERO,
        late: None,
    };
    let mut command = Command::new(program);
    command.arg("--version");
    let (mut said, mut complained) = (String::new(), String::new());
    let ended = process::run(command, &limits, &mut |stream, bytes| {
        let kept = match stream {
            Stream::Stdout => &mut said,
            Stream::Stderr => &mut complained,
        };
        if kept.is_empty() {
            *kept = String::from_utf8_lossy(bytes).trim().to_owned();
        }
    });
    let has_succeeded = matches!(&ended, Ok(Ended::Exited(status)) if status.success());
    if !has_succeeded {
        said = complained;
    }
    if said.is_empty() && !has_succeeded {
        said = match ended {
            Ok(_) => "it said nothing".to_owned(),
            Err(error) => error.to_string(),
        };
    }
    (has_succeeded, said)
}
