//! Turns the log of the devcontainer CLI into lines for people.
//!
//! Shown are `text` and `raw` of level 3 and above, `progress`, and how long some steps took. Levels 1 and 2 and the
//! command lines in `start` and `stop` are left out because they hold secrets (`docker run … -e TOKEN=…`), and so are
//! the stack traces between the objects.

use memchr::memchr2;

use super::cause::Causes;
use super::command;
use super::event::{CliEvent, Message, parse};
use super::line::{Line, MAX_LINE};
use super::mend::mend;
use super::phases::Phases;
use super::timing::{Steps, step_name};
use crate::base::lines::Lines;
use crate::base::text::{lossy, plain_text};
use crate::base::time::Timestamp;
use crate::model::api::LogLevel;
use crate::model::phase::Phase;

/// Reads the CLI's standard error.
#[derive(Default)]
pub struct LogReader {
    lines: Lines,
    parser: Parser,
}

impl LogReader {
    /// Reads more bytes and returns the lines that they complete. `now` is the time of lines that have none.
    pub fn feed(&mut self, bytes: &[u8], now: Timestamp) -> Vec<Line> {
        let Self { lines, parser } = self;
        lines.feed(bytes, &mut |line, dropped| parser.line(line, dropped, now));
        std::mem::take(&mut parser.out)
    }

    /// Returns the last lines, those without a line feed.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Line> {
        let Self { lines, parser } = self;
        lines.finish(&mut |line, dropped| parser.line(line, dropped, now));
        parser.end_raw();
        std::mem::take(&mut parser.out)
    }

    /// Returns `true` once, when `initializeCommand` has ended and the CLI is about to read the files that it builds
    /// from.
    pub fn take_initialized(&mut self) -> bool {
        self.parser.phases.take_initialized()
    }

    /// Returns the phase that the CLI has come to, once.
    pub fn take_phase(&mut self) -> Option<Phase> {
        self.parser.phases.take_new()
    }

    /// Returns the error message of docker itself for the command whose failure `message` reports, also one that is not
    /// shown.
    pub fn cause_of(&self, message: &str) -> Option<String> {
        self.parser.causes.cause_of(message)
    }
}

/// The beginning of a line of `raw`.
struct Begun {
    at: Timestamp,
    level: LogLevel,
    text: String,
}

#[derive(Default)]
struct Parser {
    out: Vec<Line>,
    /// True once there was an event; text before that is a usage error.
    has_events: bool,
    raw: Option<Begun>,
    steps: Steps,
    causes: Causes,
    /// True if the next text is a compose file with the values of its variables, which may be secret.
    next_is_secret: bool,
    phases: Phases,
}

impl Parser {
    fn line(&mut self, line: &[u8], dropped: usize, now: Timestamp) {
        let text = lossy(line);
        if let Some(event) = parse(&text) {
            self.event(&event, dropped, now);
        } else if dropped > 0
            && let Some(mended) = mend(&text, |line| parse(line).is_some())
        {
            if let Some(event) = parse(&mended) {
                self.event(&event, dropped, now);
            }
        } else if !self.has_events {
            self.push(now, LogLevel::Info, &text);
            self.note_dropped(dropped);
        }
    }

    fn event(&mut self, event: &CliEvent<'_>, dropped: usize, now: Timestamp) {
        self.has_events = true;
        self.phases.take(event);
        let is_secret = std::mem::take(&mut self.next_is_secret);
        let is_shown = match event {
            CliEvent::Raw(message) => self.raw(message, now),
            CliEvent::Text(message) => self.text(message, is_secret, now),
            CliEvent::Start { text, .. } => {
                self.start(text);
                false
            }
            CliEvent::Stop {
                message,
                start_timestamp,
            } => {
                self.stop(message, *start_timestamp, now);
                false
            }
            CliEvent::Progress {
                name,
                status,
                step_detail,
                ..
            } => {
                self.progress(name, status, step_detail.as_deref(), now);
                true
            }
            CliEvent::Other => false,
        };
        if !is_shown || dropped > 0 {
            self.end_raw();
        }
        if is_shown {
            self.note_dropped(dropped);
        }
    }

