//! What answers and changes cost, in units that a busy machine does not disturb: system calls and allocations.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::common::client::Client;
use crate::common::{BINARY, Daemon, DaemonBuilder, Sandbox, eventually};

/// The requests among which a cost is shared.
const REQUESTS: usize = 400;
/// The changes of which the cheapest one counts: a scan or a listing may fall into any of them.
const CHANGES: usize = 16;
/// The numbers of dev containers among which one changes.
const FEW: u32 = 10;
const MANY: u32 = 200;

/// The system calls by which a connection is served, and memory or help is asked for. The others are those of scans, whose
/// number depends on the time that requests take.
const OF_REQUESTS: [&str; 16] = [
    "recvfrom", "recvmsg", "read", "readv", "sendto", "sendmsg", "write", "writev", "poll",
    "ppoll", "ioctl", "mmap", "munmap", "brk", "madvise", "clone3",
];

/// The system calls by which dev containers are looked at, and programs are run. How many of the others fall into a change
/// depends on how busy the machine is: the thread of a program that has been read may end before the change or after it.
const OF_LOOKS: [&str; 7] = [
    "statx",
    "newfstatat",
    "readlink",
    "openat",
    "getdents64",
    "inotify_add_watch",
    "clone3",
];

/// The system calls of a daemon, which strace(1) writes to a file.
struct Trace {
    path: PathBuf,
}

impl Trace {
    /// Starts a daemon whose system calls are written down.
    fn start(
        sandbox: &Sandbox,
        builder: impl FnOnce(DaemonBuilder) -> DaemonBuilder,
    ) -> (Self, Daemon) {
        let path = sandbox.path("trace");
        // With -D, strace is a child of the daemon, and the daemon that of the test. Programs that it runs are not traced.
        let strace = DaemonBuilder::of("strace").args("-D -f -b execve -qq -o");
        let strace = strace.arg(path.to_str().unwrap()).arg(BINARY);
        let daemon = builder(sandbox.daemon_of(strace)).start();
        (Self { path }, daemon)
    }

    /// Returns the names of the system calls of the daemon between two marks.
    #[track_caller]
    fn between(&self, begin: &str, end: &str) -> Vec<String> {
        let text = eventually("the last mark is written down", || {
            let text = fs::read_to_string(&self.path).ok()?;
            text.contains(end).then_some(text)
        });
        let after = text.split_once(begin).unwrap().1;
        let part = after.split_once(end).unwrap().0;
        let lines = text.lines();
        let programs = lines.filter(|line| line.contains(" execve(")).skip(1);
        let programs: Vec<&str> = programs.filter_map(|line| line.split(' ').next()).collect();
        let own = part.lines().skip(1).filter_map(|line| {
            let (pid, call) = line.split_once(' ')?;
            let name = call.trim_start().split('(').next()?;
            let is_call = name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            (is_call && !programs.contains(&pid)).then(|| name.to_owned())
        });
        own.collect()
    }
}

/// Sends a request whose path stands in the trace. The first bytes of what is received stand there.
#[track_caller]
fn mark(daemon: &Daemon, client: &mut Client, name: &str) {
    client.send(daemon.head("GET", &format!("/{name}"), ""));
    assert_eq!(client.answer().status, 404);
}

#[track_caller]
fn ask(daemon: &Daemon, client: &mut Client, times: usize) {
    for _ in 0..times {
        client.send(daemon.head("GET", "/", ""));
        assert_eq!(client.answer().status, 200);
    }
}

/// Waits until a daemon has done what it does once after the first list: it asks docker for the version of the engine.
#[track_caller]
fn begin(daemon: &Daemon, client: &mut Client) {
    ask(daemon, client, 1);
    eventually("the version of the engine is known", || {
        (daemon.log_count("reaches an engine of version") == 1).then_some(())
    });
}

/// Waits until a daemon watches all inputs, and does nothing any more.
#[track_caller]
fn settle(daemon: &Daemon) {
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
        (
            daemon.watches(),
            stat.rsplit_once(") ").unwrap().1.to_owned(),
        )
    };
    let mut before = ticks();
    eventually("the daemon comes to rest", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let now = ticks();
        let same = now == before;
        before = now;
        same.then_some(())
    });
}

