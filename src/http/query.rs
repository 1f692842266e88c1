//! The query of a request, and the headers that choose the form of an answer.

use super::request::Request;
use super::stream::Format;
use crate::base::text::percent_decode;

/// The parameters of all routes. Each route reads those that concern it; unknown ones are ignored.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Answer when the operation has ended. The default depends on the operation.
    pub(super) wait: Option<bool>,
    /// Act on all containers of the dev container. Only `stop` and `DELETE` take it.
    pub(super) all: Option<bool>,
    /// Stream the log until the operation has ended.
    pub(super) follow: bool,
    /// The number of the first line to send.
    pub(super) offset: u64,
    /// Send plain text in place of JSON.
    text: bool,
}

/// A parameter with a bad value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueryError {
    /// The parameter with this name is a boolean.
    NotBoolean(&'static str),
    /// The route does not take the parameter `all`, and must not do something else than what was asked for.
    AllMisplaced,
    /// `offset` is the number of a line.
    NotLineNumber,
    /// `format` is `json` or `text`.
    UnknownFormat,
}

impl Query {
    /// Parses the part of a target after the question mark.
    pub(super) fn parse(query: &str) -> Result<Self, QueryError> {
        let mut parsed = Self::default();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let decoded = percent_decode(value);
            let value = decoded.as_deref();
            match name {
                "wait" => parsed.wait = Some(truth("wait", value)?),
                "all" => parsed.all = Some(truth("all", value)?),
                "follow" => parsed.follow = truth("follow", value)?,
                "offset" => {
                    let number = value.and_then(|value| value.parse().ok());
                    parsed.offset = number.ok_or(QueryError::NotLineNumber)?;
                }
                "format" => {
                    parsed.text = match value {
                        Some("text") => true,
                        Some("json") => false,
                        _ => return Err(QueryError::UnknownFormat),
                    }
                }
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// The form of a stream. `format=text` takes precedence over the `Accept` header.
    pub(super) fn format(&self, request: &Request) -> Format {
        let accept = request.accept.as_deref().unwrap_or_default();
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
pub(super) fn last_event_id(request: &Request) -> Option<u64> {
    request.last_event_id.as_deref()?.parse().ok()
}

/// A parameter without a value, as in `?wait`, is true.
fn truth(name: &'static str, value: Option<&str>) -> Result<bool, QueryError> {
    match value {
        Some("" | "true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        _ => Err(QueryError::NotBoolean(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Query {
        Query::parse(query).unwrap()
    }

    #[test]
    fn queries() {
        assert_eq!(parse(""), Query::default());
        for wait in ["wait", "x=1&wait=true&y", "wait=1", "wait=%74rue"] {
            assert_eq!(parse(wait).wait, Some(true), "{wait}");
        }
        assert_eq!(parse("wait=false").wait, Some(false));
        assert_eq!(parse("all").all, Some(true));
        assert_eq!(parse("all=0").all, Some(false));
        let query = parse("follow=true&offset=7&format=text");
        assert!(query.follow && query.text && query.offset == 7);
        assert!(
            !parse("format=text&format=json").text,
            "the last one counts"
        );
    }

    #[test]
    fn bad_values_are_refused() {
        for (bad, expected) in [
            ("wait=yes", QueryError::NotBoolean("wait")),
            ("follow=%zz", QueryError::NotBoolean("follow")),
            ("all=both", QueryError::NotBoolean("all")),
            ("offset=-1", QueryError::NotLineNumber),
            ("offset", QueryError::NotLineNumber),
            ("format=xml", QueryError::UnknownFormat),
        ] {
            assert_eq!(Query::parse(bad), Err(expected), "{bad}");
        }
    }

    #[test]
    fn the_form_of_a_stream() {
        let format = |query: &str, accept: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{accept}\r\n");
            let (request, _) = Request::parse(head.as_bytes()).unwrap().unwrap();
            parse(query).format(&request)
        };
        let events = "Accept: text/html, text/event-stream\r\n";
        assert_eq!(format("", ""), Format::JsonLines);
        assert_eq!(format("", events), Format::Events);
        assert_eq!(format("format=json", events), Format::Events);
        assert_eq!(format("format=text", events), Format::Text);
    }
}
