//! The state that outlives a restart (P7), and state directories that cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::common::{Daemon, DaemonBuilder, Sandbox, container_id, eventually, sh};
use serde_json::{Value, json};

const FIRST: &str = r#"{"dockerFile": "Dockerfile", "name": "one"}"#;
const SECOND: &str = r#"{"dockerFile": "Dockerfile", "name": "two"}"#;

/// A sandbox with a dev container that was made from the files on disk, and its folder.
fn sandbox() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    fs::write(sandbox.config("app"), FIRST).unwrap();
    sandbox.write("work/app/.devcontainer/Dockerfile", "one");
    sh(&folder, "find . -exec touch -d 2001-01-01 {} +");
    sandbox.devcontainer_of(1, &folder);
    (sandbox, folder)
}

fn state_file(sandbox: &Sandbox) -> PathBuf {
    sandbox.state_home().join("devcontainerd/state.json")
}

/// Waits until the state file has baselines, and returns its content.
fn written(sandbox: &Sandbox) -> Value {
    eventually("baselines are written down", || {
        let text = fs::read(state_file(sandbox)).ok()?;
        let state: Value = serde_json::from_slice(&text).unwrap();
        let baselines = state["baselines"].as_object()?;
        (!baselines.is_empty()).then_some(state)
    })
}

fn modified(names: &[&str]) -> Value {
    names.iter().map(|name| json!([name, "modified"])).collect()
}

#[test]
fn p7_an_edit_while_the_daemon_was_down_is_found() {
    for ends in ["TERM", "KILL"] {
        let (sandbox, folder) = sandbox();
        let mut daemon = sandbox.daemon().start();
        assert_eq!(daemon.changes(), json!([]));
        written(&sandbox);
        daemon.signal(ends);
        daemon.wait();
        fs::write(sandbox.config("app"), SECOND).unwrap();
        // Its modification time shows nothing.
        sh(
            &folder,
            "cd .devcontainer; echo two >Dockerfile; touch -d 2001-01-01 Dockerfile",
        );
        let daemon = sandbox.daemon().start();
        assert_eq!(
            daemon.changes(),
            modified(&["Dockerfile", "devcontainer.json"]),
            "{ends}"
        );
        fs::write(sandbox.config("app"), FIRST).unwrap();
        fs::write(folder.join(".devcontainer/Dockerfile"), "one").unwrap();
        assert_eq!(daemon.changes(), json!([]), "undone");
    }
}

#[test]
fn p7_what_an_operation_made_is_compared_with_what_it_was_made_from_after_a_restart() {
    let (sandbox, _) = sandbox();
    let mut daemon = sandbox.daemon().start();
    sandbox.devcontainer(&format!("echo '{SECOND}' >$config"));
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(daemon.changes(), modified(&["devcontainer.json"]));
    daemon.signal("TERM");
    daemon.wait();
    let daemon = sandbox.daemon().start();
    assert_eq!(daemon.changes(), modified(&["devcontainer.json"]));
}

#[test]
fn p7_a_container_that_another_context_hides_is_compared_with_what_it_was_made_from() {
    let (sandbox, folder) = sandbox();
    let mut daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert_eq!(daemon.changes(), json!([]));
    written(&sandbox);
    sandbox.remove_container(1);
    daemon.json("/");
    eventually("the file says since when it is missing", || {
        let missing = &written(&sandbox)["missing"][container_id(1)];
        missing.is_string().then_some(())
    });
    daemon.signal("KILL");
    daemon.wait();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    fs::write(sandbox.config("app"), SECOND).unwrap();
    sandbox.devcontainer_of(1, &folder);
    assert_eq!(daemon.changes(), modified(&["devcontainer.json"]));
    fs::write(sandbox.config("app"), FIRST).unwrap();
    assert_eq!(daemon.changes(), json!([]), "undone");
}

#[test]
fn p21_a_name_means_the_same_dev_container_after_a_restart() {
    let sandbox = Sandbox::new();
    let [x, y, z] = ["x/proj", "y/proj", "z/proj"].map(|name| sandbox.workspace(name));
    sandbox.devcontainer_of(1, &y);
    let mut daemon = sandbox.daemon().args("--cache-duration 0").start();
    let folder_of = |daemon: &Daemon, name: &str| {
        let one = daemon.json(&format!("/devcontainers/{name}"));
        PathBuf::from(one["workspace_folder"].as_str().unwrap())
    };
    assert_eq!(folder_of(&daemon, "proj"), y);
    sandbox.devcontainer_of(2, &x);
    assert_eq!(folder_of(&daemon, "x-proj"), x);
    eventually("the names are written down", || {
        (written(&sandbox)["names"].as_array()?.len() == 2).then_some(())
    });
    daemon.signal("KILL");
    daemon.wait();
    sandbox.remove_container(1);
    fs::remove_dir_all(&y).unwrap();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert_eq!(folder_of(&daemon, "x-proj"), x);
    assert_eq!(daemon.get("/devcontainers/proj").status, 404);
    sandbox.devcontainer_of(3, &z);
    assert_eq!(
        folder_of(&daemon, "proj"),
        z,
        "its owner is gone altogether"
    );
}

