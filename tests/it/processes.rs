//! The processes that operations start, wherever they go, and the priority of the daemon's programs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::common::{
    BINARY, Daemon, DaemonBuilder, LONG, NO_EVENTS, Sandbox, Stopwatch, eventually,
};
use devcontainerd::end_leftovers;

/// `escape NAME` starts a process that leaves the session and every parent, writes its number into `$R/NAME`, and
/// stays.
const ESCAPES: &str = r#"escape() { setsid sh -c 'sh -c "echo \$\$ >$R/.$0; mv $R/.$0 $R/$0; exec sleep 1000" "$0" & exit 0' "$1" & }
export R
"#;
/// `escape_bare NAME` starts such a process without an environment.
const ESCAPES_BARE: &str = r#"escape_bare() {
    env -i /usr/bin/setsid /bin/sh -c '/bin/sh -c "echo \$\$ >\$0/.\$1; mv \$0/.\$1 \$0/\$1; exec sleep 1000" "$0" "$1" & exit 0' "$R" "$1" &
}
"#;
/// `await NAME…` waits for files in `$R`.
const AWAIT: &str =
    "await() { for name; do while [ ! -e $R/$name ]; do sleep 0.01; done; done; }\n";

/// A sandbox with dev containers of these names, whose CLI may use the functions above, and its daemon.
fn start(names: &[&str], devcontainer: &str) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::new();
    for (number, name) in (1..).zip(names) {
        let folder = sandbox.workspace(name);
        sandbox.devcontainer_of(number, &folder);
    }
    sandbox.devcontainer(&format!("{ESCAPES}{ESCAPES_BARE}{AWAIT}{devcontainer}"));
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    (sandbox, daemon)
}

/// Waits for the number that a process of the test writes into a file.
#[track_caller]
fn number(sandbox: &Sandbox, file: &str) -> u32 {
    eventually(file, || sandbox.read(file).trim().parse().ok())
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
}

/// Asserts that no process of an operation is left now, and soon no other process, such as a listing, and no zombie.
#[track_caller]
fn assert_nothing_left(sandbox: &Sandbox, daemon: &Daemon) {
    let mark = format!("DEVCONTAINERD_OPERATION={}:", daemon.pid());
    for pid in sandbox.processes() {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        assert!(!environment.contains(&mark), "{pid}: {environment}");
    }
    let nothing = || sandbox.processes().is_empty() && daemon.children().is_empty();
    eventually("all have ended and are reaped", || nothing().then_some(()));
}

#[test]
fn p16_what_left_the_session_and_holds_the_pipes_ends_with_the_operation() {
    let (sandbox, daemon) = start(&["app"], "escape one; escape two; await one two");
    let begun = Stopwatch::start();
    assert_eq!(daemon.recreate("app").status, 204);
    assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
    for name in ["one", "two"] {
        assert!(!is_running(number(&sandbox, name)), "{name}");
    }
    assert_nothing_left(&sandbox, &daemon);
}

#[test]
fn p16_what_left_the_session_ends_with_an_operation_that_takes_too_long() {
    let sandbox = Sandbox::with_app();
    let code = "escape one; await one; sleep 1000";
    sandbox.devcontainer(&format!("{ESCAPES}{AWAIT}{code}"));
    let daemon = sandbox.daemon().args("--job-timeout 2").start();
    daemon.json("/");
    assert_eq!(daemon.recreate("app").status, 500);
    assert!(!is_running(number(&sandbox, "one")));
    assert_nothing_left(&sandbox, &daemon);
}

#[test]
fn p16_what_cleared_its_environment_ends_with_the_last_operation() {
    let (sandbox, daemon) = start(&["app"], "escape_bare bare; await bare");
    assert_eq!(daemon.recreate("app").status, 204);
    assert!(!is_running(number(&sandbox, "bare")));
    assert_nothing_left(&sandbox, &daemon);
}

#[test]
fn p16_nothing_of_another_operation_is_harmed() {
    let code = r#"
case "$folder" in
*/long) escape long; escape_bare long_bare; touch $R/started; await go ;;
*/short) escape short; escape_bare short_bare; await short short_bare long long_bare ;;
esac"#;
    let (sandbox, daemon) = start(&["long", "short"], code);
    daemon.begin_recreate("long");
    eventually("it runs", || sandbox.path("started").exists().then_some(()));
    assert_eq!(daemon.recreate("short").status, 204);
    assert!(!is_running(number(&sandbox, "short")));
    for name in ["long", "long_bare"] {
        assert!(is_running(number(&sandbox, name)), "{name}");
    }
    sandbox.write("go", "");
    eventually("it ends", || {
        let long = daemon.json("/devcontainers/long");
        (long["job"]["state"] == "succeeded").then_some(())
    });
    for name in ["long", "long_bare", "short_bare"] {
        assert!(!is_running(number(&sandbox, name)), "{name}");
    }
    assert_nothing_left(&sandbox, &daemon);
}

