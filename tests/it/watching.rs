//! Changes of files that the watcher notices without a request, also where directories come and go.

use crate::common::usage::AT_REST;
use crate::common::{Daemon, Sandbox, eventually};
use std::fs;
use std::process::Command;

const MADE_FROM: &str = r#"{"image": "base", "containerEnv": {"NAME": "one"}}"#;
const EDIT: &str = "sed -i s/one/two/ devcontainer.json";
const DIRTY: &str = "app no longer matches its configuration";
const CLEAN: &str = "app matches its configuration";

/// A dev container that was made from the files on disk.
struct App {
    sandbox: Sandbox,
}

impl App {
    fn new() -> Self {
        let sandbox = Sandbox::with_app_of(MADE_FROM);
        Self { sandbox }
    }

    /// A daemon that has listed it.
    #[track_caller]
    fn daemon(&self) -> Daemon {
        let daemon = self.sandbox.daemon().start();
        assert_eq!(daemon.devcontainer()["dirty"], false, "at first");
        daemon
    }

    /// Runs shell code in the directory of the configuration.
    #[track_caller]
    fn sh(&self, code: &str) {
        self.sh_in(".devcontainer", code);
    }

    /// Runs shell code in a directory of the workspace folder.
    #[track_caller]
    fn sh_in(&self, directory: &str, code: &str) {
        let status = Command::new("/bin/sh")
            .args(["-ec", code])
            .current_dir(self.sandbox.path("work/app").join(directory))
            .env("MADE_FROM", MADE_FROM)
            .status();
        assert!(status.unwrap().success(), "{code}");
    }
}

/// Waits until it watches all that it needs. Returns the number of watches.
#[track_caller]
fn settled(daemon: &Daemon) -> usize {
    let mut before = 0;
    eventually("it watches all that it needs", || {
        let now = daemon.watches();
        let same = now > 0 && now == before;
        before = now;
        same.then_some(now)
    })
}

/// Waits until the log has so many lines with this text.
#[track_caller]
fn until_logged(daemon: &Daemon, text: &str, times: usize, why: &str) {
    eventually(&format!("{why}: {text}, {times} times"), || {
        let lines = daemon.log.lines();
        let said = lines.iter().filter(|line| line.contains(text)).count();
        assert!(said <= times, "{why}: {lines:#?}");
        (said == times).then_some(())
    });
}

