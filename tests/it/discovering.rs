//! Dev containers that are found below a directory: `--discover`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::daemon::switches;
use crate::common::{Daemon, Sandbox, eventually, sh};

fn daemon(sandbox: &Sandbox, arguments: &str) -> Daemon {
    let work = sandbox.path("work");
    let flag = format!("--discover {} {arguments}", work.display());
    sandbox.daemon().args(&flag).start()
}

/// The configurations of all dev containers, relative to the directory.
#[track_caller]
fn configs(daemon: &Daemon, sandbox: &Sandbox) -> Vec<String> {
    let all = daemon.json("/devcontainers");
    let work = sandbox.path("work");
    let relative = |one: &Value| {
        let config = Path::new(one["config_path"].as_str().unwrap());
        let relative = config.strip_prefix(&work).unwrap_or(config);
        relative.to_str().unwrap().to_owned()
    };
    all["devcontainers"]
        .as_array()
        .unwrap()
        .iter()
        .map(relative)
        .collect()
}

#[track_caller]
fn until(daemon: &Daemon, sandbox: &Sandbox, expected: &[&str], why: &str) {
    eventually(why, || (configs(daemon, sandbox) == expected).then_some(()));
}

#[test]
fn folders_with_a_configuration_are_listed_and_can_be_started() {
    let sandbox = Sandbox::new();
    sandbox.workspace("a");
    sandbox.write("work/a/.devcontainer/py/devcontainer.json", "{}");
    sandbox.write("work/x/y/z/.devcontainer.json", "{}");
    sandbox.write("work/x/y/z/deeper/.devcontainer.json", "{}");
    symlink(sandbox.path("work/a"), sandbox.path("work/link")).unwrap();
    let running = sandbox.workspace("running");
    sandbox.devcontainer_of(1, &running);
    let daemon_before = daemon(&sandbox, "");
    let found = daemon_before.json("/devcontainers")["devcontainers"].clone();
    let shown = |found: &Value| -> Vec<Value> {
        let all = found.as_array().unwrap().iter();
        all.map(|one| json!([one["name"], one["status"]])).collect()
    };
    let expected = [
        json!(["a", "stopped"]),
        json!(["a-2", "stopped"]),
        json!(["running", "running"]),
        json!(["z", "stopped"]),
    ];
    assert_eq!(shown(&found), expected, "{found}");
    assert_eq!(found[0].get("container"), None);
    assert_eq!(
        daemon_before.post("/devcontainers/z/start?wait").status,
        204
    );
    let calls = sandbox.read("calls/devcontainer");
    let config = sandbox.path("work/x/y/z/.devcontainer.json");
    assert!(
        calls.contains(&format!("--config {}", config.display())),
        "{calls}"
    );
    assert_eq!(daemon_before.json("/devcontainers/z")["status"], "running");
    // One without a container stays listed, as its configuration is there.
    assert_eq!(daemon_before.delete("/devcontainers/z").status, 204);
    assert_eq!(daemon_before.json("/devcontainers/z")["status"], "stopped");
    daemon_before
        .delete("/devcontainers/z?forget=true")
        .assert_error(409, "Devcontainer is defined elsewhere", "--discover");
    let ids = |daemon: &Daemon| -> Vec<Value> {
        let all = daemon.json("/devcontainers")["devcontainers"].clone();
        let all = all.as_array().unwrap().iter();
        all.map(|one| json!([one["id"], one["name"]])).collect()
    };
    let before = ids(&daemon_before);
    drop(daemon_before);
    assert_eq!(ids(&daemon(&sandbox, "")), before, "P4 and P21");
}

