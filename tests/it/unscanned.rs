//! Answers without a scan: while the kernel tells of no change, a request does not look at the files itself. No answer is
//! older than its question all the same (P2).

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use proptest::strategy::Union;

use crate::common::client::Client;
use crate::common::{Daemon, LONG, Sandbox, Stopwatch, eventually};

const MADE_FROM: &str = r#"{"image": "base", "containerEnv": {"NAME": "one"}}"#;
const EDITED: &str = r#"{"image": "base", "containerEnv": {"NAME": "two"}}"#;
/// How often each way of editing is tried.
const EDITS: usize = 60;
/// The age of a scan from which a request scans again.
const MAX_AGE: Duration = Duration::from_millis(50);

/// A dev container that was made from the files on disk, and a daemon that watches them.
struct App {
    daemon: Daemon,
    sandbox: Sandbox,
}

impl App {
    fn new() -> Self {
        let sandbox = Sandbox::with_app_of(MADE_FROM);
        // No listing is to come in between.
        let daemon = sandbox.daemon().args("--cache-duration 600").start();
        let app = Self { daemon, sandbox };
        app.until_watched();
        app
    }

    /// Waits until the watcher has taken over from the requests.
    #[track_caller]
    fn until_watched(&self) {
        let mut client = self.daemon.client();
        assert!(!self.ask(&mut client));
        eventually("files are watched", || {
            (self.daemon.watches() > 0).then_some(())
        });
    }

    /// Asks whether the dev container is dirty.
    #[track_caller]
    fn ask(&self, client: &mut Client) -> bool {
        client.send(self.daemon.head("GET", "/devcontainers/app", ""));
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["dirty"].as_bool().unwrap()
    }

    fn config(&self) -> PathBuf {
        self.sandbox.config("app")
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.config().with_file_name(name)
    }

    /// Edits in a way, again and again, and asks right after each edit, while another client asks all the time.
    #[track_caller]
    fn check(&self, name: &str, edit: Way) {
        self.beside_another_client(|client| {
            for number in 0..EDITS {
                let dirty = number % 2 == 0;
                edit(self, content(dirty));
                assert_eq!(self.ask(client), dirty, "{name}, edit {number}");
                // Edits come at different times after the last scan.
                thread::sleep(Duration::from_millis((number * 7 % 60) as u64));
            }
        });
    }

    /// Calls `action` while another client asks all the time.
    fn beside_another_client(&self, action: impl FnOnce(&mut Client)) {
        let ends = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut client = self.daemon.client();
                while !ends.load(Ordering::Relaxed) {
                    self.ask(&mut client);
                }
            });
            let _ends = EndsAtLast(&ends);
            action(&mut self.daemon.client());
        });
    }
}

/// Returns a content of the configuration that makes the dev container dirty, or not.
fn content(dirty: bool) -> &'static str {
    if dirty { EDITED } else { MADE_FROM }
}

struct EndsAtLast<'a>(&'a AtomicBool);

impl Drop for EndsAtLast<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A way of giving the configuration other content.
type Way = fn(&App, &str);

fn write(app: &App, content: &str) {
    fs::write(app.config(), content).unwrap();
}

fn write_with_the_old_times(app: &App, content: &str) {
    let before = app.config().metadata().unwrap().modified().unwrap();
    write(app, content);
    let file = File::options().write(true).open(app.config()).unwrap();
    file.set_modified(before).unwrap();
}

fn rename_over(app: &App, content: &str) {
    fs::write(app.beside("new"), content).unwrap();
    fs::rename(app.beside("new"), app.config()).unwrap();
}

fn remove_and_make(app: &App, content: &str) {
    fs::remove_file(app.config()).unwrap();
    write(app, content);
}

fn replace_directory(app: &App, content: &str) {
    let directory = app.config().parent().unwrap().to_path_buf();
    let (old, new) = (
        directory.with_file_name("old"),
        directory.with_file_name("new"),
    );
    fs::create_dir(&new).unwrap();
    fs::write(new.join("devcontainer.json"), content).unwrap();
    fs::rename(&directory, &old).unwrap();
    fs::rename(&new, &directory).unwrap();
    fs::remove_dir_all(&old).unwrap();
}

fn replace_folder(app: &App, content: &str) {
    let folder = app.sandbox.path("work/app");
    let (old, new) = (folder.with_file_name("old"), folder.with_file_name("new"));
    fs::create_dir_all(new.join(".devcontainer")).unwrap();
    fs::write(new.join(".devcontainer/devcontainer.json"), content).unwrap();
    fs::rename(&folder, &old).unwrap();
    fs::rename(&new, &folder).unwrap();
    fs::remove_dir_all(&old).unwrap();
}

/// Writes after so many other events that the kernel drops the event of this. The daemon is paused meanwhile.
fn write_after_an_overflow(app: &App, content: &str) {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    app.daemon.pause();
    for _ in 0..=limit / 2 {
        // Two events that differ, so that the kernel does not merge them.
        write(app, "");
        let config = File::options().write(true).open(app.config()).unwrap();
        config.set_modified(UNIX_EPOCH).unwrap();
    }
    write(app, content);
}

