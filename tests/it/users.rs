//! The users whose connections are served (P26).

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use rustix::fs::fchown;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::process::{Uid, geteuid};

use crate::common::{BINARY, Daemon, DaemonBuilder, LONGEST, Response, Sandbox, parse};

/// A user that this machine need not know.
const OTHER: u32 = 54321;
const RECREATE: &str = "/devcontainers/app/recreate?wait=true";

/// Returns false, and says so, where this process cannot act for other users.
fn can_be_another_user() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        println!("not tested: connections of another user, which only root can make");
    }
    is_root
}

/// A socket of another user, as if that user had made it.
fn socket_of(uid: u32) -> OwnedFd {
    let family = AddressFamily::INET;
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    fchown(&socket, Some(Uid::from_raw(uid)), None).unwrap();
    socket
}

fn connected(socket: OwnedFd, address: &str) -> TcpStream {
    connect(&socket, &address.parse::<SocketAddr>().unwrap()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    stream
}

/// Sends a request as another user and reads until the daemon closes the connection. The request may be empty.
#[track_caller]
fn send_as(uid: u32, daemon: &Daemon, request: &str) -> Response {
    let mut stream = connected(socket_of(uid), &daemon.address);
    // The daemon may answer before it has read this.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    parse(&answer)
}

fn get_as(uid: u32, daemon: &Daemon) -> u16 {
    let request = daemon.head("GET", "/healthz", "Connection: close\r\n");
    send_as(uid, daemon, &request).status
}

/// Runs a health check as another user. The program is passed as an open file, as that user may not find it.
fn healthcheck_as(uid: u32, wrapper: &[&str], url: &str) -> Output {
    let mut words = wrapper.to_vec();
    words.extend(["/proc/self/fd/0", "healthcheck", "--url", url]);
    Command::new(words[0])
        .args(&words[1..])
        .stdin(File::open(BINARY).unwrap())
        .uid(uid)
        .output()
        .unwrap()
}

#[track_caller]
fn assert_refused(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("answers with status 403"), "{output:?}");
}

#[test]
fn p26_another_user_gets_the_error_before_a_request_is_read() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().args("--log-level debug").start();
    assert_eq!(daemon.get("/healthz").status, 200, "the own user is served");
    if !can_be_another_user() {
        return;
    }
    let body = "x".repeat(60_000);
    let length = format!("Content-Length: {}\r\n", body.len());
    for request in [
        String::new(),
        daemon.head("GET", "/healthz", ""),
        daemon.head("POST", RECREATE, ""),
        format!("{}{body}", daemon.head("POST", RECREATE, &length)),
        "no request at all\r\n\r\n".into(),
    ] {
        let answer = send_as(OTHER, &daemon, &request);
        answer.assert_error(403, "Forbidden", "--allow-uid 54321");
        assert_eq!(answer.headers["connection"], "close");
    }
    daemon
        .log
        .wait_for("a connection is refused: user 54321 is not served");
    assert_eq!(daemon.log_count(" INFO  a connection is refused"), 1);
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn p26_more_users_can_be_allowed() {
    let sandbox = Sandbox::with_app();
    if !can_be_another_user() {
        return;
    }
    let daemon = sandbox
        .daemon()
        .args("--allow-uid 54321 --allow-uid 54322")
        .start();
    for (uid, status) in [(OTHER, 200), (54322, 200), (54323, 403), (0, 200)] {
        assert_eq!(get_as(uid, &daemon), status, "{uid}");
    }
    let daemon = sandbox.daemon().args("--allow-uid any").start();
    for uid in [0, OTHER, 54323, 65534] {
        assert_eq!(get_as(uid, &daemon), 200, "{uid}");
    }
}

#[test]
fn p26_a_process_of_another_user_is_served_by_neither_kind_of_socket() {
    if !can_be_another_user() {
        return;
    }
    let sandbox = Sandbox::new();
    let socket = sandbox.path("d.sock");
    let listen = format!("--listen 127.0.0.1:0 --listen unix:{}", socket.display());
    for (arguments, is_served) in [("", false), ("--allow-uid 54321", true)] {
        let daemon = sandbox.daemon().args(&listen).args(arguments).start();
        daemon.log.wait_for("listening on unix:");
        // As if its owner had opened it for a group.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        for url in [
            format!("http://{}", daemon.address),
            format!("unix:{}", socket.display()),
        ] {
            let own = healthcheck_as(0, &[], &url);
            assert!(own.status.success(), "{url}: {own:?}");
            let other = healthcheck_as(OTHER, &[], &url);
            if is_served {
                assert!(other.status.success(), "{url}: {other:?}");
            } else {
                assert_refused(&other);
            }
        }
    }
}

