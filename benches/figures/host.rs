//! Many workspaces on one host, each with a daemon of its own, beside agents that poll docker.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::changes::Lines;
use crate::common::Daemon;
use crate::load;
use crate::peers::{Peer, found};
use crate::report::Report;
use crate::{AFTER_CONNECTIONS, Bench, IDLE, children_cpu_time_of, cpu_time_of, switches_of};

/// The workspaces of the host.
const WORKSPACES: usize = 100;
/// The workspaces in which somebody asks for the list again and again.
const POLLED: usize = 20;
/// The time between two of these requests.
const INTERVAL: Duration = Duration::from_secs(10);

/// What programs cost that run for some time, with the docker clients that they run.
struct Cost {
    /// The sum of their shares of memory, in kB: a page that several use is split among them (proc_pid_smaps_rollup(5)).
    memory: f64,
    cpu: Duration,
    wakes: u64,
}

pub(crate) fn host(bench: &mut Bench) {
    let daemons: Vec<Daemon> = (0..WORKSPACES).map(|_| bench.started()).collect();
    thread::sleep(AFTER_CONNECTIONS);
    let idle = cost(|| processes(&daemons), || thread::sleep(IDLE));
    rows(&mut bench.report, "idle", &idle, WORKSPACES, None);

    let agents = agents_that_poll();
    let when = "asked every 10 s";
    let asked = polled(&daemons[..POLLED]);
    rows(&mut bench.report, when, &asked, POLLED, agents.as_ref());
    let without_events: Vec<Daemon> = (0..POLLED)
        .map(|_| bench.daemon().arg("--no-events").start())
        .collect();
    let when = "asked every 10 s, --no-events";
    let asked = polled(&without_events);
    rows(&mut bench.report, when, &asked, POLLED, agents.as_ref());
    drop(without_events);

    let streams: Vec<Lines> = daemons.iter().map(Lines::of).collect();
    daemons.iter().for_each(|daemon| {
        daemon.follows();
    });
    thread::sleep(AFTER_CONNECTIONS);
    let followed = cost(|| processes(&daemons), || thread::sleep(IDLE));
    rows(&mut bench.report, "followed", &followed, WORKSPACES, None);
    drop(streams);
}

/// Asks daemons for their lists.
fn polled(daemons: &[Daemon]) -> Cost {
    let addresses = daemons.iter().map(|daemon| daemon.address.clone());
    let addresses = addresses.collect();
    cost(|| processes(daemons), || poll(addresses))
}

/// Asks the servers in Go for their lists, if Go is installed. They list containers for each request.
fn agents_that_poll() -> Option<Cost> {
    let docker = found("docker")?;
    let agents: Option<Vec<Peer>> = (0..POLLED).map(|_| Peer::go(&docker, "true")).collect();
    let agents = agents?;
    let addresses = agents.iter().map(|agent| agent.address.clone()).collect();
    let pids = || agents.iter().map(Peer::pid).collect();
    Some(cost(pids, || poll(addresses)))
}

/// Asks each for its list, once in an interval, for the time in which a cost is measured.
fn poll(addresses: Vec<String>) {
    let end = Instant::now() + IDLE;
    while Instant::now() < end {
        let next = Instant::now() + INTERVAL;
        for address in &addresses {
            let head = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            load::fetch(address, head.as_bytes());
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Returns the daemons, and the children of theirs that stay. The CPU time of the others is counted when they have ended.
fn processes(daemons: &[Daemon]) -> Vec<u32> {
    let own = |daemon: &Daemon| std::iter::once(daemon.pid()).chain(daemon.events_child());
    daemons.iter().flat_map(own).collect()
}

fn cost(pids: impl Fn() -> Vec<u32>, run: impl FnOnce()) -> Cost {
    let before = (cpu_time(&pids()), wakes(&pids()));
    run();
    let pids = pids();
    Cost {
        memory: pids.iter().map(share_of_memory).sum(),
        cpu: cpu_time(&pids).saturating_sub(before.0),
        wakes: wakes(&pids).saturating_sub(before.1),
    }
}

fn cpu_time(pids: &[u32]) -> Duration {
    let of = |pid: &u32| cpu_time_of(&pid.to_string()) + children_cpu_time_of(&pid.to_string());
    pids.iter().map(of).sum()
}

fn wakes(pids: &[u32]) -> u64 {
    pids.iter().map(|pid| switches_of(*pid)).sum()
}

fn share_of_memory(pid: &u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    number.unwrap_or(0.0)
}

/// Reports a cost for each workspace.
fn rows(report: &mut Report, when: &str, cost: &Cost, count: usize, agents: Option<&Cost>) {
    let each = |value: f64| value / count as f64;
    let milliseconds = |cost: &Cost| each(cost.cpu.as_secs_f64() * 1e3);
    type Value<'a> = &'a dyn Fn(&Cost) -> f64;
    let kinds: [(&str, &'static str, Value); 3] = [
        ("memory of a workspace", "kB", &|cost| each(cost.memory)),
        ("CPU of a workspace in a minute", "ms", &milliseconds),
        ("wake-ups of a workspace in a minute", "", &|cost| {
            each(cost.wakes as f64)
        }),
    ];
    for (what, unit, value) in kinds {
        let figure = report.one(&format!("{what}, {when}"), unit, value(cost));
        if let Some(agents) = agents {
            figure.peer("polling agent in Go", vec![value(agents)]);
        }
    }
}
