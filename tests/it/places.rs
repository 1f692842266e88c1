//! Connections at the limit: the one that is idle longest gives way, and a reserve is left (P19).

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::common::client::Client;
use crate::common::{Daemon, Response, Sandbox, eventually, parse};

const SLOTS: usize = 64;
/// Threads at rest, of all connections, of those that give way, and of those that are not admitted yet.
const MAX_THREADS: u64 = 6 + 64 + 8 + 64 + 16;

fn start(arguments: &str) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().args(arguments).start();
    (sandbox, daemon)
}

#[track_caller]
fn assert_too_many(response: &Response) {
    response.assert_error(503, "Too many connections", "at most 64");
    assert_eq!(response.headers["retry-after"], "1");
    assert_eq!(response.headers["connection"], "close");
}

/// Occupies every regular connection with a request that is answered once `$R/go` exists.
fn occupy(sandbox: &Sandbox, daemon: &Daemon) -> Vec<Client> {
    sandbox.docker("while [ ! -e \"$R/go\" ]; do sleep 0.05; done");
    let wait = || {
        let mut client = daemon.client();
        client.send(daemon.head("GET", "/", "Connection: close\r\n"));
        client
    };
    let mut clients: Vec<Client> = (0..SLOTS).map(|_| wait()).collect();
    // A connection whose request the daemon has not read yet may give way, so that more are needed.
    eventually("all are being answered", || {
        if daemon.get("/version").status != 503 {
            clients.push(wait());
            return None;
        }
        // Of a thread that has read its request, but not begun to answer it, the place may still be taken.
        daemon.all_threads_sleep().then_some(())
    });
    clients
}

#[test]
fn p19_the_connection_that_is_idle_longest_gives_way() {
    let (_sandbox, daemon) = start("");
    let mut clients = Vec::new();
    for _ in 0..SLOTS {
        clients.extend(daemon.kept_connections(1));
        // A connection is idle as soon as its thread waits for the next request, a moment after the answer.
        eventually("it is idle", || daemon.all_threads_sleep().then_some(()));
    }
    clients[0].send(daemon.head("GET", "/healthz", ""));
    assert_eq!(clients[0].answer().status, 200);
    for _ in 0..3 {
        assert_eq!(daemon.get("/version").status, 200);
    }
    assert_eq!(clients[1].rest(), "", "the one that is idle longest");
    for number in [0, SLOTS - 1] {
        clients[number].send(daemon.head("GET", "/healthz", ""));
        assert_eq!(clients[number].answer().status, 200, "{number}");
    }
    daemon.assert_prompt(&[200]);
}

#[test]
fn p19_a_page_with_frames_of_many_names_shuts_nobody_out() {
    let (_sandbox, daemon) = start("");
    // A browser opens six connections to each host, and keeps them.
    let mut frames: Vec<Client> = (0..14 * 6).map(|_| daemon.client()).collect();
    let mut answered = 0;
    for round in 0..3 {
        for (number, frame) in frames.iter_mut().enumerate() {
            let host = number % 14;
            let head = format!(
                "GET /{round} HTTP/1.1\r\nHost: n{host}.evil.example\r\nSec-Fetch-Site: cross-site\r\n\r\n"
            );
            if frame.stream.write_all(head.as_bytes()).is_err() {
                continue;
            }
            // Which ones give way depends on how far the daemon had come with accepting.
            let answer = frame.rest();
            if !answer.is_empty() {
                let answer = parse(&answer);
                if answer.status == 503 {
                    // It gave way when its request had just been read.
                    assert_too_many(&answer);
                    continue;
                }
                answer.assert_error(403, "Forbidden", "n");
                assert_eq!(answer.headers["connection"], "close");
                answered += 1;
            }
        }
        for _ in 0..12 {
            assert_eq!(daemon.get("/version").status, 200);
        }
    }
    assert!(answered >= SLOTS / 2, "{answered}");
    let silent = daemon.connections(14 * 6);
    for _ in 0..36 {
        assert_eq!(daemon.get("/devcontainers").status, 200);
    }
    drop(silent);
}

#[test]
fn p19_silent_connections_shut_nobody_out() {
    let (_sandbox, daemon) = start("");
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.extend(daemon.connections(100));
        for stream in silent.iter_mut().rev().take(20) {
            // A request that never ends is no better.
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nX: ");
        }
        daemon.assert_prompt(&[200]);
        assert_eq!(daemon.get("/devcontainers").status, 200);
        let threads = daemon.threads();
        assert!(threads <= MAX_THREADS, "{threads}");
    }
}

