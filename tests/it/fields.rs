//! The fields of the objects in responses.

use super::http::with_app;
use crate::common::{Sandbox, container_id};
use serde_json::{Value, json};

fn fields(value: &Value) -> Vec<&str> {
    let fields = value.as_object().unwrap().keys();
    fields.map(String::as_str).collect()
}

#[test]
fn the_fields_are_exactly_those_of_the_contract() {
    let sandbox = Sandbox::with_app();
    sandbox
        .container(2)
        .set(
            "NetworkSettings",
            json!({"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "81/udp": null}}),
        )
        .set(
            "Mounts",
            json!([{"Type": "bind", "Source": "/s", "Destination": "/d"}]),
        )
        .save();
    let daemon = sandbox.daemon().start();
    let all = daemon.json("/");
    assert_eq!(fields(&all), ["containers"]);
    let mut expected = vec![
        "created_at",
        "devcontainer_dirty",
        "devcontainer_id",
        "devcontainer_name",
        "devcontainer_status",
        "id",
        "image",
        "labels",
        "mounts",
        "name",
        "ports",
        "running",
        "status",
        "volumes",
    ];
    assert_eq!(fields(&all["containers"][0]), expected);
    expected.drain(2..5);
    let plain = &all["containers"][1];
    assert_eq!(fields(plain), expected);
    assert_eq!(plain["id"], container_id(2));
    assert_eq!(plain["name"], "box2");
    assert_eq!(plain["created_at"], "2020-01-01T00:00:00.000Z");
    assert_eq!(plain["volumes"], json!({"/s": "/d"}));
    let mount = json!({"type": "bind", "source": "/s", "destination": "/d", "read_only": false});
    assert_eq!(plain["mounts"], json!([mount]));
    assert_eq!(
        plain["ports"],
        json!([
            {"port": 80, "network": "tcp", "host_ip": "127.0.0.1", "host_port": 8080},
            {"port": 81, "network": "udp"},
        ])
    );

    let one = daemon.devcontainer();
    assert_eq!(all["containers"][0]["devcontainer_id"], one["id"]);
    assert_eq!(all["containers"][0]["devcontainer_name"], "app");
    let mut expected = vec![
        "changes",
        "config_path",
        "container",
        "dirty",
        "forward_ports",
        "id",
        "name",
        "remote_user",
        "running",
        "status",
        "workspace_folder",
    ];
    assert_eq!(fields(&one), expected);
    assert_eq!(one["remote_user"], "root");
    assert_eq!(one["container"], all["containers"][0]);

    let recreated = daemon.post("/devcontainers/app/recreate?wait=true");
    assert_eq!(recreated.status, 204);
    sandbox.devcontainer("echo no >&2; exit 1");
    daemon
        .post("/devcontainers/app/recreate?wait=true")
        .assert_error(500, "Could not recreate devcontainer", "no");
    sandbox.write(
        "work/app/.devcontainer/devcontainer.json",
        r#"{"dockerFile":"missing"}"#,
    );
    let one = daemon.devcontainer();
    expected.extend(["error", "job", "unchecked"]);
    expected.sort_unstable();
    assert_eq!(fields(&one), expected);
    assert_eq!(fields(&one["changes"][0]), ["change", "path"]);
    assert_eq!(
        fields(&one["job"]),
        ["finished_at", "kind", "seconds", "started_at", "state"]
    );
    for (field, value) in [("kind", "recreate"), ("state", "failed")] {
        assert_eq!(one["job"][field], value);
    }
    for time in ["started_at", "finished_at"] {
        let time = one["job"][time].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        assert_eq!(time.len(), "2026-11-27T19:11:03.821Z".len(), "{time}");
    }

    assert_eq!(daemon.json("/healthz"), json!({"status": "ok"}));
    assert_eq!(daemon.json("/readyz"), json!({"status": "ready"}));
    assert_eq!(
        fields(&daemon.json("/version")),
        ["api_version", "arch", "commit", "os", "version"],
        "a build for debugging knows no date of a commit"
    );
}

#[test]
fn a_warning_is_listed_and_none_is_left_out() {
    let (sandbox, daemon) = with_app();
    assert_eq!(fields(&daemon.json("/")), ["containers"]);
    sandbox.docker("echo 'careful now' >&2");
    let daemon = sandbox.daemon().start();
    let all = daemon.json("/");
    assert_eq!(fields(&all), ["containers", "warnings"]);
    assert!(all["warnings"].to_string().contains("careful now"));
}
