//! Answers, and their bytes on the wire.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tiny_http::StatusCode;

use super::request::{Persistence, Request, Version};
use crate::base::json::to_line;

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The headers besides those that every answer has, and those of its body.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Body>,
    pub(super) content_type: ContentType,
    pub(super) caching: Caching,
    /// Another `Accept` may get another answer.
    pub(super) varies_by_accept: bool,
    /// Close the connection after the answer.
    pub(super) is_last: bool,
}

/// Permission to keep an answer. A client that keeps one has to ask each time whether it still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caching {
    Never,
    /// The entity tag is the revision of what the answer shows (RFC 9110, section 8.8.3).
    Revision(u64),
    /// The entity tag, without its quotes.
    Tag(&'static str),
}

/// The bytes of a body.
#[derive(Debug)]
pub(super) enum Body {
    Shared(Arc<[u8]>),
    /// A part of this program.
    Embedded(&'static [u8]),
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
    /// There is no body, and no length (RFC 9110, section 8.6).
    None,
    Known(usize),
    /// The body is written piece by piece.
    Stream,
}

/// The type of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentType {
    Json,
    JsonLines,
    EventStream,
    Text,
    /// The text format of Prometheus.
    Prometheus,
    OpenMetrics,
    Html,
    Css,
    JavaScript,
}

/// The head of an answer.
pub(super) struct Head<'a> {
    pub(super) status: u16,
    pub(super) content_type: Option<ContentType>,
    pub(super) caching: Caching,
    /// Further headers.
    pub(super) headers: &'a [(&'static str, String)],
    pub(super) varies_by_accept: bool,
    pub(super) length: Length,
    pub(super) delivery: Delivery,
}

/// Writes the heads of the answers of one connection. It keeps its memory, and writes the same head again only where the
/// date is another one.
#[derive(Default)]
pub(super) struct HeadWriter {
    bytes: Vec<u8>,
    /// The source of the bytes, if that may be compared fast.
    last: Option<Plain>,
    /// Since 1970, in seconds.
    second: u64,
    /// That time as the `Date` header has it.
    date: String,
}

/// A head without further headers, but for its date.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Plain {
    status: u16,
    content_type: Option<ContentType>,
    caching: Caching,
    varies_by_accept: bool,
    length: Length,
    version: Version,
    persistence: Persistence,
}

/// The headers of every answer.
const COMMON: &str = concat!(
    "Server: devcontainerd\r\nDevcontainerd-Version: ",
    env!("CARGO_PKG_VERSION"),
    "\r\nX-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n"
);

/// The end of the year 9999, the last one that a `Date` can have, in seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

impl Answer {
    /// Returns 204 without a body.
    pub(super) fn empty() -> Self {
        Self {
            status: 204,
            headers: Vec::new(),
            body: None,
            content_type: ContentType::Json,
            caching: Caching::Never,
            varies_by_accept: false,
            is_last: false,
        }
    }

    /// Returns an answer whose body is a line of JSON.
    pub(super) fn line(status: u16, line: impl Into<Arc<[u8]>>) -> Self {
        Self {
            status,
            body: Some(Body::Shared(line.into())),
            ..Self::empty()
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

    /// Returns 304: the client has what it asks for, which has this revision.
    pub(super) fn not_modified(revision: u64) -> Self {
        Self {
            status: 304,
            ..Self::empty()
        }
        .of_revision(revision)
    }

    pub(super) fn of_revision(self, revision: u64) -> Self {
        Self {
            caching: Caching::Revision(revision),
            ..self
        }
    }

    pub(super) fn head(&self, delivery: Delivery) -> Head<'_> {
        let body = self.body.as_deref();
        Head {
            status: self.status,
            content_type: body.map(|_| self.content_type),
            caching: self.caching,
            headers: &self.headers,
            varies_by_accept: self.varies_by_accept,
            length: body.map_or(Length::None, |body| Length::Known(body.len())),
            delivery,
        }
    }

    /// Returns the bytes that follow the head.
    pub(super) fn body(&self, delivery: Delivery) -> &[u8] {
        let body = self.body.as_deref().filter(|_| !delivery.head_only);
        body.unwrap_or_default()
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Embedded(bytes) => bytes,
        }
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
    pub(super) fn to(request: &Request<'_>, persistence: Persistence) -> Self {
        Self {
            version: request.version,
            persistence,
            head_only: request.method == tiny_http::Method::Head,
        }
    }
}

impl ContentType {
    /// Returns the type as the header has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::JsonLines => "application/x-ndjson",
            Self::EventStream => "text/event-stream",
            Self::Text => "text/plain; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
            Self::Css => "text/css; charset=utf-8",
            Self::JavaScript => "text/javascript; charset=utf-8",
        }
    }
}