    /// Takes a piece of output, whose lines may begin and end in other pieces.
    fn raw(&mut self, message: &Message<'_>, now: Timestamp) -> bool {
        self.causes.push(&message.text, message.is_shown());
        if !message.is_shown() {
            return false;
        }
        let (at, level) = (message.at(now), message.level());
        let mut parts = message.text.split('\n');
        let last = parts.next_back().unwrap_or_default();
        for part in parts {
            match self.raw.take() {
                Some(mut begun) => {
                    begun.text.push_str(part);
                    self.push(begun.at, begun.level, &begun.text);
                }
                None => self.push(at, level, part),
            }
        }
        if !last.is_empty() {
            self.begin_raw(at, level, last);
        }
        true
    }

    fn begin_raw(&mut self, at: Timestamp, level: LogLevel, text: &str) {
        let begun = self.raw.get_or_insert_with(|| Begun {
            at,
            level,
            text: String::new(),
        });
        begun.text.push_str(text);
        if begun.text.len() > MAX_LINE {
            self.end_raw();
        }
    }

    fn end_raw(&mut self) {
        if let Some(raw) = self.raw.take() {
            self.push(raw.at, raw.level, &raw.text);
        }
    }

    fn text(&mut self, message: &Message<'_>, is_secret: bool, now: Timestamp) -> bool {
        let is_shown = message.is_shown() && !is_secret;
        self.causes.push_text(&message.text, is_shown);
        if is_shown {
            self.end_raw();
            self.push_all(message.at(now), message.level(), &message.text);
        }
        is_shown
    }

    fn start(&mut self, text: &str) {
        if let Some(line) = command::line_of(text) {
            self.causes.begin(line);
        }
    }

    fn stop(&mut self, message: &Message<'_>, start_timestamp: i64, now: Timestamp) {
        self.end_raw();
        let text = &message.text;
        self.next_is_secret = command::line_of(text).is_some_and(|line| line.ends_with(" config"));
        if let Some(step) = step_name(text) {
            let at = message.at(now);
            let begun = Timestamp::from_millis(start_timestamp);
            let seconds = at.seconds_since(begun).max(0.0);
            self.push(at, message.level(), &format!("{step} took {seconds:.1} s"));
        }
    }

    fn progress(&mut self, name: &str, status: &str, detail: Option<&str>, now: Timestamp) {
        self.end_raw();
        let text = if status == "running" {
            self.steps.begin(name, now);
            match detail {
                Some(detail) => format!("{name} {detail}"),
                None => name.to_owned(),
            }
        } else {
            match self.steps.end(name, now) {
                Some(seconds) => format!("{name} {status} ({seconds:.1} s)"),
                None => format!("{name} {status}"),
            }
        };
        let level = match status {
            "failed" => LogLevel::Error,
            _ => LogLevel::Info,
        };
        self.push_all(now, level, &text);
    }

    fn push_all(&mut self, at: Timestamp, level: LogLevel, text: &str) {
        for line in text.split('\n') {
            self.push(at, level, line);
        }
    }

    /// Adds one line, unless nothing of it can be seen.
    fn push(&mut self, at: Timestamp, level: LogLevel, line: &str) {
        let line = line.trim_end();
        // Only escapes and carriage returns make something invisible that is no control character itself.
        let may_hide = memchr2(b'\x1b', b'\r', line.as_bytes()).is_some();
        let is_visible = if may_hide || !line.bytes().any(|byte| byte.is_ascii_graphic()) {
            !plain_text(line).trim().is_empty()
        } else {
            true
        };
        if is_visible {
            self.out.push(Line::new(at, level, line));
        }
    }

    fn note_dropped(&mut self, bytes: usize) {
        if let Some(last) = self.out.last_mut() {
            last.note_dropped(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
