//! Which dev containers no longer match their configuration, as files change on disk.

use std::fs;
use std::path::Path;

use crate::common::{Daemon, Sandbox, eventually, sh};
use serde_json::{Value, json};

pub(super) const FIRST: &str = "{\n  // why\n  \"image\": \"base\",\n  \"name\": \"one\",\n}\n";
const SECOND: &str = "{\n  \"image\": \"base\",\n  \"name\": \"two\"\n}\n";

/// A sandbox with one dev container made from [`FIRST`], and its daemon.
pub(super) fn start() -> (Sandbox, Daemon) {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.write("work/app/.devcontainer/devcontainer.json", FIRST);
    sandbox.write("work/app/.devcontainer/other.json", SECOND);
    sandbox.devcontainer_of(1, &folder);
    make_old(&sandbox.config("app"));
    let daemon = sandbox.daemon().start();
    assert_eq!(daemon.changes(), json!([]));
    (sandbox, daemon)
}

fn make_old(path: &Path) {
    sh(
        path.parent().unwrap(),
        &format!("touch -d 2001-01-01 '{}'", path.display()),
    );
}

pub(super) fn modified() -> Value {
    json!([["devcontainer.json", "modified"]])
}

const NO_LONGER: &str = "no longer matches its configuration";
#[test]
fn p8_files_are_watched_from_the_start_before_any_request() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    eventually("the daemon watches", || {
        (daemon.watches() > 0).then_some(())
    });
    fs::write(sandbox.config("app"), SECOND).unwrap();
    let line = daemon.log.wait_for(NO_LONGER);
    let expected = format!(
        "dev container app {NO_LONGER}: {} changed",
        sandbox.config("app").display()
    );
    assert!(line.ends_with(&expected), "{line}");
}

#[test]
fn p5_touch_comments_and_format_do_not_make_it_dirty() {
    let (sandbox, daemon) = start();
    let config = sandbox.config("app");
    let directory = config.parent().unwrap();
    for harmless in [
        "touch devcontainer.json",
        "chmod 600 devcontainer.json",
        "cp -p devcontainer.json x; mv x devcontainer.json",
        "cat devcontainer.json >x; cat x >devcontainer.json",
        "sed -i 's/why/because/' devcontainer.json",
        "sed -i 's/$/\\r/' devcontainer.json",
        "printf '\\357\\273\\277{\"name\":\"one\",\\t\"image\":\"base\"}' >devcontainer.json",
        "printf '/* a */ {\"image\": /* b */ \"base\", \"name\":\"one\", } // c' >devcontainer.json",
        "mv devcontainer.json x; cp x y; mv y devcontainer.json",
        "touch unrelated.json; rm unrelated.json",
    ] {
        sh(directory, harmless);
        assert_eq!(daemon.changes(), json!([]), "{harmless}");
    }
}

#[test]
fn p5_git_checkout_away_and_back() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    fs::write(sandbox.config("app"), FIRST).unwrap();
    sh(
        &folder,
        "git init -q -b main; git config user.email a@b; git config user.name n; git config commit.gpgsign false
        git add .; git commit -qm one; git switch -qc two; echo '{\"image\":\"two\"}' >.devcontainer/devcontainer.json
        git commit -qam two; git switch -qc none; git rm -rq .devcontainer; git commit -qm none; git switch -q main",
    );
    make_old(&sandbox.config("app"));
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.daemon().start();
    for (code, expected) in [
        ("git status", json!([])),
        ("git switch -q two", modified()),
        ("git switch -q main", json!([])),
        (
            "git switch -q none",
            json!([["devcontainer.json", "removed"]]),
        ),
        ("git switch -q main", json!([])),
        ("echo x >.devcontainer/devcontainer.json", modified()),
        ("git restore .", json!([])),
        (
            "echo x >.devcontainer/devcontainer.json; git stash -q",
            json!([]),
        ),
        ("git stash pop -q", modified()),
        ("git checkout -q -- .", json!([])),
        ("git reset -q --hard two", modified()),
    ] {
        sh(&folder, code);
        assert_eq!(daemon.changes(), expected, "{code}");
    }
}

