//! An operation acts on what was shown, and nowhere else (P25), and not in another user's folder (P18). The daemon's log
//! says who asked for it.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::common::{Daemon, LONGEST, Sandbox, eventually};

const CHANGED: &str = "Workspace folder has changed";
const WAIT_TRUSTED: &str = "/devcontainers/trusted/recreate?wait=true";

/// A folder with a container of its own, and a link in an untrusted folder that leads there. The newer container names the
/// link.
fn linked(sandbox: &Sandbox, name: &str) -> (PathBuf, PathBuf) {
    let trusted = sandbox.workspace("trusted");
    sandbox.devcontainer_of(1, &trusted);
    let link = sandbox.workspace("untrusted").join(name);
    symlink(&trusted, &link).unwrap();
    sandbox.devcontainer_made(2, &link, "2021-01-01T00:00:00Z");
    (trusted, link)
}

/// Replaces a link by a directory with a configuration.
fn swap(sandbox: &Sandbox, link: &Path) {
    fs::remove_file(link).unwrap();
    let name = link.strip_prefix(sandbox.path("work")).unwrap();
    sandbox.workspace(name.to_str().unwrap());
}

/// Asserts that the CLI was run once, with these options among others.
#[track_caller]
fn assert_ran(sandbox: &Sandbox, options: &[&str]) {
    let calls = sandbox.read("calls/devcontainer");
    assert_eq!(sandbox.calls("devcontainer", "up"), 1, "{calls}");
    for option in options {
        assert!(
            format!("{calls} ").replace('\n', " ").contains(option),
            "{option} in {calls}"
        );
    }
}

