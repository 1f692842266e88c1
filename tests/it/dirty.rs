//! Which dev containers no longer match their configuration, as files change on disk.

use std::fs;
use std::path::Path;

use crate::common::{Daemon, Sandbox, eventually, sh};
use serde_json::{Value, json};

const FIRST: &str = "{\n  // why\n  \"image\": \"base\",\n  \"name\": \"one\",\n}\n";
const SECOND: &str = "{\n  \"image\": \"base\",\n  \"name\": \"two\"\n}\n";

/// A sandbox with one dev container made from [`FIRST`], and its daemon.
fn start() -> (Sandbox, Daemon) {
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

fn modified() -> Value {
    json!([["devcontainer.json", "modified"]])
}

const NO_LONGER: &str = "no longer matches its configuration";
#[test]
fn p8_files_are_watched_from_the_start_before_any_request() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
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
        sandbox.devcontainer(
            "sleep 0.05; cat ${config%/*}/other.json >$config; sleep 0.05; cat $R/after >$config",
        );
        assert_eq!(daemon.recreate("app").status, 204);
        let expected = if edit_back { json!([]) } else { modified() };
        assert_eq!(daemon.changes(), expected, "edit and undo: {edit_back}");
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
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
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
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
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
