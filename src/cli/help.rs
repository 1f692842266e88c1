//! The text that `--help` prints, in lines of at most 80 characters.

use super::flags::FLAGS;
use super::words::{Entry, NAMES, STATUSES, TOKEN, URL, WORDS, Word};

/// The width of a line.
const WIDTH: usize = 80;
/// The column of the meanings of words and flags.
const COLUMN: usize = 28;
/// The width of a command line beside its meaning.
const EXAMPLE: usize = 32;

pub(super) const ABOUT: &str = "Lists dev containers, says which of them no longer match their configuration, and \
    recreates, starts, stops and removes them. A daemon does all that; words ask it.";

/// Returns the help of a word, or without one the help of the program.
pub(super) fn of(entry: Option<&Entry>) -> String {
    match entry {
        Some(entry) => word(entry),
        None => program(),
    }
}

fn program() -> String {
    let mut text = Text::default();
    text.paragraph(ABOUT);
    text.0 += "\nUsage: devcontainerd [serve] [FLAGS]    run the daemon\n";
    text.0 += "       devcontainerd WORD [FLAGS] ...   ask the daemon that runs\n";
    text.0 += "\nWords:\n";
    for entry in WORDS {
        text.row(&entry.usage(), entry.summary);
    }
    text.0 += "\n";
    text.paragraph(NAMES);
    text.0 += "\nFlags of all words (WORD --help lists more):\n";
    for flag in [&URL, &TOKEN] {
        text.row(&flag.usage(), flag.help);
    }
    text.row("--help, --version", "print this help, or the version");
    text.0 += "\nExamples:\n";
    let examples = WORDS.iter().filter_map(|entry| entry.examples.first());
    text.examples(examples.filter(|(command, _)| command.len() < 50));
    text.daemon_flags();
    text.statuses();
    text.0
}

fn word(entry: &Entry) -> String {
    let usage = entry.usage_with(" [FLAGS]");
    let mut text = Text(format!("Usage: devcontainerd {usage}\n\n"));
    text.paragraph(entry.about);
    if entry.usage().contains("NAME") {
        text.paragraph(NAMES);
    }
    if entry.all_flags().next().is_some() {
        text.0 += "\nFlags:\n";
    }
    for flag in entry.all_flags() {
        let variable = flag.is_variable.then(|| format!(" [{}]", flag.variable()));
        let help = format!("{}{}", flag.help, variable.unwrap_or_default());
        text.row(&flag.usage(), &help);
    }
    if entry.word == Word::Serve {
        text.daemon_flags();
    }
    text.0 += "\nExamples:\n";
    text.examples(entry.examples.iter());
    text.statuses();
    text.0
}

/// A text that grows line by line.
#[derive(Default)]
struct Text(String);

impl Text {
    fn paragraph(&mut self, words: &str) {
        for line in wrapped(words, WIDTH) {
            self.0 += &line;
            self.0 += "\n";
        }
    }

    /// Adds a word or flag with its meaning beside it, or below it where it is long.
    fn row(&mut self, left: &str, meaning: &str) {
        let mut left = format!("  {left}");
        if left.chars().count() + 2 > COLUMN {
            self.0 += &left;
            self.0 += "\n";
            left.clear();
        }
        for line in wrapped(meaning, WIDTH - COLUMN) {
            self.0 += &format!("{left:COLUMN$}{line}\n");
            left.clear();
        }
    }

    fn examples<'a>(&mut self, examples: impl Iterator<Item = &'a (&'a str, &'a str)>) {
        for (command, meaning) in examples {
            // A long command has its meaning above it.
            let fits = command.len() <= EXAMPLE && EXAMPLE + meaning.len() + 6 <= WIDTH;
            self.0 += &match fits {
                true => format!("  {command:EXAMPLE$}  # {meaning}\n"),
                false => format!("  # {meaning}\n  {command}\n"),
            };
        }
    }

    fn daemon_flags(&mut self) {
        self.0 += "\nFlags of the daemon, which are also variables (DEVCONTAINERD_LISTEN):\n";
        for flag in FLAGS {
            self.row(&flag.usage(), &flag.meaning());
        }
    }

    fn statuses(&mut self) {
        self.0 += "\nExit status:\n";
        for (status, meaning) in STATUSES {
            self.0 += &format!("  {status:5}{meaning}\n");
        }
    }
}

/// Splits a text at white space into lines of this width. A longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
