//! Clients that send slowly, or stop, close or reset their connections at some point of a request (P19).

use std::net::Shutdown;

use super::floods::{BIG_LIST, start_with_big_list};
use crate::bounds::{assert_in_time, reset, start};
use crate::common::client::Client;
use crate::common::{Daemon, Stopwatch, parse};

/// A point in the life of a connection.
struct Phase {
    name: &'static str,
    /// The bytes that the client has sent by then.
    sent: String,
    /// The daemon has begun to answer, and the client has seen that.
    is_answered: bool,
}

/// The points before a request is complete.
fn incomplete(daemon: &Daemon) -> Vec<Phase> {
    let get = daemon.head("GET", "/devcontainers", "");
    let length = daemon.head("POST", "/nope", "Content-Length: 50\r\n");
    let chunked = daemon.head("POST", "/nope", "Transfer-Encoding: chunked\r\n");
    let expect = "Content-Length: 50\r\nExpect: 100-continue\r\n";
    let waits_for_leave = Phase {
        name: "before the leave to send a body is used",
        sent: daemon.head("POST", "/nope", expect),
        is_answered: true,
    };
    [
        ("in the method", "P".to_owned()),
        ("in the target", "GET /dev".to_owned()),
        ("in a header", get[..get.len() - 8].to_owned()),
        ("before the last line", get[..get.len() - 2].to_owned()),
        ("before the last byte", get[..get.len() - 1].to_owned()),
        (
            "after a request",
            format!("{}G", daemon.head("GET", "/version", "")),
        ),
        ("before a body", length.clone()),
        ("in a body", format!("{length}abc")),
        ("before a chunk", chunked.clone()),
        ("in the size of a chunk", format!("{chunked}5")),
        ("in a chunk", format!("{chunked}5\r\nab")),
        ("after a chunk", format!("{chunked}5\r\nhello")),
        ("in a trailer", format!("{chunked}0\r\nX: y")),
    ]
    .into_iter()
    .map(|(name, sent)| Phase {
        name,
        sent,
        is_answered: false,
    })
    .chain([waits_for_leave])
    .collect()
}

/// Those points, the one before the first byte, and those of an answer.
fn all(daemon: &Daemon) -> Vec<Phase> {
    let mut all = incomplete(daemon);
    for (name, sent, is_answered) in [
        ("before the first byte", String::new(), false),
        (
            "in an answer",
            daemon.head("GET", BIG_LIST, "").repeat(24),
            true,
        ),
        ("in a stream", daemon.head("GET", "/events", ""), true),
    ] {
        all.push(Phase {
            name,
            sent,
            is_answered,
        });
    }
    all
}

impl Phase {
    /// A client at this point.
    #[track_caller]
    fn client(&self, daemon: &Daemon) -> Client {
        let mut client = daemon.client();
        client.send(&self.sent);
        if self.is_answered {
            let read = client.stream.peek(&mut [0]);
            assert!(matches!(read, Ok(1)), "{}: {read:?}", self.name);
        }
        client
    }
}

#[test]
fn p19_requests_that_arrive_byte_by_byte_are_answered() {
    let (sandbox, daemon, before) = start();
    let chunked = daemon.head("POST", "/nope", "Transfer-Encoding: chunked\r\n");
    let requests = [
        (daemon.head("GET", "/healthz", ""), 200),
        (daemon.head("GET", "/devcontainers", "X: y\r\n"), 200),
        (
            daemon.head("GET", "/nope", "Content-Length: 3\r\n") + "abc",
            404,
        ),
        (chunked + "3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n", 404),
    ];
    let mut clients: Vec<Client> = (0..8).map(|_| daemon.client()).collect();
    for (request, status) in requests {
        for byte in request.bytes() {
            for client in &mut clients {
                client.send([byte]);
            }
        }
        for client in &mut clients {
            assert_eq!(client.answer().status, status, "{request:?}");
        }
        daemon.assert_prompt(&[200]);
    }
    drop(clients);
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    daemon.assert_unharmed(&before);
}

#[test]
fn p19_clients_that_stop_at_any_point_of_a_request_are_told_in_time() {
    let (sandbox, daemon, before) = start();
    let phases = incomplete(&daemon);
    let begun = Stopwatch::start();
    let clients: Vec<(&str, Client)> = (0..3)
        .flat_map(|_| &phases)
        .map(|phase| (phase.name, phase.client(&daemon)))
        .collect();
    for (name, mut client) in clients {
        daemon.assert_prompt(&[200]);
        let all = client.rest();
        // The answer to a request that came before, or the leave to send a body.
        let last = all.rfind("HTTP/1.1 ").map_or("", |at| &all[at..]);
        let answer = parse(last);
        assert_eq!(answer.status, 408, "{name}: {all}");
        assert_eq!(answer.headers["connection"], "close", "{name}");
        assert_in_time(&begun);
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    daemon.assert_unharmed(&before);
}

#[test]
fn p19_clients_that_end_at_any_point_harm_nobody() {
    let (sandbox, daemon, before) = start_with_big_list();
    let endings: [fn(Client); 4] = [
        drop,
        |client| reset(client.stream),
        |client| {
            client.stream.shutdown(Shutdown::Write).unwrap();
            drop(client);
        },
        |client| {
            client.stream.shutdown(Shutdown::Both).unwrap();
            reset(client.stream);
        },
    ];
    for phase in all(&daemon) {
        for end in endings {
            let clients: Vec<Client> = (0..10).map(|_| phase.client(&daemon)).collect();
            clients.into_iter().for_each(end);
        }
        daemon.assert_prompt(&[200]);
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    daemon.assert_unharmed(&before);
}

#[test]
fn p19_clients_that_close_their_sending_half_in_a_request_get_no_answer() {
    let (sandbox, daemon, before) = start();
    for phase in incomplete(&daemon) {
        let clients: Vec<Client> = (0..10).map(|_| phase.client(&daemon)).collect();
        for mut client in clients {
            client.stream.shutdown(Shutdown::Write).unwrap();
            let all = client.rest();
            let whole = phase.sent.matches("/version").count();
            assert_eq!(
                all.matches("\r\nServer: ").count(),
                whole,
                "{}: {all}",
                phase.name
            );
        }
        daemon.assert_prompt(&[200]);
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    daemon.assert_unharmed(&before);
}
