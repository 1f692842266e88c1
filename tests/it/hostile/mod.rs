//! A table of hostile requests, each with the answer that it must get, and a good answer after each (P19); and clients that
//! are slow, that end early, or that are many.
//!
//! The families of the table are those of public collections of request smuggling and parser tests, in requests of our own.

mod bodies;
mod floods;
mod heads;
mod timings;

use std::io::{Read, Write};
use std::net::TcpStream;

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
    let version = all.contains(r#"{"version":""#);
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
                    // One that waits gives way to those of the others, even before its thread runs again.
                    let Ok(mut stream) = TcpStream::connect(&daemon.address) else {
                        continue;
                    };
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