#[test]
fn an_answer_from_memory_takes_three_system_calls() {
    let sandbox = Sandbox::with_app();
    let (trace, daemon) = Trace::start(&sandbox, |daemon| daemon.args("--cache-duration 600"));
    let mut client = daemon.client();
    ask(&daemon, &mut client, 10);
    settle(&daemon);
    mark(&daemon, &mut client, "begin");
    ask(&daemon, &mut client, REQUESTS);
    mark(&daemon, &mut client, "end");
    let calls = trace.between("/begin", "/end");
    let of_requests: Vec<&String> = calls
        .iter()
        .filter(|name| OF_REQUESTS.contains(&name.as_str()))
        .collect();
    // It is received, the queue of inotify is looked at, and the answer is sent.
    let each = of_requests.len() as f64 / REQUESTS as f64;
    assert!(
        (2.0..3.2).contains(&each),
        "{each} for each request: {:?}",
        counted(&of_requests)
    );
}

fn counted<'a>(names: &[&'a String]) -> std::collections::BTreeMap<&'a str, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for name in names {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    counts
}

/// Returns how many looks the cheapest of several changes takes among so many dev containers.
#[track_caller]
fn looks_of_a_change(devcontainers: u32) -> usize {
    let sandbox = Sandbox::new();
    for number in 1..=devcontainers {
        let folder = sandbox.workspace(&format!("app{number}"));
        sandbox.devcontainer_of(number, &folder);
    }
    sandbox.write("events", "");
    let follows = |daemon: DaemonBuilder| daemon.without_env(crate::common::NO_EVENTS);
    let (trace, daemon) = Trace::start(&sandbox, follows);
    let (_, mut stream) = daemon.stream("GET", "/events", "");
    stream.line().unwrap();
    daemon.follows();
    let mut client = daemon.client();
    settle(&daemon);
    let folder = sandbox.path("work/app1");
    for number in 0..=CHANGES {
        let status = if number % 2 == 0 { "paused" } else { "running" };
        mark(&daemon, &mut client, &format!("mark{number}."));
        let state = json!({"Status": status, "Running": true});
        sandbox.container(1).of(&folder).set("State", state).save();
        sandbox.event(1, "pause");
        // The line of the dev container comes after that of the container.
        let shows = |line: &str| {
            line.contains("\"type\":\"devcontainer\"")
                && line.contains(&format!("\"status\":\"{status}\",\"volumes\""))
        };
        while !shows(&stream.line().unwrap()) {}
    }
    mark(&daemon, &mut client, "end.");
    let looks = (0..CHANGES).map(|number| {
        let (begin, end) = (format!("/mark{number}."), format!("/mark{}.", number + 1));
        let calls = trace.between(&begin, &end);
        let is_look = |name: &&String| OF_LOOKS.contains(&name.as_str());
        calls.iter().filter(is_look).count()
    });
    looks.min().unwrap()
}

#[test]
fn a_change_looks_at_as_much_among_many_as_among_few() {
    let (few, many) = (looks_of_a_change(FEW), looks_of_a_change(MANY));
    // A look at a dev container takes several: if each were looked at, there would be hundreds more.
    let more = many.saturating_sub(few);
    assert!(
        more < MANY as usize / 4,
        "{few} among {FEW}, {many} among {MANY}"
    );
}

#[test]
fn a_listing_looks_for_no_place_while_nothing_changes() {
    let sandbox = Sandbox::new();
    for number in 1..=FEW {
        let folder = sandbox.workspace(&format!("app{number}"));
        sandbox.devcontainer_of(number, &folder);
    }
    let (trace, daemon) = Trace::start(&sandbox, |daemon| daemon.args("--cache-duration 0"));
    let mut client = daemon.client();
    begin(&daemon, &mut client);
    settle(&daemon);
    let mut number = 0;
    // Where events wait that the watcher has not read, as of other files in the same directory, a listing looks.
    eventually("a listing looks for no place", || {
        number += 1;
        let (begin, end) = (format!("begin{number}."), format!("end{number}."));
        mark(&daemon, &mut client, &begin);
        ask(&daemon, &mut client, 1);
        mark(&daemon, &mut client, &end);
        let calls = trace.between(&format!("/{begin}"), &format!("/{end}"));
        let is_listed = calls.iter().any(|name| name == "wait4");
        assert!(is_listed, "it lists: {calls:?}");
        // Each place takes several.
        let looks = calls.iter().filter(|name| *name == "readlink").count();
        (looks < FEW as usize).then_some(())
    });
}

