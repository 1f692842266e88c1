//! Labels, which are not trusted (P18).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::guard::RECREATE;
use crate::common::usage::PROMPT;
use crate::common::{Daemon, Sandbox, Stopwatch, eventually};
use inotify::{Inotify, WatchMask};

/// Adds a container with these labels, which any image can set.
fn label(sandbox: &Sandbox, number: u32, folder: &str, config: Option<&Path>) {
    let container = sandbox
        .container(number)
        .label("devcontainer.local_folder", folder)
        .created("2100-01-01T00:00:00Z");
    match config {
        Some(config) => container.label("devcontainer.config_file", config.to_str().unwrap()),
        None => container,
    }
    .save();
}

/// Asserts that the daemon answers at once, also where it reads the files, and does not grow.
#[track_caller]
fn assert_answers(daemon: &Daemon) {
    daemon.assert_prompt(&[200]);
    let fastest = (0..5).map(|_| {
        let begun = Stopwatch::start();
        assert_eq!(daemon.get("/devcontainers").status, 200);
        begun.elapsed()
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest < PROMPT, "{fastest:?}");
    let memory = daemon.status("VmHWM");
    assert!(memory < 64 << 10, "{memory} kB at its largest");
}

/// Asserts that the dev container of `box1` may not be recreated, by whichever path.
#[track_caller]
fn assert_not_allowed(sandbox: &Sandbox, daemon: &Daemon, detail: &str) {
    let refused = |path: &str| {
        let answer = daemon.post(path);
        answer.assert_error(403, "Workspace folder not allowed", detail);
    };
    refused(RECREATE);
    refused(&RECREATE.replace("box1", &crate::common::container_id(1)));
    let all = daemon.json("/devcontainers");
    for found in all["devcontainers"].as_array().unwrap() {
        let id = found["id"].as_str().unwrap();
        for query in ["", "?wait=true", "?follow=true"] {
            refused(&format!("/devcontainers/{id}/recreate{query}"));
        }
    }
    assert_answers(daemon);
    assert_eq!(sandbox.calls("devcontainer", ""), 0, "{detail}");
}

fn fifo(path: &Path) -> PathBuf {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
    path.to_path_buf()
}

#[test]
fn p18_folders_that_labels_may_not_name() {
    let sandbox = Sandbox::new();
    sandbox.workspace("app");
    let file = sandbox.write("work/file", "");
    let pipe = fifo(&sandbox.path("work/pipe"));
    let gone = sandbox.path("work/gone");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let absolute = "is not an absolute path";
    let existing = "is not an existing directory";
    for (folder, detail) in [
        ("work/app".into(), absolute),
        (".".into(), absolute),
        ("..".into(), absolute),
        ("".into(), absolute),
        ("-".into(), absolute),
        ("--help".into(), absolute),
        ("--workspace-folder=/".into(), absolute),
        ("-work/app".into(), absolute),
        (path(&gone), existing),
        (path(&sandbox.path("work/gone/../app/none")), existing),
        (path(&file), existing),
        (path(&pipe), existing),
        ("/dev/zero".into(), existing),
        ("/proc/self/fd/0".into(), existing),
        (format!("/{}", "x".repeat(5000)), existing),
        ("/$(touch x)`touch x`;touch x\n".into(), existing),
    ] {
        label(&sandbox, 1, &folder, None);
        let daemon = sandbox.daemon().start();
        if folder.is_empty() {
            let answer = daemon.post(RECREATE);
            assert!([400, 403].contains(&answer.status), "{answer:?}");
            assert_eq!(sandbox.calls("devcontainer", ""), 0);
            continue;
        }
        assert_not_allowed(&sandbox, &daemon, detail);
    }
}

#[test]
fn p18_only_folders_below_a_workspace_root() {
    let sandbox = Sandbox::new();
    let allowed = sandbox.workspace("root/app");
    sandbox.workspace("root2/app");
    sandbox.workspace("outside/app");
    let root = sandbox.path("work/root");
    symlink(sandbox.path("work/outside"), root.join("escape")).unwrap();
    symlink("../outside/app", root.join("relative")).unwrap();
    symlink("/", root.join("slash")).unwrap();
    let start = || {
        let root = root.to_str().unwrap();
        sandbox.daemon().args("--workspace-root").arg(root).start()
    };
    for folder in [
        "outside/app",
        "root2/app",
        "",
        "root/../outside/app",
        "root/escape/app",
        "root/escape",
        "root/relative",
        "root/relative/.devcontainer",
        "root/slash",
        "root/slash/tmp",
        "root/app/../../outside/app",
    ] {
        let folder = sandbox.path("work").join(folder);
        label(&sandbox, 1, folder.to_str().unwrap(), None);
        let daemon = start();
        assert_not_allowed(&sandbox, &daemon, "--workspace-root");
    }
    label(&sandbox, 1, allowed.to_str().unwrap(), None);
    let daemon = start();
    assert_eq!(daemon.post(RECREATE).status, 204);
    assert_eq!(sandbox.calls("devcontainer", "up"), 1);
}

#[test]
fn p18_configs_that_labels_may_not_name() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.workspace("app2");
    sandbox.write("outside/devcontainer.json", "{}");
    symlink(sandbox.path("outside"), folder.join("escape")).unwrap();
    symlink(sandbox.path("none"), folder.join("dangling")).unwrap();
    symlink("/dev/zero", folder.join("zero.json")).unwrap();
    let pipe = fifo(&sandbox.path("outside/pipe"));
    symlink(&pipe, folder.join("pipe.json")).unwrap();
    for config in [
        sandbox.path("outside/devcontainer.json"),
        sandbox.config("app2"),
        sandbox.path("outside/none.json"),
        folder.join("../../outside/devcontainer.json"),
        folder.join("escape/devcontainer.json"),
        folder.join("escape/none.json"),
        folder.join("zero.json"),
        folder.join("pipe.json"),
        "/dev/zero".into(),
        "/dev/stdin".into(),
        "/etc/passwd".into(),
        "/proc/self/environ".into(),
        pipe,
        "-config.json".into(),
        "--help".into(),
        ".devcontainer/devcontainer.json".into(),
    ] {
        label(&sandbox, 1, folder.to_str().unwrap(), Some(&config));
        let daemon = sandbox.daemon().start();
        assert_not_allowed(&sandbox, &daemon, "is not below the workspace folder");
    }
}

