//! Containers and dev containers, as they follow from the output of docker.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use crate::common::{Daemon, LONG, Sandbox, Stopwatch, container_id, eventually};
use serde_json::{Value, json};

/// The names of the listed containers.
#[track_caller]
fn names(daemon: &Daemon) -> Vec<String> {
    let listed = daemon.json("/");
    let containers = listed["containers"].as_array().unwrap();
    let name = |c: &Value| c["name"].as_str().unwrap().to_owned();
    containers.iter().map(name).collect()
}

#[track_caller]
fn warnings(daemon: &Daemon) -> Vec<String> {
    let listed = daemon.json("/");
    let warnings = listed["warnings"].as_array().cloned().unwrap_or_default();
    let text = |w: &Value| w.as_str().unwrap().to_owned();
    warnings.iter().map(text).collect()
}

#[test]
fn containers_and_dev_containers_are_listed() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    sandbox.container(2).save();
    let daemon = sandbox.daemon().start();
    let listed = daemon.json("/");
    let containers = listed["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2);
    assert_eq!(containers[0]["name"], "box1");
    assert_eq!(containers[0]["devcontainer_status"], "running");
    assert_eq!(containers[1]["devcontainer_status"], Value::Null);
    assert!(listed.get("warnings").is_none());
    let one = daemon.devcontainer();
    assert_eq!(one["name"], "app");
    assert_eq!(one["workspace_folder"], folder.to_str().unwrap());
    assert_eq!(one["container"]["id"], container_id(1));
    assert_eq!(one["dirty"], false);
    for name in [one["id"].as_str().unwrap(), "app"] {
        let mut alone = daemon.json(&format!("/devcontainers/{name}"));
        let revision = alone.as_object_mut().unwrap().remove("revision");
        assert!(revision.unwrap().is_u64());
        assert_eq!(alone, one, "{name}");
    }
}

#[test]
fn a_listing_is_two_commands_with_full_ids() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    sandbox.container(2).save();
    let daemon = sandbox.daemon().start();
    assert_eq!(names(&daemon), ["box1", "box2"]);
    let (one, two) = (container_id(1), container_id(2));
    let calls = sandbox.read("calls/docker");
    // The version of the engine is not part of it.
    let mut calls = calls.lines().filter(|call| !call.starts_with("version "));
    assert_eq!(calls.next(), Some("ps --all --quiet --no-trunc"));
    // The order of the ids does not matter.
    let mut inspect: Vec<&str> = calls.next().unwrap().split(' ').collect();
    inspect.sort_unstable();
    assert_eq!(inspect, [&*one, &two, "inspect"]);
    assert_eq!(calls.next(), None);
}

#[test]
fn p1_a_hung_docker_delays_nobody_who_does_not_need_it() {
    let sandbox = Sandbox::new();
    sandbox.docker("sleep 1000");
    let daemon = sandbox.daemon().args("--list-timeout 3").start();
    let begun = Stopwatch::start();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| daemon.get("/"));
        eventually("docker runs", || {
            (sandbox.calls("docker", "ps") > 0).then_some(())
        });
        for path in ["/healthz", "/version", "/nope"] {
            daemon.get(path);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
        let detail = "did not finish within the limit of 3 s (--list-timeout)";
        waiting
            .join()
            .unwrap()
            .assert_error(500, "Could not get containers.", detail);
    });
    let detail = "limit of 3 s";
    daemon
        .get("/devcontainers")
        .assert_error(500, "Could not list containers", detail);
    assert!(begun.elapsed() < LONG);
    assert_eq!(daemon.children(), [0; 0], "the hung docker was ended");
    assert_eq!(sandbox.processes(), [0; 0], "and what it had started");
}

