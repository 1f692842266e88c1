//! Which dev containers no longer match their configuration, as files change on disk.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Daemon, Sandbox, eventually};
use serde_json::{Value, json};

const FIRST: &str = "{\n  // why\n  \"image\": \"base\",\n  \"name\": \"one\",\n}\n";
const SECOND: &str = "{\n  \"image\": \"base\",\n  \"name\": \"two\"\n}\n";
/// What notices a change is allowed, and as much again for the test on a busy machine.
const NOTICED: Duration = Duration::from_millis(400);

/// A sandbox with one dev container made from [`FIRST`], and its daemon.
fn start() -> (Sandbox, Daemon) {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.write("work/app/.devcontainer/devcontainer.json", FIRST);
    sandbox.write("work/app/.devcontainer/other.json", SECOND);
    sandbox.devcontainer_of(1, &folder);
    make_old(&sandbox.config("app"));
    let daemon = sandbox.daemon().start();
    assert_eq!(changes(&daemon), json!([]));
    (sandbox, daemon)
}

fn make_old(path: &Path) {
    sh(
        path.parent().unwrap(),
        &format!("touch -d 2001-01-01 '{}'", path.display()),
    );
}

/// Runs shell code in a directory.
#[track_caller]
fn sh(directory: &Path, code: &str) {
    let output = Command::new("sh")
        .args(["-ec", code])
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{code}: {output:?}");
}

/// What the first request is told, as `[file name, change]`.
#[track_caller]
fn changes(daemon: &Daemon) -> Value {
    let one = daemon.devcontainer();
    let changes = one["changes"].as_array().cloned().unwrap_or_default();
    assert_eq!(one["dirty"], !changes.is_empty(), "{one}");
    assert_eq!(one["container"]["devcontainer_dirty"], one["dirty"]);
    let short = |c: &Value| {
        let path = Path::new(c["path"].as_str().unwrap()).file_name().unwrap();
        json!([path.to_str().unwrap(), c["change"]])
    };
    changes.iter().map(short).collect()
}

fn modified() -> Value {
    json!([["devcontainer.json", "modified"]])
}

/// How often the log has said this.
fn said(daemon: &Daemon, text: &str) -> usize {
    let lines = daemon.log.lines();
    lines.iter().filter(|line| line.contains(text)).count()
}

const NO_LONGER: &str = "no longer matches its configuration";
const AGAIN: &str = "dev container app matches its configuration";

/// Waits until the log has said this once more, without any request.
#[track_caller]
fn noticed(daemon: &Daemon, text: &str, before: usize, how: &str) {
    let begun = Instant::now();
    eventually(how, || (said(daemon, text) > before).then_some(()));
    assert!(begun.elapsed() < NOTICED, "{how}: {:?}", begun.elapsed());
}

/// Each changes the configuration to [`SECOND`], and in the end back to [`FIRST`].
const WAYS: [(&str, &str); 12] = [
    (">", "cat other.json >devcontainer.json"),
    (
        "truncate and >>",
        ": >devcontainer.json; cat other.json >>devcontainer.json",
    ),
    ("sed -i", "sed -i 's/one/two/' devcontainer.json"),
    ("mv over", "cp other.json new; mv new devcontainer.json"),
    ("cp over", "cp other.json devcontainer.json"),
    ("install", "install -m 644 other.json devcontainer.json"),
    (
        "rm and create",
        "rm devcontainer.json; cat other.json >devcontainer.json",
    ),
    ("dd", "dd if=other.json of=devcontainer.json status=none"),
    ("ln", "ln -f other.json devcontainer.json"),
    ("ln -s", "ln -sf other.json devcontainer.json"),
    (
        "ex",
        "command -v ex >/dev/null || exit 0; ex -s -c '%s/one/two/' -c wq devcontainer.json",
    ),
    (
        "vim",
        "command -v vim >/dev/null || exit 0; vim -u NONE -es -c 'set backup writebackup backupcopy=no' -c '%s/one/two/' -c wq devcontainer.json",
    ),
];

#[test]
fn p5_every_way_of_saving_is_seen_by_the_first_request_after_it() {
    let (sandbox, daemon) = start();
    let config = sandbox.config("app");
    let directory = config.parent().unwrap();
    for (way, code) in WAYS {
        sh(directory, code);
        let expected = if fs::read_to_string(&config).unwrap().contains("two") {
            modified()
        } else {
            json!([])
        };
        assert_eq!(changes(&daemon), expected, "{way}");
        sh(directory, "rm -f devcontainer.json");
        assert_eq!(
            changes(&daemon),
            json!([["devcontainer.json", "removed"]]),
            "{way}"
        );
        fs::write(&config, FIRST).unwrap();
        assert_eq!(changes(&daemon), json!([]), "undone after {way}");
    }
}