#[test]
fn p18_a_config_that_the_search_finds_may_not_lead_outside() {
    let sandbox = Sandbox::new();
    let outside = sandbox.write("outside/devcontainer.json", "{}");
    let folder = sandbox.path("work/app");
    fs::create_dir(&folder).unwrap();
    symlink(&outside, folder.join(".devcontainer.json")).unwrap();
    label(&sandbox, 1, folder.to_str().unwrap(), None);
    let daemon = sandbox.daemon().start();
    assert_not_allowed(&sandbox, &daemon, "is not below the workspace folder");
}

#[test]
fn p18_a_config_that_is_no_file_neither_hangs_nor_grows_the_daemon() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("work/app");
    fs::create_dir(&folder).unwrap();
    let pipe = fifo(&folder.join("pipe.json"));
    let directory = folder.join("directory.json");
    fs::create_dir(&directory).unwrap();
    // A sparse file.
    let huge = folder.join("huge.json");
    fs::File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    let dev = Path::new("/dev");
    for (folder, config) in [
        (&*folder, &*pipe),
        (&*folder, &*directory),
        (&*folder, &*huge),
        (dev, &dev.join("zero")),
        (dev, &dev.join("tty")),
        (dev, &dev.join("random")),
        (
            Path::new("/proc/self"),
            &PathBuf::from("/proc/self/fd/../pagemap"),
        ),
    ] {
        label(&sandbox, 1, folder.to_str().unwrap(), Some(config));
        let daemon = sandbox.daemon().start();
        assert_eq!(
            daemon.json("/devcontainers")["devcontainers"]
                .as_array()
                .unwrap()
                .len(),
            1,
            "{config:?}"
        );
        // The next request scans it again, together with the others.
        sandbox.container(2).save();
        assert_answers(&daemon);
        sandbox.remove_container(2);
    }
    // Its folder may be operated on, so that the CLI reports what is wrong with it.
    label(&sandbox, 1, folder.to_str().unwrap(), Some(&pipe));
    let daemon = sandbox.daemon().start();
    assert_eq!(daemon.post(RECREATE).status, 204);
    assert_answers(&daemon);
}

