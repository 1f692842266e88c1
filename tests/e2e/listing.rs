//! `GET /`, compared with the output of docker.

use serde_json::{Value, json};

use crate::common::{Daemon, eventually};
use crate::engine::{Containers, IMAGE, daemon, docker, inspect, listed, try_docker, unique};

#[track_caller]
fn one(daemon: &Daemon, id: &str) -> Value {
    listed(daemon, id).expect("it is listed")
}

#[test]
fn every_status_is_as_docker_says() {
    let containers = Containers::new("status");
    let sleeps = [IMAGE, "sleep", "1000"];
    let running = containers.run(&sleeps);
    let paused = containers.run(&sleeps);
    docker(&["pause", &paused]);
    let created = containers.create(&sleeps);
    let exited = containers.run(&[IMAGE, "sh", "-c", "exit 3"]);
    let done = containers.run(&[IMAGE, "true"]);
    for id in [&exited, &done] {
        docker(&["wait", id]);
    }
    let killed = containers.run(&sleeps);
    docker(&["kill", &killed]);
    let failed = unique("status-failed");
    let label = containers.label();
    let unstartable = [
        "run", "--detach", "--name", &failed, "--label", label, IMAGE, "/none",
    ];
    assert!(!try_docker(&unstartable).status.success());
    let failed = inspect(&failed, ".Id");
    let error = inspect(&failed, ".State.Error");
    assert!(error.contains("/none"), "{error}");

    let daemon = daemon().start();
    let created_with_error = format!("created: {error}");
    for (id, status, word, running) in [
        (&running, "running", "running", true),
        (&paused, "paused", "paused", true),
        (&created, "created", "created", false),
        (&exited, "exited with code 3", "exited", false),
        (&done, "exited successfully", "exited", false),
        (&killed, "exited with code 137", "exited", false),
        (&failed, &created_with_error, "created", false),
    ] {
        assert_eq!(inspect(id, ".State.Status"), word);
        assert_eq!(inspect(id, ".State.Running"), running.to_string());
        let listed = one(&daemon, id);
        assert_eq!(
            (&listed["status"], &listed["running"]),
            (&json!(status), &json!(running))
        );
        assert_eq!(listed["devcontainer_dirty"], false);
        assert!(listed.get("devcontainer_status").is_none(), "{listed:#}");
    }
    docker(&["unpause", &paused]);
    // docker's event of it may be on its way.
    eventually("it runs", || {
        (one(&daemon, &paused)["status"] == "running").then_some(())
    });
    docker(&["rm", "--force", &running]);
    eventually("it is gone", || {
        listed(&daemon, &running).is_none().then_some(())
    });
}

#[test]
fn a_restarting_container_is_listed_as_such() {
    let containers = Containers::new("restarting");
    let id = containers.run(&["--restart", "always", IMAGE, "false"]);
    let daemon = daemon().start();
    // The pause between two restarts doubles, from 0.1 s on.
    let restarting = eventually("it restarts", || {
        Some(one(&daemon, &id)).filter(|one| one["status"] == "restarting")
    });
    assert_eq!(restarting["running"], true, "as docker has it");
}

