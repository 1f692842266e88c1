//! The table of routes: from a method and a path to an action, without a look at anything else.

use std::borrow::Cow;
use std::fmt;

use tiny_http::Method;

use super::page::{self, File};
use super::query::Parameter;
use crate::base::text::percent_decode;
use crate::model::operation::OperationKind;

/// Every path is also served below this one.
const PREFIX: &str = "/api/v0/containers";
/// The segments of the longest path that has a route.
const MAX_SEGMENTS: usize = 4;

/// The purpose of a request. Names are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Containers,
    Devcontainers,
    /// Lists a dev container that the daemon may not know.
    Add,
    Devcontainer(String),
    Container(String),
    /// Recreates the dev container that this container belongs to.
    RecreateContainer(String),
    /// Begins an operation on a dev container.
    Operate(OperationKind, String),
    /// Ends the running operation of a dev container.
    Cancel(String),
    Logs(String),
    Events,
    Healthz,
    Readyz,
    Version,
    Openapi,
    Metrics,
    /// Gives a file of the status page.
    Page(&'static File),
}

impl Action {
    /// Returns the query parameters that mean something to the action.
    pub(super) fn parameters(&self) -> &'static [Parameter] {
        use OperationKind::{Delete, Recreate, Start, Stop};
        use Parameter::{
            All, Follow, Forget, Format, Name, Offset, Revision, Seconds, Type, Until, Wait,
            WorkspaceFolder,
        };
        match self {
            Self::Operate(Stop, _) => &[Wait, Follow, All, Format, Offset],
            Self::Operate(Delete, _) => &[Wait, Follow, All, Format, Offset, Forget],
            Self::Operate(Recreate | Start, _) | Self::RecreateContainer(_) => {
                &[Wait, Follow, Format, Offset]
            }
            Self::Logs(_) => &[Follow, Format, Offset],
            Self::Events => &[Format, Name, Type, Until],
            Self::Devcontainers => &[WorkspaceFolder],
            Self::Devcontainer(_) => &[Seconds, Revision],
            Self::Containers
            | Self::Container(_)
            | Self::Add
            | Self::Cancel(_)
            | Self::Healthz
            | Self::Readyz
            | Self::Version
            | Self::Openapi
            | Self::Metrics
            | Self::Page(_) => &[],
        }
    }

    /// Returns whether the request has a body with more to say.
    pub(super) fn takes_body(&self) -> bool {
        *self == Self::Add
    }

    /// Returns whether the action tells or does something for which a client may need the token.
    pub(super) fn needs_token(&self) -> bool {
        !matches!(self, Self::Healthz | Self::Page(_))
    }

    /// Returns whether the action begins an operation.
    pub(super) fn operates(&self) -> bool {
        matches!(self, Self::Operate(..) | Self::RecreateContainer(_))
    }
}

/// The routes that are served on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    /// Only the metrics and the health of the daemon: nothing that acts, or shows names.
    Metrics {
        /// True if other machines may reach the socket.
        needs_token: bool,
    },
}

impl Scope {
    /// Returns whether a route is served.
    pub(super) fn serves(self, route: &Result<Action, RouteError>) -> bool {
        self == Self::All || matches!(route, Ok(Action::Metrics | Action::Healthz) | Err(_))
    }

    /// Returns whether a client may need the token for what it asks for.
    pub(super) fn needs_token(self, route: &Result<Action, RouteError>) -> bool {
        let is_needed = !matches!(self, Self::Metrics { needs_token: false });
        is_needed && route.as_ref().map_or(true, Action::needs_token)
    }
}

/// A method that a route can have. HEAD is served wherever GET is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get,
    Post,
    Delete,
}

/// A request that no route serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RouteError {
    /// No route has the path.
    NotFound,
    /// The path has routes, but with these methods only.
    MethodNotAllowed(Allowed),
    /// The path is not valid percent-encoded UTF-8.
    Encoding,
}

/// The methods of a path, shown as the `Allow` header has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowed(Vec<Verb>);

