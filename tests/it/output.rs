//! The output of the CLI, which is all drained and of which little is kept, and the processes that an operation must
//! not leave.

use std::fs;
use std::io::{Read, Write};
use std::time::Duration;

use crate::common::usage::AT_REST;
use crate::common::{Daemon, LONG, Sandbox, Stopwatch, eventually};
use serde_json::Value;

/// A sandbox with one dev container, and its daemon.
fn start(devcontainer: &str) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(devcontainer);
    let daemon = sandbox.daemon().args("--job-timeout 60").start();
    daemon.json("/");
    (sandbox, daemon)
}

fn outputs(log: &[Value]) -> Vec<&str> {
    log.iter().map(|l| l["output"].as_str().unwrap()).collect()
}

/// Asserts a bound for any output of the CLI: the log keeps 4 MiB, an unfinished line takes 1 MiB, and reading and
/// sending have their buffers. A debug build takes twice that.
#[track_caller]
fn assert_small(daemon: &Daemon) {
    let most = daemon.status("VmHWM");
    assert!(most < 40_000, "{most} kB at the most");
}

/// Asserts that an operation that has ended has left no process, and that the listing that follows it leaves none
/// either.
#[track_caller]
fn assert_nothing_left(sandbox: &Sandbox, daemon: &Daemon) {
    let is_sleep = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.starts_with(b"sleep\0")
    };
    let left: Vec<u32> = sandbox.processes().into_iter().filter(is_sleep).collect();
    assert_eq!(left, [0; 0]);
    eventually("no process is left, no zombie", || {
        (sandbox.processes().is_empty() && daemon.children().is_empty()).then_some(())
    });
}

#[test]
fn p15_a_flood_is_drained_and_costs_no_memory() {
    // 40 MB in lines of a kilobyte, 100 MB without any line end, 10 MB of objects, 10 MB in place of a result.
    let (_sandbox, daemon) = start(
        r#"k=$(printf '%01000d' 7)
        yes "$k" | head -c 40000000 >&2
        head -c 100000000 /dev/zero >&2; echo >&2
        yes "{\"type\":\"text\",\"level\":3,\"timestamp\":1,\"text\":\"$k\"}" | head -c 10000000 >&2; echo >&2
        yes "$k" | head -c 10000000; echo"#,
    );
    assert_eq!(daemon.recreate("app").status, 204);
    assert_small(&daemon);
    let log = daemon.get("/devcontainers/app/logs");
    assert!(log.body.len() < 6 << 20, "{}", log.body.len());
    let lines: Vec<Value> = log
        .body
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let first = lines[0]["output"].as_str().unwrap();
    assert!(first.ends_with(" older lines were dropped]"), "{first}");
    assert_eq!(lines.last().unwrap()["outcome"], "succeeded");
}

#[test]
fn each_reader_learns_how_many_lines_it_has_missed() {
    let (sandbox, daemon) = start(
        r#"seq -f 'line %.0f' 200000 >&2
        >$R/said; while [ ! -e $R/go ]; do sleep 0.02; done"#,
    );
    assert_eq!(daemon.post("/devcontainers/app/recreate").status, 202);
    let said = || sandbox.path("said").exists().then_some(());
    eventually("all is said", said);
    let missed = |offset: u64| {
        let log = daemon.get(&format!("/devcontainers/app/logs?offset={offset}"));
        let first: Value = serde_json::from_str(log.body.lines().next().unwrap()).unwrap();
        let first = first["output"].as_str().unwrap().to_owned();
        let text = first.strip_suffix(" older lines were dropped]");
        text.and_then(|text| text.strip_prefix('[')?.parse::<u64>().ok())
            .unwrap_or_else(|| panic!("{first}"))
    };
    // The last lines may still be on their way.
    let all = eventually("the log is as long as it gets", || {
        let before = missed(0);
        std::thread::sleep(Duration::from_millis(100));
        (missed(0) == before).then_some(before)
    });
    assert_eq!(missed(5000), all - 5000);
    assert_eq!(missed(0), all);
    sandbox.write("go", "");
}

