//! The manifest, and what is predefined.

use crate::common::Sandbox;
use serde_json::json;

#[test]
fn scripts_and_variables_of_a_manifest() {
    let sandbox = Sandbox::new();
    sandbox.workspace("app");
    let (id, other) = (
        "11111111-1111-4111-8111-111111111111",
        "22222222-2222-4222-8222-222222222222",
    );
    let manifest = json!({
        "devcontainers": [{"id": id, "name": "mine", "workspace_folder": "$W/app"},
                          {"workspace_folder": "${W}/none"}],
        "scripts": [{"id": id, "log_source_id": other}],
    });
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    let daemon = sandbox
        .daemon()
        .env("W", sandbox.path("work").to_str().unwrap())
        .args(&format!("--manifest {}", manifest.display()))
        .start();
    let mine = daemon.json(&format!("/devcontainers/{id}"));
    assert_eq!(
        (mine["name"].as_str(), mine["status"].as_str()),
        (Some("mine"), Some("stopped"))
    );
    assert_eq!(mine["config_path"], sandbox.config("app").to_str().unwrap());
    daemon.log.wait_for("ERROR manifest: no script");
}

#[test]
fn a_folder_of_the_manifest_that_does_not_exist_is_a_warning() {
    let sandbox = Sandbox::new();
    let gone = sandbox.path("work/gone");
    let manifest = json!({"devcontainers": [{"workspace_folder": gone}]});
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    let daemon = sandbox
        .daemon()
        .args(&format!("--manifest {}", manifest.display()))
        .start();
    let expected = format!(
        "dev container gone: the workspace folder {} is not an existing directory",
        gone.display()
    );
    let line = daemon.log.wait_for(&expected);
    assert!(line.contains(" WARN "), "{line}");
    let all = daemon.json("/");
    let warnings = all["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].as_str().unwrap().starts_with(&expected));
    assert_eq!(daemon.devcontainer()["name"], "gone");
    sandbox.workspace("gone");
    daemon.json("/devcontainers");
    assert_eq!(daemon.json("/").get("warnings"), None);
    assert_eq!(
        daemon
            .log
            .lines()
            .iter()
            .filter(|l| l.contains(&expected))
            .count(),
        1
    );
}

#[test]
fn a_folder_alone_is_the_dev_container_of_its_container_whatever_the_search_finds() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let other = sandbox.write("work/app/.devcontainer/other/devcontainer.json", "{}");
    let id = "11111111-1111-4111-8111-111111111111";
    let manifest = json!({"devcontainers": [{"id": id, "workspace_folder": folder}]});
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    let label = |name: &str| format!("devcontainer.{name}");
    sandbox
        .container(1)
        .label(&label("local_folder"), folder.to_str().unwrap())
        .label(&label("config_file"), other.to_str().unwrap())
        .save();
    for _ in 0..2 {
        let daemon = sandbox
            .daemon()
            .args(&format!("--manifest {}", manifest.display()))
            .start();
        let one = daemon.devcontainer();
        assert_eq!((&one["id"], &one["name"]), (&json!(id), &json!("app")));
        assert_eq!(one["config_path"], other.to_str().unwrap());
        assert_eq!(one["container"]["name"], "box1");
    }
    // Also for a request that comes before the first list.
    sandbox.docker("sleep 0.3");
    let daemon = sandbox
        .daemon()
        .args(&format!("--manifest {}", manifest.display()))
        .start();
    assert_eq!(daemon.recreate("app").status, 204);
    let config = format!("--config {}", other.display());
    assert!(sandbox.read("calls/devcontainer").contains(&config));
    assert_eq!(daemon.devcontainer()["id"], id);
}

