//! The query of a request, and the headers that choose the form of an answer.

use std::borrow::Cow;
use std::time::Duration;

use super::filter::{Condition, Types};
use super::limits::LONGEST_POLL;
use super::request::Request;
use super::stream::Format;
use crate::base::text::percent_decode;

/// A query parameter. Each route takes some of them (`Action::parameters`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    Wait,
    /// `wait` of a route that answers when an object has changed.
    Seconds,
    Revision,
    Follow,
    All,
    Format,
    Offset,
    WorkspaceFolder,
    Forget,
    Name,
    Type,
    Until,
}

/// The parameters of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Answer when the operation has ended. The default depends on the operation.
    pub(super) wait: Option<bool>,
    /// Answer when the object has another revision than `revision`, or after this time.
    wait_for: Option<Duration>,
    /// The revision of the object that the client has.
    revision: Option<u64>,
    /// Act on all containers of the dev container. Only `stop` and `DELETE` take it.
    pub(super) all: Option<bool>,
    /// Stream the log until the operation has ended.
    pub(super) follow: bool,
    /// The number of the first line to send.
    pub(super) offset: u64,
    /// The workspace folder of the dev containers that are asked for.
    pub(super) workspace_folder: Option<String>,
    /// List the dev container no longer, in place of removing its container.
    pub(super) forget: bool,
    /// The id or name of the only dev container whose changes are sent.
    pub(super) name: Option<String>,
    /// The types of changes that are sent.
    pub(super) types: Option<Types>,
    /// The condition that ends the stream.
    pub(super) until: Option<Condition>,
    /// Send plain text in place of JSON.
    text: bool,
    /// All that were given.
    given: Vec<Parameter>,
}

/// A query that means nothing, or not only one thing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueryError {
    /// The route does not take the parameter of this name, only these.
    Unknown(String, &'static [Parameter]),
    /// The parameter is given more than once.
    Repeated(Parameter),
    /// The parameter is a boolean.
    NotBoolean(Parameter),
    /// `offset` is the number of a line.
    NotLineNumber,
    /// `wait` is a number of seconds up to [`LONGEST_POLL`].
    NotSeconds,
    /// `revision` is the number of a change.
    NotRevision,
    /// `name` is the id or name of a dev container.
    NoName,
    /// `type` is a list of types of changes.
    UnknownType,
    /// `until` is a condition.
    UnknownCondition,
    /// `until` is about the dev container that `name` names.
    UntilWithoutName,
    /// `wait` and `revision` mean something together only.
    HalfPoll,
    /// `format` is `json` or `text`.
    UnknownFormat,
    /// `workspace_folder` is no path from the root on.
    NotFolder,
    /// The parameter concerns an operation, and none is asked for.
    WithForget(Parameter),
    /// The parameter concerns the log of an operation, which is not asked for.
    WithoutFollow(Parameter),
}

impl Parameter {
    const ALL: [Self; 12] = [
        Self::Wait,
        Self::Seconds,
        Self::Revision,
        Self::Follow,
        Self::All,
        Self::Format,
        Self::Offset,
        Self::WorkspaceFolder,
        Self::Forget,
        Self::Name,
        Self::Type,
        Self::Until,
    ];

    /// Its name in a query.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wait | Self::Seconds => "wait",
            Self::Revision => "revision",
            Self::Follow => "follow",
            Self::All => "all",
            Self::Format => "format",
            Self::Offset => "offset",
            Self::WorkspaceFolder => "workspace_folder",
            Self::Forget => "forget",
            Self::Name => "name",
            Self::Type => "type",
            Self::Until => "until",
        }
    }
}

