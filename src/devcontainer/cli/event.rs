//! The events of the CLI's log: with `--log-format json`, one JSON object a line.
//!
//! The objects are those of `src/spec-utils/log.ts` in <https://github.com/devcontainers/cli>.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::base::time::Timestamp;
use crate::model::api::LogLevel;

/// The lowest level that is shown; levels are 1 (trace) to 5 (error).
const SHOWN_FROM: u8 = 3;
const ERROR: u8 = 5;

/// One event, with the fields that are read.
#[derive(Debug, PartialEq)]
pub(super) enum CliEvent<'a> {
    /// A piece of a program's output, as one read of a pipe brought it.
    Raw(Message<'a>),
    /// One or more whole lines.
    Text(Message<'a>),
    /// The start of a step; `text` may be a command line.
    Start {
        text: Cow<'a, str>,
        channel: Option<Cow<'a, str>>,
    },
    /// The end of a step, with the text of its start.
    Stop {
        message: Message<'a>,
        /// In milliseconds since 1970.
        start_timestamp: i64,
    },
    /// The state of a step that has a name for people.
    Progress {
        name: Cow<'a, str>,
        /// `running`, `succeeded` or `failed`.
        status: Cow<'a, str>,
        step_detail: Option<Cow<'a, str>>,
        channel: Option<Cow<'a, str>>,
    },
    /// An event of an unknown type.
    Other,
}

/// A text with its level and time.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    level: u8,
    /// In milliseconds since 1970; 0 where there is none.
    timestamp: i64,
    pub(super) text: Cow<'a, str>,
    channel: Option<Cow<'a, str>>,
}

/// The fields of all types of events, in any order. Other fields are ignored. Those of another type than the event's may
/// have any value.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    r#type: Field<'a>,
    level: Field<'a>,
    timestamp: Field<'a>,
    text: Field<'a>,
    channel: Field<'a>,
    start_timestamp: Field<'a>,
    name: Field<'a>,
    status: Field<'a>,
    step_detail: Field<'a>,
}

/// The value of a field. An enum that serde tells apart by `type` would keep copies of all values until it finds that, for
/// which it takes five times as much code.
#[derive(Default)]
enum Field<'a> {
    #[default]
    Absent,
    Null,
    Text(Cow<'a, str>),
    Number(i64),
    /// A value that no field should have.
    Other,
}

impl<'a> Fields<'a> {
    /// Returns the event; `None` where it has no type, or a field has another value than it should.
    fn event(mut self) -> Option<CliEvent<'a>> {
        let Field::Text(kind) = std::mem::take(&mut self.r#type) else {
            return None;
        };
        Some(match &*kind {
            "raw" => CliEvent::Raw(self.message()?),
            "text" => CliEvent::Text(self.message()?),
            "start" => CliEvent::Start {
                text: self.text.text()?,
                channel: self.channel.optional()?,
            },
            "stop" => CliEvent::Stop {
                start_timestamp: self.start_timestamp.number()?,
                message: self.message()?,
            },
            "progress" => CliEvent::Progress {
                name: self.name.text()?,
                status: self.status.text()?,
                step_detail: self.step_detail.optional()?,
                channel: self.channel.optional()?,
            },
            _ => CliEvent::Other,
        })
    }

    fn message(self) -> Option<Message<'a>> {
        Some(Message {
            level: self.level.number()?.try_into().ok()?,
            timestamp: self.timestamp.number()?,
            text: self.text.text()?,
            channel: self.channel.optional()?,
        })
    }
}

