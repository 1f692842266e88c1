//! Dev containers that clients ask for: `POST /devcontainers`, and `DELETE` with `forget`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Daemon, Response, Sandbox};

#[track_caller]
fn add(daemon: &Daemon, folder: &Path) -> Response {
    daemon.post_json(
        "/devcontainers",
        &json!({"workspace_folder": folder}).to_string(),
    )
}

#[track_caller]
fn add_config(daemon: &Daemon, folder: &Path, config: &str) -> Response {
    let body = json!({"workspace_folder": folder, "config_path": config});
    daemon.post_json("/devcontainers", &body.to_string())
}

#[track_caller]
fn all(daemon: &Daemon) -> Vec<Value> {
    let all = daemon.json("/devcontainers");
    all["devcontainers"].as_array().unwrap().clone()
}

/// The dev containers of a folder, by their names.
#[track_caller]
fn names_in(daemon: &Daemon, folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap().replace(' ', "%20");
    let found = daemon.json(&format!("/devcontainers?workspace_folder={folder}"));
    let found = found["devcontainers"].as_array().unwrap();
    let name = |one: &Value| one["name"].as_str().unwrap().to_owned();
    found.iter().map(name).collect()
}

#[test]
fn a_folder_that_was_asked_for_stays_listed_over_a_restart_until_it_is_forgotten() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let daemon = sandbox.daemon().start();
    let new = add(&daemon, &folder);
    let shown = new.json();
    let path = format!("/devcontainers/{}", shown["id"].as_str().unwrap());
    assert_eq!((new.status, &new.headers["location"]), (201, &path));
    assert_eq!(shown["workspace_folder"], folder.to_str().unwrap());
    assert_eq!(
        shown["config_path"],
        sandbox.config("app").to_str().unwrap()
    );
    assert_eq!(
        (&shown["name"], &shown["status"]),
        (&json!("app"), &json!("stopped"))
    );
    assert_eq!(shown.get("container"), None);
    assert_eq!(daemon.devcontainer(), shown);

    // Another spelling of the folder and of its configuration is the same dev container.
    let link = sandbox.path("work/link");
    symlink(&folder, &link).unwrap();
    for again in [
        add(&daemon, &folder.join("")),
        add(&daemon, &link),
        add_config(&daemon, &folder, ".devcontainer/devcontainer.json"),
        add_config(&daemon, &link, sandbox.config("app").to_str().unwrap()),
    ] {
        assert_eq!(
            (again.status, again.json()),
            (200, shown.clone()),
            "{again:?}"
        );
    }
    assert_eq!(all(&daemon).len(), 1);
    drop(daemon);

    let daemon = sandbox.daemon().start();
    assert_eq!(daemon.devcontainer(), shown, "the same after a restart");
    assert_eq!(daemon.post("/devcontainers/app/start?wait").status, 204);
    let calls = sandbox.read("calls/devcontainer");
    let expected = format!("--config {}", sandbox.config("app").display());
    assert!(calls.contains(&expected), "{calls}");
    let started = daemon.devcontainer();
    assert_eq!(
        (&started["id"], &started["status"]),
        (&shown["id"], &json!("running"))
    );

    // Nothing is lost by surprise.
    let kept = daemon.delete(&format!("{path}?forget=true"));
    let name = started["container"]["name"].as_str().unwrap();
    kept.assert_error(409, "Devcontainer has a container", name);
    assert_eq!(daemon.delete(&path).status, 204);
    assert_eq!(
        daemon.devcontainer()["status"],
        "stopped",
        "still asked for"
    );
    let prefixed = format!("/api/v0/containers{path}?forget");
    assert_eq!(daemon.delete(&prefixed).status, 204);
    assert_eq!(all(&daemon).len(), 0);
    daemon
        .delete(&format!("{path}?forget=true"))
        .assert_error(404, "Devcontainer not found", "");
    drop(daemon);
    let daemon = sandbox.daemon().start();
    assert_eq!(all(&daemon).len(), 0, "also after a restart");
    let log = daemon.log.lines();
    assert!(log.iter().all(|line| !line.contains("WARN")), "{log:?}");
}

#[test]
fn p4_a_container_that_comes_later_is_that_of_the_folder_that_was_asked_for() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    let id = add(&daemon, &folder).json()["id"].clone();
    sandbox.devcontainer_of(1, &folder);
    let one = daemon.devcontainer();
    assert_eq!((&one["id"], &one["running"]), (&id, &json!(true)));
    // One that is known by its container gets the same id, and is known already.
    drop(daemon);
    fs::remove_dir_all(sandbox.state_home()).unwrap();
    let daemon = sandbox.daemon().start();
    let known = add(&daemon, &folder);
    assert_eq!((known.status, &known.json()["id"]), (200, &id));
}

