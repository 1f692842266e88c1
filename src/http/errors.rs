//! The error table: every error that a client can get, with its status, message and detail.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use tiny_http::Method;

use super::access::Unauthorized;
use super::guard::Forbidden;
use super::limits::{MAX_BODY, MAX_CONNECTIONS, MAX_HEAD, MAX_HEADERS, MAX_STREAMS, READ_TIMEOUT};
use super::peer::Stranger;
use super::query::QueryError;
use super::refusals::Reason;
use super::request::HeadError;
use super::response::Answer;
use super::routes::RouteError;
use crate::daemon::operations::StartError;
use crate::daemon::registry::AddError;
use crate::model::api::ErrorBody;
use crate::model::counters::COUNTERS;
use crate::model::error_code::ErrorCode;
use crate::model::labels::LABEL_FOLDER;
use crate::model::operation::{End, Ending, OperationKind};
use crate::state::{KeptListed, Refusal};

/// The form that the body of a request for a dev container should have.
const BODY_EXAMPLE: &str = r#"the body should be {"workspace_folder":"/…"}, with "config_path" where the folder has several configurations"#;

/// Characters of the text of a `Warning` header.
const MAX_WARNING: usize = 500;

/// The reason for an answer that is an error.
#[derive(Debug)]
pub(super) enum Error {
    /// The daemon is stopping.
    Closing,
    /// The connection is of a user who is not served.
    Stranger(Stranger),
    Forbidden(Forbidden),
    Unauthorized(Unauthorized),
    Head(HeadError),
    Limit(Limit),
    /// The system has no descriptor left for a stream.
    NoDescriptor(io::Error),
    NoRoute {
        error: RouteError,
        method: Method,
        path: String,
    },
    Query(QueryError),
    /// The request has a body, which the route does not take.
    UnusedBody,
    /// The body is of this kind, and not JSON.
    ContentType(String),
    /// The body does not say what it should, for this reason.
    Body(String),
    /// A dev container is not listed.
    NotAdded(AddError),
    /// A dev container is not forgotten.
    NotForgotten(KeptListed),
    /// The client takes no gzip, in which alone there is the status page.
    NotCompressed,
    /// There is no container list, on `GET /`.
    NoContainers(String),
    /// There is no container list, on any other route.
    NoListing(String),
    /// These parts of the daemon are not ready.
    NotReady(Vec<String>),
    Container(ContainerError),
    /// No dev container has this id or name.
    NoDevcontainer(String),
    NotAllowed(String),
    /// The dev container is not where it was listed.
    Moved(String),
    /// The file system of the workspace folder does not answer.
    Silent(String),
    Refused(Refusal),
    /// Another program holds the lock on the workspace folder.
    Locked,
    NothingToCancel,
    /// An operation of this kind did not succeed, in the way that the code says, or the system has nothing left for it.
    Failed(ErrorCode, OperationKind, String),
}

/// A bound that a client exceeded (P19).
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    Connections,
    Streams,
    Time,
    Body,
}

/// A container name or id that leads to no dev container.
#[derive(Debug)]
pub(super) enum ContainerError {
    Empty,
    NotFound(String),
    /// Several ids begin with this prefix.
    Ambiguous(String),
    /// The container with this name has no workspace folder.
    NotDevcontainer(String),
}

/// Code, message and detail. The code decides the status. The detail says why, and where possible how to fix it.
type Row = (ErrorCode, Cow<'static, str>, Cow<'static, str>);

fn row(
    code: ErrorCode,
    message: impl Into<Cow<'static, str>>,
    detail: impl Into<Cow<'static, str>>,
) -> Row {
    (code, message.into(), detail.into())
}