impl<'a> Field<'a> {
    fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Absent => Some(Cow::default()),
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The outer `None` stands for a value that is no text.
    fn optional(self) -> Option<Option<Cow<'a, str>>> {
        match self {
            Self::Absent | Self::Null => Some(None),
            Self::Text(text) => Some(Some(text)),
            _ => None,
        }
    }

    fn number(&self) -> Option<i64> {
        match self {
            Self::Absent => Some(0),
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(text.to_owned().into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Field::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(number.try_into().map_or(Field::Other, Field::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        while all.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        while all.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }
}

impl CliEvent<'_> {
    /// Returns whether it comes from a lifecycle command of the configuration, which has a channel of its own.
    pub(super) fn is_of_hook(&self) -> bool {
        let channel = match self {
            Self::Raw(message) | Self::Text(message) | Self::Stop { message, .. } => {
                &message.channel
            }
            Self::Start { channel, .. } | Self::Progress { channel, .. } => channel,
            Self::Other => return false,
        };
        channel.is_some()
    }
}

impl Message<'_> {
    /// Returns whether its level is high enough to be shown.
    pub(super) fn is_shown(&self) -> bool {
        self.level >= SHOWN_FROM
    }

    pub(super) fn level(&self) -> LogLevel {
        if self.level >= ERROR {
            LogLevel::Error
        } else {
            LogLevel::Info
        }
    }

    /// When it was written; `now` where it does not say, or gives a time that cannot be.
    pub(super) fn at(&self, now: Timestamp) -> Timestamp {
        if self.timestamp == 0 {
            now
        } else {
            Timestamp::checked_from_millis(self.timestamp).unwrap_or(now)
        }
    }
}

/// Reads one line of the log; `None` where it is not an event.
pub(super) fn parse(line: &str) -> Option<CliEvent<'_>> {
    let fields: Option<Fields<'_>> = line
        .starts_with('{')
        .then(|| serde_json::from_slice(line.as_bytes()).ok())?;
    fields?.event()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(level: u8, timestamp: i64, text: &str) -> CliEvent<'_> {
        CliEvent::Text(Message {
            level,
            timestamp,
            text: text.into(),
            channel: None,
        })
    }

    #[test]
    fn the_type_may_stand_anywhere_and_unknown_fields_are_ignored() {
        let expected = Some(text(3, 7, "a\nb"));
        for line in [
            r#"{"type":"text","level":3,"timestamp":7,"text":"a\nb"}"#,
            r#"{"text":"a\nb","new":{"deep":[1,{}]},"level":3,"timestamp":7,"type":"text","name":7}"#,
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
        assert_eq!(parse(r#"{"type":"text"}"#), Some(text(0, 0, "")));
    }

    #[test]
    fn every_type_has_its_fields() {
        let stop = r#"{"type":"stop","level":2,"timestamp":9,"text":"Run: x","startTimestamp":4}"#;
        let message = Message {
            level: 2,
            timestamp: 9,
            text: "Run: x".into(),
            channel: None,
        };
        let start_timestamp = 4;
        assert_eq!(
            parse(stop),
            Some(CliEvent::Stop {
                message,
                start_timestamp
            })
        );
        assert_eq!(
            parse(r#"{"type":"start","text":"Run: x","channel":"postCreate"}"#),
            Some(CliEvent::Start {
                text: "Run: x".into(),
                channel: Some("postCreate".into()),
            })
        );
        assert_eq!(
            parse(r#"{"type":"progress","name":"n","status":"running","stepDetail":"d"}"#),
            Some(CliEvent::Progress {
                name: "n".into(),
                status: "running".into(),
                step_detail: Some("d".into()),
                channel: None,
            })
        );
        let unknown = r#"{"type":"other","level":"high","text":"x"}"#;
        assert_eq!(parse(unknown), Some(CliEvent::Other));
    }

    #[test]
    fn an_event_of_a_hook_has_a_channel() {
        for kind in ["raw", "text", "start", "stop", "progress"] {
            let event = |channel: &str| format!(r#"{{"type":"{kind}","level":3{channel}}}"#);
            let is_of_hook = |line: &str| parse(line).unwrap().is_of_hook();
            assert!(is_of_hook(&event(r#","channel":"postCreate""#)), "{kind}");
            assert!(!is_of_hook(&event("")), "{kind}");
        }
    }

    #[test]
    fn a_line_that_is_no_event_is_none() {
        for line in ["", "{}", "{", "[]", " {\"type\":\"text\"}", "text"] {
            assert_eq!(parse(line), None, "{line}");
        }
        for wrong in [
            r#"{"type":"text","text":7}"#,
            r#"{"type":"text","text":null}"#,
            r#"{"type":"text","level":256}"#,
            r#"{"type":"text","level":"3"}"#,
            r#"{"type":"raw","timestamp":1.5}"#,
            r#"{"type":"stop","startTimestamp":true}"#,
            r#"{"type":"progress","name":[]}"#,
            r#"{"type":"start","channel":{}}"#,
            r#"{"type":7,"text":"x"}"#,
            r#"{"type":"text","text":"x","text":"y"}"#,
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let null = parse(r#"{"type":"start","channel":null,"level":[{}],"name":{"a":[1]}}"#);
        assert!(!null.unwrap().is_of_hook());
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        let Some(CliEvent::Raw(message)) = parse(r#"{"level":3,"text":"plain","type":"raw"}"#)
        else {
            panic!("it is an event");
        };
        assert!(matches!(message.text, Cow::Borrowed("plain")));
    }
}
