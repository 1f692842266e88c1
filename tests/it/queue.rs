//! As many operations as `--max-operations` run at once, and the others wait in a queue (P14).

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;

use crate::common::client::Client;
use crate::common::{Daemon, Sandbox, Stopwatch, eventually};
use serde_json::Value;

/// The code of a CLI that notes its folder in `$R/begun`, and then waits for the file `go-FOLDER` or `go`.
const NOTE_AND_WAIT: &str = "name=${folder##*/}; echo $name >>$R/begun; \
                             while [ ! -e $R/go ] && [ ! -e $R/go-$name ]; do sleep 0.02; done";

/// A sandbox with these dev containers, whose CLI notes that it runs, and waits.
fn sandbox_of(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    for (number, name) in (1..).zip(names) {
        let folder = sandbox.workspace(name);
        sandbox.devcontainer_of(number, &folder);
    }
    sandbox.devcontainer(NOTE_AND_WAIT);
    sandbox
}

fn start(sandbox: &Sandbox, flags: &str) -> Daemon {
    let daemon = sandbox.daemon().args("--cache-duration 0").args(flags);
    let daemon = daemon.start();
    daemon.json("/");
    daemon
}

/// Begins a recreate of each, one after the other, and returns the states of their jobs at that time.
fn recreate_all(daemon: &Daemon, names: &[&str]) -> Vec<Value> {
    let recreate = |name: &&str| {
        let answer = daemon.post(&format!("/devcontainers/{name}/recreate"));
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["job"]["state"].clone()
    };
    names.iter().map(recreate).collect()
}

fn begun(sandbox: &Sandbox) -> Vec<String> {
    sandbox.read("begun").lines().map(str::to_owned).collect()
}

#[track_caller]
fn await_begun(sandbox: &Sandbox, expected: &[&str]) {
    eventually(&format!("{expected:?} have begun"), || {
        (begun(sandbox).len() >= expected.len()).then_some(())
    });
    assert_eq!(begun(sandbox), expected);
}

fn one(daemon: &Daemon, name: &str) -> Value {
    daemon.json(&format!("/devcontainers/{name}"))
}

fn state(daemon: &Daemon, name: &str) -> Value {
    one(daemon, name)["job"]["state"].clone()
}

#[track_caller]
fn await_state(daemon: &Daemon, name: &str, expected: &str) {
    eventually(&format!("{name} {expected}"), || {
        (state(daemon, name) == expected).then_some(())
    });
}

/// The texts of the log of the running or last operation.
fn log_of(daemon: &Daemon, name: &str) -> Vec<String> {
    let lines = daemon.log_of(name);
    let texts = lines.iter().map(|line| line["output"].as_str().unwrap());
    texts.map(str::to_owned).collect()
}

/// The connection of a client that has sent this request, and reads the answer later.
fn send(daemon: &Daemon, path: &str) -> Client {
    let mut client = daemon.client();
    client.send(daemon.head("POST", path, ""));
    client
}

#[test]
fn p14_of_24_requests_as_many_run_at_once_as_may() {
    let names: Vec<String> = (0..24).map(|number| format!("app{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sandbox = sandbox_of(&names);
    sandbox.devcontainer(
        "id=$(printf '%064x' $((5000 + ${folder##*/app}))); mkdir -p $R/now; >$R/now/$$; ls $R/now | wc -l >>$R/at-once; \
         while [ ! -e $R/go ]; do sleep 0.02; done; sleep 0.02; rm $R/now/$$",
    );
    let daemon = start(&sandbox, "--max-operations 3");
    thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| daemon.begin_recreate(name));
        }
    });
    eventually("three run", || {
        (sandbox.calls("devcontainer", "up") == 3).then_some(())
    });
    let all = daemon.json("/devcontainers");
    let all = all["devcontainers"].as_array().unwrap();
    let count = |state: &str| {
        all.iter()
            .filter(|one| one["job"]["state"] == state)
            .count()
    };
    assert_eq!((count("running"), count("queued")), (3, 21));
    assert_eq!(sandbox.calls("devcontainer", "up"), 3);
    sandbox.write("go", "");
    for name in &names {
        await_state(&daemon, name, "succeeded");
    }
    assert_eq!(sandbox.calls("devcontainer", "up"), 24);
    let at_once = sandbox.read("at-once");
    let at_once = at_once.lines().map(|n| n.trim().parse::<u32>().unwrap());
    assert_eq!(at_once.max(), Some(3));
}

