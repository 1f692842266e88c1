//! Measures the figures of docs/figures.md, with the static binary, a real Docker engine and the real devcontainer CLI.
//!
//! `make bench` installs these and runs the program; `make bench ARGS='start edit'` runs only these sections, and `make
//! bench QUICK=1` the most important ones with fewer samples. The output is a table. Its data is written as JSON to the
//! file that `DEVCONTAINERD_FIGURES` names. A figure that misses its target is marked, but does not fail.

mod changes;
#[path = "../../tests/common/mod.rs"]
mod common;
mod engine;
mod fleet;
mod host;
mod load;
mod peers;
mod report;
mod scale;
mod stand_in;
mod streams;
mod world;

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use self::common::{Daemon, DaemonBuilder};
use self::load::{Load, Use};
use self::peers::Peer;
use self::report::{Report, Target, milliseconds};
use self::world::World;

/// The number of dev containers in most sections.
const DEVCONTAINERS: usize = 10;
/// The number of containers in the sections about many.
const MANY: usize = 1000;
const CONNECTIONS: usize = 2000;
/// The time after which a daemon that serves no connection is idle.
const AFTER_CONNECTIONS: Duration = Duration::from_secs(2);
/// The time for which an idle daemon is observed.
const IDLE: Duration = Duration::from_secs(60);
const EDITS: usize = 200;
/// The number of connections that request the whole list at once.
const BURST: usize = 50;

type Section = fn(&mut Bench);

const SECTIONS: [(&str, Section); 14] = [
    ("size", size),
    ("start", start),
    ("connect", connect),
    ("list", list),
    ("idle", idle),
    ("edit", edit),
    ("changes", changes::changes),
    ("recreate", recreate),
    ("watched", watched),
    ("many", many),
    ("host", host::host),
    ("scale", scale::scale),
    ("streams", streams::streams),
    ("operation", streams::recreate),
];
/// The sections of a quick run.
const QUICK: [&str; 6] = ["size", "start", "list", "recreate", "scale", "operation"];

struct Bench {
    binary: String,
    world: World,
    report: Report,
    effort: &'static Effort,
}

/// How much is measured.
struct Effort {
    starts: usize,
    /// The number of samples of actions that are slower than a start.
    listings: usize,
    /// The number of times that load is put on each server, and how long each time.
    rounds: usize,
    round: Duration,
    recreates: usize,
    /// The number of recreates in a row that take no time but the daemon's.
    operations: usize,
    scale: scale::Effort,
}

const WHOLE: Effort = Effort {
    starts: 50,
    listings: 20,
    rounds: 5,
    round: Duration::from_secs(1),
    recreates: 7,
    operations: 10,
    scale: scale::WHOLE,
};
/// Two minutes for everything.
const IN_SHORT: Effort = Effort {
    starts: 20,
    listings: 8,
    rounds: 3,
    round: Duration::from_millis(500),
    recreates: 3,
    operations: 5,
    scale: scale::IN_SHORT,
};

impl Bench {
    fn daemon(&self) -> DaemonBuilder {
        DaemonBuilder::of(&self.binary)
    }

    /// Starts a daemon that has answered `GET /`.
    fn started(&self) -> Daemon {
        let daemon = self.daemon().start();
        daemon.json("/");
        daemon
    }
}

fn main() -> ExitCode {
    if let Some(ended) = stand_in::become_another() {
        return ended;
    }
    let mut chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let Ok(binary) = std::env::var("DEVCONTAINERD_STATIC_BIN") else {
        eprintln!(
            "figures: DEVCONTAINERD_STATIC_BIN should name the static binary: run `make bench`"
        );
        return ExitCode::from(2);
    };
    let is_quick = std::env::var("QUICK").is_ok_and(|quick| quick == "1");
    if is_quick && chosen.is_empty() {
        chosen = QUICK.map(str::to_owned).into();
    }
    let mut bench = Bench {
        binary,
        world: World::new("app", DEVCONTAINERS),
        report: Report::default(),
        effort: if is_quick { &IN_SHORT } else { &WHOLE },
    };
    for (name, section) in SECTIONS {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            eprintln!("figures: {name}");
            section(&mut bench);
        }
    }
    print!("{}", bench.report);
    if let Ok(path) = std::env::var("DEVCONTAINERD_FIGURES") {
        fs::write(&path, format!("{:#}\n", bench.report.json())).unwrap();
        eprintln!("figures: the data is in {path}");
    }
    ExitCode::SUCCESS
}

