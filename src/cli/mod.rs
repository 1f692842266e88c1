//! The command line and the environment: `parse` reads words, `resolve` makes a configuration of them.

pub mod healthcheck;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use log::LevelFilter;

use crate::model::listen::ListenAddress;
use crate::process::Priority;

/// What `--help` prints.
pub const HELP: &str = "\
Tells which containers and dev containers there are, which dev containers no longer match their
configuration; recreates, starts, stops and removes them.

Usage: devcontainerd [serve] [flags]           run the daemon
       devcontainerd healthcheck [--url URL]   exit 0 when the daemon answers

Flags (environment: DEVCONTAINERD_ and the name in capitals, with underscores; where a flag may be repeated,
the environment separates by commas; flags beat the environment):
  --listen ADDR                HOST:PORT, [::1]:PORT or unix:/path; repeatable       [127.0.0.1:3382]
  --docker PATH                docker or podman                                      [found on PATH]
  --devcontainer PATH          the devcontainer CLI                                  [found on PATH]
  --manifest FILE              predefined dev containers, as JSON
  --devcontainer-folder DIR    predefine one by its folder; repeatable
  --workspace-root DIR         operate only on folders below this one; repeatable    [any]
  --state-dir DIR              what shall outlive a restart: operations
                               [$XDG_STATE_HOME/devcontainerd or ~/.local/state/devcontainerd]
  --cache-duration SECS        how old a container list may be                       [10]
  --list-timeout SECS          for one listing                                       [5]
  --no-events                  never keep a docker events process (25 MB)
  --job-timeout SECS           for one operation                                     [3600]
  --allow-host NAME            another Host name to accept; repeatable
  --log-sink COMMAND           a program that reads the logs of operations as JSON lines on its
                               standard input; words are separated by spaces, there is no shell
  --child-nice N               niceness of the programs that it runs, -20 to 19      [its own]
  --child-oom-score-adj N      how soon they are killed when memory is short, -1000 to 1000
                               [its own]
  --log-level LEVEL            error, warn, info, debug or trace                     [info]
  --log-format FORMAT          text or json                                          [text]
  --help, --version

Signals: TERM and INT stop it, HUP reads the manifest again.
";

/// Durations beyond this are a slip of the hand.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;

/// What is to be done.
#[derive(Debug)]
pub enum Task {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Ask whether a daemon answers, at this address.
    Healthcheck(String),
    /// Run the daemon.
    Serve(Box<Config>),
}

/// What the daemon is told.
#[derive(Debug)]
pub struct Config {
    /// Where to listen; at least one.
    pub listen: Vec<ListenAddress>,
    /// `None`: found on `PATH`.
    pub docker: Option<PathBuf>,
    /// `None`: found on `PATH`.
    pub devcontainer: Option<PathBuf>,
    /// Predefined dev containers.
    pub manifest: Option<PathBuf>,
    /// More of them.
    pub devcontainer_folders: Vec<PathBuf>,
    /// None means any.
    pub workspace_roots: Vec<PathBuf>,
    /// `None`: there is no home either.
    pub state_dir: Option<PathBuf>,
    /// How old a list may be.
    pub cache_duration: Duration,
    /// For one listing.
    pub list_timeout: Duration,
    /// Whether a `docker events` process may be kept.
    pub events: bool,
    /// For one operation.
    pub job_timeout: Duration,
    /// More names of this machine.
    pub allow_hosts: Vec<String>,
    /// Who reads the logs of operations.
    pub log_sink: Option<Vec<OsString>>,
    /// Of the programs that we run.
    pub child_priority: Priority,
    /// Of our own log.
    pub log_level: LevelFilter,
    /// Whether our own log is JSON.
    pub log_json: bool,
}

/// A command line that cannot be used: which flag, which value, and the mend.
pub type UsageError = String;

/// A flag that has a value.
struct Flag {
    name: &'static str,
    repeatable: bool,
}

