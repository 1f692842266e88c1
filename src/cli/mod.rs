//! The command line and the environment variables of the program.

mod config;
mod flags;
pub mod healthcheck;
mod values;

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;

use lexopt::{Arg, Parser, ValueExt};

use self::flags::{FLAGS, Flag, LISTEN, Setting, TOKEN_FILE};
use self::healthcheck::Healthcheck;

pub use self::config::Config;
pub use self::flags::help;

/// The task that a command line asks for.
#[derive(Debug)]
pub enum Task {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Check that a daemon answers.
    Healthcheck(Healthcheck),
    /// Run the daemon.
    Serve(Box<Config>),
}

/// A command line or an environment variable that cannot be used.
#[derive(Debug)]
pub enum UsageError {
    /// The words are not flags, values and commands in the right places.
    Syntax(lexopt::Error),
    /// There is no flag of this name.
    UnknownFlag(String),
    /// A value was given to a flag that takes none.
    UnexpectedValue {
        /// The name of the flag, without dashes.
        flag: &'static str,
    },
    /// A value is not valid for its flag.
    InvalidValue {
        /// The flag with dashes, or the environment variable.
        source: String,
        /// The value as it was given.
        value: OsString,
        /// The values that would be right.
        problem: Cow<'static, str>,
    },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "{error}; see --help"),
            Self::UnknownFlag(name) => write!(f, "unknown flag --{name}; see --help"),
            Self::UnexpectedValue { flag } => write!(f, "--{flag} takes no value; see --help"),
            Self::InvalidValue {
                source,
                value,
                problem,
            } => write!(f, "{source} {}: {problem}", value.display()),
        }
    }
}

impl std::error::Error for UsageError {}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self::Syntax(error)
    }
}

enum Command {
    Serve,
    Healthcheck { url: Option<String> },
}

/// The flags of a command line, with values that are not read yet, and the environment.
struct Words<'a> {
    switches: Vec<&'static str>,
    /// Names of flags and their values, in the order of the command line.
    values: Vec<(&'static str, OsString)>,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
}

/// Reads a command line without the program's name. `environment` looks up a variable.
///
/// A flag takes precedence over its variable. An empty variable counts as unset.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Task, UsageError> {
    let mut parser = Parser::from_args(arguments);
    let mut words = Words {
        switches: Vec::new(),
        values: Vec::new(),
        environment,
    };
    let mut command = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Task::Version),
            Arg::Value(word) if command.is_none() && word == "serve" => {
                command = Some(Command::Serve);
            }
            Arg::Value(word) if command.is_none() && word == "healthcheck" => {
                command = Some(Command::Healthcheck { url: None });
            }
            Arg::Long("url") => match &mut command {
                Some(Command::Healthcheck { url }) => *url = Some(parser.value()?.string()?),
                _ => return Err(UsageError::UnknownFlag("url".into())),
            },
            Arg::Long(name) => {
                let flag = FLAGS.iter().find(|flag| flag.name == name);
                let known = flag.ok_or_else(|| UsageError::UnknownFlag(name.into()))?;
                words.take(known, &mut parser)?;
            }
            Arg::Short(_) | Arg::Value(_) => return Err(argument.unexpected().into()),
        }
    }
    match command {
        Some(Command::Healthcheck { url }) => words.healthcheck(url),
        Some(Command::Serve) | None => words.serve(),
    }
}

impl Words<'_> {
    /// Takes `flag`, which `parser` is at, and its value.
    fn take(&mut self, flag: &Flag, parser: &mut Parser) -> Result<(), UsageError> {
        match flag.setting {
            Setting::Switch(_) => {
                if parser.optional_value().is_some() {
                    return Err(UsageError::UnexpectedValue { flag: flag.name });
                }
                self.switches.push(flag.name);
            }
            Setting::Single(..) | Setting::Repeatable(..) | Setting::Words(..) => {
                self.values.push((flag.name, parser.value()?));
            }
        }
        Ok(())
    }

    fn serve(&self) -> Result<Task, UsageError> {
        let mut config = Config::default();
        for flag in FLAGS {
            self.set(flag, &mut config)?;
        }
        config.complete(self.environment);
        Ok(Task::Serve(Box::new(config)))
    }

    /// Without a URL, the daemon's first address is used.
    fn healthcheck(&self, url: Option<String>) -> Result<Task, UsageError> {
        let mut config = Config::default();
        self.set(&TOKEN_FILE, &mut config)?;
        let url = match url {
            Some(url) => url,
            None => {
                self.set(&LISTEN, &mut config)?;
                config.complete(self.environment);
                let first = config.listen.first().map(ToString::to_string);
                first.unwrap_or_default()
            }
        };
        let token_file = config.token_file;
        Ok(Task::Healthcheck(Healthcheck { url, token_file }))
    }

    /// Sets the values that the command line or the environment has for `flag`.
    fn set(&self, flag: &Flag, config: &mut Config) -> Result<(), UsageError> {
        match flag.setting {
            Setting::Switch(set) => {
                if self.switches.contains(&flag.name) {
                    set(config, true);
                } else if let Some(value) = self.variable(flag) {
                    let read = values::truth(&value);
                    set(
                        config,
                        read.map_err(|problem| invalid(flag.variable(), value, problem))?,
                    );
                }
            }
            Setting::Single(_, set) | Setting::Repeatable(_, set) | Setting::Words(_, set) => {
                for (source, value) in self.values_of(flag) {
                    let result = set(config, &value);
                    result.map_err(|problem| invalid(source, value, problem))?;
                }
            }
        }
        Ok(())
    }

    /// Returns all values of `flag`, each with its source: those of the command line, or else those of the variable.
    fn values_of(&self, flag: &Flag) -> Vec<(String, OsString)> {
        let given = self.values.iter().filter(|(name, _)| *name == flag.name);
        let from_flags: Vec<(String, OsString)> = given
            .map(|(name, value)| (format!("--{name}"), value.clone()))
            .collect();
        if !from_flags.is_empty() {
            return from_flags;
        }
        let values = match (self.variable(flag), flag.setting) {
            (Some(value), Setting::Repeatable(..)) => values::split(&value),
            (Some(value), Setting::Words(..)) => values::split_words(&value),
            (value, _) => value.into_iter().collect(),
        };
        let with_source = |value| (flag.variable(), value);
        values.into_iter().map(with_source).collect()
    }

    fn variable(&self, flag: &Flag) -> Option<OsString> {
        (self.environment)(&flag.variable()).filter(|value| !value.is_empty())
    }
}

fn invalid(source: String, value: OsString, problem: Cow<'static, str>) -> UsageError {
    UsageError::InvalidValue {
        source,
        value,
        problem,
    }
}

#[cfg(test)]
mod tests;