#[test]
fn a_client_that_closes_before_it_is_looked_at_is_no_reason_to_warn() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon().start();
    for _ in 0..200 {
        drop(TcpStream::connect(&daemon.address).unwrap());
    }
    assert_eq!(daemon.get("/healthz").status, 200);
    let lines = daemon.log.lines();
    assert!(
        !lines.iter().any(|line| line.contains("refused")),
        "{lines:#?}"
    );
}

#[test]
fn p26_a_client_without_a_number_for_its_process_is_judged_by_the_file() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("d.sock");
    let unshare = "--user --map-root-user --pid --fork --kill-child --mount-proc";
    let mut daemon = sandbox
        .daemon_of(DaemonBuilder::of("unshare").args(unshare).arg(BINARY))
        .args("--listen 127.0.0.1:0 --listen")
        .arg(&format!("unix:{}", socket.display()))
        .start();
    daemon.log.wait_for("listening on unix:");
    let url = format!("unix:{}", socket.display());
    let own = geteuid().as_raw();
    let served = healthcheck_as(own, &[], &url);
    assert!(served.status.success(), "{served:?}");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    assert_refused(&healthcheck_as(own, &[], &url));
    // unshare does not end by TERM, and takes the daemon with it.
    daemon.signal("KILL");
    daemon.wait();
}

#[test]
fn p26_root_in_a_user_namespace_is_still_the_user_who_made_it() {
    if !can_be_another_user() {
        return;
    }
    let wrapper = ["unshare", "--user", "--map-root-user", "--"];
    let tried = Command::new("unshare")
        .args(&wrapper[1..])
        .arg("true")
        .uid(OTHER)
        .output();
    if !tried.is_ok_and(|output| output.status.success()) {
        println!("not tested: user namespaces, which this machine does not permit");
        return;
    }
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon().start();
    let url = format!("http://{}", daemon.address);
    assert_refused(&healthcheck_as(OTHER, &wrapper, &url));
    assert!(healthcheck_as(0, &wrapper, &url).status.success());
}

#[test]
fn p26_a_daemon_in_a_user_namespace_serves_no_user_without_a_number_there() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon_in_namespaces("true").start();
    assert_eq!(daemon.get("/healthz").status, 200, "its own user");
    if !can_be_another_user() {
        return;
    }
    let answer = send_as(OTHER, &daemon, "");
    answer.assert_error(403, "Forbidden", "no number in the daemon's user namespace");
    let daemon = sandbox
        .daemon_in_namespaces("true")
        .args("--allow-uid any")
        .start();
    assert_eq!(get_as(OTHER, &daemon), 200);
}

#[test]
fn p26_another_source_address_is_no_way_in() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon().start();
    // Connecting sends nothing, but chooses the address of this machine that leads to others.
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    let routed = probe
        .connect("192.0.2.1:9")
        .and_then(|()| probe.local_addr());
    let Ok(source) = routed.map(|own| SocketAddr::new(own.ip(), 0)) else {
        println!("not tested: this machine has no address but loopback");
        return;
    };
    if !can_be_another_user() {
        return;
    }
    for uid in [0, OTHER] {
        let socket = socket_of(uid);
        bind(&socket, &source).unwrap();
        let mut stream = connected(socket, &daemon.address);
        let request = daemon.head("GET", "/healthz", "Connection: close\r\n");
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(parse(&answer).status, if uid == 0 { 200 } else { 403 });
    }
}

#[test]
fn p26_a_closed_connection_is_not_taken_for_one_of_root() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().args("--log-level debug").start();
    if !can_be_another_user() {
        return;
    }
    for count in 1..=5 {
        daemon.pause();
        let mut stream = connected(socket_of(OTHER), &daemon.address);
        let request = daemon.head("POST", "/devcontainers/app/recreate", "");
        stream.write_all(request.as_bytes()).unwrap();
        drop(stream);
        daemon.signal("CONT");
        crate::common::eventually("it is refused", || {
            (daemon.log_count("a connection is refused: its client has closed it") == count)
                .then_some(())
        });
    }
    assert_eq!(daemon.get("/devcontainers").status, 200);
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn p26_other_users_take_no_place_of_the_own_user() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon().start();
    if !can_be_another_user() {
        return;
    }
    // A few places are left for requests whose connections are being closed.
    let mut own = daemon.kept_connections(56);
    let mut strangers = Vec::new();
    for _ in 0..150 {
        strangers.push(connected(socket_of(OTHER), &daemon.address));
        assert_eq!(daemon.get("/healthz").status, 200);
    }
    for (number, client) in own.iter_mut().enumerate() {
        client.send(daemon.head("GET", "/healthz", ""));
        let answer = client.answer();
        assert_eq!(answer.status, 200, "idle connection {number}");
    }
    for mut stranger in strangers {
        let mut answer = String::new();
        stranger.read_to_string(&mut answer).unwrap();
        assert_eq!(parse(&answer).status, 403);
    }
}
