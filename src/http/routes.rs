//! From a method and a path to what is asked for.

use tiny_http::Method;

use crate::model::operation::OperationKind;

/// Every path is also served below this one.
const PREFIX: &str = "/api/v0/containers";

/// What a request asks for. Names are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Containers,
    Devcontainers,
    Devcontainer(String),
    RecreateContainer(String),
    /// An operation on a dev container.
    Operate(OperationKind, String),
    Cancel(String),
    Logs(String),
    /// What changes.
    Events,
    Healthz,
    Readyz,
    Version,
}

/// Why a request asks for nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RouteError {
    /// 404
    NotFound,
    /// 405, and what would be allowed.
    Method(&'static str),
    /// 400
    Encoding,
}

const READ: &str = "GET, HEAD";
const ACT: &str = "POST";
const READ_OR_DELETE: &str = "GET, HEAD, DELETE";

/// What is asked for.
pub(super) fn route(method: &Method, path: &str) -> Result<Action, RouteError> {
    let below = path.strip_prefix(PREFIX);
    let path = below
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .unwrap_or(path);
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Option<Vec<String>> = path.split('/').map(decode).collect();
    let segments = segments.ok_or(RouteError::Encoding)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (allowed, action) = match segments[..] {
        [""] => (READ, Action::Containers),
        ["healthz"] => (READ, Action::Healthz),
        ["readyz"] => (READ, Action::Readyz),
        ["version"] => (READ, Action::Version),
        ["devcontainers"] => (READ, Action::Devcontainers),
        ["events"] => (READ, Action::Events),
        ["devcontainers", id] if *method == Method::Delete => (
            READ_OR_DELETE,
            Action::Operate(OperationKind::Delete, id.into()),
        ),
        ["devcontainers", id] => (READ_OR_DELETE, Action::Devcontainer(id.into())),
        ["devcontainers", id, "logs"] => (READ, Action::Logs(id.into())),
        ["devcontainers", id, "recreate"] => {
            (ACT, Action::Operate(OperationKind::Recreate, id.into()))
        }
        ["devcontainers", id, "start"] => (ACT, Action::Operate(OperationKind::Start, id.into())),
        ["devcontainers", id, "stop"] => (ACT, Action::Operate(OperationKind::Stop, id.into())),
        ["devcontainers", id, "cancel"] => (ACT, Action::Cancel(id.into())),
        ["devcontainers", "container", id, "recreate"] => {
            (ACT, Action::RecreateContainer(id.into()))
        }
        _ => return Err(RouteError::NotFound),
    };
    let fits = match method {
        Method::Get | Method::Head => allowed != ACT,
        Method::Post => allowed == ACT,
        Method::Delete => allowed == READ_OR_DELETE,
        _ => false,
    };
    match fits {
        true => Ok(action),
        false => Err(RouteError::Method(allowed)),
    }
}

/// `%2F` and its like; `None` where that is not well-formed, or not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
                decoded.push(high << 4 | low);
            }
            byte => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok()
}

fn hex(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(method: Method, path: &str, expected: Result<Action, RouteError>) {
        for path in [path.to_owned(), format!("{path}/")] {
            assert_eq!(route(&method, &path), expected, "{path}");
            let below = format!("{PREFIX}{path}");
            assert_eq!(route(&method, &below), expected, "{below}");
        }
    }

    #[test]
    fn every_route_with_and_without_prefix_and_trailing_slash() {
        use Action::*;
        check(Method::Get, "", Ok(Containers));
        check(Method::Head, "", Ok(Containers));
        check(Method::Get, "/devcontainers", Ok(Devcontainers));
        check(Method::Get, "/events", Ok(Events));
        check(Method::Post, "/events", Err(RouteError::Method(READ)));
        check(
            Method::Get,
            "/devcontainers/x",
            Ok(Devcontainer("x".into())),
        );
        check(Method::Get, "/devcontainers/x/logs", Ok(Logs("x".into())));
        check(
            Method::Post,
            "/devcontainers/x/recreate",
            Ok(Operate(OperationKind::Recreate, "x".into())),
        );
        check(
            Method::Post,
            "/devcontainers/x/start",
            Ok(Operate(OperationKind::Start, "x".into())),
        );
        check(
            Method::Post,
            "/devcontainers/x/stop",
            Ok(Operate(OperationKind::Stop, "x".into())),
        );
        check(
            Method::Delete,
            "/devcontainers/x",
            Ok(Operate(OperationKind::Delete, "x".into())),
        );
        check(
            Method::Post,
            "/devcontainers/x/cancel",
            Ok(Cancel("x".into())),
        );
        check(
            Method::Post,
            "/devcontainers/container/x/recreate",
            Ok(RecreateContainer("x".into())),
        );
        check(Method::Get, "/healthz", Ok(Healthz));
        check(Method::Get, "/readyz", Ok(Readyz));
        check(Method::Get, "/version", Ok(Version));
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
    fn wrong_methods_and_unknown_paths() {
        check(Method::Post, "", Err(RouteError::Method(READ)));
        check(
            Method::Post,
            "/devcontainers/x",
            Err(RouteError::Method(READ_OR_DELETE)),
        );
        check(
            Method::Get,
            "/devcontainers/x/recreate",
            Err(RouteError::Method(ACT)),
        );
        check(Method::Options, "/healthz", Err(RouteError::Method(READ)));
        check(Method::Get, "/devcontainers/x/y", Err(RouteError::NotFound));
        check(Method::Get, "/nope", Err(RouteError::NotFound));
        check(Method::Get, "//healthz", Err(RouteError::NotFound));
        assert_eq!(
            route(&Method::Get, "/api/v0/containersx"),
            Err(RouteError::NotFound)
        );
        assert_eq!(route(&Method::Get, "/api/v0"), Err(RouteError::NotFound));
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "[/a-z%0-9]{0,40}") {
            let _ = route(&Method::Get, &path);
        }
    }
}
