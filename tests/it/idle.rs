//! The cost of a daemon without requests.

use std::fs;
use std::time::Duration;

use crate::common::{Daemon, Sandbox, eventually};

/// The number of voluntary context switches of each thread. A thread that sleeps again has been woken.
fn switches(daemon: &Daemon) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let status = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")));
    let line = |status: std::io::Result<String>| {
        let status = status.unwrap();
        let found = status.lines().find(|line| line.starts_with("voluntary"));
        found.unwrap().to_owned()
    };
    status.map(line).collect()
}

#[test]
fn p9_while_nobody_asks_nothing_runs() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.following_daemon().start();
    assert_eq!(daemon.get("/").status, 200);
    // These are main, accept, refresher and watcher.
    eventually("the connection has ended", || {
        (daemon.threads() == 4).then_some(())
    });
    // Time itself is tested here: nothing may happen in it.
    let quiet = Duration::from_secs(2);
    eventually("it comes to rest", || {
        let before = switches(&daemon);
        std::thread::sleep(quiet);
        (switches(&daemon) == before).then_some(())
    });
    assert_eq!(daemon.children(), [0; 0]);
}
