//! The docker, and docker-compose, that the devcontainer CLI is given: our own binary, called by another name.
//!
//! Everything is passed on as it is, but: containers that are to be replaced are left out of what `ps` prints; when
//! the new one is about to be run, they are set aside; and what is run gets a label. Of a compose project nothing can
//! be set aside, as compose finds its containers by labels; there the old one is not removed before compose itself
//! replaces it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::docker::{self, Client};
use crate::model::ids::OperationId;
use crate::model::labels::{ComposeService, LABEL_FOLDER, LABEL_OPERATION};
use crate::model::original::{Original, PriorState};
use crate::process;

/// What the stand-in has to do, as JSON.
pub const VARIABLE: &str = "DEVCONTAINERD_STAND_IN";

/// For a command of its own. The operation has a deadline too, and ends all that belongs to it.
const PATIENCE: Duration = Duration::from_secs(600);
/// As a shell says that a program cannot be run.
const CANNOT_RUN: u8 = 127;

/// What an operation is told to do about containers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The operation.
    pub operation: OperationId,
    /// By which path we are called as docker.
    pub called_docker: PathBuf,
    /// By which path we are called as docker-compose.
    pub called_compose: PathBuf,
    /// docker or podman.
    pub docker: PathBuf,
    /// docker-compose, or what stands for it.
    pub compose: PathBuf,
    /// Containers that the new one replaces.
    pub replaces: Vec<Original>,
    /// The service of a compose project that the dev container is.
    pub service: Option<String>,
}

/// The two paths by which the CLI calls us, for docker and for docker-compose: two ways to write one path, so that we
/// can tell by which name we were called.
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

/// Where our binary is. Where its file was replaced since we were started, the running one is used: another version
/// might not understand what it is told.
fn own_path() -> PathBuf {
    let identity = |path: &Path| Some((path.metadata().ok()?.dev(), path.metadata().ok()?.ino()));
    let named = std::env::current_exe().unwrap_or_default();
    let running = Path::new("/proc/self/exe");
    match identity(&named) == identity(running) {
        true => named,
        false => format!("/proc/{}/exe", std::process::id()).into(),
    }
}

