//! The health check, which ends within its limit whatever listens at the address.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output};
use std::time::Duration;

use crate::common::{BINARY, Sandbox, Stopwatch};

/// The limit of the check, and some slack.
const ENDS_WITHIN: Duration = Duration::from_secs(8);

fn output(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

#[track_caller]
fn assert_ends_in_time(url: &str) {
    let watch = Stopwatch::start();
    let output = output(&["healthcheck", "--url", url]);
    let took = watch.elapsed();
    assert!(took < ENDS_WITHIN, "{took:?}");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no answer within 3 s"), "{said}");
}

#[test]
fn a_healthcheck_ends_where_the_queue_is_full() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("d.sock");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    // Each of them connects as long as there is room in the queue, and the last one waits.
    for _ in 0..3 {
        let path = path.clone();
        std::thread::spawn(move || {
            let waiting = UnixStream::connect(path);
            std::thread::sleep(ENDS_WITHIN * 2);
            drop(waiting);
        });
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_ends_in_time(&format!("unix:{}", path.display()));
}

#[test]
fn a_healthcheck_ends_where_the_answer_trickles() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    assert_ends_in_time(&url);
}

#[test]
fn healthcheck_tells_whether_a_daemon_answers() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon().start();
    let url = format!("http://{}", daemon.address);
    for url in [
        url.clone(),
        format!("{url}/"),
        format!("{url}/healthz"),
        url.replace("127.0.0.1", "localhost"),
    ] {
        let output = output(&["healthcheck", "--url", &url]);
        assert!(output.status.success(), "{url}: {output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
    }
    let mut from_environment = Command::new(BINARY);
    from_environment
        .arg("healthcheck")
        .env("DEVCONTAINERD_LISTEN", &daemon.address);
    assert!(from_environment.status().unwrap().success());
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for url in [
        format!("http://{unused}"),
        format!("{url}/nope"),
        "unix:/nonexistent".into(),
        "nonsense".into(),
        "https://localhost:1".into(),
    ] {
        let output = output(&["healthcheck", "--url", &url]);
        assert_eq!(output.status.code(), Some(1), "{url}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(&url), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let answers = stderr.contains("answers with status 404");
        assert_eq!(answers, url.ends_with("/nope"), "{stderr}");
    }
}
