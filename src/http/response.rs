//! Answers, and their bytes on the wire.

use std::io;
use std::sync::Arc;

use serde::Serialize;
use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use super::request::{Request, Version};
use crate::base::json::to_line;
use crate::http::request::Persistence;

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Arc<[u8]>>,
    /// Close the connection after the answer.
    pub(super) is_last: bool,
}

/// The properties of a request and its connection that shape the bytes of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) version: Version,
    pub(super) persistence: Persistence,
    /// Leave the body out, as an answer to HEAD does.
    pub(super) head_only: bool,
}

/// The length of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// There is no body, and no length.
    None,
    Known(usize),
    /// The body is written piece by piece.
    Stream,
}

/// Larger bodies are not copied for each client.
const MAX_COPIED: usize = 16 << 10;
const JSON: &str = "application/json; charset=utf-8";

impl Answer {
    /// Returns 204 without a body.
    pub(super) fn empty() -> Self {
        Self {
            status: 204,
            headers: Vec::new(),
            body: None,
            is_last: false,
        }
    }

    /// Returns an answer whose body is a line of JSON.
    pub(super) fn line(status: u16, line: impl Into<Arc<[u8]>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", JSON.into())],
            body: Some(line.into()),
            is_last: false,
        }
    }

    /// Returns an answer whose body is `value` as JSON.
    pub(super) fn json<T: Serialize>(status: u16, value: &T) -> Self {
        Self::line(status, to_line(value))
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns the bytes to send. They come in two parts where the body is too large to be copied for each client.
    pub(super) fn encode(&self, delivery: Delivery) -> (Vec<u8>, Option<&[u8]>) {
        let body = self.body.as_deref();
        let length = body.map_or(Length::None, |body| Length::Known(body.len()));
        let mut first = encode_head(self.status, &self.headers, length, delivery);
        match body.filter(|_| !delivery.head_only) {
            Some(body) if body.len() > MAX_COPIED => return (first, Some(body)),
            Some(body) => first.extend_from_slice(body),
            None => {}
        }
        (first, None)
    }
}

impl Delivery {
    /// For a client whose request is not known, or not complete: the connection cannot go on.
    pub(super) const LAST: Self = Self {
        version: Version::Http11,
        persistence: Persistence::Close,
        head_only: false,
    };

    /// For the answer to `request`.
    pub(super) fn to(request: &Request, persistence: Persistence) -> Self {
        Self {
            version: request.version,
            persistence,
            head_only: request.method == tiny_http::Method::Head,
        }
    }
}

