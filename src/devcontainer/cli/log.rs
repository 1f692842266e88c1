//! The devcontainer CLI's log, read for people.
//!
//! With `--log-format json` it writes one JSON object a line. What people are shown is `text` and `raw` of level 3
//! and above, and `progress`. Kept out are levels 1 and 2 and the command lines in `start` and `stop`, because they
//! hold secrets (`docker run … -e TOKEN=…`), and so do the stack traces that stand between the objects.

use std::borrow::Cow;

use serde::Deserialize;

use crate::base::lines::Lines;
use crate::base::text::plain_text;
use crate::base::time::Timestamp;
use crate::model::api::LogLevel;

/// The longest line of a log, in bytes.
pub const MAX_LINE: usize = 64 << 10;
/// Levels are 1 (trace) to 5 (error).
const SHOWN_FROM: u8 = 3;
const ERROR: u8 = 5;
/// How many running steps are timed; the CLI has a handful. The oldest is forgotten.
const MAX_STEPS: usize = 64;
/// How much of what a program says is searched for a cause.
const MAX_SAID: usize = 8 << 10;
/// How much of what docker gave as a cause is shown.
const MAX_CAUSE: usize = 1 << 10;
/// How docker, podman, compose and the builders begin to say what went wrong.
const DOCKER_SAYS: [&str; 14] = [
    "Cannot connect to the Docker daemon",
    "error during connect",
    "permission denied while trying to connect",
    "Got permission denied while trying to connect",
    "Error response from daemon",
    "docker: Error",
    "unknown flag: ",
    "unknown shorthand flag: ",
    "invalid argument ",
    "unable to prepare context: ",
    "The command '",
    "ERROR: ",
    "Error: ",
    "failed to solve",
];
/// What it says after it has said why.
const DOCKER_REPEATS: [&str; 1] = ["Error: failed to start containers"];

/// A line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When the CLI wrote it, or when it came.
    pub at: Timestamp,
    /// Whether it is an error.
    pub level: LogLevel,
    /// At most [`MAX_LINE`] bytes, and a note of what was dropped.
    pub text: Box<str>,
}

impl Line {
    /// Cuts a text that is too long, and notes it.
    pub fn new(at: Timestamp, level: LogLevel, text: &str) -> Self {
        let kept = text.floor_char_boundary(MAX_LINE);
        let (kept, rest) = text.split_at(kept);
        let mut line = Self {
            at,
            level,
            text: kept.into(),
        };
        line.note_dropped(rest.len());
        line
    }

    /// Says at its end that it went on.
    fn note_dropped(&mut self, bytes: usize) {
        if bytes > 0 {
            self.text = format!("{} [{bytes} more bytes dropped]", self.text).into();
        }
    }
}

/// One object of the log, of the fields that we use.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    level: u8,
    #[serde(default)]
    timestamp: i64,
    #[serde(default, rename = "startTimestamp")]
    start_timestamp: i64,
    #[serde(default, borrow)]
    text: Cow<'a, str>,
    /// Of a hook, and of what it prints.
    #[serde(default, borrow)]
    channel: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    status: Cow<'a, str>,
    #[serde(default, borrow, rename = "stepDetail")]
    step_detail: Option<Cow<'a, str>>,
}

/// Reads the CLI's standard error.
#[derive(Default)]
pub struct LogReader {
    lines: Lines,
    parser: Parser,
}

impl LogReader {
    /// The lines for people that `bytes` brings. `now` stands for the time where the CLI gives none.
    pub fn feed(&mut self, bytes: &[u8], now: Timestamp) -> Vec<Line> {
        let Self { lines, parser } = self;
        lines.feed(bytes, &mut |line, dropped| parser.line(line, dropped, now));
        std::mem::take(&mut self.parser.out)
    }

    /// Whether `initializeCommand` has ended, so that the CLI is about to read what it builds from. Told once.
    pub fn take_initialized(&mut self) -> bool {
        let ended = self.parser.initializing == Initializing::Ended;
        if ended {
            self.parser.initializing = Initializing::Told;
        }
        ended
    }

    /// The last thing that docker itself gave as the cause of a failure, wherever it stood.
    pub fn cause(&self) -> Option<String> {
        cause(&self.parser.said)
    }

    /// The last lines.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Line> {
        let Self { lines, parser } = self;
        lines.finish(&mut |line, dropped| parser.line(line, dropped, now));
        self.parser.end_raw();
        std::mem::take(&mut self.parser.out)
    }
}