#[test]
fn p3_one_container_whose_inspect_hangs_costs_only_its_own_entry() {
    let sandbox = Sandbox::new();
    for number in 1..=5 {
        sandbox.container(number).save();
    }
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(3, &folder);
    let daemon = sandbox
        .daemon()
        .args("--cache-duration 0 --list-timeout 2")
        .start();
    assert_eq!(names(&daemon).len(), 5);
    let id = container_id(3);
    sandbox.docker(&format!(
        "case \"$1 $*\" in inspect*{id}*) exec sleep 1000 ;; esac"
    ));
    sandbox.container(4).set("Name", json!("/renamed")).save();
    let listed = daemon.json("/");
    let containers = listed["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 5, "{listed}");
    assert_eq!(
        containers[2]["name"], "box3",
        "the hung one, as it was last known"
    );
    assert_eq!(containers[3]["name"], "renamed", "the others, as they are");
    assert_eq!(
        warnings(&daemon),
        ["docker inspect does not answer for box3; the last known state is shown"]
    );
    let begun = Stopwatch::start();
    assert_eq!(names(&daemon).len(), 5);
    assert!(
        begun.elapsed() < Duration::from_millis(800),
        "the next listing waited for it again: {:?}",
        begun.elapsed()
    );
    assert_eq!(daemon.devcontainer()["status"], "running");
    assert_eq!(daemon.children(), [0; 0]);
}

#[test]
fn p3_a_container_that_hangs_from_the_beginning_is_left_out_with_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    sandbox.container(2).save();
    let id = container_id(2);
    sandbox.docker(&format!(
        "case \"$1 $*\" in inspect*{id}*) exec sleep 1000 ;; esac"
    ));
    let daemon = sandbox.daemon().args("--list-timeout 2").start();
    assert_eq!(names(&daemon), ["box1"]);
    let said = warnings(&daemon);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(&id), "{said:?}");
}

#[test]
fn p3_when_every_inspect_hangs_the_limit_is_named() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    sandbox.container(2).save();
    sandbox.docker("[ $1 = inspect ] && exec sleep 1000");
    let daemon = sandbox.daemon().args("--list-timeout 1").start();
    let detail = "docker inspect did not finish within the limit of 1 s (--list-timeout)";
    daemon
        .get("/")
        .assert_error(500, "Could not get containers.", detail);
    assert_eq!(daemon.children(), [0; 0]);
}

#[test]
fn a_slow_ps_leaves_time_for_the_rest() {
    let sandbox = Sandbox::new();
    for number in 1..=20 {
        sandbox.container(number).save();
    }
    sandbox.docker("case $1 in ps) sleep 4.2 ;; inspect) sleep 0.9 ;; esac");
    let daemon = sandbox.daemon().args("--list-timeout 8").start();
    assert_eq!(names(&daemon).len(), 20);
    assert_eq!(warnings(&daemon), [""; 0]);
}

