//! The flags and operands of a command line, and the task that they make.

use std::borrow::Cow;
use std::ffi::OsString;

use lexopt::{Parser, ValueExt};

use super::complete;
use super::config::Config;
use super::error::UsageError;
use super::flags::{FLAGS, Flag, LISTEN, Setting};
use super::help;
use super::man;
use super::places;
use super::task::{ListForm, Question, Target, Task};
use super::values;
use super::words::{self, Entry, Operands, SHELLS, WORDS, Word, WordFlag, flag_named};
use crate::model::operation::OperationKind;

/// The words of a command line, with values that are not read yet, and the environment.
pub(super) struct Line<'a> {
    pub(super) entry: Option<&'static Entry>,
    /// Names of flags and their values, in the order of the command line. A flag that takes no value has none.
    given: Vec<(&'static str, Option<OsString>)>,
    pub(super) operands: Vec<OsString>,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
}

impl<'a> Line<'a> {
    /// Returns an empty line.
    pub(super) fn new(environment: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self {
            entry: None,
            given: Vec::new(),
            operands: Vec::new(),
            environment,
        }
    }

    /// Takes the flag `name`, which `parser` is at, and its value. Flags may stand before their word, so the word is not
    /// known.
    pub(super) fn take_long(&mut self, name: &str, parser: &mut Parser) -> Result<(), UsageError> {
        let daemon = FLAGS.iter().find(|flag| flag.name == name);
        let (name, is_switch) = match (daemon, flag_named(name)) {
            (Some(flag), _) => (flag.name, matches!(flag.setting, Setting::Switch(_))),
            (None, Some(flag)) => (flag.name, flag.value.is_empty()),
            (None, None) => {
                let entry = self.entry.unwrap_or_else(words::serve);
                return Err(UsageError::unknown_flag(name, entry));
            }
        };
        let value = match is_switch {
            false => Some(parser.value()?),
            true if parser.optional_value().is_none() => None,
            true => return Err(UsageError::UnexpectedValue { flag: name }),
        };
        self.given.push((name, value));
        Ok(())
    }

    /// Takes a flag of one letter, which stands after its word and has no value.
    pub(super) fn take_short(&mut self, short: char) -> Result<(), UsageError> {
        let mut flags = self.entry.into_iter().flat_map(Entry::all_flags);
        let flag = flags.find(|flag| flag.short == Some(short));
        let unknown = || lexopt::Error::UnexpectedOption(format!("-{short}"));
        self.given.push((flag.ok_or_else(unknown)?.name, None));
        Ok(())
    }

    /// Returns the task, once all words are taken.
    pub(super) fn task(&self) -> Result<Task, UsageError> {
        let entry = self.entry.unwrap_or_else(words::serve);
        for (name, _) in &self.given {
            if !entry.flag_names().any(|known| known == *name) {
                let flag = format!("--{name}");
                let word = entry.name;
                return Err(UsageError::Misplaced { flag, word });
            }
        }
        self.check_operands(entry)?;
        match entry.word {
            Word::Serve => self.serve(),
            Word::Check => {
                let (config, problems) = self.config();
                Ok(Task::Check(Box::new(config), problems))
            }
            Word::Healthcheck => Ok(Task::Healthcheck(self.target()?)),
            Word::Help => self.help(entry),
            Word::Completions => self.completions(entry),
            _ => Ok(Task::Ask(self.target()?, self.question(entry)?)),
        }
    }

    fn check_operands(&self, entry: &Entry) -> Result<(), UsageError> {
        let (least, most, needs) = match entry.operands {
            Operands::None => (0, 0, ""),
            Operands::Name => (1, 1, "needs the NAME or the FOLDER of a dev container"),
            Operands::OptionalName | Operands::OptionalWord => (0, 1, ""),
            Operands::Command => (2, usize::MAX, "needs NAME -- COMMAND"),
            Operands::Shell => (1, 1, "needs the name of a shell, bash, zsh or fish"),
        };
        if let Some(extra) = self.operands.get(most) {
            let problem = format!("takes no further argument {extra:?}");
            return Err(UsageError::operand(entry, problem));
        }
        if self.operands.len() < least {
            return Err(UsageError::operand(entry, needs));
        }
        Ok(())
    }