fn size(bench: &mut Bench) {
    let size = fs::metadata(&bench.binary).unwrap().len();
    let ldd = Command::new("ldd").arg(&bench.binary).output().unwrap();
    let listed = String::from_utf8(ldd.stdout).unwrap();
    let libraries = listed.lines().filter(|line| line.contains(".so")).count();
    let report = &mut bench.report;
    report
        .one("static binary", "bytes", size as f64)
        .target(Target::AtMost(3.0e6));
    report
        .one("shared libraries", "", libraries as f64)
        .target(Target::AtMost(0.0));
}

fn start(bench: &mut Bench) {
    let first_answer = |builder: &dyn Fn() -> DaemonBuilder, path: &str| {
        let begun = Instant::now();
        let daemon = builder().start();
        assert_eq!(daemon.get(path).status, 200);
        milliseconds(begun.elapsed())
    };
    let up = || bench.daemon();
    let down = || bench.daemon().env("DOCKER_HOST", "unix:///nonexistent");
    let (mut healthz, mut healthz_down, mut list, mut agent) = (vec![], vec![], vec![], vec![]);
    for _ in 0..bench.effort.starts {
        healthz.push(first_answer(&up, "/healthz"));
        healthz_down.push(first_answer(&down, "/healthz"));
    }
    for _ in 0..bench.effort.listings {
        list.push(first_answer(&up, "/"));
        agent.push(bench.world.poll());
    }
    let report = &mut bench.report;
    report
        .many("start to /healthz", "ms", healthz)
        .target(Target::AtMost(5.0));
    report
        .many("start to /healthz, docker down", "ms", healthz_down)
        .target(Target::AtMost(5.0));
    report
        .many("start to GET /, 10 containers", "ms", list)
        .peer("docker ps and inspect", agent);
}

/// Measures whole connections, with and without the question who is at the other end.
fn connect(bench: &mut Bench) {
    for (what, arguments) in [
        ("connection and answer", ""),
        ("the same without asking for its user", "--allow-uid any"),
    ] {
        let daemon = bench.daemon().args(arguments).start();
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address);
        let one = |_| {
            let begun = Instant::now();
            load::fetch(&daemon.address, request.as_bytes());
            milliseconds(begun.elapsed())
        };
        let times = (0..CONNECTIONS).map(one).collect();
        bench.report.many(what, "ms", times);
    }
}

fn list(bench: &mut Bench) {
    let daemon = bench
        .daemon()
        .args("--no-events --cache-duration 0")
        .start();
    let (mut uncached, mut agent) = (vec![], vec![]);
    for _ in 0..bench.effort.listings {
        let begun = Instant::now();
        daemon.json("/");
        uncached.push(milliseconds(begun.elapsed()));
        agent.push(bench.world.poll());
    }
    drop(daemon);

    let daemon = bench.started();
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address);
    let answer = load::fetch(&daemon.address, request.as_bytes());
    let state = bench.world.workspace("answer");
    fs::write(state.join("answer"), answer).unwrap();
    let floor = Peer::floor(&state.join("answer"));
    let connections = thread::available_parallelism().unwrap().get();
    let Effort { rounds, round, .. } = *bench.effort;
    let load =
        |address: &str| load::run(address, request.as_bytes(), connections, Use::Again, round);
    let (mut ours, mut theirs, mut cpu) = (vec![], vec![], vec![]);
    load(&daemon.address);
    for _ in 0..rounds {
        let before = cpu_time(&daemon);
        let done = load(&daemon.address);
        let spent = cpu_time(&daemon) - before;
        cpu.push(spent.as_secs_f64() * 1e6 / done.count as f64);
        ours.push(done);
        theirs.push(load(&floor.address));
    }
    let samples = |loads: &[Load], figure: fn(&Load) -> f64| loads.iter().map(figure).collect();
    let echo = floor.what;
    let report = &mut bench.report;
    report
        .many("GET / uncached, 10 containers", "ms", uncached)
        .peer("docker ps and inspect", agent);
    report
        .many(
            "GET / cached, 10 containers",
            "per s",
            samples(&ours, Load::per_second),
        )
        .target(Target::AtLeast(50_000.0))
        .peer(echo, samples(&theirs, Load::per_second));
    report
        .many(
            "GET / cached, p50",
            "ms",
            samples(&ours, |load| load.percentile(0.5)),
        )
        .peer(echo, samples(&theirs, |load| load.percentile(0.5)));
    report
        .many(
            "GET / cached, p99",
            "ms",
            samples(&ours, |load| load.percentile(0.99)),
        )
        .target(Target::AtMost(1.0))
        .peer(echo, samples(&theirs, |load| load.percentile(0.99)));
    report.many("GET / cached, CPU time of the daemon", "µs each", cpu);
}

fn idle(bench: &mut Bench) {
    let daemon = bench.started();
    thread::sleep(Duration::from_millis(500));
    let report = &mut bench.report;
    memory(report, &daemon, "10 dev containers", Some(2200.0));
    idle_for_a_minute(report, &daemon, "10 dev containers");
}

