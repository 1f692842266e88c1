//! The events of the daemon's log. One table gives each event its level, its name and its sentence, and the same fields
//! make the sentence and the object of the log as JSON.

use log::Level;

/// An event that the log reports with fields. `docs/logging.md` has the table for users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The daemon listens on an address.
    Listening,
    /// The daemon serves its metrics on an address of their own.
    ServingMetrics,
    /// The daemon serves requests.
    Started,
    /// The engine has told its version.
    EngineFound,
    /// Something around the daemon is missing, or is not as it should be.
    Advice,
    /// The daemon ends.
    Stopping,
    /// An operation waits for its turn.
    OperationQueued,
    /// An operation begins.
    OperationBegun,
    /// An operation does not begin.
    OperationRefused,
    /// An operation has ended, with any outcome.
    OperationEnded,
    /// A client ends an operation early.
    CancelRequested,
    /// A client wants to end an operation, and there is none.
    CancelRefused,
    /// A client has asked for a folder to be listed.
    Registered,
    /// A client has asked for a folder that is not listed.
    RegisterRefused,
    /// A client does without a folder that was asked for.
    Forgotten,
    /// A folder stays listed, though a client would do without it.
    ForgetRefused,
    /// A connection is not served.
    ConnectionRefused,
    /// A request is not served.
    RequestRefused,
    /// A container no longer matches its configuration.
    BecameDirty,
    /// A container matches its configuration again.
    BecameClean,
    /// Containers cannot be listed.
    ListingFailed,
    /// Containers can be listed again.
    ListingRecovered,
    /// Docker's events cannot be followed.
    EventsFailed,
    /// Docker's events are followed again.
    EventsRecovered,
    /// The daemon puts right what an operation left.
    Repaired,
    /// The daemon cannot put right what an operation left.
    RepairFailed,
    /// The manifest has come into force again.
    ManifestRead,
    /// The manifest cannot be used.
    ManifestRefused,
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(i64),
    /// A time, with three digits of the second; sentences show one.
    Seconds(f64),
    /// Several texts.
    List(&'a [String]),
    /// Nothing: there is no such field.
    Absent,
}

/// A field with its name.
pub type Field<'a> = (&'static str, Value<'a>);

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Absent, Self::Text)
    }
}

/// The sentence about the end of an operation, which its own log has, too.
pub const ENDED: &str = "{operation} {outcome} after {seconds} s[: {reason}]";

/// A sentence about an operation on a dev container, for a client.
macro_rules! operation {
    ($rest:literal) => {
        concat!(
            "{operation} of {devcontainer?} in {folder?}[ (config {config?})] for {address}[ (uid {uid}[, pid {pid}])]: ",
            $rest
        )
    };
}

/// A sentence about a folder that a client asks for.
macro_rules! folder {
    ($begin:literal, $rest:literal) => {
        concat!(
            $begin,
            "{folder?}[ (config {config?})]: ",
            $rest,
            " for {address}[ (uid {uid}[, pid {pid}])]"
        )
    };
}