#[test]
fn p14_the_first_that_came_is_the_first_that_begins() {
    let names = ["a", "b", "c", "d", "e"];
    let sandbox = sandbox_of(&names);
    let daemon = start(&sandbox, "--max-operations 1");
    let states = recreate_all(&daemon, &["c", "a", "e", "b", "d"]);
    assert_eq!(states, ["running", "queued", "queued", "queued", "queued"]);
    await_begun(&sandbox, &["c"]);
    let log = log_of(&daemon, "b");
    let said = "queued: at most 1 operation runs at once (--max-operations), now recreate of `c`; \
                2 others begin before this one";
    assert_eq!(log, [said]);
    let queued = one(&daemon, "b");
    assert_eq!(queued["status"], "running", "{queued}");
    assert!(queued["job"].get("phase").is_none(), "{queued}");
    let queued_at = queued["job"]["started_at"].clone();
    sandbox.write("go-c", "");
    await_begun(&sandbox, &["c", "a"]);
    sandbox.write("go", "");
    for name in names {
        await_state(&daemon, name, "succeeded");
    }
    assert_eq!(begun(&sandbox), ["c", "a", "e", "b", "d"]);
    let log = log_of(&daemon, "b");
    let (first, second) = (&log[0], &log[1]);
    assert_eq!(first, said);
    assert!(second.starts_with("recreate begins after "), "{log:?}");
    assert_eq!(log.iter().filter(|line| line.contains("queue")).count(), 2);
    let job = one(&daemon, "b")["job"].clone();
    let text = |time: &Value| time.as_str().unwrap().trim_end_matches('Z').to_owned();
    assert!(text(&job["started_at"]) > text(&queued_at), "{job}");
}

#[test]
fn p14_stop_and_delete_do_not_wait_behind_builds() {
    let sandbox = sandbox_of(&["a", "b", "c", "d"]);
    let daemon = start(&sandbox, "--max-operations 1");
    recreate_all(&daemon, &["a", "b"]);
    assert_eq!(daemon.post("/devcontainers/c/stop?wait").status, 204);
    assert_eq!(daemon.delete("/devcontainers/d").status, 204);
    // The queued one excludes others as one that runs does.
    let refused = daemon.post("/devcontainers/b/stop");
    let why = "an operation is already queued for this dev container, a recreate of `b`";
    refused.assert_error(409, "Devcontainer operation in progress", why);
    assert_eq!(state(&daemon, "b"), "queued");
    sandbox.write("go", "");
    await_state(&daemon, "b", "succeeded");
}

#[test]
fn p14_a_queued_operation_is_cancelled_at_once_and_touches_nothing() {
    let sandbox = sandbox_of(&["a", "b", "c"]);
    let daemon = start(&sandbox, "--max-operations 1");
    recreate_all(&daemon, &["a"]);
    await_begun(&sandbox, &["a"]);
    let mut waiting = send(&daemon, "/devcontainers/b/recreate?wait=true");
    await_state(&daemon, "b", "queued");
    recreate_all(&daemon, &["c"]);
    let before = one(&daemon, "b")["container"].clone();
    let answer = daemon.post("/devcontainers/b/cancel");
    assert_eq!((answer.status, &*answer.body), (204, ""), "{answer:?}");
    let failed = "Could not recreate devcontainer";
    let why = "the recreate was cancelled; nothing was changed";
    waiting.answer().assert_error(500, failed, why);
    let after = one(&daemon, "b");
    assert_eq!(after["job"]["state"], "cancelled", "{after}");
    assert_eq!(after["container"], before);
    assert!(after.get("error").is_none(), "{after}");
    let log = daemon.log_of("b");
    assert_eq!(log.last().unwrap()["outcome"], "cancelled", "{log:?}");
    let nothing = daemon.post("/devcontainers/b/cancel");
    nothing.assert_error(409, "No devcontainer operation in progress", "queued");
    sandbox.write("go", "");
    await_state(&daemon, "c", "succeeded");
    assert_eq!(begun(&sandbox), ["a", "c"]);
    assert_eq!(daemon.recreate("b").status, 204, "it is free again");
}

