//! The words of the terminal, each as the real program beside a daemon.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

use crate::common::{BINARY, Daemon, LONGEST, Sandbox, eventually};

const URL: &str = "DEVCONTAINERD_URL";

/// The program with these words, separated by spaces, and the address of a daemon.
fn word(daemon: &Daemon, words: &str) -> Command {
    let mut command = Command::new(BINARY);
    let url = format!("http://{}", daemon.address);
    command.args(words.split(' ')).env(URL, url);
    command.stdin(Stdio::null());
    command
}

/// Runs a word and asserts its exit status. Returns its standard output and its standard error.
#[track_caller]
fn check(command: &mut Command, status: i32) -> (String, String) {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    texts(output)
}

fn texts(output: Output) -> (String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// Starts a word whose output is read while it runs.
fn start(command: &mut Command) -> Running {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    Running { child, lines }
}

/// A word that runs. It is killed when it is dropped.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// Reads lines up to one with this text.
    #[track_caller]
    fn wait_for(&mut self, text: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "{text}: {all}");
            if line.contains(text) {
                return line;
            }
            all.push_str(&line);
        }
    }

    #[track_caller]
    fn end(mut self, status: i32) -> (String, String) {
        let (mut out, mut error) = (String::new(), String::new());
        self.lines.read_to_string(&mut out).unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut error).unwrap();
        let ended = self.child.wait().unwrap();
        assert_eq!(ended.code(), Some(status), "{out}{error}");
        (out, error)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes the stand-in of the CLI wait for the file `go`.
fn hold(sandbox: &Sandbox) {
    sandbox.devcontainer("while [ ! -e \"$R/go\" ]; do sleep 0.02; done");
}

#[test]
fn ls_is_a_table_that_no_pipe_cuts() {
    let sandbox = Sandbox::with_app();
    let long = "a-name-that-is-longer-than-most-terminals-are-wide-".repeat(3);
    sandbox.workspace(&long);
    sandbox.devcontainer_of(2, &sandbox.path("work").join(&long));
    let daemon = sandbox.daemon().start();
    daemon.json("/devcontainers");
    fs::write(sandbox.config("app"), r#"{"image": "other"}"#).unwrap();
    let (table, error) = check(&mut word(&daemon, "ls"), 0);
    assert_eq!(error, "");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    let titles = ["NAME", "STATUS", "DIRTY", "CONTAINER", "PORTS", "FOLDER"];
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), titles);
    let folder = sandbox.path("work/app").display().to_string();
    let app = lines.iter().find(|line| line.starts_with("app ")).unwrap();
    for cell in ["running", "devcontainer.json modified", "box1", &folder] {
        assert!(app.contains(cell), "{cell}: {app}");
    }
    // Columns begin where their titles do.
    assert_eq!(app.find("running"), lines[0].find("STATUS"));
    assert_eq!(app.find(&folder), lines[0].find("FOLDER"));
    assert!(table.contains(&format!("{long}   running   clean")));
    assert!(!table.contains('\u{1b}') && !table.contains('…'));

    let (names, _) = check(&mut word(&daemon, "ls -q"), 0);
    assert_eq!(names, format!("{long}\napp\n"));
    let (json, _) = check(&mut word(&daemon, "ls --json"), 0);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, daemon.json("/devcontainers"));
}

#[test]
fn a_terminal_gets_colours_and_its_width_but_no_control_characters() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("a\u{1b}[31mb\u{9b}2J\u{202e}c");
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.daemon().start();
    let in_terminal = |environment: &str, words: &str| {
        let code = format!("stty cols 70; {environment} {BINARY} {words}");
        let mut script = Command::new("script");
        script.args(["-qec", &code, "/dev/null"]);
        script.env(URL, format!("http://{}", daemon.address));
        script.env("TERM", "xterm").env_remove("NO_COLOR");
        check(script.stdin(Stdio::null()), 0).0
    };
    let table = in_terminal("", "ls");
    assert!(table.contains("\u{1b}[32mrunning"), "{table:?}");
    let plain = table.replace("\u{1b}[32m", "").replace("\u{1b}[0m", "");
    assert!(
        !plain.contains(['\u{1b}', '\u{9b}', '\u{202e}']),
        "{table:?}"
    );
    assert!(
        plain.contains("a\\u{1b}[31mb\\u{9b}2J\\u{202e}c"),
        "{table:?}"
    );
    let row = plain.lines().nth(1).unwrap();
    assert!(row.contains('…'), "{row}");
    for (environment, words) in [("NO_COLOR=1", "ls"), ("TERM=dumb", "ls"), ("", "ls --json")] {
        let text = in_terminal(environment, words);
        assert!(!text.contains(['\u{1b}', '\u{9b}']), "{text:?}");
    }
}

