//! The time until a change shows, and its cost in CPU time.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::Bench;
use crate::common::client::Client;
use crate::common::{Daemon, eventually};
use crate::report::{Report, Target, milliseconds};
use crate::world::IMAGE;
use crate::{TICK, children_cpu_time, cpu_time, cpu_time_of, run};

const CHANGES: usize = 200;
const EDITS: usize = 200;
const RENAMES: usize = 50;

/// The lines of an event stream, each with the time at which it arrived.
pub(crate) struct Lines(Receiver<(Instant, String)>);

impl Lines {
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let (_, client): (_, Client) = daemon.stream("GET", "/events", "");
        let (send, receive) = channel();
        let mut client = client;
        thread::spawn(move || {
            while let Some(line) = client.line() {
                if send.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Self(receive)
    }

    /// Waits for a line that contains all of `words`, and returns its time.
    pub(crate) fn wait_for(&self, words: &[&str]) -> Instant {
        loop {
            let (at, line) = self.0.recv_timeout(Duration::from_secs(30)).unwrap();
            if words.iter().all(|word| line.contains(word)) {
                return at;
            }
        }
    }
}

/// Waits until a daemon follows events.
pub(crate) fn follows(daemon: &Daemon) {
    daemon.follows();
    // The listing at the beginning ends too.
    thread::sleep(Duration::from_secs(2));
}

/// Measures changes that docker commands make while a stream is open.
pub(crate) fn changes(bench: &mut Bench) {
    let daemon = bench.daemon().start();
    let lines = Lines::of(&daemon);
    follows(&daemon);
    let (mut listed, mut streamed, mut asked) = (vec![], vec![], vec![]);
    let mut change = |arguments: &[&str], name: &str, status: &str| {
        run("docker", arguments);
        let done = Instant::now();
        let shows = |all: &str| match status {
            "" => !all.contains(&format!("\"name\":\"{name}\"")),
            status => {
                let mut parts = all.split("{\"created_at\"");
                let own = parts.find(|part| part.contains(&format!("\"name\":\"{name}\"")));
                own.is_some_and(|own| own.contains(&format!("\"status\":\"{status}")))
            }
        };
        eventually("the change shows in the list", || {
            let begun = Instant::now();
            let all = daemon.get("/").body;
            asked.push(milliseconds(begun.elapsed()));
            shows(&all).then_some(())
        });
        listed.push(milliseconds(done.elapsed()));
        let at = match status {
            "" => lines.wait_for(&["_removed"]),
            status => lines.wait_for(&[
                &format!("\"name\":\"{name}\""),
                &format!("\"status\":\"{status}"),
            ]),
        };
        streamed.push(milliseconds(at.saturating_duration_since(done)));
    };
    for round in 0..CHANGES / 8 {
        let (name, other) = (format!("bench-a{round}"), format!("bench-b{round}"));
        let (name, other) = (&*name, &*other);
        change(
            &["create", "--name", name, IMAGE, "sleep", "1000"],
            name,
            "created",
        );
        change(&["start", name], name, "running");
        change(&["pause", name], name, "paused");
        change(&["unpause", name], name, "running");
        change(&["rename", name, other], other, "running");
        change(&["kill", other], other, "exited with code 137");
        change(&["start", other], other, "running");
        change(&["rm", "--force", other], other, "");
    }
    let report = &mut bench.report;
    report
        .many("change to GET /", "ms", listed)
        .target(Target::P99AtMost(250.0));
    report
        .many("change to the stream", "ms", streamed)
        .target(Target::P99AtMost(250.0));
    report.many("GET / meanwhile", "ms", asked);
}

pub(crate) fn edit_in_stream(bench: &mut Bench, daemon: &Daemon) {
    let lines = Lines::of(daemon);
    follows(daemon);
    let config = bench.world.config(0);
    let original = fs::read_to_string(&config).unwrap();
    let folder = format!(
        "\"workspace_folder\":\"{}\"",
        bench.world.folder(0).display()
    );
    let mut times = vec![];
    for number in 0..EDITS {
        let (content, dirty) = if number % 2 == 0 {
            (format!(r#"{{"image": "other{number}"}}"#), "\"dirty\":true")
        } else {
            (original.clone(), "\"dirty\":false")
        };
        fs::write(&config, content).unwrap();
        let written = Instant::now();
        let at = lines.wait_for(&["\"type\":\"devcontainer\"", &folder, dirty]);
        times.push(milliseconds(at.saturating_duration_since(written)));
    }
    bench
        .report
        .many("edit to dirty in the stream", "ms", times)
        .target(Target::P99AtMost(100.0));
}

/// Measures the CPU time that a change of one container among 1,000 costs daemons, docker clients and the engine.
pub(crate) fn one_of_many(bench: &mut Bench) {
    let name = "bench-one";
    run("docker", &["create", "--name", name, IMAGE]);
    let directory = env::var("DEVCONTAINERD_ENGINE_DIR").unwrap();
    let pid = fs::read_to_string(format!("{directory}/pid")).unwrap();
    let engine = || cpu_time_of(pid.trim());
    let rename = |number: usize| {
        let new = format!("{name}-{number}");
        let old = run(
            "docker",
            &[
                "ps",
                "--all",
                "--quiet",
                "--filter",
                &format!("name={name}"),
            ],
        );
        run("docker", &["rename", old.trim(), &new]);
        format!("\"name\":\"{new}\"")
    };
    let before = engine();
    for number in 0..RENAMES {
        rename(number);
    }
    let renaming = engine() - before;
    let measure = |daemon: &Daemon, shows: &mut dyn FnMut(&str)| {
        let before = (engine(), children_cpu_time(daemon), cpu_time(daemon));
        let mut times = vec![];
        for number in 0..RENAMES {
            let named = rename(number + RENAMES);
            let done = Instant::now();
            shows(&named);
            times.push(milliseconds(done.elapsed()));
        }
        let spent = [
            (engine() - before.0).saturating_sub(renaming),
            children_cpu_time(daemon) - before.1,
            cpu_time(daemon) - before.2,
        ];
        let each = spent.map(|time| time.as_secs_f64() * 1e3 / RENAMES as f64);
        (times, each)
    };
    let daemon = bench.started();
    let lines = Lines::of(&daemon);
    follows(&daemon);
    let follower = measure(&daemon, &mut |named| {
        lines.wait_for(&[named]);
    });
    drop((lines, daemon));
    let polls = bench
        .daemon()
        .args("--no-events --cache-duration 0")
        .start();
    polls.get("/");
    let poller = measure(&polls, &mut |named| {
        assert!(polls.get("/").body.contains(named))
    });
    drop(polls);
    for (index, what) in [(1, "docker clients"), (0, "the engine"), (2, "the daemon")] {
        let what = format!("one change of 1,000: CPU time of {what}");
        compare(&mut bench.report, &what, index, &follower.1, &poller.1);
    }
    bench
        .report
        .many("one change of 1,000, to the stream", "ms", follower.0)
        .peer("listing all", poller.0);
    let filter = format!("name={name}");
    let left = run("docker", &["ps", "--all", "--quiet", "--filter", &filter]);
    run("docker", &["rm", left.trim()]);
}

fn compare(report: &mut Report, what: &str, index: usize, ours: &[f64; 3], theirs: &[f64; 3]) {
    // The kernel counts in ticks.
    let least = TICK.as_secs_f64() * 1e3 / RENAMES as f64;
    report
        .one(what, "ms", ours[index])
        .peer("listing all", vec![theirs[index].max(least)]);
}