impl Error {
    fn into_row(self) -> Row {
        match self {
            Self::Closing => refusal_row(&Refusal::Closing),
            Self::Stranger(who) => row(ErrorCode::Forbidden, "Forbidden", who.to_string()),
            Self::Forbidden(why) => row(ErrorCode::Forbidden, "Forbidden", why.to_string()),
            Self::Unauthorized(why) => unauthorized_row(why),
            Self::Head(error) => head_row(&error),
            Self::Limit(limit) => limit_row(limit),
            Self::NoDescriptor(error) => row(
                ErrorCode::TooManyStreams,
                "Too many streams",
                error.to_string(),
            ),
            Self::NoRoute {
                error,
                method,
                path,
            } => route_row(&error, &method, &path),
            Self::Query(error) => row(ErrorCode::BadRequest, "Bad request", error.to_string()),
            Self::UnusedBody => row(
                ErrorCode::BadRequest,
                "Bad request",
                "the request has a body, which the route does not take; parameters belong in the query, as in ?wait=true",
            ),
            Self::ContentType(kind) => {
                let detail = format!(
                    "the body has the type {kind:?}; send it with the header Content-Type: application/json"
                );
                row(
                    ErrorCode::UnsupportedMediaType,
                    "Unsupported media type",
                    detail,
                )
            }
            Self::Body(why) => row(
                ErrorCode::BadRequest,
                "Bad request",
                format!("{why}; {BODY_EXAMPLE}"),
            ),
            Self::NotAdded(why) => not_added_row(&why),
            Self::NotForgotten(KeptListed::Refused(refusal)) => refusal_row(&refusal),
            Self::NotForgotten(why) => {
                let (code, message) = match why {
                    KeptListed::Container(_) => {
                        (ErrorCode::HasContainer, "Devcontainer has a container")
                    }
                    _ => (
                        ErrorCode::DefinedElsewhere,
                        "Devcontainer is defined elsewhere",
                    ),
                };
                row(code, message, why.to_string())
            }
            Self::NotCompressed => row(
                ErrorCode::NotAcceptable,
                "Not acceptable",
                "the status page is compressed: send Accept-Encoding: gzip, as with curl --compressed; / without Accept: text/html is JSON",
            ),
            Self::NoContainers(why) => {
                row(ErrorCode::ListingFailed, "Could not get containers.", why)
            }
            Self::NoListing(why) => row(ErrorCode::ListingFailed, "Could not list containers", why),
            Self::NotReady(missing) => row(ErrorCode::NotReady, "Not ready", missing.join("; ")),
            Self::Container(error) => container_row(&error),
            Self::NoDevcontainer(name) => {
                let detail =
                    format!("no dev container has the id or name {name:?}; see /devcontainers");
                row(
                    ErrorCode::DevcontainerNotFound,
                    "Devcontainer not found",
                    detail,
                )
            }
            Self::NotAllowed(why) => row(
                ErrorCode::FolderNotAllowed,
                "Workspace folder not allowed",
                why,
            ),
            Self::Moved(how) => {
                let detail = format!("{how}; nothing was done. See /devcontainers, and ask again");
                row(
                    ErrorCode::FolderChanged,
                    "Workspace folder has changed",
                    detail,
                )
            }
            Self::Silent(why) => row(
                ErrorCode::FolderSilent,
                "Workspace folder does not answer",
                why,
            ),
            Self::Refused(refusal) => refusal_row(&refusal),
            Self::Locked => in_progress_row(StartError::Locked.to_string()),
            Self::NothingToCancel => row(
                ErrorCode::NoOperation,
                "No devcontainer operation in progress",
                "no operation is running or queued for this dev container",
            ),
            Self::Failed(code, kind, why) => {
                row(code, format!("Could not {} devcontainer", kind.verb()), why)
            }
        }
    }

    /// Converts the error of an operation that did not begin.
    pub(super) fn of_start(error: StartError, kind: OperationKind) -> Self {
        match error {
            StartError::NotAllowed(why) => Self::NotAllowed(why),
            StartError::Moved(how) => Self::Moved(how),
            StartError::Silent(why) => Self::Silent(why),
            StartError::NoResources(why) => Self::Failed(ErrorCode::OperationFailed, kind, why),
            StartError::Refused(refusal) => Self::Refused(refusal),
            StartError::Locked => Self::Locked,
        }
    }

    /// True if the client may not use the daemon. Its connection is closed: a page whose requests are refused could
    /// otherwise hold many.
    fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Stranger(_) | Self::Forbidden(_) | Self::Unauthorized(_)
        )
    }

    /// Returns the reason for which the log counts the error as a refused request, with its detail, if it does.
    pub(super) fn refusal(&self) -> Option<(Reason, Cow<'static, str>)> {
        Some(match self {
            Self::Stranger(who) => (Reason::User, who.to_string().into()),
            Self::Forbidden(why) => (Reason::Guard, why.to_string().into()),
            Self::Unauthorized(why) => (Reason::Token, unauthorized_row(*why).2),
            Self::Limit(limit) => (Reason::Limit, limit_row(*limit).2),
            Self::Head(error) => (Reason::Request, head_row(error).2),
            _ => return None,
        })
    }

    /// The header that tells a client how to go on, if there is one for the error.
    fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::NoRoute {
                error: RouteError::MethodNotAllowed(allowed),
                ..
            } => Some(("Allow", allowed.to_string())),
            // RFC 6750, section 3.
            Self::Unauthorized(Unauthorized::Missing) => {
                Some(("WWW-Authenticate", "Bearer".into()))
            }
            Self::Unauthorized(Unauthorized::Wrong) => {
                Some(("WWW-Authenticate", r#"Bearer error="invalid_token""#.into()))
            }
            Self::Limit(Limit::Connections | Limit::Streams) => Some(("Retry-After", "1".into())),
            _ => None,
        }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        let header = error.header();
        let is_last = error.is_refusal();
        let (code, message, detail) = error.into_row();
        COUNTERS.error(code);
        let (status, _) = code.row();
        let body = ErrorBody {
            code,
            message: &message,
            detail: &detail,
        };
        let mut answer = Self::json(status, &body);
        answer.headers.extend(header);
        answer.is_last = is_last;
        answer
    }
}

