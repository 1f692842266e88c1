//! An engine that is down or hangs.

use std::time::Duration;

use crate::common::{Stopwatch, eventually};
use crate::engine::{PrivateEngine, daemon};

#[test]
fn an_engine_that_is_down_is_said_in_dockers_words() {
    let daemon = daemon()
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .start();
    let words = "Cannot connect to the Docker daemon at unix:///nonexistent/docker.sock";
    let failed = daemon.get("/");
    failed.assert_error(500, "Could not get containers.", words);
    let failed = daemon.get("/devcontainers");
    failed.assert_error(500, "Could not list containers", words);
    daemon.get("/readyz").assert_error(503, "Not ready", words);
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn p2_a_hung_engine_is_bridged_by_the_last_good_list_and_recovers() {
    let engine = PrivateEngine::start("hangs");
    let daemon = daemon()
        .env("DOCKER_HOST", &engine.host)
        .args("--list-timeout 1")
        .start();
    assert!(!daemon.get("/").headers.contains_key("age"));
    engine.signal("STOP");
    let stale = daemon.get("/");
    assert_eq!(stale.status, 200, "{stale:?}");
    let age: u64 = stale.headers["age"].parse().unwrap();
    assert!(age < 60, "{age}");
    let warnings = stale.json()["warnings"].to_string();
    assert!(warnings.contains("within the limit of 1 s"), "{warnings}");
    let begun = Stopwatch::start();
    assert_eq!(daemon.get("/healthz").status, 200);
    assert!(
        begun.elapsed() < Duration::from_millis(500),
        "P1: {:?}",
        begun.elapsed()
    );
    let metrics = daemon.get("/metrics").body;
    assert!(
        metrics.contains("\ndevcontainerd_engine_up 0\n"),
        "{metrics}"
    );
    let failures = "devcontainerd_listing_failures_total{reason=\"timeout\"}";
    assert!(!metrics.contains(&format!("{failures} 0\n")), "{metrics}");
    engine.signal("CONT");
    eventually("the list is fresh again", || {
        let answer = daemon.get("/");
        (answer.status == 200 && !answer.headers.contains_key("age")).then_some(())
    });
    let events = daemon.events_child();
    let mut others = daemon.children();
    others.retain(|pid| Some(*pid) != events);
    assert_eq!(others, [0; 0], "no client of the hung engine is left");
}
