//! Many clients at once, and clients that send much and read nothing (P19).

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use crate::bounds::{SLOTS, reset, start};
use crate::common::client::Client;
use crate::common::usage::{AT_REST, Usage};
use crate::common::{Daemon, Sandbox, Stopwatch, eventually};

/// The path of an answer of more than 300 kB.
pub(super) const BIG_LIST: &str = "/";
/// How many of these answers are more than the buffers of a connection hold.
const MORE_THAN_FITS: usize = 60;
/// The threads of connections: of those that have a place, and of those whose place was taken away.
const THREADS: usize = SLOTS + 8 + 64;
/// Less than the 30 s after which a client that takes nothing is cut off, whoever needs its place.
const SOON: Duration = Duration::from_secs(20);

/// A daemon whose list is long and stays the same. It also listens on the socket `socket` of the sandbox.
pub(super) fn start_with_big_list() -> (Sandbox, Daemon, Usage) {
    let sandbox = Sandbox::with_app();
    let container = sandbox.container(2);
    container.label("long", &"x".repeat(300_000)).save();
    let socket = format!("unix:{}", sandbox.path("socket").display());
    let daemon = sandbox
        .daemon()
        .args("--cache-duration 600 --listen 127.0.0.1:0 --listen")
        .arg(&socket)
        .start();
    drop(daemon.kept_connections(SLOTS));
    let usage = daemon.usage();
    (sandbox, daemon, usage)
}

/// Requests for more than the buffers of a connection hold.
fn much(daemon: &Daemon) -> String {
    daemon.head("GET", BIG_LIST, "").repeat(MORE_THAN_FITS)
}

/// Waits until each of so many connections waits for its client.
#[track_caller]
fn await_stuck(daemon: &Daemon, connections: usize) {
    eventually("each answer is stuck", || {
        let all = daemon.threads() >= AT_REST + connections as u64;
        (all && daemon.all_threads_sleep()).then_some(())
    });
}

#[test]
fn p19_ten_thousand_requests_whose_answers_are_read_late() {
    let (_sandbox, daemon, before) = start();
    let mut client = daemon.client();
    let mut writer = client.stream.try_clone().unwrap();
    let requests = daemon.head("GET", "/version", "").repeat(10_000);
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(requests.as_bytes()).unwrap());
        daemon.assert_prompt(&[200]);
        for number in 0..10_000 {
            assert_eq!(client.answer().status, 200, "{number}");
        }
    });
    drop(client);
    daemon.assert_unharmed(&before);
}

/// Does something twice, and asserts that the second time costs nothing that is not given back. The allocator keeps memory
/// for the largest number of threads so far.
#[track_caller]
fn assert_given_back(daemon: &Daemon, flood: impl Fn()) {
    flood();
    let before = daemon.usage();
    flood();
    daemon.assert_unharmed(&before);
}

#[test]
fn p19_clients_that_take_nothing_give_way() {
    let (_sandbox, daemon, _) = start_with_big_list();
    let much = much(&daemon);
    let connect = |_| {
        let mut stream = daemon.connect();
        stream.write_all(much.as_bytes()).unwrap();
        // It is being answered, so that it does not give way as one that waits.
        assert!(matches!(stream.peek(&mut [0]), Ok(1)));
        stream
    };
    assert_given_back(&daemon, || {
        let deaf: Vec<TcpStream> = (0..SLOTS).map(connect).collect();
        await_stuck(&daemon, SLOTS);
        let begun = Stopwatch::start();
        // A stream keeps its place, so that each one takes that of another client.
        let mut streams = Vec::new();
        while streams.len() < 5 {
            let mut client = daemon.client();
            client.send(daemon.head("GET", "/events", ""));
            // There is no room until an answer has been stuck for a second.
            match client.read_head().status {
                200 => streams.push(client),
                status => assert_eq!(status, 503),
            }
            assert!(begun.elapsed() < SOON, "{} are served", streams.len());
        }
        // A client does not take the end for the end of an answer.
        let mut resets = 0;
        eventually("those that gave way are reset", || {
            // Each error is given once.
            let errors = deaf.iter().filter_map(|one| one.take_error().unwrap());
            let errors = errors.filter(|error| error.kind() == ErrorKind::ConnectionReset);
            resets += errors.count();
            (resets >= streams.len()).then_some(())
        });
        deaf.into_iter().for_each(reset);
    });
}

