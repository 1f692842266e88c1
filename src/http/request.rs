//! The head of a request, parsed strictly: a head that two programs could read differently is rejected.

use std::mem::MaybeUninit;
use std::str::FromStr;

use tiny_http::Method;

use super::access::Credentials;
use super::headers::{Headers, Name};
use super::limits::{MAX_HEAD, MAX_HEADERS};

/// The state of a connection after an answer (RFC 9112, section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    KeepAlive,
    Close,
}

/// A request without its body. Its texts are those of the head that it was parsed from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'h> {
    pub(super) method: Method,
    /// Percent-encoded, as the client sent it.
    pub(super) path: &'h str,
    /// The part of the target after the question mark.
    pub(super) query: &'h str,
    pub(super) version: Version,
    /// The client's wish for the connection after the answer.
    pub(super) persistence: Persistence,
    /// From the target where it has an authority, otherwise from the header. HTTP/1.0 requires none.
    pub(super) host: Option<&'h str>,
    pub(super) origin: Option<&'h str>,
    pub(super) sec_fetch_site: Option<&'h str>,
    /// A browser fetches the address to show it as a page of its own (`Sec-Fetch-Mode`, `Sec-Fetch-Dest`).
    pub(super) is_navigation: bool,
    /// A browser sends the request before anyone has opened the address (`Sec-Purpose`, `Purpose`).
    pub(super) is_speculative: bool,
    pub(super) authorization: Option<Credentials<'h>>,
    pub(super) accept: Option<&'h str>,
    pub(super) accept_encoding: Option<&'h str>,
    pub(super) if_none_match: Option<&'h str>,
    pub(super) last_event_id: Option<&'h str>,
    /// The client sends the body only after `100 Continue`.
    pub(super) expects_continue: bool,
    pub(super) framing: Framing,
    pub(super) content_type: Option<&'h str>,
    /// True if its body was not empty. Known once the body has been read.
    pub(super) has_content: bool,
    /// Its body, if its route takes one.
    pub(super) body: &'h [u8],
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

impl<'h> Request<'h> {
    /// A request that is not read yet.
    pub(super) fn new() -> Self {
        Self {
            method: Method::Get,
            path: "",
            query: "",
            version: Version::Http10,
            persistence: Persistence::Close,
            host: None,
            origin: None,
            sec_fetch_site: None,
            is_navigation: false,
            is_speculative: false,
            authorization: None,
            accept: None,
            accept_encoding: None,
            if_none_match: None,
            last_event_id: None,
            expects_continue: false,
            framing: Framing::Length(0),
            content_type: None,
            has_content: false,
            body: &[],
        }
    }

    /// Parses a head at the beginning of `bytes` in place, as copies of a request would take as long as the rest. Returns the
    /// length of the head, or `None` where it is not complete.
    pub(super) fn parse(&mut self, bytes: &'h [u8]) -> Result<Option<usize>, HeadError> {
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut []);
        let length = match parsed.parse_with_uninit_headers(bytes, &mut headers) {
            Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
            Ok(httparse::Status::Partial) if has_bare_lf(bytes) => {
                return Err(Flaw::LineEnd.into());
            }
            Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
            Err(httparse::Error::Version) => return Err(HeadError::Version),
            Err(_) => return Err(Flaw::Syntax.into()),
        };
        if has_bare_lf(bytes.get(..length).unwrap_or_default()) {
            return Err(Flaw::LineEnd.into());
        }
        let version = match parsed.version {
            Some(1) => Version::Http11,
            _ => Version::Http10,
        };
        if parsed.headers.iter().any(|one| is_disguised(one.name)) {
            return Err(Flaw::Underscore.into());
        }
        let headers = Headers::new(parsed.headers);
        let method = parsed.method.unwrap_or_default();
        self.method = Method::from_str(method).map_err(|()| Flaw::Method)?;
        let (authority, path, query) = split_target(parsed.path.unwrap_or_default())?;
        let host = headers.only(Name::Host)?;
        if version == Version::Http11 && host.is_none() {
            return Err(Flaw::NoHost.into());
        }
        if let (Some(authority), Some(host)) = (authority, host)
            && !authority.eq_ignore_ascii_case(host)
        {
            return Err(Flaw::TwoHosts.into());
        }
        self.path = path;
        self.query = query;
        self.version = version;
        self.persistence = headers.persistence(version);
        self.host = authority.or(host);
        self.origin = headers.only(Name::Origin)?;
        self.sec_fetch_site = headers.only(Name::SecFetchSite)?;
        self.is_navigation = self.sec_fetch_site.is_some() && headers.is_navigation()?;
        self.is_speculative = headers.is_speculative();
        self.authorization = headers.only(Name::Authorization)?.map(Credentials);
        self.accept = headers.first(Name::Accept);
        self.accept_encoding = headers.first(Name::AcceptEncoding);
        self.if_none_match = headers.if_none_match();
        self.last_event_id = headers.first(Name::LastEventId);
        self.expects_continue = version == Version::Http11 && headers.expect_continue();
        self.framing = headers.framing(version)?;
        self.content_type = headers.first(Name::ContentType);
        Ok(Some(length))
    }

    /// Returns whether the client says that it has what it asks for, if that has this revision.
    pub(super) fn has_revision(&self, revision: u64) -> bool {
        self.has_tag(|tag| tag.parse() == Ok(revision))
    }

    /// Returns whether the client says that it has what it asks for, by the entity tag of that, which `is_known` knows without
    /// quotes. A tag may be weak, and `*` stands for every one (RFC 9110, section 13.1.2).
    pub(super) fn has_tag(&self, is_known: impl Fn(&str) -> bool) -> bool {
        let mut tags = self.if_none_match.iter().flat_map(|tags| tags.split(','));
        tags.any(|tag| {
            let tag = tag.trim_ascii();
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let opaque = opaque
                .strip_prefix('"')
                .and_then(|tag| tag.strip_suffix('"'));
            tag == "*" || opaque.is_some_and(&is_known)
        })
    }

    /// The request whose head this is.
    #[cfg(test)]
    pub(super) fn of(head: &'h [u8]) -> Self {
        let mut request = Self::new();
        let length = request.parse(head);
        assert_eq!(length, Ok(Some(head.len())));
        request
    }

    pub(super) fn has_body(&self) -> bool {
        self.framing != Framing::Length(0)
    }
}