#[test]
fn p7_nothing_is_written_while_nothing_is_new() {
    let (sandbox, _) = sandbox();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    written(&sandbox);
    fs::write(state_file(&sandbox), "{}").unwrap();
    for _ in 0..5 {
        daemon.json("/");
    }
    assert_eq!(fs::read_to_string(state_file(&sandbox)).unwrap(), "{}");
}

#[test]
fn p7_a_file_that_cannot_be_used_is_set_aside_with_a_warning() {
    for (text, why) in [
        ("", "EOF while parsing"),
        (r#"{"version":2,"operations":[],"base"#, "EOF while parsing"),
        (
            r#"{"version":0,"operations":[]}"#,
            "it has version 0, not 1 to 5",
        ),
        ("not ours", "expected"),
    ] {
        let (sandbox, _) = sandbox();
        let path = state_file(&sandbox);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let daemon = sandbox.daemon().start();
        let line = daemon.log.wait_for("cannot be used");
        assert!(line.contains(why), "{line}");
        assert_eq!(daemon.changes(), json!([]));
        written(&sandbox);
        let kept = fs::read_dir(path.parent().unwrap()).unwrap().flatten();
        let mut kept =
            kept.filter(|file| file.path().extension().is_some_and(|e| e == "unreadable"));
        assert_eq!(
            fs::read_to_string(kept.next().unwrap().path()).unwrap(),
            text
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

#[test]
fn p7_a_file_of_a_newer_daemon_stays_until_that_one_runs_again() {
    let (sandbox, _) = sandbox();
    let path = state_file(&sandbox);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let newer = r#"{"version":6,"operations":{"of":"the future"}}"#;
    fs::write(&path, newer).unwrap();
    let mut daemon = sandbox.daemon().start();
    let line = daemon.log.wait_for("is of a newer devcontainerd");
    for part in [
        path.to_str().unwrap(),
        "it has version 6, not 1 to 5",
        "it is left as it is, and nothing will outlive a restart",
        "start the newer one again",
        "--state-dir",
    ] {
        assert!(line.contains(part), "{line}");
    }
    serves(&sandbox, &daemon);
    daemon.signal("TERM");
    daemon.wait();
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    let files = fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(files.count(), 1);
}

#[test]
fn p7_a_file_of_every_version_is_read_and_written_as_the_newest() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/state");
    for fixture in fs::read_dir(fixtures).unwrap() {
        let fixture = fixture.unwrap().path();
        let (sandbox, folder) = sandbox();
        let path = state_file(&sandbox);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = fs::read_to_string(&fixture).unwrap();
        let text = text.replace("/srv/fixture/project", folder.to_str().unwrap());
        fs::write(path, text).unwrap();
        let daemon = sandbox.daemon().start();
        // It may have got another name.
        let all = daemon.json("/devcontainers")["devcontainers"].clone();
        let mut all = all.as_array().unwrap().iter();
        let of_folder = all.find(|one| one["workspace_folder"] == folder.to_str().unwrap());
        let job = &of_folder.unwrap()["job"];
        assert_eq!(job["state"], "failed", "{}", fixture.display());
        eventually("it is saved again", || {
            (written(&sandbox)["version"] == 5).then_some(())
        });
        assert_eq!(
            daemon.log_count("cannot be used"),
            0,
            "{}",
            fixture.display()
        );
    }
}

#[test]
fn p7_of_two_daemons_with_one_directory_the_second_says_so_and_goes_on() {
    let (sandbox, _) = sandbox();
    let first = sandbox.daemon().start();
    first.json("/");
    let before = written(&sandbox);
    let second = sandbox.daemon().start();
    let line = second
        .log
        .wait_for("another devcontainerd uses the state directory");
    assert!(line.contains("--state-dir"), "{line}");
    assert_eq!(second.changes(), json!([]));
    fs::write(sandbox.config("app"), SECOND).unwrap();
    for daemon in [&first, &second] {
        assert_eq!(daemon.changes(), modified(&["devcontainer.json"]));
    }
    assert_eq!(second.recreate("app").status, 204);
    assert_eq!(second.changes(), json!([]));
    assert_eq!(written(&sandbox), before);
}

/// A daemon whose state directory is on a file system that `mount` brings.
fn with_mount(sandbox: &Sandbox, mount: &str) -> DaemonBuilder {
    let directory = sandbox.state_home();
    fs::create_dir_all(&directory).unwrap();
    let mount = mount.replace("DIR", directory.to_str().unwrap());
    sandbox.daemon_in_namespaces(&mount)
}

/// Asserts that the daemon serves and detects changes.
fn serves(sandbox: &Sandbox, daemon: &Daemon) {
    assert_eq!(daemon.changes(), json!([]));
    fs::write(sandbox.config("app"), SECOND).unwrap();
    assert_eq!(daemon.changes(), modified(&["devcontainer.json"]));
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(daemon.changes(), json!([]));
}

#[test]
fn p7_a_read_only_directory_is_said_once() {
    let (sandbox, _) = sandbox();
    let mount = "mount --bind DIR DIR; mount -o remount,bind,ro DIR";
    let daemon = with_mount(&sandbox, mount).start();
    let line = daemon.log.wait_for("nothing will outlive a restart");
    assert!(
        line.contains("Read-only file system") && line.contains("--state-dir"),
        "{line}"
    );
    serves(&sandbox, &daemon);
    assert_eq!(daemon.log_count("restart"), 1);
}

#[test]
fn p7_a_full_disk_leaves_the_file_of_before_and_is_tried_again() {
    let (sandbox, _) = sandbox();
    // There is room for one page: for the file, but not for a second file.
    let daemon = with_mount(&sandbox, "mount -t tmpfs -o size=4k none DIR");
    let daemon = daemon.args("--cache-duration 0").start();
    serves(&sandbox, &daemon);
    let line = daemon.log.wait_for("cannot be written");
    assert!(line.contains("No space left on device"), "{line}");
    let inside = PathBuf::from(format!("/proc/{}/root", daemon.pid()));
    let path = inside.join(state_file(&sandbox).strip_prefix("/").unwrap());
    let state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(state["version"], 5);
    assert_eq!(daemon.log_count("cannot be written"), 1, "it is said once");
    let grown = format!(
        "mount -o remount,size=1m '{}'",
        sandbox.state_home().display()
    );
    daemon.enter(&grown);
    // The file is written again at the next listing.
    let made = container_id(1001);
    eventually("the newest is written after all", || {
        daemon.json("/");
        let state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        state["baselines"].get(&made).map(drop)
    });
}

#[test]
fn p7_what_a_request_finds_out_is_written_down_too() {
    let (sandbox, folder) = sandbox();
    let away = sandbox.path("away");
    fs::rename(&folder, &away).unwrap();
    let mut daemon = sandbox.daemon().start();
    assert_eq!(daemon.changes(), json!([]), "nothing is known of it");
    // The folder was mounted late; its files are older than the container.
    fs::rename(&away, &folder).unwrap();
    assert_eq!(daemon.changes(), json!([]));
    eventually("it is written down without another listing", || {
        let state: Value = serde_json::from_slice(&fs::read(state_file(&sandbox)).ok()?).ok()?;
        let baseline = state["baselines"][container_id(1)].as_object()?;
        let word = baseline["inputs"].get("Dockerfile")?.as_str()?;
        (word.len() == 36).then_some(())
    });
    assert_eq!(sandbox.calls("docker", "ps"), 1);
    daemon.signal("KILL");
    daemon.wait();
    sh(
        &folder,
        "cd .devcontainer; echo two >Dockerfile; touch -d 2001-01-01 Dockerfile",
    );
    let daemon = sandbox.daemon().start();
    assert_eq!(daemon.changes(), modified(&["Dockerfile"]));
}

#[test]
fn p7_what_is_no_file_holds_nobody_up() {
    for code in [
        "mkfifo state.json",
        "ln -s /dev/zero state.json",
        "mkdir state.json",
        "mknod state.json c 1 5",
    ] {
        let (sandbox, _) = sandbox();
        let path = state_file(&sandbox);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        sh(path.parent().unwrap(), code);
        let daemon = sandbox.daemon().start();
        daemon.log.wait_for("cannot be used");
        assert_eq!(daemon.changes(), json!([]), "{code}");
        written(&sandbox);
    }
}

#[test]
fn without_a_state_directory_it_comes_to_rest() {
    let (sandbox, _) = sandbox();
    let daemon = sandbox.daemon().env("XDG_STATE_HOME", "/dev/null").start();
    assert_eq!(daemon.changes(), json!([]));
    let time = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        ticks
            .map(|ticks| ticks.parse::<u32>().unwrap())
            .sum::<u32>()
    };
    eventually("nothing is tried over and over", || {
        let before = time();
        std::thread::sleep(std::time::Duration::from_millis(300));
        (time() == before).then_some(())
    });
}
