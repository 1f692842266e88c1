//! The child that follows events: when it runs, how its failures are found out, and containers that it cannot tell of.

use std::fs;
use std::time::{Duration, Instant};

use super::events::{SOON, start};
use crate::common::mirror::Mirror;
use crate::common::{Daemon, Sandbox, Stopwatch, container_id, eventually, kill};

#[test]
fn p9_a_question_alone_starts_no_child_and_events_can_be_forbidden() {
    let (sandbox, daemon) = start();
    assert_eq!(daemon.get("/").status, 200);
    for _ in 0..3 {
        assert_eq!(daemon.get("/readyz").status, 200);
        assert_eq!(daemon.get("/healthz").status, 200);
    }
    assert_eq!(sandbox.calls("docker", "events"), 0);
    assert_eq!(daemon.get("/devcontainers").status, 200);
    daemon.follows();
    let forbidden = sandbox
        .following_daemon()
        .args("--no-events --cache-duration 0")
        .start();
    let mut mirror = Mirror::of(&forbidden);
    let events = sandbox.calls("docker", "events");
    sandbox.change_without_event(2, "running");
    mirror.until_container("box2", Some("running"));
    assert_eq!(sandbox.calls("docker", "events"), events);
    assert_eq!(forbidden.events_child(), None);
}

#[test]
fn a_child_that_is_killed_is_started_again_and_nothing_is_lost() {
    let (sandbox, daemon) = start();
    let mut mirror = Mirror::of(&daemon);
    for round in 0..8 {
        let child = daemon.follows();
        let begun = Instant::now();
        eventually("it has lived for a while, so that it is of use", || {
            (begun.elapsed() > Duration::from_millis(1200)).then_some(())
        });
        kill(child);
        let begun = Stopwatch::start();
        let status = ["paused", "running"][round % 2];
        sandbox.change_without_event(1, status);
        mirror.until_container("box1", Some(status));
        assert!(
            begun.elapsed() < SOON,
            "round {round}: {:?}",
            begun.elapsed()
        );
    }
    assert_eq!(
        daemon.log_count("docker events ended (signal: 9"),
        1,
        "said once"
    );
}

/// Runs an events child with this useless `code`. Asserts that it is started at most so many times within three
/// seconds, that the log says why, once, and that changes show nevertheless.
#[track_caller]
fn check_useless(code: &str, starts: usize, why: &str) {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    sandbox.docker(&format!("if [ \"$1\" = events ]; then {code}; fi"));
    let daemon = sandbox
        .following_daemon()
        .args("--cache-duration 1")
        .start();
    let mut mirror = Mirror::of(&daemon);
    daemon.log.wait_for(why);
    let begun = Instant::now();
    for round in 0..4 {
        let changed = Stopwatch::start();
        let status = ["paused", "running"][round % 2];
        sandbox.change_without_event(1, status);
        mirror.until_container("box1", Some(status));
        assert!(changed.elapsed() < SOON + Duration::from_secs(1));
        assert_eq!(daemon.get("/healthz").status, 200);
    }
    let seconds = begun.elapsed().as_secs_f64().max(3.0);
    let started = sandbox.calls("docker", "events");
    assert!(
        started as f64 <= starts as f64 * seconds / 3.0,
        "{started} within {seconds} s"
    );
    assert_eq!(
        daemon.log_count(why),
        1,
        "said once: {:#?}",
        daemon.log.lines()
    );
    assert!(daemon.status("VmRSS") < 20_000);
}

#[test]
fn a_child_that_ends_at_once() {
    check_useless(
        "exit 1",
        8,
        "docker events ended (exit status: 1) and said nothing",
    );
}

#[test]
fn a_child_that_is_refused() {
    let refused = "echo 'Error: 403 Forbidden' >&2; exit 1";
    check_useless(
        refused,
        8,
        "docker events ended (exit status: 1): Error: 403 Forbidden",
    );
}

#[test]
fn a_child_that_prints_what_is_no_event() {
    check_useless(
        "echo '{{json .}}'; sleep 100",
        8,
        "docker events printed what is no event",
    );
}

#[test]
fn a_child_that_prints_half_a_line() {
    check_useless(
        "printf '{\"Type\":\"con'; exit 1",
        8,
        "docker events ended (exit status: 1)",
    );
}

#[test]
fn a_child_that_prints_a_million_events() {
    let id = container_id(1);
    let event = format!("{{\\\"Type\\\":\\\"container\\\",\\\"ID\\\":\\\"{id}\\\"}}");
    check_useless(
        &format!("exec yes \"{event}\""),
        40,
        "docker events told more than 10000 events",
    );
}