/// A line that has no end yet.
struct Begun {
    at: Timestamp,
    level: LogLevel,
    text: String,
}

/// What is known of `initializeCommand`.
#[derive(Clone, Copy, Default, PartialEq)]
enum Initializing {
    #[default]
    No,
    Runs,
    Ended,
    /// Whatever prints the same heading later is something else.
    Told,
}

/// The heading of what `initializeCommand` prints.
const INITIALIZES: &str = "Running the initializeCommand from devcontainer.json";

#[derive(Default)]
struct Parser {
    out: Vec<Line>,
    /// Whether the CLI writes JSON, as it was told; a usage error is plain text before any.
    json: bool,
    /// The beginning of a line of `raw`, which comes in pieces.
    raw: Option<Begun>,
    /// Running steps and when they began.
    steps: Vec<(String, Timestamp)>,
    /// The end of what the last program that the CLI ran has said, wherever it stood.
    said: String,
    /// Whether the next text is a compose file with all its variables in place, which are secret often enough.
    next_is_secret: bool,
    initializing: Initializing,
}

impl Parser {
    fn line(&mut self, line: &[u8], dropped: usize, now: Timestamp) {
        let text = String::from_utf8_lossy(line);
        if let Some(event) = parse(&text) {
            self.event(&event, dropped, now);
        } else if let Some(mended) = mend(&text, dropped) {
            if let Some(event) = parse(&mended) {
                self.event(&event, dropped, now);
            }
        } else if !self.json {
            self.push(now, LogLevel::Info, &text);
            self.note_dropped(dropped);
        }
    }

    fn event(&mut self, event: &Event<'_>, dropped: usize, now: Timestamp) {
        self.json = true;
        let at = match event.timestamp {
            0 => now,
            millis => Timestamp::from_millis(millis),
        };
        let level = match event.level {
            ERROR.. => LogLevel::Error,
            _ => LogLevel::Info,
        };
        match event.kind {
            "raw" | "text" => {
                self.remember(&event.text);
                let is_first = self.initializing == Initializing::No;
                if is_first && event.kind == "raw" && event.text.contains(INITIALIZES) {
                    self.initializing = Initializing::Runs;
                }
            }
            "start" if event.text.starts_with("Run: ") => {
                // Whatever the one before said, the CLI goes on.
                self.said.clear();
                if self.initializing == Initializing::Runs && event.channel.is_none() {
                    self.initializing = Initializing::Ended;
                }
            }
            _ => {}
        }
        let is_secret = std::mem::take(&mut self.next_is_secret);
        match event.kind {
            "text" if is_secret => return,
            "stop" => {
                self.end_raw();
                self.next_is_secret =
                    event.text.starts_with("Run: ") && event.text.ends_with(" config");
                if let Some(phase) = phase(&event.text) {
                    let begun = Timestamp::from_millis(event.start_timestamp);
                    let seconds = at.seconds_since(begun).max(0.0);
                    self.push(at, level, &format!("{phase} took {seconds:.1} s"));
                }
                return;
            }
            "raw" if event.level >= SHOWN_FROM => self.raw(at, level, &event.text),
            "text" if event.level >= SHOWN_FROM => {
                self.end_raw();
                self.push_all(at, level, &event.text);
            }
            "progress" => self.progress(event, now),
            _ => {
                self.end_raw();
                return;
            }
        }
        if dropped > 0 {
            self.end_raw();
            self.note_dropped(dropped);
        }
    }

    fn remember(&mut self, text: &str) {
        let from = text.ceil_char_boundary(text.len().saturating_sub(MAX_SAID));
        self.said.push_str(text.get(from..).unwrap_or_default());
        if self.said.len() > 2 * MAX_SAID {
            let from = self.said.ceil_char_boundary(self.said.len() - MAX_SAID);
            self.said.drain(..from);
        }
    }

    /// `raw` is what one read of a pipe brought: its lines may begin and end in others.
    fn raw(&mut self, at: Timestamp, level: LogLevel, text: &str) {
        let mut parts = text.split('\n');
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
        if last.is_empty() {
            return;
        }
        let begun = self.raw.get_or_insert_with(|| Begun {
            at,
            level,
            text: String::new(),
        });
        begun.text.push_str(last);
        if begun.text.len() > MAX_LINE {
            self.end_raw();
        }
    }

    fn end_raw(&mut self) {
        if let Some(raw) = self.raw.take() {
            self.push(raw.at, raw.level, &raw.text);
        }
    }