/// All routes, one a line. The guard admits or refuses a request before this table is read, and treats all routes
/// alike. A browser that opens `/` gets the status page in place of [`Action::Containers`].
fn action(verb: Verb, segments: &[&str]) -> Option<Action> {
    use Action::*;
    use OperationKind as Kind;
    use Verb::*;
    let action = match (verb, segments) {
        (Get, [""]) => Containers,
        (Get, ["healthz"]) => Healthz,
        (Get, ["readyz"]) => Readyz,
        (Get, ["version"]) => Version,
        (Get, ["openapi.json"]) => Openapi,
        (Get, ["metrics"]) => Metrics,
        (Get, ["events"]) => Events,
        (Get, ["containers", id]) => Container(id.to_string()),
        (Get, ["page", name]) => Page(page::file(name)?),
        (Get, ["devcontainers"]) => Devcontainers,
        (Post, ["devcontainers"]) => Add,
        (Get, ["devcontainers", id]) => Devcontainer(id.to_string()),
        (Get, ["devcontainers", id, "logs"]) => Logs(id.to_string()),
        (Delete, ["devcontainers", id]) => Operate(Kind::Delete, id.to_string()),
        (Post, ["devcontainers", id, "recreate"]) => Operate(Kind::Recreate, id.to_string()),
        (Post, ["devcontainers", id, "start"]) => Operate(Kind::Start, id.to_string()),
        (Post, ["devcontainers", id, "stop"]) => Operate(Kind::Stop, id.to_string()),
        (Post, ["devcontainers", id, "cancel"]) => Cancel(id.to_string()),
        (Post, ["devcontainers", "container", id, "recreate"]) => RecreateContainer(id.to_string()),
        _ => return None,
    };
    Some(action)
}

/// Finds the action for a request.
pub(super) fn route(method: &Method, path: &str) -> Result<Action, RouteError> {
    let (_, path) = split_prefix(path);
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    // A decoded `/` belongs to a name, so that the path is split first.
    let decoded: Vec<Cow<'_, str>>;
    let mut segments = [""; MAX_SEGMENTS + 1];
    let segments = if path.contains('%') {
        let all = path.split('/').map(percent_decode);
        decoded = all.collect::<Option<_>>().ok_or(RouteError::Encoding)?;
        fill(&mut segments, decoded.iter().map(|segment| &**segment))
    } else {
        fill(&mut segments, path.split('/'))
    };
    if let Some(action) = Verb::of(method).and_then(|verb| action(verb, segments)) {
        return Ok(action);
    }
    let has_route = |verb: &Verb| action(*verb, segments).is_some();
    let allowed: Vec<Verb> = Verb::ALL.into_iter().filter(has_route).collect();
    if allowed.is_empty() {
        Err(RouteError::NotFound)
    } else {
        Err(RouteError::MethodNotAllowed(Allowed(allowed)))
    }
}

/// Returns the first of `all` in `slots`. One segment more than any route has is enough.
fn fill<'s, 'p>(slots: &'s mut [&'p str], all: impl Iterator<Item = &'p str>) -> &'s [&'p str] {
    let mut length = 0;
    for (slot, segment) in slots.iter_mut().zip(all) {
        *slot = segment;
        length += 1;
    }
    slots.get(..length).unwrap_or_default()
}

/// Splits a path into the optional prefix, empty where the path has none, and the rest.
pub(super) fn split_prefix(path: &str) -> (&'static str, &str) {
    match path.strip_prefix(PREFIX) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => (PREFIX, rest),
        _ => ("", path),
    }
}

impl Verb {
    const ALL: [Self; 3] = [Self::Get, Self::Post, Self::Delete];