impl HeadWriter {
    /// Returns the bytes of a head. They are valid until the next one.
    pub(super) fn write(&mut self, head: &Head<'_>) -> &[u8] {
        let plain = head.plain();
        if self.set_date() || plain.is_none() || plain != self.last {
            self.bytes.clear();
            head.write_to(&mut self.bytes, &self.date);
            self.last = plain;
        }
        &self.bytes
    }

    /// Sets the date to now. Returns whether it is another one than before.
    fn set_date(&mut self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let second = now.map_or(0, |now| now.as_secs()).min(LAST_SECOND);
        let is_other = second != self.second || self.date.is_empty();
        if is_other {
            self.second = second;
            self.date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        }
        is_other
    }
}

impl Head<'_> {
    /// Returns what the head is made from, unless it has further headers.
    fn plain(&self) -> Option<Plain> {
        self.headers.is_empty().then_some(Plain {
            status: self.status,
            content_type: self.content_type,
            caching: self.caching,
            varies_by_accept: self.varies_by_accept,
            length: self.length,
            version: self.delivery.version,
            persistence: self.delivery.persistence,
        })
    }

    fn write_to(&self, out: &mut Vec<u8>, date: &str) {
        let Delivery {
            version,
            persistence,
            ..
        } = self.delivery;
        let mut digits = itoa::Buffer::new();
        put(
            out,
            &[
                match version {
                    Version::Http10 => "HTTP/1.0 ",
                    Version::Http11 => "HTTP/1.1 ",
                },
                digits.format(self.status),
                " ",
                StatusCode(self.status).default_reason_phrase(),
                "\r\nDate: ",
                date,
                "\r\n",
                COMMON,
            ],
        );
        if let Some(content_type) = self.content_type {
            put_header(out, "Content-Type", content_type.as_str());
        }
        const ASK_EACH_TIME: &str = "Cache-Control: no-cache\r\nETag: \"";
        match self.caching {
            Caching::Revision(revision) => {
                let revision = digits.format(revision);
                put(out, &[ASK_EACH_TIME, revision, "\"\r\n"]);
            }
            Caching::Tag(tag) => put(out, &[ASK_EACH_TIME, tag, "\"\r\n"]),
            Caching::Never => put_header(out, "Cache-Control", "no-store"),
        }
        if self.content_type == Some(ContentType::EventStream) {
            // nginx would hold a stream back until its buffer is full.
            put_header(out, "X-Accel-Buffering", "no");
        }
        if self.varies_by_accept {
            put_header(out, "Vary", "Accept");
        }
        for (name, value) in self.headers {
            put_header(out, name, value);
        }
        match self.length {
            Length::Known(length) => put_header(out, "Content-Length", digits.format(length)),
            Length::Stream if version == Version::Http11 => {
                put_header(out, "Transfer-Encoding", "chunked");
            }
            Length::Stream | Length::None => {}
        }
        match (persistence, version) {
            (Persistence::KeepAlive, Version::Http11) => {}
            (Persistence::KeepAlive, Version::Http10) => {
                put_header(out, "Connection", "keep-alive");
            }
            (Persistence::Close, _) => put_header(out, "Connection", "close"),
        }
        put(out, &["\r\n"]);
    }
}