const FLAGS: [Flag; 17] = [
    repeatable("listen"),
    single("docker"),
    single("devcontainer"),
    single("manifest"),
    repeatable("devcontainer-folder"),
    repeatable("workspace-root"),
    single("state-dir"),
    single("cache-duration"),
    single("list-timeout"),
    single("no-events"),
    single("job-timeout"),
    repeatable("allow-host"),
    single("log-sink"),
    single("child-nice"),
    single("child-oom-score-adj"),
    single("log-level"),
    single("log-format"),
];

const fn single(name: &'static str) -> Flag {
    let repeatable = false;
    Flag { name, repeatable }
}

const fn repeatable(name: &'static str) -> Flag {
    let repeatable = true;
    Flag { name, repeatable }
}

/// The words of the command line and of the environment, not understood yet.
struct Raw<'a> {
    /// In their order.
    given: Vec<(&'static str, OsString)>,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
}

/// Reads a command line (without the program's name) and the environment.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Task, UsageError> {
    let mut parser = Parser::from_args(arguments);
    let mut raw = Raw {
        given: Vec::new(),
        environment,
    };
    let mut url = None;
    let mut command: Option<&str> = None;
    let plain = |e: lexopt::Error| format!("{e}; see --help");
    while let Some(argument) = parser.next().map_err(plain)? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Task::Version),
            Arg::Value(word) if command.is_none() && word == "serve" => command = Some("serve"),
            Arg::Value(word) if command.is_none() && word == "healthcheck" => {
                command = Some("healthcheck");
            }
            Arg::Long("url") if command == Some("healthcheck") => {
                url = Some(parser.value().and_then(ValueExt::string).map_err(plain)?);
            }
            Arg::Long("no-events") => raw.given.push(("no-events", "true".into())),
            Arg::Long(name) => {
                let flag = FLAGS.iter().find(|flag| flag.name == name);
                let flag = flag.ok_or_else(|| format!("there is no flag --{name}; see --help"))?;
                let value = parser.value().map_err(plain)?;
                raw.given.push((flag.name, value));
            }
            other => return Err(plain(other.unexpected())),
        }
    }
    if command == Some("healthcheck") {
        let url = match url {
            Some(url) => url,
            None => raw
                .addresses()?
                .first()
                .map(ListenAddress::to_string)
                .unwrap_or_default(),
        };
        return Ok(Task::Healthcheck(url));
    }
    raw.resolve().map(|config| Task::Serve(Box::new(config)))
}

