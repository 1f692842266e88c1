//! The completion of command lines in a shell: each shell calls this program with the words before the cursor.

use std::ffi::OsString;

use super::error::UsageError;
use super::flags::{FLAGS, Setting};
use super::line::Line;
use super::task::{Question, Task};
use super::words::{Entry, Operands, SHELLS, WORDS, flag_named, serve};

/// Returns the code that makes a shell complete.
pub(super) fn script(shell: &str) -> Option<&'static str> {
    Some(match shell {
        "bash" => include_str!("complete/devcontainerd.bash"),
        "zsh" => include_str!("complete/devcontainerd.zsh"),
        "fish" => include_str!("complete/devcontainerd.fish"),
        _ => return None,
    })
}

/// Returns the task that prints what can stand in place of the last of `words`, one candidate a line, with its meaning after
/// a tab. Where nothing is printed, a shell completes files.
pub(super) fn task(
    words: &[OsString],
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Task, UsageError> {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let Some((begun, before)) = words.split_last() else {
        return Ok(Task::Print(String::new()));
    };
    match candidates(before, begun) {
        Candidates::Text(text) => Ok(Task::Print(text)),
        Candidates::Names => {
            let target = Line::new(environment).target()?;
            Ok(Task::Ask(target, Question::CompleteName(begun.clone())))
        }
    }
}

/// The things that can stand at a place of a command line.
#[derive(Debug, PartialEq)]
enum Candidates {
    /// These lines.
    Text(String),
    /// The names of dev containers.
    Names,
}

fn candidates(before: &[String], begun: &str) -> Candidates {
    let (entry, operands) = match context(before) {
        Context::Word(entry, operands) => (entry, operands),
        Context::Value => return Candidates::Text(String::new()),
    };
    let known = entry.unwrap_or_else(serve);
    if begun.starts_with('-') {
        return Candidates::Text(flags(known, begun));
    }
    let lines: Vec<(&str, &str)> = match (entry, known.operands) {
        (None, _) => words(),
        (_, Operands::OptionalWord) => words(),
        (_, Operands::Shell) => SHELLS.map(|shell| (shell, "")).to_vec(),
        (_, Operands::None) => Vec::new(),
        (_, Operands::Name | Operands::OptionalName | Operands::Command) if operands == 0 => {
            return Candidates::Names;
        }
        _ => Vec::new(),
    };
    Candidates::Text(matching(lines.into_iter(), begun))
}

fn words() -> Vec<(&'static str, &'static str)> {
    WORDS
        .iter()
        .map(|entry| (entry.name, entry.summary))
        .collect()
}

/// The place in a command line.
enum Context {
    /// After a word, if there is one, and so many operands.
    Word(Option<&'static Entry>, usize),
    /// The value of a flag.
    Value,
}

fn context(before: &[String]) -> Context {
    let (mut entry, mut operands) = (None, 0);
    let mut words = before.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some(name) if takes_value(name) && words.next().is_none() => return Context::Value,
            Some(_) => {}
            None if word.starts_with('-') => {}
            None if entry.is_none() => entry = Entry::named(word),
            None => operands += 1,
        }
    }
    Context::Word(entry, operands)
}

fn takes_value(name: &str) -> bool {
    let daemon = FLAGS.iter().find(|flag| flag.name == name);
    match daemon {
        Some(flag) => !matches!(flag.setting, Setting::Switch(_)),
        None => flag_named(name).is_some_and(|flag| !flag.value.is_empty()),
    }
}

fn flags(entry: &'static Entry, begun: &str) -> String {
    let own = entry
        .all_flags()
        .map(|flag| (format!("--{}", flag.name), flag.help));
    let daemon = FLAGS.iter().filter(|_| entry.configures_daemon());
    let daemon = daemon.map(|flag| (format!("--{}", flag.name), flag.help));
    let general = [("--help".to_owned(), "explain it")];
    let all: Vec<(String, &str)> = own.chain(daemon).chain(general).collect();
    matching(all.iter().map(|(flag, help)| (&**flag, *help)), begun)
}

/// Returns the lines of those that begin like `begun`.
fn matching<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>, begun: &str) -> String {
    let lines = lines.filter(|(candidate, _)| candidate.starts_with(begun));
    let lines = lines.map(|(candidate, help)| {
        let help = help.split(['\n', ';']).next().unwrap_or_default();
        format!("{candidate}\t{help}\n")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the candidates for the last word of a line, without their meanings.
    fn complete(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (begun, before) = words.split_last().unwrap();
        match candidates(before, begun) {
            Candidates::Names => "NAMES".to_owned(),
            Candidates::Text(text) => {
                let names = text.lines().map(|line| line.split('\t').next().unwrap());
                names.collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn words_flags_and_names_are_completed_in_their_places() {
        for (line, expected) in [
            ("st", "start stop"),
            ("w", "watch wait"),
            ("nope", ""),
            ("help rec", "recreate"),
            ("recreate ", "NAMES"),
            ("recreate ap", "NAMES"),
            ("recreate app ", ""),
            (
                "--url http://x ls --",
                "--json --quiet --url --token-file --help",
            ),
            ("wait app --c", "--clean"),
            ("wait --timeout ", ""),
            ("wait --timeout 5 ", "NAMES"),
            ("exec -it ", "NAMES"),
            ("exec app -- ", ""),
            ("completions ", "bash zsh fish"),
            ("--log-f", "--log-format"),
            ("serve --max", "--max-operations"),
            ("ls ", ""),
        ] {
            assert_eq!(complete(line), expected, "{line}");
        }
        assert!(complete("").contains("recreate") && complete("").contains("exec"));
    }

    #[test]
    fn there_is_a_script_for_each_shell() {
        for shell in SHELLS {
            assert!(script(shell).unwrap().contains("__complete"), "{shell}");
        }
        assert_eq!(script("csh"), None);
    }
}
