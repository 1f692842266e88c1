//! Listening sockets that a service manager has opened (sd_listen_fds(3)).

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use crate::common::client::Client;
use crate::common::{BINARY, DaemonBuilder, Sandbox, eventually};

/// Becomes the daemon with the standard input and output as the descriptors 3 and 4.
const ACTIVATE: &str = r#"exec 3<&0 4<&1 0</dev/null 1>/dev/null
export LISTEN_PID="${FOR:-$$}" LISTEN_FDS="${COUNT:-2}" LISTEN_FDNAMES=web:local
exec "$0" "$@""#;

/// A daemon that inherits two descriptors.
fn activated(sandbox: &Sandbox, first: OwnedFd, second: OwnedFd) -> DaemonBuilder {
    let shell = DaemonBuilder::of("sh").arg("-c").arg(ACTIVATE).arg(BINARY);
    sandbox.daemon_of(shell.inheriting(first, second))
}

fn tcp() -> OwnedFd {
    TcpListener::bind("127.0.0.1:0").unwrap().into()
}

#[test]
fn inherited_sockets_are_served_in_place_of_the_default() {
    let sandbox = Sandbox::with_app();
    sandbox.docker("ls -l /proc/$$/fd > $R/descriptors; env > $R/environment");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    let path = sandbox.path("d.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let mut daemon = activated(&sandbox, tcp.into(), unix.into()).start();
    assert_eq!(daemon.address, address);
    let second = format!("listening on unix:{}", path.display());
    daemon.log.wait_for(&second);
    assert_eq!(daemon.log_count("listening on "), 2);
    assert_eq!(daemon.get("/devcontainers").status, 200);
    let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let mut client = Client::new(stream);
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 200);

    let descriptors = sandbox.read("descriptors");
    assert!(descriptors.contains("-> "), "{descriptors}");
    assert!(!descriptors.contains("socket:"), "{descriptors}");
    let environment = sandbox.read("environment");
    assert!(!environment.contains("LISTEN_"), "{environment}");

    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(path.exists(), "the service manager keeps its socket");
}

#[test]
fn addresses_are_served_besides_inherited_sockets() {
    let sandbox = Sandbox::new();
    let second = sandbox.path("second.sock");
    let listen = format!("--listen unix:{}", second.display());
    let daemon = activated(&sandbox, tcp(), tcp()).args(&listen).start();
    eventually("it listens everywhere", || {
        (daemon.log_count("listening on ") == 3).then_some(())
    });
    assert!(second.exists());
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let sandbox = Sandbox::new();
    let daemon = activated(&sandbox, tcp(), tcp())
        .env("FOR", "1")
        .args("--listen 127.0.0.1:0")
        .start();
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(daemon.log_count("listening on "), 1);
}

#[test]
fn what_cannot_be_served_is_said_in_one_line() {
    let sandbox = Sandbox::new();
    let udp = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let connected = || {
        let (end, _) = std::os::unix::net::UnixStream::pair().unwrap();
        OwnedFd::from(end)
    };
    let file = || OwnedFd::from(File::open("/dev/null").unwrap());
    let exposed = || OwnedFd::from(TcpListener::bind("0.0.0.0:0").unwrap());
    for (second, count, expected) in [
        (
            udp(),
            "2",
            "descriptor 4 should be a listening stream socket",
        ),
        (connected(), "2", "descriptor 4 should be a listening"),
        (file(), "2", "descriptor 4 is no socket"),
        (exposed(), "2", "--token-file"),
        (tcp(), "3", "descriptor 5 is no socket"),
        (tcp(), "0", "LISTEN_FDS 0: it should be a number"),
        (tcp(), "65", "LISTEN_FDS 65: it should be a number"),
        (tcp(), "many", "LISTEN_FDS many: it should be a number"),
    ] {
        let builder = activated(&sandbox, tcp(), second).env("COUNT", count);
        let (status, said) = builder.run();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn an_inherited_socket_for_other_machines_needs_a_token() {
    let sandbox = Sandbox::new();
    sandbox.replace("token", "correct-horse-battery-staple", 0o600);
    let token = format!("--token-file {}", sandbox.path("token").display());
    let exposed = TcpListener::bind("0.0.0.0:0").unwrap().into();
    let daemon = activated(&sandbox, exposed, tcp()).args(&token).start();
    assert_eq!(daemon.get("/version").status, 401);
    assert_eq!(daemon.get("/healthz").status, 200);
}
