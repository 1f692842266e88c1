//! The head of a request, parsed strictly: a head that two programs could read differently is rejected.

use std::str::FromStr;

use tiny_http::Method;

use super::access::Credentials;
use super::headers::Headers;
use super::limits::{MAX_HEAD, MAX_HEADERS};

/// The state of a connection after an answer (RFC 9112, section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    KeepAlive,
    Close,
}

/// A request without its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Percent-encoded, as the client sent it.
    pub(super) path: String,
    /// The part of the target after the question mark.
    pub(super) query: String,
    pub(super) version: Version,
    /// The client's wish for the connection after the answer.
    pub(super) persistence: Persistence,
    /// From the target where it has an authority, otherwise from the header. HTTP/1.0 requires none.
    pub(super) host: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) sec_fetch_site: Option<String>,
    /// A browser sends the request before anyone has opened the address (`Sec-Purpose`, `Purpose`).
    pub(super) is_speculative: bool,
    pub(super) authorization: Option<Credentials>,
    pub(super) accept: Option<String>,
    pub(super) last_event_id: Option<String>,
    /// The client sends the body only after `100 Continue`.
    pub(super) expects_continue: bool,
    pub(super) framing: Framing,
    /// True if its body was not empty. Known once the body has been read.
    pub(super) has_content: bool,
}

/// The version of HTTP of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    Http11,
}

/// The way in which the end of a body is marked. A request without a body has the length 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// The reason to reject a head. The connection is closed after each of these, because the beginning of the next request
/// is not known for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    /// 400
    Bad(Flaw),
    /// 431
    TooLarge,
    /// 501: a transfer coding other than chunked.
    Coding,
    /// 505
    Version,
}

/// The flaw of a head, or of the framing of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Syntax,
    Method,
    /// The target is neither a path nor an `http` URL.
    Target,
    /// The target has an authority other than the `Host`. Programs differ in which one counts.
    TwoHosts,
    NoHost,
    /// This header occurs more than once. Programs differ in which one counts.
    Repeated(&'static str),
    NotText(&'static str),
    ContentLength,
    LengthAndCoding,
    CodingInHttp10,
    Chunk,
    Trailer,
    /// A line ends with CR or LF alone. Programs differ in whether it ends there.
    LineEnd,
    /// This header is another one where a program takes `_` for `-`.
    Underscore,
}

impl From<Flaw> for HeadError {
    fn from(flaw: Flaw) -> Self {
        Self::Bad(flaw)
    }
}

impl Request {
    /// Parses a head at the beginning of `bytes`. Returns it and its length, or `None` where it is not complete.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let length = match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
            Ok(httparse::Status::Partial) if has_bare_line_end(bytes) => {
                return Err(Flaw::LineEnd.into());
            }
            Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
            Err(httparse::Error::Version) => return Err(HeadError::Version),
            Err(_) => return Err(Flaw::Syntax.into()),
        };
        if has_bare_line_end(bytes.get(..length).unwrap_or_default()) {
            return Err(Flaw::LineEnd.into());
        }
        let version = match parsed.version {
            Some(1) => Version::Http11,
            _ => Version::Http10,
        };
        let headers = Headers(parsed.headers);
        if headers.0.iter().any(|header| is_disguised(header.name)) {
            return Err(Flaw::Underscore.into());
        }
        let method = parsed.method.unwrap_or_default();
        let method = Method::from_str(method).map_err(|()| Flaw::Method)?;
        let (authority, path, query) = split_target(parsed.path.unwrap_or_default())?;
        let host = headers.only("Host")?;
        if version == Version::Http11 && host.is_none() {
            return Err(Flaw::NoHost.into());
        }
        if let (Some(authority), Some(host)) = (authority, host)
            && !authority.eq_ignore_ascii_case(host)
        {
            return Err(Flaw::TwoHosts.into());
        }
        let request = Self {
            method,
            path: path.into(),
            query: query.into(),
            version,
            persistence: headers.persistence(version),
            host: authority.or(host).map(str::to_owned),
            origin: headers.only("Origin")?.map(str::to_owned),
            sec_fetch_site: headers.only("Sec-Fetch-Site")?.map(str::to_owned),
            is_speculative: headers.is_speculative(),
            authorization: headers
                .only("Authorization")?
                .map(|value| Credentials(value.to_owned())),
            accept: headers.first("Accept"),
            last_event_id: headers.first("Last-Event-ID"),
            expects_continue: version == Version::Http11 && headers.expect_continue(),
            framing: headers.framing(version)?,
            has_content: false,
        };
        Ok(Some((request, length)))
    }

    pub(super) fn has_body(&self) -> bool {
        self.framing != Framing::Length(0)
    }
}