/// Does what docker is asked to, if we were called as docker. `None` where we were not.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let plan = std::env::var(VARIABLE).ok()?;
    let called = arguments.next()?;
    let arguments: Vec<OsString> = arguments.collect();
    let result = match serde_json::from_str::<Plan>(&plan) {
        // As words: two paths are equal to each other as paths.
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
    fn docker(&self, arguments: &[OsString]) -> Result<ExitCode, String> {
        let word = |index: usize| arguments.get(index).and_then(|word| word.to_str());
        match word(0) {
            Some("ps") if !self.replaces.is_empty() => self.list(arguments),
            Some("rm") => self.remove(arguments),
            Some("run") if makes_devcontainer(arguments) => self.make(arguments),
            Some("compose") => {
                let compose = arguments.split_first().map_or(&[][..], |(_, rest)| rest);
                self.compose(&self.docker, &["compose"], compose)
            }
            _ => Err(pass_on(&self.docker, arguments)),
        }
    }

    fn client(&self) -> Client<'_> {
        Client {
            program: &self.docker,
            deadline: Instant::now() + PATIENCE,
            abort: None,
            operation: None,
            thorough: false,
        }
    }

    /// `ps`, without the containers that are to be replaced.
    fn list(&self, arguments: &[OsString]) -> Result<ExitCode, String> {
        let output = Command::new(&self.docker)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| cannot_run(&self.docker, &e))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let shown = printed
            .split_inclusive('\n')
            .filter(|line| !self.replaces_id(line.trim()));
        let shown: String = shown.collect();
        let _ = io::stdout().write_all(shown.as_bytes());
        Ok(exit_code(output.status.code()))
    }

    /// Whether `id`, which docker may have shortened to 12 digits, is that of a container that is to be replaced.
    fn replaces_id(&self, id: &str) -> bool {
        id.len() >= 12 && self.replaces.iter().any(|old| old.id.starts_with(id))
    }

    /// `rm`: the CLI removes an old container before it has a new one. What is to be replaced it does not see, and
    /// compose replaces its own; anything else is not ours to remove.
    fn remove(&self, arguments: &[OsString]) -> Result<ExitCode, String> {
        let known = |word: &OsString| word.to_str().is_some_and(|id| self.replaces_id(id));
        if self.service.is_none() && !arguments.iter().any(known) {
            let what = arguments.last().cloned().unwrap_or_default();
            let _ = writeln!(io::stderr(), "container {} is left alone", what.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// `run`, in parts: what docker refuses to create never stops the old container.
    fn make(&self, arguments: &[OsString]) -> Result<ExitCode, String> {
        check_daemon()?;
        let labelled = self.labelled(arguments);
        let docker = self.client();
        let created = match labelled.iter().any(is_name) {
            true => {
                self.park_originals(&docker)?;
                self.create(&labelled)?
            }
            // The new one needs none of their names: both at once.
            false => thread::scope(|scope| {
                let renamed = scope.spawn(|| self.park_originals(&docker));
                let created = self.create(&labelled);
                renamed
                    .join()
                    .unwrap_or_else(|_| Err("it cannot be renamed".into()))?;
                created
            })?,
        };
        match created {
            Ok(id) => {
                self.stop_originals(&docker)?;
                self.start(&id)
            }
            Err(code) => Ok(code),
        }
    }

    /// `create` in place of `run`. The id of the new container, or as what docker ended.
    fn create(&self, labelled: &[OsString]) -> Result<Result<String, ExitCode>, String> {
        let created = Command::new(&self.docker)
            .arg("create")
            .args(without_flags_of_run(labelled))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| cannot_run(&self.docker, &e))?;
        if !created.status.success() {
            return Ok(Err(exit_code(created.status.code())));
        }
        // A pull may print before it.
        let printed = String::from_utf8_lossy(&created.stdout);
        let id = printed.split_whitespace().last().unwrap_or_default();
        Ok(Ok(id.to_owned()))
    }

    /// The arguments with our label, which comes after those that a configuration gives (`runArgs`): of two, docker
    /// takes the last.
    fn labelled(&self, arguments: &[OsString]) -> Vec<OsString> {
        let label = format!("{LABEL_OPERATION}={}", self.operation);
        let entrypoint = arguments.iter().position(|word| word == "--entrypoint");
        let (before, after) = arguments.split_at(entrypoint.unwrap_or(arguments.len().min(1)));
        let ours: [OsString; 2] = ["--label".into(), label.into()];
        before
            .iter()
            .cloned()
            .chain(ours)
            .chain(after.iter().cloned())
            .collect()
    }

    /// Starts the new container, and stays, with what it prints, for as long as it runs: to the CLI, `run` has failed
    /// when it ends. `start --attach` would do that too, but pass signals on that are meant for us.
    fn start(&self, id: &str) -> Result<ExitCode, String> {
        check_daemon()?;
        let docker = |arguments: [&str; 2]| {
            let mut command = Command::new(&self.docker);
            command.args(arguments).arg(id).stdin(Stdio::null());
            command
        };
        let cannot = |e: io::Error| cannot_run(&self.docker, &e);
        let started = docker(["start", "--"]).stdout(Stdio::null()).status();
        let started = started.map_err(cannot)?;
        if !started.success() {
            return Ok(exit_code(started.code()));
        }
        let logs = docker(["logs", "--follow"]).status().map_err(cannot)?;
        if !logs.success() {
            // There are log drivers that nothing can be read from.
            docker(["wait", "--"])
                .stdout(Stdio::null())
                .status()
                .map_err(cannot)?;
        }
        Ok(ExitCode::FAILURE)
    }

    /// Frees their names. This comes before anything is done to them: the new names say what is to be put back.
    fn park_originals(&self, docker: &Client<'_>) -> Result<(), String> {
        for old in &self.replaces {
            let aside = old.parked_by(&self.operation);
            match docker.rename(&old.id, &aside.to_string()) {
                // Somebody removed it meanwhile.
                Err(e) if e.is_about_missing() => {}
                renamed => renamed.map_err(cannot_set_aside)?,
            }
        }
        Ok(())
    }

    /// Frees their ports, and what else only one can have.
    fn stop_originals(&self, docker: &Client<'_>) -> Result<(), String> {
        check_daemon()?;
        let begun = Instant::now();
        let (stay, stop): (Vec<&Original>, Vec<&Original>) = self
            .replaces
            .iter()
            .partition(|old| old.removed_when_stopped);
        for old in stop.iter().filter(|old| old.was == PriorState::Paused) {
            // podman stops none that is paused. Whether it worked shows when it is stopped.
            let _ = docker.unpause(&old.id);
        }
        let stop: Vec<&str> = stop.iter().map(|old| old.id.as_str()).collect();
        match docker.stop(&stop) {
            Err(e) if e.is_about_missing() => {}
            stopped => stopped.map_err(cannot_set_aside)?,
        }
        for old in stay {
            if old.was == PriorState::Running {
                docker.pause(&old.id).map_err(cannot_set_aside)?;
            }
            for network in &old.leaves_networks {
                let left = docker.disconnect(&old.id, network);
                left.map_err(cannot_set_aside)?;
            }
        }
        let names: Vec<&str> = self.replaces.iter().map(|old| old.name.as_str()).collect();
        if !names.is_empty() {
            let seconds = begun.elapsed().as_secs_f64();
            let names = names.join(", ");
            let _ = writeln!(io::stderr(), "setting {names} aside took {seconds:.1} s");
        }
        Ok(())
    }

    /// Compose: `up` replaces the dev container's service also where nothing of it changed.
    fn compose(
        &self,
        program: &Path,
        before: &[&str],
        arguments: &[OsString],
    ) -> Result<ExitCode, String> {
        let all: Vec<OsString> = before
            .iter()
            .map(OsString::from)
            .chain(arguments.iter().cloned())
            .collect();
        let up =
            verb_of_compose(arguments).filter(|at| arguments.get(*at).is_some_and(|w| w == "up"));
        let (Some(up), Some(service), Some(project)) = (up, &self.service, project_of(arguments))
        else {
            return Err(pass_on(program, &all));
        };
        check_daemon()?;
        let compose = ComposeService {
            project: project.to_owned(),
            service: service.clone(),
        };
        let labels = compose.labels();
        let containers = || {
            self.client()
                .with_labels(&labels)
                .map_err(|e| e.to_string())
        };
        let old = containers()?;
        let status = call(program, &all)?;
        let left = containers()?;
        if status != Some(0) || !old.iter().any(|id| left.contains(id)) {
            return Ok(exit_code(status));
        }
        let flags = ["up", "-d", "--no-deps", "--force-recreate", service];
        let again = all.iter().take(before.len() + up).cloned();
        let again: Vec<OsString> = again.chain(flags.map(OsString::from)).collect();
        Ok(exit_code(call(program, &again)?))
    }
}

/// What is left of the operation of a daemon that was killed makes no container any more: the next daemon would not
/// expect it.
fn check_daemon() -> Result<(), String> {
    match process::is_orphaned() {
        true => Err("the daemon that began this operation is gone; nothing was changed".into()),
        false => Ok(()),
    }
}

fn cannot_set_aside(error: docker::Error) -> String {
    format!("the old container cannot be set aside: {error}")
}

fn is_name(word: &OsString) -> bool {
    let word = word.to_str().unwrap_or_default();
    word == "--name" || word.starts_with("--name=")
}

/// The words after `run`, without the flags that `create` does not know and that mean nothing to it. They are among
/// those that a configuration gives (`runArgs`), before the entry point.
fn without_flags_of_run(run: &[OsString]) -> Vec<OsString> {
    let mut words = run.iter().skip(1);
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default();
        match text.split('=').next().unwrap_or_default() {
            "--entrypoint" => {
                kept.push(word.clone());
                break;
            }
            "-d" | "--detach" | "--sig-proxy" => {}
            "--detach-keys" if text.contains('=') => {}
            "--detach-keys" => drop(words.next()),
            _ => kept.push(word.clone()),
        }
    }
    kept.extend(words.cloned());
    kept
}

