//! Hostile and slow clients, each of which costs its own slot for a limited time (P19).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::common::usage::{AT_REST, Usage};
use crate::common::{
    BINARY, Daemon, DaemonBuilder, Response, Sandbox, Stopwatch, eventually, parse,
};
use rustix::net::sockopt::set_socket_linger;

pub(super) const SLOTS: usize = 64;
/// How long a client may take to send a head, and how much later the end of its connection may show.
const PATIENCE: std::ops::Range<f64> = 9.5..13.0;

/// Asserts that a client that began to send a head then is cut off in time, which is now.
#[track_caller]
pub(super) fn assert_in_time(begun: &Stopwatch) {
    let (least, waited) = (begun.by_the_clock(), begun.elapsed());
    assert!(least.as_secs_f64() >= PATIENCE.start, "{least:?}");
    assert!(waited.as_secs_f64() < PATIENCE.end, "{waited:?}");
}

pub(super) fn start() -> (Sandbox, Daemon, Usage) {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    // The allocator keeps memory for the largest number of threads so far.
    drop(daemon.kept_connections(SLOTS));
    let usage = daemon.usage();
    (sandbox, daemon, usage)
}

/// The response to a client whose bytes the daemon does not all read.
#[track_caller]
fn answer_to(daemon: &Daemon, bytes: &[u8]) -> Response {
    let answer = parse(&daemon.raw(bytes));
    assert_eq!(answer.headers["connection"], "close");
    answer
}

/// Resets the connection.
pub(super) fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn p19_fifty_connections_are_served_at_once() {
    let (_sandbox, daemon, before) = start();
    let mut clients = daemon.kept_connections(50);
    for path in ["/", "/devcontainers", "/healthz", "/devcontainers/app"] {
        for client in &mut clients {
            client.send(daemon.head("GET", path, ""));
        }
        for client in &mut clients {
            assert_eq!(client.answer().status, 200, "{path}");
        }
    }
    daemon.assert_prompt(&[200]);
    std::thread::scope(|scope| {
        for client in &mut clients {
            let daemon = &daemon;
            scope.spawn(move || {
                for _ in 0..20 {
                    client.send(daemon.head("GET", "/devcontainers", ""));
                    assert_eq!(client.answer().status, 200);
                }
            });
        }
    });
    eventually("each connection has a thread, and no other is left", || {
        (daemon.threads() == AT_REST + 50).then_some(())
    });
    drop(clients);
    daemon.assert_unharmed(&before);
}

#[test]
fn p19_lengths_and_versions_that_end_other_servers() {
    let (sandbox, daemon, before) = start();
    for _ in 0..20 {
        for method in ["GET", "POST"] {
            let path = "/devcontainers/app/recreate";
            let huge = daemon.head(method, path, "Content-Length: 1099511627776\r\n");
            let answer = answer_to(&daemon, huge.as_bytes());
            answer.assert_error(413, "Request body too large", "64 KiB");
            assert_eq!(daemon.get("/healthz").status, 200);
        }
        let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        assert_eq!(answer_to(&daemon, http2).status, 505);
        assert_eq!(daemon.get("/healthz").status, 200);
        let tls = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";
        assert_eq!(answer_to(&daemon, tls).status, 400);
        assert_eq!(daemon.get("/healthz").status, 200);
    }
    daemon.assert_unharmed(&before);
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn p19_a_header_of_64_mib_is_not_kept() {
    let (_sandbox, daemon, before) = start();
    let chunk = &[b'x'; 1 << 16];
    for beginning in [
        daemon.head("GET", "/", "").trim_end().to_owned() + "\r\nX: ",
        "GET /".into(),
        "".into(),
    ] {
        let mut client = daemon.client();
        client.send(&beginning);
        let mut writer = client.stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            // The daemon closes the connection before all is sent.
            scope.spawn(move || (0..1024).all(|_| writer.write_all(chunk).is_ok()));
            let answer = client.answer();
            answer.assert_error(431, "Request head too large", "8 KiB");
            assert_eq!(client.rest(), "");
            let _ = client.stream.shutdown(Shutdown::Both);
        });
        daemon.assert_unharmed(&before);
    }
    let memory = daemon.status("VmHWM");
    assert!(memory < 32 << 10, "{memory} kB at its largest");
}

