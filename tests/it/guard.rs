//! Requests and labels that are not trusted (P17, P18).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::usage::PROMPT;
use crate::common::{Daemon, Response, Sandbox, Stopwatch, eventually, parse};
use inotify::{Inotify, WatchMask};

const RECREATE: &str = "/devcontainers/container/box1/recreate";
const WAIT: &str = "/devcontainers/app/recreate?wait=true";
const READS: [&str; 6] = [
    "/",
    "/devcontainers",
    "/devcontainers/app",
    "/devcontainers/app/logs?follow=true",
    "/healthz",
    "/nope",
];

fn start(arguments: &str) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.daemon().args(arguments).start();
    (sandbox, daemon)
}

/// Sends a request with these headers, among which the caller puts the Host.
#[track_caller]
fn request(daemon: &Daemon, method: &str, target: &str, headers: &str) -> Response {
    let head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    let answer = parse(&daemon.raw(head.as_bytes()));
    assert_no_cors(&answer);
    answer
}

#[track_caller]
fn assert_no_cors(answer: &Response) {
    let cors = |name: &String| name.starts_with("access-control-");
    assert!(!answer.headers.keys().any(cors), "{answer:?}");
}

/// Asserts that every request with these headers is refused and starts nothing.
#[track_caller]
fn assert_refused(sandbox: &Sandbox, daemon: &Daemon, headers: &str, detail: &str) {
    let calls = sandbox.calls("devcontainer", "");
    for path in READS {
        request(daemon, "GET", path, headers).assert_error(403, "Forbidden", detail);
    }
    for path in [WAIT, RECREATE, "/devcontainers/app/recreate", "/nope"] {
        request(daemon, "POST", path, headers).assert_error(403, "Forbidden", detail);
    }
    for method in ["OPTIONS", "DELETE", "PUT"] {
        let answer = request(daemon, method, "/devcontainers/app", headers);
        answer.assert_error(403, "Forbidden", detail);
    }
    assert_eq!(sandbox.calls("devcontainer", ""), calls, "{headers}");
}

#[track_caller]
fn assert_served(sandbox: &Sandbox, daemon: &Daemon, headers: &str) {
    let calls = sandbox.calls("devcontainer", "up");
    let status = |method, path| request(daemon, method, path, headers).status;
    assert_eq!(status("GET", "/devcontainers"), 200, "{headers}");
    assert_eq!(status("POST", WAIT), 204, "{headers}");
    assert_eq!(sandbox.calls("devcontainer", "up"), calls + 1, "{headers}");
}

#[test]
fn p17_hosts_that_are_this_machine_are_served() {
    let (sandbox, daemon) = start("");
    for host in [
        daemon.address.as_str(),
        "localhost",
        "LocalHost:3382",
        "127.0.0.1",
        "127.9.8.7:1",
        "[::1]",
        "[::1]:3382",
        "[::ffff:127.0.0.1]:80",
    ] {
        assert_served(&sandbox, &daemon, &format!("Host: {host}\r\n"));
    }
}