#[test]
fn p8_every_way_of_saving_is_noticed_without_a_request() {
    let (sandbox, daemon) = start();
    let config = sandbox.config("app");
    let directory = config.parent().unwrap();
    for (way, code) in WAYS {
        let (no_longer, again) = (said(&daemon, NO_LONGER), said(&daemon, AGAIN));
        sh(directory, code);
        if !fs::read_to_string(&config).unwrap().contains("two") {
            continue;
        }
        noticed(&daemon, NO_LONGER, no_longer, way);
        sh(directory, "rm -f devcontainer.json");
        fs::write(&config, FIRST).unwrap();
        noticed(&daemon, AGAIN, again, way);
    }
}

#[test]
fn p8_files_are_watched_from_the_start_before_any_request() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.daemon().start();
    eventually("the daemon watches", || {
        let fds = fs::read_dir(format!("/proc/{}/fdinfo", daemon.pid())).unwrap();
        let infos = fds
            .flatten()
            .filter_map(|fd| fs::read_to_string(fd.path()).ok());
        let watches = infos.filter(|info| info.contains("inotify wd:"));
        (watches.count() > 0).then_some(())
    });
    fs::write(sandbox.config("app"), SECOND).unwrap();
    noticed(&daemon, NO_LONGER, 0, ">");
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
        assert_eq!(changes(&daemon), json!([]), "{harmless}");
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
        assert_eq!(changes(&daemon), expected, "{code}");
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
        sandbox.devcontainer(
            "sleep 0.05; cat ${config%/*}/other.json >$config; sleep 0.05; cat $R/after >$config",
        );
        assert_eq!(daemon.recreate("app").status, 204);
        let expected = if edit_back { json!([]) } else { modified() };
        assert_eq!(changes(&daemon), expected, "edit and undo: {edit_back}");
    }
    sandbox.devcontainer("");
    fs::write(&config, SECOND).unwrap();
    assert_eq!(changes(&daemon), modified());
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(changes(&daemon), json!([]), "made from what is there");
    fs::write(&config, FIRST).unwrap();
    assert_eq!(changes(&daemon), modified());
}

#[test]
fn p6_an_edit_between_the_container_and_the_end_of_the_cli_leaves_it_dirty() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    // It waits after it has made the container, so that a listing sees it before the operation ends.
    let path = sandbox.path("bin/devcontainer");
    let code = fs::read_to_string(&path).unwrap().replace(
        "echo '{\"type\"",
        ">$R/made; while [ ! -e $R/go ]; do sleep 0.02; done\necho '{\"type\"",
    );
    fs::write(&path, code).unwrap();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    daemon.begin_recreate("app");
    eventually("it is made", || sandbox.path("made").exists().then_some(()));
    assert_eq!(daemon.devcontainer()["container"]["name"], "made");
    assert_eq!(changes(&daemon), json!([]));
    fs::write(sandbox.config("app"), SECOND).unwrap();
    assert_eq!(changes(&daemon), modified());
    sandbox.write("go", "");
    daemon.log.wait_for("recreate succeeded");
    assert_eq!(changes(&daemon), modified());
}

#[test]
fn an_edit_before_a_failed_recreate_stays_a_change() {
    let (sandbox, daemon) = start();
    fs::write(sandbox.config("app"), SECOND).unwrap();
    sandbox.devcontainer("exit 1");
    assert_eq!(daemon.recreate("app").status, 500);
    assert_eq!(changes(&daemon), modified());
}

#[test]
fn a_file_younger_than_a_container_first_seen_is_a_change_of_unknown_kind() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    fs::write(sandbox.config("app"), SECOND).unwrap();
    let daemon = sandbox.daemon().start();
    assert_eq!(changes(&daemon), json!([["devcontainer.json", "unknown"]]));
    daemon.log.wait_for(NO_LONGER);
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(changes(&daemon), json!([]));
}

#[test]
fn a_config_that_is_missing_at_first_and_appears_is_created() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    fs::remove_dir_all(folder.join(".devcontainer")).unwrap();
    let daemon = sandbox.daemon().start();
    assert_eq!(changes(&daemon), json!([]));
    sandbox.write("work/app/.devcontainer/devcontainer.json", FIRST);
    assert_eq!(changes(&daemon), json!([["devcontainer.json", "created"]]));
    fs::remove_file(sandbox.config("app")).unwrap();
    assert_eq!(changes(&daemon), json!([]));
    fs::create_dir(sandbox.config("app")).unwrap();
    assert_eq!(changes(&daemon), json!([["devcontainer.json", "unknown"]]));
    fs::remove_dir(sandbox.config("app")).unwrap();
    sh(&folder, "mkfifo .devcontainer/devcontainer.json");
    assert_eq!(
        changes(&daemon),
        json!([["devcontainer.json", "unknown"]]),
        "and nobody waits"
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
    assert_eq!(changes(&daemon), modified());
    fs::write(&config, FIRST).unwrap();
    assert_eq!(changes(&daemon), json!([]));
}
