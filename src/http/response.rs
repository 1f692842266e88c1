//! Answers, and how they stand on the wire.

use std::io;
use std::sync::Arc;

use serde::Serialize;
use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use super::request::{HeadError, Request};
use super::routes::RouteError;
use crate::base::json::to_line;

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Arc<[u8]>>,
}

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// There must be none.
    None,
    Known(usize),
    /// It is written as it comes.
    Stream,
}

/// A body up to this size goes out with its head at once.
const MAX_COPIED: usize = 16 << 10;
const JSON: &str = "application/json; charset=utf-8";

#[derive(Serialize)]
struct ErrorBody<'a> {
    message: &'a str,
    detail: &'a str,
}

impl Answer {
    /// 204
    pub(super) fn empty() -> Self {
        Self {
            status: 204,
            headers: Vec::new(),
            body: None,
        }
    }

    /// JSON that is one line already.
    pub(super) fn line(status: u16, line: impl Into<Arc<[u8]>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", JSON.into())],
            body: Some(line.into()),
        }
    }

    pub(super) fn json<T: Serialize>(status: u16, value: &T) -> Self {
        Self::line(status, to_line(value))
    }

    /// What could not be done, why, and where it can be said, the mend.
    pub(super) fn error(status: u16, message: &str, detail: &str) -> Self {
        Self::json(status, &ErrorBody { message, detail })
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What is sent; for HEAD without the body. It comes in two parts where the body is too large to be copied for
    /// each client that takes its time.
    pub(super) fn encode(
        &self,
        is_1_1: bool,
        keep_alive: bool,
        head_only: bool,
    ) -> (Vec<u8>, Option<&[u8]>) {
        let body = self.body.as_deref();
        let length = body.map_or(Length::None, |body| Length::Known(body.len()));
        let mut first = encode_head(self.status, &self.headers, length, is_1_1, keep_alive);
        match body.filter(|_| !head_only) {
            Some(body) if body.len() > MAX_COPIED => return (first, Some(body)),
            Some(body) => first.extend_from_slice(body),
            None => {}
        }
        (first, None)
    }
}

/// The head of an answer. `Response` writes it, but for two things: it has no way to say `Connection`, and it gives
/// a length where there must be none (RFC 9110, section 8.6).
pub(super) fn encode_head(
    status: u16,
    headers: &[(&'static str, String)],
    length: Length,
    is_1_1: bool,
    keep_alive: bool,
) -> Vec<u8> {
    let own = [("Server", "devcontainerd")];
    let all = own
        .into_iter()
        .chain(headers.iter().map(|(n, v)| (*n, v.as_str())));
    // Names and values are ours, and plain: none of them is lost here.
    let headers = all.filter_map(|(name, value)| Header::from_bytes(name, value).ok());
    let known = match length {
        Length::Known(length) => Some(length),
        Length::None => Some(0),
        Length::Stream => None,
    };
    let version = HTTPVersion(1, u8::from(is_1_1));
    let mut head = Vec::with_capacity(512);
    let response = Response::new(
        StatusCode(status),
        headers.collect(),
        io::empty(),
        known,
        None,
    );
    // Writing to memory does not fail.
    let _ =
        response
            .with_chunked_threshold(usize::MAX)
            .raw_print(&mut head, version, &[], true, None);
    if length == Length::None || (length == Length::Stream && !is_1_1) {
        remove(&mut head, b"Content-Length: 0\r\n");
    }
    let connection: &[u8] = match (keep_alive, is_1_1) {
        (true, true) => b"",
        (true, false) => b"Connection: keep-alive\r\n",
        (false, _) => b"Connection: close\r\n",
    };
    // Before the empty line at the end.
    let end = head.len().saturating_sub(2);
    head.splice(end..end, connection.iter().copied());
    head
}

fn remove(bytes: &mut Vec<u8>, part: &[u8]) {
    if let Some(at) = bytes.windows(part.len()).position(|window| window == part) {
        bytes.drain(at..at + part.len());
    }
}

impl From<HeadError> for Answer {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Bad(why) => Self::error(400, "Bad request", why),
            HeadError::TooLarge => {
                let detail = "the head of a request may have 8 KiB and 63 headers";
                Self::error(431, "Request head too large", detail)
            }
            HeadError::Coding => {
                Self::error(501, "Transfer-Encoding not supported", "only chunked is")
            }
            HeadError::Version => {
                let detail = "HTTP/1.0 and HTTP/1.1 are";
                Self::error(505, "HTTP version not supported", detail)
            }
        }
    }
}

impl Answer {
    pub(super) fn no_route(error: RouteError, request: &Request) -> Self {
        let (method, path) = (request.method.as_str(), request.path.as_str());
        match error {
            RouteError::NotFound => {
                Self::error(404, "Not found", &format!("there is nothing at {path}"))
            }
            RouteError::Method(allowed) => {
                let detail = format!("{method} is not allowed at {path}, only {allowed}");
                Self::error(405, "Method not allowed", &detail).with("Allow", allowed)
            }
            RouteError::Encoding => {
                Self::error(400, "Bad request", "the path is not well-formed UTF-8")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(answer: &Answer, is_1_1: bool, keep_alive: bool, head_only: bool) -> Vec<String> {
        let (bytes, _) = answer.encode(is_1_1, keep_alive, head_only);
        let text = String::from_utf8(bytes).unwrap();
        let lines = text
            .split("\r\n")
            .filter(|line| !line.starts_with("Date: "));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn an_answer_with_a_body() {
        let answer = Answer::error(404, "Not found", "x").with("Age", "3");
        let body = "{\"message\":\"Not found\",\"detail\":\"x\"}\n";
        let mut expected = vec![
            "HTTP/1.1 404 Not Found",
            "Server: devcontainerd",
            "Content-Type: application/json; charset=utf-8",
            "Age: 3",
            "Content-Length: 37",
            "",
            body,
        ];
        assert_eq!(head(&answer, true, true, false), expected);
        expected[6] = "";
        assert_eq!(head(&answer, true, true, true), expected);
        expected.insert(5, "Connection: close");
        assert_eq!(head(&answer, true, false, true), expected);
        expected[0] = "HTTP/1.0 404 Not Found";
        expected[5] = "Connection: keep-alive";
        assert_eq!(head(&answer, false, true, true), expected);
    }

    #[test]
    fn a_large_body_is_not_copied() {
        let body = vec![b'x'; MAX_COPIED + 1];
        let answer = Answer::line(200, body.clone());
        let (head, rest) = answer.encode(true, true, false);
        assert!(head.ends_with(b"\r\nContent-Length: 16385\r\n\r\n"));
        assert_eq!(rest, Some(&body[..]));
        assert_eq!(answer.encode(true, true, true), (head, None));
    }

    #[test]
    fn a_204_has_no_length() {
        assert_eq!(
            head(&Answer::empty(), true, true, false),
            ["HTTP/1.1 204 No Content", "Server: devcontainerd", "", ""]
        );
    }

    #[test]
    fn a_stream_is_chunked_or_ends_with_the_connection() {
        let lines = |is_1_1| {
            let head = encode_head(200, &[], Length::Stream, is_1_1, false);
            String::from_utf8(head).unwrap()
        };
        assert!(lines(true).contains("\r\nTransfer-Encoding: chunked\r\n"));
        assert!(!lines(false).contains("Transfer-Encoding"));
        assert!(!lines(false).contains("Content-Length"));
        assert!(lines(false).contains("\r\nConnection: close\r\n"));
    }
}
