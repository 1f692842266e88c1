//! The files that a dev container is made from.

use std::fs;

use super::dirty::{FIRST, modified, start};
use crate::common::{Sandbox, sh};
use serde_json::json;

#[test]
fn every_input_counts_from_the_first_request_on() {
    let (sandbox, daemon) = start();
    let folder = sandbox.path("work/app");
    let made_of = r#"{"dockerFile": "Dockerfile", "features": {"./f": {}, "ghcr.io/x/y:1": {}}}"#;
    fs::write(sandbox.config("app"), made_of).unwrap();
    sh(
        &folder,
        "cd .devcontainer; mkdir f; echo 1 >f/install.sh; echo 1 >Dockerfile",
    );
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(daemon.changes(), json!([]), "made from what is there");
    for (change, undo, expected) in [
        (
            "echo 2 >Dockerfile",
            "echo 1 >Dockerfile",
            json!([["Dockerfile", "modified"]]),
        ),
        (
            "mv Dockerfile x",
            "mv x Dockerfile",
            json!([["Dockerfile", "removed"]]),
        ),
        (
            "echo 2 >f/install.sh; echo >f/new",
            "echo 1 >f/install.sh; rm f/new",
            json!([["install.sh", "modified"], ["new", "created"]]),
        ),
        (
            "mkdir -p f/a/b; echo >f/a/b/c",
            "rm -r f/a",
            json!([["a", "created"], ["b", "created"], ["c", "created"]]),
        ),
        (
            "mv f g",
            "mv g f",
            json!([["f", "removed"], ["install.sh", "removed"]]),
        ),
        (
            "echo {} >devcontainer-lock.json",
            "rm devcontainer-lock.json",
            json!([["devcontainer-lock.json", "created"]]),
        ),
        (
            "echo 1 >unrelated; mkdir other; echo >other/install.sh",
            "rm -r unrelated other",
            json!([]),
        ),
    ] {
        sh(&folder.join(".devcontainer"), change);
        assert_eq!(daemon.changes(), expected, "{change}");
        sh(&folder.join(".devcontainer"), undo);
        assert_eq!(daemon.changes(), json!([]), "{undo}");
    }
    let compose = r#"{"dockerComposeFile": ["../a.yml", "b.yml"], "service": "s"}"#;
    fs::write(sandbox.config("app"), compose).unwrap();
    sh(&folder, "echo a >a.yml");
    assert_eq!(daemon.changes(), modified());
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(daemon.changes(), json!([]));
    sh(
        &folder,
        "echo b >a.yml; echo b >.devcontainer/b.yml; echo 2 >.devcontainer/Dockerfile",
    );
    let both = json!([["b.yml", "created"], ["a.yml", "modified"]]);
    assert_eq!(daemon.changes(), both);
    sh(
        &folder,
        "printf 'services:\\n  s:\\n    build: .devcontainer\\n' >a.yml",
    );
    assert_eq!(
        daemon.changes(),
        both,
        "the change is that of the file that names the Dockerfile"
    );
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(daemon.changes(), json!([]));
    sh(&folder, "echo 3 >.devcontainer/Dockerfile");
    assert_eq!(daemon.changes(), json!([["Dockerfile", "modified"]]));
}

#[test]
fn p6_the_lock_file_that_the_cli_writes_is_no_change_and_an_edit_meanwhile_is() {
    let (sandbox, daemon) = start();
    sandbox.devcontainer("echo made >${config%/*}/devcontainer-lock.json; [ -e $R/edit ] && cat $R/edit >${config%/*}/D");
    let made_of = r#"{"dockerFile": "D"}"#;
    fs::write(sandbox.config("app"), made_of).unwrap();
    fs::write(sandbox.path("work/app/.devcontainer/D"), "1").unwrap();
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(daemon.changes(), json!([]));
    sandbox.write("edit", "2");
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(daemon.changes(), json!([["D", "modified"]]));
}

