//! Every way in which a program changes a file (P8): the daemon notices it at once, and the first request afterwards
//! gets the right answer, with inotify, without it, and after its queue has overflowed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{Daemon, Sandbox, Stopwatch, eventually, sh};
use serde_json::{Value, json};

const FIRST: &str = r#"{"dockerFile": "Dockerfile", "features": {"./feature": {}}, "name": "one"}"#;
/// The limit until a change is noticed: 200 ms by the promise, and 200 ms more for the test itself.
const NOTICED: Duration = Duration::from_millis(400);
const NO_LONGER: &str = "no longer matches its configuration";
const AGAIN: &str = "app matches its configuration";

/// How a daemon learns of changes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hints {
    /// inotify works.
    All,
    /// inotify cannot be used, as the limit of its instances is reached.
    None,
    /// The queue is full before each change.
    TooMany,
}

/// Names and shell code. Each code runs in the directory of the file `$F` and replaces `one` by `two` in it.
const PLAIN: [(&str, &str); 16] = [
    (">", r#"sed s/one/two/ $F >new; cat new >$F"#),
    (">>", "sed s/one/two/ $F >new; : >$F; cat new >>$F"),
    ("cp over", "sed s/one/two/ $F >new; cp new $F"),
    (
        "node writeFile",
        r#"node -e 'const fs = require("fs"), f = process.env.F
        fs.promises.writeFile(f, fs.readFileSync(f, "utf8").replace("one", "two"))'"#,
    ),
    (
        "truncate",
        "sed s/one/two/ $F >new; truncate -s 0 $F; dd if=new of=$F conv=notrunc status=none",
    ),
    (
        "mmap",
        r#"python3 -c '
import mmap, os
with open(os.environ["F"], "r+b") as file, mmap.mmap(file.fileno(), 0) as map:
    at = map.find(b"one"); map[at:at + 3] = b"two"'"#,
    ),
    ("sed -i", "sed -i s/one/two/ $F"),
    ("mv over", "sed s/one/two/ $F >new; mv new $F"),
    (
        "mv over, with the time of before",
        "sed s/one/two/ $F >new; touch -r $F new; mv new $F",
    ),
    ("install", "sed s/one/two/ $F >new; install -m 644 new $F"),
    (
        "rm and create",
        "sed s/one/two/ $F >new; rm $F; cat new >$F",
    ),
    ("ln over", "sed s/one/two/ $F >new; ln -f new $F"),
    ("ln -s over", "sed s/one/two/ $F >new; ln -sf new $F"),
    (
        "vim, with a backup",
        "ex -s -u NONE -c 'set backup writebackup backupcopy=no backupskip=' -c '%s/one/two/' -c wq $F",
    ),
    (
        "vim, in place",
        "ex -s -u NONE -c 'set writebackup backupcopy=yes backupskip=' -c '%s/one/two/' -c wq $F",
    ),
    ("git checkout", "git switch -q two"),
];

/// Other layouts of the files: a name, code that makes the layout, code that changes the configuration, and code that
/// undoes that, all of which run in the workspace folder.
const LAID_OUT: [(&str, &str, &str, &str); 10] = [
    (
        "a branch without it and back",
        "",
        "git switch -q none",
        "git switch -q main",
    ),
    (
        "git restore",
        "",
        "sed -i s/one/two/ .devcontainer/devcontainer.json",
        "git restore .",
    ),
    (
        "its directory is replaced",
        "",
        "cp -r .devcontainer new; sed -i s/one/two/ new/devcontainer.json; mv .devcontainer old; mv new .devcontainer",
        "mv .devcontainer new; mv old .devcontainer",
    ),
    (
        "the workspace folder is replaced",
        "",
        "cd ..; cp -r app new; sed -i s/one/two/ new/.devcontainer/devcontainer.json; mv app old; mv new app",
        "cd ..; mv app new; mv old app",
    ),
    (
        "the directory above that is replaced",
        "",
        "cd ../..; cp -r work new; sed -i s/one/two/ new/app/.devcontainer/devcontainer.json; mv work old; mv new work",
        "cd ../..; mv work new; mv old work",
    ),
    (
        "the target of a link",
        "mkdir conf; mv .devcontainer/devcontainer.json conf/real.json
        ln -s ../conf/real.json .devcontainer/devcontainer.json",
        "sed -i s/one/two/ conf/real.json",
        "sed -i s/two/one/ conf/real.json",
    ),
    (
        "a ConfigMap",
        "cd .devcontainer; mkdir ..1 ..2; sed s/one/two/ devcontainer.json >..2/devcontainer.json
        mv devcontainer.json ..1; ln -s ..1 ..data; ln -s ..data/devcontainer.json devcontainer.json",
        "cd .devcontainer; ln -s ..2 ..tmp; mv -T ..tmp ..data; mv ..1 away",
        "cd .devcontainer; mv away ..1; ln -s ..1 ..tmp; mv -T ..tmp ..data",
    ),
    (
        "a link to its directory",
        "cp -r .devcontainer two; mv .devcontainer one; ln -s one .devcontainer; sed -i s/one/two/ two/devcontainer.json",
        "ln -sfn two .devcontainer",
        "ln -sfn one .devcontainer",
    ),
    (
        "a link to a directory above",
        "cd ..; mkdir one two; cp -r app two; mv app one; ln -s one/app app
        sed -i s/one/two/ two/app/.devcontainer/devcontainer.json",
        "cd ../..; ln -sfn two/app app",
        "cd ../..; ln -sfn one/app app",
    ),
    (
        "another name of the file",
        "ln .devcontainer/devcontainer.json ../elsewhere",
        "sed s/one/two/ ../elsewhere >new; cat new >../elsewhere",
        "sed s/two/one/ ../elsewhere >new; cat new >../elsewhere",
    ),
];

/// A sandbox with a dev container that was made from the files on disk, once `layout` has run.
fn app(layout: &str) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.write("work/app/.devcontainer/devcontainer.json", FIRST);
    sandbox.write(
        "work/app/.devcontainer/Dockerfile",
        "FROM base\nLABEL is=one\n",
    );
    sandbox.write("work/app/.devcontainer/feature/install.sh", "echo one\n");
    sh(
        &folder,
        "git init -q -b main; git config user.email a@b; git config user.name n
        git config commit.gpgsign false; git add .; git commit -qm one
        git switch -qc two; find .devcontainer -type f -exec sed -i s/one/two/ {} +; git commit -qam two
        git switch -qc none; git rm -rq .devcontainer; git commit -qm none; git switch -q main",
    );
    sh(&folder, layout);
    sh(
        &sandbox.path("work"),
        "find . -exec touch -h -d 2001-01-01 {} +",
    );
    sandbox.devcontainer_of(1, &folder);
    (sandbox, folder)
}