impl Event {
    /// Returns the level, the name, and the template of the sentence. In a template, `{x}` is a field, `{x?}` a field in
    /// quotes, and what stands in brackets is left out where a field in it is absent.
    pub(super) const fn row(self) -> (Level, &'static str, &'static str) {
        use Level::{Error, Info, Warn};
        match self {
            Self::Listening => (Info, "listening", "listening on {address}"),
            Self::ServingMetrics => (Info, "serving_metrics", "serving metrics on {address}"),
            Self::Started => (
                Info,
                "started",
                "devcontainerd {version} serves {addresses}[; docker {docker}][; devcontainer CLI {devcontainer_cli}][; state directory {state_dir}][; workspace roots {roots}]",
            ),
            Self::EngineFound => (
                Info,
                "engine_found",
                "{docker} reaches an engine of version {engine_version}",
            ),
            Self::Advice => (Warn, "advice", "{reason}"),
            Self::Stopping => (Info, "stopping", "stopping"),
            Self::OperationQueued => (Info, "operation_queued", operation!("queued: {reason}")),
            Self::OperationBegun => (Info, "operation_begun", operation!("begins")),
            Self::OperationRefused => (Warn, "operation_refused", operation!("refused: {reason}")),
            Self::OperationEnded => (
                Info,
                "operation_ended",
                operation!("{operation} {outcome} after {seconds} s[: {reason}]"),
            ),
            Self::CancelRequested => (Info, "cancel_requested", operation!("asked for")),
            Self::CancelRefused => (Info, "cancel_refused", operation!("refused: {reason}")),
            Self::Registered => (
                Info,
                "registered",
                folder!("dev container {devcontainer?} in ", "{outcome}"),
            ),
            Self::RegisterRefused => (
                Warn,
                "register_refused",
                "{folder?}[ (config {config?})]: not listed for {address}[ (uid {uid}[, pid {pid}])]: {reason}",
            ),
            Self::Forgotten => (
                Info,
                "forgotten",
                folder!("dev container {devcontainer?} in ", "{outcome}"),
            ),
            Self::ForgetRefused => (
                Info,
                "forget_refused",
                "dev container {devcontainer?} in {folder?}[ (config {config?})]: not forgotten for {address}[ (uid {uid}[, pid {pid}])]: {reason}",
            ),
            Self::ConnectionRefused => (
                Info,
                "connection_refused",
                "a connection is refused: {detail} ({reason}, from {address}[, uid {uid}])[; {skipped} more like it since the last such line]",
            ),
            Self::RequestRefused => (
                Info,
                "request_refused",
                "a request is refused[: {method} {path?}]: {detail} ({reason}, from {address}[, uid {uid}[, pid {pid}]])[; {skipped} more like it since the last such line]",
            ),
            Self::BecameDirty => (
                Info,
                "became_dirty",
                "dev container {devcontainer} no longer matches its configuration: {paths} changed",
            ),
            Self::BecameClean => (
                Info,
                "became_clean",
                "dev container {devcontainer} matches its configuration",
            ),
            Self::ListingFailed => (
                Warn,
                "listing_failed",
                "containers cannot be listed: {reason}",
            ),
            Self::ListingRecovered => (Info, "listing_recovered", "containers can be listed again"),
            Self::EventsFailed => (
                Warn,
                "events_failed",
                "{reason}; polling until events can be followed again",
            ),
            Self::EventsRecovered => (Info, "events_recovered", "events are followed again"),
            Self::Repaired => (
                Info,
                "repaired",
                "containers that an operation left are repaired: {reason}",
            ),
            Self::RepairFailed => (
                Warn,
                "repair_failed",
                "containers that an operation left cannot be repaired[ {when}]: {reason}",
            ),
            Self::ManifestRead => (Info, "manifest_read", "the manifest was read again"),
            Self::ManifestRefused => (
                Error,
                "manifest_refused",
                "manifest {reason}; the last good one stays in force",
            ),
        }
    }

    /// All events.
    #[cfg(test)]
    pub(super) const ALL: [Self; 28] = [
        Self::Listening,
        Self::ServingMetrics,
        Self::Started,
        Self::EngineFound,
        Self::Advice,
        Self::Stopping,
        Self::OperationQueued,
        Self::OperationBegun,
        Self::OperationRefused,
        Self::OperationEnded,
        Self::CancelRequested,
        Self::CancelRefused,
        Self::Registered,
        Self::RegisterRefused,
        Self::Forgotten,
        Self::ForgetRefused,
        Self::ConnectionRefused,
        Self::RequestRefused,
        Self::BecameDirty,
        Self::BecameClean,
        Self::ListingFailed,
        Self::ListingRecovered,
        Self::EventsFailed,
        Self::EventsRecovered,
        Self::Repaired,
        Self::RepairFailed,
        Self::ManifestRead,
        Self::ManifestRefused,
    ];
}