    fn serve(&self) -> Result<Task, UsageError> {
        let (config, problems) = self.config();
        match problems.into_iter().next() {
            Some(first) => Err(first),
            None => Ok(Task::Serve(Box::new(config))),
        }
    }

    /// Returns the configuration of the daemon, and all values that cannot be used, in whose place there are defaults.
    fn config(&self) -> (Config, Vec<UsageError>) {
        let (mut config, mut problems) = (Config::default(), Vec::new());
        for flag in FLAGS {
            self.set(flag, &mut config, &mut problems);
        }
        config.complete(self.environment);
        (config, problems)
    }

    fn help(&self, entry: &Entry) -> Result<Task, UsageError> {
        if self.has(&words::MAN) {
            return Ok(Task::Print(man::page()));
        }
        let Some(word) = self.operands.first() else {
            return Ok(Task::Print(help::of(None)));
        };
        let found = WORDS.iter().find(|entry| word == entry.name);
        match found {
            Some(entry) => Ok(Task::Print(help::of(Some(entry)))),
            None => Err(UsageError::operand(
                entry,
                format!("knows no word {word:?}"),
            )),
        }
    }

    fn completions(&self, entry: &Entry) -> Result<Task, UsageError> {
        let shell = self.operands.first().and_then(|shell| shell.to_str());
        let script = complete::script(shell.unwrap_or_default());
        script
            .map(|text| Task::Print(text.to_owned()))
            .ok_or_else(|| {
                UsageError::operand(entry, format!("knows the shells {}", SHELLS.join(", ")))
            })
    }

    /// Returns the question of a word that asks a daemon.
    fn question(&self, entry: &Entry) -> Result<Question, UsageError> {
        let operate = |kind| {
            Ok(Question::Operate {
                kind,
                name: self.name()?,
                all: self.has(&words::ALL),
            })
        };
        match entry.word {
            Word::Recreate => operate(OperationKind::Recreate),
            Word::Start => operate(OperationKind::Start),
            Word::Stop => operate(OperationKind::Stop),
            Word::Rm => operate(OperationKind::Delete),
            Word::Cancel => Ok(Question::Cancel(self.name()?)),
            Word::Logs => Ok(Question::Logs {
                name: self.name()?,
                follow: self.has(&words::FOLLOW),
            }),
            Word::Watch => Ok(Question::Watch {
                name: match self.operands.is_empty() {
                    true => None,
                    false => Some(self.name()?),
                },
                json: self.has(&words::JSON),
            }),
            Word::Wait => Ok(Question::Wait {
                name: self.name()?,
                clean: self.has(&words::CLEAN),
                running: self.has(&words::RUNNING),
                idle: self.has(&words::IDLE)
                    || !(self.has(&words::CLEAN) || self.has(&words::RUNNING)),
                timeout: self.read(&words::TIMEOUT, |value| values::seconds(value, 0.0))?,
            }),
            Word::Exec => self.exec(),
            _ => Ok(Question::List(match () {
                () if self.has(&words::JSON) => ListForm::Json,
                () if self.has(&words::QUIET) => ListForm::Names,
                () => ListForm::Table,
            })),
        }
    }

    fn exec(&self) -> Result<Question, UsageError> {
        let passed_on = [
            (&words::INTERACTIVE, "--interactive"),
            (&words::TTY, "--tty"),
        ];
        let given = passed_on.into_iter().filter(|(flag, _)| self.has(flag));
        Ok(Question::Exec {
            name: self.name()?,
            flags: given.map(|(_, docker_flag)| docker_flag).collect(),
            docker: self.read(&words::DOCKER, values::program)?,
            command: self.operands.iter().skip(1).cloned().collect(),
        })
    }

    fn name(&self) -> Result<String, UsageError> {
        let first = self.operands.first().cloned().unwrap_or_default();
        Ok(first.string()?)
    }

