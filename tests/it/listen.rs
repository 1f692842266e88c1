//! The addresses on which the daemon listens.

use crate::common::client::Client;
use crate::common::{BINARY, Daemon, DaemonBuilder, LONGEST, Sandbox, eventually, parse};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

const REQUEST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn unix(path: &Path) -> Client<UnixStream> {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    Client::new(stream)
}

/// The addresses in its log, once there are so many.
fn addresses(daemon: &Daemon, count: usize) -> Vec<String> {
    eventually("it listens everywhere", || {
        let lines = daemon.log.lines();
        let listening = lines.iter().filter_map(|l| l.split("listening on ").nth(1));
        let found: Vec<String> = listening.map(str::to_owned).collect();
        (found.len() == count).then_some(found)
    })
}

#[test]
fn it_listens_on_every_address() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("d.sock");
    let builder = sandbox
        .daemon()
        .args("--listen 127.0.0.1:0 --listen [::1]:0 --listen localhost:0 --listen 127.9.9.9:0");
    let daemon = builder
        .args(&format!("--listen unix:{}", socket.display()))
        .start();
    let addresses = addresses(&daemon, 5);
    assert_eq!(addresses[4], format!("unix:{}", socket.display()));
    for (address, host) in
        addresses
            .iter()
            .zip(["127.0.0.1:", "[::1]:", "127.0.0.1:", "127.9.9.9:"])
    {
        let address = address.strip_prefix("http://").unwrap();
        assert!(address.starts_with(host), "{address}");
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let request =
            format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(parse(&answer).status, 200, "{address}");
    }
    let mut client = unix(&socket);
    for _ in 0..3 {
        client.send(REQUEST);
        assert_eq!(client.answer().status, 200);
    }
    let forbidden = "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    client.send(forbidden);
    assert_eq!(client.answer().status, 403, "the guard is the same");
}

#[test]
fn a_unix_socket_is_for_its_owner_and_goes_with_the_daemon() {
    for _ in 0..5 {
        let sandbox = Sandbox::new();
        let path = sandbox.path("d.sock");
        let listen = format!("--listen unix:{}", path.display());
        let mut daemon = sandbox.daemon().args(&listen).start();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut client = unix(&path);
        client.send(REQUEST);
        assert_eq!(client.answer().status, 200);
        daemon.signal("TERM");
        assert_eq!(daemon.wait().code(), Some(0));
        assert!(!path.exists());
    }
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("d.sock");
    let listen = format!("--listen unix:{}", path.display());
    drop(UnixListener::bind(&path).unwrap());
    let daemon = sandbox.daemon().args(&listen).start();
    let (status, said) = sandbox.daemon().args(&listen).run();
    assert_eq!(status.code(), Some(2), "{said}");
    let expected = format!("--listen unix:{}: ", path.display());
    assert!(
        said.contains(&expected) && said.contains("running already"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    let mut client = unix(&path);
    client.send(REQUEST);
    assert_eq!(client.answer().status, 200, "the first one is as it was");

    daemon.signal("KILL");
    drop(daemon);
    assert!(path.exists(), "it could not tidy up");
    let daemon = sandbox.daemon().args(&listen).start();
    let mut client = unix(&path);
    client.send(REQUEST);
    assert_eq!(client.answer().status, 200);
    drop(daemon);
}

#[test]
fn no_other_file_is_replaced() {
    let sandbox = Sandbox::new();
    let path = sandbox.write("precious", "content");
    let link = sandbox.path("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let missing = sandbox.path("missing/d.sock");
    for path in [&path, &link, &sandbox.path("work"), &missing] {
        let listen = format!("--listen unix:{}", path.display());
        let (status, said) = sandbox.daemon().args(&listen).run();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains("--listen unix:"), "{said}");
    }
    assert_eq!(sandbox.read("precious"), "content");
}

#[test]
fn a_port_in_use_and_a_bad_address_are_said_in_one_line() {
    let sandbox = Sandbox::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for address in [
        taken.as_str(),
        "0.0.0.0:0",
        "[::]:0",
        "192.0.2.1:80",
        "nonsense",
        "unix:relative",
    ] {
        let (status, said) = sandbox.daemon().args(&format!("--listen {address}")).run();
        assert_eq!(status.code(), Some(2), "{address}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains("--listen") && said.contains(address),
            "{said}"
        );
    }
    // Where one of two addresses is not available, the other one is released.
    let socket = sandbox.path("d.sock");
    let both = format!("--listen unix:{} --listen {taken}", socket.display());
    let (status, _) = sandbox.daemon().args(&both).run();
    assert_eq!(status.code(), Some(2));
    assert!(!socket.exists());
}

/// A daemon without `--listen`, in a network of its own, so that nothing else has the default port.
fn by_default(sandbox: &Sandbox, runtime: &Path) -> DaemonBuilder {
    let builder = DaemonBuilder::of("unshare").args("--user --map-root-user --net sh -c");
    let code = "ip link set lo up; exec \"$0\" \"$@\"";
    sandbox
        .daemon_of(builder.arg(code).arg(BINARY))
        .env("XDG_RUNTIME_DIR", runtime.to_str().unwrap())
        .listening_by_default()
}

#[test]
fn without_an_address_it_also_listens_where_programs_look_for_it() {
    let sandbox = Sandbox::with_app();
    let runtime = sandbox.path("run");
    let socket = runtime.join("devcontainerd.sock");
    fs::create_dir(&runtime).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    let mut daemon = by_default(&sandbox, &runtime).start();
    let expected = [
        "http://127.0.0.1:3382".to_owned(),
        format!("unix:{}", socket.display()),
    ];
    assert_eq!(
        addresses(&daemon, 2),
        expected,
        "a stale socket is replaced"
    );
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut client = unix(&socket);
    client.send("GET /devcontainers HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 200);

    let second = by_default(&sandbox, &runtime).start();
    second.log.wait_for("cannot listen on ");
    assert_eq!(addresses(&second, 1), expected[..1], "it serves without");
    drop(second);
    client.send(REQUEST);
    assert_eq!(
        client.answer().status,
        200,
        "the socket is still the first one's"
    );
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    assert!(!socket.exists());

    for mode in [0o770, 0o707] {
        fs::set_permissions(&runtime, fs::Permissions::from_mode(mode)).unwrap();
        let daemon = by_default(&sandbox, &runtime)
            .args("--log-level debug")
            .start();
        daemon.log.wait_for("is no directory of this user's own");
        assert!(!socket.exists(), "{mode:o}");
    }
}

#[test]
fn a_service_manager_gives_it_directories() {
    let sandbox = Sandbox::with_app();
    let [session, runtime, state] = ["session", "runtime", "kept"].map(|name| sandbox.path(name));
    for directory in [&session, &runtime] {
        fs::create_dir(directory).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let daemon = by_default(&sandbox, &session)
        .env(
            "RUNTIME_DIRECTORY",
            &format!("{}:/nonexistent", runtime.display()),
        )
        .env(
            "STATE_DIRECTORY",
            &format!("{}:/nonexistent", state.display()),
        )
        .start();
    let socket = runtime.join("devcontainerd.sock");
    assert_eq!(
        addresses(&daemon, 2)[1],
        format!("unix:{}", socket.display())
    );
    assert!(!session.join("devcontainerd.sock").exists());
    let mut client = unix(&socket);
    client.send("GET /devcontainers HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    eventually("the state is saved", || {
        state.join("state.json").exists().then_some(())
    });
}