#[test]
fn p2_an_edit_in_place_shows_in_the_next_answer() {
    let app = App::new();
    app.check("written", write);
    app.check("written with the old times", write_with_the_old_times);
}

#[test]
fn p2_a_file_in_the_place_of_another_shows_in_the_next_answer() {
    let app = App::new();
    app.check("renamed over", rename_over);
    app.check("removed and made again", remove_and_make);
}

#[test]
fn p2_another_directory_shows_in_the_next_answer() {
    let app = App::new();
    app.check("another directory", replace_directory);
    app.check("another workspace folder", replace_folder);
}

#[test]
fn p2_what_another_name_leads_to_shows_in_the_next_answer() {
    let app = App::new();
    for (name, content) in [("one", MADE_FROM), ("two", EDITED)] {
        fs::create_dir(app.beside(name)).unwrap();
        fs::write(app.beside(name).join("c.json"), content).unwrap();
    }
    symlink("one", app.beside("data")).unwrap();
    fs::remove_file(app.config()).unwrap();
    symlink("data/c.json", app.config()).unwrap();
    app.check("a link that leads elsewhere", |app, content| {
        let target = if content == EDITED { "two" } else { "one" };
        symlink(target, app.beside("next")).unwrap();
        fs::rename(app.beside("next"), app.beside("data")).unwrap();
    });
    fs::remove_file(app.config()).unwrap();
    fs::write(app.config(), MADE_FROM).unwrap();
    fs::hard_link(app.config(), app.sandbox.path("elsewhere")).unwrap();
    app.check("written by another name", |app, content| {
        fs::write(app.sandbox.path("elsewhere"), content).unwrap();
    });
}

#[test]
fn p2_an_edit_shows_in_the_next_answer_after_events_were_lost() {
    let app = App::new();
    let mut client = app.daemon.client();
    for dirty in [true, false, true, false] {
        write_after_an_overflow(&app, content(dirty));
        client.send(app.daemon.head("GET", "/devcontainers/app", ""));
        app.daemon.signal("CONT");
        assert_eq!(client.answer().json()["dirty"], dirty);
    }
    app.daemon.log.wait_for("too many file events at once");
}

/// The ways, and how often each comes.
const WAYS: [(&str, u32, Way); 7] = [
    ("write", 4, write),
    ("write with the old times", 4, write_with_the_old_times),
    ("rename over", 4, rename_over),
    ("remove and make", 4, remove_and_make),
    ("replace the directory", 4, replace_directory),
    ("replace the folder", 4, replace_folder),
    ("write after an overflow", 1, write_after_an_overflow),
];

/// An edit: the way, whether the content differs from the one that the container was made from, and the milliseconds after
/// the answer.
fn edit() -> impl Strategy<Value = (usize, bool, u64)> {
    let ways = WAYS.iter().enumerate();
    let ways: Vec<_> = ways
        .map(|(way, &(_, weight, _))| (weight, Just(way)))
        .collect();
    (Union::new_weighted(ways), any::<bool>(), 0..60_u64)
}

#[test]
fn p2_edits_in_any_order_with_faults_between_show_in_the_next_answer() {
    let edits = prop::collection::vec(edit(), 60);
    let config = ProptestConfig {
        cases: 4,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(edits in edits)| {
        let app = App::new();
        app.beside_another_client(|client| {
            for (number, (way, dirty, pause)) in edits.iter().enumerate() {
                let (name, _, edit) = WAYS[*way];
                edit(&app, content(*dirty));
                client.send(app.daemon.head("GET", "/devcontainers/app", ""));
                app.daemon.signal("CONT");
                assert_eq!(client.answer().json()["dirty"], *dirty, "edit {number}: {name}");
                thread::sleep(Duration::from_millis(*pause));
            }
        });
    });
}

#[test]
fn p2_what_the_kernel_does_not_tell_shows_soon() {
    let sandbox = Sandbox::with_app_of(MADE_FROM);
    let folder = sandbox.path("work/app");
    // Of a mount over the directory there is no event. It is made when the file `go` is there.
    let other = sandbox.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("devcontainer.json"), EDITED).unwrap();
    let code = format!(
        "(while [ ! -e {go} ]; do sleep 0.01; done; mount --bind {other} {over}; : >{done}) & true",
        go = sandbox.path("go").display(),
        done = sandbox.path("done").display(),
        other = other.display(),
        over = folder.join(".devcontainer").display(),
    );
    let daemon = sandbox.daemon_in_namespaces(&code).start();
    assert_eq!(daemon.devcontainer()["dirty"], false);
    eventually("it is watched", || (daemon.watches() > 0).then_some(()));
    sandbox.write("go", "");
    eventually("it is mounted", || {
        sandbox.path("done").exists().then_some(())
    });
    thread::sleep(MAX_AGE);
    let begun = Stopwatch::start();
    assert_eq!(daemon.devcontainer()["dirty"], true);
    assert!(begun.elapsed() < LONG);
}
