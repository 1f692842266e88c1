//! A table of hostile requests, each with the answer that it must get, and a good answer after each (P19).
//!
//! The families are those of public collections of request smuggling and parser tests, in requests of our own.

use std::io::{Read, Write};

use crate::common::usage::PROMPT;
use crate::common::{Daemon, Sandbox, Stopwatch, parse};

/// What becomes of bytes that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// One answer with this status, after which the connection is closed.
    Closed(u16),
    /// An answer with this status, and another one to a good request that follows.
    Open(u16),
}

use Expected::{Closed, Open};

struct Case {
    bytes: Vec<u8>,
    expected: Expected,
}

/// The requests, built for the address of the daemon.
struct Table<'a> {
    address: &'a str,
    cases: Vec<Case>,
}

impl Table<'_> {
    fn raw(&mut self, bytes: impl Into<Vec<u8>>, expected: Expected) {
        let bytes = bytes.into();
        self.cases.push(Case { bytes, expected });
    }

    /// A request with this line and these headers, after the Host.
    fn request(&mut self, line: &str, headers: &str, after: &str, expected: Expected) {
        let address = self.address;
        self.raw(
            format!("{line}\r\nHost: {address}\r\n{headers}\r\n{after}"),
            expected,
        );
    }

    fn post(&mut self, headers: &str, body: &str, expected: Expected) {
        self.request("POST /nope HTTP/1.1", headers, body, expected);
    }

    fn chunked(&mut self, body: &str, expected: Expected) {
        self.post("Transfer-Encoding: chunked\r\n", body, expected);
    }

    fn request_lines(&mut self) {
        for (line, expected) in [
            ("GET /healthz HTTP/1.1", Open(200)),
            ("GET /healthz HTTP/1.0", Closed(200)),
            ("GET /healthz HTTP/1.2", Closed(505)),
            ("GET /healthz HTTP/0.9", Closed(505)),
            ("GET /healthz HTTP/2.0", Closed(505)),
            ("GET /healthz HTTP/11", Closed(505)),
            ("GET /healthz HTTP/1.1.1", Closed(400)),
            ("GET /healthz HTTP/1.", Closed(505)),
            ("GET /healthz http/1.1", Closed(505)),
            ("GET /healthz HTTPS/1.1", Closed(505)),
            ("GET /healthz  HTTP/1.1", Closed(505)),
            ("GET  /healthz HTTP/1.1", Closed(400)),
            ("GET\t/healthz HTTP/1.1", Closed(400)),
            ("GET /healthz\tHTTP/1.1", Closed(400)),
            ("GET /healthz HTTP/1.1 ", Closed(400)),
            ("GET /healthz HTTP/1.1\t", Closed(400)),
            (" GET /healthz HTTP/1.1", Closed(400)),
            ("GET /healthz", Closed(400)),
            ("GET", Closed(400)),
            ("/healthz HTTP/1.1", Closed(400)),
            ("G\u{e9}T /healthz HTTP/1.1", Closed(400)),
            ("GET: /healthz HTTP/1.1", Closed(400)),
            ("(GET) /healthz HTTP/1.1", Closed(400)),
            ("GET, /healthz HTTP/1.1", Closed(400)),
            ("get /healthz HTTP/1.1", Open(405)),
            ("BREW /healthz HTTP/1.1", Open(405)),
            ("TRACE /healthz HTTP/1.1", Open(405)),
            ("OPTIONS /healthz HTTP/1.1", Open(405)),
            ("CONNECT localhost:1 HTTP/1.1", Closed(400)),
            ("PRI * HTTP/2.0", Closed(505)),
        ] {
            self.request(line, "", "", expected);
        }
        for byte in (0..0x20).chain([0x7f]) {
            let name = char::from(byte);
            if !matches!(name, '\r' | '\n') {
                self.request(&format!("G{name}T / HTTP/1.1"), "", "", Closed(400));
            }
        }
    }

    fn targets(&mut self) {
        for (target, expected) in [
            ("*", Closed(400)),
            ("healthz", Closed(400)),
            ("localhost:80", Closed(400)),
            ("https://localhost/healthz", Closed(400)),
            ("http://localhost/healthz", Closed(400)),
            ("http:///healthz", Closed(400)),
            ("http://user@localhost/healthz", Closed(400)),
            ("file:///etc/passwd", Closed(400)),
            ("/healthz#", Closed(400)),
            ("/healthz#x", Closed(400)),
            ("\\healthz", Closed(400)),
            ("/\\healthz", Closed(400)),
            ("/\\evil.example", Closed(400)),
            ("/h\u{e9}", Closed(400)),
            ("/\u{ff0e}\u{ff0e}/", Closed(400)),
            ("//evil.example/healthz", Open(404)),
            ("/../healthz", Open(404)),
            ("/./healthz", Open(404)),
            ("/x/../healthz", Open(404)),
            ("/%2e%2e/healthz", Open(404)),
            ("/healthz/..", Open(404)),
            ("/healthz%00", Open(404)),
            ("/healthz%0d%0aX:%20y", Open(404)),
            ("/healthz%2f", Open(404)),
            ("/healthz;x", Open(404)),
            ("/healthz?x", Open(400)),
            ("/%", Open(400)),
            ("/%4", Open(400)),
            ("/%zz", Open(400)),
            ("/%u0041", Open(400)),
            ("/%ff", Open(400)),
            ("/%c0%af", Open(400)),
            ("/%ed%a0%80", Open(400)),
            ("/devcontainers/%2e%2e", Open(404)),
            ("/devcontainers/--help", Open(404)),
            ("/devcontainers/$(id)", Open(404)),
            ("/devcontainers/{{.ID}}", Open(404)),
        ] {
            self.request(&format!("GET {target} HTTP/1.1"), "", "", expected);
        }
        for byte in (0x01..0x20).chain([0x7f]) {
            let byte = char::from(byte);
            // These end the line, or part the words of it.
            if !matches!(byte, '\r' | '\n') {
                self.request(&format!("GET /a{byte}b HTTP/1.1"), "", "", Closed(400));
            }
        }
        for byte in [0x80, 0xa0, 0xc3, 0xe2, 0xff] {
            let host = format!(" HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
            self.raw(
                [b"GET /".as_slice(), &[byte], host.as_bytes()].concat(),
                Closed(400),
            );
        }
        let long = "x".repeat(9000);
        self.request(&format!("GET /{long} HTTP/1.1"), "", "", Closed(431));
        self.request(&format!("{long} / HTTP/1.1"), "", "", Closed(431));
    }

    fn headers(&mut self) {
        let many = "X: y\r\n".repeat(63);
        let long = format!("X: {}\r\n", "x".repeat(9000));
        for (headers, expected) in [
            (many.as_str(), Open(200)),
            (&format!("{many}X: y\r\n"), Closed(431)),
            (&long, Closed(431)),
            ("X : y\r\n", Closed(400)),
            ("X\t: y\r\n", Closed(400)),
            ("X\r\n", Closed(400)),
            (": y\r\n", Closed(400)),
            ("X y: z\r\n", Closed(400)),
            ("X\u{e9}: y\r\n", Closed(400)),
            ("X(y): z\r\n", Closed(400)),
            ("\"X\": z\r\n", Closed(400)),
            ("X: a\r\n b\r\n", Closed(400)),
            ("X: a\r\n\tb\r\n", Closed(400)),
            ("X:\r\n Content-Length: 5\r\n", Closed(400)),
            ("X: a\nY: b\r\n", Closed(400)),
            ("X: a\n\r\n", Closed(400)),
            ("X: a\r\n\n", Closed(400)),
            ("X: a\rY: b\r\n", Closed(400)),
            ("X: a\r\r\n", Closed(400)),
            ("X: a\n b\r\n", Closed(400)),
            ("X: \u{0}\r\n", Closed(400)),
            ("X:\r\n", Open(200)),
            ("X:y\r\n", Open(200)),
            ("X: \t y \t\r\n", Open(200)),
            ("X: \u{e9}\r\n", Open(200)),
            ("Host: localhost\r\n", Closed(400)),
            ("Host: \r\n", Closed(400)),
            ("host: evil.example\r\n", Closed(400)),
            ("Host : evil.example\r\n", Closed(400)),
            ("Content_Length: 5\r\n", Closed(400)),
            ("Transfer_Encoding: chunked\r\n", Closed(400)),
            ("Connection: close\r\n", Closed(200)),
            ("Connection: x, CLOSE ,y\r\n", Closed(200)),
            ("Connection: keep-alive\r\n", Open(200)),
            ("Connection: upgrade\r\nUpgrade: websocket\r\n", Open(200)),
            ("Connection: Upgrade\r\nUpgrade: h2c\r\n", Open(200)),
            ("Origin: http://evil.example\r\n", Closed(403)),
            ("Origin: null\r\n", Closed(403)),
            ("Origin: a\r\nOrigin: b\r\n", Closed(400)),
            ("Sec-Fetch-Site: cross-site\r\n", Closed(403)),
            ("Sec-Fetch-Site: same-site\r\n", Closed(403)),
            (
                "Sec-Fetch-Site: none\r\nSec-Fetch-Site: none\r\n",
                Closed(400),
            ),
            (
                "Sec-Fetch-Site: none\r\nSec-Purpose: prefetch\r\n",
                Closed(403),
            ),
            ("Sec-Purpose: prefetch;prerender\r\n", Closed(403)),
            ("Purpose: prefetch\r\n", Closed(403)),
            ("X-Forwarded-Host: evil.example\r\n", Open(200)),
            ("Expect: 100-continue\r\n", Open(200)),
            ("Range: bytes=0-\r\n", Open(200)),
        ] {
            self.request("GET /healthz HTTP/1.1", headers, "", expected);
        }
        for byte in (0..0x20).chain([0x7f]) {
            let byte = char::from(byte);
            if !matches!(byte, '\r' | '\n') {
                let name = format!("X{byte}: y\r\n");
                self.request("GET /healthz HTTP/1.1", &name, "", Closed(400));
                if byte != '\t' {
                    let value = format!("X: a{byte}b\r\n");
                    self.request("GET /healthz HTTP/1.1", &value, "", Closed(400));
                }
            }
        }
    }

    fn hosts(&mut self) {
        for (host, expected) in [
            ("evil.example", Closed(403)),
            ("localhost.", Closed(403)),
            ("localhost:x", Closed(403)),
            ("localhost:80:80", Closed(403)),
            ("localhost, evil.example", Closed(403)),
            ("localhost evil.example", Closed(403)),
            ("localhost/evil", Closed(403)),
            ("user@localhost", Closed(403)),
            ("0.0.0.0", Closed(403)),
            ("127.1", Closed(403)),
            ("2130706433", Closed(403)),
            ("0x7f000001", Closed(403)),
            ("[::1", Closed(403)),
            ("::1]", Closed(403)),
            ("[::1]:80", Open(200)),
            ("LOCALHOST", Open(200)),
            ("", Closed(403)),
        ] {
            self.raw(
                format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"),
                expected,
            );
        }
        self.raw("GET /healthz HTTP/1.1\r\n\r\n", Closed(400));
        self.raw("GET /healthz HTTP/1.1\nHost: localhost\n\n", Closed(400));
        self.raw("GET /healthz HTTP/1.1\nHost: localhost", Closed(400));
        self.raw("\nGET /healthz HTTP/1.1\r\n", Closed(400));
        let good = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        self.raw(format!("\r\n{good}"), Open(200));
        self.raw([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], Closed(400));
        self.raw([0xff; 100], Closed(400));
        self.raw([b'\0'; 100], Closed(400));
        self.raw([b'A'; 9000], Closed(431));
        self.raw("SSH-2.0-x\r\n", Closed(400));
        self.raw("EHLO evil.example\r\n", Closed(400));
        self.raw("*1\r\n$4\r\nPING\r\n", Closed(400));
    }

    fn lengths(&mut self) {
        for (value, expected) in [
            ("0", Open(404)),
            ("00", Closed(400)),
            ("05", Closed(400)),
            ("+5", Closed(400)),
            ("-5", Closed(400)),
            ("5,5", Closed(400)),
            ("5, 5", Closed(400)),
            ("5;x", Closed(400)),
            ("0x5", Closed(400)),
            ("5.0", Closed(400)),
            ("5e0", Closed(400)),
            ("5 5", Closed(400)),
            ("five", Closed(400)),
            ("", Closed(400)),
            ("\u{665}", Closed(400)),
            ("65537", Closed(413)),
            ("18446744073709551615", Closed(413)),
            ("18446744073709551616", Closed(400)),
            ("99999999999999999999999", Closed(400)),
        ] {
            self.post(&format!("Content-Length: {value}\r\n"), "", expected);
        }
        self.post("Content-Length: 5\r\n", "hello", Open(404));
        for headers in [
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5\r\ncontent-length: 0\r\n",
            "Content-Length : 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding\r\n",
            "Transfer-Encoding: \u{b}chunked\r\n",
            "Transfer-Encoding:\n chunked\r\n",
            "X: y\nTransfer-Encoding: chunked\r\n",
            "X: y\rTransfer-Encoding: chunked\r\n",
        ] {
            self.post(headers, "5\r\nhello\r\n0\r\n\r\n", Closed(400));
        }
        for coding in [
            "identity",
            "gzip",
            "xchunked",
            "chunkedx",
            "chunked, identity",
            "gzip, chunked",
            "chunked, chunked",
            "\"chunked\"",
            "'chunked'",
            "chunked;x=y",
            "chunked,",
            ",chunked",
            "chun ked",
            "",
        ] {
            let headers = format!("Transfer-Encoding: {coding}\r\n");
            self.post(&headers, "0\r\n\r\n", Closed(501));
        }
        let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
        self.post(twice, "0\r\n\r\n", Closed(501));
        self.post("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n", Open(404));
        let old = "POST /nope HTTP/1.0";
        self.request(
            old,
            "Transfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            Closed(400),
        );
    }

    fn chunks(&mut self) {
        for (body, expected) in [
            ("0\r\n\r\n", Open(404)),
            ("5\r\nhello\r\n0\r\n\r\n", Open(404)),
            ("00005\r\nhello\r\n0\r\n\r\n", Open(404)),
            ("A;x=y\r\n0123456789\r\n0\r\n\r\n", Open(404)),
            ("5;x=\"a b\"\r\nhello\r\n0\r\n\r\n", Open(404)),
            ("0\r\nX: y\r\n\r\n", Open(404)),
            ("5\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5\rhello\r\n0\r\n\r\n", Closed(400)),
            ("5 \r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5\t\r\nhello\r\n0\r\n\r\n", Closed(400)),
            (" 5\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5 ;x\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5;\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5; x\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5;x \r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("2;\nxx\r\n0\r\n\r\n", Closed(400)),
            ("2;x\nxx\r\n0\r\n\r\n", Closed(400)),
            ("2;x\rxx\r\n0\r\n\r\n", Closed(400)),
            ("2;\u{0}\r\nxx\r\n0\r\n\r\n", Closed(400)),
            ("2;\u{b}\r\nxx\r\n0\r\n\r\n", Closed(400)),
            ("2;\u{7f}\r\nxx\r\n0\r\n\r\n", Closed(400)),
            ("2;\u{e9}\r\nxx\r\n0\r\n\r\n", Closed(400)),
            ("0x5\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("+5\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("-5\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5_0\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5,5\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("g\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("\r\nhello\r\n0\r\n\r\n", Closed(400)),
            (";x\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("5\r\nhelloX\r\n0\r\n\r\n", Closed(400)),
            ("5\r\nhello\n0\r\n\r\n", Closed(400)),
            ("5\r\nhello0\r\n\r\n", Closed(400)),
            ("4\r\nhello\r\n0\r\n\r\n", Closed(400)),
            ("00000000000000005\r\nhello\r\n", Closed(400)),
            ("10000\r\n", Open(408)),
            ("10001\r\n", Closed(413)),
            ("ffffffffffffffff\r\n", Closed(413)),
            ("10000000000000000\r\n", Closed(400)),
            ("0\r\n\n", Closed(400)),
            ("0\n\r\n", Closed(400)),
            ("0\n\n", Closed(400)),
            ("0\r\nX\r\n\r\n", Closed(400)),
            ("0\r\n X: y\r\n\r\n", Closed(400)),
            ("0\r\nX : y\r\n\r\n", Closed(400)),
            ("0\r\nX: y\n\r\n", Closed(400)),
            ("0\r\nX: \u{0}\r\n\r\n", Closed(400)),
            ("0\r\nX: y\r\n z\r\n\r\n", Closed(400)),
            ("0\r\nContent-Length: 5\r\n\r\n", Closed(400)),
            ("0\r\nTransfer-Encoding: chunked\r\n\r\n", Closed(400)),
            ("0\r\nHost: evil.example\r\n\r\n", Closed(400)),
        ] {
            // What is not complete is for the tests of timings.
            if expected != Open(408) {
                self.chunked(body, expected);
            }
        }
        let long = "x".repeat(30_000);
        self.chunked(&format!("5;{long}"), Closed(431));
        self.chunked(&format!("0\r\nX: {long}\r\n\r\n"), Closed(431));
        self.chunked(&format!("0\r\n{}", "X: y\r\n".repeat(2500)), Closed(431));
        self.chunked(&"1\r\nx\r\n".repeat(70_000), Closed(413));
    }
}

fn table(address: &str) -> Vec<Case> {
    let mut table = Table {
        address,
        cases: Vec::new(),
    };
    table.request_lines();
    table.targets();
    table.headers();
    table.hosts();
    table.lengths();
    table.chunks();
    table.cases
}

/// Asserts that bytes get the expected answer and no other.
#[track_caller]
fn assert_answered(daemon: &Daemon, case: &Case) {
    let shown = String::from_utf8_lossy(&case.bytes[..case.bytes.len().min(300)]).into_owned();
    // To a program that reads the first request in another way, this is part of it, or a second one.
    let next = daemon.head("GET", "/version", "Connection: close\r\n");
    let mut stream = daemon.connect();
    // The daemon may close the connection before it has read all.
    let _ = stream.write_all(&case.bytes);
    let _ = stream.write_all(next.as_bytes());
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    assert!(read.is_ok(), "{shown:?}: {read:?}");
    let all = String::from_utf8_lossy(&bytes).replace("HTTP/1.1 100 Continue\r\n\r\n", "");
    let answers = all.matches("\r\nServer: ").count();
    let version = all.contains(env!("CARGO_PKG_VERSION"));
    let answer = parse(&all);
    match case.expected {
        Closed(status) => {
            assert_eq!(answer.status, status, "{shown:?}: {all}");
            assert_eq!(answer.headers["connection"], "close", "{shown:?}: {all}");
            assert!(answers == 1 && !version, "{shown:?}: {all}");
        }
        Open(status) => {
            assert_eq!(answer.status, status, "{shown:?}: {all}");
            assert!(answers == 2 && version, "{shown:?}: {all}");
        }
    }
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(
        answer.headers["cross-origin-resource-policy"],
        "same-origin"
    );
}

#[test]
fn p19_each_hostile_request_gets_its_answer_and_harms_nobody() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    drop(daemon.kept_connections(64));
    let before = daemon.usage();
    let cases = table(&daemon.address);
    assert!(cases.len() >= 250, "{}", cases.len());
    for case in &cases {
        assert_answered(&daemon, case);
        daemon.assert_prompt(&[200]);
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    daemon.assert_unharmed(&before);
}

#[test]
fn p19_hostile_requests_at_once_harm_nobody() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    drop(daemon.kept_connections(64));
    let before = daemon.usage();
    let cases = table(&daemon.address);
    std::thread::scope(|scope| {
        for part in cases.chunks(cases.len() / 7) {
            let daemon = &daemon;
            scope.spawn(move || {
                for case in part {
                    let mut stream = daemon.connect();
                    let half = case.bytes.len() / 2;
                    let _ = stream.write_all(&case.bytes[..half]);
                    // A half of them stays incomplete, and all are dropped unread.
                    if half % 2 == 0 {
                        let _ = stream.write_all(&case.bytes[half..]);
                    }
                }
            });
        }
        let begun = Stopwatch::start();
        daemon.assert_prompt(&[200]);
        assert!(begun.elapsed() < PROMPT * 20);
    });
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    daemon.assert_unharmed(&before);
}