#[test]
fn p19_a_reserve_answers_while_all_connections_are_busy() {
    let (sandbox, daemon) = start("--list-timeout 600 --cache-duration 0");
    daemon.get("/");
    let mut clients = occupy(&sandbox, &daemon);
    daemon.assert_prompt(&[200]);
    for path in ["/", "/devcontainers", "/events", "/nope", "/version"] {
        assert_too_many(&daemon.get(path));
    }
    for path in ["recreate", "stop", "start"] {
        assert_too_many(&daemon.post(&format!("/devcontainers/app/{path}")));
    }
    let nothing = "No devcontainer operation in progress";
    daemon
        .post("/devcontainers/app/cancel")
        .assert_error(409, nothing, "");
    assert_eq!(daemon.get("/metrics").status, 200);
    // Silent connections do not shut others out of the reserve.
    let silent = daemon.connections(100);
    daemon.assert_prompt(&[200]);
    drop(silent);
    // Nor do requests that wait.
    let mut waiting: Vec<Client> = (0..12).map(|_| daemon.client()).collect();
    for client in &mut waiting {
        client.send(daemon.head("GET", "/readyz", "Connection: close\r\n"));
    }
    // A refusal shows that the others wait. One more request would wait itself if it came before one of them.
    eventually("one of them is refused", || {
        waiting.iter().any(Client::is_readable).then_some(())
    });
    daemon.assert_prompt(&[200]);
    assert_eq!(sandbox.calls("devcontainer", ""), 0);

    sandbox.write("go", "");
    let answers: Vec<String> = clients.iter_mut().map(Client::rest).collect();
    let good = answers.iter().filter(|a| a.starts_with("HTTP/1.1 200"));
    assert_eq!(good.count(), SLOTS);
    let answers: Vec<String> = waiting.iter_mut().map(Client::rest).collect();
    let served = answers.iter().filter(|a| a.starts_with("HTTP/1.1 200"));
    assert!(served.count() <= 6, "{answers:?}");
    daemon.assert_prompt(&[200]);
}

#[test]
fn p19_clients_that_go_away_free_their_places_at_once() {
    let (sandbox, daemon) = start("--list-timeout 600 --cache-duration 0");
    daemon.get("/");
    let gone = occupy(&sandbox, &daemon);
    drop(gone);
    daemon.assert_prompt(&[200]);
    // docker still answers none of their requests.
    let mut kept = daemon.kept_connections(SLOTS / 2);
    for client in &mut kept {
        client.send(daemon.head("GET", "/version", ""));
        assert_eq!(client.answer().status, 200);
    }
    sandbox.write("go", "");
    drop(kept);
    eventually("their threads have ended", || {
        (daemon.threads() < 10).then_some(())
    });
}

#[test]
fn p19_a_503_arrives_whole() {
    let (sandbox, daemon) = start("--list-timeout 600 --cache-duration 0");
    daemon.get("/");
    let clients = occupy(&sandbox, &daemon);
    let post = daemon.head("POST", "/nope", "Content-Length: 60000\r\n");
    let mut large = post + &"x".repeat(60_000);
    large += &daemon.head("GET", "/", "").repeat(2000);
    for _ in 0..20 {
        let mut stream = daemon.connect();
        let mut writer = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| writer.write_all(large.as_bytes()));
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("no reset");
            assert_too_many(&crate::common::parse(&answer));
        });
    }
    sandbox.write("go", "");
    drop(clients);
}

#[test]
fn p19_a_client_that_has_gone_away_waits_for_no_list() {
    let (sandbox, daemon) = start("--list-timeout 600 --cache-duration 0");
    daemon.get("/");
    sandbox.docker("while [ ! -e \"$R/go\" ]; do sleep 0.05; done");
    // All of them together are more than the daemon has threads for.
    for path in ["/", "/devcontainers", "/devcontainers/app", "/readyz"] {
        let mut clients: Vec<Client> = (0..SLOTS).map(|_| daemon.client()).collect();
        for client in &mut clients {
            client.send(daemon.head("GET", path, ""));
        }
        eventually("all of them wait", || {
            (daemon.threads() > SLOTS as u64).then_some(())
        });
        drop(clients);
        daemon.assert_prompt(&[200]);
    }
    eventually("their threads have ended", || {
        (daemon.threads() < 10).then_some(())
    });
    // A client that has closed its sending half only gets its answer.
    let mut client = daemon.client();
    client.send(daemon.head("GET", "/devcontainers", ""));
    client.stream.shutdown(Shutdown::Write).unwrap();
    let interim = client.answer().status;
    assert_eq!(interim, 102, "this finds out whether it is there");
    sandbox.write("go", "");
    assert_eq!(client.answer().status, 200);
}
