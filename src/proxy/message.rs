//! The messages of HTTP/1.1 that go through the proxy: <https://www.rfc-editor.org/rfc/rfc9112>.
//!
//! A connection carries one request. What is sent on says so (`Connection: close`), so that an answer ends where the
//! connection does, and its bytes can be passed on as they are.

use std::io::{self, Read};

/// The longest head of a request or an answer, in bytes. The credentials of many registries fit.
const MAX_HEAD: usize = 1 << 20;
/// The longest body that is kept, in bytes.
const MAX_BODY: usize = 64 << 20;
/// The most headers of one message.
const MAX_HEADERS: usize = 100;

/// Headers about the connection, or the length of a body. Each side sets its own.
const OWN_HEADERS: [&str; 6] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "content-length",
    "accept-encoding",
];

type Headers = Vec<(String, Vec<u8>)>;

/// The head of a request, and the bytes that came with it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// The path and the query.
    pub(super) target: String,
    headers: Headers,
    /// The bytes of the head as they came.
    head: Vec<u8>,
    /// The bytes after the head, as far as they came with it.
    rest: Vec<u8>,
}

/// An answer with its whole body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Headers,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Reads the head of a request. Returns `None` where the client has closed the connection before it sent one.
    pub(super) fn read(client: &mut impl Read) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        loop {
            if let Some(request) = Self::parse(&bytes)? {
                return Ok(Some(request));
            }
            if bytes.len() > MAX_HEAD {
                return Err(invalid("the head of a request is too long"));
            }
            if !read_more(client, &mut bytes)? {
                return match bytes.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = parsed.parse(bytes).map_err(unreadable)? else {
            return Ok(None);
        };
        let (head, rest) = bytes.split_at(length);
        Ok(Some(Self {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            headers: owned(parsed.headers),
            head: head.to_vec(),
            rest: rest.to_vec(),
        }))
    }

    /// Returns whether the connection is to become a stream of another protocol.
    pub(super) fn upgrades(&self) -> bool {
        self.headers.iter().any(|(name, _)| name == "upgrade")
    }

    /// The bytes to send on, with those that came after the head.
    pub(super) fn sent_on(&self) -> Vec<u8> {
        if self.upgrades() {
            return [&self.head[..], &self.rest].concat();
        }
        let is_kept = |name: &str| {
            ["content-length", "transfer-encoding"].contains(&name) || !OWN_HEADERS.contains(&name)
        };
        let mut bytes = self.start_line("HTTP/1.1");
        push_headers(&mut bytes, &self.headers, is_kept);
        bytes.extend_from_slice(b"Connection: close\r\n\r\n");
        bytes.extend_from_slice(&self.rest);
        bytes
    }

    /// The bytes to send on with another body, or with none. The answer has no chunks, as the version knows none.
    pub(super) fn sent_on_with(&self, body: &[u8]) -> Vec<u8> {
        let mut bytes = self.start_line("HTTP/1.0");
        push_headers(&mut bytes, &self.headers, |name| {
            !OWN_HEADERS.contains(&name)
        });
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn start_line(&self, version: &str) -> Vec<u8> {
        format!("{} {} {version}\r\n", self.method, self.target).into_bytes()
    }

    /// Reads the whole body.
    pub(super) fn body(&self, client: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut bytes = self.rest.clone();
        loop {
            if let Some(body) = whole_body(&self.headers, &bytes)? {
                return Ok(body);
            }
            if bytes.len() > MAX_BODY {
                return Err(invalid("the body of a request is too long"));
            }
            if !read_more(client, &mut bytes)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Answer {
    /// An answer of the proxy's own: an error, as the engine writes one.
    pub(super) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "message": message }))
    }

    /// An answer of the proxy's own.
    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), b"application/json".to_vec())],
            body: body.to_string().into_bytes(),
        }
    }

    /// An answer of the proxy's own: it is done, and there is nothing to say.
    pub(super) fn done() -> Self {
        Self {
            status: 204,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Reads an answer, up to the end of the connection or of its body.
    pub(super) fn read(engine: &mut impl Read) -> io::Result<Self> {
        Self::read_on(engine, Vec::new())
    }

    /// Reads an answer of which `bytes` have been read.
    pub(super) fn read_on(engine: &mut impl Read, mut bytes: Vec<u8>) -> io::Result<Self> {
        let mut is_at_end = false;
        while bytes.len() <= MAX_BODY {
            if let Some(answer) = Self::parse(&bytes, is_at_end)? {
                return Ok(answer);
            }
            if is_at_end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            is_at_end = !read_more(engine, &mut bytes)?;
        }
        Err(invalid("an answer of the engine is too long"))
    }

    /// Reads the head of an answer. Returns its status, and all bytes that were read.
    pub(super) fn read_head(engine: &mut impl Read) -> io::Result<(u16, Vec<u8>)> {
        let mut bytes = Vec::new();
        while bytes.len() <= MAX_HEAD {
            if !read_more(engine, &mut bytes)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut parsed = httparse::Response::new(&mut headers);
            if parsed.parse(&bytes).map_err(unreadable)?.is_complete() {
                return Ok((parsed.code.unwrap_or_default(), bytes));
            }
        }
        Err(invalid("the head of an answer is too long"))
    }

    fn parse(bytes: &[u8], is_at_end: bool) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = parsed.parse(bytes).map_err(unreadable)? else {
            return Ok(None);
        };
        let status = parsed.code.unwrap_or_default();
        let headers = owned(parsed.headers);
        let rest = bytes.get(length..).unwrap_or_default();
        let has_length = headers.iter().any(|(name, _)| is_about_length(name));
        let body = match has_length {
            true => whole_body(&headers, rest)?,
            false => is_at_end.then(|| rest.to_vec()),
        };
        Ok(body.map(|body| Self {
            status,
            headers,
            body,
        }))
    }

    /// The bytes for the client.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {:03} \r\n", self.status).into_bytes();
        push_headers(&mut bytes, &self.headers, |name| {
            !OWN_HEADERS.contains(&name)
        });
        if self.status != 204 {
            let length = format!("Content-Length: {}\r\n", self.body.len());
            bytes.extend_from_slice(length.as_bytes());
        }
        bytes.extend_from_slice(b"Connection: close\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The body at the beginning of `bytes`, without its chunks; `None` where it goes on.
fn whole_body(headers: &Headers, bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let value = |wanted: &str| headers.iter().find(|(name, _)| name == wanted);
    if value("transfer-encoding").is_some() {
        return unchunked(bytes);
    }
    let Some((_, length)) = value("content-length") else {
        return Ok(Some(Vec::new()));
    };
    let length = std::str::from_utf8(length).ok().map(str::trim);
    let length: Option<usize> = length.and_then(|length| length.parse().ok());
    let length = length.ok_or_else(|| invalid("a Content-Length is no number"))?;
    Ok(bytes.get(..length).map(<[u8]>::to_vec))
}

/// The content of a chunked body; `None` where it goes on.
fn unchunked(mut bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(bytes);
        let size = size.map_err(|_| invalid("a chunk has no size"))?;
        let httparse::Status::Complete((begin, size)) = size else {
            return Ok(None);
        };
        if size == 0 {
            return Ok(Some(body));
        }
        let chunk = usize::try_from(size).ok().and_then(|size| {
            let rest = bytes.get(begin..)?;
            Some((rest.get(..size)?, rest.get(size.checked_add(2)?..)?))
        });
        let Some((content, rest)) = chunk else {
            return Ok(None);
        };
        body.extend_from_slice(content);
        bytes = rest;
    }
}

fn is_about_length(name: &str) -> bool {
    ["content-length", "transfer-encoding"].contains(&name)
}

/// Reads what is there, and waits for the first byte. Returns false at the end of the stream.
fn read_more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(read) => {
                bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
                return Ok(read > 0);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn owned(headers: &[httparse::Header<'_>]) -> Headers {
    let headers = headers.iter();
    headers
        .map(|header| (header.name.to_ascii_lowercase(), header.value.to_vec()))
        .collect()
}

fn push_headers(bytes: &mut Vec<u8>, headers: &Headers, is_kept: impl Fn(&str) -> bool) {
    for (name, value) in headers.iter().filter(|(name, _)| is_kept(name)) {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn unreadable(error: httparse::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        Request::read(&mut text.as_bytes()).unwrap().unwrap()
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_request_is_sent_on_for_a_connection_of_its_own() {
        let request = request(
            "POST /v1.45/build?t=x HTTP/1.1\r\nHost: api\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        );
        assert!(!request.upgrades());
        assert_eq!(
            text(&request.sent_on()),
            "POST /v1.45/build?t=x HTTP/1.1\r\nhost: api\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello"
        );
    }

    #[test]
    fn an_upgrade_is_sent_on_as_it_came() {
        let sent =
            "POST /grpc HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nmore";
        assert!(request(sent).upgrades());
        assert_eq!(text(&request(sent).sent_on()), sent);
    }

    #[test]
    fn a_body_is_read_in_either_form() {
        for (headers, sent) in [
            ("Content-Length: 5", "hello"),
            (
                "Transfer-Encoding: chunked",
                "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
            ),
        ] {
            let head = format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n");
            for split in 0..sent.len() {
                let (early, late) = sent.split_at(split);
                let request = request(&format!("{head}{early}"));
                let body = request.body(&mut late.as_bytes()).unwrap();
                assert_eq!(text(&body), "hello", "{headers}");
            }
        }
        let cut = request("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe");
        assert!(cut.body(&mut &b""[..]).is_err());
        let odd = request("POST / HTTP/1.1\r\nContent-Length: five\r\n\r\n");
        assert!(odd.body(&mut &b""[..]).is_err());
    }

    #[test]
    fn a_new_body_has_a_new_length() {
        let request = request("POST /x HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(
            text(&request.sent_on_with(b"{}")),
            "POST /x HTTP/1.0\r\nhost: api\r\nContent-Length: 2\r\n\r\n{}"
        );
    }

    #[test]
    fn an_answer_ends_with_its_body_or_with_the_connection() {
        for sent in [
            "HTTP/1.0 200 OK\r\nApi-Version: 1.45\r\n\r\nhello",
            "HTTP/1.0 200 OK\r\nApi-Version: 1.45\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ] {
            let answer = Answer::read(&mut sent.as_bytes()).unwrap();
            assert_eq!((answer.status, text(&answer.body)), (200, "hello"));
            assert_eq!(
                text(&answer.bytes()),
                "HTTP/1.1 200 \r\napi-version: 1.45\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
            );
        }
        let odd = Answer::read(&mut &b"HTTP/1.0 044 ?\r\n\r\n"[..]).unwrap();
        assert!(text(&odd.bytes()).starts_with("HTTP/1.1 044 \r\n"));
        assert!(Answer::read(&mut &b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhe"[..]).is_err());
        assert!(Answer::read(&mut &b"what is this"[..]).is_err());
    }

    #[test]
    fn an_answer_without_content_has_no_length() {
        assert_eq!(
            text(&Answer::done().bytes()),
            "HTTP/1.1 204 \r\nConnection: close\r\n\r\n"
        );
    }
}
