//! What an answer from memory costs the binary that is shipped, in instructions: a busy machine does not change their
//! number.

use std::fs;

use crate::common::{DaemonBuilder, Sandbox};

/// The maximum number of instructions for one answer.
const MOST: u64 = 7000;
const REQUESTS: u64 = 2000;
/// The dev containers that are listed.
const DEVCONTAINERS: u32 = 10;

/// Returns how many instructions a daemon executes that answers so many requests.
#[track_caller]
fn instructions(sandbox: &Sandbox, requests: u64) -> u64 {
    let binary = std::env::var("DEVCONTAINERD_STATIC_BIN");
    let binary =
        binary.expect("DEVCONTAINERD_STATIC_BIN names the binary that `make static` makes");
    let log = sandbox.path(&format!("callgrind{requests}"));
    let valgrind =
        DaemonBuilder::of("valgrind").args("--tool=callgrind --callgrind-out-file=/dev/null");
    let valgrind = valgrind
        .arg(&format!("--log-file={}", log.display()))
        .arg(&binary);
    let daemon = sandbox.daemon_of(valgrind).args("--cache-duration 600");
    let mut daemon = daemon.start();
    let mut client = daemon.client();
    for _ in 0..requests {
        client.send(daemon.head("GET", "/", ""));
        assert_eq!(client.answer().status, 200);
    }
    drop(client);
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let text = fs::read_to_string(log).unwrap();
    let line = text.lines().find(|line| line.contains("Collected : "));
    let number = line
        .unwrap_or_else(|| panic!("{text}"))
        .rsplit(' ')
        .next()
        .unwrap();
    number.parse().unwrap()
}

#[test]
fn an_answer_from_memory_takes_few_instructions() {
    let sandbox = Sandbox::new();
    for number in 1..=DEVCONTAINERS {
        let folder = sandbox.workspace(&format!("app{number}"));
        sandbox.devcontainer_of(number, &folder);
    }
    let (few, many) = (
        instructions(&sandbox, 20),
        instructions(&sandbox, 20 + REQUESTS),
    );
    let each = many.saturating_sub(few) / REQUESTS;
    eprintln!("{each} instructions for each answer");
    assert!(each <= MOST, "{each} instructions for each answer");
}
