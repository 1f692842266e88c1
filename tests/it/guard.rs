//! Requests that are not trusted (P17).

use crate::common::{Daemon, Response, Sandbox, parse};

pub(super) const RECREATE: &str = "/devcontainers/container/box1/recreate";
const WAIT: &str = "/devcontainers/app/recreate?wait=true";
const READS: [&str; 7] = [
    "/",
    "/devcontainers",
    "/devcontainers/app",
    "/devcontainers/app/logs?follow=true",
    "/healthz",
    "/metrics",
    "/nope",
];

fn start(arguments: &str) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().args(arguments).start();
    (sandbox, daemon)
}

/// Sends a request with these headers, among which the caller puts the Host.
#[track_caller]
fn request(daemon: &Daemon, method: &str, target: &str, headers: &str) -> Response {
    let head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    let answer = parse(&daemon.raw(head.as_bytes()));
    assert_no_cors(&answer);
    answer
}

#[track_caller]
fn assert_no_cors(answer: &Response) {
    let cors = |name: &String| name.starts_with("access-control-");
    assert!(!answer.headers.keys().any(cors), "{answer:?}");
}

/// Asserts that every request with these headers is refused and starts nothing.
#[track_caller]
fn assert_refused(sandbox: &Sandbox, daemon: &Daemon, headers: &str, detail: &str) {
    let calls = sandbox.calls("devcontainer", "");
    for path in READS {
        request(daemon, "GET", path, headers).assert_error(403, "Forbidden", detail);
    }
    let add = "/devcontainers";
    for path in [WAIT, RECREATE, add, "/devcontainers/app/recreate", "/nope"] {
        request(daemon, "POST", path, headers).assert_error(403, "Forbidden", detail);
    }
    for method in ["OPTIONS", "DELETE", "PUT"] {
        let answer = request(daemon, method, "/devcontainers/app", headers);
        answer.assert_error(403, "Forbidden", detail);
    }
    assert_eq!(sandbox.calls("devcontainer", ""), calls, "{headers}");
}