/// Returns the sentence that a template makes of fields.
pub fn sentence(template: &str, fields: &[Field<'_>]) -> String {
    let mut text = String::new();
    let mut rest = template;
    let is_whole = fill(&mut rest, fields, &mut text);
    debug_assert!(is_whole, "{template} lacks a field of {fields:?}");
    text
}

/// Adds what a template says up to its end or to a closing bracket. Returns false if a field is absent.
fn fill(rest: &mut &str, fields: &[Field<'_>], text: &mut String) -> bool {
    let mut is_whole = true;
    while let Some(at) = rest.find(['{', '[', ']']) {
        let (plain, marked) = rest.split_at(at);
        text.push_str(plain);
        let (mark, after) = marked.split_at(1);
        *rest = after;
        match mark {
            "]" => return is_whole,
            "[" => {
                let before = text.len();
                if !fill(rest, fields, text) {
                    text.truncate(before);
                }
            }
            _ => {
                let (name, after) = after.split_once('}').unwrap_or((after, ""));
                *rest = after;
                is_whole &= push(name, fields, text);
            }
        }
    }
    text.push_str(rest);
    *rest = "";
    is_whole
}

/// Adds the value of a field, in quotes if a question mark follows its name. Returns false if it is absent.
fn push(name: &str, fields: &[Field<'_>], text: &mut String) -> bool {
    let plain = name.strip_suffix('?');
    let found = fields.iter().find(|(one, _)| *one == plain.unwrap_or(name));
    let shown = match found.map_or(Value::Absent, |(_, value)| *value) {
        Value::Absent => return false,
        Value::Text(value) if plain.is_some() => format!("{value:?}"),
        Value::Text(value) => {
            return {
                text.push_str(value);
                true
            };
        }
        Value::Number(number) => number.to_string(),
        Value::Seconds(seconds) => format!("{seconds:.1}"),
        Value::List(all) => all.join(", "),
    };
    text.push_str(&shown);
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PAGE: &str = include_str!("../../docs/logging.md");

    /// Adding a variant without a place in `ALL` fails here: the last one counts them.
    #[test]
    fn every_event_is_listed_in_its_place() {
        for (index, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, index, "{event:?}");
        }
        assert_eq!(Event::ALL.len(), Event::ManifestRefused as usize + 1);
    }

    #[test]
    fn a_sentence_leaves_out_what_is_absent() {
        let uid = ("uid", Value::Number(7));
        let pid = ("pid", Value::Number(8));
        let address = ("address", Value::Text("a"));
        let template = "for {address}[ (uid {uid}[, pid {pid}])].";
        for (fields, expected) in [
            (&[address][..], "for a."),
            (&[address, uid], "for a (uid 7)."),
            (&[address, uid, pid], "for a (uid 7, pid 8)."),
            (&[address, pid], "for a."),
            (&[address, ("uid", Value::Absent)], "for a."),
        ] {
            assert_eq!(sentence(template, fields), expected);
        }
        let fields = [
            ("a", Value::Text("\"\n")),
            ("b", Value::Seconds(1.26)),
            ("c", Value::List(&["x".to_owned(), "y".to_owned()])),
        ];
        assert_eq!(sentence("{a?} {b} {c}", &fields), r#""\"\n" 1.3 x, y"#);
    }

    /// The cells of the rows of the table below a heading of the documentation.
    fn rows(heading: &str) -> Vec<Vec<&'static str>> {
        let part = PAGE.split(heading).nth(1).unwrap();
        let part = part.split("\n## ").next().unwrap();
        let rows = part.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect()
    }

    #[test]
    fn the_documented_events_are_all_events_with_their_levels_and_sentences() {
        let documented: Vec<(String, String, String)> = rows("\n## Events\n")
            .into_iter()
            .map(|cells| {
                let text = |at: usize| cells[at].trim_matches('`').to_owned();
                (text(0), text(1), text(2))
            })
            .collect();
        let events = Event::ALL.map(|event| {
            let (level, name, template) = event.row();
            let level = level.as_str().to_ascii_lowercase();
            (name.to_owned(), level, template.to_owned())
        });
        assert_eq!(documented, events);
    }

    #[test]
    fn the_documented_fields_are_all_fields() {
        let rows = rows("\n## Fields\n");
        let names = rows.iter().map(|cells| cells[0].trim_matches('`'));
        let documented: BTreeSet<&str> = names.collect();
        let mut used = BTreeSet::from(["time", "level", "message", "event"]);
        for event in Event::ALL {
            let (_, _, template) = event.row();
            let fields = template.split('{').skip(1);
            used.extend(fields.map(|rest| rest.split(['}', '?']).next().unwrap()));
        }
        assert_eq!(documented, used);
    }

    #[test]
    fn the_end_of_an_operation_is_told_alike_in_both_logs() {
        let (_, _, template) = Event::OperationEnded.row();
        assert!(template.ends_with(ENDED), "{template}");
    }
}
