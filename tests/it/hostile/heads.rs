//! Request lines, targets, headers and hosts.

use super::Expected::{Closed, Open};
use super::Table;

impl Table<'_> {
    pub(super) fn request_lines(&mut self) {
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

    pub(super) fn targets(&mut self) {
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

    pub(super) fn headers(&mut self) {
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

    pub(super) fn hosts(&mut self) {
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
        for origin in ["", "http://", "https://", "null"] {
            let stop = "POST /devcontainers/app/stop HTTP/1.0";
            self.raw(format!("{stop}\r\nOrigin: {origin}\r\n\r\n"), Closed(403));
        }
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
}