#[test]
fn an_operation_shows_its_log_and_returns_its_outcome() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    let (log, error) = check(&mut word(&daemon, "recreate app"), 0);
    assert!(
        log.contains("made it\n") && error.is_empty(),
        "{log}{error}"
    );
    assert!(
        log.lines()
            .last()
            .unwrap()
            .starts_with("recreate succeeded after ")
    );
    let (log, _) = check(&mut word(&daemon, "stop app"), 0);
    assert!(log.contains("stop succeeded after "), "{log}");
    let (last, _) = check(&mut word(&daemon, "logs app"), 0);
    assert_eq!(last, log);
    check(&mut word(&daemon, "start app"), 0);
    assert_eq!(daemon.devcontainer()["status"], "running");
    sandbox
        .devcontainer("echo '{\"outcome\":\"error\",\"message\":\"no \\u001b[2J image\"}'; exit 1");
    let (log, error) = check(&mut word(&daemon, "start app"), 1);
    assert!(
        log.contains("start failed after ") && error.is_empty(),
        "{log}{error}"
    );
    assert!(!log.contains('\u{1b}'), "{log:?}");
    check(&mut word(&daemon, "logs -f app"), 1);
    let (log, _) = check(&mut word(&daemon, "rm app"), 0);
    assert!(log.contains("delete succeeded after "), "{log}");
    check(&mut word(&daemon, "rm app"), 3);
}

#[test]
fn a_cancelled_operation_has_a_status_of_its_own() {
    let sandbox = Sandbox::with_app();
    hold(&sandbox);
    let daemon = sandbox.daemon().start();
    let (_, error) = check(&mut word(&daemon, "cancel app"), 3);
    assert!(
        error.contains("no operation is running or queued"),
        "{error}"
    );
    let (_, error) = check(&mut word(&daemon, "logs app"), 3);
    assert!(error.contains("there is no log of app"), "{error}");

    let recreate = start(&mut word(&daemon, "recreate app"));
    eventually("it has begun", || {
        (daemon.devcontainer()["job"]["state"] == "running").then_some(())
    });
    let (_, error) = check(&mut word(&daemon, "start app"), 1);
    assert!(error.contains("operation in progress"), "{error}");
    let mut logs = start(&mut word(&daemon, "logs --follow app"));
    check(&mut word(&daemon, "cancel app"), 0);
    let (log, error) = recreate.end(4);
    assert!(
        log.contains("recreate was cancelled") || log.contains("cancelled after"),
        "{log}"
    );
    assert_eq!(error, "");
    logs.wait_for("cancelled");
    logs.end(4);
}

#[test]
fn an_interrupt_leaves_the_operation_alone_and_says_so() {
    let sandbox = Sandbox::with_app();
    hold(&sandbox);
    let daemon = sandbox.daemon().start();
    let recreate = start(&mut word(&daemon, "recreate app"));
    // Its log has a line only later, so that nothing tells that it listens to signals but the kernel.
    let status = format!("/proc/{}/status", recreate.child.id());
    eventually("it handles INT", || {
        let status = fs::read_to_string(&status).unwrap();
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        (caught & 2 != 0).then_some(())
    });
    let pid = recreate.child.id().to_string();
    Command::new("kill")
        .args(["-s", "INT", &pid])
        .status()
        .unwrap();
    let (_, error) = recreate.end(130);
    assert_eq!(
        error,
        "devcontainerd: the recreate goes on: devcontainerd logs -f app follows it, devcontainerd cancel app ends it\n"
    );
    assert_eq!(daemon.devcontainer()["job"]["state"], "running");
    sandbox.write("go", "");
    check(&mut word(&daemon, "wait app --idle --running --clean"), 0);
    assert_eq!(daemon.devcontainer()["job"]["state"], "succeeded");
}