#[test]
fn p14_one_waits_for_a_queued_operation_and_follows_it() {
    let sandbox = sandbox_of(&["a", "b", "c"]);
    let daemon = start(&sandbox, "--max-operations 1");
    recreate_all(&daemon, &["a"]);
    let mut waiting = send(&daemon, "/devcontainers/b/recreate?wait=true");
    await_state(&daemon, "b", "queued");
    let (_, mut following) = daemon.stream("POST", "/devcontainers/c/recreate?follow=true", "");
    let first = following.json_line().unwrap();
    let said = first["output"].as_str().unwrap();
    assert!(
        said.starts_with("queued: at most 1 operation runs"),
        "{first}"
    );
    assert!(
        said.ends_with("; 1 other begins before this one"),
        "{first}"
    );
    sandbox.write("go", "");
    assert_eq!(waiting.answer().status, 204);
    let mut last = Value::Null;
    while let Some(line) = following.json_line() {
        last = line;
    }
    assert_eq!(last["outcome"], "succeeded", "{last}");
}

#[test]
fn p6_an_edit_while_an_operation_is_queued_is_in_the_build_and_in_the_baseline() {
    let sandbox = sandbox_of(&["a", "b"]);
    let copy = "cat \"$config\" >$R/built-$name";
    sandbox.devcontainer(&format!("{NOTE_AND_WAIT}; {copy}"));
    let daemon = start(&sandbox, "--max-operations 1");
    recreate_all(&daemon, &["a", "b"]);
    await_begun(&sandbox, &["a"]);
    let edited = r#"{"image": "other"}"#;
    fs::write(sandbox.config("b"), edited).unwrap();
    eventually("the edit is seen", || {
        (one(&daemon, "b")["dirty"] == true).then_some(())
    });
    assert_eq!(state(&daemon, "b"), "queued");
    sandbox.write("go", "");
    await_state(&daemon, "b", "succeeded");
    assert_eq!(sandbox.read("built-b"), edited);
    let after = one(&daemon, "b");
    assert_eq!(after["dirty"], false, "{after}");
}

#[test]
fn p14_the_folder_is_looked_at_again_when_the_turn_comes() {
    let sandbox = sandbox_of(&["a", "b"]);
    let daemon = start(&sandbox, "--max-operations 1");
    recreate_all(&daemon, &["a", "b"]);
    await_begun(&sandbox, &["a"]);
    fs::rename(sandbox.path("work/b"), sandbox.path("work/moved")).unwrap();
    sandbox.write("go", "");
    await_state(&daemon, "b", "failed");
    let after = one(&daemon, "b");
    let error = after["error"].as_str().unwrap();
    assert!(error.contains("work/b"), "{error}");
    assert_eq!(after["running"], true, "{after}");
    assert_eq!(begun(&sandbox), ["a"]);
}