/// The CLI also runs containers that are not the dev container, to look into an image.
fn makes_devcontainer(arguments: &[OsString]) -> bool {
    let label = format!("{LABEL_FOLDER}=");
    arguments
        .iter()
        .any(|word| word.as_encoded_bytes().starts_with(label.as_bytes()))
}

/// Where the verb is, after the flags, most of which have a value.
fn verb_of_compose(arguments: &[OsString]) -> Option<usize> {
    let has_value = |word: &OsString| {
        let flags = [
            "--project-name",
            "-p",
            "--file",
            "-f",
            "--env-file",
            "--profile",
        ];
        flags.iter().any(|flag| word == flag)
    };
    let mut at = 0;
    loop {
        let word = arguments.get(at)?;
        at += match word {
            flag if has_value(flag) => 2,
            flag if flag.as_encoded_bytes().starts_with(b"-") => 1,
            _ => return Some(at),
        };
    }
}

fn project_of(arguments: &[OsString]) -> Option<&str> {
    let flag = arguments.iter().position(|word| word == "--project-name")?;
    arguments.get(flag + 1)?.to_str()
}

/// Becomes the program. Returns only where that cannot be run.
fn pass_on<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> String {
    let error = Command::new(program).args(arguments).exec();
    cannot_run(program, &error)
}