fn daemon(sandbox: &Sandbox, hints: Hints) -> Daemon {
    let builder = match hints {
        Hints::None => sandbox.daemon_in_namespaces("echo 0 >/proc/sys/user/max_inotify_instances"),
        _ => sandbox.daemon(),
    };
    let daemon = builder.start();
    assert_eq!(daemon.changes(), json!([]), "at first");
    match hints {
        Hints::None => drop(daemon.log.wait_for("files cannot be watched")),
        _ => watches(&daemon),
    }
    daemon
}

/// Waits until the daemon watches all that it needs.
fn watches(daemon: &Daemon) {
    let mut before = 0;
    eventually("it watches all that it needs", || {
        let now = daemon.watches();
        let same = now > 0 && now == before;
        before = now;
        same.then_some(())
    });
}

/// Runs `code`, waits until the daemon has noticed that, and asserts the changes that it answers.
#[track_caller]
fn check(daemon: &Daemon, hints: Hints, directory: &Path, code: &str, expected: &Value, way: &str) {
    let text = if *expected == json!([]) {
        AGAIN
    } else {
        NO_LONGER
    };
    let before = daemon.log_count(text);
    if hints == Hints::TooMany {
        daemon.pause();
        flood(directory);
    }
    sh(directory, code);
    let begun = Stopwatch::start();
    if hints == Hints::TooMany {
        daemon.signal("CONT");
    }
    if hints != Hints::None {
        eventually(&format!("{way} is noticed: {text}"), || {
            (daemon.log_count(text) > before).then_some(())
        });
        let took = begun.elapsed();
        assert!(hints == Hints::TooMany || took < NOTICED, "{way}: {took:?}");
    }
    assert_eq!(daemon.changes(), *expected, "{way}, {hints:?}");
    if hints == Hints::All {
        // The next change is not part of this one.
        watches(daemon);
    }
}