impl Query {
    /// Parses the part of a target after the question mark. `known` are the parameters that the route takes.
    pub(super) fn parse(query: &str, known: &'static [Parameter]) -> Result<Self, QueryError> {
        let mut parsed = Self::default();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = percent_decode(name).unwrap_or(Cow::Borrowed(name));
            let mut all = Parameter::ALL.into_iter();
            let parameter = all.find(|one| one.name() == name && known.contains(one));
            let parameter =
                parameter.ok_or_else(|| QueryError::Unknown(name.into_owned(), known))?;
            parsed.set(parameter, percent_decode(value).as_deref())?;
        }
        Ok(parsed)
    }

    fn set(&mut self, parameter: Parameter, value: Option<&str>) -> Result<(), QueryError> {
        if self.given.contains(&parameter) {
            return Err(QueryError::Repeated(parameter));
        }
        self.given.push(parameter);
        match parameter {
            Parameter::Wait => self.wait = Some(truth(parameter, value)?),
            Parameter::Seconds => {
                let seconds = value.and_then(|value| value.parse().ok());
                let time = seconds
                    .map(Duration::from_secs)
                    .filter(|time| *time <= LONGEST_POLL);
                self.wait_for = Some(time.ok_or(QueryError::NotSeconds)?);
            }
            Parameter::Revision => {
                let revision = value.and_then(|value| value.parse().ok());
                self.revision = Some(revision.ok_or(QueryError::NotRevision)?);
            }
            Parameter::All => self.all = Some(truth(parameter, value)?),
            Parameter::Follow => self.follow = truth(parameter, value)?,
            Parameter::Forget => self.forget = truth(parameter, value)?,
            Parameter::WorkspaceFolder => {
                let path = value.filter(|path| path.starts_with('/'));
                self.workspace_folder = Some(path.ok_or(QueryError::NotFolder)?.to_owned());
            }
            Parameter::Offset => {
                let number = value.and_then(|value| value.parse().ok());
                self.offset = number.ok_or(QueryError::NotLineNumber)?;
            }
            Parameter::Name => {
                let name = value.filter(|name| !name.is_empty());
                self.name = Some(name.ok_or(QueryError::NoName)?.to_owned());
            }
            Parameter::Type => {
                let types = value.and_then(Types::parse);
                self.types = Some(types.ok_or(QueryError::UnknownType)?);
            }
            Parameter::Until => {
                let until = value.and_then(Condition::parse);
                self.until = Some(until.ok_or(QueryError::UnknownCondition)?);
            }
            Parameter::Format => {
                self.text = match value {
                    Some("text") => true,
                    Some("json") => false,
                    _ => return Err(QueryError::UnknownFormat),
                }
            }
        }
        Ok(())
    }

    /// Checks that no parameter concerns the log of an operation that is not followed.
    pub(super) fn check_follow(&self) -> Result<(), QueryError> {
        let of_log = [Parameter::Format, Parameter::Offset];
        let mut given = of_log.into_iter().filter(|one| self.given.contains(one));
        match given.next().filter(|_| !self.follow) {
            Some(parameter) => Err(QueryError::WithoutFollow(parameter)),
            None => Ok(()),
        }
    }

    /// Checks that no parameter concerns an operation where the dev container is to be forgotten.
    pub(super) fn check_forget(&self) -> Result<(), QueryError> {
        let mut others = self.given.iter().filter(|one| **one != Parameter::Forget);
        match others.next().filter(|_| self.forget) {
            Some(other) => Err(QueryError::WithForget(*other)),
            None => Ok(()),
        }
    }

    /// Returns the revision that the client has, and how long it waits for another one, if it waits.
    pub(super) fn poll(&self) -> Result<Option<(u64, Duration)>, QueryError> {
        match (self.revision, self.wait_for) {
            (Some(revision), Some(time)) => Ok(Some((revision, time))),
            (None, None) => Ok(None),
            _ => Err(QueryError::HalfPoll),
        }
    }

    /// The form of a stream. `format=text` takes precedence over the `Accept` header.
    pub(super) fn format(&self, request: &Request<'_>) -> Format {
        let accept = request.accept.unwrap_or_default();
        if self.text {
            Format::Text
        } else if accept.contains("text/event-stream") {
            Format::Events
        } else {
            Format::JsonLines
        }
    }
}

/// The id of the last event that a client received before its stream broke off (WHATWG HTML, section 9.2.4).
pub(super) fn last_event_id(request: &Request<'_>) -> Option<u64> {
    request.last_event_id?.parse().ok()
}