#[test]
fn a_dev_container_is_named_by_its_folder_too() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    let below = sandbox.path("work/app/src/deep");
    fs::create_dir_all(&below).unwrap();
    let link = sandbox.path("link");
    std::os::unix::fs::symlink(sandbox.path("work/app"), &link).unwrap();
    let folder = sandbox.path("work/app").display().to_string();
    for (directory, name) in [
        (sandbox.path("work/app"), "."),
        (below.clone(), "."),
        (below.clone(), "../.."),
        (link.clone(), "."),
        (sandbox.path("work"), "./app"),
        (sandbox.path("work"), "app"),
        (sandbox.path(""), "link/"),
        ("/".into(), &*folder),
    ] {
        let mut command = word(&daemon, &format!("wait {name} --idle"));
        check(command.current_dir(&directory).env("PWD", &directory), 0);
    }
    for (directory, name, text) in [
        (below.clone(), "..", "no dev container is in the folder .."),
        (
            sandbox.path("work"),
            ".",
            "no dev container is in this folder or one above",
        ),
        ("/".into(), "/nonexistent", "in the folder /nonexistent"),
        (
            "/".into(),
            "ap",
            "no dev container is called ap; did you mean app?",
        ),
        (
            "/".into(),
            "nope",
            "no dev container is called nope; see devcontainerd ls",
        ),
    ] {
        let mut command = word(&daemon, &format!("recreate {name}"));
        let (_, error) = check(command.current_dir(&directory), 3);
        assert!(error.contains(text), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    // The list is older than this container.
    daemon.json("/devcontainers");
    sandbox.devcontainer_of(2, &sandbox.workspace("new"));
    check(
        &mut word(
            &daemon,
            &format!("wait {}", sandbox.path("work/new").display()),
        ),
        0,
    );

    let other = sandbox.write("work/app/.devcontainer/other/devcontainer.json", "{}");
    let folder = Path::new(&folder);
    let second = sandbox.container(3).of(folder);
    let other = other.display().to_string();
    second.label("devcontainer.config_file", &other).save();
    eventually("it is listed", || {
        let (names, _) = check(&mut word(&daemon, "ls -q"), 0);
        (names.lines().count() == 3).then_some(())
    });
    let (_, error) = check(word(&daemon, "recreate .").current_dir(folder), 2);
    assert!(
        error.contains("several dev containers; give the name of one: app"),
        "{error}"
    );
}

#[test]
fn wait_ends_when_it_is_so_or_the_time_is_over() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    check(&mut word(&daemon, "wait app --clean --running --idle"), 0);
    check(&mut word(&daemon, "wait app --timeout 0"), 0);
    fs::write(sandbox.config("app"), r#"{"image": "other"}"#).unwrap();
    let (out, error) = check(&mut word(&daemon, "wait app --clean --timeout 0.3"), 1);
    assert_eq!(out, "");
    let at_once = check(&mut word(&daemon, "wait app --clean --timeout 0"), 1).1;
    assert!(at_once.contains("app is not clean after 0 s"), "{at_once}");
    assert_eq!(
        error,
        "devcontainerd: app is not clean after 0.3 s: app running, dirty: devcontainer.json modified\n"
    );
    let waiting = start(&mut word(&daemon, "wait app --clean"));
    check(&mut word(&daemon, "recreate app"), 0);
    waiting.end(0);
    let (_, error) = check(&mut word(&daemon, "wait nope --timeout 9"), 3);
    assert!(error.contains("no dev container is called nope"), "{error}");
}

/// Returns the number of eventfds of a daemon, of which each stream of changes has one.
fn eventfds(daemon: &Daemon) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    let links = open.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    let is_eventfd = |link: &std::path::PathBuf| link.to_string_lossy().contains("eventfd");
    links.filter(is_eventfd).count()
}