#[test]
fn each_configuration_of_a_folder_is_a_dev_container() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let other = sandbox.write("work/app/.devcontainer/py/devcontainer.json", "{}");
    let daemon = sandbox.daemon().start();
    let refused = add(&daemon, &folder);
    refused.assert_error(
        409,
        "Several configurations",
        sandbox.config("app").to_str().unwrap(),
    );
    refused.assert_error(409, "Several configurations", other.to_str().unwrap());
    assert_eq!(all(&daemon).len(), 0);
    let first = add_config(&daemon, &folder, ".devcontainer/py/devcontainer.json");
    assert_eq!((first.status, &first.json()["name"]), (201, &json!("app")));
    assert_eq!(first.json()["config_path"], other.to_str().unwrap());
    let second = add_config(&daemon, &folder, sandbox.config("app").to_str().unwrap());
    assert_eq!(
        (second.status, &second.json()["name"]),
        (201, &json!("app-2"))
    );
    assert_eq!(names_in(&daemon, &folder).len(), 2);
}

#[test]
fn what_cannot_be_listed_is_refused_with_the_mend() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let empty = sandbox.path("work/empty");
    fs::create_dir(&empty).unwrap();
    let daemon = sandbox.daemon().start();
    let post = |body: &str| daemon.post_json("/devcontainers", body);
    let bad = |body: &str, why: &str| {
        let answer = post(body);
        answer.assert_error(400, "Bad request", why);
        answer.assert_error(400, "Bad request", r#"{"workspace_folder":"/…"}"#);
    };
    bad("", "not a JSON object");
    bad("[]", "not a JSON object");
    bad("{", "EOF");
    bad("{}", "missing field `workspace_folder`");
    bad(r#"{"workspace_folder":7}"#, "expected a string");
    bad(
        r#"{"workspace_folder":"app"}"#,
        r#""app" is not an absolute path"#,
    );
    bad(r#"{"workspace_folder":"~/app"}"#, "is not an absolute path");
    bad(
        r#"{"workspace_folder":"/w","config":"x"}"#,
        "unknown field `config`",
    );
    bad(
        r#"{"workspace_folder":"/w","workspace_folder":"/v"}"#,
        "duplicate field",
    );

    add(&daemon, &sandbox.path("work/none")).assert_error(
        404,
        "Workspace folder not found",
        "is not an existing directory",
    );
    add(&daemon, &empty).assert_error(404, "Configuration not found", ".devcontainer/NAME/");
    add_config(&daemon, &folder, "none.json").assert_error(
        404,
        "Configuration not found",
        "work/app/none.json is not an existing file",
    );
    let outside = sandbox.write("work/outside.json", "{}");
    for config in [outside.to_str().unwrap(), "../outside.json"] {
        add_config(&daemon, &folder, config).assert_error(
            403,
            "Workspace folder not allowed",
            "not below the workspace folder",
        );
    }
    let up = folder.join("../app");
    add(&daemon, &up).assert_error(403, "Workspace folder not allowed", "leads upwards with");
    let long = format!("/{}", "x".repeat(5000));
    add(&daemon, Path::new(&long)).assert_error(403, "Workspace folder not allowed", "is longer");
    add(&daemon, Path::new("/w\0")).assert_error(404, "Workspace folder not found", "");
    let large = json!({"workspace_folder": "/".repeat(65 << 10)}).to_string();
    post(&large).assert_error(413, "Request body too large", "64 KiB");

    // A page can send a form, or text, but no JSON, without being asked before.
    for kind in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
    ] {
        let body = json!({"workspace_folder": folder}).to_string();
        let head = format!("{kind}Content-Length: {}\r\n", body.len());
        let mut client = daemon.client();
        client.send(daemon.head("POST", "/devcontainers", &head) + &body);
        client.answer().assert_error(
            415,
            "Unsupported media type",
            "Content-Type: application/json",
        );
    }
    let other = daemon.post_json("/devcontainers/app/start", "{}");
    other.assert_error(400, "Bad request", "the route does not take");
    assert_eq!(all(&daemon).len(), 0);
}

#[test]
fn a_body_in_chunks_is_read_and_the_next_request_follows_it() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let daemon = sandbox.daemon().start();
    let body = json!({"workspace_folder": folder}).to_string();
    let (first, rest) = body.split_at(7);
    let chunked = format!("7\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len());
    let kind = "Content-Type: Application/JSON; charset=utf-8\r\nTransfer-Encoding: chunked\r\n";
    let mut client = daemon.client();
    let head = daemon.head("POST", "/devcontainers", kind);
    client.send(head.clone() + &chunked + &head + &chunked + &daemon.head("GET", "/healthz", ""));
    let statuses = [(); 3].map(|()| client.answer().status);
    assert_eq!(statuses, [201, 200, 200]);
}

#[test]
fn p18_only_folders_below_a_workspace_root_can_be_asked_for() {
    let sandbox = Sandbox::new();
    let inside = sandbox.workspace("root/app");
    let outside = sandbox.workspace("other");
    let link = sandbox.path("work/root/link");
    symlink(&outside, &link).unwrap();
    let root = sandbox.path("work/root");
    let daemon = sandbox
        .daemon()
        .args(&format!("--workspace-root {}", root.display()))
        .start();
    for folder in [&outside, &link] {
        add(&daemon, folder).assert_error(403, "Workspace folder not allowed", "--workspace-root");
    }
    assert_eq!(add(&daemon, &inside).status, 201);
    assert_eq!(all(&daemon).len(), 1);
}

#[test]
fn the_dev_containers_of_a_folder_are_found_by_identity_on_disk() {
    let sandbox = Sandbox::with_app();
    let folder = sandbox.path("work/app");
    let other = sandbox.workspace("a b");
    let link = sandbox.path("work/link");
    symlink(&folder, &link).unwrap();
    let daemon = sandbox.daemon().args("--cache-duration 600").start();
    for spelling in [&folder, &link, &folder.join("."), &folder.join("../app/")] {
        assert_eq!(names_in(&daemon, spelling), ["app"], "{spelling:?}");
    }
    assert_eq!(names_in(&daemon, &other), [""; 0]);
    // What was just made is found, however old the list may be.
    sandbox.devcontainer_of(2, &other);
    assert_eq!(names_in(&daemon, &other), ["a b"]);
    assert_eq!(
        names_in(&daemon, &sandbox.path("work")),
        [""; 0],
        "not what is below"
    );
    for bad in [
        "workspace_folder=app",
        "workspace_folder",
        "workspace_folder=%ff",
    ] {
        let answer = daemon.get(&format!("/devcontainers?{bad}"));
        answer.assert_error(400, "Bad request", "should be an absolute path");
    }
}

#[test]
fn only_what_was_asked_for_can_be_forgotten() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer("while [ -e $R/hold ]; do sleep 0.02; done");
    let flag = format!("--devcontainer-folder {}", folder.display());
    let daemon = sandbox.daemon().args(&flag).start();
    let forget = || daemon.delete("/devcontainers/app?forget=true");
    forget().assert_error(
        409,
        "Devcontainer is defined elsewhere",
        "--devcontainer-folder",
    );
    for other in ["wait=true", "follow", "all=true", "format=text"] {
        let answer = daemon.delete(&format!("/devcontainers/app?forget=true&{other}"));
        answer.assert_error(400, "Bad request", "forget=true begins none");
    }
    assert_eq!(add(&daemon, &folder).status, 200);
    assert_eq!(forget().status, 204, "the request is undone");
    assert_eq!(
        daemon.devcontainer()["name"],
        "app",
        "the definition is not"
    );
    sandbox.write("hold", "");
    assert_eq!(add(&daemon, &folder).status, 200);
    assert_eq!(daemon.post("/devcontainers/app/start").status, 202);
    forget().assert_error(409, "Devcontainer operation in progress", "start of `app`");
    fs::remove_file(sandbox.path("hold")).unwrap();
}

#[test]
fn a_folder_that_was_asked_for_and_is_gone_is_a_warning_with_its_mend() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let daemon = sandbox.daemon().start();
    let id = add(&daemon, &folder).json()["id"].clone();
    let away = sandbox.path("away");
    fs::rename(&folder, &away).unwrap();
    drop(daemon);
    let daemon = sandbox.daemon().start();
    let warnings = daemon.json("/")["warnings"].clone();
    let mend = format!("DELETE /devcontainers/{}?forget=true", id.as_str().unwrap());
    assert!(warnings[0].as_str().unwrap().contains(&mend), "{warnings}");
    fs::rename(&away, &folder).unwrap();
    daemon.json("/devcontainers");
    assert_eq!(daemon.json("/").get("warnings"), None);
    assert_eq!(daemon.devcontainer()["id"], id);
}