/// Encodes the head of an answer. `Response` does it except for two things: it cannot write `Connection`, and it gives
/// a length where there must be none (RFC 9110, section 8.6).
pub(super) fn encode_head(
    status: u16,
    headers: &[(&'static str, String)],
    length: Length,
    delivery: Delivery,
) -> Vec<u8> {
    let Delivery {
        version,
        persistence,
        ..
    } = delivery;
    let own = [
        ("Server", "devcontainerd"),
        // A browser neither takes an answer for another kind of content, nor hands it to a page of another site.
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ];
    let others = headers.iter().map(|(name, value)| (*name, value.as_str()));
    let all = own.into_iter().chain(others);
    // Names and values are our own and plain ASCII, as is what `warning_header` makes of a text from outside: none of
    // them is lost here. `Header` would take a line end, too, and split the answer at it (CVE-2026-66753).
    let plain = all.filter(|(_, value)| !value.bytes().any(|byte| byte.is_ascii_control()));
    let headers = plain.filter_map(|(name, value)| Header::from_bytes(name, value).ok());
    let known = match length {
        Length::Known(length) => Some(length),
        Length::None => Some(0),
        Length::Stream => None,
    };
    let minor = match version {
        Version::Http10 => 0,
        Version::Http11 => 1,
    };
    let mut head = Vec::with_capacity(512);
    // Writing to memory does not fail.
    let _ = Response::new(
        StatusCode(status),
        headers.collect(),
        io::empty(),
        known,
        None,
    )
    .with_chunked_threshold(usize::MAX)
    .raw_print(&mut head, HTTPVersion(1, minor), &[], true, None);
    let has_no_length = match length {
        Length::None => true,
        Length::Stream => version == Version::Http10,
        Length::Known(_) => false,
    };
    if has_no_length {
        remove(&mut head, b"Content-Length: 0\r\n");
    }
    let connection: &[u8] = match (persistence, version) {
        (Persistence::KeepAlive, Version::Http11) => b"",
        (Persistence::KeepAlive, Version::Http10) => b"Connection: keep-alive\r\n",
        (Persistence::Close, _) => b"Connection: close\r\n",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Persistence;
    use Persistence::{Close, KeepAlive};
    use Version::{Http10, Http11};

    fn delivery(version: Version, persistence: Persistence, head_only: bool) -> Delivery {
        Delivery {
            version,
            persistence,
            head_only,
        }
    }

    fn lines(answer: &Answer, delivery: Delivery) -> Vec<String> {
        let (bytes, _) = answer.encode(delivery);
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.split("\r\n");
        let lines = lines.filter(|line| !line.starts_with("Date: "));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn an_answer_with_a_body() {
        let answer = Answer::json(404, &"x").with("Age", "3");
        let mut expected = vec![
            "HTTP/1.1 404 Not Found",
            "Server: devcontainerd",
            "X-Content-Type-Options: nosniff",
            "Cross-Origin-Resource-Policy: same-origin",
            "Content-Type: application/json; charset=utf-8",
            "Age: 3",
            "Content-Length: 4",
            "",
            "\"x\"\n",
        ];
        assert_eq!(lines(&answer, delivery(Http11, KeepAlive, false)), expected);
        expected[8] = "";
        assert_eq!(lines(&answer, delivery(Http11, KeepAlive, true)), expected);
        expected.insert(7, "Connection: close");
        assert_eq!(lines(&answer, delivery(Http11, Close, true)), expected);
        expected[0] = "HTTP/1.0 404 Not Found";
        expected[7] = "Connection: keep-alive";
        assert_eq!(lines(&answer, delivery(Http10, KeepAlive, true)), expected);
    }

    #[test]
    fn a_large_body_is_not_copied() {
        let body = vec![b'x'; MAX_COPIED + 1];
        let answer = Answer::line(200, body.clone());
        let (head, rest) = answer.encode(delivery(Http11, KeepAlive, false));
        assert!(head.ends_with(b"\r\nContent-Length: 16385\r\n\r\n"));
        assert_eq!(rest, Some(&body[..]));
        let head_only = answer.encode(delivery(Http11, KeepAlive, true));
        assert_eq!(head_only, (head, None));
    }

    #[test]
    fn a_value_with_a_line_end_is_left_out() {
        for value in ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "\n", "a\0"] {
            let answer = Answer::empty().with("Location", value);
            let found = lines(&answer, delivery(Http11, KeepAlive, false));
            let without = lines(&Answer::empty(), delivery(Http11, KeepAlive, false));
            assert_eq!(found, without, "{value:?}");
        }
    }

    #[test]
    fn a_204_has_no_length() {
        assert_eq!(
            lines(&Answer::empty(), delivery(Http11, KeepAlive, false)),
            [
                "HTTP/1.1 204 No Content",
                "Server: devcontainerd",
                "X-Content-Type-Options: nosniff",
                "Cross-Origin-Resource-Policy: same-origin",
                "",
                ""
            ]
        );
    }

    #[test]
    fn a_stream_is_chunked_or_ends_with_the_connection() {
        let head = |version| {
            let head = encode_head(200, &[], Length::Stream, delivery(version, Close, false));
            String::from_utf8(head).unwrap()
        };
        assert!(head(Http11).contains("\r\nTransfer-Encoding: chunked\r\n"));
        assert!(!head(Http10).contains("Transfer-Encoding"));
        assert!(!head(Http10).contains("Content-Length"));
        assert!(head(Http10).contains("\r\nConnection: close\r\n"));
    }
}