/// Returns how many times a daemon asks for memory that answers so many requests.
#[track_caller]
fn allocations(sandbox: &Sandbox, cache: &str, requests: usize) -> i64 {
    let log = sandbox.path(&format!("valgrind{requests}"));
    let valgrind = DaemonBuilder::of("valgrind").args("--leak-check=no");
    let valgrind = valgrind
        .arg(&format!("--log-file={}", log.display()))
        .arg(BINARY);
    let mut daemon = sandbox
        .daemon_of(valgrind)
        .args("--cache-duration")
        .arg(cache)
        .start();
    let mut client = daemon.client();
    begin(&daemon, &mut client);
    ask(&daemon, &mut client, requests);
    drop(client);
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let text = fs::read_to_string(log).unwrap();
    let line = text
        .lines()
        .find(|line| line.contains("total heap usage: "));
    let number = line
        .unwrap_or_else(|| panic!("{text}"))
        .split("usage: ")
        .nth(1)
        .unwrap();
    number
        .split(' ')
        .next()
        .unwrap()
        .replace(',', "")
        .parse()
        .unwrap()
}

#[test]
fn an_answer_from_memory_allocates_nothing() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    // A few of a run are not for a request.
    let few = allocations(&sandbox, "600", 20);
    let many = allocations(&sandbox, "600", 20 + REQUESTS);
    let each = (many - few) as f64 / REQUESTS as f64;
    assert!(each < 0.5, "{each} for each request");
}

#[test]
fn a_listing_parses_no_container_that_is_as_before() {
    let sandbox = Sandbox::new();
    let labels = (0..30).map(|label| (format!("label{label}"), json!("value")));
    let config = json!({"Image": "base", "Labels": labels.collect::<serde_json::Map<_, _>>()});
    for number in 1..=MANY {
        let container = sandbox.container(number);
        container.set("Config", config.clone()).save();
    }
    const LISTINGS: usize = 10;
    let few = allocations(&sandbox, "0", 5);
    let many = allocations(&sandbox, "0", 5 + LISTINGS);
    let each = (many - few) as f64 / (LISTINGS * MANY as usize) as f64;
    // An id is copied a dozen times. To parse a container takes as many more as it has labels, twice.
    assert!(each < 40.0, "{each} for each container");
}

#[test]
fn the_tools_of_these_tests_are_there() {
    for tool in ["strace", "valgrind"] {
        let found = Command::new(tool).arg("--version").output();
        assert!(
            found.is_ok(),
            "{tool} is missing: scripts/setup.sh installs it"
        );
    }
    assert!(Path::new(BINARY).exists());
}

/// The maximum number of instructions for one answer, without the scan that now and then falls into one.
#[cfg(feature = "e2e")]
const MOST_INSTRUCTIONS: u64 = 2550;

/// Returns how many instructions a daemon executes that answers so many requests.
#[cfg(feature = "e2e")]
#[track_caller]
fn instructions(sandbox: &Sandbox, requests: usize) -> u64 {
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
    begin(&daemon, &mut client);
    ask(&daemon, &mut client, requests);
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

#[cfg(feature = "e2e")]
#[test]
fn an_answer_from_memory_takes_few_instructions() {
    let sandbox = Sandbox::new();
    // Answers about dev containers come with a scan every 50 ms, however long they take on a busy machine.
    for number in 1..=FEW {
        sandbox.container(number).save();
    }
    let few = instructions(&sandbox, REQUESTS);
    let many = instructions(&sandbox, 6 * REQUESTS);
    let each = many.saturating_sub(few) / (5 * REQUESTS as u64);
    assert!(
        each <= MOST_INSTRUCTIONS,
        "{each} instructions for each answer"
    );
}