    fn progress(&mut self, event: &Event<'_>, now: Timestamp) {
        self.end_raw();
        let name = &*event.name;
        let begun = self.steps.iter().position(|(step, _)| step == name);
        let text = match (&*event.status, begun) {
            ("running", _) => {
                if begun.is_none() {
                    if self.steps.len() >= MAX_STEPS {
                        self.steps.remove(0);
                    }
                    self.steps.push((name.to_owned(), now));
                }
                match &event.step_detail {
                    Some(detail) => format!("{name} {detail}"),
                    None => name.to_owned(),
                }
            }
            (status, Some(index)) => {
                let (_, begun) = self.steps.remove(index);
                format!(
                    "{name} {status} ({:.1} s)",
                    now.seconds_since(begun).max(0.0)
                )
            }
            (status, None) => format!("{name} {status}"),
        };
        let level = match &*event.status {
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

    /// Adds one line; one with nothing to see is left out.
    fn push(&mut self, at: Timestamp, level: LogLevel, line: &str) {
        let line = line.trim_end();
        let is_empty = match line.contains(char::is_control) {
            true => plain_text(line).trim().is_empty(),
            false => line.trim_start().is_empty(),
        };
        if is_empty {
            return;
        }
        self.out.push(Line::new(at, level, line));
    }

    fn note_dropped(&mut self, bytes: usize) {
        if let Some(last) = self.out.last_mut() {
            last.note_dropped(bytes);
        }
    }
}

/// docker's own words for why something failed: they are not secret, as little else is that stands around them.
fn cause(said: &str) -> Option<String> {
    let mut lines = said.lines().map(plain_text);
    let cause = lines.rfind(|line| {
        let begins = |with: &[&str]| with.iter().any(|words| line.trim().starts_with(words));
        begins(&DOCKER_SAYS) && !begins(&DOCKER_REPEATS)
    })?;
    let cause = cause.trim();
    let end = cause.floor_char_boundary(MAX_CAUSE);
    cause.get(..end).map(str::to_owned)
}

/// What takes long, of what the CLI says that it has done; of the command line only the verb is looked at.
fn phase(done: &str) -> Option<&'static str> {
    if done == "Starting container" {
        return Some("creating the container");
    }
    let mut words = done.strip_prefix("Run: ")?.split_whitespace().skip(1);
    match words.next()? {
        "build" | "buildx" if done.contains(" build ") => Some("building the image"),
        "pull" => Some("pulling the image"),
        // compose has its flags before the verb.
        "compose" | "--project-name" => words.find_map(|word| match word {
            "build" => Some("building the images"),
            "up" => Some("creating the containers"),
            _ => None,
        }),
        _ => None,
    }
}

fn parse(line: &str) -> Option<Event<'_>> {
    line.starts_with('{')
        .then(|| serde_json::from_str(line))?
        .ok()
}