#[test]
fn p15_steps_that_never_end_cost_no_memory() {
    let (sandbox, daemon) = start("cat $R/steps >&2");
    let mut steps = String::new();
    for number in 0..60_000 {
        let name = format!("{number:0600}");
        steps += &format!("{{\"type\":\"progress\",\"name\":\"{name}\",\"status\":\"running\"}}\n");
    }
    sandbox.write("steps", &steps);
    assert_eq!(daemon.recreate("app").status, 204);
    assert_small(&daemon);
}

#[test]
fn p15_a_line_of_30_mb_is_cut_and_what_was_dropped_is_counted() {
    let (_sandbox, daemon) = start(
        r#"printf '{"type":"text","level":3,"timestamp":1700000000000,"text":"begin ' >&2
        yes x | tr -d '\n' | head -c 30000000 >&2; printf '"}\n' >&2
        printf 'begin ' ; yes y | tr -d '\n' | head -c 30000000; echo"#,
    );
    assert_eq!(daemon.recreate("app").status, 204);
    assert_small(&daemon);
    let log = daemon.log_of("app");
    let long: Vec<&str> = outputs(&log)
        .into_iter()
        .filter(|l| l.starts_with("begin "))
        .collect();
    assert_eq!(long.len(), 2);
    for line in long {
        assert!((60 << 10..66 << 10).contains(&line.len()), "{}", line.len());
        assert!(
            line.ends_with(" more bytes dropped]"),
            "{}",
            &line[line.len() - 80..]
        );
    }
}

#[test]
fn two_megabytes_that_nobody_reads_stop_nothing() {
    // The client opens the stream and never reads.
    let (sandbox, daemon) = start(
        r#"while [ ! -e $R/go ]; do sleep 0.02; done
        k=$(printf '%01000d' 7)
        yes "{\"type\":\"text\",\"level\":3,\"timestamp\":1,\"text\":\"$k\"}" | head -c 20000000 >&2; echo >&2
        >$R/printed"#,
    );
    daemon.begin_recreate("app");
    let mut silent = daemon.connect();
    silent
        .write_all(b"GET /devcontainers/app/logs?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut begin = [0; 15];
    silent.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    let begun = Stopwatch::start();
    sandbox.write("go", "");
    daemon.log.wait_for("recreate succeeded");
    assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
    assert!(sandbox.path("printed").exists());
    assert_eq!(daemon.devcontainer()["job"]["state"], "succeeded");
    assert_small(&daemon);
}

#[test]
fn lines_may_be_split_anywhere() {
    let (_sandbox, daemon) = start(
        r#"printf '{"type":"text","level":3,"times' >&2; sleep 0.05
        printf 'tamp":1700000000000,"text":"caf\303' >&2; sleep 0.05
        printf '\251"}' >&2; sleep 0.05; printf '\n{"type":"raw","level":3,"timestamp":1,"text":"one\\ntw"}\n' >&2
        printf '{"type":"raw","level":3,"timestamp":1,"text":"o\\n"}\n' >&2
        printf '{"outcome":"suc'; sleep 0.05; printf 'cess"}'; exit 0"#,
    );
    assert_eq!(daemon.recreate("app").status, 204);
    let log = daemon.log_of("app");
    let outputs = outputs(&log);
    assert_eq!(outputs[..3], ["café", "one", "two"]);
    assert_eq!(log[0]["created_at"], "2023-11-14T22:13:20.000Z");
    assert_eq!(outputs.len(), 4, "{outputs:?}");
}

#[test]
fn what_is_not_utf8_is_shown_as_far_as_it_can_be() {
    let (_sandbox, daemon) = start(
        r#"printf 'before \377\376 plain\n' >&2
        printf '{"type":"text","level":3,"timestamp":1,"text":"a\200b\000"}\n' >&2
        printf '{"type":"text","level":3,"timestamp":1,"text":"a\355\240\200b \\ud800 c"}\n' >&2
        printf '{"type":"text","level":4,"timestamp":1,"text":"a\377b"}\n' >&2
        printf '\377\376\n'"#,
    );
    assert_eq!(daemon.recreate("app").status, 204);
    let log = daemon.log_of("app");
    let outputs = outputs(&log);
    assert!(
        outputs.contains(&"before \u{fffd}\u{fffd} plain"),
        "{outputs:?}"
    );
    assert!(outputs.contains(&"a\u{fffd}b"), "{outputs:?}");
}

#[test]
fn secrets_are_kept_out_of_log_error_and_answer() {
    let (sandbox, daemon) = start(
        r#"{ for kind in text raw start stop; do for level in 1 2; do
            echo "{\"type\":\"$kind\",\"level\":$level,\"timestamp\":1,\"text\":\"docker run -e TOKEN=hunter2 $kind$level\"}"
        done; done
        echo '{"type":"start","level":3,"timestamp":1,"text":"Run: docker run -e TOKEN=hunter2 base"}'
        echo '{"type":"stop","level":3,"timestamp":2,"startTimestamp":1,"text":"Run: docker run -e TOKEN=hunter2 base"}'
        echo '{"type":"text","level":3,"timestamp":2,"text":"shown"}'
        echo 'Error: Command failed: docker run -e TOKEN=hunter2 base'
        echo '    at f (/x.js:1) TOKEN=hunter2'
        } >&2
        printf '%s\n' '{"outcome":"error","message":"Command failed: docker run --sig-proxy=false -e TOKEN=hunter2 base\n-e TOKEN=hunter2","description":"An error occurred: Command failed: docker run -e TOKEN=hunter2"}'
        exit 1"#,
    );
    let answer = daemon.recreate("app");
    assert_eq!(answer.status, 500);
    assert!(
        answer.body.contains("Command failed: docker run …"),
        "{answer:?}"
    );
    let log = daemon.get("/devcontainers/app/logs").body;
    assert!(log.contains("shown"), "{log}");
    let everything = [
        answer.body,
        log,
        daemon.get("/devcontainers").body,
        daemon.log.lines().join("\n"),
    ];
    for text in everything {
        assert!(!text.contains("hunter2"), "{text}");
    }
    drop(sandbox);
}