#[test]
fn what_docker_does_wrong_is_said() {
    let id = container_id(1);
    let garbage = format!("[ $1 = inspect ] && {{ echo '<html>'; exit 0; }}; echo {id}; exit 0");
    let silent = "exit 1";
    for (docker, detail) in [
        (
            "echo 'Cannot connect to the Docker daemon at unix:///x.sock. Is it running?' >&2; exit 1",
            "docker ps failed (exit status: 1): Cannot connect to the Docker daemon at unix:///x.sock",
        ),
        (silent, "docker ps failed (exit status: 1) and said nothing"),
        ("kill -9 $$", "docker ps failed (signal: 9 (SIGKILL)"),
        (
            "echo 'NAMES  STATUS'; exit 0",
            "docker ps printed what is not a container id: \"NAMES  STATUS\"",
        ),
        (
            "echo --help; exit 0",
            "docker ps printed what is not a container id: \"--help\"",
        ),
        (
            "printf '\\377\\376\\000\\n'; exit 0",
            "docker ps printed what is not a container id",
        ),
        (&garbage, "docker inspect printed what cannot be read"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.docker(docker);
        let daemon = sandbox.daemon().start();
        daemon
            .get("/")
            .assert_error(500, "Could not get containers.", detail);
        daemon.log.wait_for("containers cannot be listed");
    }
}

#[test]
fn a_missing_docker_is_named() {
    let sandbox = Sandbox::new();
    fs::remove_file(sandbox.path("bin/docker")).unwrap();
    let path = sandbox.bare_path();
    let daemon = sandbox.daemon().env("PATH", &path).start();
    daemon
        .get("/")
        .assert_error(500, "Could not get containers.", "docker was not found");
    // It may be installed while the daemon runs.
    sandbox.container(1).save();
    sandbox.docker("");
    let found = eventually("docker is found", || {
        let answer = daemon.get("/");
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(found.json()["containers"][0]["name"], "box1");
}

/// A sandbox whose docker has removed container 9 when it is asked to inspect it. `inspect` is what it does then.
fn removed_in_between(inspect: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.container(9).save();
    let gone = container_id(9);
    sandbox.docker(&format!(
        "if [ $1 = inspect ]; then rm -f $R/containers/{gone}; {inspect}; fi"
    ));
    sandbox
}

#[test]
fn an_id_that_was_removed_in_between_is_no_failure() {
    let gone = container_id(9);
    for (words, exit) in [
        (format!("Error: No such object: {gone}"), 1),
        (
            format!("Error: inspecting object: no such object: \"{gone}\""),
            125,
        ),
        (format!("Quite other words about {gone}"), 7),
    ] {
        let sandbox = removed_in_between(&format!(
            "cat $R/answer; echo 'WARNING: odd' >&2; echo '{words}' >&2; exit {exit}"
        ));
        sandbox.container(1).save();
        let json = sandbox.read(&format!("containers/{}", container_id(1)));
        sandbox.write("answer", &format!("[{json}]"));
        let daemon = sandbox.daemon().start();
        assert_eq!(names(&daemon), ["box1"], "{words}");
        assert_eq!(warnings(&daemon), ["WARNING: odd"], "{words}");
    }
}

#[test]
fn when_all_were_removed_in_between_the_list_is_empty() {
    let gone = container_id(9);
    for inspect in [
        format!("echo '[]'; echo 'Error: No such object: {gone}' >&2; exit 1"),
        format!("echo 'Error: no such object: \"{gone}\"' >&2; exit 125"),
        "exit 1".to_owned(),
    ] {
        let sandbox = removed_in_between(&inspect);
        let daemon = sandbox.daemon().start();
        assert_eq!(names(&daemon), [""; 0], "{inspect}");
        assert_eq!(warnings(&daemon), [""; 0], "{inspect}");
    }
}

#[test]
fn a_container_that_docker_lists_is_not_taken_for_gone_by_words() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    sandbox.container(2).save();
    let (one, two) = (container_id(1), container_id(2));
    sandbox.docker(&format!(
        "[ $1 = inspect ] && {{ printf '['; cat $R/containers/{two}; echo ']';
         echo 'Error: network of {one}: no such container' >&2; exit 1; }}"
    ));
    let daemon = sandbox.daemon().start();
    assert_eq!(names(&daemon), ["box2"]);
    let said = warnings(&daemon).join("; ");
    assert!(
        said.contains("no such container") && said.contains("does not answer for"),
        "{said}"
    );
}

#[test]
fn a_container_whose_inspect_fails_otherwise_is_not_taken_for_gone() {
    let sandbox = Sandbox::with_app();
    sandbox.container(2).save();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert_eq!(daemon.devcontainer()["dirty"], false);
    fs::write(sandbox.config("app"), "{\"image\": \"other\"}").unwrap();
    assert_eq!(daemon.devcontainer()["changes"][0]["change"], "modified");
    let (one, two) = (container_id(1), container_id(2));
    sandbox.docker(&format!(
        "[ $1 = inspect ] && {{ printf '['; cat $R/containers/{two}; echo ']';
         echo 'Error response from daemon: layer {one} not known' >&2; exit 1; }}"
    ));
    assert_eq!(names(&daemon), ["box1", "box2"]);
    assert!(warnings(&daemon).iter().any(|w| w.contains("not known")));
    assert_eq!(daemon.devcontainer()["changes"][0]["change"], "modified");
}