/// An object whose end was dropped, closed again: what is long in a long one is the text at its end.
fn mend(line: &str, dropped: usize) -> Option<String> {
    if dropped == 0 {
        return None;
    }
    // The cut may be in the middle of an escape, at most `\u1234` long, or of a character.
    let line = line.trim_end_matches(char::REPLACEMENT_CHARACTER);
    (0..6)
        .filter_map(|cut| line.get(..line.len().checked_sub(cut)?))
        .map(|shorter| format!("{shorter}\"}}"))
        .find(|mended| parse(mended).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_000_000;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = LogReader::default();
        let mut now = NOW;
        let mut lines = Vec::new();
        for piece in pieces {
            lines.extend(reader.feed(piece, Timestamp::from_millis(now)));
            now += 1500;
        }
        lines.extend(reader.finish(Timestamp::from_millis(now)));
        let show = |line: Line| match line.level {
            LogLevel::Info => line.text.to_string(),
            LogLevel::Error => format!("ERROR {}", line.text),
        };
        lines.into_iter().map(show).collect()
    }

    fn check(log: &str, expected: &[&str]) {
        assert_eq!(read(&[log.as_bytes()]), expected, "{log}");
        let bytes: Vec<&[u8]> = log.as_bytes().chunks(1).collect();
        if !log.contains("progress") {
            assert_eq!(read(&bytes), expected, "byte by byte: {log}");
        }
    }

    #[test]
    fn text_and_raw_of_level_three_and_above_are_shown() {
        check(
            r#"{"type":"text","level":3,"timestamp":1795477584416,"text":"@devcontainers/cli 0.89.0."}
{"type":"text","level":4,"timestamp":1,"text":"a warning"}
{"type":"text","level":5,"timestamp":1,"text":"an error"}
{"type":"raw","level":3,"timestamp":1,"text":"Container started\n","channel":"postCreate"}
"#,
            &[
                "@devcontainers/cli 0.89.0.",
                "a warning",
                "ERROR an error",
                "Container started",
            ],
        );
    }

    #[test]
    fn levels_one_and_two_command_lines_and_stack_traces_are_not() {
        check(
            r#"{"type":"text","level":3,"timestamp":1,"text":"first"}
{"type":"text","level":1,"timestamp":1,"text":"TOKEN=hunter2"}
{"type":"raw","level":2,"timestamp":1,"text":"TOKEN=hunter2"}
{"type":"start","level":3,"timestamp":1,"text":"Run: docker run -e TOKEN=hunter2"}
{"type":"stop","level":3,"timestamp":1,"text":"Run: docker run -e TOKEN=hunter2","startTimestamp":0}
Error: Command failed: docker run -e TOKEN=hunter2
    at Q (devContainersSpecCLI.js:233:157)
{
  stderr: 'TOKEN=hunter2'
}
{"type":"other","level":5,"text":"TOKEN=hunter2"}
"#,
            &["first"],
        );
    }

    #[test]
    fn what_compose_makes_of_its_files_is_not_shown() {
        check(
            r#"{"type":"start","level":3,"timestamp":1000,"text":"Run: docker-compose -f x.yml config"}
{"type":"stop","level":3,"timestamp":1500,"text":"Run: docker-compose -f x.yml config","startTimestamp":1000}
{"type":"text","level":3,"timestamp":1500,"text":"services:\n  dev:\n    environment:\n      TOKEN: hunter2\n"}
{"type":"text","level":3,"timestamp":1600,"text":"next"}
"#,
            &["next"],
        );
    }

    #[test]
    fn the_end_of_initialize_command_is_told_once() {
        let mut reader = LogReader::default();
        let mut told = |line: &str| {
            reader.feed(format!("{line}\n").as_bytes(), Timestamp::from_millis(NOW));
            reader.take_initialized()
        };
        let docker = r#"{"type":"start","level":2,"timestamp":1,"text":"Run: docker ps"}"#;
        let hook = r#"{"type":"start","level":3,"timestamp":1,"text":"Run: /bin/sh -c x","channel":"postCreate"}"#;
        let heading = r#"{"type":"raw","level":3,"timestamp":1,"text":"\u001b[1mRunning the initializeCommand from devcontainer.json...\u001b[0m\r\n","channel":"postCreate"}"#;
        for (line, expected) in [
            (docker, false),
            (heading, false),
            (hook, false),
            (docker, true),
            (docker, false),
            (heading, false),
            (docker, false),
        ] {
            assert_eq!(told(line), expected, "{line}");
        }
    }

    #[test]
    fn what_takes_long_has_its_seconds() {
        let stop = |text: &str| {
            format!(
                "{{\"type\":\"stop\",\"level\":2,\"timestamp\":3500,\"text\":\"{text}\",\"startTimestamp\":1000}}\n"
            )
        };
        for (text, expected) in [
            (
                "Run: /d build -t x -f /f /c",
                "building the image took 2.5 s",
            ),
            (
                "Run: /d buildx build --load -t x",
                "building the image took 2.5 s",
            ),
            ("Run: /d pull x", "pulling the image took 2.5 s"),
            ("Starting container", "creating the container took 2.5 s"),
            (
                "Run: /c --project-name p -f x build",
                "building the images took 2.5 s",
            ),
            (
                "Run: /d compose --project-name p -f x up -d",
                "creating the containers took 2.5 s",
            ),
        ] {
            check(&stop(text), &[expected]);
        }
        for text in [
            "Run: /d buildx version",
            "Run: /d ps -q",
            "Run in container: build",
            "Run: ",
        ] {
            check(&stop(text), &[]);
        }
    }

    #[test]
    fn the_cause_is_what_docker_said_last_wherever_it_stood() {
        let cause = |log: &str| {
            let mut reader = LogReader::default();
            reader.feed(log.as_bytes(), Timestamp::from_millis(NOW));
            reader.cause()
        };
        let down =
            "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?";
        let hidden = format!(
            r#"{{"type":"text","level":2,"timestamp":1,"text":"\u001b[1m{down}\r\n\u001b[0m"}}"#
        );
        assert_eq!(cause(&format!("{hidden}\n")).as_deref(), Some(down));
        let raw = r#"{"type":"raw","level":3,"timestamp":1,"text":"Error response from daemon: port is taken\nError: failed to start containers: x\n"}"#;
        assert_eq!(
            cause(&format!("{hidden}\n{raw}\n")).as_deref(),
            Some("Error response from daemon: port is taken")
        );
        assert_eq!(
            cause("{\"type\":\"text\",\"level\":3,\"text\":\"fine\"}\n"),
            None
        );
    }

    #[test]
    fn a_usage_error_is_plain_text_before_any_object() {
        check(
            "devcontainer up\n\nUnknown argument: bogus",
            &["devcontainer up", "Unknown argument: bogus"],
        );
    }

    #[test]
    fn raw_text_is_put_together_to_lines() {
        check(
            r#"{"type":"raw","level":3,"timestamp":1,"text":"one\r\ntw"}
{"type":"raw","level":3,"timestamp":1,"text":"o\n\r\nthree"}
{"type":"text","level":3,"timestamp":1,"text":"next"}
{"type":"raw","level":3,"timestamp":1,"text":"end"}"#,
            &["one", "two", "three", "next", "end"],
        );
    }

    #[test]
    fn progress_has_its_seconds() {
        let lines = read(&[
            b"{\"type\":\"progress\",\"name\":\"Running postCreateCommand...\",\"status\":\"running\",\"stepDetail\":\"echo a\"}\n",
            b"{\"type\":\"progress\",\"name\":\"Running postCreateCommand...\",\"status\":\"running\",\"stepDetail\":\"echo b\"}\n",
            b"{\"type\":\"progress\",\"name\":\"Running postCreateCommand...\",\"status\":\"succeeded\"}\n",
            b"{\"type\":\"progress\",\"name\":\"Other\",\"status\":\"failed\"}\n",
        ]);
        assert_eq!(
            lines,
            [
                "Running postCreateCommand... echo a",
                "Running postCreateCommand... echo b",
                "Running postCreateCommand... succeeded (3.0 s)",
                "ERROR Other failed",
            ]
        );
    }

    #[test]
    fn a_line_of_30_mb_is_cut_and_counted() {
        for escape in ["\\n", "\\\\", "\\u00e9", "é", "x"] {
            let text = escape.repeat(30_000_000 / escape.len());
            let log = format!(
                "{{\"type\":\"raw\",\"level\":3,\"timestamp\":1,\"text\":\"a{text}\",\"channel\":\"postCreate\"}}\n{{\"type\":\"text\",\"level\":3,\"timestamp\":1,\"text\":\"next\"}}\n"
            );
            let lines = read(&log.as_bytes().chunks(65_536).collect::<Vec<_>>());
            assert_eq!(lines.len(), 2, "{escape}");
            assert!(
                lines[0].starts_with('a') && lines[0].ends_with("more bytes dropped]"),
                "{escape}"
            );
            assert!(lines[0].len() < MAX_LINE + 100, "{escape}");
            assert_eq!(lines[1], "next");
        }
    }

    #[test]
    fn a_long_line_of_a_low_level_is_not_shown() {
        let text = "TOKEN=hunter2 ".repeat(200_000);
        check(
            &format!("{{\"type\":\"text\",\"level\":2,\"timestamp\":1,\"text\":\"{text}\"}}\n"),
            &[],
        );
    }

    #[test]
    fn what_is_not_utf_8_is_shown_as_far_as_it_goes() {
        assert_eq!(read(&[b"caf\xe9 au lait\n"]), ["caf\u{fffd} au lait"]);
    }

    #[test]
    fn plain_text_has_no_escapes_and_what_remained_of_an_overwritten_line() {
        for (text, expected) in [
            ("\u{1b}[1mbold\u{1b}[0m", "bold"),
            ("\u{1b}[38;5;12mx\u{1b}[K", "x"),
            ("1%\r20%\r100%\r", "100%"),
            ("\u{1b}]0;title\u{7}x\u{1b}]8;;http://y\u{1b}\\z", "xz"),
            ("a\tb\u{8}\u{0}c", "a\tbc"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
        ] {
            assert_eq!(plain_text(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            read(&[&bytes]);
        }

        #[test]
        fn no_text_panics(text in "[\\x00-\\x7f]{0,40}") {
            plain_text(&text);
        }
    }
}