#[test]
fn p19_half_closed_clients_that_take_nothing_shut_nobody_out() {
    let (sandbox, daemon, _) = start_with_big_list();
    let much = much(&daemon);
    let connect = |_| {
        let mut stream = UnixStream::connect(sandbox.path("socket")).unwrap();
        stream.write_all(much.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream
    };
    assert_given_back(&daemon, || {
        let begun = Stopwatch::start();
        let deaf: Vec<UnixStream> = (0..THREADS + 14).map(connect).collect();
        await_stuck(&daemon, THREADS);
        eventually("others are served", || {
            (daemon.get("/version").status == 200).then_some(())
        });
        let waited = begun.elapsed();
        assert!(waited < SOON, "{waited:?}");
        drop(deaf);
    });
}

#[test]
fn p19_connections_without_a_request_harm_nobody() {
    let (sandbox, daemon, before) = start();
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.extend(daemon.connections(50));
        daemon.assert_prompt(&[200]);
    }
    silent.into_iter().for_each(reset);
    daemon.assert_prompt(&[200]);
    for _ in 0..10 {
        for number in 0..200 {
            let stream = daemon.connect();
            match number % 2 {
                0 => drop(stream),
                _ => reset(stream),
            }
        }
        daemon.assert_prompt(&[200]);
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    daemon.assert_unharmed(&before);
}

#[test]
fn p19_streams_that_come_and_go_harm_nobody() {
    let (_sandbox, daemon, before) = start();
    for round in 0..4 {
        let mut streams = Vec::new();
        // The permits of the last round are given back when its threads have ended.
        eventually("all of the streams are open", || {
            let mut client = daemon.client();
            client.send(daemon.head("GET", "/events", ""));
            match client.read_head().status {
                200 => streams.push(client),
                status => assert_eq!(status, 503),
            }
            (streams.len() == SLOTS / 2).then_some(())
        });
        let refused = daemon.get("/events");
        refused.assert_error(503, "Too many streams", "32");
        daemon.assert_prompt(&[200]);
        for client in &mut streams {
            let snapshot = client.json_line().expect("a snapshot");
            assert_eq!(snapshot["type"], "snapshot", "{snapshot}");
        }
        match round % 2 {
            0 => streams.into_iter().for_each(|client| reset(client.stream)),
            _ => drop(streams),
        }
    }
    daemon.assert_unharmed(&before);
}

#[test]
fn p19_clients_of_other_protocols_harm_nobody() {
    let (sandbox, daemon, before) = start();
    let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    hello.extend((0..=255).cycle().take(506));
    let upgrade =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let upgraded = daemon.head("GET", "/version", upgrade) + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let greetings: [(&str, &[u8], &[&str]); 9] = [
        (
            "HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            &["505"],
        ),
        ("h2c", upgraded.as_bytes(), &["200", "505"]),
        ("TLS", &hello, &["400"]),
        ("SOCKS 5", b"\x05\x01\0", &["400"]),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n", &["400"]),
        (
            "PROXY 1",
            b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
            &["505"],
        ),
        ("PROXY 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", &["400"]),
        ("SMTP", b"EHLO localhost\r\n", &["400"]),
        ("redis", b"*1\r\n$4\r\nPING\r\n", &["400"]),
    ];
    for (name, bytes, statuses) in greetings {
        for _ in 0..50 {
            let mut stream = daemon.connect();
            let _ = stream.write_all(bytes);
        }
        let mut client: Client = daemon.client();
        client.send(bytes);
        let all = client.rest();
        let answers: Vec<&str> = all
            .lines()
            .filter_map(|line| line.strip_prefix("HTTP/1.1 ")?.split(' ').next())
            .collect();
        assert_eq!(answers, statuses, "{name}: {all}");
        daemon.assert_prompt(&[200]);
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    daemon.assert_unharmed(&before);
}