#[test]
fn p16_a_process_in_the_background_that_holds_the_pipes_ends_with_the_operation() {
    let (sandbox, daemon) = start("sleep 1000 & (sleep 1000 & sleep 1000 &)");
    let (descriptors, threads) = (daemon.descriptors(), daemon.threads());
    let begun = Stopwatch::start();
    assert_eq!(daemon.recreate("app").status, 204);
    assert!(begun.elapsed() < LONG / 3, "{:?}", begun.elapsed());
    assert_nothing_left(&sandbox, &daemon);
    eventually("descriptors and threads are back", || {
        (daemon.descriptors() <= descriptors && daemon.threads() <= threads).then_some(())
    });
}

#[test]
fn p16_processes_that_ignore_term_are_killed() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer("trap '' TERM; sleep 1000 & while :; do sleep 0.1; done");
    // Long enough for what comes before the CLI.
    let daemon = sandbox.daemon().args("--job-timeout 3").start();
    daemon.json("/");
    let begun = Stopwatch::start();
    assert_eq!(daemon.recreate("app").status, 500);
    let least = begun.by_the_clock();
    assert!(least > Duration::from_secs(5), "TERM came first: {least:?}");
    let took = begun.elapsed();
    assert!(took < LONG / 3, "{took:?}");
    assert_nothing_left(&sandbox, &daemon);
}

#[test]
fn p16_a_process_that_left_the_group_delays_no_operation() {
    let (sandbox, daemon) = start(
        "setsid sh -c 'echo $$ >$0; exec sleep 1000' $R/left & while [ ! -s $R/left ]; do sleep 0.02; done",
    );
    let begun = Stopwatch::start();
    assert_eq!(daemon.recreate("app").status, 204);
    assert!(begun.elapsed() < LONG / 3, "{:?}", begun.elapsed());
    let log = daemon.log_of("app");
    assert_eq!(outputs(&log)[0], "made it");
    drop(sandbox);
}

#[test]
fn p16_a_hundred_operations_leave_nothing_behind() {
    let (sandbox, daemon) = start("sleep 1000 &");
    assert_eq!(daemon.recreate("app").status, 204);
    let settled = || {
        let threads = daemon.threads();
        (threads <= AT_REST).then(|| (threads, daemon.descriptors()))
    };
    let before = eventually("its threads end", settled);
    for _ in 0..100 {
        assert_eq!(daemon.recreate("app").status, 204);
    }
    eventually("threads and descriptors are back", || {
        settled().filter(|now| *now <= before)
    });
    assert_nothing_left(&sandbox, &daemon);
}