#[test]
fn p19_silent_connections_are_cut_off_after_ten_seconds() {
    let (_sandbox, daemon, before) = start();
    let begun = Stopwatch::start();
    let silent = daemon.connections(200);
    for (number, mut stream) in silent.into_iter().enumerate() {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "{number}");
        if number == 200 - SLOTS {
            assert_in_time(&begun);
        }
    }
    assert_in_time(&begun);
    daemon.assert_unharmed(&before);
}

#[test]
fn p19_heads_and_bodies_that_never_end_are_cut_off_after_ten_seconds() {
    let (sandbox, daemon, before) = start();
    let path = "/devcontainers/app/recreate";
    let whole = daemon.head("POST", path, "X-Long: abcdefghijklmnopqrstuvwxyz\r\n");
    let length = daemon.head("POST", path, "Content-Length: 60000\r\n");
    let chunked = daemon.head("POST", path, "Transfer-Encoding: chunked\r\n");
    // The first part is sent at once; of the second one, a byte is sent each time that some time has passed.
    let slow = |at_once: String, drop_by_drop: &'static str| {
        let mut client = daemon.client();
        client.send(at_once);
        (client, drop_by_drop.bytes().cycle())
    };
    let begun = Stopwatch::start();
    let mut clients = vec![slow(whole[..40].into(), ""), slow("G".into(), "")];
    clients.extend((0..40).map(|_| slow(whole.trim_end().into(), "\r\nX: y")));
    clients.extend((0..5).map(|_| slow(length.clone(), "x")));
    clients.extend((0..5).map(|_| slow(chunked.clone(), "1\r\nx\r\n")));
    clients.push(slow(format!("{chunked}0\r\n"), "X: y\r\n"));
    clients.push(slow(format!("{chunked}10000\r\n"), "x"));
    clients.push(slow(format!("{chunked}1;"), "x"));
    let mut open = clients.len();
    assert!(open < SLOTS);
    while open > 0 {
        let waited = begun.elapsed().as_secs_f64();
        assert!(waited < PATIENCE.end, "{open} are still open");
        clients.retain_mut(|(client, drops)| {
            let answered = client.is_readable();
            if answered {
                assert_in_time(&begun);
                let answer = client.answer();
                answer.assert_error(408, "Request timeout", "10 s");
                assert_eq!(answer.headers["connection"], "close");
                open -= 1;
            } else if let Some(byte) = drops.next() {
                let _ = client.stream.write_all(&[byte]);
            }
            !answered
        });
        daemon.assert_prompt(&[200]);
        // The pace of the bytes.
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    daemon.assert_unharmed(&before);
}

#[test]
fn p19_clients_that_reset_their_connections() {
    let (sandbox, daemon, before) = start();
    let get = daemon.head("GET", "/devcontainers", "");
    let post = daemon.head("POST", "/nope", "Content-Length: 50000\r\n");
    let chunked = daemon.head("POST", "/nope", "Transfer-Encoding: chunked\r\n");
    let requests = [
        String::new(),
        "G".into(),
        get[..30].into(),
        get.clone(),
        get.repeat(50),
        format!("{post}abc"),
        format!("{chunked}5\r\nab"),
        "\x00".into(),
    ];
    for number in 0..5000 {
        let mut stream = daemon.connect();
        // The connection may have been refused already.
        let _ = stream.write_all(requests[number % requests.len()].as_bytes());
        reset(stream);
        if number % 500 == 0 {
            eventually("it answers", || {
                (daemon.get("/healthz").status == 200).then_some(())
            });
        }
    }
    eventually("the last ones are gone", || {
        (daemon.get("/healthz").status == 200).then_some(())
    });
    daemon.assert_unharmed(&before);
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn p19_a_client_that_does_not_take_its_answers_costs_no_memory() {
    let (_sandbox, daemon, before) = start();
    let get = daemon.head("GET", "/devcontainers", "").repeat(100);
    let deaf: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = daemon.connect();
            stream.set_nonblocking(true).unwrap();
            // This fills the buffers at both ends.
            while matches!(stream.write(get.as_bytes()), Ok(1..)) {}
            stream
        })
        .collect();
    daemon.assert_prompt(&[200]);
    let memory = daemon.status("VmHWM");
    assert!(memory < 32 << 10, "{memory} kB at its largest");
    deaf.into_iter().for_each(reset);
    daemon.assert_unharmed(&before);
}