#[test]
fn p17_no_body_is_asked_for_or_awaited_that_a_refused_request_announces() {
    let (sandbox, daemon) = start("");
    let paths = ["/devcontainers/app/recreate", "/devcontainers"];
    let evil = "Host: evil.example";
    let page = format!("Host: {}\r\nOrigin: http://evil.example", daemon.address);
    let requests = paths
        .iter()
        .flat_map(|path| [(path, evil), (path, page.as_str())]);
    for (path, headers) in requests {
        for framing in [
            "Content-Length: 5",
            "Content-Length: 5\r\nExpect: 100-continue",
            "Transfer-Encoding: chunked\r\nExpect: 100-continue",
        ] {
            let head = format!("POST {path} HTTP/1.1\r\n{headers}\r\n{framing}\r\n\r\n");
            let answer = parse(&daemon.raw(head.as_bytes()));
            answer.assert_error(403, "Forbidden", "evil.example");
            assert_eq!(answer.headers["connection"], "close", "{head}");
        }
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[track_caller]
fn assert_served(sandbox: &Sandbox, daemon: &Daemon, headers: &str) {
    let calls = sandbox.calls("devcontainer", "up");
    let status = |method, path| request(daemon, method, path, headers).status;
    assert_eq!(status("GET", "/devcontainers"), 200, "{headers}");
    assert_eq!(status("POST", WAIT), 204, "{headers}");
    assert_eq!(sandbox.calls("devcontainer", "up"), calls + 1, "{headers}");
}

#[test]
fn p17_hosts_that_are_this_machine_are_served() {
    let (sandbox, daemon) = start("");
    for host in [
        daemon.address.as_str(),
        "localhost",
        "LocalHost:3382",
        "127.0.0.1",
        "127.9.8.7:1",
        "[::1]",
        "[::1]:3382",
        "[::ffff:127.0.0.1]:80",
    ] {
        assert_served(&sandbox, &daemon, &format!("Host: {host}\r\n"));
    }
}

#[test]
fn p17_dns_rebinding_leads_nowhere() {
    let (sandbox, daemon) = start("");
    let port = daemon.address.rsplit(':').next().unwrap();
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1.evil.example",
        &format!("localhost.evil.example:{port}"),
        "evil.example#localhost",
        "localhost@evil.example",
        "evil.example:localhost",
        "localhost:80:80",
        "localhost,evil.example",
        "localhost evil.example",
        "localhost.",
        "",
        ":80",
        "0.0.0.0",
        "0",
        "2130706433",
        "0x7f.1",
        "127.1",
        "10.0.0.1",
        "[::]",
        "[::1].evil.example",
        "[::ffff:10.0.0.1]",
        "[fe80::1]:80",
    ] {
        // To the browser, a page whose name resolves to this machine sends requests to its own server.
        let headers = format!(
            "Host: {host}\r\nOrigin: http://{host}\r\nReferer: http://{host}/\r\nSec-Fetch-Site: same-origin\r\n"
        );
        assert_refused(
            &sandbox,
            &daemon,
            &format!("Host: {host}\r\n"),
            "--allow-host",
        );
        assert_refused(&sandbox, &daemon, &headers, "--allow-host");
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn p17_what_stands_in_place_of_the_host_counts_as_one() {
    let (sandbox, daemon) = start("");
    let local = format!("Host: {}\r\n", daemon.address);
    for (method, path) in [("GET", "/devcontainers"), ("POST", WAIT)] {
        for authority in ["evil.example", "", "user@localhost:x"] {
            let target = format!("http://{authority}{path}");
            let host = format!("Host: {authority}\r\n");
            let answer = request(&daemon, method, &target, &host);
            answer.assert_error(403, "Forbidden", "--allow-host");
            // Programs differ in which of them counts.
            let answer = request(&daemon, method, &target, &local);
            answer.assert_error(400, "Bad request", "different hosts");
        }
        for hosts in [
            "",
            "Host: localhost\r\nHost: evil.example\r\n",
            "Host: evil.example\r\nHost: localhost\r\n",
            "Host: localhost\r\nHost: localhost\r\n",
            "Host: localhost\r\nhost: \r\n",
            "Host: \u{00ff}\r\nX-Forwarded-Host: localhost\r\nHost: localhost\r\n",
        ] {
            assert_eq!(
                request(&daemon, method, path, hosts).status,
                400,
                "{hosts:?}"
            );
        }
        let forwarded = "Host: evil.example\r\nX-Forwarded-Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: host=localhost\r\n";
        assert_eq!(request(&daemon, method, path, forwarded).status, 403);
        let old = format!("{method} {path} HTTP/1.0\r\nHost: evil.example\r\n\r\n");
        assert_eq!(parse(&daemon.raw(old.as_bytes())).status, 403);
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn p17_other_pages_may_not_act() {
    let (sandbox, daemon) = start("");
    let host = format!("Host: {}\r\n", daemon.address);
    let address = &daemon.address;
    for origin in [
        "http://evil.example",
        "https://evil.example",
        "null",
        "",
        "http://localhost",
        "http://127.0.0.1:1",
        &format!("ftp://{address}"),
        &format!("http://{address}.evil.example"),
        &format!("http://evil.example/{address}"),
        &format!("http://x@{address}"),
        &format!("http://{address}/"),
        &format!("http://http://{address}"),
        address,
        &format!("http://{address} http://evil.example"),
    ] {
        let headers = format!("{host}Origin: {origin}\r\n");
        assert_refused(&sandbox, &daemon, &headers, "(Origin)");
        let claims = format!("{headers}Sec-Fetch-Site: same-origin\r\n");
        assert_refused(&sandbox, &daemon, &claims, "(Origin)");
    }
    for site in [
        "cross-site",
        "same-site",
        "",
        "None",
        "none, cross-site",
        "x",
    ] {
        let headers = format!("{host}Sec-Fetch-Site: {site}\r\n");
        assert_refused(&sandbox, &daemon, &headers, "(Sec-Fetch-Site)");
        let claims = format!("{headers}Origin: http://{address}\r\n");
        assert_refused(&sandbox, &daemon, &claims, "(Sec-Fetch-Site)");
    }
    for name in ["Origin", "Sec-Fetch-Site"] {
        let value = if name == "Origin" {
            format!("http://{address}")
        } else {
            "none".into()
        };
        let twice = format!("{host}{name}: {value}\r\n{name}: {value}\r\n");
        assert_eq!(
            request(&daemon, "POST", WAIT, &twice).status,
            400,
            "{twice}"
        );
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);

    for headers in [
        format!("Origin: http://{address}\r\n"),
        format!("Origin: https://{address}\r\n"),
        format!("Origin: http://{address}\r\nSec-Fetch-Site: same-origin\r\n"),
        "Sec-Fetch-Site: none\r\n".into(),
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n".into(),
    ] {
        assert_served(&sandbox, &daemon, &format!("{host}{headers}"));
    }
}

#[test]
fn p17_no_answer_allows_other_pages_anything() {
    let (_sandbox, daemon) = start("");
    let host = format!("Host: {}\r\n", daemon.address);
    let preflight = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x\r\nAccess-Control-Request-Private-Network: true\r\n";
    let own = format!("Origin: http://{}\r\n", daemon.address);
    for origin in ["", "Origin: http://evil.example\r\n", &own] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "TRACE"] {
            for path in READS.into_iter().chain([WAIT, RECREATE]) {
                let answer = request(&daemon, method, path, &format!("{host}{origin}{preflight}"));
                if origin.contains("evil") {
                    assert_eq!(answer.status, 403, "{method} {path}");
                } else if !["GET", "HEAD", "POST"].contains(&method) {
                    // The method may be served; what counts is that no header lets a browser read the response.
                    let deletes = method == "DELETE" && path == "/devcontainers/app";
                    let served = deletes && [204, 404].contains(&answer.status);
                    let refused = [404, 405].contains(&answer.status);
                    assert!(served || refused, "{method} {path}: {}", answer.status);
                }
            }
        }
    }
    for bad in ["\r\n\x00\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"] {
        assert_no_cors(&parse(&daemon.raw(bad.as_bytes())));
    }
}

#[test]
fn p17_more_hosts_can_be_allowed() {
    let (sandbox, daemon) = start("--allow-host devbox --allow-host my.example");
    for host in [
        "devbox",
        "DevBox:80",
        "my.example",
        "my.example:3382",
        "localhost",
    ] {
        let plain = format!("Host: {host}\r\n");
        assert_served(&sandbox, &daemon, &plain);
        assert_served(
            &sandbox,
            &daemon,
            &format!("{plain}Origin: http://{host}\r\n"),
        );
        // An allowed host does not allow the pages of its other ports.
        let other = format!("{plain}Origin: http://{host}:1234\r\n");
        assert_refused(&sandbox, &daemon, &other, "(Origin)");
        let site = format!("{plain}Sec-Fetch-Site: same-site\r\n");
        assert_refused(&sandbox, &daemon, &site, "(Sec-Fetch-Site)");
    }
    for host in ["devbox.evil.example", "sub.my.example", "devbo", "example"] {
        assert_refused(
            &sandbox,
            &daemon,
            &format!("Host: {host}\r\n"),
            "--allow-host",
        );
    }
}