#[test]
fn p17_dns_rebinding_leads_nowhere() {
    let (sandbox, daemon) = start("");
    let port = daemon.address.rsplit(':').next().unwrap();
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1.evil.example",
        &format!("localhost.evil.example:{port}"),
        "evil.example#localhost",
        "localhost@evil.example",
        "evil.example:localhost",
        "localhost:80:80",
        "localhost,evil.example",
        "localhost evil.example",
        "localhost.",
        "",
        ":80",
        "0.0.0.0",
        "0",
        "2130706433",
        "0x7f.1",
        "127.1",
        "10.0.0.1",
        "[::]",
        "[::1].evil.example",
        "[::ffff:10.0.0.1]",
        "[fe80::1]:80",
    ] {
        // To the browser, a page whose name resolves to this machine sends requests to its own server.
        let headers = format!(
            "Host: {host}\r\nOrigin: http://{host}\r\nReferer: http://{host}/\r\nSec-Fetch-Site: same-origin\r\n"
        );
        assert_refused(
            &sandbox,
            &daemon,
            &format!("Host: {host}\r\n"),
            "--allow-host",
        );
        assert_refused(&sandbox, &daemon, &headers, "--allow-host");
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn p17_what_stands_in_place_of_the_host_counts_as_one() {
    let (sandbox, daemon) = start("");
    let local = format!("Host: {}\r\n", daemon.address);
    for (method, path) in [("GET", "/devcontainers"), ("POST", WAIT)] {
        for authority in ["evil.example", "", "user@localhost:x"] {
            let target = format!("http://{authority}{path}");
            let answer = request(&daemon, method, &target, &local);
            answer.assert_error(403, "Forbidden", "--allow-host");
        }
        for hosts in [
            "",
            "Host: localhost\r\nHost: evil.example\r\n",
            "Host: evil.example\r\nHost: localhost\r\n",
            "Host: localhost\r\nHost: localhost\r\n",
            "Host: localhost\r\nhost: \r\n",
            "Host: \u{00ff}\r\nX-Forwarded-Host: localhost\r\nHost: localhost\r\n",
        ] {
            assert_eq!(
                request(&daemon, method, path, hosts).status,
                400,
                "{hosts:?}"
            );
        }
        let forwarded = "Host: evil.example\r\nX-Forwarded-Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: host=localhost\r\n";
        assert_eq!(request(&daemon, method, path, forwarded).status, 403);
        let old = format!("{method} {path} HTTP/1.0\r\nHost: evil.example\r\n\r\n");
        assert_eq!(parse(&daemon.raw(old.as_bytes())).status, 403);
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn p17_other_pages_may_not_act() {
    let (sandbox, daemon) = start("");
    let host = format!("Host: {}\r\n", daemon.address);
    let address = &daemon.address;
    for origin in [
        "http://evil.example",
        "https://evil.example",
        "null",
        "",
        "http://localhost",
        "http://127.0.0.1:1",
        &format!("ftp://{address}"),
        &format!("http://{address}.evil.example"),
        &format!("http://evil.example/{address}"),
        &format!("http://x@{address}"),
        &format!("http://{address}/"),
        &format!("http://http://{address}"),
        address,
        &format!("http://{address} http://evil.example"),
    ] {
        let headers = format!("{host}Origin: {origin}\r\n");
        assert_refused(&sandbox, &daemon, &headers, "(Origin)");
        let claims = format!("{headers}Sec-Fetch-Site: same-origin\r\n");
        assert_refused(&sandbox, &daemon, &claims, "(Origin)");
    }
    for site in [
        "cross-site",
        "same-site",
        "",
        "None",
        "none, cross-site",
        "x",
    ] {
        let headers = format!("{host}Sec-Fetch-Site: {site}\r\n");
        assert_refused(&sandbox, &daemon, &headers, "(Sec-Fetch-Site)");
        let claims = format!("{headers}Origin: http://{address}\r\n");
        assert_refused(&sandbox, &daemon, &claims, "(Sec-Fetch-Site)");
    }
    for name in ["Origin", "Sec-Fetch-Site"] {
        let value = if name == "Origin" {
            format!("http://{address}")
        } else {
            "none".into()
        };
        let twice = format!("{host}{name}: {value}\r\n{name}: {value}\r\n");
        assert_eq!(
            request(&daemon, "POST", WAIT, &twice).status,
            400,
            "{twice}"
        );
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);

    for headers in [
        format!("Origin: http://{address}\r\n"),
        format!("Origin: https://{address}\r\n"),
        format!("Origin: http://{address}\r\nSec-Fetch-Site: same-origin\r\n"),
        "Sec-Fetch-Site: none\r\n".into(),
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n".into(),
    ] {
        assert_served(&sandbox, &daemon, &format!("{host}{headers}"));
    }
}

#[test]
fn p17_no_answer_allows_other_pages_anything() {
    let (_sandbox, daemon) = start("");
    let host = format!("Host: {}\r\n", daemon.address);
    let preflight = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x\r\nAccess-Control-Request-Private-Network: true\r\n";
    let own = format!("Origin: http://{}\r\n", daemon.address);
    for origin in ["", "Origin: http://evil.example\r\n", &own] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "TRACE"] {
            for path in READS.into_iter().chain([WAIT, RECREATE]) {
                let answer = request(&daemon, method, path, &format!("{host}{origin}{preflight}"));
                if origin.contains("evil") {
                    assert_eq!(answer.status, 403, "{method} {path}");
                } else if !["GET", "HEAD", "POST"].contains(&method) {
                    // The method may be served; what counts is that no header lets a browser read the response.
                    let deletes = method == "DELETE" && path == "/devcontainers/app";
                    let served = deletes && [204, 404].contains(&answer.status);
                    let refused = [404, 405].contains(&answer.status);
                    assert!(served || refused, "{method} {path}: {}", answer.status);
                }
            }
        }
    }
    for bad in ["\r\n\x00\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"] {
        assert_no_cors(&parse(&daemon.raw(bad.as_bytes())));
    }
}

#[test]
fn p17_more_hosts_can_be_allowed() {
    let (sandbox, daemon) = start("--allow-host devbox --allow-host my.example");
    for host in [
        "devbox",
        "DevBox:80",
        "my.example",
        "my.example:3382",
        "localhost",
    ] {
        let plain = format!("Host: {host}\r\n");
        assert_served(&sandbox, &daemon, &plain);
        assert_served(
            &sandbox,
            &daemon,
            &format!("{plain}Origin: http://{host}\r\n"),
        );
        // An allowed host does not allow the pages of its other ports.
        let other = format!("{plain}Origin: http://{host}:1234\r\n");
        assert_refused(&sandbox, &daemon, &other, "(Origin)");
        let site = format!("{plain}Sec-Fetch-Site: same-site\r\n");
        assert_refused(&sandbox, &daemon, &site, "(Sec-Fetch-Site)");
    }
    for host in ["devbox.evil.example", "sub.my.example", "devbo", "example"] {
        assert_refused(
            &sandbox,
            &daemon,
            &format!("Host: {host}\r\n"),
            "--allow-host",
        );
    }
}

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