#[test]
fn a_bad_log_source_is_an_error_in_the_log_and_the_fallback_serves() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let id = "11111111-1111-4111-8111-111111111111";
    for source in ["00000000-0000-0000-0000-000000000000", "mine"] {
        let manifest = json!({
            "devcontainers": [{"id": id, "workspace_folder": folder}],
            "scripts": [{"id": id, "log_source_id": source}],
        });
        let manifest = sandbox.write("manifest.json", &manifest.to_string());
        let daemon = sandbox
            .daemon()
            .args(&format!("--manifest {}", manifest.display()))
            .start();
        let expected = format!("ERROR manifest: the log_source_id of script {id} is \"{source}\"");
        daemon.log.wait_for(&expected);
        assert_eq!(daemon.recreate("app").status, 204);
        let log = daemon.get("/devcontainers/app/logs");
        assert!(
            log.body.contains("3b579bf4-1ed8-4b99-87a8-e9a1e3410410"),
            "{log:?}"
        );
    }
}

#[test]
fn additional_arguments_of_up_come_last_those_of_the_manifest_after_those_of_the_flag() {
    let sandbox = Sandbox::with_app();
    let folder = sandbox.path("work/app");
    let manifest = json!({"devcontainers": [
        {"workspace_folder": folder, "up_args": ["--remote-env", "A=config b"]},
    ]});
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    sandbox.workspace("b");
    let folder = sandbox.path("work/b");
    let daemon = sandbox
        .daemon()
        .env(
            "DEVCONTAINERD_UP_ARG",
            "--mount type=bind,source=/a,target=/b\n--no-lockfile",
        )
        .args(&format!("--manifest {}", manifest.display()))
        .args("--devcontainer-folder")
        .arg(folder.to_str().unwrap())
        .start();
    let own = "--mount type=bind,source=/a,target=/b --no-lockfile";
    for (path, expected) in [
        (
            "app/recreate",
            format!(" --remove-existing-container {own} --remote-env A=config b"),
        ),
        ("b/recreate", format!(" --remove-existing-container {own}")),
        ("b/start", format!(" {own}")),
    ] {
        let answer = daemon.post(&format!("/devcontainers/{path}?wait"));
        assert_eq!(answer.status, 204, "{answer:?}");
        let calls = sandbox.read("calls/devcontainer");
        assert!(
            calls.lines().last().unwrap().ends_with(&expected),
            "{calls}"
        );
    }
}

#[test]
fn hup_reads_the_manifest_again_and_a_bad_one_changes_nothing() {
    let sandbox = Sandbox::new();
    let define = |names: &[&str]| {
        let define = |name: &&str| {
            let folder = sandbox.workspace(name);
            json!({"workspace_folder": folder})
        };
        let all: Vec<_> = names.iter().map(define).collect();
        sandbox.write("manifest.json", &json!({"devcontainers": all}).to_string())
    };
    let manifest = define(&["a"]);
    let daemon = sandbox
        .daemon()
        .args(&format!("--manifest {}", manifest.display()))
        .start();
    let names = || -> Vec<String> {
        let all = daemon.json("/devcontainers");
        let all = all["devcontainers"].as_array().unwrap().clone();
        all.iter()
            .map(|d| d["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(), ["a"]);
    let id = daemon.devcontainer()["id"].clone();
    define(&["a", "b"]);
    daemon.signal("HUP");
    daemon.log.wait_for("the manifest was read again");
    assert_eq!(names(), ["a", "b"]);
    assert_eq!(daemon.json("/devcontainers/a")["id"], id);
    sandbox.write("manifest.json", "{");
    daemon.signal("HUP");
    daemon.log.wait_for("the last good one stays in force");
    assert_eq!(names(), ["a", "b"]);
    sandbox.write("manifest.json", r#"{"devcontainers":[],"script":[]}"#);
    daemon.signal("HUP");
    let line = daemon.log.wait_for("unknown field `script`");
    assert!(line.contains(" ERROR manifest "), "{line}");
    assert!(
        line.contains("expected `devcontainers` or `scripts`"),
        "{line}"
    );
    assert!(line.ends_with("the last good one stays in force"), "{line}");
    assert_eq!(names(), ["a", "b"]);
}
