//! Daemons that run for long, whose resources do not grow.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::common::{Daemon, DaemonBuilder, Stopwatch, eventually, operation_processes, zombies};
use crate::engine::Directory;
use crate::workspace::{Live, Workspace, container_of};

const WARM_UP: usize = 10;
/// The number of recreates in a row, unless `DEVCONTAINERD_RECREATES` gives another one.
const RECREATES: usize = 50;
/// How much the process may grow or shrink in that time, in kB.
const DRIFT: u64 = 300;
/// The number of bytes that the hook prints, and the limit for that.
const FLOOD: usize = 200_000_000;
const FLOODED_WITHIN: Duration = Duration::from_secs(180);
/// The most memory that a daemon may use, in kB: twice 4 MiB of a log, a page of it for each reader, and buffers.
const MOST: u64 = 20_000;

/// A daemon of the binary that is shipped, as it is the one whose resources count.
fn shipped() -> DaemonBuilder {
    let binary = std::env::var("DEVCONTAINERD_STATIC_BIN");
    let binary =
        binary.expect("DEVCONTAINERD_STATIC_BIN names the binary that `make static` makes");
    DaemonBuilder::of(&binary).args("--no-events --cache-duration 0")
}

/// A temporary directory whose control manifest keeps the CLI from the network.
fn temporary_directory() -> Directory {
    let directory = Directory::new("tmp");
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap();
    let below = format!("devcontainercli-{}", user.trim());
    let below = directory.path().join(below);
    fs::create_dir_all(&below).unwrap();
    let manifest = below.join("control-manifest.json");
    fs::write(
        &manifest,
        r#"{"disallowedFeatures":[],"featureAdvisories":[]}"#,
    )
    .unwrap();
    let manifest = fs::File::options().append(true).open(manifest).unwrap();
    let tomorrow = SystemTime::now() + Duration::from_secs(86400);
    manifest.set_modified(tomorrow).unwrap();
    directory
}

/// All paths below a directory, except the empty `container-features/VERSION-MILLISECONDS` that the CLI (0.89.0) leaves
/// each time.
fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            let parent = path.parent().unwrap();
            let is_directory = entry.file_type().unwrap().is_dir();
            if is_directory {
                directories.push(path.clone());
            }
            if !(is_directory && parent.ends_with("container-features")) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The resources of a daemon at rest.
#[derive(Debug, PartialEq)]
struct Usage {
    threads: u64,
    descriptors: usize,
    children: usize,
    zombies: usize,
    of_operations: usize,
    files: Vec<PathBuf>,
}

impl Usage {
    fn of(daemon: &Daemon, directory: &Path) -> Self {
        Self {
            threads: daemon.threads(),
            descriptors: daemon.descriptors(),
            children: daemon.children().len(),
            zombies: zombies(daemon.pid()).len(),
            of_operations: operation_processes(daemon.pid()).len(),
            files: below(directory),
        }
    }

    /// The resources once two looks find them equal, as connections end a moment after their answer. There is no
    /// child then: it would be of a listing, or of a repair of what another test has left.
    fn settled(daemon: &Daemon, directory: &Path) -> Self {
        eventually("it is idle", || {
            let usage = Self::of(daemon, directory);
            std::thread::sleep(Duration::from_millis(50));
            let is_at_rest = usage.children == 0 && usage.of_operations == 0;
            (is_at_rest && Self::of(daemon, directory) == usage).then_some(usage)
        })
    }
}