#[test]
fn a_child_that_tells_nothing_is_found_out() {
    // The listing 60 s after the start of the child shows that the child is silent.
    let (sandbox, daemon) = start();
    let mut mirror = Mirror::of(&daemon);
    daemon.follows();
    sandbox.change(2, "running");
    mirror.until_container("box2", Some("running"));
    sandbox.change_without_event(3, "running");
    let waiting = Stopwatch::start();
    while mirror.container("box3").is_none() {
        assert!(waiting.elapsed() < Duration::from_secs(70));
        mirror.next_or_heartbeat();
    }
    daemon
        .log
        .wait_for("docker events does not tell what happens");
    daemon.follows();
    sandbox.change(4, "running");
    mirror.until_container("box4", Some("running"));
}

#[test]
fn p3_a_container_whose_inspect_hangs_costs_only_its_own_news() {
    let sandbox = Sandbox::new();
    for number in 1..4 {
        sandbox.container(number).save();
    }
    let hangs = format!(
        "case \"$*\" in *{}*) [ ! -e \"$R/hang\" ] || exec sleep 100 ;; esac",
        container_id(1)
    );
    sandbox.docker(&hangs);
    let daemon = sandbox.following_daemon().start();
    let mut mirror = Mirror::of(&daemon);
    daemon.follows();
    sandbox.change(2, "paused");
    mirror.until_container("box2", Some("paused"));
    sandbox.write("hang", "");
    sandbox.change(1, "exited");
    for status in ["running", "paused", "running"] {
        let begun = Stopwatch::start();
        sandbox.change(3, status);
        sandbox.event(1, "start");
        mirror.until_container("box3", Some(status));
        assert!(begun.elapsed() < SOON + SOON, "{:?}", begun.elapsed());
    }
    assert_eq!(
        mirror.container("box1").unwrap()["status"],
        "running",
        "as last known"
    );
    let said = "docker inspect does not answer for box1; the last known state is shown";
    mirror.until("that is said", |mirror| {
        mirror.warnings.iter().any(|w| w == said).then_some(())
    });
    assert_eq!(daemon.log_count(said), 1);
    fs::remove_file(sandbox.path("hang")).unwrap();
    mirror.until_container("box1", Some("exited successfully"));
    mirror.until("it answers again", |mirror| {
        mirror.warnings.is_empty().then_some(())
    });
}

/// Running containers, and a daemon that follows events. The inspect of a container whose number is in `$R/hang` hangs.
fn with_hanging(containers: u32) -> (Sandbox, Daemon, Mirror) {
    let sandbox = Sandbox::new();
    for number in 1..=containers {
        sandbox.container(number).save();
    }
    let numbers = "for n in $(cat \"$R/hang\" 2>/dev/null)";
    let hangs = format!(
        "if [ \"$1\" = inspect ]; then {numbers}; do case \"$*\" in *$n*) exec sleep 100 ;; esac; done; fi"
    );
    sandbox.docker(&hangs);
    let daemon = sandbox.following_daemon().start();
    let mut mirror = Mirror::of(&daemon);
    daemon.follows();
    sandbox.change(1, "paused");
    mirror.until_container("box1", Some("paused"));
    (sandbox, daemon, mirror)
}

fn hang(sandbox: &Sandbox, numbers: &[u32]) {
    let ids: Vec<String> = numbers.iter().map(|number| container_id(*number)).collect();
    sandbox.write("hang", &ids.join(" "));
}

#[test]
fn p3_one_of_many_that_hangs_does_not_hold_up_the_others() {
    let (sandbox, _daemon, mut mirror) = with_hanging(8);
    hang(&sandbox, &[1]);
    let begun = Stopwatch::start();
    for number in 1..=8 {
        sandbox.change(number, "exited");
    }
    for number in 2..=8 {
        mirror.until_container(&format!("box{number}"), Some("exited successfully"));
    }
    assert!(begun.elapsed() < SOON + SOON, "{:?}", begun.elapsed());
}