/// Watches which files of directories are opened.
struct Opened(Inotify);

impl Opened {
    fn watch(directories: &[PathBuf]) -> Self {
        let inotify = Inotify::init().unwrap();
        for directory in directories {
            let mask = WatchMask::OPEN | WatchMask::ACCESS;
            inotify.watches().add(directory, mask).unwrap();
        }
        Self(inotify)
    }

    fn names(&mut self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut buffer = [0; 4096];
        while let Ok(events) = self.0.read_events(&mut buffer) {
            let named = events.map(|event| event.name.unwrap_or_default());
            names.extend(named.map(|name| name.to_string_lossy().into_owned()));
        }
        names
    }
}

#[test]
fn p18_what_is_no_file_is_not_even_opened() {
    // To open some devices has an effect of its own.
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let pipe = fifo(&folder.join("pipe.json"));
    sandbox.devcontainer_of(1, &folder);
    label(&sandbox, 2, folder.to_str().unwrap(), Some(&pipe));
    let mut opened = Opened::watch(&[folder.clone(), folder.join(".devcontainer")]);
    let daemon = sandbox.daemon().start();
    let all = daemon.json("/devcontainers");
    assert_eq!(all["devcontainers"].as_array().unwrap().len(), 2);
    let mut seen = BTreeSet::new();
    eventually("the other config was read", || {
        seen.append(&mut opened.names());
        seen.contains("devcontainer.json").then_some(())
    });
    assert_answers(&daemon);
    seen.append(&mut opened.names());
    assert!(!seen.contains("pipe.json"), "{seen:?}");
}

#[test]
fn p18_no_file_outside_the_folder_is_opened() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let config = sandbox.config("app");
    let secret = sandbox.write("outside/secret.json", "{}");
    let key = sandbox.write("outside/key", "{}");
    sandbox.write("outside/other.json", "{}");
    let found = sandbox.write("outside/.devcontainer.json", "{}");
    let pipe = fifo(&sandbox.path("outside/pipe"));
    symlink(&key, folder.join("key.json")).unwrap();
    let outside = found.parent().unwrap().to_path_buf();
    let folder = folder.to_str().unwrap();
    for (number, config) in [
        (1, &secret),
        (2, &pipe),
        (3, &sandbox.path("work/app/key.json")),
        (4, &sandbox.path("work/app/../../outside/other.json")),
        (5, &config),
    ] {
        label(&sandbox, number, folder, Some(config));
    }
    // The search for a configuration would find one here, but the folder is not allowed.
    label(&sandbox, 6, outside.to_str().unwrap(), None);
    let mut opened = Opened::watch(std::slice::from_ref(&outside));
    let mut inside = Opened::watch(&[config.parent().unwrap().to_path_buf()]);
    let root = sandbox.path("work");
    let root = root.to_str().unwrap();
    let daemon = sandbox.daemon().args("--workspace-root").arg(root).start();
    let all = daemon.json("/devcontainers");
    assert_eq!(all["devcontainers"].as_array().unwrap().len(), 6);
    for number in [1, 2, 3, 4, 6] {
        let path = RECREATE.replace("box1", &format!("box{number}"));
        assert_eq!(daemon.post(&path).status, 403, "{number}");
    }
    // A change there does not make the daemon read it.
    let new = sandbox.path("outside/new");
    fs::rename(&secret, &new).unwrap();
    fs::rename(&new, &secret).unwrap();
    fs::write(&config, r#"{"image": "other"}"#).unwrap();
    eventually("the config that is inside was read", || {
        inside
            .names()
            .contains("devcontainer.json")
            .then_some(())
            .filter(|()| daemon.get("/devcontainers").body.contains("\"dirty\":true"))
    });
    assert_eq!(daemon.get("/devcontainers").status, 200);
    assert_eq!(opened.names(), BTreeSet::new());
    fs::read(&secret).unwrap();
    assert!(opened.names().contains("secret.json"), "it would be seen");
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}