#[test]
fn a_configuration_that_does_not_parse_counts_as_it_stands() {
    let (sandbox, daemon) = start();
    for text in ["{", "{ ", "\u{0}", "{\"name\": \"one\" \"image\": 1}"] {
        fs::write(sandbox.config("app"), text).unwrap();
        assert_eq!(daemon.changes(), modified(), "{text:?}");
    }
    sandbox.write("work/app/.devcontainer/devcontainer.json", FIRST);
    assert_eq!(daemon.changes(), json!([]));
}

#[test]
fn a_folder_and_a_configuration_that_come_later_are_found_by_the_first_request() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("work/later");
    let daemon = sandbox
        .daemon()
        .arg("--devcontainer-folder")
        .arg(folder.to_str().unwrap());
    let daemon = daemon.start();
    assert_eq!(daemon.devcontainer().get("config_path"), None);
    sandbox.write("work/later/.devcontainer.json", FIRST);
    let shown = |name: &str| json!(folder.join(name));
    assert_eq!(
        daemon.devcontainer()["config_path"],
        shown(".devcontainer.json")
    );
    sandbox.write("work/later/.devcontainer/devcontainer.json", FIRST);
    let first = ".devcontainer/devcontainer.json";
    assert_eq!(daemon.devcontainer()["config_path"], shown(first));
    fs::remove_file(folder.join(first)).unwrap();
    assert_eq!(
        daemon.devcontainer()["config_path"],
        shown(".devcontainer.json")
    );
    let calls = sandbox.calls("docker", "ps");
    assert_eq!(calls, 1, "without another listing");
}

#[test]
fn an_input_of_100_mb_is_compared_by_content_in_little_memory() {
    let (sandbox, daemon) = start();
    let path = sandbox.path("work/app/.devcontainer/D");
    let write = |last: &str| {
        let large = vec![b'x'; 100 << 20];
        fs::write(&path, [&large, last.as_bytes()].concat()).unwrap();
    };
    fs::write(sandbox.config("app"), r#"{"dockerFile": "D"}"#).unwrap();
    write("1");
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(daemon.changes(), json!([]));
    write("2");
    assert_eq!(daemon.changes(), json!([["D", "modified"]]));
    write("1");
    assert_eq!(daemon.changes(), json!([]));
    let peak = daemon.status("VmHWM");
    assert!(peak < 30_000, "{peak} kB");
}

#[test]
fn a_folder_that_is_gone_is_a_change_however_old_the_list_is() {
    let (sandbox, daemon) = start();
    let folder = sandbox.path("work/app");
    let away = sandbox.path("away");
    let removed = json!([["devcontainer.json", "removed"]]);
    fs::rename(&folder, &away).unwrap();
    assert_eq!(daemon.changes(), removed);
    let answer = daemon.recreate("app");
    answer.assert_error(
        403,
        "Workspace folder not allowed",
        "is not an existing directory",
    );
    // Containers are listed again when an operation has ended.
    assert_eq!(daemon.post("/devcontainers/app/stop?wait").status, 204);
    assert_eq!(daemon.changes(), removed);
    fs::rename(&away, &folder).unwrap();
    assert_eq!(daemon.changes(), json!([]));
}

#[test]
fn a_configuration_that_moves_leaves_its_container_with_its_dev_container() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let builder = sandbox.daemon().args("--cache-duration 0");
    let builder = builder
        .arg("--devcontainer-folder")
        .arg(folder.to_str().unwrap());
    let daemon = builder.start();
    assert_eq!(daemon.changes(), json!([]));
    let id = daemon.devcontainer()["id"].clone();
    sh(
        &folder,
        "mv .devcontainer/devcontainer.json .devcontainer.json",
    );
    for _ in 0..2 {
        assert_eq!(daemon.changes(), json!([["devcontainer.json", "removed"]]));
        assert_eq!(daemon.devcontainer()["id"], id);
    }
    sandbox.remove_container(1);
    daemon.json("/");
    let config = daemon.devcontainer()["config_path"].clone();
    assert_eq!(
        config,
        json!(folder.join(".devcontainer.json")),
        "nothing holds it to the other one"
    );
}
