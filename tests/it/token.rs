//! The token that requests may need, and addresses that other machines can reach.

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::client::Client;
use crate::common::{BINARY, Daemon, LONGEST, Response, Sandbox, eventually, parse};

const TOKEN: &str = "correct-horse-battery-staple-0123456789";
const OTHER: &str = "another-horse-battery-staple-0123456789";

/// Writes a file that only its owner may read, in one step.
fn token_file(sandbox: &Sandbox, content: &str) -> PathBuf {
    sandbox.replace("token", content, 0o600);
    sandbox.path("token")
}

fn start(sandbox: &Sandbox, arguments: &str) -> Daemon {
    let token = token_file(sandbox, &format!("{TOKEN}\n"));
    let flag = format!("--token-file {} --log-level trace", token.display());
    sandbox.daemon().args(&flag).args(arguments).start()
}

#[track_caller]
fn request(daemon: &Daemon, method: &str, path: &str, authorization: &str) -> Response {
    daemon.request(method, path, &format!("Authorization: {authorization}\r\n"))
}

fn with_token(daemon: &Daemon, path: &str, token: &str) -> u16 {
    request(daemon, "GET", path, &format!("Bearer {token}")).status
}

/// Runs a health check. Returns its exit status and what it said.
fn healthcheck(url: &str, token: Option<&Path>) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.args(["healthcheck", "--url", url]);
    if let Some(token) = token {
        command.arg("--token-file").arg(token);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn every_route_but_healthz_needs_the_token() {
    let sandbox = Sandbox::with_app();
    let daemon = start(&sandbox, "");
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/v0/containers"),
        ("GET", "/devcontainers"),
        ("GET", "/devcontainers/app"),
        ("GET", "/devcontainers/app/logs"),
        ("GET", "/events"),
        ("GET", "/readyz"),
        ("GET", "/version"),
        ("GET", "/metrics"),
        ("GET", "/nope"),
        ("GET", "/healthz/x"),
        ("GET", "/page/x"),
        ("POST", "/page/main.mjs"),
        ("HEAD", "/devcontainers"),
        ("POST", "/healthz"),
        ("POST", "/devcontainers/app/recreate?wait=true"),
        ("POST", "/devcontainers/app/start"),
        ("POST", "/devcontainers/app/stop"),
        ("POST", "/devcontainers/app/cancel"),
        ("POST", "/devcontainers/container/box1/recreate"),
        ("DELETE", "/devcontainers/app"),
    ] {
        let answer = daemon.request(method, path, "");
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        if method != "HEAD" {
            answer.assert_error(401, "Unauthorized", "--token-file");
        }
    }
    for wrong in [
        OTHER,
        &TOKEN[1..],
        &TOKEN[..TOKEN.len() - 1],
        &format!("{TOKEN}0"),
        &TOKEN.to_uppercase(),
    ] {
        let answer = request(&daemon, "GET", "/version", &format!("Bearer {wrong}"));
        answer.assert_error(401, "Unauthorized", "not the one in the file");
        let expected = r#"Bearer error="invalid_token""#;
        assert_eq!(answer.headers["www-authenticate"], expected);
    }
    for other in [
        TOKEN,
        "Bearer",
        &format!("Basic {TOKEN}"),
        &format!("Bearer{TOKEN}"),
    ] {
        let answer = request(&daemon, "GET", "/version", other);
        assert_eq!(answer.status, 401, "{other}");
    }
    let twice = format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}\r\n");
    assert_eq!(daemon.request("GET", "/version", &twice).status, 400);
    assert_eq!(sandbox.calls("devcontainer", ""), 0);

    // The files of the status page hold no data.
    let page = daemon.request("HEAD", "/page/main.mjs", "Accept-Encoding: gzip\r\n");
    assert_eq!(page.status, 200);
    for path in ["/healthz", "/api/v0/containers/healthz/"] {
        assert_eq!(daemon.get(path).status, 200);
        assert_eq!(daemon.request("HEAD", path, "").status, 200);
    }
    assert_eq!(with_token(&daemon, "/devcontainers", TOKEN), 200);
    let recreate = "/devcontainers/app/recreate?wait=true";
    let recreated = request(&daemon, "POST", recreate, &format!("bearer {TOKEN}"));
    assert_eq!(recreated.status, 204, "{recreated:?}");
    let log = daemon.log.lines().join("\n");
    assert!(!log.contains(TOKEN) && !log.contains(OTHER), "{log}");
}

#[test]
fn p17_a_token_does_not_let_a_web_page_in() {
    let sandbox = Sandbox::with_app();
    let daemon = start(&sandbox, "");
    let page = format!("Authorization: Bearer {TOKEN}\r\nOrigin: http://evil.example\r\n");
    let answer = daemon.request("GET", "/devcontainers", &page);
    answer.assert_error(403, "Forbidden", "(Origin)");
}

#[test]
fn the_token_is_read_again_when_its_file_changes_and_on_hup() {
    let sandbox = Sandbox::new();
    let daemon = start(&sandbox, "");
    assert_eq!(with_token(&daemon, "/version", TOKEN), 200);
    token_file(&sandbox, OTHER);
    let is_changed = || (with_token(&daemon, "/version", OTHER) == 200).then_some(());
    eventually("the new token is in force", is_changed);
    assert_eq!(with_token(&daemon, "/version", TOKEN), 401);

    // A file that holds no token does not leave the daemon open, and not closed either.
    sandbox.replace("token", "short", 0o600);
    let message = "the last good token stays in force";
    eventually("it is an error in the log", || {
        assert_eq!(with_token(&daemon, "/version", OTHER), 200);
        (daemon.log_count(message) > 0).then_some(())
    });
    fs::remove_file(sandbox.path("token")).unwrap();
    let reported = daemon.log_count(message);
    daemon.signal("HUP");
    eventually("it is an error again", || {
        (daemon.log_count(message) > reported).then_some(())
    });
    assert_eq!(with_token(&daemon, "/version", OTHER), 200);

    token_file(&sandbox, TOKEN);
    let reloaded = daemon.log_count("the token was read again");
    daemon.signal("HUP");
    eventually("it is read at once", || {
        (daemon.log_count("the token was read again") > reloaded).then_some(())
    });
    assert_eq!(with_token(&daemon, "/version", TOKEN), 200);
    assert_eq!(with_token(&daemon, "/version", OTHER), 401);
}