fn unauthorized_row(why: Unauthorized) -> Row {
    let detail = match why {
        Unauthorized::Missing => {
            "the daemon was started with --token-file: send the token of that file as Authorization: Bearer TOKEN"
        }
        Unauthorized::Wrong => {
            "the token of the request is not the one in the file of the daemon's --token-file"
        }
    };
    row(ErrorCode::Unauthorized, "Unauthorized", detail)
}

fn head_row(error: &HeadError) -> Row {
    match error {
        HeadError::Bad(flaw) => row(ErrorCode::BadRequest, "Bad request", flaw.to_string()),
        HeadError::TooLarge => {
            let detail = format!(
                "the request head exceeds {} KiB or {MAX_HEADERS} headers",
                MAX_HEAD >> 10
            );
            row(ErrorCode::HeadTooLarge, "Request head too large", detail)
        }
        HeadError::Coding => row(
            ErrorCode::CodingNotSupported,
            "Transfer-Encoding not supported",
            "only chunked is supported",
        ),
        HeadError::Version => row(
            ErrorCode::VersionNotSupported,
            "HTTP version not supported",
            "only HTTP/1.0 and HTTP/1.1 are supported",
        ),
    }
}

fn limit_row(limit: Limit) -> Row {
    match limit {
        Limit::Connections => {
            let detail = format!(
                "at most {MAX_CONNECTIONS} requests are answered at once, streams included, and further ones only if they are for /healthz, /readyz, /metrics or a cancel; try again"
            );
            row(
                ErrorCode::TooManyConnections,
                "Too many connections",
                detail,
            )
        }
        Limit::Streams => {
            let detail = format!("at most {MAX_STREAMS} streams may be open at once");
            row(ErrorCode::TooManyStreams, "Too many streams", detail)
        }
        Limit::Time => {
            let limit = READ_TIMEOUT.as_secs();
            let detail = format!("the request was not complete within {limit} s");
            row(ErrorCode::RequestTimeout, "Request timeout", detail)
        }
        Limit::Body => {
            let detail = format!(
                "the body or its framing exceeds {} KiB; no route needs so much",
                MAX_BODY >> 10
            );
            row(ErrorCode::BodyTooLarge, "Request body too large", detail)
        }
    }
}

fn not_added_row(error: &AddError) -> Row {
    let (code, message) = match error {
        AddError::NotAllowed(_) => (ErrorCode::FolderNotAllowed, "Workspace folder not allowed"),
        AddError::NoFolder(_) => (ErrorCode::FolderNotFound, "Workspace folder not found"),
        AddError::NoConfig { .. } => (ErrorCode::ConfigNotFound, "Configuration not found"),
        AddError::SeveralConfigs(_) => (ErrorCode::SeveralConfigs, "Several configurations"),
        AddError::Silent(_) => (ErrorCode::FolderSilent, "Workspace folder does not answer"),
        AddError::TooMany(_) => (ErrorCode::TooManyDevcontainers, "Too many devcontainers"),
    };
    row(code, message, error.to_string())
}

fn route_row(error: &RouteError, method: &Method, path: &str) -> Row {
    match error {
        RouteError::NotFound => row(
            ErrorCode::NotFound,
            "Not found",
            format!("no route matches {path}"),
        ),
        RouteError::MethodNotAllowed(allowed) => {
            let detail = format!("{method} is not allowed at {path}, only {allowed}");
            row(ErrorCode::MethodNotAllowed, "Method not allowed", detail)
        }
        RouteError::Encoding => row(
            ErrorCode::BadRequest,
            "Bad request",
            "the path is not valid percent-encoded UTF-8",
        ),
    }
}

fn container_row(error: &ContainerError) -> Row {
    match error {
        ContainerError::Empty => row(
            ErrorCode::MissingContainer,
            "Missing container ID or name",
            "the path is /containers/{id or name} or /devcontainers/container/{id or name}/recreate",
        ),
        ContainerError::NotFound(name) => {
            let detail = format!(
                "no container has the name or id {name:?}; a short id needs at least 12 digits"
            );
            row(ErrorCode::ContainerNotFound, "Container not found", detail)
        }
        ContainerError::Ambiguous(prefix) => {
            let detail = format!("several container ids begin with {prefix}; give more digits");
            row(
                ErrorCode::AmbiguousContainer,
                "Ambiguous container ID",
                detail,
            )
        }
        ContainerError::NotDevcontainer(name) => {
            let detail =
                format!("container {name} is not a dev container: it has no label {LABEL_FOLDER}");
            row(
                ErrorCode::NotADevcontainer,
                "Missing workspace folder label",
                detail,
            )
        }
    }
}