impl Raw<'_> {
    fn resolve(&self) -> Result<Config, UsageError> {
        let directories = |name| self.each(name, directory);
        Ok(Config {
            listen: self.addresses()?,
            docker: self.one("docker", program)?,
            devcontainer: self.one("devcontainer", program)?,
            manifest: self.one("manifest", path)?,
            devcontainer_folders: directories("devcontainer-folder")?,
            workspace_roots: directories("workspace-root")?,
            state_dir: match self.one("state-dir", path)? {
                None => self.default_state_dir(),
                named => named,
            },
            cache_duration: self.seconds("cache-duration", 10.0, 0.0)?,
            list_timeout: self.seconds("list-timeout", 5.0, 0.1)?,
            events: !self.one("no-events", truth)?.unwrap_or(false),
            job_timeout: self.seconds("job-timeout", 3600.0, 0.1)?,
            allow_hosts: self.each("allow-host", host_name)?,
            log_sink: self.one("log-sink", |command| {
                let words = command
                    .to_str()
                    .map(words)
                    .filter(|words| !words.is_empty());
                words.ok_or("it should be a program and its arguments")
            })?,
            child_priority: Priority {
                nice: self.whole_number("child-nice", -20, 19)?,
                oom_score_adj: self.whole_number("child-oom-score-adj", -1000, 1000)?,
            },
            log_level: self
                .one("log-level", |level| {
                    let level = level.to_str().and_then(|level| level.parse().ok());
                    let level = level.filter(|level| *level != LevelFilter::Off);
                    level.ok_or("it should be error, warn, info, debug or trace")
                })?
                .unwrap_or(LevelFilter::Info),
            log_json: self
                .one("log-format", |format| match format.to_str() {
                    Some("text") => Ok(false),
                    Some("json") => Ok(true),
                    _ => Err("it should be text or json"),
                })?
                .unwrap_or(false),
        })
    }

    fn addresses(&self) -> Result<Vec<ListenAddress>, UsageError> {
        let listen = self.each("listen", |text| {
            let text = text.to_str().ok_or("it is not text".to_owned())?;
            ListenAddress::parse(text)
        })?;
        match listen.is_empty() {
            true => Ok(ListenAddress::parse("127.0.0.1:3382").into_iter().collect()),
            false => Ok(listen),
        }
    }

    fn default_state_dir(&self) -> Option<PathBuf> {
        let named = |name, below: &str| {
            let directory = PathBuf::from((self.environment)(name)?);
            directory.is_absolute().then(|| directory.join(below))
        };
        named("XDG_STATE_HOME", "devcontainerd")
            .or_else(|| named("HOME", ".local/state/devcontainerd"))
    }

    fn seconds(&self, name: &str, default: f64, least: f64) -> Result<Duration, UsageError> {
        let right = format!("it should be a number of seconds from {least} to {MAX_SECONDS}");
        let seconds = self.one(name, |text| {
            let seconds = text.to_str().and_then(|text| text.parse::<f64>().ok());
            let seconds = seconds.filter(|seconds| (least..=MAX_SECONDS).contains(seconds));
            seconds.ok_or(right.clone())
        })?;
        Ok(Duration::from_secs_f64(seconds.unwrap_or(default)))
    }

    fn whole_number(&self, name: &str, least: i32, most: i32) -> Result<Option<i32>, UsageError> {
        self.one(name, |text| {
            let number = text.to_str().and_then(|text| text.parse::<i32>().ok());
            let number = number.filter(|number| (least..=most).contains(number));
            number.ok_or(format!(
                "it should be a whole number from {least} to {most}"
            ))
        })
    }

    /// The last value that was given.
    fn one<T, E: Into<String>>(
        &self,
        name: &str,
        read: impl Fn(&OsStr) -> Result<T, E>,
    ) -> Result<Option<T>, UsageError> {
        Ok(self.each(name, read)?.pop())
    }

    /// All values: of the command line if there are any, else of the environment.
    fn each<T, E: Into<String>>(
        &self,
        name: &str,
        read: impl Fn(&OsStr) -> Result<T, E>,
    ) -> Result<Vec<T>, UsageError> {
        let given = self.given.iter().filter(|(given, _)| *given == name);
        let mut sources: Vec<(String, OsString)> = given
            .map(|(_, value)| (format!("--{name}"), value.clone()))
            .collect();
        if sources.is_empty() {
            let variable = format!("DEVCONTAINERD_{}", name.to_uppercase().replace('-', "_"));
            let value = (self.environment)(&variable).filter(|value| !value.is_empty());
            let repeatable = FLAGS
                .iter()
                .any(|flag| flag.name == name && flag.repeatable);
            let values = value.into_iter().flat_map(|value| match repeatable {
                true => split(&value),
                false => vec![value],
            });
            sources = values.map(|value| (variable.clone(), value)).collect();
        }
        let read_one = |(source, value): (String, OsString)| {
            read(&value).map_err(|why| format!("{source} {}: {}", value.display(), why.into()))
        };
        sources.into_iter().map(read_one).collect()
    }
}

fn split(value: &OsStr) -> Vec<OsString> {
    let text = value.to_string_lossy();
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts.map(OsString::from).collect()
}

/// Words separated by white space; there is no shell, and there are no quotes.
fn words(command: &str) -> Vec<OsString> {
    command.split_whitespace().map(OsString::from).collect()
}

fn path(path: &OsStr) -> Result<PathBuf, &'static str> {
    match path.is_empty() {
        true => Err("it should be a path"),
        false => Ok(PathBuf::from(path)),
    }
}

/// Relative to where we are started.
fn directory(path: &OsStr) -> Result<PathBuf, &'static str> {
    std::path::absolute(path).map_err(|_| "it should be the path of a directory")
}

