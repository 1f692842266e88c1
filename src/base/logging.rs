//! The daemon's own log: one event a line, on standard error.

use std::io::{self, Write};
use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::Serialize;

use super::event::{Event, Field, Value, sentence};
use super::text::one_line;
use super::time::Timestamp;
use super::{journal, json};

/// The format of the daemon's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level and message, separated by spaces. Control characters are escaped.
    Text,
    /// A JSON object with `time`, `level` and `message`. Those of an event have its name and its fields, too.
    Json,
}

/// How lines are written. Nothing is logged before that is set.
static OUTPUT: OnceLock<Output> = OnceLock::new();

struct Output {
    format: LogFormat,
    /// True if standard error is the journal, which reads priorities from the beginnings of lines.
    to_journal: bool,
}

struct Logger;

#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    level: &'a str,
    message: &'a str,
}

/// Starts to log events of `level` and more severe ones. Later calls have no effect.
pub fn start(level: LevelFilter, format: LogFormat) {
    let to_journal = format == LogFormat::Text && journal::is_stderr();
    if log::set_logger(&Logger).is_ok() {
        let _ = OUTPUT.set(Output { format, to_journal });
        log::set_max_level(level);
    }
}

impl Event {
    /// Logs the event at its own level.
    pub fn log(self, fields: &[Field<'_>]) {
        self.log_at(self.row().0, fields);
    }

    /// Logs the event with the fields of both.
    pub fn log_with(self, some: &[Field<'_>], others: &[Field<'_>]) {
        self.log(&[some, others].concat());
    }

    /// Logs the event at another level than its own.
    pub fn log_at(self, level: Level, fields: &[Field<'_>]) {
        if level > log::max_level() {
            return;
        }
        let (_, name, template) = self.row();
        write(level, &sentence(template, fields), Some(name), fields);
    }
}

fn write(level: Level, message: &str, event: Option<&'static str>, fields: &[Field<'_>]) {
    let Some(output) = OUTPUT.get() else { return };
    let now = Timestamp::now();
    let mut line = output
        .format
        .line(now, level.as_str(), message, event, fields);
    if output.to_journal {
        line.splice(..0, journal::priority(level).bytes());
    }
    // If standard error is closed, there is no place left to report that.
    let _ = io::stderr().lock().write_all(&line);
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("devcontainerd")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        write(record.level(), &record.args().to_string(), None, &[]);
    }

    fn flush(&self) {}
}

impl LogFormat {
    /// Returns a line; `level` is in capitals.
    fn line(
        self,
        time: Timestamp,
        level: &str,
        message: &str,
        event: Option<&str>,
        fields: &[Field<'_>],
    ) -> Vec<u8> {
        match self {
            Self::Text => format!("{time} {level:5} {}\n", one_line(message)).into_bytes(),
            Self::Json => {
                let level = &level.to_ascii_lowercase();
                let mut line = json::to_line(&Line {
                    time,
                    level,
                    message,
                });
                let event = event.map(|name| ("event", Value::Text(name)));
                // In place of the brace and the line break at the end.
                line.truncate(line.len() - 2);
                for (name, value) in event.iter().chain(fields) {
                    write_field(name, *value, &mut line);
                }
                line.extend(b"}\n");
                line
            }
        }
    }
}

/// Adds a field to the object that `line` begins with, unless it is absent.
fn write_field(name: &str, value: Value<'_>, line: &mut Vec<u8>) {
    let text = match value {
        Value::Absent => return,
        Value::Text(text) => json::to_line(&text),
        Value::Number(number) => number.to_string().into_bytes(),
        Value::Seconds(seconds) => format!("{seconds:.3}").into_bytes(),
        Value::List(all) => json::to_line(&all),
    };
    line.extend(format!(",\"{name}\":").bytes());
    line.extend(text.trim_ascii_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let time = Timestamp::from_millis(1);
        let line = |format: LogFormat, level, message| {
            String::from_utf8(format.line(time, level, message, None, &[])).unwrap()
        };
        assert_eq!(
            line(LogFormat::Text, "INFO", "a\nb\u{1b}[0m é\n"),
            "1970-01-01T00:00:00.001Z INFO  a\\nb\\u{1b}[0m é\n"
        );
        assert_eq!(
            line(LogFormat::Json, "WARN", "a\nb"),
            "{\"time\":\"1970-01-01T00:00:00.001Z\",\"level\":\"warn\",\"message\":\"a\\nb\"}\n"
        );
    }
    #[test]
    fn an_event_is_an_object_with_its_fields() {
        let fields = [
            ("folder", Value::Text("/a \"b\"\n")),
            ("uid", Value::Number(1000)),
            ("pid", Value::Absent),
            ("seconds", Value::Seconds(5.23456)),
            ("paths", Value::List(&["x".to_owned()])),
        ];
        let time = Timestamp::from_millis(1);
        let line = LogFormat::Json.line(time, "INFO", "m", Some("e"), &fields);
        let expected = concat!(
            r#"{"time":"1970-01-01T00:00:00.001Z","level":"info","message":"m","event":"e","#,
            r#""folder":"/a \"b\"\n","uid":1000,"seconds":5.235,"paths":["x"]}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
}
