//! A file system that does not answer costs its own dev containers only (P22).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::usage::AT_REST;
use crate::common::{Daemon, Sandbox, Stopwatch, eventually};
use serde_json::Value;

/// What the file on the mount holds.
const TOKEN: &str = "correct-horse-battery-staple";
/// How long a request may take that meets a dead file system for the first time: two listings and scans, on a machine
/// under load.
const FIRST: Duration = Duration::from_secs(60);

/// A sandbox with the dev containers `app` and `far`, of which the folder of `far` is in `work/mount`.
fn sandbox() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let app = sandbox.workspace("app");
    let far = sandbox.workspace("mount/far");
    sandbox.devcontainer_of(1, &app);
    sandbox.devcontainer_of(2, &far);
    sandbox.devcontainer("");
    (sandbox, far)
}

/// Starts the daemon where `work/mount` is a FUSE file system that answers nothing, as long as the file `dead` exists.
fn start_with_dead_mount(sandbox: &Sandbox, arguments: &str) -> Daemon {
    let dead = sandbox.write("dead", "");
    let mount = sandbox.path("work/mount");
    let (dead, mount) = (dead.display(), mount.display());
    // Whoever has the descriptor is the server of the file system.
    let code = format!(
        "exec 7<>/dev/fuse; \
         mount -i -t fuse -o fd=7,rootmode=040000,user_id=0,group_id=0 dead '{mount}'; \
         (while [ -e '{dead}' ]; do sleep 0.05; done; umount -l '{mount}') & \
         exec 7>&-"
    );
    sandbox.daemon_in_namespaces(&code).args(arguments).start()
}

fn devcontainer(daemon: &Daemon, name: &str) -> Value {
    daemon.json(&format!("/devcontainers/{name}"))
}

#[test]
fn p22_a_dead_file_system_costs_its_own_dev_containers_only() {
    let (sandbox, far) = sandbox();
    let mut daemon = start_with_dead_mount(&sandbox, "");
    let watch = Stopwatch::start();
    assert_eq!(daemon.get("/").status, 200);
    assert!(watch.elapsed() < FIRST);
    assert_eq!(daemon.get("/readyz").status, 200);
    assert_eq!(daemon.get("/healthz").status, 200);

    let expected = format!(
        "the file system of the workspace folder {} does not answer; check its mount, or the server or program behind \
         it; it is looked at again when it answers",
        far.display()
    );
    let shown = devcontainer(&daemon, "far");
    assert_eq!(shown["unchecked"], *expected, "{shown}");
    assert_eq!(shown["running"], true);
    let refused = daemon.post("/devcontainers/far/recreate?wait=true");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(
        refused.json()["message"],
        "Workspace folder does not answer"
    );
    assert_eq!(refused.json()["detail"], *expected);
    for (method, operation) in [("POST", "/start"), ("POST", "/stop"), ("DELETE", "")] {
        let path = format!("/devcontainers/far{operation}");
        assert_eq!(daemon.request(method, &path, "").status, 503, "{path}");
    }

    // Everything else goes on: other dev containers, streams, and the end of the daemon.
    assert!(devcontainer(&daemon, "app").get("unchecked").is_none());
    sandbox.write("work/app/.devcontainer/devcontainer.json", "{}");
    assert_eq!(devcontainer(&daemon, "app")["dirty"], true);
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(devcontainer(&daemon, "app")["dirty"], false);
    let (head, mut events) = daemon.stream("GET", "/events", "");
    assert_eq!(head.status, 200);
    assert_eq!(events.json_line().unwrap()["type"], "snapshot");
    daemon.signal("TERM");
    assert!(daemon.wait().success());
}

#[test]
fn p22_a_place_that_answers_again_is_checked_again() {
    let (sandbox, _) = sandbox();
    let daemon = start_with_dead_mount(&sandbox, "");
    let unchecked = |name: &str| devcontainer(&daemon, name).get("unchecked").cloned();
    assert!(unchecked("far").is_some());
    fs::remove_file(sandbox.path("dead")).unwrap();
    eventually("it is checked again", || {
        unchecked("far").is_none().then_some(())
    });
    sandbox.write("work/mount/far/.devcontainer/devcontainer.json", "{}");
    assert_eq!(devcontainer(&daemon, "far")["dirty"], true);
    assert_eq!(daemon.recreate("far").status, 204);
}