#[test]
fn ports_volumes_labels_and_times_are_as_docker_says() {
    let containers = Containers::new("facts");
    let (name, volume) = (unique("facts"), unique("facts-volume"));
    let directory = crate::engine::Directory::new("facts-bind");
    let bind = format!("{}:/bound:ro", directory.path().display());
    let mount = format!("{volume}:/kept");
    let id = containers.run(&[
        "--name",
        &name,
        "--publish",
        "127.0.0.1:20101:80",
        "--publish",
        "20102:9/udp",
        "--publish",
        "127.0.0.2:20103-20104:8103-8104",
        "--expose",
        "1234",
        "--volume",
        &bind,
        "--volume",
        &mount,
        "--label",
        "a.label=of {\"several\": 'words',\\ and more}",
        "--label",
        "empty=",
        IMAGE,
        "sleep",
        "1000",
    ]);
    let daemon = daemon().start();
    let one = one(&daemon, &id);
    assert_eq!(one["name"], *name);
    assert_eq!(one["image"], IMAGE);
    // Docker writes nanoseconds, without zeros at their end.
    let shown = one["created_at"].as_str().unwrap();
    let created = inspect(&id, ".Created");
    let seconds = created.split(['.', 'Z']).next().unwrap();
    assert!(
        shown.starts_with(seconds) && shown.ends_with('Z'),
        "{shown} {created}"
    );
    let labels: Value = serde_json::from_str(&docker(&[
        "inspect",
        "--format",
        "{{json .Config.Labels}}",
        &id,
    ]))
    .unwrap();
    assert_eq!(labels.as_object().unwrap().len(), 3);
    assert_eq!(one["labels"], labels);
    let kept = docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &volume]);
    let bound = directory.path().to_str().unwrap();
    assert_eq!(one["volumes"], json!({(kept): "/kept", (bound): "/bound"}));
    assert_eq!(
        one["ports"],
        json!([
            {"port": 1234, "network": "tcp"},
            {"port": 80, "network": "tcp", "host_ip": "127.0.0.1", "host_port": 20101},
            {"port": 8103, "network": "tcp", "host_ip": "127.0.0.2", "host_port": 20103},
            {"port": 8104, "network": "tcp", "host_ip": "127.0.0.2", "host_port": 20104},
            {"port": 9, "network": "udp", "host_ip": "0.0.0.0", "host_port": 20102},
        ])
    );
    docker(&["rm", "--force", &id]);
    docker(&["volume", "rm", &volume]);
}

#[test]
fn a_port_on_both_ip_versions_is_listed_once() {
    let containers = Containers::new("versions");
    let sleeps = [IMAGE, "sleep", "1000"];
    let both = containers.run(
        &[
            &[
                "--publish",
                "127.0.0.1:20111:80",
                "--publish",
                "[::1]:20111:80",
            ],
            &sleeps[..],
        ]
        .concat(),
    );
    let unspecified = containers.run(
        &[
            &[
                "--publish",
                "0.0.0.0:20112:80",
                "--publish",
                "[::]:20112:80",
            ],
            &sleeps[..],
        ]
        .concat(),
    );
    let daemon = daemon().start();
    for (id, host_ip, host_port) in [(both, "127.0.0.1", 20111), (unspecified, "0.0.0.0", 20112)] {
        let published = inspect(&id, "len (index .NetworkSettings.Ports \"80/tcp\")");
        assert_eq!(published, "2", "docker has it twice");
        let one = one(&daemon, &id);
        assert_eq!(
            one["ports"],
            json!([{"port": 80, "network": "tcp", "host_ip": host_ip, "host_port": host_port}])
        );
    }
}

#[test]
fn two_containers_on_one_host_port_are_a_warning() {
    let containers = Containers::new("shared");
    let run = |publish| containers.run(&["--publish", publish, IMAGE, "sleep", "1000"]);
    let ids = [run("127.0.0.3:20121:80"), run("127.0.0.4:20121:80")];
    let daemon = daemon().start();
    let warnings = crate::engine::warnings_with(&daemon, "host port 20121 ");
    let beginning = "host port 20121 is mapped to multiple containers on different interfaces: ";
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    let mut named: Vec<&str> = warning
        .strip_prefix(beginning)
        .unwrap()
        .split(", ")
        .collect();
    named.sort_unstable();
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    ids.sort_unstable();
    let short = ids
        .iter()
        .zip(&named)
        .all(|(id, named)| id.starts_with(named));
    assert!(short && named.len() == 2, "{warning}");
}

#[test]
fn containers_that_come_and_go_while_it_lists_do_no_harm() {
    let containers = Containers::new("churn");
    let stays = containers.create(&[IMAGE]);
    let daemon = daemon().start();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..15 {
                docker(&["rm", &containers.create(&[IMAGE])]);
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            assert_eq!(one(&daemon, &stays)["status"], "created");
        }
    });
}
