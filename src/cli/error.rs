//! Command lines and environment variables that cannot be used.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;

use super::words::Entry;
use crate::base::similar::nearest;

/// A command line or an environment variable that cannot be used.
#[derive(Debug)]
pub enum UsageError {
    /// The words are not flags, values and commands in the right places.
    Syntax(lexopt::Error),
    /// The first word is none that is known.
    UnknownWord {
        /// The word.
        word: String,
        /// A word that is spelled much like it.
        meant: Option<&'static str>,
    },
    /// There is no flag of this name.
    UnknownFlag {
        /// The name without dashes.
        flag: String,
        /// A flag that is spelled much like it.
        meant: Option<&'static str>,
    },
    /// The flag is not one of this word.
    Misplaced {
        /// The flag, with dashes.
        flag: String,
        /// The word.
        word: &'static str,
    },
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
    /// The word needs another argument than it has.
    Operand {
        /// The word.
        word: &'static str,
        /// The arguments that would be right.
        problem: Cow<'static, str>,
    },
}

impl UsageError {
    /// Returns the error for a first word that is not known.
    pub(super) fn unknown_word(word: String) -> Self {
        let names = super::words::WORDS.iter().map(|entry| entry.name);
        let meant = nearest(&word, names);
        Self::UnknownWord { word, meant }
    }

    /// Returns the error for a flag that is not known.
    pub(super) fn unknown_flag(flag: &str, entry: &Entry) -> Self {
        let meant = nearest(flag, entry.flag_names());
        let flag = flag.to_owned();
        Self::UnknownFlag { flag, meant }
    }

    /// Returns the error for arguments of a word.
    pub(super) fn operand(entry: &Entry, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Operand {
            word: entry.name,
            problem: problem.into(),
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "{error}; see --help"),
            Self::UnknownWord { word, meant } => {
                write!(f, "unexpected argument {word:?}")?;
                suggest(f, "", *meant)
            }
            Self::UnknownFlag { flag, meant } => {
                write!(f, "unknown flag --{flag}")?;
                suggest(f, "--", *meant)
            }
            Self::Misplaced { flag, word } => {
                write!(f, "{word} takes no {flag}; see devcontainerd {word} --help")
            }
            Self::UnexpectedValue { flag } => write!(f, "--{flag} takes no value; see --help"),
            Self::InvalidValue {
                source,
                value,
                problem,
            } => write!(f, "{source} {}: {problem}", value.display()),
            Self::Operand { word, problem } => {
                write!(f, "{word} {problem}; see devcontainerd {word} --help")
            }
        }
    }
}

fn suggest(f: &mut fmt::Formatter<'_>, dashes: &str, meant: Option<&str>) -> fmt::Result {
    match meant {
        Some(name) => write!(f, "; did you mean {dashes}{name}? See --help"),
        None => f.write_str("; see --help"),
    }
}

impl std::error::Error for UsageError {}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self::Syntax(error)
    }
}