/// True if CR or LF stands alone in `bytes`. A CR at their end is no such one: its LF may follow.
pub(super) fn has_bare_line_end(bytes: &[u8]) -> bool {
    let bare_cr = |pair: &[u8]| matches!(pair, [b'\r', after] if *after != b'\n');
    let bare_lf = |pair: &[u8]| matches!(pair, [before, b'\n'] if *before != b'\r');
    bytes.first() == Some(&b'\n') || bytes.windows(2).any(|pair| bare_cr(pair) || bare_lf(pair))
}

/// True if a name consists of the characters that RFC 9110, section 5.6.2, allows.
pub(super) fn is_token(name: &[u8]) -> bool {
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !name.is_empty() && name.iter().all(is_token)
}

/// True if a header of this name says where a message ends or whom it is for, also to a program that takes `_` for `-`.
pub(super) fn decides_framing(name: &[u8]) -> bool {
    let name: Vec<u8> = name
        .iter()
        .map(|b| if *b == b'_' { b'-' } else { *b })
        .collect();
    let framing: [&[u8]; 3] = [b"host", b"content-length", b"transfer-encoding"];
    framing.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn is_disguised(name: &str) -> bool {
    name.contains('_') && decides_framing(name.as_bytes())
}

/// Splits a target into authority, path and query. It is a path, or an absolute URL as proxies receive it (RFC 9112,
/// section 3.2).
fn split_target(target: &str) -> Result<(Option<&str>, &str, &str), Flaw> {
    // Programs differ in what they make of bytes that are no ASCII, of a fragment, and of a backslash.
    if !target
        .bytes()
        .all(|b| matches!(b, b'!'..=b'~') && !matches!(b, b'#' | b'\\'))
    {
        return Err(Flaw::Target);
    }
    let (authority, rest) = match target.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            (Some(authority), rest)
        }
        _ if target.starts_with('/') => (None, target),
        _ => return Err(Flaw::Target),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok((authority, if path.is_empty() { "/" } else { path }, query))
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
        assert_eq!(request.framing, Framing::Length(7));
        assert_eq!(request.version, Version::Http11);
        assert_eq!(request.persistence, Persistence::KeepAlive);
        assert!(request.has_body());
    }

    #[test]
    fn an_incomplete_head_is_not_parsed() {
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
        use Persistence::{Close, KeepAlive};
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", KeepAlive),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n",
                Close,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: te, close\r\n\r\n",
                Close,
            ),
            ("GET / HTTP/1.0\r\n\r\n", Close),
            (
                "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                KeepAlive,
            ),
        ] {
            assert_eq!(parse(head).persistence, expected, "{head}");
        }
    }

    #[test]
    fn targets() {
        for (target, path, host) in [
            ("/", "/", "a"),
            ("//x//", "//x//", "a"),
            ("http://a/x", "/x", "a"),
            ("HTTP://A?x", "/", "A"),
        ] {
            let request = parse(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(
                (request.path.as_str(), request.host.as_deref()),
                (path, Some(host))
            );
        }
        for target in [
            "*",
            "localhost:80",
            "https://a/",
            "x/y",
            "/#x",
            "/\\x",
            "/é",
        ] {
            let head = format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(refused(&head), HeadError::Bad(Flaw::Target));
        }
    }

    #[test]
    fn p19_ambiguous_heads_are_rejected() {
        let head = |headers: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        for headers in [
            "Host: b\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 01\r\n",
            "Content_Length: 1\r\n",
            "transfer-Encoding: chunked\r\nTransfer_Encoding: x\r\n",
            "X: a\nY: b\r\n",
            "X: a\rY: b\r\n",
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
        for whole in [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\nHost: a",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
        ] {
            assert_eq!(refused(whole), HeadError::Bad(Flaw::LineEnd), "{whole:?}");
        }
        assert_eq!(
            refused("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"),
            HeadError::Bad(Flaw::TwoHosts)
        );
        assert_eq!(
            refused("GET / HTTP/1.1\r\n\r\n"),
            HeadError::Bad(Flaw::NoHost)
        );
    }

    #[test]
    fn p19_other_versions_and_large_heads_are_rejected() {
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
