//! The output of the devcontainer CLI: its result on standard output, its log on standard error.

use super::journal::Journal;
use crate::base::lines::Lines;
use crate::base::text::{lossy, plain_text};
use crate::base::time::Timestamp;
use crate::devcontainer::cli::line::Line;
use crate::devcontainer::cli::log::LogReader;
use crate::devcontainer::cli::names::TrueNames;
use crate::devcontainer::cli::result::{MAX_RESULT, UpResult};
use crate::model::api::LogLevel;
use crate::model::phase::Phase;
use crate::process::Stream;

/// Reads the output of the CLI, in pieces of any size, and writes a journal.
pub(super) struct Output<'a> {
    journal: &'a Journal,
    names: TrueNames,
    stdout: Lines,
    stderr: LogReader,
    /// The result: the last one, if there are several.
    pub(super) result: Option<UpResult>,
    /// The last line that was shown to users.
    pub(super) last_line: Option<String>,
}

impl<'a> Output<'a> {
    /// Returns a reader of output that has not begun.
    pub(super) fn new(journal: &'a Journal, names: TrueNames) -> Self {
        Self {
            journal,
            names,
            stdout: Lines::up_to(MAX_RESULT),
            stderr: LogReader::default(),
            result: None,
            last_line: None,
        }
    }

    /// Takes the next piece of a stream.
    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let now = Timestamp::now();
        match stream {
            Stream::Stderr => {
                let lines = self.stderr.feed(bytes, now);
                self.write(lines);
            }
            Stream::Stdout => {
                let mut others = Vec::new();
                let result = &mut self.result;
                self.stdout.feed(bytes, &mut |line, dropped| {
                    others.extend(stdout_line(line, dropped, result, now));
                });
                self.write(others);
            }
        }
    }

    /// Returns true once: when `initializeCommand` has ended, and the CLI is about to read the files that it builds
    /// from.
    pub(super) fn take_initialized(&mut self) -> bool {
        self.stderr.take_initialized()
    }

    /// Returns the phase that the CLI has come to, once.
    pub(super) fn take_phase(&mut self) -> Option<Phase> {
        self.stderr.take_phase()
    }

    /// Takes the end of both streams.
    pub(super) fn finish(&mut self) {
        let now = Timestamp::now();
        let mut lines = self.stderr.finish(now);
        let result = &mut self.result;
        self.stdout
            .finish(&mut |line, dropped| lines.extend(stdout_line(line, dropped, result, now)));
        self.write(lines);
    }

    /// Returns the reason of a failure: the result's, with the cause in the words of docker where the result lacks it,
    /// as it often says only which command failed. `None` without a result.
    pub(super) fn reason(&mut self) -> Option<String> {
        let result = self.result.as_mut()?;
        let cause = result
            .raw_texts()
            .find_map(|text| self.stderr.cause_of(text));
        result.rename(&self.names);
        let reason = result.reason();
        let Some(mut cause) = cause else {
            return Some(reason);
        };
        self.names.put_into(&mut cause);
        if reason.contains(&cause) {
            return Some(reason);
        }
        Some(format!("{reason}: {cause}"))
    }

    fn write(&mut self, mut lines: Vec<Line>) {
        for line in &mut lines {
            if let Some(named) = self.names.in_text(&line.text) {
                line.text = named.into();
            }
        }
        if let Some(last) = lines.last() {
            self.last_line = Some(plain_text(&last.text));
        }
        self.journal.write(lines);
    }
}

/// Reads a line of standard output. It is the result, an object that is not shown, or text for users.
fn stdout_line(
    line: &[u8],
    dropped: usize,
    result: &mut Option<UpResult>,
    now: Timestamp,
) -> Option<Line> {
    let text = lossy(line);
    let found = if dropped > 0 {
        UpResult::parse_cut(&text)
    } else {
        UpResult::parse(&text)
    };
    if let Some(found) = found {
        *result = Some(found);
        return None;
    }
    let text = text.trim_end();
    let shown = !text.is_empty() && !text.starts_with('{');
    shown.then(|| Line::new(now, LogLevel::Info, text))
}