/// Asserts that the log comes to have this text so many times. It is read by a thread of its own.
#[track_caller]
fn assert_logs(daemon: &Daemon, text: &str, times: usize) {
    eventually(text, || (daemon.log_count(text) == times).then_some(()));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn listed(sandbox: &Sandbox) -> Daemon {
    let daemon = sandbox.daemon().start();
    daemon.json("/devcontainers");
    daemon
}

#[test]
fn p25_a_link_that_leads_elsewhere_than_it_was_listed_is_refused() {
    let sandbox = Sandbox::new();
    let (trusted, link) = linked(&sandbox, "link");
    let daemon = listed(&sandbox);
    swap(&sandbox, &link);
    let answer = daemon.post(WAIT_TRUSTED);
    let led = format!(
        "the workspace folder {} led to {} when it was listed, and leads to {} now",
        link.display(),
        trusted.display(),
        link.display()
    );
    answer.assert_error(409, CHANGED, &led);
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    assert_eq!(fs::read_dir(sandbox.path("containers")).unwrap().count(), 2);
    // The refusal has made a new list, by which the link is a dev container of its own.
    assert_eq!(daemon.post(WAIT_TRUSTED).status, 204);
    assert_ran(
        &sandbox,
        &[&format!("--workspace-folder {} ", trusted.display())],
    );
    assert_logs(&daemon, "refused: the workspace folder", 1);
}

#[test]
fn p25_the_cli_gets_the_folder_that_was_shown_and_the_labels_of_the_container() {
    for (name, path) in [
        ("link", WAIT_TRUSTED),
        ("trusted", WAIT_TRUSTED),
        ("link", "/devcontainers/container/box2/recreate"),
    ] {
        let sandbox = Sandbox::new();
        let (trusted, link) = linked(&sandbox, name);
        let daemon = listed(&sandbox);
        assert_eq!(daemon.devcontainer()["container"]["name"], "box2");
        assert_eq!(daemon.post(path).status, 204);
        let config = |folder: &Path| folder.join(".devcontainer/devcontainer.json");
        assert_ran(
            &sandbox,
            &[
                &format!("--workspace-folder {} ", trusted.display()),
                &format!("--config {} ", config(&trusted).display()),
                &format!("--id-label devcontainer.local_folder={} ", link.display()),
                &format!(
                    "--id-label devcontainer.config_file={} ",
                    config(&link).display()
                ),
            ],
        );
    }
    // The container that the request names says what goes to the CLI, not the one that is shown.
    let sandbox = Sandbox::new();
    let (trusted, _) = linked(&sandbox, "link");
    let daemon = listed(&sandbox);
    assert_eq!(
        daemon.post("/devcontainers/container/box1/recreate").status,
        204
    );
    assert_ran(
        &sandbox,
        &[&format!("--workspace-folder {} ", trusted.display())],
    );
    assert!(!sandbox.read("calls/devcontainer").contains("--id-label"));
}

#[test]
fn p25_a_predefined_one_is_reached_by_the_words_of_its_operator() {
    let sandbox = Sandbox::new();
    let trusted = sandbox.workspace("trusted");
    let (own, label) = (sandbox.path("work/own"), sandbox.path("work/label"));
    symlink(&trusted, &own).unwrap();
    symlink(&trusted, &label).unwrap();
    sandbox.devcontainer_of(1, &label);
    let builder = sandbox
        .daemon()
        .arg("--devcontainer-folder")
        .arg(text(&own));
    let daemon = builder.start();
    daemon.json("/devcontainers");
    assert_eq!(
        daemon.post("/devcontainers/container/box1/recreate").status,
        204
    );
    assert_ran(
        &sandbox,
        &[
            &format!("--workspace-folder {} ", own.display()),
            &format!(
                "--config {}/.devcontainer/devcontainer.json ",
                own.display()
            ),
            &format!("--id-label devcontainer.local_folder={} ", label.display()),
        ],
    );
}

#[test]
fn p25_a_swap_after_the_beginning_is_found_before_the_cli_is_run() {
    let sandbox = Sandbox::new();
    let trusted = sandbox.workspace("trusted");
    let link = sandbox.workspace("untrusted").join("link");
    symlink(&trusted, &link).unwrap();
    sandbox.devcontainer_of(1, &link);
    let daemon = listed(&sandbox);
    let evil = sandbox.workspace("evil");
    // docker is asked for the containers once the operation has begun.
    sandbox.hook(
        "docker",
        &format!("rm -rf '{0}'; ln -s '{1}' '{0}'", text(&link), text(&evil)),
    );
    let answer = daemon.post("/devcontainers/container/box1/recreate");
    answer.assert_error(
        500,
        "Could not recreate devcontainer",
        "devcontainer was not run",
    );
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    assert_eq!(fs::read_dir(sandbox.path("containers")).unwrap().count(), 1);
}

#[test]
fn p25_another_directory_is_another_folder_and_a_saved_configuration_is_not() {
    let sandbox = Sandbox::with_app();
    let daemon = listed(&sandbox);
    let recreate = || daemon.post("/devcontainers/app/recreate?wait=true");
    sandbox.replace("work/app/.devcontainer/devcontainer.json", "{}", 0o644);
    assert_eq!(recreate().status, 204);
    daemon.json("/devcontainers");
    let folder = sandbox.path("work/app");
    fs::rename(&folder, sandbox.path("work/before")).unwrap();
    sandbox.workspace("app");
    recreate().assert_error(409, CHANGED, "another one has taken its place");
    assert_eq!(recreate().status, 204, "a clone that was made anew");
    // The list after an operation shows what is there by then.
    daemon.json("/devcontainers");
    let config = sandbox.config("app");
    let other = sandbox.write("work/app/other.json", "{}");
    fs::remove_file(&config).unwrap();
    symlink(&other, &config).unwrap();
    recreate().assert_error(409, CHANGED, "and is");
    assert_eq!(recreate().status, 204);
    // An operation that makes no container needs no folder.
    fs::rename(&folder, sandbox.path("work/again")).unwrap();
    sandbox.workspace("app");
    assert_eq!(daemon.post("/devcontainers/app/stop?wait=true").status, 204);
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
}

#[test]
fn p18_a_folder_that_others_may_write_needs_the_word_of_the_operator() {
    let sandbox = Sandbox::with_app();
    let folder = sandbox.path("work/app");
    let root = sandbox.path("work");
    for path in [
        folder.clone(),
        folder.join(".devcontainer"),
        sandbox.config("app"),
    ] {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let daemon = listed(&sandbox);
        let recreate = |daemon: &Daemon| {
            let name = daemon.devcontainer()["container"]["name"].clone();
            let name = name.as_str().unwrap();
            daemon.post(&format!("/devcontainers/container/{name}/recreate"))
        };
        let before_calls = sandbox.calls("devcontainer", "");
        let mend = format!("start the daemon with --workspace-root {}", root.display());
        recreate(&daemon).assert_error(403, "Workspace folder not allowed", &mend);
        assert_eq!(sandbox.calls("devcontainer", ""), before_calls);
        assert_eq!(daemon.post("/devcontainers/app/stop?wait=true").status, 204);
        for [flag, value] in [
            ["--workspace-root", text(&root)],
            ["--devcontainer-folder", text(&folder)],
        ] {
            let daemon = sandbox.daemon().arg(flag).arg(value).start();
            assert_eq!(recreate(&daemon).status, 204, "{flag}");
        }
        fs::set_permissions(&path, before).unwrap();
    }
}

#[test]
fn p18_a_label_is_compared_with_the_roots_by_its_words() {
    let sandbox = Sandbox::new();
    let inside = sandbox.workspace("root/app");
    let root = sandbox.path("work/root");
    // It leads below the root, but nobody knows that without a look at it.
    let link = sandbox.path("work/link");
    symlink(&root, &link).unwrap();
    sandbox.devcontainer_of(1, &link.join("app"));
    let start = |root: &Path| {
        let builder = sandbox.daemon().arg("--workspace-root");
        builder.arg(text(root)).start()
    };
    let recreate = |daemon: &Daemon| daemon.post("/devcontainers/container/box1/recreate");
    recreate(&start(&root)).assert_error(403, "Workspace folder not allowed", "--workspace-root");
    // A root that is written with a link allows labels that are written so, and those without links.
    assert_eq!(recreate(&start(&link)).status, 204);
    sandbox.devcontainer_of(1, &inside);
    assert_eq!(recreate(&start(&link)).status, 204);
}

#[test]
fn the_log_says_who_asked_for_an_operation_what_and_where() {
    let sandbox = Sandbox::with_app();
    let folder = sandbox.path("work/app");
    let daemon = listed(&sandbox);
    assert_eq!(daemon.recreate("app").status, 204);
    let of = format!(
        "recreate of \"app\" in {:?} (config {:?}) for 127.0.0.1:",
        folder,
        sandbox.config("app")
    );
    assert_logs(&daemon, &of, 2);
    let uid = fs::metadata(&folder).unwrap().uid();
    assert_logs(&daemon, &format!(" (uid {uid}): begins"), 1);
    assert_logs(&daemon, ": recreate succeeded after", 1);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(daemon.recreate("app").status, 403);
    assert_logs(&daemon, ": refused: the workspace folder", 1);
}

#[test]
fn the_log_says_which_process_asked_on_a_unix_socket() {
    let sandbox = Sandbox::with_app();
    let socket = sandbox.path("d.sock");
    let listen = format!("--listen 127.0.0.1:0 --listen unix:{}", socket.display());
    let daemon = sandbox.daemon().args(&listen).start();
    daemon.log.wait_for("listening on unix:");
    let mut client = UnixStream::connect(&socket).unwrap();
    client.set_read_timeout(Some(LONGEST)).unwrap();
    let request = "POST /devcontainers/app/recreate?wait HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    let uid = fs::metadata(&socket).unwrap().uid();
    let process = std::process::id();
    let said = format!(" for a unix socket (uid {uid}, pid {process}): begins");
    assert_logs(&daemon, &said, 1);
}
