//! Connections and messages: versions, keep-alive, pipelining, and ambiguous requests.

use super::http::with_app;
use crate::common::client::Client;
use crate::common::usage::AT_REST;
use crate::common::{Daemon, Sandbox, eventually, parse};
use std::net::Shutdown;

/// Asserts that the connection still answers.
#[track_caller]
pub(super) fn assert_open(daemon: &Daemon, client: &mut Client) {
    client.send(daemon.head("GET", "/version", ""));
    assert_eq!(client.answer().json()["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn one_connection_answers_many_requests() {
    let (_sandbox, daemon) = with_app();
    let mut client = daemon.client();
    for _ in 0..20 {
        for (method, path, status) in [
            ("GET", "/", 200),
            ("GET", "/nope", 404),
            ("POST", "/", 405),
            ("GET", "/devcontainers/%zz", 400),
        ] {
            client.send(daemon.head(method, path, "Connection: keep-alive\r\n"));
            let answer = client.answer();
            assert_eq!(answer.status, status);
            assert!(!answer.headers.contains_key("connection"), "{answer:?}");
        }
        client.send(daemon.head("HEAD", "/", ""));
        assert_eq!(client.read_head().status, 200);
    }
    client.send(daemon.head("POST", "/devcontainers/app/recreate?wait=true", ""));
    assert_eq!(client.answer().status, 204);
    client.send(daemon.head("GET", "/devcontainers/app/logs", ""));
    assert!(client.answer().body.contains("recreate succeeded"));
    assert_open(&daemon, &mut client);
}

#[test]
fn requests_in_one_write_are_answered_in_their_order() {
    let (_sandbox, daemon) = with_app();
    let mut client = daemon.client();
    let body = "x".repeat(10_000);
    let mut all = String::new();
    for number in 0..200 {
        all += &daemon.head("GET", &format!("/first/{number}"), "");
        all += &daemon.head(
            "POST",
            &format!("/second/{number}"),
            "Content-Length: 10000\r\n",
        );
        all += &body;
        all += &daemon.head(
            "POST",
            &format!("/third/{number}"),
            "Transfer-Encoding: chunked\r\n",
        );
        all += "5;a=b\r\nabcde\r\n0\r\nTrailer: x\r\n\r\n";
    }
    all += &daemon.head("GET", "/last", "Connection: close\r\n");
    let mut writer = Client::new(client.stream.try_clone().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| writer.send(all));
        for number in 0..200 {
            for which in ["first", "second", "third"] {
                let detail = format!("/{which}/{number}");
                client.answer().assert_error(404, "Not found", &detail);
            }
        }
        let last = client.answer();
        last.assert_error(404, "Not found", "/last");
        assert_eq!(last.headers["connection"], "close");
        assert_eq!(client.rest(), "");
    });
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let (_sandbox, daemon) = with_app();
    let mut client = daemon.client();
    let mut request = daemon.head("POST", "/nope", "Transfer-Encoding: chunked\r\n");
    request += "2\r\nab\r\n0\r\n\r\n";
    for byte in request.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.answer().status, 404);
    assert_open(&daemon, &mut client);
}