#[test]
fn p22_requests_that_meet_a_dead_file_system_hold_no_thread_each() {
    let (sandbox, _) = sandbox();
    let daemon = start_with_dead_mount(&sandbox, "");
    assert_eq!(daemon.get("/").status, 200);
    let threads = || {
        fs::read_dir(format!("/proc/{}/task", daemon.pid()))
            .unwrap()
            .count()
    };
    let before = threads();
    for _ in 0..50 {
        assert_eq!(daemon.get("/").status, 200);
        assert_eq!(daemon.post("/devcontainers/far/recreate").status, 503);
    }
    eventually("all but one or two threads are back", || {
        (threads() <= before + 2).then_some(())
    });
}

/// Starts the daemon in a directory that becomes a FUSE file system that answers nothing once the file `go` exists.
fn start_with_token_on_mount(sandbox: &Sandbox) -> Daemon {
    let dead = sandbox.write("dead", "");
    sandbox.replace("work/mount/token", TOKEN, 0o600);
    let mount = sandbox.path("work/mount");
    let (go, mounted) = (sandbox.path("go"), sandbox.path("mounted"));
    let code = format!(
        "(while [ ! -e '{go}' ]; do sleep 0.05; done; \
         exec 7<>/dev/fuse; \
         mount -i -t fuse -o fd=7,rootmode=040000,user_id=0,group_id=0 dead '{mount}'; \
         : >'{mounted}'; \
         while [ -e '{dead}' ]; do sleep 0.05; done; umount -l '{mount}') & :",
        go = go.display(),
        mounted = mounted.display(),
        dead = dead.display(),
        mount = mount.display(),
    );
    let token = mount.join("token");
    let daemon = sandbox.daemon_in_namespaces(&code);
    daemon
        .args("--token-file")
        .arg(token.to_str().unwrap())
        .start()
}

#[test]
fn p22_the_token_of_a_dead_file_system_stays_in_force() {
    let sandbox = Sandbox::with_app();
    fs::create_dir_all(sandbox.path("work/mount")).unwrap();
    let mut daemon = start_with_token_on_mount(&sandbox);
    let status = |token: &str| {
        let headers = format!("Authorization: Bearer {token}\r\n");
        daemon.request("GET", "/version", &headers).status
    };
    assert_eq!(status(TOKEN), 200);
    sandbox.write("go", "");
    eventually("it is mounted", || {
        sandbox.path("mounted").exists().then_some(())
    });
    // The file is looked at again after a second.
    std::thread::sleep(Duration::from_millis(1100));
    let watch = Stopwatch::start();
    for _ in 0..20 {
        assert_eq!(status(TOKEN), 200);
        assert_eq!(status("another-token-of-some-length"), 401);
    }
    assert!(watch.elapsed() < Duration::from_secs(5), "{watch:?}");
    daemon.log.wait_for("its file system does not answer");
    eventually("one thread more, or none, is there", || {
        (daemon.threads() <= AT_REST + 1).then_some(())
    });
    daemon.signal("HUP");
    daemon.log.wait_for("the manifest was read again");
    assert_eq!(status(TOKEN), 200);
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    assert_eq!(daemon.log_count("does not answer"), 1);
}

#[test]
fn p22_a_configuration_on_a_dead_mount_makes_no_folder_around_it_silent() {
    let (sandbox, far) = sandbox();
    let work = sandbox.path("work");
    for (number, folder) in [(3, work.as_path()), (4, Path::new("/"))] {
        let config = far.join("devcontainer.json");
        let container = sandbox.container(number).of(folder);
        let config = config.to_str().unwrap();
        container.label("devcontainer.config_file", config).save();
    }
    let daemon = start_with_dead_mount(&sandbox, "");
    for _ in 0..2 {
        let app = devcontainer(&daemon, "app");
        assert!(app.get("unchecked").is_none(), "{app}");
    }
    assert_eq!(daemon.recreate("app").status, 204);
}