#[test]
fn p8_folders_are_found_when_they_come_and_go() {
    let sandbox = Sandbox::new();
    sandbox.workspace("a");
    let daemon = daemon(&sandbox, "--cache-duration 0");
    let (_, mut stream) = daemon.stream("GET", "/events", "");
    let snapshot = stream.json_line().unwrap();
    assert_eq!(snapshot["devcontainers"].as_array().unwrap().len(), 1);
    let mut next = |kind: &str| loop {
        let line = stream.json_line().unwrap();
        if line["type"] == kind {
            return line;
        }
    };
    let work = sandbox.path("work");
    for (code, name) in [
        (
            "mkdir -p b/.devcontainer; echo {} >b/.devcontainer/devcontainer.json",
            "b",
        ),
        ("mkdir -p n/m/c; echo {} >n/m/c/.devcontainer.json", "c"),
        (
            "mkdir ../new; echo {} >../new/.devcontainer.json; mv ../new d",
            "d",
        ),
        (
            "mkdir -p b/.devcontainer/py; echo {} >b/.devcontainer/py/devcontainer.json",
            "b-2",
        ),
    ] {
        sh(&work, code);
        assert_eq!(next("devcontainer")["name"], name, "{code}");
    }
    for code in [
        "rm b/.devcontainer/py/devcontainer.json",
        "rm -r n",
        "mv d .devcontainer/",
        "rm -r b/.devcontainer",
    ] {
        sh(&work, &format!("mkdir -p .devcontainer; {code}"));
        next("devcontainer_removed");
    }
    assert_eq!(
        configs(&daemon, &sandbox),
        ["a/.devcontainer/devcontainer.json"]
    );
    // One with a container stays as long as that is there.
    let folder = sandbox.workspace("a");
    sandbox.devcontainer_of(1, &folder);
    eventually("its container is listed", || {
        daemon.devcontainer().get("container").map(|_| ())
    });
    fs::remove_file(sandbox.config("a")).unwrap();
    eventually("its configuration is gone", || {
        let one = daemon.devcontainer();
        (one["dirty"] == true).then_some(())
    });
    assert_eq!(daemon.devcontainer()["running"], true);
}

#[test]
fn what_git_ignores_is_what_git_says() {
    let sandbox = Sandbox::new();
    let work = sandbox.path("work");
    let names = ["a", "b1", "build", "out", "keep", "x y", "vendor", ".cache"];
    for first in names {
        for second in names {
            sandbox.write(
                &format!("work/repo/{first}/{second}/.devcontainer.json"),
                "{}",
            );
        }
    }
    sandbox.write(
        "work/repo/.gitignore",
        "build/\n/out\na/b?\n!a/b1\n**/keep/a\nvendor/**\nx\\ y\n",
    );
    sandbox.write("work/repo/keep/.gitignore", "*\n!out/\n!.gitignore\n");
    sandbox.write("work/repo/b1/.gitignore", "!build\n/vendor\n[k]*p\n");
    sh(
        &work.join("repo"),
        "git init -q .; echo '.c*' >>.git/info/exclude",
    );
    let daemon = daemon(&sandbox, "");
    let found = configs(&daemon, &sandbox);
    let repository = work.join("repo");
    let mut expected = Vec::new();
    for first in names {
        for second in names {
            let folder = format!("{first}/{second}");
            let status = std::process::Command::new("git")
                .args(["check-ignore", "-q", "--no-index", &folder])
                .current_dir(&repository)
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .status();
            if !status.unwrap().success() {
                expected.push(format!("repo/{folder}/.devcontainer.json"));
            }
        }
    }
    expected.sort();
    let mut found_sorted = found.clone();
    found_sorted.sort();
    assert_eq!(found_sorted, expected);
    assert!((8..30).contains(&expected.len()), "{expected:?}");
    // An edit of an ignore file counts, too.
    fs::write(repository.join(".gitignore"), "*\n!keep\n").unwrap();
    let expected = ["repo/keep/out/.devcontainer.json"];
    until(
        &daemon,
        &sandbox,
        &expected,
        "the ignore file says something else",
    );
}

#[test]
fn p9_an_idle_daemon_searches_only_when_somebody_asks() {
    let sandbox = Sandbox::new();
    sandbox.workspace("a");
    let daemon = daemon(&sandbox, "");
    // One request is no interest.
    assert_eq!(configs(&daemon, &sandbox).len(), 1);
    let at_rest = || {
        eventually("it sleeps", || {
            let before = (daemon.watches(), switches(&daemon));
            std::thread::sleep(Duration::from_millis(200));
            let now = (daemon.watches(), switches(&daemon));
            (now == before && now.0 > 0).then_some(now.0)
        })
    };
    let watched = at_rest();
    sh(
        &sandbox.path("work"),
        "mkdir -p b/c; echo {} >b/.devcontainer.json",
    );
    assert_eq!(at_rest(), watched, "what has come is not looked at");
    assert_eq!(configs(&daemon, &sandbox).len(), 2);
    assert!(at_rest() > watched);
}

#[test]
fn a_directory_that_does_not_exist_yet_is_a_warning() {
    let sandbox = Sandbox::new();
    let later = sandbox.path("later");
    let flag = format!("--discover {}", later.display());
    let daemon = sandbox.daemon().args(&flag).start();
    let warnings = daemon.json("/")["warnings"].clone();
    let expected = format!("--discover {}: No such file or directory", later.display());
    assert!(
        warnings[0].as_str().unwrap().contains(&expected),
        "{warnings}"
    );
    sandbox.write("later/app/.devcontainer.json", "{}");
    eventually("it is there", || {
        let all = daemon.json("/devcontainers");
        (all["devcontainers"].as_array().unwrap().len() == 1).then_some(())
    });
    assert_eq!(daemon.json("/").get("warnings"), None);
    assert_eq!(daemon.log_count("No such file or directory"), 1);
}