    fn of(method: &Method) -> Option<Self> {
        match method {
            Method::Get | Method::Head => Some(Self::Get),
            Method::Post => Some(Self::Post),
            Method::Delete => Some(Self::Delete),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verbs: Vec<&str> = self.0.iter().map(|verb| verb.as_str()).collect();
        f.write_str(&verbs.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Routes a path in each of its spellings.
    #[track_caller]
    fn check(method: Method, path: &str, expected: Result<Action, RouteError>) {
        for path in [path.to_owned(), format!("{path}/")] {
            assert_eq!(route(&method, &path), expected, "{path}");
            let below = format!("{PREFIX}{path}");
            assert_eq!(route(&method, &below), expected, "{below}");
        }
    }

    #[track_caller]
    fn check_allowed(method: Method, path: &str, expected: &str) {
        match route(&method, path) {
            Err(RouteError::MethodNotAllowed(allowed)) => assert_eq!(allowed.to_string(), expected),
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn every_route_with_and_without_prefix_and_trailing_slash() {
        use Action::*;
        use OperationKind as Kind;
        let name = || "x".to_owned();
        for (method, path, expected) in [
            (Method::Get, "", Containers),
            (Method::Head, "", Containers),
            (Method::Get, "/containers/x", Container(name())),
            (Method::Get, "/devcontainers", Devcontainers),
            (Method::Post, "/devcontainers", Add),
            (Method::Get, "/events", Events),
            (Method::Get, "/devcontainers/x", Devcontainer(name())),
            (Method::Get, "/devcontainers/x/logs", Logs(name())),
            (
                Method::Post,
                "/devcontainers/x/recreate",
                Operate(Kind::Recreate, name()),
            ),
            (
                Method::Post,
                "/devcontainers/x/start",
                Operate(Kind::Start, name()),
            ),
            (
                Method::Post,
                "/devcontainers/x/stop",
                Operate(Kind::Stop, name()),
            ),
            (
                Method::Delete,
                "/devcontainers/x",
                Operate(Kind::Delete, name()),
            ),
            (Method::Post, "/devcontainers/x/cancel", Cancel(name())),
            (
                Method::Post,
                "/devcontainers/container/x/recreate",
                RecreateContainer(name()),
            ),
            (Method::Get, "/healthz", Healthz),
            (Method::Get, "/readyz", Readyz),
            (Method::Get, "/version", Version),
            (Method::Get, "/openapi.json", Openapi),
            (Method::Get, "/metrics", Metrics),
            (
                Method::Head,
                "/page/style.css",
                Page(page::file("style.css").unwrap()),
            ),
        ] {
            check(method, path, Ok(expected));
        }
    }

    #[test]
    fn an_empty_name_is_a_name() {
        check(
            Method::Post,
            "/devcontainers/container//recreate",
            Ok(Action::RecreateContainer(String::new())),
        );
        check(
            Method::Post,
            "/devcontainers//recreate",
            Ok(Action::Operate(OperationKind::Recreate, String::new())),
        );
        check(
            Method::Post,
            "/devcontainers/container/recreate",
            Ok(Action::Operate(OperationKind::Recreate, "container".into())),
        );
    }

    #[test]
    fn names_are_decoded_after_the_path_is_split() {
        check(
            Method::Get,
            "/devcontainers/a%2Fb%20%C3%A9%25",
            Ok(Action::Devcontainer("a/b é%".into())),
        );
        for bad in ["%", "%2", "%zz", "%ff", "%+1"] {
            check(
                Method::Get,
                &format!("/devcontainers/{bad}"),
                Err(RouteError::Encoding),
            );
        }
    }

    #[test]
    fn wrong_methods_name_the_right_ones() {
        for (method, path, allowed) in [
            (Method::Post, "", "GET, HEAD"),
            (Method::Post, "/events", "GET, HEAD"),
            (Method::Options, "/healthz", "GET, HEAD"),
            (Method::Post, "/devcontainers/x", "GET, HEAD, DELETE"),
            (Method::Get, "/devcontainers/x/recreate", "POST"),
            (Method::Put, "/devcontainers/container//recreate", "POST"),
        ] {
            check_allowed(method, path, allowed);
        }
    }

    #[test]
    fn unknown_paths_are_not_found() {
        for path in [
            "/devcontainers/x/y",
            "/nope",
            "//healthz",
            "/page",
            "/page/x",
        ] {
            check(Method::Get, path, Err(RouteError::NotFound));
        }
        for path in ["/api/v0/containersx", "/api/v0"] {
            assert_eq!(route(&Method::Get, path), Err(RouteError::NotFound));
        }
    }

    #[test]
    fn the_prefix_ends_with_a_segment() {
        let below = "/api/v0/containers/devcontainers/x";
        assert_eq!(split_prefix(below), (PREFIX, "/devcontainers/x"));
        assert_eq!(split_prefix(PREFIX), (PREFIX, ""));
        for path in ["/devcontainers/x", "/api/v0/containersx"] {
            assert_eq!(split_prefix(path), ("", path));
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "[/a-z%0-9]{0,40}") {
            let _ = route(&Method::Get, &path);
        }
    }
}