fn refusal_row(refusal: &Refusal) -> Row {
    let detail = refusal.to_string();
    match refusal {
        Refusal::Closing => row(ErrorCode::Closing, "API closed", detail),
        Refusal::QueueFull(_) => row(
            ErrorCode::TooManyOperations,
            "Too many devcontainer operations",
            detail,
        ),
        Refusal::Gone => row(
            ErrorCode::DevcontainerNotFound,
            "Devcontainer not found",
            detail,
        ),
        Refusal::Repairing | Refusal::InProgress { .. } | Refusal::ProjectInProgress { .. } => {
            in_progress_row(detail)
        }
    }
}

fn in_progress_row(detail: impl Into<Cow<'static, str>>) -> Row {
    row(
        ErrorCode::OperationInProgress,
        "Devcontainer operation in progress",
        detail,
    )
}

/// Returns the answer to a client that waited for an operation to succeed.
pub(super) fn result(end: &End, kind: OperationKind) -> Result<Answer, Error> {
    let code = match end.ending {
        Ending::Succeeded => return Ok(Answer::empty()),
        Ending::Failed(_) => ErrorCode::OperationFailed,
        Ending::Cancelled => ErrorCode::OperationCancelled,
        Ending::Interrupted(_) => ErrorCode::OperationInterrupted,
    };
    let explanation = end.explanation(kind);
    let no_reason = || "no reason was given".to_owned();
    let why = explanation.unwrap_or_else(no_reason);
    Err(Error::Failed(code, kind, why))
}

/// Returns the warning for a list that is served because there is no newer one.
pub(super) fn stale_warning((age, reason): &(Duration, String)) -> String {
    let age = age.as_secs();
    format!("containers cannot be listed, this list is {age} s old: {reason}")
}

/// Returns the value of a `Warning` header: code 110, an unknown agent and a quoted text (RFC 7234, section 5.5). The
/// text may be all that docker said, for which clients and proxies have no room in a head.
pub(super) fn warning_header(text: &str) -> String {
    let mut value = String::from("110 - \"");
    for c in text.chars().take(MAX_WARNING) {
        match c {
            '"' | '\\' => value.extend(['\\', c]),
            ' '..='~' => value.push(c),
            _ => value.push('?'),
        }
    }
    value.push('"');
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_tell_how_to_go_on() {
        let headers = |error: Error| {
            let answer = Answer::from(error);
            answer.headers
        };
        let again = [("Retry-After", "1".to_owned())];
        assert_eq!(headers(Error::Limit(Limit::Streams)), again);
        assert_eq!(headers(Error::Limit(Limit::Connections)), again);
        assert_eq!(headers(Error::Closing), []);
    }

    #[test]
    fn the_text_of_a_warning_is_short_and_plain() {
        assert_eq!(warning_header("a \"b\" é\n"), r#"110 - "a \"b\" ??""#);
        let long = warning_header(&"é".repeat(20_000));
        assert_eq!(long, format!("110 - \"{}\"", "?".repeat(MAX_WARNING)));
    }

    #[test]
    fn an_error_is_one_line_with_code_message_and_detail() {
        let answer = Answer::from(Error::Failed(
            ErrorCode::OperationFailed,
            OperationKind::Stop,
            "no \"docker\"".into(),
        ));
        assert_eq!(answer.status, 500);
        let expected = concat!(
            r#"{"code":"operation_failed","message":"Could not stop devcontainer","detail":"no \"docker\""}"#,
            "\n"
        );
        assert_eq!(answer.body.as_deref(), Some(expected.as_bytes()));
    }

    /// The table in the documentation has a row for each code and message.
    #[test]
    fn the_documented_codes_are_all_codes_with_their_status() {
        let table = include_str!("../../docs/api.md")
            .split("\n## Errors\n")
            .nth(1);
        let table = table.unwrap().split("\n#").next().unwrap();
        let rows = table.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let status: u16 = cells.next()?.parse().ok()?;
            Some((status, cells.next()?.trim_matches('`').to_owned()))
        });
        let mut documented: Vec<(u16, String)> = rows.collect();
        documented.dedup();
        let codes = ErrorCode::ALL.map(|code| {
            let (status, word) = code.row();
            (status, word.to_owned())
        });
        assert_eq!(documented, codes);
    }
}
