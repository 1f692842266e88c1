//! The docker, and docker-compose, that the devcontainer CLI is given: our own binary, called by another path.
//!
//! Everything is passed on to the real programs, with these exceptions: `ps` does not print containers that are to be
//! replaced (the originals); `events` prints what happens from its call on; before the new container starts, the
//! originals are parked; and the new container gets a label. compose finds its containers by labels, so that containers
//! of a project cannot be parked. An original among them is not removed before compose itself replaces it.

mod argv;
mod replace;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::base::time::Timestamp;
use crate::docker::{self, Client};
use crate::model::ids::OperationId;
use crate::model::labels::ComposeService;
use crate::model::original::Original;
use crate::process;

/// The environment variable with the `Plan`, as JSON.
pub const VARIABLE: &str = "DEVCONTAINERD_SHIM_PLAN";

/// The limit of the shim's own commands. The operation has a deadline, too, and ends all its processes.
const PATIENCE: Duration = Duration::from_secs(600);
/// The exit status by which a shell says that a program cannot be run.
const CANNOT_RUN: u8 = 127;

/// The instructions to the shim during an operation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The operation.
    pub operation: OperationId,
    /// The path by which the shim is called as docker.
    pub called_docker: PathBuf,
    /// The path by which the shim is called as docker-compose.
    pub called_compose: PathBuf,
    /// docker or podman.
    pub docker: PathBuf,
    /// docker-compose, or a program in its place.
    pub compose: PathBuf,
    /// The containers that the new one replaces.
    pub replaces: Vec<Original>,
    /// The ids of other containers that are not to be seen.
    pub hides: Vec<String>,
    /// The service of a compose project that the dev container is, if it is to be replaced.
    pub service: Option<String>,
}

/// Why the shim could not do its part.
#[derive(Debug)]
enum Error {
    Spawn { program: PathBuf, source: io::Error },
    DaemonGone,
    NotListed(docker::Error),
    NotRenamed(docker::Error),
    NotStopped(docker::Error),
    Panicked,
}

impl Error {
    fn cannot_run(program: &Path, source: io::Error) -> Self {
        Self::Spawn {
            program: program.to_owned(),
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn { program, source } if source.kind() == io::ErrorKind::NotFound => {
                write!(f, "{} was not found", program.display())
            }
            Self::Spawn { program, source } => {
                write!(f, "{} could not be run: {source}", program.display())
            }
            Self::DaemonGone => {
                f.write_str("the daemon that began this operation is gone; nothing was changed")
            }
            Self::NotListed(error) => error.fmt(f),
            Self::NotRenamed(error) => write!(f, "the old container cannot be renamed: {error}"),
            Self::NotStopped(error) => write!(f, "the old container cannot be stopped: {error}"),
            Self::Panicked => f.write_str("the thread that renames the old container panicked"),
        }
    }
}

impl std::error::Error for Error {}

/// The two paths by which the CLI calls the shim, for docker and for docker-compose: two spellings of one path, which
/// the shim tells apart.
pub fn paths() -> (PathBuf, PathBuf) {
    let own = own_path();
    let directory = own.parent().unwrap_or(Path::new("/"));
    let name = own.file_name().unwrap_or_default();
    let through = |dots: &str| {
        let mut path = directory.as_os_str().to_owned();
        path.push(dots);
        path.push(name);
        PathBuf::from(path)
    };
    (through("/./"), through("/././"))
}

/// The path of our binary. If its file was replaced since it was started, this is the running binary: another version
/// might not understand the plan.
fn own_path() -> PathBuf {
    let identity = |path: &Path| Some((path.metadata().ok()?.dev(), path.metadata().ok()?.ino()));
    let named = std::env::current_exe().unwrap_or_default();
    let running = Path::new("/proc/self/exe");
    if identity(&named) == identity(running) {
        named
    } else {
        format!("/proc/{}/exe", std::process::id()).into()
    }
}

/// Does what docker, or docker-compose, is asked to if this process was called in its place; `None` if it was not.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let plan = std::env::var(VARIABLE).ok()?;
    let called = arguments.next()?;
    let arguments: Vec<OsString> = arguments.collect();
    let result = match serde_json::from_slice::<Plan>(plan.as_bytes()) {
        // As words: both spellings are equal as paths.
        Ok(plan) if called == plan.called_docker.as_os_str() => plan.docker(&arguments),
        Ok(plan) if called == plan.called_compose.as_os_str() => {
            plan.compose(&plan.compose, &[], &arguments)
        }
        _ => return None,
    };
    Some(result.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "devcontainerd: {error}");
        ExitCode::from(CANNOT_RUN)
    }))
}

impl Plan {
    fn docker(&self, arguments: &[OsString]) -> Result<ExitCode, Error> {
        let Some((verb, rest)) = arguments.split_first() else {
            return Err(exec(&self.docker, arguments));
        };
        match verb.to_str() {
            Some("ps") if !(self.replaces.is_empty() && self.hides.is_empty()) => {
                self.list(arguments)
            }
            Some("rm") => self.remove(arguments),
            Some("events") => {
                let events = argv::events_from(arguments, Timestamp::now());
                Err(exec(&self.docker, &events))
            }
            Some("run") if argv::makes_devcontainer(arguments) => self.replace(arguments),
            Some("compose") => self.compose(&self.docker, &["compose"], rest),
            _ => Err(exec(&self.docker, arguments)),
        }
    }