/// Fills the event queues of those who watch `directory`.
fn flood(directory: &Path) {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    // The kernel merges equal events in a row; each round makes two kinds.
    for number in 0..limit / 2 + 1 {
        let path = directory.join(format!("flood{}", number % 2));
        File::create(&path).unwrap();
        fs::remove_file(path).unwrap();
    }
}

fn plain_ways(hints: Hints) {
    let files = match hints {
        // To fill the queue takes a while, and the file does not matter.
        Hints::TooMany => &["devcontainer.json"][..],
        _ => &["devcontainer.json", "Dockerfile", "feature/install.sh"],
    };
    for file in files {
        let (sandbox, folder) = app("");
        let daemon = daemon(&sandbox, hints);
        let path = folder.join(".devcontainer").join(file);
        let (directory, name) = (path.parent().unwrap(), path.file_name().unwrap());
        let name = name.to_str().unwrap();
        for (way, code) in PLAIN {
            let code = format!("export F={name}; {code}; rm -f new.old");
            let expected = match way {
                // The branch changes all files.
                "git checkout" => json!([
                    ["Dockerfile", "modified"],
                    ["devcontainer.json", "modified"],
                    ["install.sh", "modified"]
                ]),
                // The other file is an input, too, as it is in the feature.
                _ if directory.ends_with("feature") && leaves_new(way) => {
                    json!([["install.sh", "modified"], ["new", "created"]])
                }
                _ => json!([[name, "modified"]]),
            };
            check(&daemon, hints, directory, &code, &expected, way);
            let undo = format!(
                "cd '{}'; git clean -qfd; git switch -qf main; git restore .",
                folder.display()
            );
            check(
                &daemon,
                hints,
                directory,
                &undo,
                &json!([]),
                &format!("{way}, undone"),
            );
        }
    }
}

/// True if a way leaves a file `new` behind.
fn leaves_new(way: &str) -> bool {
    [
        ">",
        ">>",
        "cp over",
        "truncate",
        "install",
        "rm and create",
        "ln over",
        "ln -s over",
    ]
    .contains(&way)
}

fn laid_out_ways(hints: Hints) {
    for (way, layout, change, undo) in LAID_OUT {
        let (sandbox, folder) = app(layout);
        let daemon = daemon(&sandbox, hints);
        let expected = match way {
            // The other files are no inputs any more.
            "a branch without it and back" => json!([["devcontainer.json", "removed"]]),
            _ => json!([["devcontainer.json", "modified"]]),
        };
        check(&daemon, hints, &folder, change, &expected, way);
        check(
            &daemon,
            hints,
            &folder,
            undo,
            &json!([]),
            &format!("{way}, undone"),
        );
        check(
            &daemon,
            hints,
            &folder,
            change,
            &expected,
            &format!("{way}, again"),
        );
        // The files that are there now are watched.
        let in_place = |from: &str, to: &str| {
            let config = folder.join(".devcontainer/devcontainer.json");
            let config = config.display();
            format!("sed s/{from}/{to}/ '{config}' >/tmp/$$; cat /tmp/$$ >'{config}'; rm /tmp/$$")
        };
        let modified = json!([["devcontainer.json", "modified"]]);
        let above = sandbox.path("");
        if way != "a branch without it and back" {
            let undone = format!("{way}, undone in place");
            check(
                &daemon,
                hints,
                &above,
                &in_place("two", "one"),
                &json!([]),
                &undone,
            );
            let edited = format!("{way}, and edited in place");
            check(
                &daemon,
                hints,
                &above,
                &in_place("one", "three"),
                &modified,
                &edited,
            );
        }
    }
}

#[test]
fn p8_every_way_of_saving_is_noticed() {
    plain_ways(Hints::All);
}

#[test]
fn p8_every_way_of_saving_is_told_without_inotify() {
    plain_ways(Hints::None);
}

#[test]
fn p8_every_way_of_saving_is_noticed_when_events_are_lost() {
    plain_ways(Hints::TooMany);
}

#[test]
fn p8_links_and_directories_that_come_and_go_are_noticed() {
    laid_out_ways(Hints::All);
}

#[test]
fn p8_links_and_directories_that_come_and_go_are_told_without_inotify() {
    laid_out_ways(Hints::None);
}

#[test]
fn p8_links_and_directories_that_come_and_go_are_noticed_when_events_are_lost() {
    laid_out_ways(Hints::TooMany);
}