#[test]
fn p16_the_helpers_of_containers_outlive_the_operation() {
    let (sandbox, daemon) = start(&["app"], "");
    let helper = sandbox.path("bin/conmon");
    fs::copy("/bin/sh", &helper).unwrap();
    // podman starts it like this, with a process of the container as its child.
    let code = r#"
export R
setsid sh -c '"$R/bin/conmon" -c "echo \$\$ >$R/.helper; mv $R/.helper $R/helper; sleep 1000; true" & exit 0' &
env -i setsid sh -c '"$0/bin/conmon" -c "echo \$\$ >\$0/.bare; mv \$0/.bare \$0/bare; sleep 1000; true" "$0" & exit 0' "$R" &
await helper bare
"#;
    sandbox.devcontainer(&format!("{AWAIT}{code}"));
    assert_eq!(daemon.recreate("app").status, 204);
    for name in ["helper", "bare"] {
        let helper = number(&sandbox, name);
        assert_eq!(parent(helper), Some(daemon.pid()), "{name}: it was adopted");
        let below = crate::common::descendants(helper);
        assert!(is_running(helper) && below.len() == 1, "{name}: {below:?}");
        // These processes would outlive the daemon, too.
        for process in below.into_iter().chain([helper]) {
            crate::common::kill(process);
            eventually("it is reaped", || (!exists(process)).then_some(()));
        }
    }
}

#[test]
fn p16_orphans_are_reaped_while_nobody_asks() {
    let (sandbox, daemon) = start(&["app"], "");
    fs::copy("/bin/sh", sandbox.path("bin/conmon")).unwrap();
    // It outlives the operation, and its child loses its parent only afterwards.
    let code = r#"
export R
setsid sh -c '"$R/bin/conmon" -c "
    sleep 1000 & echo \$! >$R/.orphan; mv $R/.orphan $R/orphan
    while [ ! -e $R/leave ]; do sleep 0.01; done" & exit 0' &
await orphan
"#;
    sandbox.devcontainer(&format!("{AWAIT}{code}"));
    assert_eq!(daemon.recreate("app").status, 204);
    let orphan = number(&sandbox, "orphan");
    let helper = parent(orphan).unwrap();
    sandbox.write("leave", "");
    eventually("the helper has ended and is reaped", || {
        (!exists(helper)).then_some(())
    });
    assert_eq!(parent(orphan), Some(daemon.pid()));
    crate::common::kill(orphan);
    eventually("the orphan is reaped", || (!exists(orphan)).then_some(()));
    // A listing may run at this moment.
    eventually("no child is left", || {
        daemon.children().is_empty().then_some(())
    });
}

#[test]
fn p16_leftovers_of_a_killed_daemon_are_ended_and_those_of_a_living_one_stay() {
    let code = "escape one; await one; touch $R/started; sleep 1000";
    let (killed, mut dead) = start(&["app"], code);
    let (spared, living) = start(&["app"], code);
    for (sandbox, daemon) in [(&killed, &dead), (&spared, &living)] {
        daemon.begin_recreate("app");
        eventually("it runs", || sandbox.path("started").exists().then_some(()));
    }
    let before = spared.processes();
    assert!(before.len() >= 2, "{before:?}");
    end_leftovers();
    assert!(is_running(number(&killed, "one")), "its daemon lives");
    dead.signal("KILL");
    dead.wait();
    // A daemon of another test may have ended them already.
    end_leftovers();
    eventually("nothing is left", || {
        killed.processes().is_empty().then_some(())
    });
    assert!(before.iter().all(|pid| is_running(*pid)));
    assert!(is_running(number(&spared, "one")));
}

#[test]
fn p16_leftovers_of_a_killed_daemon_are_ended_before_the_cli_runs() {
    let (killed, mut dead) = start(
        &["app"],
        "escape one; await one; touch $R/started; sleep 1000",
    );
    let saw = r#"case "$(cat /proc/$(cat $R/left)/stat 2>/dev/null)" in ''|*") Z "*) echo gone ;; *) echo alive ;; esac >$R/saw"#;
    let (sandbox, daemon) = start(&["app"], saw);
    dead.begin_recreate("app");
    eventually("it runs", || killed.path("started").exists().then_some(()));
    sandbox.write("left", &number(&killed, "one").to_string());
    let labelled = || sandbox.calls("docker", "ps --all --quiet --no-trunc --filter");
    let before = labelled();
    dead.signal("KILL");
    dead.wait();
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(sandbox.read("saw"), "gone\n");
    // The leftover may have been at work, so that docker is asked again. A daemon of another test may have ended it.
    let has_ended = daemon.log_count("processes that an earlier daemon left") > 0;
    assert_eq!(labelled() - before, 1 + usize::from(has_ended));
}

