//! A service manager that is told what the daemon does (sd_notify(3)), and the journal (sd-daemon(3)).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::daemon::switches;
use super::lifecycle::WAIT;
use crate::common::{BINARY, DaemonBuilder, LONGEST, Sandbox, eventually};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    address: String,
}

impl Manager {
    fn by_path(sandbox: &Sandbox) -> Self {
        let path = sandbox.path("notify");
        Self::at(
            UnixDatagram::bind(&path).unwrap(),
            path.display().to_string(),
        )
    }

    fn at(socket: UnixDatagram, address: String) -> Self {
        socket.set_read_timeout(Some(LONGEST)).unwrap();
        Self { socket, address }
    }

    /// The next message.
    #[track_caller]
    fn next(&self) -> String {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    /// The first message from now on that begins like this.
    #[track_caller]
    fn wait_for(&self, beginning: &str) -> String {
        loop {
            let message = self.next();
            if message.starts_with(beginning) {
                return message;
            }
        }
    }

    /// Waits for a status that ends like this.
    #[track_caller]
    fn wait_for_status(&self, end: &str) {
        while !self.wait_for("STATUS=").ends_with(end) {}
    }
}

#[test]
fn a_service_manager_is_told_all_that_the_daemon_does() {
    let sandbox = Sandbox::with_app();
    sandbox.docker("env >>$R/environment");
    sandbox.devcontainer(&format!("env >>$R/environment; {WAIT}"));
    let manager = Manager::by_path(&sandbox);
    let daemon = sandbox.daemon().env("NOTIFY_SOCKET", &manager.address);
    let mut daemon = daemon.env("WATCHDOG_USEC", "3600000000").start();
    assert_eq!(manager.next(), "READY=1");
    let serves = format!("STATUS=serves http://{}; ", daemon.address);
    let idle = "containers, 0 dev containers; operations: 0 running, 0 queued";
    assert_eq!(manager.wait_for("STATUS="), format!("{serves}0 {idle}"));
    daemon.json("/");
    manager.wait_for_status("1 dev containers; operations: 0 running, 0 queued");
    daemon.begin_recreate("app");
    manager.wait_for_status("1 running, 0 queued");

    daemon.signal("HUP");
    let reloading = manager.wait_for("RELOADING=1\n");
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let since: u64 = since.unwrap().parse().unwrap();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    assert!(
        (since as f64 / 1e6 - uptime).abs() < 60.0,
        "{since} at {uptime}"
    );
    manager.wait_for("READY=1");
    daemon.log.wait_for("the manifest was read again");

    daemon.signal("TERM");
    // 10 s for operations, and the rest.
    manager.wait_for("STOPPING=1\nEXTEND_TIMEOUT_USEC=18000000");
    manager.wait_for("STATUS=stops; operations: 1 running");
    sandbox.write("go", "");
    assert_eq!(daemon.wait().code(), Some(0));
    let environment = sandbox.read("environment");
    assert!(environment.contains("PATH="), "{environment}");
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_"] {
        assert!(!environment.contains(variable), "{environment}");
    }
}

#[test]
fn a_service_manager_may_have_an_abstract_socket_or_be_gone() {
    let sandbox = Sandbox::new();
    let name = format!("devcontainerd-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::at(
        UnixDatagram::bind_addr(&address).unwrap(),
        format!("@{name}"),
    );
    let daemon = sandbox
        .daemon()
        .env("NOTIFY_SOCKET", &manager.address)
        .start();
    assert_eq!(manager.next(), "READY=1");
    assert_eq!(daemon.get("/healthz").status, 200, "and it is");

    let gone = sandbox.daemon().env("NOTIFY_SOCKET", "/nonexistent/notify");
    let daemon = gone.start();
    daemon.log.wait_for("service manager cannot be told");
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn a_watchdog_is_fed_while_the_daemon_works_also_where_docker_hangs() {
    let sandbox = Sandbox::with_app();
    sandbox.docker("sleep 1000");
    let manager = Manager::by_path(&sandbox);
    let daemon = sandbox.daemon().env("NOTIFY_SOCKET", &manager.address);
    let daemon = daemon.env("WATCHDOG_USEC", "400000");
    let daemon = daemon.args("--list-timeout 100").start();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| daemon.get("/"));
        eventually("docker runs", || {
            (sandbox.calls("docker", "ps") > 0).then_some(())
        });
        for _ in 0..3 {
            manager.wait_for("WATCHDOG=1");
        }
        daemon.signal("TERM");
        waiting.join().unwrap().assert_error(503, "API closed", "");
    });
    let wrong = sandbox.daemon().env("NOTIFY_SOCKET", &manager.address);
    let wrong = wrong.env("WATCHDOG_USEC", "2s").start();
    wrong
        .log
        .wait_for("WATCHDOG_USEC \"2s\": it should be a number");
}

#[test]
fn p9_nothing_runs_to_keep_a_service_manager_informed() {
    let sandbox = Sandbox::with_app();
    let manager = Manager::by_path(&sandbox);
    let daemon = sandbox
        .daemon()
        .env("NOTIFY_SOCKET", &manager.address)
        .start();
    manager.wait_for("STATUS=");
    // Time itself is tested here: nothing may happen in it.
    eventually("it comes to rest", || {
        let before = switches(&daemon);
        std::thread::sleep(Duration::from_secs(2));
        (switches(&daemon) == before).then_some(())
    });
}

/// A daemon whose standard error is taken for the journal if `JOURNAL_STREAM` is what `stream` says.
fn with_journal(sandbox: &Sandbox, stream: &str) -> DaemonBuilder {
    let code = format!("JOURNAL_STREAM={stream} exec \"$0\" \"$@\"");
    let shell = DaemonBuilder::of("sh").arg("-c").arg(&code).arg(BINARY);
    sandbox.daemon_of(shell)
}

#[test]
fn the_journal_gets_the_priority_of_each_line() {
    const OWN: &str = "$(stat -L -c %d:%i /proc/self/fd/2)";
    let sandbox = Sandbox::with_app();
    sandbox.docker("env >$R/environment; echo odd >&2");
    let daemon = with_journal(&sandbox, OWN)
        .args("--log-level debug")
        .start();
    let first = daemon.log.wait_for("listening on ");
    assert!(first.starts_with("<6>20"), "{first}");
    daemon.json("/");
    let warning = daemon.log.wait_for("odd");
    assert!(warning.starts_with("<4>20"), "{warning}");
    let environment = sandbox.read("environment");
    assert!(!environment.contains("JOURNAL_STREAM"), "{environment}");

    for (stream, arguments) in [("1:1", ""), (OWN, "--log-format json")] {
        let daemon = with_journal(&sandbox, stream).args(arguments).start();
        let first = daemon.log.wait_for("listening on ");
        assert!(!first.starts_with('<'), "{first}");
    }
}
