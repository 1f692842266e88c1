//! The reading of requests to the engine: <https://docs.docker.com/reference/api/engine/>. Only the calls that concern the
//! rules of the proxy are told apart.

use std::borrow::Cow;

use serde_json::Value;

use super::message::Request;
use crate::base::text::percent_decode;
use crate::base::time::Timestamp;

/// A request, as the rules see it. A container is named by its name or the beginning of its id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call<'a> {
    /// Lists containers. Holds the labels of its filter.
    List(Vec<String>),
    /// Makes a container.
    Create,
    /// Shows a container.
    Inspect(&'a str),
    /// Does something to a container.
    Act(Act, &'a str),
    /// Connects the container that the body names to a network, or disconnects it.
    Network,
    /// Removes a network.
    RemoveNetwork(&'a str),
    /// Removes all containers, or networks, that nothing uses.
    Prune,
    /// Follows events.
    Events,
    /// Anything else.
    Other,
}

/// An action on a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Start,
    /// Ends its processes.
    Stop,
    /// Changes it in a way that leaves it where it is.
    Change,
    Rename,
    Remove,
}

impl<'a> Call<'a> {
    /// Finds out what a request asks for.
    pub(super) fn of(request: &'a Request) -> Self {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let path: Vec<&str> = path.split('/').skip(1).collect();
        let path = match path.split_first() {
            Some((version, rest)) if is_version(version) => rest,
            _ => &path,
        };
        match (request.method.as_str(), path) {
            ("GET", ["containers", "json"]) => Self::List(label_filters(query)),
            ("POST", ["containers", "create"]) => Self::Create,
            ("GET", ["containers", container, "json"]) => Self::Inspect(container),
            ("DELETE", ["containers", container]) => Self::Act(Act::Remove, container),
            ("POST", ["containers", container, verb]) => match *verb {
                "start" => Self::Act(Act::Start, container),
                "stop" | "kill" => Self::Act(Act::Stop, container),
                "rename" => Self::Act(Act::Rename, container),
                "restart" | "pause" | "unpause" | "update" => Self::Act(Act::Change, container),
                _ => Self::Other,
            },
            ("POST", ["containers" | "networks", "prune"]) => Self::Prune,
            ("POST", ["networks", _, "connect" | "disconnect"]) => Self::Network,
            ("DELETE", ["networks", network]) => Self::RemoveNetwork(network),
            ("GET", ["events"]) => Self::Events,
            _ => Self::Other,
        }
    }
}

/// Returns the target of a request for events with those since `time`; `None` where it asks for something else, or says
/// since when.
pub(super) fn events_since(request: &Request, time: Timestamp) -> Option<String> {
    let target = &request.target;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let has_since = query.split('&').any(|part| part.starts_with("since="));
    if Call::of(request) != Call::Events || has_since {
        return None;
    }
    let separator = if query.is_empty() { "" } else { "&" };
    let since = time.as_seconds_text();
    Some(format!("{path}?{query}{separator}since={since}"))
}

/// The name that a request to make a container gives to it.
pub(super) fn name_of_new(request: &Request) -> Option<String> {
    let (_, query) = request.target.split_once('?')?;
    let mut parameters = query.split('&').filter_map(|part| part.split_once('='));
    let (_, name) = parameters.find(|(key, _)| *key == "name")?;
    percent_decode(name).map(Cow::into_owned)
}

/// Returns whether this is the part of a path that names a version of the API: `v1.45`.
fn is_version(part: &str) -> bool {
    let number = part.strip_prefix('v').unwrap_or_default();
    number.starts_with(|c: char| c.is_ascii_digit())
}

/// The labels (`KEY` or `KEY=VALUE`) that a list is limited to. The filter is JSON: `{"label":["a=b"]}` or, from older
/// clients, `{"label":{"a=b":true}}`.
fn label_filters(query: &str) -> Vec<String> {
    let mut parameters = query.split('&').filter_map(|part| part.split_once('='));
    let filters = parameters.find(|(name, _)| *name == "filters");
    let filters = filters.map(|(_, value)| value.replace('+', " "));
    let filters = filters.as_deref().and_then(percent_decode);
    let filters: Value = filters
        .and_then(|filters| serde_json::from_slice(filters.as_bytes()).ok())
        .unwrap_or_default();
    match filters.get("label") {
        Some(Value::Array(labels)) => {
            let labels = labels.iter().filter_map(Value::as_str);
            labels.map(str::to_owned).collect()
        }
        Some(Value::Object(labels)) => labels.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Request {
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
        Request::read(&mut request.as_bytes()).unwrap().unwrap()
    }

    #[track_caller]
    fn check(line: &str, expected: Call<'_>) {
        assert_eq!(Call::of(&request(line)), expected, "{line}");
    }

    #[test]
    fn events_are_those_since_a_time_unless_they_say_so_themselves() {
        let time = Timestamp::new(1_700_000_000, 5_000);
        for (line, expected) in [
            (
                "GET /v1.45/events?filters=%7B%7D",
                Some("/v1.45/events?filters=%7B%7D&since=1700000000.000005000"),
            ),
            ("GET /events", Some("/events?since=1700000000.000005000")),
            ("GET /events?since=1&filters=x", None),
            ("POST /events", None),
            ("GET /containers/events/json", None),
        ] {
            let found = events_since(&request(line), time);
            assert_eq!(found.as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn calls_are_told_apart_with_and_without_a_version() {
        for version in ["", "/v1.24", "/v1.45"] {
            let check = |method: &str, path: &str, expected| {
                check(&format!("{method} {version}{path}"), expected);
            };
            check("GET", "/containers/json?all=1", Call::List(Vec::new()));
            check("POST", "/containers/create?name=x", Call::Create);
            check("GET", "/containers/a1/json", Call::Inspect("a1"));
            check("POST", "/containers/a1/start", Call::Act(Act::Start, "a1"));
            check(
                "POST",
                "/containers/a1/stop?t=1",
                Call::Act(Act::Stop, "a1"),
            );
            check("POST", "/containers/a1/kill", Call::Act(Act::Stop, "a1"));
            check(
                "POST",
                "/containers/a1/rename?name=x",
                Call::Act(Act::Rename, "a1"),
            );
            check("POST", "/containers/a1/pause", Call::Act(Act::Change, "a1"));
            check("DELETE", "/containers/a1?v=1", Call::Act(Act::Remove, "a1"));
            check("POST", "/networks/n/connect", Call::Network);
            check("DELETE", "/networks/n", Call::RemoveNetwork("n"));
            check("POST", "/networks/prune", Call::Prune);
            check("POST", "/containers/prune?filters=x", Call::Prune);
            check("POST", "/containers/a1/exec", Call::Other);
            check("GET", "/containers/a1/logs", Call::Other);
            check("HEAD", "/_ping", Call::Other);
            check("POST", "/build", Call::Other);
        }
        check("GET /", Call::Other);
        check("GET *", Call::Other);
    }

    #[test]
    fn the_name_of_a_new_container() {
        for (target, expected) in [
            ("/containers/create?name=a_b-1&platform=", Some("a_b-1")),
            ("/containers/create?platform=&name=a%2Db", Some("a-b")),
            ("/containers/create?names=x", None),
            ("/containers/create", None),
        ] {
            let text = format!("POST {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            let request = Request::read(&mut text.as_bytes()).unwrap().unwrap();
            assert_eq!(name_of_new(&request).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn labels_of_a_filter_in_both_forms() {
        for filters in [
            "%7B%22label%22%3A%5B%22a%3Db+c%22%2C%22d%22%5D%7D",
            "%7B%22label%22%3A%7B%22a%3Db%20c%22%3Atrue%2C%22d%22%3Atrue%7D%7D",
        ] {
            let expected = Call::List(vec!["a=b c".into(), "d".into()]);
            check(
                &format!("GET /containers/json?all=1&filters={filters}"),
                expected,
            );
        }
        for odd in ["", "x", "%7B", "%7B%22label%22%3A1%7D", "%zz"] {
            let line = format!("GET /containers/json?filters={odd}");
            check(&line, Call::List(Vec::new()));
        }
    }
}