/// Writes two lines with a niceness and an `oom_score_adj`: those of a program of the daemon, and those of its child.
///
/// It first waits for the `oom_score_adj`, which is set when the program runs already, for up to 30 s.
const PRIORITIES: &str = r#"
tries=0
until [ "$(cat /proc/$$/oom_score_adj)" = ADJUSTMENT ] || [ $tries = 1500 ]; do sleep 0.02; tries=$((tries+1)); done
priority() { echo "$(ps -o ni= -p $1) $(cat /proc/$1/oom_score_adj)" | tr -s ' ' | sed 's/^ //'; }
sleep 1000 & child=$!
{ priority $$; priority $child; } >$R/.priority; mv $R/.priority $R/priority
"#;

/// Recreates with these arguments, which lead to this `oom_score_adj`. Returns the two lines, too.
fn priorities(arguments: &str, adjustment: &str) -> (Sandbox, Daemon, String) {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(&PRIORITIES.replace("ADJUSTMENT", adjustment));
    let daemon = sandbox.daemon().args(arguments).start();
    daemon.json("/");
    assert_eq!(daemon.recreate("app").status, 204);
    let priorities = sandbox.read("priority");
    (sandbox, daemon, priorities)
}

fn own_priority(pid: u32) -> (String, String) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let nice = after_name.split(' ').nth(16).unwrap().to_owned();
    let adjustment = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    (nice, adjustment.trim().to_owned())
}

#[test]
fn programs_and_what_they_start_get_their_priority_and_the_daemon_keeps_its_own() {
    let ours = own_priority(std::process::id());
    let arguments = "--child-nice 15 --child-oom-score-adj 900";
    let (_sandbox, daemon, given) = priorities(arguments, "900");
    assert_eq!(given, "15 900\n15 900\n");
    assert_eq!(own_priority(daemon.pid()), ours);
    let (nice, adjustment) = &ours;
    let (_sandbox, daemon, inherited) = priorities("", adjustment);
    let line = format!("{nice} {adjustment}\n");
    assert_eq!(inherited, line.repeat(2));
    assert_eq!(own_priority(daemon.pid()), ours);
}

/// A daemon without the right to raise a priority, also where root runs the tests.
fn unprivileged(sandbox: &Sandbox) -> DaemonBuilder {
    let daemon = match fs::metadata("/proc/self").unwrap().uid() {
        0 => DaemonBuilder::of("setpriv")
            .args("--bounding-set=-sys_nice,-sys_resource")
            .arg(BINARY),
        _ => DaemonBuilder::of(BINARY),
    };
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    daemon.env("PATH", &path).env(NO_EVENTS, "true")
}

#[test]
fn a_niceness_that_is_not_permitted_is_a_usage_error() {
    let sandbox = Sandbox::new();
    let (status, said) = unprivileged(&sandbox).args("--child-nice -20").run();
    assert_eq!(status.code(), Some(2), "{said}");
    let (nice, _) = own_priority(std::process::id());
    let expected = format!("it should be {nice} or more, or the daemon needs CAP_SYS_NICE\n");
    assert!(
        said.starts_with("devcontainerd: --child-nice -20: Permission denied"),
        "{said}"
    );
    assert!(
        said.ends_with(&expected) && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn an_oom_score_adj_that_is_not_permitted_is_warned_of_once() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    let daemon = unprivileged(&sandbox)
        .args("--cache-duration 0 --child-oom-score-adj -1000")
        .start();
    for _ in 0..3 {
        assert_eq!(daemon.get("/").status, 200);
    }
    let lines = daemon.log.lines();
    let warned = lines
        .iter()
        .filter(|line| line.contains("--child-oom-score-adj -1000: "));
    assert_eq!(warned.count(), 1, "{lines:?}");
    assert!(sandbox.calls("docker", "ps") >= 3);
}

#[test]
fn a_bad_priority_is_a_usage_error() {
    for (arguments, right) in [
        ("--child-nice 20", "from -20 to 19"),
        ("--child-nice low", "from -20 to 19"),
        ("--child-oom-score-adj 1001", "from -1000 to 1000"),
    ] {
        let (status, said) = Sandbox::new().daemon().args(arguments).run();
        let expected = format!("devcontainerd: {arguments}: it should be a whole number {right}\n");
        assert_eq!((status.code(), &*said), (Some(2), &*expected));
    }
}