#[test]
fn watch_and_wait_outlive_a_restart_of_the_daemon() {
    let sandbox = Sandbox::with_app();
    let socket = sandbox.path("devcontainerd.sock");
    let listen = format!("--listen 127.0.0.1:0 --listen unix:{}", socket.display());
    let mut daemon = sandbox.daemon().args(&listen).start();
    // Without a flag or a variable, the socket in this directory is used.
    let word = |words: &str| {
        let mut command = Command::new(BINARY);
        command.args(words.split(' ')).stdin(Stdio::null());
        command.env("XDG_RUNTIME_DIR", sandbox.path(""));
        command
    };
    let mut watch = start(&mut word("watch"));
    let mut json = start(&mut word("watch app --json"));
    let line = watch.wait_for("app");
    assert!(line.ends_with("Z app running, clean\n"), "{line}");
    assert_eq!(
        line.len(),
        "2026-01-01T00:00:00Z app running, clean\n".len()
    );
    json.wait_for(r#""dirty":false"#);
    let waiting = start(&mut word("wait app --clean"));
    waiting.end(0);
    fs::write(sandbox.config("app"), r#"{"image": "other"}"#).unwrap();
    watch.wait_for("app running, dirty: devcontainer.json modified");
    json.wait_for(r#""dirty":true"#);
    let before = eventfds(&daemon);
    let waiting = start(&mut word("wait app --clean"));
    let mut seen = 0;
    // A request for a list may have one for a moment.
    eventually("it follows changes", || {
        seen = if eventfds(&daemon) > before {
            seen + 1
        } else {
            0
        };
        (seen > 9).then_some(())
    });
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let (_, error) = check(&mut word("ls --url unix:/nonexistent"), 1);
    assert!(
        error.contains("is it running? Start it with devcontainerd"),
        "{error}"
    );

    let daemon = sandbox.daemon().args(&listen).start();
    check(&mut word("recreate app"), 0);
    waiting.end(0);
    watch.wait_for("app running, clean");
    let object: Value = serde_json::from_str(&json.wait_for(r#""dirty":false"#)).unwrap();
    assert_eq!(
        (&object["type"], &object["name"]),
        (&"devcontainer".into(), &"app".into())
    );
    check(&mut word("rm app"), 0);
    watch.wait_for("app");
    drop(daemon);
}

#[test]
fn exec_becomes_docker_exec() {
    let sandbox =
        Sandbox::with_app_of(r#"{"image": "base", "remoteUser": "me", "workspaceFolder": "/w"}"#);
    sandbox.docker(r#"[ "$1" != exec ] || { cat; exit 7; }"#);
    let daemon = sandbox.daemon().start();
    let exec = |words: &str| {
        let mut command = word(&daemon, words);
        command.env(
            "PATH",
            format!("{}:/usr/bin:/bin", sandbox.path("bin").display()),
        );
        command
    };
    let input = sandbox.write("input", "to the command\n");
    let mut command = exec("exec -i app -- make --all");
    command.stdin(fs::File::open(input).unwrap());
    let (out, _) = check(&mut command, 7);
    assert_eq!(out, "to the command\n");
    let id = crate::common::container_id(1);
    let call = format!("exec --interactive --user=me --workdir=/w {id} make --all");
    assert_eq!(sandbox.calls("docker", &call), 1);

    let (_, error) = check(&mut exec("exec --docker /nonexistent/docker app ls"), 1);
    assert!(
        error.contains("/nonexistent/docker was not found; install it"),
        "{error}"
    );
    sandbox.remove_container(1);
    let (_, error) = check(&mut exec("exec nope -- ls"), 3);
    assert!(error.contains("no dev container is called nope"), "{error}");
    let (_, error) = check(&mut exec("exec app -- ls"), 3);
    assert!(
        error.contains("devcontainerd start app makes one"),
        "{error}"
    );
}

/// Answers one request with this, and closes the connection.
fn answer_once(answer: &'static str) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let one = "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{\"id\":\"1\",\"name\":\"app\"}\n";
    let serve = move || {
        for text in [one, answer] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(LONGEST)).unwrap();
            let mut head = BufReader::new(&stream).lines().map(Result::unwrap);
            assert!(head.any(|line| line.is_empty()));
            stream.write_all(text.as_bytes()).unwrap();
        }
    };
    (url, std::thread::spawn(serve))
}

#[test]
fn a_stream_that_breaks_is_no_success() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let line = "{\"output\":\"half\"}\n";
    let chunk = format!("{HEAD}{:x}\r\n{line}\r\n", line.len());
    let chunk: &str = chunk.leak();
    let ended: &str = format!("{chunk}0\r\n\r\n").leak();
    let cut: &str = format!("{HEAD}ff\r\n{line}").leak();
    for (answer, text) in [
        (chunk, "the daemon broke off"),
        (ended, "before the end of the recreate"),
        (cut, "the daemon broke off"),
        ("", "the connection was closed"),
        ("SSH-2.0 x\r\n", "the answer is not HTTP"),
    ] {
        let (url, serving) = answer_once(answer);
        let mut command = Command::new(BINARY);
        command.args(["recreate", "app", "--url", &url]);
        let (_, error) = check(&mut command, 1);
        assert!(error.contains(text), "{text}: {error}");
        serving.join().unwrap();
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    // Of a pipe whose reader has gone already, the first write fails.
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    for (words, status) in [
        ("ls", 0),
        ("ls --json", 0),
        ("watch", 0),
        ("--help", 0),
        ("recreate app", 1),
    ] {
        let mut command = word(&daemon, words);
        let output = command
            .stdout(closed())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{words}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(said.contains("the recreate goes on"), status == 1, "{said}");
    }
    let mut command = word(&daemon, "ls");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    check(&mut word(&daemon, "wait app"), 0);
}

#[test]
fn a_daemon_that_needs_a_token_says_how_to_give_it() {
    let sandbox = Sandbox::with_app();
    let token = sandbox.write("token", "0123456789abcdef0123456789abcdef");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&token, private).unwrap();
    let token = token.to_str().unwrap();
    let daemon = sandbox.daemon().arg("--token-file").arg(token).start();
    let (_, error) = check(&mut word(&daemon, "ls"), 1);
    assert!(error.contains("name the file with --token-file"), "{error}");
    check(
        word(&daemon, "ls").env("DEVCONTAINERD_TOKEN_FILE", token),
        0,
    );
    check(word(&daemon, "ls --token-file").arg(token), 0);
    let (_, error) = check(&mut word(&daemon, "ls --token-file /nonexistent"), 2);
    assert!(error.contains("--token-file /nonexistent"), "{error}");
    let (_, error) = check(&mut word(&daemon, "ls --url nonsense"), 2);
    assert!(error.contains("http://ADDRESS:PORT"), "{error}");
}

#[test]
fn the_daemon_of_another_user_says_so() {
    if !rustix::process::geteuid().is_root() {
        println!("not tested: a word of another user, which only root can be");
        return;
    }
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    // The program is an open file, as another user may not find it.
    let mut command = Command::new("/proc/self/fd/0");
    command.args(["ls", "--url", &format!("http://{}", daemon.address)]);
    command.stdin(fs::File::open(BINARY).unwrap());
    std::os::unix::process::CommandExt::uid(&mut command, 54321);
    let (_, error) = check(&mut command, 1);
    assert!(error.contains("Forbidden: "), "{error}");
    assert!(error.contains("may be another user's"), "{error}");
}

#[test]
fn bash_completes_words_flags_and_names() {
    let sandbox = Sandbox::with_app();
    let folder = sandbox.workspace("a pp");
    sandbox.devcontainer_of(2, &folder);
    let daemon = sandbox.daemon().start();
    let complete = |line: &str| {
        let code = format!(
            "source <('{BINARY}' completions bash); COMP_WORDS=(devcontainerd {line}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _devcontainerd '{BINARY}'; printf '%s,' \"${{COMPREPLY[@]}}\""
        );
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &code]);
        check(bash.env(URL, format!("http://{}", daemon.address)), 0).0
    };
    assert_eq!(complete("st"), "start,stop,");
    assert_eq!(complete("recreate ''"), "a\\ pp,app,");
    assert_eq!(complete("recreate ap"), "app,");
    assert_eq!(complete("wait app --c"), "--clean,");
    // bash then completes files.
    assert_eq!(complete("recreate ./x"), ",");
    let mut unreachable = Command::new(BINARY);
    unreachable
        .args(["__complete", "recreate", ""])
        .env(URL, "unix:/nonexistent");
    assert_eq!(check(&mut unreachable, 1).0, "");
}