#[test]
fn http_1_0_closes_unless_it_is_asked_not_to() {
    let (_sandbox, daemon) = with_app();
    let answer = daemon.raw(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert_eq!(parse(&answer).headers["connection"], "close");

    let mut client = daemon.client();
    for _ in 0..3 {
        client.send("GET /healthz HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.headers["connection"], "keep-alive");
        assert_eq!(answer.body, "{\"status\":\"ok\"}\n");
    }
    client.send("GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().headers["connection"], "close");
    assert_eq!(client.rest(), "");

    let mut client = daemon.client();
    client.send("POST /devcontainers/app/recreate?wait=true HTTP/1.0\r\n\r\n");
    assert_eq!(client.read_head().status, 204);
    assert_eq!(client.rest(), "");
    let log = daemon.raw(b"GET /devcontainers/app/logs HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let log = parse(&log);
    assert_eq!(log.headers["connection"], "close", "its end is its length");
    assert!(!log.headers.contains_key("transfer-encoding"));
    assert!(
        log.body.ends_with("\"outcome\":\"succeeded\"}\n"),
        "{log:?}"
    );
}

#[test]
fn connection_close_is_obeyed_and_said() {
    let (_sandbox, daemon) = with_app();
    let mut client = daemon.client();
    let close = daemon.head("GET", "/healthz", "Connection: te, Close\r\n");
    client.send(format!("{close}{close}"));
    assert_eq!(client.answer().headers["connection"], "close");
    assert_eq!(client.rest(), "", "what came after it is not answered");
}

#[test]
fn a_client_that_asked_for_the_end_need_not_close_its_own_end() {
    let (_sandbox, daemon) = with_app();
    daemon.get("/");
    let before = daemon.descriptors();
    let close = daemon.head("GET", "/healthz", "Connection: close\r\n");
    let ask = |_| {
        let mut client = daemon.client();
        client.send(&close);
        assert_eq!(client.answer().status, 200);
        assert_eq!(client.rest(), "");
        client
    };
    let clients: Vec<Client> = (0..60).map(ask).collect();
    // The daemon waits for none of them.
    let now = daemon.descriptors();
    assert!(now < before + 10, "{now} after {before}");
    drop(clients);
}

#[test]
fn a_large_last_answer_arrives_whatever_the_client_sends_after_its_request() {
    let sandbox = Sandbox::new();
    for number in 0..30 {
        let long = "x".repeat(50_000);
        sandbox.container(number).label("long", &long).save();
    }
    let daemon = sandbox.daemon().start();
    let mut client = daemon.client();
    client.send(daemon.head("GET", "/", "Connection: close\r\n"));
    client.send("GET / HTTP/1.1\r\n".repeat(1000));
    // The response has been written when the client begins to read.
    let closed =
        || (sandbox.calls("docker", "inspect") > 0 && daemon.threads() == AT_REST).then_some(());
    eventually("the daemon is done with it", closed);
    let answer = client.answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["containers"].as_array().unwrap().len(), 30);
}

#[test]
fn the_target_may_be_a_whole_address() {
    let (_sandbox, daemon) = with_app();
    let address = &daemon.address;
    for (target, status) in [
        (format!("http://{address}/healthz"), 200),
        (format!("HTTP://{address}/healthz?&"), 200),
        ("http://localhost/healthz".into(), 400),
        (format!("http://{address}"), 200),
        (format!("http://{address}?&"), 200),
        (format!("http://{address}/nope"), 404),
        (format!("https://{address}/healthz"), 400),
        ("*".into(), 400),
        ("healthz".into(), 400),
        (address.clone(), 400),
    ] {
        let response = daemon.get(&target);
        assert_eq!(response.status, status, "{target}");
    }
}

#[test]
fn p19_what_could_be_understood_in_two_ways_ends_the_connection() {
    let (sandbox, daemon) = with_app();
    let host = format!("Host: {}\r\n", daemon.address);
    // A proxy in front of the daemon might take this for a second request, or for a body.
    let hidden = daemon.head("POST", "/devcontainers/app/recreate", "");
    for (head, status) in [
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: -1\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: +5\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: 0x5\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length:\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length : 5\r\n", 400),
        ("POST / HTTP/1.1\r\n Content-Length: 5\r\n", 400),
        ("POST / HTTP/1.1\r\nX: y\r\n\tContent-Length: 5\r\n", 400),
        (
            "POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n",
            400,
        ),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n", 501),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n", 501),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n", 400),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
            501,
        ),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n", 501),
        ("POST / HTTP/1.1\r\nTransfer\rEncoding: chunked\r\n", 400),
        ("POST / HTTP/1.1\r\nX: a\rContent-Length: 5\r\n", 400),
        ("POST / HTTP/1.1\r\nX: a\x00b\r\n", 400),
        ("POST / HTTP/1.1\r\nX\x00: a\r\n", 400),
        ("POST /\x00 HTTP/1.1\r\n", 400),
        ("PO\x00ST / HTTP/1.1\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: localhost\r\n", 400),
        ("POST / HTTP/1.1 \r\n", 400),
        ("POST / x HTTP/1.1\r\n", 505),
        ("POST /\r\n", 400),
        ("POST / HTTP/1.2\r\n", 505),
        ("POST / HTTP/0.9\r\n", 505),
        ("POST / http/1.1\r\n", 505),
    ] {
        let (line, rest) = head.split_once("\r\n").unwrap();
        // A head that begins with a bad header stays as it is; in all others the Host comes first.
        let head = match rest.starts_with([' ', '\t']) {
            true => format!("{line}\r\n{rest}{host}\r\n"),
            false => format!("{line}\r\n{host}{rest}\r\n"),
        };
        let answers = daemon.raw(format!("{head}{hidden}").as_bytes());
        let answer = parse(&answers);
        assert_eq!(answer.headers["connection"], "close", "{head:?}");
        assert_eq!(
            answers.matches("\r\nServer:").count(),
            1,
            "{head:?}: {answers}"
        );
        assert_eq!(answer.status, status, "{head:?}");
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn a_client_that_closed_its_sending_half_gets_its_answers() {
    let (sandbox, daemon) = with_app();
    let mut client = daemon.client();
    client.send(daemon.head("GET", "/healthz", ""));
    client.send(daemon.head("GET", "/version", ""));
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.answer().body, "{\"status\":\"ok\"}\n");
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.rest(), "");

    sandbox.devcontainer("while [ ! -e \"$R/go\" ]; do sleep 0.05; done");
    let mut client = daemon.client();
    client.send(daemon.head("POST", "/devcontainers/app/recreate?wait=true", ""));
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        client.answer().status,
        102,
        "a heartbeat finds out whether it is there"
    );
    sandbox.write("go", "");
    assert_eq!(client.answer().status, 204);
}

#[test]
fn p13_a_client_that_goes_away_while_it_waits_frees_its_slot_and_changes_nothing() {
    let (sandbox, daemon) = with_app();
    sandbox.devcontainer("while [ ! -e \"$R/go\" ]; do sleep 0.05; done");
    let threads = {
        daemon.get("/");
        eventually("the connection's thread has ended", || {
            (daemon.threads() == AT_REST).then_some(AT_REST)
        })
    };
    let mut client = daemon.client();
    client.send(daemon.head("POST", "/devcontainers/container/box1/recreate", ""));
    eventually("it runs", || {
        (sandbox.calls("devcontainer", "up") > 0).then_some(())
    });
    drop(client);
    eventually("only the operation's thread is left", || {
        (daemon.threads() == threads + 1).then_some(())
    });
    assert_eq!(daemon.devcontainer()["job"]["state"], "running");
    sandbox.write("go", "");
    eventually("it ends well", || {
        (daemon.devcontainer()["job"]["state"] == "succeeded").then_some(())
    });
}