/// A daemon that may open this many files.
fn with_open_files(sandbox: &Sandbox, limit: u32) -> DaemonBuilder {
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    DaemonBuilder::of("/bin/sh")
        .arg("-c")
        .arg(&format!("ulimit -n {limit}; exec \"$0\" \"$@\""))
        .arg(BINARY)
        .env("PATH", &path)
        .args("--no-events --list-timeout 60 --cache-duration 0 --listen 127.0.0.1:0")
}

#[test]
fn p19_running_out_of_descriptors_pauses_accepting() {
    let sandbox = Sandbox::with_app();
    let daemon = with_open_files(&sandbox, 64).start();
    let before = daemon.usage();
    sandbox.docker("while [ ! -e \"$R/go\" ]; do sleep 0.05; done");
    // Connections that are not accepted wait in the kernel's queue.
    let mut clients: Vec<_> = (0..50).map(|_| daemon.client()).collect();
    for client in &mut clients {
        client.send(daemon.head("GET", "/", "Connection: close\r\n"));
    }
    daemon.log.wait_for("accepting connections pauses: ");
    let cpu = cpu_ticks(&daemon);
    let begun = Instant::now();
    eventually("it waits between its attempts", || {
        (begun.elapsed() > Duration::from_millis(500)).then_some(())
    });
    let busy = cpu_ticks(&daemon) - cpu;
    assert!(busy <= 10, "{busy} ticks of 10 ms within 0.5 s");
    assert_eq!(daemon.log_count("accepting connections pauses"), 1);
    sandbox.write("go", "");
    let answers: Vec<String> = clients.iter_mut().map(|client| client.rest()).collect();
    // A connection whose request was not read yet may have given way.
    assert!(
        answers.iter().any(|a| a.starts_with("HTTP/1.1 ")),
        "{answers:?}"
    );
    drop(clients);
    // Idle connections give their descriptors to new ones.
    let silent = daemon.connections(50);
    daemon.assert_prompt(&[200]);
    drop(silent);
    daemon.assert_unharmed(&before);
    let recreated = daemon.post("/devcontainers/container/box1/recreate");
    assert_eq!(recreated.status, 204, "{recreated:?}");
}

#[test]
fn p19_too_few_descriptors_to_serve_anyone_are_refused_at_start() {
    let sandbox = Sandbox::with_app();
    for limit in [10, 15, 25, 32, 45] {
        let (status, said) = with_open_files(&sandbox, limit).run();
        assert_eq!(status.code(), Some(2), "{limit}: {said}");
        assert!(said.contains("ulimit -n 1024"), "{limit}: {said}");
    }
}

#[test]
fn p19_a_daemon_that_starts_has_descriptors_for_an_operation() {
    let sandbox = Sandbox::with_app();
    // The least limit with which it starts depends on what it inherits.
    let suffices = |limit: &u32| {
        let daemon = with_open_files(&sandbox, *limit);
        let (_, said) = daemon.args("--manifest /nonexistent").run();
        said.contains("manifest")
    };
    let limit = (20..).find(suffices).unwrap();
    let daemon = with_open_files(&sandbox, limit).start();
    let idle = daemon.kept_connections(4);
    for _ in 0..5 {
        assert_eq!(daemon.get("/").status, 200, "{limit}");
        let recreated = daemon.recreate("app");
        assert_eq!(recreated.status, 204, "{limit}: {recreated:?}");
    }
    drop(idle);
}

/// The processor time of the daemon, in hundredths of a second.
fn cpu_ticks(daemon: &Daemon) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = [fields[11], fields[12]].map(|ticks| ticks.parse::<u64>().unwrap());
    ticks.iter().sum()
}
