//! Streams with many followers, long logs, and recreates beside many other processes.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::changes::follows;
use crate::common::client::Client;
use crate::common::{Daemon, Sandbox};
use crate::fleet::{Fleet, Kind};
use crate::peers::Peer;
use crate::report::{Target, milliseconds};
use crate::{Bench, cpu_time, load};

/// The clients that follow changes at once.
const FOLLOWERS: usize = 32;
/// The dev containers, each of which changes in its turn.
const DEVCONTAINERS: usize = 1000;
/// The time between two changes.
const INTERVAL: Duration = Duration::from_millis(5);
/// How often recreates are measured with few other processes, and then with many.
const RECREATE_ROUNDS: usize = 3;
/// The bytes of the log of an operation.
const LOG: usize = 200_000_000;
/// The clients that follow a log at once.
const LOG_FOLLOWERS: usize = 8;
const LOG_ROUNDS: usize = 3;
/// The processes on the machine that a recreate does not concern.
const PROCESSES: usize = 300;

pub(crate) fn streams(bench: &mut Bench) {
    followers(bench);
    for bytes in [100, 1000] {
        log(bench, bytes);
    }
}

/// Measures what changes cost while many clients follow them, and when these receive them.
fn followers(bench: &mut Bench) {
    let mut fleet = Fleet::new(Kind::Dev, DEVCONTAINERS);
    let docker = fleet.docker();
    let daemon = bench.daemon().arg("--docker").arg(docker.to_str().unwrap());
    let daemon = daemon.start();
    let clients: Vec<Client> = (0..FOLLOWERS)
        .map(|_| {
            let (_, mut client) = daemon.stream("GET", "/events", "");
            client.line().unwrap();
            client
        })
        .collect();
    follows(&daemon);
    let (send, received) = channel();
    let before = (cpu_time(&daemon), Instant::now());
    let mut made = Vec::with_capacity(DEVCONTAINERS);
    thread::scope(|scope| {
        for mut client in clients {
            let send = send.clone();
            scope.spawn(move || {
                let mut seen = 0;
                while seen < DEVCONTAINERS {
                    let line = client.line().unwrap();
                    if line.contains(r#""type":"container""#) && line.contains(r#""paused""#) {
                        send.send((number_of(&line), Instant::now())).unwrap();
                        seen += 1;
                    }
                }
            });
        }
        for number in 0..DEVCONTAINERS {
            let due = before.1 + INTERVAL * number as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            fleet.change(number, true);
            made.push(Instant::now());
        }
    });
    drop(send);
    let spent = cpu_time(&daemon) - before.0;
    let share = spent.as_secs_f64() / before.1.elapsed().as_secs_f64();
    let latency = |(number, at): (usize, Instant)| milliseconds(at.duration_since(made[number]));
    let times = received.iter().map(latency).collect();
    let what = format!("200 changes/s, {FOLLOWERS} followers, {DEVCONTAINERS} dev containers");
    let report = &mut bench.report;
    report
        .one(&format!("{what}: CPU"), "%", share * 100.0)
        .target(Target::AtMost(30.0));
    report
        .many(&format!("{what}: delay"), "ms", times)
        .target(Target::P99AtMost(100.0));
}

