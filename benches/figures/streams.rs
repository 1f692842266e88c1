//! Streams with many followers, long logs, and recreates beside many other processes.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::changes::follows;
use crate::common::client::Client;
use crate::common::{Daemon, Sandbox};
use crate::fleet::{Fleet, Kind};
use crate::report::{Target, milliseconds};
use crate::{Bench, cpu_time};

/// The clients that follow changes at once.
const FOLLOWERS: usize = 32;
/// The dev containers, each of which changes in its turn.
const DEVCONTAINERS: usize = 1000;
/// The time between two changes.
const INTERVAL: Duration = Duration::from_millis(5);
/// The bytes of the log of an operation.
const LOG: usize = 200_000_000;
/// The clients that follow a log at once.
const LOG_FOLLOWERS: usize = 8;
/// The processes on the machine that a recreate does not concern.
const PROCESSES: usize = 300;
const RECREATES: usize = 15;

pub(crate) fn streams(bench: &mut Bench) {
    followers(bench);
    for bytes in [100, 1000] {
        log(bench, bytes);
    }
    recreate(bench);
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
    let per_second = |begun: Instant| lines as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    assert_eq!(daemon.recreate("app").status, 204);
    let alone = per_second(begun);
    let begun = Instant::now();
    thread::scope(|scope| {
        let (_, mut first) = daemon.stream("POST", "/devcontainers/app/recreate?follow=true", "");
        for _ in 1..LOG_FOLLOWERS {
            scope.spawn(|| follow(&daemon));
        }
        while first.line().is_some() {}
    });
    let followed = per_second(begun);
    let begun = Instant::now();
    let pipe = format!("{flood} | cat >/dev/null");
    let cat = Command::new("sh").args(["-c", &pipe]).status();
    assert!(cat.unwrap().success());
    let floor = per_second(begun);
    for (what, value) in [
        ("log", alone),
        (&*format!("log, {LOG_FOLLOWERS} followers"), followed),
    ] {
        let what = format!("{what}, lines of {bytes} bytes");
        bench
            .report
            .one(&what, "per s", value)
            .peer("cat", vec![floor]);
    }
}

fn follow(daemon: &Daemon) {
    let (_, mut client) = daemon.stream("GET", "/devcontainers/app/logs?follow=true", "");
    while client.line().is_some() {}
}

/// Measures recreates by stand-ins, with few and with many other processes on the machine.
fn recreate(bench: &mut Bench) {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon_of(bench.daemon()).start();
    daemon.json("/");
    let (mut few, mut many) = (vec![], vec![]);
    for _ in 0..RECREATES {
        few.push(recreated(&daemon));
        let others = Others::start();
        many.push(recreated(&daemon));
        drop(others);
    }
    bench
        .report
        .many(
            &format!("recreate by stand-ins beside {PROCESSES} processes"),
            "ms",
            many,
        )
        .target(Target::RatioAtMost(1.1))
        .peer("without these", few);
}

fn recreated(daemon: &Daemon) -> f64 {
    let begun = Instant::now();
    assert_eq!(daemon.recreate("app").status, 204);
    milliseconds(begun.elapsed())
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