/// Returns the length of the head at the beginning of `bytes`, if its last line is there. The head may have flaws.
pub(super) fn head_length(bytes: &[u8]) -> Option<usize> {
    // Empty lines may precede a request (RFC 9112, section 2.2).
    let is_line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    let begin = bytes.iter().take_while(is_line_end).count();
    let head = bytes.get(begin..)?;
    let is_last = |end: &usize| {
        let after = head.get(end + 1..);
        after.is_some_and(|after| after.starts_with(b"\r\n"))
    };
    let last = memchr::memchr_iter(b'\n', head).find(is_last)?;
    Some(begin + last + b"\n\r\n".len())
}

/// True if an LF stands alone in `bytes`, which `httparse` takes for the end of a line. It rejects a CR alone.
fn has_bare_lf(bytes: &[u8]) -> bool {
    let mut ends = memchr::memchr_iter(b'\n', bytes);
    ends.any(|end| end.checked_sub(1).and_then(|before| bytes.get(before)) != Some(&b'\r'))
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
    let is_sound = |b| matches!(b, b'!'..=b'~') && !matches!(b, b'#' | b'\\');
    if !target.bytes().all(is_sound) {
        return Err(Flaw::Target);
    }
    let (authority, rest) = match target.split_at_checked(7) {
        _ if target.as_bytes().first() == Some(&b'/') => (None, target),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            (Some(authority), rest)
        }
        _ => return Err(Flaw::Target),
    };
    let (path, query) = match rest.bytes().position(|b| b == b'?') {
        Some(at) => (rest.get(..at), rest.get(at + 1..)),
        None => (Some(rest), None),
    };
    let path = path.filter(|path| !path.is_empty()).unwrap_or("/");
    Ok((authority, path, query.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(head: &str) -> Request<'_> {
        Request::of(head.as_bytes())
    }

    fn length(bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        Request::new().parse(bytes)
    }

    fn refused(head: &str) -> HeadError {
        length(head.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_plain_request() {
        let request = parse(
            "POST /a%20b?wait=true&x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n",
        );
        assert_eq!(request.method, Method::Post);
        assert_eq!((request.path, request.query), ("/a%20b", "wait=true&x"));
        assert_eq!(request.framing, Framing::Length(7));
        assert_eq!(request.version, Version::Http11);
        assert_eq!(request.persistence, Persistence::KeepAlive);
        assert!(request.has_body());
    }

    #[test]
    fn an_incomplete_head_is_not_parsed() {
        let head = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(length(&head.as_bytes()[..end]), Ok(None), "{end}");
        }
        let two = format!("{head}{head}");
        assert_eq!(length(two.as_bytes()), Ok(Some(head.len())));
    }

    #[test]
    fn the_length_of_a_head_is_that_of_its_lines() {
        for (head, rest) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""),
            (
                "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.1\r\n\r\n",
            ),
            ("\r\n\r\nGET / HTTP/1.0\r\n\r\n", "\r\n\r\n"),
        ] {
            let bytes = format!("{head}{rest}");
            assert_eq!(head_length(bytes.as_bytes()), Some(head.len()), "{bytes:?}");
            parse(head);
        }
        for bytes in [
            "",
            "\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.0\r\n",
            "GET / HTTP/1.0\r\n\r",
        ] {
            assert_eq!(head_length(bytes.as_bytes()), None, "{bytes:?}");
        }
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
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let request = parse(&head);
            assert_eq!((request.path, request.host), (path, Some(host)));
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

    #[test]
    fn a_client_says_which_revisions_it_has() {
        for (header, expected) in [
            ("", false),
            ("If-None-Match: \"7\"\r\n", true),
            ("if-none-match: W/\"7\"\r\n", true),
            ("If-None-Match: \"6\", \"7\"\r\n", true),
            ("If-None-Match: *\r\n", true),
            ("If-None-Match: 7\r\n", false),
            ("If-None-Match: \"70\"\r\n", false),
            ("If-None-Match: \"x\"\r\n", false),
            ("If-None-Match:\r\n", false),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n");
            assert_eq!(parse(&head).has_revision(7), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = length(&bytes);
        }

        #[test]
        fn a_head_is_complete_where_its_last_line_is_there(
            parts in prop::collection::vec(
                prop::sample::select(vec!["\r\n", "\n", "\r", "GET / HTTP/1.1\r\n", "Host: a\r\n", "x"]),
                0..8,
            ),
        ) {
            let bytes = parts.concat();
            let bytes = bytes.as_bytes();
            let parsed = length(bytes);
            let of_head = head_length(bytes).map(|end| {
                let head = bytes.get(..end).unwrap();
                length(head)
            });
            match of_head {
                Some(of_head) => prop_assert_eq!(of_head, parsed),
                None => prop_assert!(!matches!(parsed, Ok(Some(_)))),
            }
        }

        #[test]
        fn no_head_panics(head in "(GET|POST) [ -~]{0,40} HTTP/1.[01]\r\n([A-Za-z-]{1,20}: [ -~]{0,20}\r\n){0,5}\r\n") {
            let _ = length(head.as_bytes());
        }
    }
}