#[test]
fn p16_many_recreates_in_a_row_cost_nothing() {
    let workspace = Workspace::new("hundred", json!({"postCreateCommand": "echo made"}));
    workspace.up();
    let temporary = temporary_directory();
    let directory = temporary.path();
    let tmpdir = directory.to_str().unwrap();
    let daemon = shipped().env("TMPDIR", tmpdir).start();
    let mut last = container_of(&workspace.devcontainer(&daemon));
    let mut recreate = || {
        let made = daemon.post(&format!("{}?wait", workspace.recreate()));
        assert_eq!(made.status, 204, "{made:?}");
        let one = workspace.devcontainer(&daemon);
        assert_eq!(one["status"], "running", "{one:#}");
        let id = container_of(&one);
        assert_ne!(id, last);
        last = id;
    };
    for _ in 0..WARM_UP {
        recreate();
    }
    let before = Usage::settled(&daemon, directory);
    let memory_before = daemon.status("VmRSS");
    let recreates = std::env::var("DEVCONTAINERD_RECREATES").ok();
    for _ in 0..recreates.map_or(RECREATES, |number| number.parse().unwrap()) {
        recreate();
    }
    assert_eq!(workspace.containers(), [&*last]);
    eventually("all is given back", || {
        (Usage::of(&daemon, directory) == before).then_some(())
    });
    assert_eq!((before.zombies, before.of_operations), (0, 0));
    let memory = daemon.status("VmRSS");
    assert!(
        memory.abs_diff(memory_before) <= DRIFT,
        "{memory_before} kB, then {memory} kB"
    );
    let features = fs::read_dir(directory).unwrap().flatten().flat_map(|own| {
        let features = fs::read_dir(own.path().join("container-features"));
        features.into_iter().flatten().flatten()
    });
    for left in features {
        let inside = fs::read_dir(left.path()).unwrap().count();
        assert_eq!(inside, 0, "the CLI leaves an empty directory");
    }
}

/// Requests the log, and reads nothing.
fn follow(daemon: &Daemon, workspace: &Workspace) -> TcpStream {
    let mut stream = daemon.connect();
    let path = format!("{}?follow=true", workspace.logs());
    let head = daemon.head("GET", &path, "Connection: close\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Reads to the end and keeps no more than the last line.
fn last_line(mut stream: TcpStream) -> Value {
    let (mut tail, mut chunk) = (Vec::new(), vec![0; 65536]);
    loop {
        let length = stream.read(&mut chunk).unwrap();
        if length == 0 {
            break;
        }
        tail.extend_from_slice(&chunk[..length]);
        tail.drain(..tail.len().saturating_sub(4096));
    }
    let tail = String::from_utf8_lossy(&tail);
    let mut lines = tail
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.rfind(Value::is_object).expect("a line")
}

#[test]
fn p15_followers_that_never_read_do_not_matter() {
    let line = "0123456789".repeat(7);
    let flood = format!("yes {line} | head -c {FLOOD}; echo");
    let workspace = Workspace::new("flood", json!({"postCreateCommand": flood}));
    workspace.up();
    let daemon = shipped().start();
    workspace.devcontainer(&daemon);
    let before = Usage::settled(&daemon, workspace.folder());
    // This client closes its connection while it waits.
    let waiting = format!("{}?wait=true", workspace.recreate());
    let waiting = Live::send(&daemon, "POST", &waiting);
    workspace.wait_for(&daemon, "it runs", |one| one["status"] == "starting");
    let follow = |_| follow(&daemon, &workspace);
    let silent: Vec<TcpStream> = (0..5).map(follow).collect();
    let readers: Vec<TcpStream> = (0..5).map(follow).collect();
    drop(waiting);
    let outcomes: Vec<Value> = std::thread::scope(|scope| {
        let begun = Stopwatch::start();
        let read = |reader| scope.spawn(move || last_line(reader));
        let readers: Vec<_> = readers.into_iter().map(read).collect();
        while workspace.devcontainer(&daemon)["job"]["state"] == "running" {
            assert!(begun.elapsed() < FLOODED_WITHIN);
            std::thread::sleep(Duration::from_millis(100));
        }
        let outcomes = readers.into_iter().map(|reader| reader.join().unwrap());
        outcomes.collect()
    });
    for outcome in outcomes {
        assert_eq!(outcome["outcome"], "succeeded", "{outcome}");
    }
    let one = workspace.devcontainer(&daemon);
    assert_eq!(one["job"]["state"], "succeeded", "{one:#}");
    assert_eq!(one["status"], "running", "{one:#}");
    let most = daemon.status("VmHWM");
    assert!(most < MOST, "{most} kB at the most");
    let log = daemon.get(&format!("{}?format=text", workspace.logs()));
    let said: Vec<&str> = log.body.lines().collect();
    let end = &said[said.len().saturating_sub(20)..];
    // The CLI ends before it has written the last lines.
    let flooded = |said: &&str| said.starts_with("0123456789");
    assert!(end.iter().any(flooded), "its end is kept: {end:#?}");
    assert!(log.body.len() < 5_000_000, "{}", log.body.len());
    drop(silent);
    eventually("threads and descriptors are given back", || {
        let (threads, descriptors) = (daemon.threads(), daemon.descriptors());
        (threads <= before.threads && descriptors <= before.descriptors).then_some(())
    });
}
