//! The command line and the environment variables of the program.

mod complete;
mod config;
mod error;
mod flags;
mod help;
mod line;
mod man;
mod places;
mod task;
mod values;
mod words;

use std::ffi::OsString;

use lexopt::{Arg, Parser, ValueExt};

use self::line::Line;
use self::words::{Entry, Operands};

pub use self::config::Config;
pub use self::error::UsageError;
pub use self::task::{ListForm, Question, Target, Task};

/// The word by which the completion of a shell calls this program.
const COMPLETE: &str = "__complete";
const VERSION: &str = concat!("devcontainerd ", env!("DEVCONTAINERD_BUILD"), "\n");

/// Reads a command line without the program's name. `environment` looks up a variable.
///
/// A flag takes precedence over its variable. An empty variable counts as unset.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Task, UsageError> {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.next_if(|first| first == COMPLETE).is_some() {
        let words: Vec<OsString> = arguments.collect();
        return complete::task(&words, environment);
    }
    let mut parser = Parser::from_args(arguments);
    let mut line = Line::new(environment);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Print(help::of(line.entry))),
            Arg::Long("version") | Arg::Short('V') => return Ok(Task::Print(VERSION.to_owned())),
            Arg::Long(name) => {
                let name = name.to_owned();
                line.take_long(&name, &mut parser)?;
            }
            Arg::Short(short) => line.take_short(short)?,
            Arg::Value(word) => match line.entry {
                None => {
                    let word = word.string()?;
                    let entry = Entry::named(&word);
                    line.entry = Some(entry.ok_or_else(|| UsageError::unknown_word(word))?);
                }
                Some(entry) => {
                    line.operands.push(word);
                    // The arguments of a command are its own.
                    if entry.operands == Operands::Command && line.operands.len() == 2 {
                        line.operands.extend(parser.raw_args()?);
                    }
                }
            },
        }
    }
    line.task()
}

/// Returns whether a variable of this name sets a flag.
pub fn knows_variable(name: &str) -> bool {
    let word_flags = words::WORDS.iter().flat_map(Entry::all_flags);
    let mut of_words = word_flags.filter(|flag| flag.is_variable);
    flags::FLAGS.iter().any(|flag| flag.variable() == name)
        || of_words.any(|flag| flag.variable() == name)
}

#[cfg(test)]
mod tests;