    fn client(&self) -> Client<'_> {
        Client {
            program: &self.docker,
            deadline: Instant::now() + PATIENCE,
            abort: None,
            operation: None,
            thorough: false,
            socket: None,
        }
    }

    /// `ps`, without the originals.
    fn list(&self, arguments: &[OsString]) -> Result<ExitCode, Error> {
        let output = Command::new(&self.docker)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| Error::cannot_run(&self.docker, e))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let lines = printed.split_inclusive('\n');
        let shown: String = lines
            .filter(|line| !self.is_original(line.trim()) && !self.is_hidden(line.trim()))
            .collect();
        let _ = io::stdout().write_all(shown.as_bytes());
        Ok(exit_code(output.status))
    }

    /// Returns whether `id`, which docker may have shortened to 12 digits, is that of an original.
    fn is_original(&self, id: &str) -> bool {
        let mut originals = self.replaces.iter();
        id.len() >= 12 && originals.any(|original| original.id.starts_with(id))
    }

    fn is_hidden(&self, id: &str) -> bool {
        let mut hidden = self.hides.iter();
        id.len() >= 12 && hidden.any(|hidden| hidden.starts_with(id))
    }

    /// `rm`, which removes nothing: the CLI removes an old container before it has a new one. It does not see the
    /// originals, compose replaces its own containers, and any other container is not ours to remove.
    fn remove(&self, arguments: &[OsString]) -> Result<ExitCode, Error> {
        let names_one = |word: &OsString| word.to_str().is_some_and(|id| self.is_original(id));
        if self.service.is_none() && !arguments.iter().any(names_one) {
            let last = arguments.last().cloned().unwrap_or_default();
            let _ = writeln!(io::stderr(), "container {} is left alone", last.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// compose: `up` replaces the container of the dev container's service even if nothing of it changed. `before`
    /// are the words before compose's own.
    fn compose(
        &self,
        program: &Path,
        before: &[&str],
        arguments: &[OsString],
    ) -> Result<ExitCode, Error> {
        let mut all: Vec<OsString> = before.iter().map(OsString::from).collect();
        all.extend_from_slice(arguments);
        let is_up = |at: &usize| arguments.get(*at).is_some_and(|word| word == "up");
        let up = argv::verb_of_compose(arguments).filter(is_up);
        let project = argv::project_of(arguments);
        let (Some(up), Some(service), Some(project)) = (up, &self.service, project) else {
            return Err(exec(program, &all));
        };
        check_daemon()?;
        let labels = ComposeService {
            project: project.to_owned(),
            service: service.clone(),
        }
        .labels();
        let containers = || self.client().with_labels(&labels).map_err(Error::NotListed);
        let old = containers()?;
        let status = call(program, &all)?;
        let left = containers()?;
        if !status.success() || !old.iter().any(|id| left.contains(id)) {
            return Ok(exit_code(status));
        }
        let again = argv::forced_up(&all, before.len() + up, service);
        Ok(exit_code(call(program, &again)?))
    }
}

/// Fails if the daemon was killed: the next one would not expect a container that the rest of its operation makes.
fn check_daemon() -> Result<(), Error> {
    if process::is_orphaned() {
        return Err(Error::DaemonGone);
    }
    Ok(())
}

/// Becomes the program. Returns only if that cannot be run.
fn exec(program: &Path, arguments: &[OsString]) -> Error {
    let error = Command::new(program).args(arguments).exec();
    Error::cannot_run(program, error)
}

/// Runs the program in our own process group, so that it ends when the operation is ended.
fn call(program: &Path, arguments: &[OsString]) -> Result<ExitStatus, Error> {
    let status = Command::new(program).args(arguments).status();
    status.map_err(|e| Error::cannot_run(program, e))
}

/// The exit code to end with; 1 for a program that was ended by a signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use crate::model::original::PriorState;

    use super::*;

    fn plan(ids: &[&str]) -> Plan {
        let original = |id: &&str| Original {
            id: id.to_string(),
            name: "n".into(),
            was: PriorState::Running,
            removed_when_stopped: false,
            leaves_networks: Vec::new(),
            compose: None,
        };
        Plan {
            operation: OperationId::parse("0123456789abcdef").unwrap(),
            called_docker: "/x/./d".into(),
            called_compose: "/x/././d".into(),
            docker: "docker".into(),
            compose: "docker-compose".into(),
            replaces: ids.iter().map(original).collect(),
            hides: Vec::new(),
            service: None,
        }
    }

    #[test]
    fn ids_are_recognised_in_both_lengths() {
        let id = "0123456789abcdef".repeat(4);
        let plan = plan(&[&id]);
        for (text, hidden) in [
            (id.as_str(), true),
            ("0123456789ab", true),
            ("0123456789a", false),
            ("123456789abc", false),
            ("", false),
        ] {
            assert_eq!(plan.is_original(text), hidden, "{text}");
        }
    }

    #[test]
    fn a_plan_reads_as_it_was_written() {
        let text = serde_json::to_string(&plan(&["a"])).unwrap();
        let read: Plan = serde_json::from_str(&text).unwrap();
        assert_eq!(read.replaces, plan(&["a"]).replaces);
    }
}