#[test]
fn a_repeated_request_needs_the_token_of_now() {
    let sandbox = Sandbox::new();
    let daemon = start(&sandbox, "");
    let mut client = daemon.client();
    let mut ask = || {
        client.send(daemon.head(
            "GET",
            "/version",
            &format!("Authorization: Bearer {TOKEN}\r\n"),
        ));
        client.answer().status
    };
    assert_eq!([ask(), ask()], [200, 200]);
    token_file(&sandbox, OTHER);
    // The answer that says so is the last one of the connection.
    eventually("the old token is refused", || (ask() == 401).then_some(()));
}

#[test]
fn a_file_that_is_no_secret_is_an_error_at_start() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("token");
    let flag = format!("--token-file {}", file.display());
    for (content, mode, expected) in [
        (TOKEN, 0o644, "chmod 600"),
        (TOKEN, 0o660, "chmod 600"),
        ("", 0o600, "openssl rand -hex 32"),
        ("too short", 0o600, "16 to 1024 characters"),
        ("0123456789 abcdefghijk", 0o600, "letters, digits"),
        (&"x".repeat(1025), 0o600, "16 to 1024 characters"),
    ] {
        sandbox.replace("token", content, mode);
        let (status, said) = sandbox.daemon().args(&flag).run();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(&flag) && said.contains(expected), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(content.is_empty() || !said.contains(content), "{said}");
    }
    fs::remove_file(&file).unwrap();
    for path in [&file, &sandbox.path("work")] {
        let flag = format!("--token-file {}", path.display());
        let (status, said) = sandbox.daemon().args(&flag).run();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(&flag), "{said}");
    }
}

#[test]
fn no_body_is_asked_for_or_awaited_of_a_request_without_the_token() {
    let sandbox = Sandbox::with_app();
    let daemon = start(&sandbox, "");
    for expect in ["", "Expect: 100-continue\r\n"] {
        let headers = format!("Content-Length: 5\r\n{expect}");
        let head = daemon.head("POST", "/devcontainers/app/stop", &headers);
        let answer = parse(&daemon.raw(head.as_bytes()));
        answer.assert_error(401, "Unauthorized", "--token-file");
    }
}

#[test]
fn an_address_for_other_machines_needs_a_token() {
    let sandbox = Sandbox::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let flags = format!("--listen {address}");
        let (status, said) = sandbox.daemon().args(&flags).run();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(
            said.contains(&flags) && said.contains("--token-file"),
            "{said}"
        );
    }
    let daemon = start(&sandbox, "--listen 0.0.0.0:0");
    assert!(daemon.address.starts_with("0.0.0.0:"));
    let port = daemon.address.rsplit(':').next().unwrap();
    for (host, status) in [
        ("127.0.0.1", 200),
        ("localhost", 200),
        ("0.0.0.0", 200),
        ("192.0.2.1", 200),
        ("evil.example", 403),
    ] {
        let head = format!(
            "GET /version HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(parse(&daemon.raw(head.as_bytes())).status, status, "{host}");
    }
    assert_eq!(daemon.get("/version").status, 401);
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn a_client_with_another_address_needs_the_token_alone() {
    // Connecting sends nothing, but chooses the address of this machine that leads to others.
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    let routed = probe
        .connect("192.0.2.1:9")
        .and_then(|()| probe.local_addr());
    let Ok(own) = routed.map(|own| own.ip()) else {
        println!("not tested: this machine has no address but loopback");
        return;
    };
    let sandbox = Sandbox::new();
    let daemon = start(&sandbox, &format!("--listen {}", SocketAddr::new(own, 0)));
    let status = |head: String| {
        let stream = TcpStream::connect(&daemon.address).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        let mut client = Client::new(stream);
        client.send(head);
        client.answer().status
    };
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(status(daemon.head("GET", "/version", "")), 401);
    assert_eq!(status(daemon.head("GET", "/version", &token)), 200);
    let other = format!("GET /version HTTP/1.1\r\nHost: 192.0.2.1\r\n{token}\r\n");
    assert_eq!(status(other), 403);
}

#[test]
fn a_healthcheck_sends_the_token_where_it_is_needed() {
    let sandbox = Sandbox::new();
    let daemon = start(&sandbox, "");
    let token = sandbox.path("token");
    let healthz = format!("http://{}", daemon.address);
    let version = format!("{healthz}/version");
    assert_eq!(healthcheck(&healthz, None).0, Some(0));
    let (code, said) = healthcheck(&version, None);
    assert_eq!(code, Some(1));
    assert!(said.contains("status 401"), "{said}");
    assert_eq!(healthcheck(&version, Some(&token)).0, Some(0));
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = healthcheck(&version, Some(&token));
    assert_eq!(code, Some(1));
    assert!(said.contains("chmod 600"), "{said}");
    // The health of the process is no secret.
    assert_eq!(healthcheck(&healthz, Some(&token)).0, Some(0));
}