#[test]
fn p3_one_that_hung_and_is_removed_is_gone_and_costs_nothing() {
    let (sandbox, daemon, mut mirror) = with_hanging(3);
    hang(&sandbox, &[1]);
    sandbox.change(1, "running");
    mirror.until("that is said", |mirror| {
        (!mirror.warnings.is_empty()).then_some(())
    });
    hang(&sandbox, &[]);
    sandbox.remove_container(1);
    sandbox.event(1, "destroy");
    let begun = Stopwatch::start();
    mirror.until_container("box1", None);
    assert!(begun.elapsed() < SOON + SOON, "{:?}", begun.elapsed());
    let inspects = || sandbox.calls("docker", "inspect");
    let before = inspects();
    let begun = Instant::now();
    eventually("some time passes", || {
        (begun.elapsed() > Duration::from_secs(1)).then_some(())
    });
    assert!(inspects() - before <= 2, "{} more", inspects() - before);
    assert_eq!(daemon.log_count("does not tell what happens"), 0);
}

#[test]
fn p3_one_that_fails_accuses_only_itself() {
    let sandbox = Sandbox::new();
    for number in 1..=4 {
        sandbox.container(number).save();
    }
    let id = container_id(2);
    sandbox.docker(&format!(
        "case \"$*\" in inspect*{id}*) echo 'Error response from daemon: odd' >&2; \
         docker_status=1; set -- $(echo \"$*\" | sed 's/{id}//') ;; esac; \
         [ ! \"$docker_status\" ] || trap 'exit 1' EXIT"
    ));
    let daemon = sandbox.following_daemon().start();
    let mirror = Mirror::of(&daemon);
    let said = mirror.warnings.join("; ");
    assert!(said.contains("does not answer for"), "{said}");
    for name in ["box1", "box3", "box4"] {
        assert!(!said.contains(name), "{said}");
        assert!(mirror.container(name).is_some());
    }
}

#[test]
fn those_that_are_made_at_once_are_listed_newest_first() {
    let (sandbox, daemon) = start();
    let mut mirror = Mirror::of(&daemon);
    daemon.follows();
    for number in 2..8_u32 {
        let time = format!("2021-01-0{number}T00:00:00Z");
        sandbox.container(number).created(&time).save();
    }
    (2..8).for_each(|number| sandbox.event(number, "create"));
    for number in 2..8 {
        mirror.until_container(&format!("box{number}"), Some("running"));
    }
    let all = daemon.json("/");
    let names = all["containers"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["box7", "box6", "box5", "box4", "box3", "box2", "box1"]
    );
}

#[test]
fn p9_a_look_at_the_head_is_no_interest() {
    let (sandbox, daemon) = start();
    assert_eq!(daemon.request("HEAD", "/events", "").status, 200);
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(sandbox.calls("docker", "events"), 0);
}

#[test]
fn p2_an_engine_that_goes_and_comes_is_followed() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    let down =
        "[ ! -e \"$R/down\" ] || { echo 'Cannot connect to the Docker daemon' >&2; exit 1; }";
    sandbox.docker(down);
    let daemon = sandbox.following_daemon().start();
    let mut mirror = Mirror::of(&daemon);
    for round in 0..3_usize {
        let child = daemon.follows();
        sandbox.write("down", "");
        kill(child);
        mirror.until("it is said", |mirror| {
            let said = mirror.warnings.iter().any(|w| w.contains("Cannot connect"));
            said.then_some(())
        });
        let tried = sandbox.calls("docker", "ps");
        let begun = Instant::now();
        eventually("it is tried again and again", || {
            (sandbox.calls("docker", "ps") >= tried + 2).then_some(())
        });
        assert!(
            begun.elapsed() > Duration::from_secs(1),
            "not more than once a second"
        );
        let status = ["paused", "running"][round % 2];
        sandbox.change_without_event(1, status);
        fs::remove_file(sandbox.path("down")).unwrap();
        let begun = Stopwatch::start();
        mirror.until_container("box1", Some(status));
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        mirror.until("all is well", |mirror| {
            mirror.warnings.is_empty().then_some(())
        });
        assert_eq!(daemon.log_count("containers cannot be listed"), round + 1);
    }
    daemon.follows();
}

#[test]
fn without_any_list_a_stream_does_not_begin() {
    let sandbox = Sandbox::new();
    sandbox.docker("echo 'Cannot connect' >&2; exit 1");
    let daemon = sandbox.following_daemon().start();
    let refused = daemon.get("/events");
    refused.assert_error(500, "Could not list containers", "Cannot connect");
}

#[test]
fn what_a_killed_daemon_left_is_ended_by_the_next() {
    let (sandbox, mut daemon) = start();
    let _mirror = Mirror::of(&daemon);
    let child = daemon.follows();
    daemon.signal("KILL");
    daemon.wait();
    let _next = sandbox.following_daemon().start();
    eventually("it has ended", || {
        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        line.is_empty().then_some(())
    });
}
