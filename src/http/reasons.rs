//! The words for what is wrong with a request, which stand in the details of errors.

use std::fmt;

use super::guard::Forbidden;
use super::limits::LONGEST_POLL;
use super::query::QueryError;
use super::request::Flaw;

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("malformed HTTP/1.1 request head"),
            Self::Method => f.write_str("malformed method"),
            Self::Target => f.write_str(
                "the target should be a path, with # and \\ and all that is not ASCII percent-encoded",
            ),
            Self::TwoHosts => f.write_str("the target and the Host header name different hosts"),
            Self::NoHost => f.write_str("HTTP/1.1 requires a Host header"),
            Self::Repeated(name) => write!(f, "the header {name} must be unique, but occurs twice"),
            Self::NotText(name) => write!(f, "the header {name} is not UTF-8 text"),
            Self::ContentLength => f.write_str("malformed Content-Length"),
            Self::LengthAndCoding => {
                f.write_str("the request has both a Content-Length and a Transfer-Encoding")
            }
            Self::CodingInHttp10 => f.write_str("HTTP/1.0 has no Transfer-Encoding"),
            Self::Chunk => f.write_str("malformed chunk"),
            Self::Trailer => f.write_str("malformed or forbidden header after the body"),
            Self::LineEnd => f.write_str("a line should end with CR LF"),
            Self::Underscore => f.write_str(
                "a header should not have the name of another one with _ in place of -",
            ),
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name, []) => write!(
                f,
                "the query parameter {name:?} means nothing here: the route takes none"
            ),
            Self::Unknown(name, known) => {
                let known: Vec<&str> = known.iter().map(|one| one.name()).collect();
                let known = known.join(", ");
                write!(
                    f,
                    "the query parameter {name:?} means nothing here: the route takes {known}"
                )
            }
            Self::Repeated(parameter) => {
                write!(f, "{} should be given once", parameter.name())
            }
            Self::NotBoolean(parameter) => {
                write!(f, "{} should be true or false", parameter.name())
            }
            Self::NotSeconds => {
                let longest = LONGEST_POLL.as_secs();
                write!(f, "wait should be a number of seconds from 0 to {longest}")
            }
            Self::NotRevision => f.write_str("revision should be the number that an answer has as revision"),
            Self::NoName => f.write_str("name should be the id or name of a dev container"),
            Self::UnknownType => f.write_str(
                "type should be container, devcontainer or warnings, or several of them separated by commas",
            ),
            Self::UnknownCondition => {
                f.write_str("until should be running, stopped, idle or clean")
            }
            Self::UntilWithoutName => f.write_str(
                "until is a condition on one dev container, which name should name",
            ),
            Self::HalfPoll => f.write_str(
                "wait and revision mean something together only: the answer comes when the dev container has another revision",
            ),
            Self::WithoutFollow(parameter) => write!(
                f,
                "{} is for the log of the operation, which follow=true asks for",
                parameter.name()
            ),
            Self::NotLineNumber => f.write_str("offset should be the number of a line, from 0"),
            Self::NotFolder => f.write_str(
                "workspace_folder should be an absolute path, percent-encoded, as curl --data-urlencode does it",
            ),
            Self::WithForget(parameter) => write!(
                f,
                "{} is for an operation, and forget=true begins none",
                parameter.name()
            ),
            Self::UnknownFormat => f.write_str("format should be json or text"),
        }
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(
                f,
                "the Host {host:?} is not this machine; if it is, allow it with --allow-host"
            ),
            Self::Site => {
                f.write_str("requests from other web sites are rejected (Sec-Fetch-Site)")
            }
            Self::Speculative => f.write_str(
                "requests that a browser sends ahead, before the address is opened, are rejected (Sec-Purpose)",
            ),
            Self::Origin(origin) => {
                write!(
                    f,
                    "requests from the web page {origin:?} are rejected (Origin)"
                )
            }
        }
    }
}