/// Appends a header. Names and values are our own, or made plain as by `warning_header`. A value with a line end, which
/// would split the answer (CVE-2026-66753), is left out.
fn put_header(out: &mut Vec<u8>, name: &str, value: &str) {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        put(out, &[name, ": ", value, "\r\n"]);
    }
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Persistence::{Close, KeepAlive};
    use Version::{Http10, Http11};

    fn delivery(version: Version, persistence: Persistence, head_only: bool) -> Delivery {
        Delivery {
            version,
            persistence,
            head_only,
        }
    }

    fn text(head: &Head<'_>) -> String {
        let mut writer = HeadWriter::default();
        String::from_utf8(writer.write(head).to_vec()).unwrap()
    }

    fn lines(answer: &Answer, delivery: Delivery) -> Vec<String> {
        let text =
            text(&answer.head(delivery)) + std::str::from_utf8(answer.body(delivery)).unwrap();
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
            concat!("Devcontainerd-Version: ", env!("CARGO_PKG_VERSION")),
            "X-Content-Type-Options: nosniff",
            "Cross-Origin-Resource-Policy: same-origin",
            "Content-Type: application/json; charset=utf-8",
            "Cache-Control: no-store",
            "Age: 3",
            "Content-Length: 4",
            "",
            "\"x\"\n",
        ];
        assert_eq!(lines(&answer, delivery(Http11, KeepAlive, false)), expected);
        expected[10] = "";
        assert_eq!(lines(&answer, delivery(Http11, KeepAlive, true)), expected);
        expected.insert(9, "Connection: close");
        assert_eq!(lines(&answer, delivery(Http11, Close, true)), expected);
        expected[0] = "HTTP/1.0 404 Not Found";
        expected[9] = "Connection: keep-alive";
        assert_eq!(lines(&answer, delivery(Http10, KeepAlive, true)), expected);
    }

    #[test]
    fn the_date_is_that_of_the_answer() {
        let date = |writer: &mut HeadWriter| {
            let answer = Answer::empty();
            let head = writer.write(&answer.head(delivery(Http11, KeepAlive, false)));
            let text = std::str::from_utf8(head).unwrap();
            let date = text.lines().find_map(|line| line.strip_prefix("Date: "));
            httpdate::parse_http_date(date.unwrap()).unwrap()
        };
        let mut writer = HeadWriter::default();
        for _ in 0..2 {
            let before = SystemTime::now() - Duration::from_secs(1);
            let found = date(&mut writer);
            assert!(found >= before && found <= SystemTime::now(), "{found:?}");
            writer.second = 0; // as if it had last written long ago
            writer.date = "Thu, 01 Jan 1970 00:00:00 GMT".into();
        }
    }

    #[test]
    fn a_head_is_written_again_where_anything_differs() {
        let mut writer = HeadWriter::default();
        let answers = [
            Answer::json(200, &"x"),
            Answer::json(200, &"x"),
            Answer::json(200, &"longer"),
            Answer::json(404, &"longer"),
            Answer::json(404, &"longer").with("Age", "3"),
            Answer::json(404, &"longer").with("Age", "4"),
            Answer::json(404, &"longer"),
            Answer::json(404, &"longer").of_revision(7),
            Answer::json(404, &"longer").of_revision(8),
            Answer::empty(),
        ];
        for answer in &answers {
            for delivery in [
                delivery(Http11, KeepAlive, false),
                delivery(Http11, Close, false),
                delivery(Http10, Close, false),
            ] {
                let head = answer.head(delivery);
                let kept = String::from_utf8(writer.write(&head).to_vec()).unwrap();
                let lines = |text: &str| {
                    let lines = text.lines().filter(|line| !line.starts_with("Date: "));
                    lines.map(str::to_owned).collect::<Vec<_>>()
                };
                assert_eq!(lines(&kept), lines(&text(&head)));
            }
        }
    }

    #[test]
    fn heads_of_bodies_of_the_same_length_differ_in_their_types() {
        let mut writer = HeadWriter::default();
        for content_type in [
            ContentType::Json,
            ContentType::JsonLines,
            ContentType::EventStream,
            ContentType::Text,
        ] {
            let head = Head {
                status: 200,
                content_type: Some(content_type),
                caching: Caching::Never,
                headers: &[],
                varies_by_accept: false,
                length: Length::Known(1),
                delivery: delivery(Http11, KeepAlive, false),
            };
            let written = String::from_utf8(writer.write(&head).to_vec()).unwrap();
            let expected = format!("\r\nContent-Type: {}\r\n", content_type.as_str());
            assert!(written.contains(&expected), "{written}");
        }
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
                concat!("Devcontainerd-Version: ", env!("CARGO_PKG_VERSION")),
                "X-Content-Type-Options: nosniff",
                "Cross-Origin-Resource-Policy: same-origin",
                "Cache-Control: no-store",
                "",
                ""
            ]
        );
    }

    #[test]
    fn a_stream_is_chunked_or_ends_with_the_connection() {
        let head = |version| {
            text(&Head {
                status: 200,
                content_type: None,
                caching: Caching::Never,
                headers: &[],
                varies_by_accept: false,
                length: Length::Stream,
                delivery: delivery(version, Close, false),
            })
        };
        assert!(head(Http11).contains("\r\nTransfer-Encoding: chunked\r\n"));
        assert!(!head(Http10).contains("Transfer-Encoding"));
        assert!(!head(Http10).contains("Content-Length"));
        assert!(head(Http10).contains("\r\nConnection: close\r\n"));
    }
}