#[test]
fn p8_a_directory_that_goes_and_comes_back_is_noticed() {
    let app = App::new();
    let daemon = app.daemon();
    app.sh_in("", "mv .devcontainer away");
    until_logged(&daemon, DIRTY, 1, "renamed");
    app.sh_in("", "mv away .devcontainer");
    until_logged(&daemon, CLEAN, 1, "renamed back");
    app.sh_in("", "rm -r .devcontainer");
    until_logged(&daemon, DIRTY, 2, "removed");
    app.sh_in(
        "",
        r#"mkdir .devcontainer; printf %s "$MADE_FROM" >.devcontainer/devcontainer.json"#,
    );
    until_logged(&daemon, CLEAN, 2, "made again");
    app.sh(EDIT);
    until_logged(&daemon, DIRTY, 3, "edited in the new directory");
    app.sh_in(
        "",
        r#"cp -r .devcontainer new; printf %s "$MADE_FROM" >new/devcontainer.json
mv .devcontainer old; mv new .devcontainer"#,
    );
    until_logged(&daemon, CLEAN, 3, "another one in its place");
    app.sh_in("old", r#"printf %s "$MADE_FROM" >devcontainer.json"#);
    app.sh(EDIT);
    until_logged(&daemon, DIRTY, 4, "edited in the other one");
}

#[test]
fn p8_the_target_of_a_symlinked_config_is_watched() {
    let app = App::new();
    app.sh("mkdir ../conf; mv devcontainer.json ../conf/real.json; ln -s ../conf/real.json devcontainer.json");
    let daemon = app.sandbox.daemon().start();
    assert_eq!(daemon.devcontainer()["dirty"], false);
    app.sh("sed -i s/one/two/ ../conf/real.json");
    until_logged(&daemon, DIRTY, 1, "its target was replaced");
    app.sh(r#"printf %s "$MADE_FROM" >../conf/real.json"#);
    until_logged(&daemon, CLEAN, 1, "its target was written");
}

#[test]
fn p8_what_is_needed_no_more_is_watched_no_more() {
    let app = App::new();
    app.sh_in(
        "",
        "mkdir -p far/away; echo one >far/away/Dockerfile; find . -exec touch -d 2001-01-01 {} +",
    );
    let daemon = app.daemon();
    let few = settled(&daemon);
    app.sh(r#"echo '{"dockerFile": "../far/away/Dockerfile"}' >devcontainer.json"#);
    until_logged(&daemon, DIRTY, 1, "another configuration");
    eventually("more is watched", || (daemon.watches() > few).then_some(()));
    app.sh(r#"printf %s "$MADE_FROM" >devcontainer.json"#);
    until_logged(&daemon, CLEAN, 1, "undone");
    eventually("and no more", || (daemon.watches() == few).then_some(()));
}

#[test]
fn p8_nothing_is_lost_while_directories_come_and_go() {
    let app = App::new();
    let daemon = app.daemon();
    for round in 1..=30 {
        app.sh_in("", "mkdir new; echo '{}' >new/devcontainer.json; mv .devcontainer old; mv new .devcontainer; rm -r old");
        until_logged(&daemon, DIRTY, round, "another one");
        app.sh_in(
            "",
            r#"rm -r .devcontainer; mkdir -p .devcontainer; printf %s "$MADE_FROM" >.devcontainer/devcontainer.json"#,
        );
        until_logged(&daemon, CLEAN, round, "made again");
    }
}

#[test]
fn where_the_limit_of_watches_is_reached_requests_are_told_rightly() {
    let app = App::new();
    let sandbox = &app.sandbox;
    let code = "echo 2 >/proc/sys/user/max_inotify_watches";
    let daemon = sandbox
        .daemon_in_namespaces(code)
        .args("--cache-duration 0")
        .start();
    assert_eq!(daemon.devcontainer()["dirty"], false);
    let line = daemon.log.wait_for("cannot be watched");
    assert!(line.contains("raise fs.inotify.max_user_watches"), "{line}");
    let warnings = daemon.json("/")["warnings"].clone();
    assert!(
        warnings[0].as_str().unwrap().contains("cannot be watched"),
        "{warnings}"
    );
    daemon
        .get("/readyz")
        .assert_error(503, "Not ready", "watcher: ");
    app.sh(EDIT);
    assert_eq!(daemon.devcontainer()["dirty"], true);
    // The limit is raised.
    daemon.enter("echo 1000 >/proc/sys/user/max_inotify_watches");
    eventually("the warning goes", || {
        daemon.json("/").get("warnings").is_none().then_some(())
    });
    assert_eq!(daemon.get("/readyz").status, 200);
    assert_eq!(daemon.log_count("cannot be watched"), 1, "said once");
}

#[test]
fn without_inotify_it_is_tried_again() {
    let app = App::new();
    let sandbox = &app.sandbox;
    let code = "echo 0 >/proc/sys/user/max_inotify_instances";
    let daemon = sandbox
        .daemon_in_namespaces(code)
        .args("--cache-duration 0")
        .start();
    assert_eq!(daemon.devcontainer()["dirty"], false);
    let line = daemon.log.wait_for("files cannot be watched");
    assert!(
        line.contains("raise fs.inotify.max_user_instances"),
        "{line}"
    );
    daemon.enter("echo 1 >/proc/sys/user/max_inotify_instances");
    eventually("it watches", || {
        daemon.json("/");
        (daemon.watches() > 0).then_some(())
    });
    app.sh(EDIT);
    until_logged(&daemon, DIRTY, 1, "by inotify");
}

#[test]
fn p8_what_comes_to_a_feature_is_noticed_and_what_comes_below_that() {
    let app = App::new();
    app.sh(r#"mkdir f; echo >f/install.sh; echo '{"features": {"./f": {}}}' >devcontainer.json; find .. -exec touch -d 2001-01-01 {} +"#);
    let daemon = app.daemon();
    for (round, (come, go)) in [
        ("echo >f/new", "rm f/new"),
        ("mkdir f/a", "rmdir f/a"),
        ("mkdir -p f/a/b/c", "rm -r f/a"),
        ("ln -s /etc/hostname f/link", "rm f/link"),
    ]
    .into_iter()
    .enumerate()
    {
        app.sh(come);
        until_logged(&daemon, DIRTY, round + 1, come);
        app.sh(go);
        until_logged(&daemon, CLEAN, round + 1, go);
    }
    app.sh("mkdir -p f/a/b");
    until_logged(&daemon, DIRTY, 5, "directories");
    settled(&daemon);
    app.sh("echo 1 >f/a/b/c");
    eventually("it is listed", || {
        (daemon.devcontainer()["changes"].as_array()?.len() == 3).then_some(())
    });
}

#[test]
fn p8_directories_that_somebody_is_still_in_are_seen_to_go() {
    for (inside, first, then) in [
        (
            ".devcontainer",
            "rm .devcontainer/devcontainer.json",
            "rmdir .devcontainer",
        ),
        ("", "rm -r .devcontainer", "rm -r ../app"),
    ] {
        let app = App::new();
        let daemon = app.daemon();
        settled(&daemon);
        let mut inside = Command::new("sleep")
            .arg("60")
            .current_dir(app.sandbox.path("work/app").join(inside))
            .spawn()
            .unwrap();
        app.sh_in("", first);
        until_logged(&daemon, DIRTY, 1, "removed");
        settled(&daemon);
        app.sh_in("", then);
        settled(&daemon);
        fs::create_dir_all(app.sandbox.path("work/app/.devcontainer")).unwrap();
        fs::write(app.sandbox.config("app"), MADE_FROM).unwrap();
        until_logged(&daemon, CLEAN, 1, "made again");
        app.sh(EDIT);
        until_logged(&daemon, DIRTY, 2, "edited in the new one");
        inside.kill().unwrap();
        inside.wait().unwrap();
    }
}

#[test]
fn p8_what_somebody_asking_found_first_is_watched_from_then_on() {
    let app = App::new();
    let mounted = app.sandbox.path("mounted");
    fs::create_dir(&mounted).unwrap();
    fs::write(mounted.join("devcontainer.json"), "{}").unwrap();
    let daemon = app.sandbox.daemon_in_namespaces("true").start();
    assert_eq!(daemon.devcontainer()["dirty"], false);
    settled(&daemon);
    // There is no event for a mount over a directory.
    let over = app.sandbox.path("work/app/.devcontainer");
    let mount = format!("mount --bind '{}' '{}'", mounted.display(), over.display());
    daemon.enter(&mount);
    eventually("a request looks at the files again", || {
        (daemon.devcontainer()["dirty"] == true).then_some(())
    });
    settled(&daemon);
    fs::write(mounted.join("devcontainer.json"), MADE_FROM).unwrap();
    until_logged(&daemon, CLEAN, 1, "written where it was mounted from");
}

#[test]
fn p8_a_path_that_cannot_be_followed_blinds_no_other() {
    let app = App::new();
    let sandbox = &app.sandbox;
    // The inputs have links that double at each step, a path that is far too deep, and a name that is too long for a
    // file.
    let bomb = sandbox.workspace("bomb");
    let links = "for i in $(seq 0 29); do ln -s d$((i+1))/d$((i+1)) d$i; done; ln -s . d30";
    crate::common::sh(&bomb.join(".devcontainer"), links);
    fs::write(sandbox.config("bomb"), r#"{"dockerFile": "d0/x"}"#).unwrap();
    sandbox.devcontainer_of(2, &bomb);
    let deep = sandbox.workspace("deep");
    let path = "a/".repeat(20_000);
    fs::write(
        sandbox.config("deep"),
        format!(r#"{{"dockerFile": "{path}x"}}"#),
    )
    .unwrap();
    sandbox.devcontainer_of(3, &deep);
    sandbox
        .container(4)
        .label("devcontainer.local_folder", deep.to_str().unwrap())
        .label(
            "devcontainer.config_file",
            &format!("{}/{path}x.json", deep.display()),
        )
        .save();
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    settled(&daemon);
    app.sh(EDIT);
    until_logged(&daemon, DIRTY, 1, "in spite of the others");
    eventually("and no thread was left behind", || {
        (daemon.threads() <= AT_REST + 1).then_some(())
    });
}