/// Returns the number of the container of a line, from 0. Its id is that number, from 1.
fn number_of(line: &str) -> usize {
    let id = line.split(r#""id":""#).nth(1).unwrap();
    usize::from_str_radix(&id[48..64], 16).unwrap() - 1
}

/// Measures how fast the output of an operation becomes its log, with and without followers.
fn log(bench: &mut Bench, bytes: usize) {
    let sandbox = Sandbox::with_app();
    let lines = LOG / bytes;
    let flood = format!("yes {} | head -n {lines}", "x".repeat(bytes - 1));
    sandbox.devcontainer(&format!("{flood} >&2"));
    let daemon = sandbox.daemon_of(bench.daemon()).start();
    daemon.json("/");
    let go = Peer::go(Path::new("docker"), &format!("{flood} >&2"));
    let pipe = format!("{flood} | cat >/dev/null");
    let per_second = |action: &mut dyn FnMut()| {
        let begun = Instant::now();
        action();
        lines as f64 / begun.elapsed().as_secs_f64()
    };
    let (mut ours, mut theirs, mut cat) = ([vec![], vec![]], [vec![], vec![]], vec![]);
    for _ in 0..LOG_ROUNDS {
        ours[0].push(per_second(&mut || {
            assert_eq!(daemon.recreate("app").status, 204)
        }));
        ours[1].push(per_second(&mut || {
            let first = load::open(
                &daemon.address,
                "POST",
                "/devcontainers/app/recreate?follow=true",
            );
            follow(
                first,
                &daemon.address,
                "/devcontainers/app/logs?follow=true",
            );
        }));
        if let Some(go) = &go {
            let run = || load::open(&go.address, "GET", "/run");
            theirs[0].push(per_second(&mut || load::drain(run())));
            theirs[1].push(per_second(&mut || follow(run(), &go.address, "/follow")));
        }
        cat.push(per_second(&mut || {
            let status = Command::new("sh").args(["-c", &pipe]).status();
            assert!(status.unwrap().success());
        }));
    }
    let target = if bytes < 1000 { 2.0 } else { 2.5 };
    let whats = ["log".to_owned(), format!("log, {LOG_FOLLOWERS} followers")];
    for ((what, ours), theirs) in whats.into_iter().zip(ours).zip(theirs) {
        let what = format!("{what}, lines of {bytes} bytes");
        let figure = bench.report.many(&what, "per s", ours);
        if go.is_some() {
            figure.target(Target::RatioAtLeast(target));
        }
        figure.peer("Go server", theirs).peer("cat", cat.clone());
    }
}

/// Follows a log with several clients, one of which follows it already.
fn follow(first: impl Read, address: &str, path: &str) {
    thread::scope(|scope| {
        for _ in 1..LOG_FOLLOWERS {
            scope.spawn(|| load::drain(load::open(address, "GET", path)));
        }
        load::drain(first);
    });
}

/// Measures recreates with an engine, a docker and a CLI that take no time, with few and with many other processes on the
/// machine: what is measured is the daemon's own share. The CPU time is that of the daemon alone.
pub(crate) fn recreate(bench: &mut Bench) {
    let fleet = Fleet::new(Kind::Dev, 1);
    let host = fleet.serve_engine();
    let daemon = bench.daemon().env("DOCKER_HOST", &host);
    let daemon = daemon.arg("--docker").arg(fleet.docker().to_str().unwrap());
    let daemon = daemon
        .arg("--devcontainer")
        .arg(fleet.cli().to_str().unwrap());
    let state = fleet.state();
    let daemon = daemon.arg("--state-dir").arg(state.to_str().unwrap());
    let daemon = daemon.args("--no-events").start();
    daemon.json("/");
    let (mut few, mut many) = (Recreates::default(), Recreates::default());
    let recreates = bench.effort.operations;
    for _ in 0..RECREATE_ROUNDS {
        few.add_all(&daemon, recreates);
        let others = Others::start();
        many.add_all(&daemon, recreates);
        drop(others);
    }
    let recreates = recreates * RECREATE_ROUNDS;
    let report = &mut bench.report;
    let what = format!("recreate by stand-ins beside {PROCESSES} processes");
    report
        .many(&what, "ms", many.times)
        .target(Target::AtMost(10.0))
        .peer("without these", few.times);
    report
        .one(&format!("{what}: CPU"), "ms", many.cpu / recreates as f64)
        .peer("without these", vec![few.cpu / recreates as f64]);
}

/// The times of recreates, and the CPU time of the daemon for all of them, in milliseconds.
#[derive(Default)]
struct Recreates {
    times: Vec<f64>,
    cpu: f64,
}

impl Recreates {
    /// Measures recreates in a row. The daemon has known the other processes for a second then, and reads nothing about them
    /// again.
    fn add_all(&mut self, daemon: &Daemon, recreates: usize) {
        Self::default().add(daemon);
        thread::sleep(Duration::from_secs(1));
        Self::default().add(daemon);
        (0..recreates).for_each(|_| self.add(daemon));
    }

    fn add(&mut self, daemon: &Daemon) {
        let (before, begun) = (cpu_time(daemon), Instant::now());
        assert_eq!(daemon.recreate("project0").status, 204);
        self.times.push(milliseconds(begun.elapsed()));
        self.cpu += milliseconds(cpu_time(daemon) - before);
    }
}

/// Processes that do nothing, until this is dropped.
struct Others(Vec<Child>);

impl Others {
    fn start() -> Self {
        let sleep = || {
            let mut command = Command::new("sleep");
            command.arg("1000").stdin(Stdio::null()).spawn().unwrap()
        };
        Self((0..PROCESSES).map(|_| sleep()).collect())
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}