#[test]
fn p22_a_dead_mount_behind_links_is_one_place() {
    let (sandbox, _) = sandbox();
    let link = sandbox.path("work/link");
    symlink(sandbox.path("work/mount"), &link).unwrap();
    for number in 0..20 {
        let folder = link.join(format!("p{number}"));
        sandbox.devcontainer_of(10 + number, &folder);
        let own = sandbox.path(&format!("work/q{number}"));
        symlink(sandbox.path("work/mount/q"), &own).unwrap();
        sandbox.devcontainer_of(40 + number, &own);
    }
    let daemon = start_with_dead_mount(&sandbox, "");
    for _ in 0..3 {
        let app = devcontainer(&daemon, "app");
        assert!(app.get("unchecked").is_none(), "{app}");
    }
    let left_behind = daemon.log_count("nothing is read there until it does");
    assert!(left_behind <= 3, "{left_behind}");
}

#[test]
fn p22_roots_and_predefined_folders_that_are_dead_do_not_keep_the_daemon_from_serving() {
    let (sandbox, _) = sandbox();
    let (link, app) = (sandbox.path("work/link"), sandbox.path("work/app"));
    symlink(sandbox.path("work/mount"), &link).unwrap();
    let own = sandbox.workspace("app/own");
    let (root, own) = (app.display(), own.display());
    let mut flags = format!("--workspace-root {root} --devcontainer-folder {own}");
    for number in 0..4 {
        let folder = link.join(format!("r{number}"));
        let folder = folder.display();
        flags += &format!(" --workspace-root {folder} --devcontainer-folder {folder}");
    }
    let watch = Stopwatch::start();
    let mut daemon = start_with_dead_mount(&sandbox, &flags);
    assert_eq!(daemon.get("/healthz").status, 200);
    assert!(watch.elapsed() < Duration::from_secs(15));
    let app = devcontainer(&daemon, "app");
    assert!(app.get("unchecked").is_none(), "{app}");
    eventually("what else is predefined comes into force", || {
        (daemon.get("/devcontainers/own").status == 200).then_some(())
    });
    daemon.signal("TERM");
    assert!(daemon.wait().success());
}

#[test]
fn p22_a_state_directory_that_is_dead_at_the_start_is_not_used() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer("");
    let state = sandbox.path("work/mount");
    fs::create_dir_all(&state).unwrap();
    let arguments = format!("--state-dir {}", state.display());
    let mut daemon = start_with_dead_mount(&sandbox, &arguments);
    let log = daemon.log.wait_for("the state directory cannot be used");
    let why = format!(
        "{}: no answer within 10 s; check its mount",
        state.display()
    );
    assert!(log.contains(&why), "{log}");
    assert_eq!(daemon.get("/").status, 200);
    assert_eq!(daemon.recreate("app").status, 204);
    daemon.signal("TERM");
    assert!(daemon.wait().success());
}

#[test]
fn p22_a_state_directory_that_dies_stops_no_operation() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer("");
    let state = sandbox.path("state/devcontainerd");
    fs::create_dir_all(&state).unwrap();
    let (root, state) = (sandbox.path(""), state.display());
    let root = root.display();
    let code = format!(
        "(cd '{root}'; while [ ! -e go ]; do sleep 0.05; done; exec 7<>/dev/fuse; \
          mount -i -t fuse -o fd=7,rootmode=040000,user_id=0,group_id=0 dead '{state}'; touch mounted; \
          while [ -e go ]; do sleep 0.05; done; umount -l '{state}') </dev/null >/dev/null 2>&1 & :"
    );
    let mut daemon = sandbox.daemon_in_namespaces(&code).start();
    assert_eq!(daemon.get("/").status, 200);
    sandbox.write("go", "");
    eventually("the file system is dead", || {
        sandbox.path("mounted").exists().then_some(())
    });
    for _ in 0..2 {
        assert_eq!(daemon.recreate("app").status, 204);
    }
    daemon.log.wait_for("the state directory does not answer");
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    fs::remove_file(sandbox.path("go")).unwrap();
}