#[test]
fn what_docker_says_on_standard_error_is_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    sandbox.docker("echo \"WARNING: $1 is deprecated\" >&2; printf '\\n \\n' >&2");
    let daemon = sandbox.daemon().start();
    let expected = [
        "WARNING: ps is deprecated",
        "WARNING: inspect is deprecated",
    ];
    assert_eq!(warnings(&daemon), expected);
    assert_eq!(names(&daemon), ["box1"]);
    daemon.log.wait_for("WARNING: ps is deprecated");
}

#[test]
fn a_flood_on_standard_error_is_cut() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    sandbox.docker("yes 'WARNING: again' | head -c 30000000 >&2");
    let daemon = sandbox.daemon().start();
    let answer = daemon.get("/");
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() < 1 << 20, "{}", answer.body.len());
    assert!(daemon.status("VmRSS") < 40_000);
}

#[test]
fn more_than_64_mib_is_refused_and_costs_no_more() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    sandbox.docker("[ $1 = inspect ] && exec head -c 200000000 /dev/zero");
    let daemon = sandbox.daemon().args("--list-timeout 20").start();
    let detail = "docker inspect printed more than 64 MiB";
    daemon
        .get("/")
        .assert_error(500, "Could not get containers.", detail);
    assert!(
        daemon.status("VmHWM") < 160_000,
        "{}",
        daemon.status("VmHWM")
    );
    assert!(
        daemon.status("VmRSS") < 30_000,
        "{}",
        daemon.status("VmRSS")
    );
}

#[test]
fn hundreds_of_containers_are_inspected_in_batches() {
    let sandbox = Sandbox::new();
    for number in 1..=350 {
        sandbox.container(number).save();
    }
    let daemon = sandbox.daemon().args("--list-timeout 20").start();
    let expected: Vec<String> = (1..=350).map(|number| format!("box{number}")).collect();
    assert_eq!(names(&daemon), expected, "in docker's order");
    let calls = sandbox.read("calls/docker");
    let inspects = calls.lines().filter(|c| c.starts_with("inspect"));
    // Others may only show whether a slow docker answers.
    let calls: Vec<&str> = inspects.filter(|c| c.split(' ').count() > 2).collect();
    assert_eq!(calls.len(), 4);
    let ids: HashSet<&str> = calls.iter().flat_map(|c| c.split(' ').skip(1)).collect();
    assert_eq!(ids.len(), 350);
    assert!(calls.iter().all(|call| call.len() < 8 << 10));
}

#[test]
fn podman_serves_where_there_is_no_docker() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(r#"echo "$DEVCONTAINERD_SHIM_PLAN" >"$R/plan""#);
    fs::rename(sandbox.path("bin/docker"), sandbox.path("bin/podman")).unwrap();
    let path = sandbox.bare_path();
    let daemon = sandbox.daemon().env("PATH", &path).start();
    assert_eq!(names(&daemon), ["box1"]);
    assert_eq!(daemon.recreate("app").status, 204);
    assert!(sandbox.read("plan").contains(r#""docker":"podman""#));
}

#[test]
fn a_named_docker_is_used_and_handed_on() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(r#"echo "$DEVCONTAINERD_SHIM_PLAN" >"$R/plan""#);
    fs::rename(sandbox.path("bin/docker"), sandbox.path("my docker")).unwrap();
    let docker = sandbox.path("my docker");
    let docker = docker.to_str().unwrap();
    let daemon = sandbox.daemon().arg("--docker").arg(docker).start();
    assert_eq!(names(&daemon), ["box1"]);
    assert_eq!(daemon.recreate("app").status, 204);
    let plan = sandbox.read("plan");
    assert!(plan.contains(&format!(r#""docker":"{docker}""#)), "{plan}");
}