/// In the same process group, so that what ends the operation ends it too.
fn call(program: &Path, arguments: &[OsString]) -> Result<Option<i32>, String> {
    let status = Command::new(program).args(arguments).status();
    Ok(status.map_err(|e| cannot_run(program, &e))?.code())
}

fn cannot_run(program: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{} was not found", program.display()),
        _ => format!("{} could not be run: {error}", program.display()),
    }
}

fn exit_code(code: Option<i32>) -> ExitCode {
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    fn plan(ids: &[&str]) -> Plan {
        let old = |id: &&str| Original {
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
            replaces: ids.iter().map(old).collect(),
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
            assert_eq!(plan.replaces_id(text), hidden, "{text}");
        }
    }

    #[test]
    fn only_a_container_with_the_folder_is_the_dev_container() {
        assert!(makes_devcontainer(&words(
            "run -l devcontainer.local_folder=/w base"
        )));
        assert!(!makes_devcontainer(&words("run --rm base uname -m")));
    }

    #[test]
    fn flags_of_run_alone_are_left_out() {
        let run = "run --sig-proxy=false -a STDOUT -d --detach-keys ctrl-x --detach-keys=x --device d --entrypoint /bin/sh base -d";
        let create = "-a STDOUT --device d --entrypoint /bin/sh base -d";
        assert_eq!(without_flags_of_run(&words(run)), words(create));
    }

    #[test]
    fn the_project_of_compose() {
        assert_eq!(project_of(&words("--project-name p -f x up -d")), Some("p"));
        assert_eq!(project_of(&words("-f x config")), None);
        assert_eq!(project_of(&words("--project-name")), None);
    }

    #[test]
    fn our_label_is_the_last() {
        let id = "0123456789abcdef".repeat(4);
        let labelled = plan(&[&id]).labelled(&words(
            "run -a STDOUT --label x=y --entrypoint /bin/sh base",
        ));
        let expected = "run -a STDOUT --label x=y --label devcontainerd.operation=0123456789abcdef --entrypoint /bin/sh base";
        assert_eq!(labelled, words(expected));
        let labelled = plan(&[]).labelled(&words("run base"));
        assert_eq!(
            labelled,
            words("run --label devcontainerd.operation=0123456789abcdef base")
        );
    }

    #[test]
    fn the_verb_of_compose_comes_after_its_flags() {
        for (text, verb) in [
            ("--project-name up -f x.yml up -d", Some("up")),
            ("-f up build", Some("build")),
            ("--ansi=never up", Some("up")),
            ("-f", None),
            ("", None),
        ] {
            let words = words(text);
            let found = verb_of_compose(&words).and_then(|at| words[at].to_str());
            assert_eq!(found, verb, "{text}");
        }
    }

    #[test]
    fn a_plan_reads_as_it_was_written() {
        let text = serde_json::to_string(&plan(&["a"])).unwrap();
        let read: Plan = serde_json::from_str(&text).unwrap();
        assert_eq!(read.replaces, plan(&["a"]).replaces);
    }
}
