//! The figures that depend on the number of containers, beside other servers, with a docker that answers at once.

use std::thread;
use std::time::{Duration, Instant};

use crate::changes::Lines;
use crate::common::Daemon;
use crate::fleet::{Fleet, Kind};
use crate::load::{self, Load, Use};
use crate::peers::Peer;
use crate::report::{Target, milliseconds};
use crate::{Bench, cpu_time, run};

const CONNECTIONS: [usize; 4] = [1, 2, 8, 32];
const COUNTS: [usize; 4] = [10, 100, 1000, 10_000];
/// The containers that are listed, in one listing or several, between two looks at the CPU time.
const LISTED_AT_ONCE: usize = 400;
/// The time without any work after which a daemon is at rest. The pause after an event is shorter.
const QUIET: Duration = Duration::from_millis(150);
/// The changes before those that are measured.
const FIRST_CHANGES: usize = 10;

/// How much is measured.
pub(crate) struct Effort {
    counts: &'static [usize],
    connections: &'static [usize],
    rounds: usize,
    /// How long load is put on a server at a time.
    round: Duration,
    changes: usize,
}

pub(crate) const WHOLE: Effort = Effort {
    counts: &COUNTS,
    connections: &CONNECTIONS,
    rounds: 5,
    round: Duration::from_millis(400),
    changes: 40,
};
pub(crate) const IN_SHORT: Effort = Effort {
    counts: &[10, 1000],
    connections: &[2, 8],
    rounds: 3,
    round: Duration::from_millis(200),
    changes: 20,
};

/// One kind and number of containers.
struct Size {
    kind: Kind,
    count: usize,
}

impl Size {
    fn named(&self, what: &str) -> String {
        format!("{what}, {} {}", self.count, self.kind.name())
    }
}

pub(crate) fn scale(bench: &mut Bench) {
    let effort = &bench.effort.scale;
    for kind in Kind::ALL {
        let mut first_change = None;
        for &count in effort.counts {
            let size = Size { kind, count };
            eprintln!("figures: {}", size.named("scale"));
            let mut fleet = Fleet::new(kind, count);
            start(bench, &fleet, &size, effort);
            served(bench, &fleet, &size, effort);
            listed(bench, &fleet, &size, effort);
            let spent = change(bench, &mut fleet, &size, effort);
            let first = *first_change.get_or_insert(spent);
            if first != spent {
                bench
                    .report
                    .one(&size.named("CPU of one change"), "ms", spent)
                    .target(Target::RatioAtMost(2.0))
                    .peer("among 10", vec![first]);
            }
        }
    }
}

fn daemon(bench: &Bench, fleet: &Fleet, arguments: &str) -> Daemon {
    let builder = bench
        .daemon()
        .arg("--docker")
        .arg(fleet.docker().to_str().unwrap());
    let builder = builder
        .arg("--state-dir")
        .arg(fleet.state().to_str().unwrap());
    builder.args(arguments).start()
}

fn request(address: &str, path: &str, ending: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{ending}\r\n").into_bytes()
}

/// Lists by docker's commands, as a script that asks each time does. Returns the time in milliseconds.
fn poll(fleet: &Fleet) -> f64 {
    let docker = fleet.docker().display().to_string();
    let begun = Instant::now();
    let ids = run(&docker, &["ps", "--all", "--quiet", "--no-trunc"]);
    let ids: Vec<&str> = ids.lines().collect();
    for some in ids.chunks(100) {
        run(
            &docker,
            &["inspect"]
                .into_iter()
                .chain(some.iter().copied())
                .collect::<Vec<_>>(),
        );
    }
    milliseconds(begun.elapsed())
}

fn start(bench: &mut Bench, fleet: &Fleet, size: &Size, effort: &Effort) {
    let (mut ours, mut script, mut go) = (vec![], vec![], vec![]);
    for _ in 0..effort.rounds {
        let begun = Instant::now();
        let daemon = daemon(bench, fleet, "");
        assert_eq!(daemon.get("/").status, 200);
        ours.push(milliseconds(begun.elapsed()));
        drop(daemon);
        script.push(poll(fleet));
        let begun = Instant::now();
        if let Some(peer) = Peer::go(&fleet.docker(), "") {
            load::fetch(&peer.address, &request(&peer.address, "/", ""));
            go.push(milliseconds(begun.elapsed()));
        }
    }
    let figure = bench.report.many(&size.named("start to GET /"), "ms", ours);
    figure
        .peer("docker ps and inspect", script)
        .peer("Go server", go);
}

