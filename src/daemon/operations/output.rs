//! The output of the devcontainer CLI: its result on standard output, its log on standard error.

use super::journal::Journal;
use crate::base::lines::Lines;
use crate::base::time::Timestamp;
use crate::devcontainer::cli::line::Line;
use crate::devcontainer::cli::log::LogReader;
use crate::devcontainer::cli::result::UpResult;
use crate::model::api::LogLevel;
use crate::process::Stream;

/// Reads the output of the CLI, in pieces of any size, and writes a journal.
pub(super) struct Output<'a> {
    journal: &'a Journal,
    stdout: Lines,
    stderr: LogReader,
    /// The result: the last one, if there are several.
    pub(super) result: Option<UpResult>,
    /// The last line that was shown to users.
    pub(super) last_line: Option<String>,
}

impl<'a> Output<'a> {
    /// Returns a reader of output that has not begun.
    pub(super) fn new(journal: &'a Journal) -> Self {
        Self {
            journal,
            stdout: Lines::default(),
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
                self.stdout.feed(bytes, &mut |line, _| {
                    others.extend(stdout_line(line, result, now));
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

    /// Takes the end of both streams.
    pub(super) fn finish(&mut self) {
        let now = Timestamp::now();
        let mut lines = self.stderr.finish(now);
        let result = &mut self.result;
        self.stdout
            .finish(&mut |line, _| lines.extend(stdout_line(line, result, now)));
        self.write(lines);
    }

    /// Returns the cause of a failure in the words of docker.
    pub(super) fn cause(&self) -> Option<String> {
        self.stderr.cause()
    }

    fn write(&mut self, lines: Vec<Line>) {
        if let Some(last) = lines.last() {
            self.last_line = Some(crate::base::text::plain_text(&last.text));
        }
        self.journal.write(lines);
    }
}

/// Reads a line of standard output. It is the result, an object that is not shown, or text for users.
fn stdout_line(line: &[u8], result: &mut Option<UpResult>, now: Timestamp) -> Option<Line> {
    let text = String::from_utf8_lossy(line);
    if let Some(found) = UpResult::parse(&text) {
        *result = Some(found);
        return None;
    }
    let text = text.trim_end();
    let shown = !text.is_empty() && !text.starts_with('{');
    shown.then(|| Line::new(now, LogLevel::Info, text))
}
