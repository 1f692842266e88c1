//! The head of a request, read strictly: what could be understood in two ways is refused.

use std::str::FromStr;

use tiny_http::Method;

/// What more than this is, is no request of ours.
pub(super) const MAX_HEAD: usize = 8 << 10;
const MAX_HEADERS: usize = 64;

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// As it was sent, still encoded.
    pub(super) path: String,
    /// What follows the question mark.
    pub(super) query: String,
    /// Whether it is HTTP/1.1, not 1.0.
    pub(super) is_1_1: bool,
    pub(super) keep_alive: bool,
    /// From the target where that has one, else from the header. HTTP/1.0 may have none.
    pub(super) host: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) sec_fetch_site: Option<String>,
    pub(super) accept: Option<String>,
    pub(super) last_event_id: Option<String>,
    /// Whether the client waits for leave to send the body.
    pub(super) expects_continue: bool,
    pub(super) body: Framing,
}

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// A head that is refused. After any of these the connection is closed: where the next request would begin is not
/// known for sure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    /// 400
    Bad(&'static str),
    /// 431
    TooLarge,
    /// 501
    Coding,
    /// 505
    Version,
}

impl Request {
    /// Reads a head from the beginning of `bytes`. Returns it and its length, or `None` where it is not complete.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let length = match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
            Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
            Err(httparse::Error::Version) => return Err(HeadError::Version),
            Err(_) => return Err(HeadError::Bad("it is not a head of HTTP/1.1")),
        };
        let is_1_1 = parsed.version == Some(1);
        let headers = Headers(parsed.headers);
        let method = parsed.method.unwrap_or_default();
        let method = Method::from_str(method).map_err(|()| HeadError::Bad("bad method"))?;
        let (authority, path, query) = split_target(parsed.path.unwrap_or_default())?;
        let host = headers.only("host")?;
        if is_1_1 && host.is_none() {
            return Err(HeadError::Bad("HTTP/1.1 needs a Host"));
        }
        let request = Self {
            method,
            path: path.into(),
            query: query.into(),
            is_1_1,
            keep_alive: headers.keep_alive(is_1_1),
            host: authority.or(host).map(str::to_owned),
            origin: headers.only("origin")?.map(str::to_owned),
            sec_fetch_site: headers.only("sec-fetch-site")?.map(str::to_owned),
            accept: headers.first("accept"),
            last_event_id: headers.first("last-event-id"),
            expects_continue: is_1_1
                && headers
                    .all("expect")
                    .any(|v| v.eq_ignore_ascii_case(b"100-continue")),
            body: headers.framing(is_1_1)?,
        };
        Ok(Some((request, length)))
    }

    /// Whether there is a body to read before the next request.
    pub(super) fn has_body(&self) -> bool {
        self.body != Framing::Length(0)
    }
}

/// Authority, path and query. A target is a path, or a whole address as proxies are sent it.
fn split_target(target: &str) -> Result<(Option<&str>, &str, &str), HeadError> {
    let (authority, rest) = match target.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            (Some(authority), rest)
        }
        _ if target.starts_with('/') => (None, target),
        _ => return Err(HeadError::Bad("the target should be a path")),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok((authority, if path.is_empty() { "/" } else { path }, query))
}