fn idle_for_a_minute(report: &mut Report, daemon: &Daemon, what: &str) {
    // The threads of connections that have ended are kept for a moment.
    thread::sleep(AFTER_CONNECTIONS);
    let before = (cpu_time(daemon), switches(daemon));
    thread::sleep(IDLE);
    let ticks = (cpu_time(daemon) - before.0).as_millis() / TICK.as_millis();
    let woken = switches(daemon) - before.1;
    assert!(daemon.children().is_empty());
    report
        .one(
            &format!("CPU while idle for 60 s, {what}"),
            "ticks",
            ticks as f64,
        )
        .target(Target::AtMost(0.0));
    report
        .one(
            &format!("wake-ups while idle for 60 s, {what}"),
            "",
            woken as f64,
        )
        .target(Target::AtMost(0.0));
}

fn edit(bench: &mut Bench) {
    let daemon = bench.started();
    let config = bench.world.config(0);
    let original = fs::read_to_string(&config).unwrap();
    let folder = bench.world.folder(0).display().to_string();
    let mut times = vec![];
    for number in 0..EDITS {
        let dirty = number % 2 == 0;
        let content = if dirty {
            format!(r#"{{"image": "other{number}"}}"#)
        } else {
            original.clone()
        };
        fs::write(&config, content).unwrap();
        let written = Instant::now();
        common::eventually("the edit shows", || {
            let answer = daemon.json("/devcontainers");
            let mut all = answer["devcontainers"].as_array().unwrap().iter();
            let edited = all.find(|d| d["workspace_folder"] == *folder).unwrap();
            (edited["dirty"] == dirty).then_some(())
        });
        times.push(milliseconds(written.elapsed()));
        // The watcher gets time to notice the edit too.
        thread::sleep(Duration::from_millis(25));
    }
    bench
        .report
        .many("edit to dirty in GET /devcontainers", "ms", times)
        .target(Target::P99AtMost(100.0));
    changes::edit_in_stream(bench, &daemon);
}

fn recreate(bench: &mut Bench) {
    let workspace = bench.world.workspace("recreated");
    let daemon = bench
        .daemon()
        .arg("--devcontainer-folder")
        .arg(workspace.to_str().unwrap())
        .start();
    let (mut cli, mut ours) = (vec![], vec![]);
    // The first time there is no container to remove.
    world::up(&workspace);
    for _ in 0..bench.effort.recreates {
        let begun = Instant::now();
        world::up(&workspace);
        cli.push(milliseconds(begun.elapsed()));
        // Whoever recreates has seen the container in a list before.
        daemon.json("/devcontainers");
        let begun = Instant::now();
        let answer = daemon.post("/devcontainers/recreated/recreate?wait=true");
        assert_eq!(answer.status, 204, "{answer:?}");
        ours.push(milliseconds(begun.elapsed()));
    }
    world::remove_containers_of(&workspace);
    let added = ours
        .iter()
        .zip(&cli)
        .map(|(ours, cli)| ours - cli)
        .collect();
    let report = &mut bench.report;
    report
        .many("recreate", "ms", ours)
        .peer("the CLI alone", cli);
    report
        .many("recreate, added by the daemon", "ms", added)
        .target(Target::AtMost(50.0));
}

/// Measures [`MANY`] dev containers, each with its own folder.
fn watched(bench: &mut Bench) {
    let world = World::new("many", MANY);
    let state = bench.world.workspace("state");
    let start = || {
        let begun = Instant::now();
        let daemon = bench
            .daemon()
            .arg("--state-dir")
            .arg(state.to_str().unwrap())
            .start();
        daemon.json("/devcontainers");
        (milliseconds(begun.elapsed()), daemon)
    };
    let (first, daemon) = start();
    drop(daemon);
    let (mut again, mut agent) = (vec![], vec![]);
    for _ in 0..bench.effort.rounds {
        agent.push(world.poll());
        again.push(start().0);
    }
    let (_, daemon) = start();
    let settled = Instant::now();
    let mut before = 0;
    common::eventually("all dev containers are watched", || {
        thread::sleep(Duration::from_millis(200));
        let same = daemon.watches() == before && before > MANY;
        before = daemon.watches();
        same.then_some(())
    });
    assert!(settled.elapsed() < Duration::from_secs(5));
    let report = &mut bench.report;
    report.one("start to 1,000 dev containers, the first time", "ms", first);
    report
        .many("start to 1,000 dev containers, again", "ms", again)
        .peer("docker ps and inspect", agent);
    memory(report, &daemon, "1,000 dev containers", None);
    report.one(
        "inotify watches, 1,000 dev containers",
        "",
        daemon.watches() as f64,
    );

    daemon.json("/devcontainers");
    changes::follows(&daemon);
    let (mut answered, mut noticed) = (vec![], vec![]);
    for number in 0..EDITS {
        let config = world.config(number);
        fs::write(&config, r#"{"image": "other"}"#).unwrap();
        let written = Instant::now();
        let name = world.name(number);
        if number % 2 == 0 {
            let edited = daemon.json(&format!("/devcontainers/{name}"));
            assert_eq!(edited["dirty"], true);
            answered.push(milliseconds(written.elapsed()));
        } else {
            daemon
                .log
                .wait_for(&format!("dev container {name} no longer"));
            noticed.push(milliseconds(written.elapsed()));
        }
        // The watcher gets time to notice the edit too.
        thread::sleep(Duration::from_millis(50));
    }
    let before = cpu_time(&daemon);
    for _ in 0..EDITS {
        daemon.json("/devcontainers/many0");
    }
    let spent = (cpu_time(&daemon) - before).as_secs_f64() * 1e3 / EDITS as f64;
    let report = &mut bench.report;
    report
        .many("edit to its answer, 1,000 dev containers", "ms", answered)
        .target(Target::P99AtMost(100.0));
    report
        .many("edit to being noticed, 1,000 dev containers", "ms", noticed)
        .target(Target::P99AtMost(200.0));
    report.one("CPU time of one answer, 1,000 dev containers", "ms", spent);
}

fn many(bench: &mut Bench) {
    bench.world.fill(MANY);
    let daemon = bench.started();
    thread::sleep(Duration::from_millis(500));
    let report = &mut bench.report;
    memory(report, &daemon, "1,000 containers", Some(6000.0));
    idle_for_a_minute(report, &daemon, "1,000 containers");
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address);
    thread::scope(|scope| {
        for _ in 0..BURST {
            scope.spawn(|| load::fetch(&daemon.address, request.as_bytes()));
        }
    });
    thread::sleep(Duration::from_millis(500));
    memory(report, &daemon, "after 50 took the list of 1,000", None);
    drop(daemon);
    changes::one_of_many(bench);
}

/// Measures the memory that is resident, and the part of it that is private.
fn memory(report: &mut Report, daemon: &Daemon, when: &str, target: Option<f64>) {
    let resident = report.one(
        &format!("resident memory, {when}"),
        "kB",
        daemon.status("VmRSS") as f64,
    );
    if let Some(target) = target {
        resident.target(Target::AtMost(target));
    }
    report.one(
        &format!("private memory, {when}"),
        "kB",
        daemon.status("RssAnon") as f64,
    );
}

/// The unit of proc_pid_stat(5): USER_HZ is 100 on all architectures.
const TICK: Duration = Duration::from_millis(10);

/// Returns the CPU time of a daemon, that of threads that have ended included.
fn cpu_time(daemon: &Daemon) -> Duration {
    cpu_time_of(&daemon.pid().to_string())
}

fn cpu_time_of(pid: &str) -> Duration {
    // Fields 14 and 15, utime and stime, are at index 11 after the name.
    exact_cpu_time_of(pid).unwrap_or_else(|| ticks(pid, 11))
}

/// Reads the clock of a process (clock_getcpuclockid(3)), in nanoseconds, by perl, as Rust has no safe call for it. `None`
/// without perl, which Debian always has.
fn exact_cpu_time_of(pid: &str) -> Option<Duration> {
    let code = "printf '%.9f', clock_gettime((~int($ARGV[0]) << 3) | 2)";
    let mut perl = Command::new("perl");
    perl.args(["-MTime::HiRes=clock_gettime", "-e", code, pid]);
    let output = perl.stdin(Stdio::null()).output().ok()?;
    let seconds = String::from_utf8(output.stdout).ok()?.parse().ok();
    seconds
        .filter(|seconds| *seconds > 0.0)
        .map(Duration::from_secs_f64)
}

/// Returns the CPU time of the children of a daemon that have ended.
fn children_cpu_time(daemon: &Daemon) -> Duration {
    children_cpu_time_of(&daemon.pid().to_string())
}

fn children_cpu_time_of(pid: &str) -> Duration {
    ticks(pid, 13)
}

fn ticks(pid: &str, field: usize) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(field).take(2);
    TICK * ticks.map(|ticks| ticks.parse::<u32>().unwrap()).sum()
}

/// Returns how often the threads of a daemon have gone to sleep.
fn switches(daemon: &Daemon) -> u64 {
    switches_of(daemon.pid())
}

fn switches_of(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let switches_of = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap();
        let mut lines = status.lines();
        let found = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        found.unwrap().trim().parse::<u64>().unwrap()
    };
    tasks.flatten().map(switches_of).sum()
}

/// Runs a command to its end and returns its output.
fn run(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}