#[test]
fn p18_what_is_found_is_trusted_no_more_than_a_label() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("open");
    sh(&folder, "chmod o+w .devcontainer");
    let outside = sandbox.write("outside.json", "{}");
    sandbox.write("work/linked/x", "");
    symlink(&outside, sandbox.path("work/linked/.devcontainer.json")).unwrap();
    let all = daemon(&sandbox, "");
    let start = |name: &str| all.post(&format!("/devcontainers/{name}/start?wait"));
    start("open").assert_error(
        403,
        "Workspace folder not allowed",
        "only --discover has found",
    );
    start("linked").assert_error(
        403,
        "Workspace folder not allowed",
        "not below the workspace folder",
    );
    drop(all);
    sandbox.workspace("root/app");
    let root = format!("--workspace-root {}", sandbox.path("work/root").display());
    let some = daemon(&sandbox, &root);
    assert_eq!(
        configs(&some, &sandbox),
        ["root/app/.devcontainer/devcontainer.json"]
    );
}

#[test]
fn p22_a_directory_that_does_not_answer_costs_what_is_in_it() {
    let sandbox = Sandbox::new();
    sandbox.workspace("near/app");
    let dead = sandbox.write("dead", "");
    let mount = sandbox.path("work/far");
    fs::create_dir(&mount).unwrap();
    let code = format!(
        "exec 7<>/dev/fuse; \
         mount -i -t fuse -o fd=7,rootmode=040000,user_id=0,group_id=0 dead '{0}'; \
         (while [ -e '{1}' ]; do sleep 0.05; done; umount -l '{0}') & \
         exec 7>&-",
        mount.display(),
        dead.display()
    );
    let flags = format!(
        "--discover {} --discover {}",
        sandbox.path("work").display(),
        mount.display()
    );
    let daemon = sandbox.daemon_in_namespaces(&code).args(&flags).start();
    // The search passes it by where it is on the way, and gives up where it was named.
    assert_eq!(
        configs(&daemon, &sandbox),
        ["near/app/.devcontainer/devcontainer.json"]
    );
    let warnings = daemon.json("/")["warnings"].to_string();
    assert!(
        warnings.contains("its file system does not answer"),
        "{warnings}"
    );
    sandbox.workspace("near/new");
    eventually("others are found", || {
        (configs(&daemon, &sandbox).len() == 2).then_some(())
    });
    fs::remove_file(&dead).unwrap();
    eventually("it answers again", || {
        let warnings = daemon.json("/").get("warnings").is_none();
        warnings.then_some(())
    });
}

#[test]
fn a_manifest_starts_its_dev_containers_when_the_daemon_starts() {
    let sandbox = Sandbox::new();
    let names = ["auto", "running", "other"];
    for name in names {
        sandbox.workspace(name);
    }
    sandbox.devcontainer_of(2, &sandbox.path("work/running"));
    let folder = |name: &str| sandbox.path(&format!("work/{name}"));
    let manifest = json!({"devcontainers": [
        {"workspace_folder": folder("auto"), "autostart": true},
        {"workspace_folder": folder("running"), "autostart": true},
        {"workspace_folder": folder("other"), "autostart": false},
    ]});
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    // docker is not there yet.
    sandbox.docker("[ -e $R/up ] || exit 1");
    let daemon = || {
        let flag = format!("--manifest {}", manifest.display());
        sandbox.daemon().args(&flag).start()
    };
    let first = daemon();
    first.log.wait_for("cannot be listed");
    sandbox.write("up", "");
    first.log.wait_for("for autostart: begins");
    eventually("it runs", || {
        (first.json("/devcontainers/auto")["job"]["state"] == "succeeded").then_some(())
    });
    let calls = || {
        let calls = sandbox.read("calls/devcontainer");
        let ups = calls.lines().filter(|call| call.starts_with("up "));
        ups.map(|call| names.map(|name| call.contains(&format!("work/{name} "))))
            .collect::<Vec<_>>()
    };
    assert_eq!(calls(), [[true, false, false]]);
    first.signal("HUP");
    first.log.wait_for("the manifest was read again");
    first.json("/devcontainers");
    drop(first);
    let second = daemon();
    second.json("/devcontainers");
    drop(second);
    assert_eq!(calls().len(), 1, "never where it runs, and not at a reload");
}