    fn has(&self, flag: &WordFlag) -> bool {
        self.given.iter().any(|(name, _)| *name == flag.name)
    }

    /// Reads the last value of a flag, or else that of its variable.
    fn read<T>(
        &self,
        flag: &WordFlag,
        read: impl Fn(&std::ffi::OsStr) -> values::Read<T>,
    ) -> Result<Option<T>, UsageError> {
        let mut given = self
            .given
            .iter()
            .rev()
            .filter(|(name, _)| *name == flag.name);
        let from_line = given.find_map(|(name, value)| Some((format!("--{name}"), value.clone()?)));
        let from_variable = || {
            let name = flag.variable();
            let value = self.variable(&name).filter(|_| flag.is_variable)?;
            Some((name, value))
        };
        let Some((source, value)) = from_line.or_else(from_variable) else {
            return Ok(None);
        };
        let found = read(&value).map(Some);
        found.map_err(|problem| invalid(source, value, problem))
    }

    /// Returns the daemon that the flags or the environment name.
    pub(super) fn target(&self) -> Result<Target, UsageError> {
        let text = |value: &std::ffi::OsStr| Ok(value.to_string_lossy().into_owned());
        let urls = match self.read(&words::URL, text)? {
            Some(url) => vec![url],
            None => self.addresses()?,
        };
        let token_file = self.read(&words::TOKEN, values::path)?;
        Ok(Target { urls, token_file })
    }

    /// Returns the addresses that a daemon with this environment listens on.
    fn addresses(&self) -> Result<Vec<String>, UsageError> {
        let (mut config, mut problems) = (Config::default(), Vec::new());
        self.set(&LISTEN, &mut config, &mut problems);
        if let Some(first) = problems.into_iter().next() {
            return Err(first);
        }
        let mut urls: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        if urls.is_empty() {
            let sockets = places::sockets(&|name| self.variable(name)).into_iter();
            // An error should not name a socket that is not there.
            let sockets = sockets.filter(|socket| socket.exists());
            urls.extend(sockets.map(|socket| format!("unix:{}", socket.display())));
            urls.push(format!("http://{}", LISTEN.default));
        }
        Ok(urls)
    }

    /// Sets the values that the command line or the environment has for `flag`. Adds those that cannot be used to `problems`.
    fn set(&self, flag: &Flag, config: &mut Config, problems: &mut Vec<UsageError>) {
        match flag.setting {
            Setting::Switch(set) => {
                if self.given.iter().any(|(name, _)| *name == flag.name) {
                    set(config, true);
                } else if let Some(value) = self.variable(&flag.variable()) {
                    match values::truth(&value) {
                        Ok(is_set) => set(config, is_set),
                        Err(problem) => problems.push(invalid(flag.variable(), value, problem)),
                    }
                }
            }
            Setting::Single(_, set) | Setting::Repeatable(_, set) | Setting::Words(_, set) => {
                for (source, value) in self.values_of(flag) {
                    if let Err(problem) = set(config, &value) {
                        problems.push(invalid(source, value, problem));
                    }
                }
            }
        }
    }

    /// Returns all values of `flag`, each with its source: those of the command line, or else those of the variable.
    fn values_of(&self, flag: &Flag) -> Vec<(String, OsString)> {
        let given = self.given.iter().filter(|(name, _)| *name == flag.name);
        let from_flags: Vec<(String, OsString)> = given
            .filter_map(|(name, value)| Some((format!("--{name}"), value.clone()?)))
            .collect();
        if !from_flags.is_empty() {
            return from_flags;
        }
        let name = flag.variable();
        let values = match (self.variable(&name), flag.setting) {
            (Some(value), Setting::Repeatable(..)) => values::split(&value),
            (Some(value), Setting::Words(..)) => values::split_words(&value),
            (value, _) => value.into_iter().collect(),
        };
        let with_source = |value| (name.clone(), value);
        values.into_iter().map(with_source).collect()
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }
}

fn invalid(source: String, value: OsString, problem: Cow<'static, str>) -> UsageError {
    UsageError::InvalidValue {
        source,
        value,
        problem,
    }
}