#[test]
fn p6_an_edit_during_the_build_leaves_it_dirty() {
    let (sandbox, daemon) = start();
    let config = sandbox.config("app");
    for edit_back in [false, true] {
        fs::write(&config, FIRST).unwrap();
        let after = if edit_back { FIRST } else { SECOND };
        sandbox.write("after", after);
        let [edited, seen] = ["edited", "seen"].map(|name| sandbox.path(name));
        sandbox.devcontainer(
            "cat ${config%/*}/other.json >$config; >$R/edited; while [ ! -e $R/seen ]; do sleep 0.02; done; cat $R/after >$config",
        );
        daemon.begin_recreate("app");
        eventually("it is edited", || edited.exists().then_some(()));
        assert_eq!(daemon.changes(), modified());
        fs::write(&seen, "").unwrap();
        eventually("it ends", || {
            (daemon.devcontainer()["job"]["state"] == "succeeded").then_some(())
        });
        // The CLI may have read either.
        let kind = if edit_back { "unknown" } else { "modified" };
        let expected = json!([["devcontainer.json", kind]]);
        assert_eq!(daemon.changes(), expected, "edit and undo: {edit_back}");
        fs::remove_file(edited).unwrap();
        fs::remove_file(seen).unwrap();
    }
    sandbox.devcontainer("");
    fs::write(&config, SECOND).unwrap();
    assert_eq!(daemon.changes(), modified());
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(daemon.changes(), json!([]), "made from what is there");
    fs::write(&config, FIRST).unwrap();
    assert_eq!(daemon.changes(), modified());
}

#[test]
fn p6_an_edit_between_the_container_and_the_end_of_the_cli_leaves_it_dirty() {
    let sandbox = Sandbox::with_app();
    // The CLI waits once it has made the container, so that a listing sees that before the operation ends.
    sandbox.hook(
        "devcontainer-made",
        ">$R/made; while [ ! -e $R/go ]; do sleep 0.02; done",
    );
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    daemon.begin_recreate("app");
    eventually("it is made", || sandbox.path("made").exists().then_some(()));
    assert_eq!(daemon.devcontainer()["container"]["name"], "made");
    assert_eq!(daemon.changes(), json!([]));
    fs::write(sandbox.config("app"), SECOND).unwrap();
    assert_eq!(daemon.changes(), modified());
    sandbox.write("go", "");
    daemon.log.wait_for("recreate succeeded");
    assert_eq!(daemon.changes(), modified());
}

#[test]
fn an_edit_before_a_failed_recreate_stays_a_change() {
    let (sandbox, daemon) = start();
    fs::write(sandbox.config("app"), SECOND).unwrap();
    sandbox.devcontainer("exit 1");
    assert_eq!(daemon.recreate("app").status, 500);
    assert_eq!(daemon.changes(), modified());
}

#[test]
fn a_file_younger_than_a_container_first_seen_is_a_change_of_unknown_kind() {
    let sandbox = Sandbox::with_app();
    fs::write(sandbox.config("app"), SECOND).unwrap();
    let daemon = sandbox.daemon().start();
    assert_eq!(daemon.changes(), json!([["devcontainer.json", "unknown"]]));
    daemon.log.wait_for(NO_LONGER);
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(daemon.changes(), json!([]));
}

#[test]
fn a_config_that_is_missing_at_first_and_appears_is_created() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    fs::remove_dir_all(folder.join(".devcontainer")).unwrap();
    let daemon = sandbox.daemon().start();
    assert_eq!(daemon.changes(), json!([]));
    sandbox.write("work/app/.devcontainer/devcontainer.json", FIRST);
    assert_eq!(daemon.changes(), json!([["devcontainer.json", "created"]]));
    fs::remove_file(sandbox.config("app")).unwrap();
    assert_eq!(daemon.changes(), json!([]));
    fs::create_dir(sandbox.config("app")).unwrap();
    assert_eq!(daemon.changes(), json!([["devcontainer.json", "unknown"]]));
    fs::remove_dir(sandbox.config("app")).unwrap();
    sh(&folder, "mkfifo .devcontainer/devcontainer.json");
    assert_eq!(
        daemon.changes(),
        json!([["devcontainer.json", "unknown"]]),
        "and no request hangs"
    );
}

#[test]
fn p5_a_writer_that_never_rests_leaves_the_right_answer() {
    let (sandbox, daemon) = start();
    let config = sandbox.config("app");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..500 {
                fs::write(&config, if round % 2 == 0 { SECOND } else { FIRST }).unwrap();
            }
            fs::write(&config, SECOND).unwrap();
        });
        while !writer.is_finished() {
            daemon.devcontainer();
        }
    });
    assert_eq!(daemon.changes(), modified());
    fs::write(&config, FIRST).unwrap();
    assert_eq!(daemon.changes(), json!([]));
}

#[test]
fn a_container_made_by_hand_is_compared_with_what_was_there_after_it_was_made() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert_eq!(daemon.changes(), json!([]));
    fs::write(sandbox.config("app"), SECOND).unwrap();
    assert_eq!(daemon.changes(), modified());
    sandbox.remove_container(1);
    sandbox.devcontainer_made(2, &folder, "2999-01-01T00:00:00Z");
    assert_eq!(daemon.changes(), json!([]));
    fs::write(sandbox.config("app"), FIRST).unwrap();
    assert_eq!(daemon.changes(), modified());
}