/// A parameter without a value, as in `?wait`, is true.
fn truth(parameter: Parameter, value: Option<&str>) -> Result<bool, QueryError> {
    match value {
        Some("" | "true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        _ => Err(QueryError::NotBoolean(parameter)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Query {
        Query::parse(query, &Parameter::ALL).unwrap()
    }

    #[test]
    fn queries() {
        assert_eq!(parse(""), Query::default());
        assert_eq!(parse("&&"), Query::default());
        for wait in ["wait", "&wait=true&", "wait=1", "wait=%74rue", "w%61it"] {
            assert_eq!(parse(wait).wait, Some(true), "{wait}");
        }
        assert_eq!(parse("wait=false").wait, Some(false));
        assert_eq!(parse("all").all, Some(true));
        assert_eq!(parse("all=0").all, Some(false));
        let query = parse("follow=true&offset=7&format=text");
        assert!(query.follow && query.text && query.offset == 7);
        assert_eq!(query.check_follow(), Ok(()));
    }

    #[test]
    fn what_means_nothing_or_two_things_is_refused() {
        use Parameter::{All, Follow, Format, Offset, Wait};
        for (bad, expected) in [
            ("wait=yes", QueryError::NotBoolean(Wait)),
            ("follow=%zz", QueryError::NotBoolean(Follow)),
            ("all=both", QueryError::NotBoolean(All)),
            ("offset=-1", QueryError::NotLineNumber),
            ("offset", QueryError::NotLineNumber),
            ("revision=x", QueryError::NotRevision),
            ("format=xml", QueryError::UnknownFormat),
            ("name=", QueryError::NoName),
            ("type=container,x", QueryError::UnknownType),
            ("name=a&until=happy", QueryError::UnknownCondition),
            ("format=text&format=text", QueryError::Repeated(Format)),
            ("wait&all&wait=1", QueryError::Repeated(Wait)),
        ] {
            let parsed = Query::parse(bad, &Parameter::ALL);
            assert_eq!(parsed, Err(expected), "{bad}");
        }
        for unknown in ["wiat", "Wait", "wait ", "%zz", "", "all"] {
            let parsed = Query::parse(&format!("wait&{unknown}=true"), &[Wait]);
            let expected = QueryError::Unknown(unknown.into(), &[Wait]);
            assert_eq!(parsed, Err(expected), "{unknown}");
        }
        for (query, parameter) in [
            ("offset=1", Offset),
            ("format=text&follow=false&offset=0", Format),
        ] {
            let checked = parse(query).check_follow();
            assert_eq!(checked, Err(QueryError::WithoutFollow(parameter)));
        }
    }

    #[test]
    fn a_poll_has_a_revision_and_a_bounded_time() {
        let poll = |query: &str| {
            let known: &'static [Parameter] = &[Parameter::Seconds, Parameter::Revision];
            Query::parse(query, known)?.poll()
        };
        let seconds = Duration::from_secs;
        assert_eq!(poll(""), Ok(None));
        assert_eq!(poll("wait=300&revision=7"), Ok(Some((7, seconds(300)))));
        assert_eq!(poll("revision=0&wait=0"), Ok(Some((0, seconds(0)))));
        for bad in ["wait=301", "wait=true", "wait", "wait=-1", "wait=1.5"] {
            assert_eq!(poll(bad), Err(QueryError::NotSeconds), "{bad}");
        }
        for half in ["wait=1", "revision=1"] {
            assert_eq!(poll(half), Err(QueryError::HalfPoll), "{half}");
        }
    }

    #[test]
    fn the_form_of_a_stream() {
        let format = |query: &str, accept: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{accept}\r\n");
            let request = Request::of(head.as_bytes());
            parse(query).format(&request)
        };
        let events = "Accept: text/html, text/event-stream\r\n";
        assert_eq!(format("", ""), Format::JsonLines);
        assert_eq!(format("", events), Format::Events);
        assert_eq!(format("format=json", events), Format::Events);
        assert_eq!(format("format=text", events), Format::Text);
    }
}
