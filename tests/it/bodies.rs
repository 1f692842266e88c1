//! The bodies of requests.

use std::net::Shutdown;

use super::http::with_app;
use super::wire::assert_open;
use crate::common::parse;

const BODY_LIMIT: usize = 64 << 10;

#[test]
fn bodies_are_read_and_thrown_away() {
    let (_sandbox, daemon) = with_app();
    let mut client = daemon.client();
    for length in [0, 1, 10_000, BODY_LIMIT] {
        for method in ["POST", "GET"] {
            client.send(daemon.head(method, "/nope", &format!("Content-Length: {length}\r\n")));
            client.send("x".repeat(length));
            assert_eq!(client.answer().status, 404, "{length}");
            client.send(daemon.head(method, "/nope", "Transfer-Encoding: Chunked\r\n"));
            if length > 0 {
                client.send(format!("{length:X}\r\n{}\r\n", "x".repeat(length)));
            }
            client.send("0\r\n\r\n");
            assert_eq!(client.answer().status, 404, "{length}, chunked");
        }
    }
    assert_open(&daemon, &mut client);
}

#[test]
fn a_body_that_would_mean_something_is_refused() {
    let (sandbox, daemon) = with_app();
    let mut client = daemon.client();
    let body = r#"{"wait":true}"#;
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (method, path) in [
        ("POST", "/devcontainers/app/recreate"),
        ("POST", "/devcontainers/container/box1/recreate"),
        ("DELETE", "/devcontainers/app"),
        ("GET", "/"),
        ("GET", "/events"),
    ] {
        let length = format!("Content-Length: {}\r\n", body.len());
        let coding = "Transfer-Encoding: chunked\r\n".to_owned();
        for (head, body) in [(length, body), (coding, &chunked)] {
            client.send(daemon.head(method, path, &head));
            client.send(body);
            let answer = client.answer();
            answer.assert_error(400, "Bad request", "the query, as in ?wait=true");
        }
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    for empty in [
        "Content-Length: 0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let head = daemon.head("GET", "/healthz", "");
        client.send(format!("{}{empty}", head.strip_suffix("\r\n").unwrap()));
        assert_eq!(client.answer().status, 200, "{empty:?}");
    }
    assert_open(&daemon, &mut client);
}

#[test]
fn p19_a_body_of_more_than_64_kib_is_refused() {
    let (sandbox, daemon) = with_app();
    let refused = |head: &str, body: &str| {
        let mut client = daemon.client();
        client.send(daemon.head("POST", "/devcontainers/app/recreate", head));
        client.send(body);
        let answer = client.answer();
        answer.assert_error(413, "Request body too large", "64 KiB");
        assert_eq!(answer.headers["connection"], "close");
        assert_eq!(client.rest(), "");
    };
    let over = BODY_LIMIT + 1;
    let body = "x".repeat(over);
    refused(&format!("Content-Length: {over}\r\n"), &body);
    refused("Content-Length: 1099511627776\r\n", "x");
    refused("Content-Length: 18446744073709551615\r\n", "");
    let expect = "Content-Length: 65537\r\nExpect: 100-continue\r\n";
    refused(expect, "");
    let chunked = "Transfer-Encoding: chunked\r\n";
    refused(chunked, &format!("{over:x}\r\n"));
    refused(chunked, &format!("8000\r\n{}\r\n8001\r\n", &body[..0x8000]));
    refused(chunked, "FFFFFFFFFFFFFFFF\r\n");
    refused(chunked, "1\r\nx\r\nffffffffffffffff\r\n");
    refused(chunked, "2\r\nxx\r\nfffffffffffffffe\r\n");
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn a_client_that_waits_for_leave_to_send_its_body_gets_it() {
    let (_sandbox, daemon) = with_app();
    let mut client = daemon.client();
    for framing in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
        client.send(daemon.head(
            "POST",
            "/nope",
            &format!("Expect: 100-Continue\r\n{framing}\r\n"),
        ));
        let interim = client.read_head();
        assert_eq!((interim.status, interim.headers.len()), (100, 0));
        match framing.contains("chunked") {
            false => client.send("abc"),
            true => client.send("3\r\nabc\r\n0\r\n\r\n"),
        }
        assert_eq!(client.answer().status, 404);
    }
    client.send(daemon.head("GET", "/healthz", "Expect: 100-continue\r\n"));
    assert_eq!(client.answer().status, 200, "there is no body to wait for");
}

#[test]
fn p19_bad_chunks_end_the_connection() {
    let (sandbox, daemon) = with_app();
    let hidden = daemon.head("POST", "/devcontainers/app/recreate", "");
    let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(4000));
    let endless = format!("1{}\r\n", ";x".repeat(10_000));
    for (chunks, status) in [
        ("x\r\n", 400),
        ("\r\n", 400),
        ("-1\r\n", 400),
        ("+1\r\na\r\n", 400),
        ("0x1\r\na\r\n", 400),
        ("1\na\n0\n\n", 400),
        ("1\r\nab\r\n0\r\n\r\n", 400),
        ("2\r\na\r\n0\r\n\r\n", 400),
        ("1 1\r\na\r\n", 400),
        ("10000000000000000\r\n", 400),
        ("1\x00\r\na\r\n", 400),
        (endless.as_str(), 431),
        (trailers.as_str(), 431),
    ] {
        let head = daemon.head("POST", "/", "Transfer-Encoding: chunked\r\n");
        let answers = daemon.raw(format!("{head}{chunks}{hidden}").as_bytes());
        let answer = parse(&answers);
        assert_eq!(answer.status, status, "{chunks:?}");
        assert_eq!(answer.headers["connection"], "close", "{chunks:?}");
        assert_eq!(answers.matches("\r\nServer:").count(), 1, "{chunks:?}");
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn a_body_that_is_cut_off_has_no_effect() {
    let (sandbox, daemon) = with_app();
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = daemon.client();
        let path = "/devcontainers/app/recreate";
        client.send(daemon.head("POST", path, &format!("{framing}\r\n")));
        client.send("5\r\nabc");
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.rest(), "");
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}