fn program(path: &OsStr) -> Result<PathBuf, &'static str> {
    match path.is_empty() || path.as_encoded_bytes().starts_with(b"-") {
        true => Err("it should be the path or the name of a program"),
        false => Ok(PathBuf::from(path)),
    }
}

fn truth(value: &OsStr) -> Result<bool, &'static str> {
    match value.to_str() {
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        _ => Err("it should be true or false"),
    }
}

fn host_name(name: &OsStr) -> Result<String, &'static str> {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let name = name
        .to_str()
        .filter(|name| name.bytes().all(is_part) && !name.is_empty());
    let name = name.ok_or("it should be a host name without a port")?;
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &str, environment: &[(&str, &str)]) -> Result<Task, UsageError> {
        let words = arguments.split_whitespace().map(OsString::from);
        parse(words, &|name| {
            let found = environment.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| value.into())
        })
    }

    fn config(arguments: &str, environment: &[(&str, &str)]) -> Config {
        match run(arguments, environment) {
            Ok(Task::Serve(config)) => *config,
            other => panic!("{arguments}: {other:?}"),
        }
    }

    #[test]
    fn the_defaults() {
        for arguments in ["", "serve"] {
            let config = config(arguments, &[("HOME", "/home/me")]);
            assert_eq!(config.listen[0].to_string(), "http://127.0.0.1:3382");
            assert_eq!(config.cache_duration, Duration::from_secs(10));
            assert_eq!(config.list_timeout, Duration::from_secs(5));
            assert_eq!(config.job_timeout, Duration::from_secs(3600));
            assert_eq!(config.log_level, LevelFilter::Info);
            assert!(config.events && !config.log_json);
            let state = "/home/me/.local/state/devcontainerd";
            assert_eq!(config.state_dir, Some(state.into()));
        }
        let config = config("", &[("HOME", "/home/me"), ("XDG_STATE_HOME", "/state")]);
        assert_eq!(config.state_dir, Some("/state/devcontainerd".into()));
    }

    #[test]
    fn flags_beat_the_environment() {
        let environment = [
            ("DEVCONTAINERD_LISTEN", "127.0.0.1:1, unix:/x"),
            ("DEVCONTAINERD_DOCKER", "podman"),
            ("DEVCONTAINERD_CACHE_DURATION", "0.5"),
            ("DEVCONTAINERD_NO_EVENTS", "true"),
            ("DEVCONTAINERD_LOG_FORMAT", "json"),
            ("DEVCONTAINERD_MANIFEST", ""),
        ];
        let from_environment = config("", &environment);
        assert_eq!(from_environment.listen.len(), 2);
        assert_eq!(from_environment.docker, Some("podman".into()));
        assert_eq!(from_environment.cache_duration, Duration::from_millis(500));
        assert!(!from_environment.events && from_environment.log_json);
        assert_eq!(from_environment.manifest, None);
        let flags = "--listen 127.0.0.1:2 --docker=docker --cache-duration 1 --cache-duration 3 --log-format text";
        let from_flags = config(flags, &environment);
        assert_eq!(from_flags.listen.len(), 1);
        assert_eq!(from_flags.docker, Some("docker".into()));
        assert_eq!(from_flags.cache_duration, Duration::from_secs(3));
        assert!(!from_flags.log_json);
    }

    #[test]
    fn the_priority_of_programs_is_inherited_unless_it_is_given() {
        assert_eq!(config("", &[]).child_priority, Priority::default());
        let given = config(
            "--child-nice -20",
            &[
                ("DEVCONTAINERD_CHILD_NICE", "19"),
                ("DEVCONTAINERD_CHILD_OOM_SCORE_ADJ", "1000"),
            ],
        );
        let expected = Priority {
            nice: Some(-20),
            oom_score_adj: Some(1000),
        };
        assert_eq!(given.child_priority, expected);
    }

    #[test]
    fn repeatable_flags_add_up() {
        let config = config(
            "--workspace-root /a --workspace-root /b --allow-host x --allow-host y.z",
            &[("DEVCONTAINERD_DEVCONTAINER_FOLDER", "/c,/d")],
        );
        assert_eq!(config.workspace_roots, [PathBuf::from("/a"), "/b".into()]);
        assert_eq!(
            config.devcontainer_folders,
            [PathBuf::from("/c"), "/d".into()]
        );
        assert_eq!(config.allow_hosts, ["x", "y.z"]);
        let here = std::env::current_dir().unwrap();
        let relative = run("--workspace-root ./x", &[]);
        assert!(matches!(relative, Ok(Task::Serve(c)) if c.workspace_roots == [here.join("x")]));
    }

    #[test]
    fn a_bad_value_names_the_flag_the_value_and_the_mend() {
        for (arguments, expected) in [
            ("--bogus", "there is no flag --bogus; see --help"),
            ("-x", "invalid option '-x'; see --help"),
            ("bogus", "unexpected argument \"bogus\"; see --help"),
            (
                "serve healthcheck",
                "unexpected argument \"healthcheck\"; see --help",
            ),
            ("--url x", "there is no flag --url; see --help"),
            (
                "--listen",
                "missing argument for option '--listen'; see --help",
            ),
            (
                "--no-events=maybe",
                "unexpected argument for option '--no-events': \"maybe\"; see --help",
            ),
            (
                "--listen 3382",
                "--listen 3382: it should be HOST:PORT (HOST an IP address or localhost), [::1]:PORT or unix:/path",
            ),
            (
                "--cache-duration -1",
                "--cache-duration -1: it should be a number of seconds from 0 to 31622400",
            ),
            (
                "--cache-duration nan",
                "--cache-duration nan: it should be a number of seconds from 0 to 31622400",
            ),
            (
                "--list-timeout 0",
                "--list-timeout 0: it should be a number of seconds from 0.1 to 31622400",
            ),
            (
                "--job-timeout soon",
                "--job-timeout soon: it should be a number of seconds from 0.1 to 31622400",
            ),
            (
                "--workspace-root=",
                "--workspace-root : it should be the path of a directory",
            ),
            (
                "--child-nice 20",
                "--child-nice 20: it should be a whole number from -20 to 19",
            ),
            (
                "--child-nice=1.5",
                "--child-nice 1.5: it should be a whole number from -20 to 19",
            ),
            (
                "--child-oom-score-adj -1001",
                "--child-oom-score-adj -1001: it should be a whole number from -1000 to 1000",
            ),
            (
                "--log-level loud",
                "--log-level loud: it should be error, warn, info, debug or trace",
            ),
            (
                "--log-format xml",
                "--log-format xml: it should be text or json",
            ),
            (
                "--allow-host a:1",
                "--allow-host a:1: it should be a host name without a port",
            ),
            (
                "--docker=-x",
                "--docker -x: it should be the path or the name of a program",
            ),
        ] {
            assert_eq!(run(arguments, &[]).unwrap_err(), expected, "{arguments}");
        }
        let error = run("", &[("DEVCONTAINERD_JOB_TIMEOUT", "x")]).unwrap_err();
        assert!(
            error.starts_with("DEVCONTAINERD_JOB_TIMEOUT x: "),
            "{error}"
        );
    }

    #[test]
    fn other_tasks() {
        assert!(matches!(run("--help", &[]), Ok(Task::Help)));
        assert!(matches!(run("serve --version", &[]), Ok(Task::Version)));
        let url = |arguments, environment: &[_]| match run(arguments, environment) {
            Ok(Task::Healthcheck(url)) => url,
            other => panic!("{other:?}"),
        };
        assert_eq!(url("healthcheck", &[]), "http://127.0.0.1:3382");
        assert_eq!(
            url("healthcheck --url http://[::1]:80/x", &[]),
            "http://[::1]:80/x"
        );
        let environment = [("DEVCONTAINERD_LISTEN", "unix:/s,127.0.0.1:1")];
        assert_eq!(url("healthcheck", &environment), "unix:/s");
    }

    #[test]
    fn the_help_names_every_flag() {
        for flag in FLAGS {
            assert!(
                HELP.contains(&format!("  --{} ", flag.name)),
                "{}",
                flag.name
            );
        }
    }
}