#[test]
fn p25_a_link_that_is_turned_while_an_operation_is_queued_ends_it() {
    for flags in ["", "--devcontainer-folder"] {
        let sandbox = sandbox_of(&["busy"]);
        let (first, second) = (sandbox.workspace("first"), sandbox.workspace("second"));
        let link = sandbox.path("work/link");
        symlink(&first, &link).unwrap();
        sandbox.devcontainer_of(2, &link);
        let mut daemon = sandbox.daemon();
        daemon = daemon.args("--cache-duration 0 --max-operations 1");
        if !flags.is_empty() {
            daemon = daemon.arg(flags).arg(link.to_str().unwrap());
        }
        let daemon = daemon.start();
        let all = daemon.json("/devcontainers");
        let mut all = all["devcontainers"].as_array().unwrap().iter();
        let linked = all.find(|one| one["name"] != "busy").unwrap();
        let name = linked["name"].as_str().unwrap();
        recreate_all(&daemon, &["busy"]);
        let id = linked["id"].as_str().unwrap();
        assert_eq!(recreate_all(&daemon, &[id]), ["queued"]);
        fs::remove_file(&link).unwrap();
        symlink(&second, &link).unwrap();
        // Whoever lists the dev containers now sees where the link leads.
        daemon.json("/devcontainers");
        sandbox.write("go", "");
        await_state(&daemon, id, "failed");
        let error = one(&daemon, id)["error"].clone();
        let error = error.as_str().unwrap();
        assert!(error.contains("work/link led to "), "{name}: {error}");
        assert_eq!(begun(&sandbox), ["busy"]);
    }
}

#[test]
fn p14_the_time_limit_counts_from_the_beginning_and_not_from_the_queue() {
    let sandbox = sandbox_of(&["a", "b"]);
    // The first one runs into the limit, and the second one waits as long in the queue.
    sandbox.devcontainer("[ ${folder##*/} = b ] || sleep 1000");
    let daemon = start(&sandbox, "--max-operations 1 --job-timeout 8");
    recreate_all(&daemon, &["a", "b"]);
    await_state(&daemon, "a", "failed");
    await_state(&daemon, "b", "succeeded");
}

#[test]
fn p14_what_is_queued_ends_at_once_when_the_daemon_stops() {
    let sandbox = sandbox_of(&["a", "b", "c"]);
    let mut daemon = start(&sandbox, "--max-operations 1");
    recreate_all(&daemon, &["a", "b", "c"]);
    await_begun(&sandbox, &["a"]);
    let stopping = Stopwatch::start();
    daemon.signal("TERM");
    let is_interrupted = |name: &str| {
        let folder = format!("work/{name}\"");
        let lines = daemon.log.lines();
        let mut of_folder = lines.iter().filter(|line| line.contains(&folder));
        of_folder.any(|line| line.contains("recreate interrupted"))
    };
    eventually("what is queued has ended", || {
        (is_interrupted("b") && is_interrupted("c")).then_some(())
    });
    assert!(stopping.elapsed().as_secs() < 5, "the first one still runs");
    assert!(!is_interrupted("a"));
    sandbox.write("go", "");
    assert!(daemon.wait().success());
    assert_eq!(begun(&sandbox), ["a"]);
    let daemon = start(&sandbox, "");
    let after = one(&daemon, "b");
    assert_eq!(after["job"]["state"], "interrupted", "{after}");
    let error = "the daemon stopped before the recreate began; nothing was changed";
    assert_eq!(after["error"], error);
    assert_eq!(state(&daemon, "a"), "succeeded");
}

#[test]
fn p7_what_was_queued_when_the_daemon_was_killed_is_interrupted_and_not_begun() {
    let sandbox = sandbox_of(&["a", "b"]);
    let mut daemon = start(&sandbox, "--max-operations 1");
    recreate_all(&daemon, &["a", "b"]);
    await_begun(&sandbox, &["a"]);
    eventually("it is saved", || {
        let saved = sandbox.read("state/devcontainerd/state.json");
        saved.contains("before the recreate began").then_some(())
    });
    daemon.signal("KILL");
    daemon.wait();
    let daemon = start(&sandbox, "");
    let after = one(&daemon, "b");
    assert_eq!(after["job"]["state"], "interrupted", "{after}");
    let error = "the daemon ended before the recreate began";
    assert_eq!(after["error"], error);
    assert_eq!(after["running"], true);
    assert_eq!(begun(&sandbox), ["a"]);
    sandbox.write("go", "");
    assert_eq!(daemon.recreate("b").status, 204);
}