struct Headers<'a>(&'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = self
            .0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value.trim_ascii())
    }

    fn first(&self, name: &str) -> Option<String> {
        let value = self.all(name).next()?;
        std::str::from_utf8(value).ok().map(str::to_owned)
    }

    /// A header that must not be there twice: programs differ in which one counts.
    fn only(&self, name: &str) -> Result<Option<&'a str>, HeadError> {
        let mut values = self.all(name);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(HeadError::Bad(
                "a header that must be unique is there twice",
            ));
        }
        let text = std::str::from_utf8(value);
        text.map(Some)
            .map_err(|_| HeadError::Bad("a header is not text"))
    }

    fn keep_alive(&self, is_1_1: bool) -> bool {
        let has = |token: &str| {
            self.all("connection")
                .flat_map(|value| value.split(|b| *b == b','))
                .any(|value| value.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        };
        !has("close") && (is_1_1 || has("keep-alive"))
    }

    /// RFC 9112, section 6.3, without its leniencies.
    fn framing(&self, is_1_1: bool) -> Result<Framing, HeadError> {
        let length = self.only("content-length")?;
        let mut codings = self.all("transfer-encoding");
        match (codings.next(), codings.next(), length) {
            (None, None, None) => Ok(Framing::Length(0)),
            (None, None, Some(digits)) => {
                let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                let length = digits.parse().ok().filter(|_| plain);
                length
                    .map(Framing::Length)
                    .ok_or(HeadError::Bad("bad Content-Length"))
            }
            (Some(_), _, Some(_)) => Err(HeadError::Bad(
                "it has both a Content-Length and a Transfer-Encoding",
            )),
            (Some(_), _, None) if !is_1_1 => {
                Err(HeadError::Bad("HTTP/1.0 has no Transfer-Encoding"))
            }
            (Some(coding), None, None) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Framing::Chunked)
            }
            _ => Err(HeadError::Coding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(head: &str) -> Request {
        let (request, length) = Request::parse(head.as_bytes()).unwrap().unwrap();
        assert_eq!(length, head.len());
        request
    }

    fn refused(head: &str) -> HeadError {
        Request::parse(head.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_plain_request() {
        let request = parse(
            "POST /a%20b?wait=true&x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n",
        );
        assert_eq!(request.method, Method::Post);
        assert_eq!(
            (request.path.as_str(), request.query.as_str()),
            ("/a%20b", "wait=true&x")
        );
        assert_eq!(request.body, Framing::Length(7));
        assert!(request.keep_alive && request.is_1_1 && request.has_body());
    }

    #[test]
    fn what_is_not_complete_is_waited_for() {
        let head = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(Request::parse(&head.as_bytes()[..end]), Ok(None), "{end}");
        }
        let two = format!("{head}{head}");
        let (_, length) = Request::parse(two.as_bytes()).unwrap().unwrap();
        assert_eq!(length, head.len());
    }

    #[test]
    fn connections_are_kept_as_the_version_and_the_header_say() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n",
                false,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: te, close\r\n\r\n",
                false,
            ),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(parse(head).keep_alive, expected, "{head}");
        }
    }

    #[test]
    fn targets() {
        for (target, path, host) in [
            ("/", "/", "a"),
            ("//x//", "//x//", "a"),
            ("http://b:80/x", "/x", "b:80"),
            ("HTTP://b", "/", "b"),
        ] {
            let request = parse(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(
                (request.path.as_str(), request.host.as_deref()),
                (path, Some(host))
            );
        }
        for target in ["*", "localhost:80", "https://a/", "x/y"] {
            let head = format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(
                refused(&head),
                HeadError::Bad("the target should be a path")
            );
        }
    }

    #[test]
    fn p19_what_could_be_understood_in_two_ways_is_refused() {
        let head = |headers: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        for headers in [
            "Host: b\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Origin: http://a\r\nOrigin: http://b\r\n",
            "X: a\r\n folded: b\r\n",
            "X : a\r\n",
            "X\r\n",
        ] {
            assert!(
                matches!(refused(&head(headers)), HeadError::Bad(_)),
                "{headers}"
            );
        }
        for headers in [
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: \r\n",
        ] {
            assert_eq!(refused(&head(headers)), HeadError::Coding, "{headers}");
        }
        assert!(matches!(
            refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            HeadError::Bad(_)
        ));
        assert_eq!(
            refused("GET / HTTP/1.1\r\n\r\n"),
            HeadError::Bad("HTTP/1.1 needs a Host")
        );
    }

    #[test]
    fn p19_other_versions_and_large_heads_are_refused() {
        assert_eq!(refused("PRI * HTTP/2.0\r\n\r\n"), HeadError::Version);
        assert_eq!(refused("GET / HTTP/2.0\r\n\r\n"), HeadError::Version);
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(MAX_HEAD));
        assert_eq!(refused(&long), HeadError::TooLarge);
        assert_eq!(refused(&format!("{long}\r\n\r\n")), HeadError::TooLarge);
        let many = "X: y\r\n".repeat(MAX_HEADERS);
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n");
        assert_eq!(refused(&many), HeadError::TooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Request::parse(&bytes);
        }

        #[test]
        fn no_head_panics(head in "(GET|POST) [ -~]{0,40} HTTP/1.[01]\r\n([A-Za-z-]{1,20}: [ -~]{0,20}\r\n){0,5}\r\n") {
            let _ = Request::parse(head.as_bytes());
        }
    }
}