/// Measures answers from memory.
fn served(bench: &mut Bench, fleet: &Fleet, size: &Size, effort: &Effort) {
    let daemon = daemon(bench, fleet, "");
    daemon.json("/");
    follow_quietly(&daemon);
    let answer = load::fetch(&daemon.address, &request(&daemon.address, "/", ""));
    let body = answer
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .unwrap()
        + 4;
    let floor = Peer::floor(&fleet.file("answer", &answer));
    let directory = fleet.state().join("nginx");
    std::fs::create_dir_all(&directory).unwrap();
    let nginx = Peer::nginx(&directory, &answer[body..]);
    let go = Peer::go(&fleet.docker(), "");
    let peers: Vec<&Peer> = [Some(&floor), nginx.as_ref(), go.as_ref()]
        .into_iter()
        .flatten()
        .collect();
    for &connections in effort.connections {
        for (what, ending, usage) in [
            ("GET / cached", "", Use::Again),
            (
                "GET / cached, a connection each",
                "Connection: close\r\n",
                Use::Once,
            ),
        ] {
            if usage == Use::Once && connections != 8 {
                continue;
            }
            let what = size.named(&format!("{what}, c={connections}"));
            let load = |address: &str| {
                load::run(
                    address,
                    &request(address, "/", ending),
                    connections,
                    usage,
                    effort.round,
                )
            };
            let mut ours: Vec<f64> = vec![];
            let mut theirs = vec![vec![]; peers.len()];
            let (mut cpu, mut cpu_of_floor) = (vec![], vec![]);
            load(&daemon.address);
            for _ in 0..effort.rounds {
                let before = cpu_time(&daemon);
                let done = load(&daemon.address);
                cpu.push(each(cpu_time(&daemon) - before, &done));
                ours.push(done.per_second());
                for (peer, samples) in peers.iter().zip(&mut theirs) {
                    let before = peer.cpu_time();
                    let done = load(&peer.address);
                    samples.push(done.per_second());
                    if peer.what == floor.what {
                        cpu_of_floor.push(each(peer.cpu_time() - before, &done));
                    }
                }
            }
            let figure = bench.report.many(&what, "per s", ours);
            for (peer, samples) in peers.iter().zip(theirs) {
                figure.peer(peer.what, samples);
            }
            if connections == 8 && usage == Use::Again {
                bench
                    .report
                    .many(&size.named("CPU of a cached answer, c=8"), "µs", cpu)
                    .peer(floor.what, cpu_of_floor);
            }
        }
    }
    let figure = bench.report.one(
        &size.named("resident memory"),
        "kB",
        daemon.status("VmRSS") as f64,
    );
    if let Some(go) = &go {
        figure.peer(go.what, vec![go.memory()]);
    }
}

/// Lets all threads come to rest, so that nothing else takes part in what is measured.
fn follow_quietly(daemon: &Daemon) {
    let mut before = cpu_time(daemon);
    loop {
        thread::sleep(QUIET);
        let now = cpu_time(daemon);
        if now == before {
            return;
        }
        before = now;
    }
}

fn each(spent: Duration, load: &Load) -> f64 {
    spent.as_secs_f64() * 1e6 / load.count as f64
}

/// Measures a listing of all containers.
fn listed(bench: &mut Bench, fleet: &Fleet, size: &Size, effort: &Effort) {
    let daemon = daemon(bench, fleet, "--no-events --cache-duration 0");
    let go = Peer::go(&fleet.docker(), "");
    // Few containers are listed often.
    let times = (LISTED_AT_ONCE / size.count).max(1);
    let list = |address: &str, path: &str| {
        let begun = Instant::now();
        for _ in 0..times {
            load::fetch(address, &request(address, path, ""));
        }
        milliseconds(begun.elapsed()) / times as f64
    };
    let each = |spent: Duration| spent.as_secs_f64() * 1e3 / times as f64;
    let (mut ours, mut script, mut theirs) = (vec![], vec![], vec![]);
    let (mut cpu, mut cpu_of_go) = (vec![], vec![]);
    list(&daemon.address, "/");
    for _ in 0..effort.rounds {
        let before = cpu_time(&daemon);
        ours.push(list(&daemon.address, "/"));
        cpu.push(each(cpu_time(&daemon) - before));
        if let Some(go) = &go {
            let before = go.cpu_time();
            theirs.push(list(&go.address, "/fresh"));
            cpu_of_go.push(each(go.cpu_time() - before));
        }
        script.push(poll(fleet));
    }
    let report = &mut bench.report;
    report
        .many(&size.named("GET / uncached"), "ms", ours)
        .peer("docker ps and inspect", script)
        .peer("Go server", theirs);
    report
        .many(&size.named("CPU of a listing"), "ms", cpu)
        .target(Target::RatioAtMost(match size.kind {
            Kind::Plain => 0.4,
            Kind::Dev => 0.8,
        }))
        .peer("Go server", cpu_of_go);
}

/// Measures one change of a container while a stream is open. Returns the CPU time of the daemon, in milliseconds.
fn change(bench: &mut Bench, fleet: &mut Fleet, size: &Size, effort: &Effort) -> f64 {
    let daemon = daemon(bench, fleet, "");
    let lines = Lines::of(&daemon);
    daemon.follows();
    follow_quietly(&daemon);
    let mut one = |number: usize| {
        let changed = fleet.change(number % 10, number % 20 < 10);
        let begun = Instant::now();
        lines.wait_for(&[&changed[0], &changed[1]]);
        milliseconds(begun.elapsed())
    };
    // The first ones find the places of all.
    for number in 0..FIRST_CHANGES {
        one(number);
    }
    follow_quietly(&daemon);
    let before = cpu_time(&daemon);
    let changes = FIRST_CHANGES..FIRST_CHANGES + effort.changes;
    let times = changes.map(one).collect();
    follow_quietly(&daemon);
    let spent = (cpu_time(&daemon) - before).as_secs_f64() * 1e3 / effort.changes as f64;
    bench
        .report
        .many(&size.named("change to the stream"), "ms", times);
    spent
}
