//! Tests of reading the command line and the environment.

use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::flags::{FLAGS, Setting};
use super::words::WORDS;
use super::*;
use crate::base::logging::LogFormat;
use crate::base::test_dir::TestDir;
use crate::model::allow_uid::AllowUid;
use crate::model::operation::OperationKind;
use crate::process::Priority;

fn run(arguments: &str, environment: &[(&str, &str)]) -> Result<Task, UsageError> {
    let words = arguments.split_whitespace().map(OsString::from);
    parse(words, &|name| {
        let found = environment.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| value.into())
    })
}

fn config(arguments: &str, environment: &[(&str, &str)]) -> Config {
    match run(arguments, environment) {
        Ok(Task::Serve(config)) => *config,
        other => panic!("{arguments}: {other:?}"),
    }
}

#[test]
fn the_defaults() {
    for arguments in ["", "serve"] {
        let config = config(arguments, &[("HOME", "/home/me")]);
        assert_eq!(config.listen[0].to_string(), "http://127.0.0.1:3382");
        assert_eq!(config.cache_duration, Duration::from_secs(10));
        assert_eq!(config.list_timeout, Duration::from_secs(5));
        assert_eq!(config.job_timeout, Duration::from_secs(3600));
        assert_eq!(config.max_operations, None);
        assert_eq!(config.log_level, LevelFilter::Info);
        assert!(config.events && config.log_format == LogFormat::Text);
        let state = "/home/me/.local/state/devcontainerd";
        assert_eq!(config.state_dir, Some(state.into()));
    }
    let config = config("", &[("HOME", "/home/me"), ("XDG_STATE_HOME", "/state")]);
    assert_eq!(config.state_dir, Some("/state/devcontainerd".into()));
}

#[test]
fn flags_beat_the_environment() {
    let environment = [
        ("DEVCONTAINERD_LISTEN", "127.0.0.1:1, unix:/x"),
        ("DEVCONTAINERD_DOCKER", "podman"),
        ("DEVCONTAINERD_CACHE_DURATION", "0.5"),
        ("DEVCONTAINERD_NO_EVENTS", "true"),
        ("DEVCONTAINERD_LOG_FORMAT", "json"),
        ("DEVCONTAINERD_MANIFEST", ""),
    ];
    let from_environment = config("", &environment);
    assert_eq!(from_environment.listen.len(), 2);
    assert_eq!(from_environment.docker, Some("podman".into()));
    assert_eq!(from_environment.cache_duration, Duration::from_millis(500));
    assert!(!from_environment.events && from_environment.log_format == LogFormat::Json);
    assert_eq!(from_environment.manifest, None);
    let flags = "--listen 127.0.0.1:2 --docker=docker --cache-duration 1 --cache-duration 3 --log-format text";
    let from_flags = config(flags, &environment);
    assert_eq!(from_flags.listen.len(), 1);
    assert_eq!(from_flags.docker, Some("docker".into()));
    assert_eq!(from_flags.cache_duration, Duration::from_secs(3));
    assert_eq!(from_flags.log_format, LogFormat::Text);
}

#[test]
fn the_priority_of_programs_is_inherited_unless_it_is_given() {
    assert_eq!(config("", &[]).child_priority, Priority::default());
    let given = config(
        "--child-nice -20",
        &[
            ("DEVCONTAINERD_CHILD_NICE", "19"),
            ("DEVCONTAINERD_CHILD_OOM_SCORE_ADJ", "1000"),
        ],
    );
    let expected = Priority {
        nice: Some(-20),
        oom_score_adj: Some(1000),
    };
    assert_eq!(given.child_priority, expected);
}

#[test]
fn the_number_of_operations_at_once_is_given() {
    let variable = [("DEVCONTAINERD_MAX_OPERATIONS", "7")];
    assert_eq!(config("", &variable).max_operations, Some(7));
    let flag = config("--max-operations 1000", &variable);
    assert_eq!(flag.max_operations, Some(1000));
}

#[test]
fn every_flag_has_its_row_in_the_documentation() {
    let page = include_str!("../../docs/configuration.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `--"));
    let documented = rows.map(|row| row.split(" | ").next().unwrap().to_owned());
    let expected = FLAGS.iter().map(|flag| {
        let usage = flag.usage();
        let usage = usage.trim_start_matches('-');
        match flag.setting {
            Setting::Repeatable(..) | Setting::Words(..) => format!("{usage}` (repeatable)"),
            Setting::Switch(_) | Setting::Single(..) => format!("{usage}`"),
        }
    });
    let (mut documented, mut expected) =
        (documented.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    documented.sort_unstable();
    expected.sort_unstable();
    assert_eq!(documented, expected);
}

#[test]
fn addresses_of_metrics_are_separate_ones() {
    let given = config(
        "--metrics-listen 127.0.0.1:1 --metrics-listen unix:/m",
        &[("DEVCONTAINERD_METRICS_LISTEN", "127.0.0.1:2")],
    );
    assert_eq!(given.metrics_listen.len(), 2);
    assert_eq!(given.listen[0].to_string(), "http://127.0.0.1:3382");
}

#[test]
fn repeatable_flags_add_up() {
    let config = config(
        "--workspace-root /a --workspace-root /b --allow-host x --allow-host y.z",
        &[("DEVCONTAINERD_DEVCONTAINER_FOLDER", "/c,/d")],
    );
    assert_eq!(config.workspace_roots, [PathBuf::from("/a"), "/b".into()]);
    assert_eq!(
        config.devcontainer_folders,
        [PathBuf::from("/c"), "/d".into()]
    );
    assert_eq!(config.allow_hosts, ["x", "y.z"]);
    let here = std::env::current_dir().unwrap();
    let relative = run("--workspace-root ./x", &[]);
    assert!(matches!(relative, Ok(Task::Serve(c)) if c.workspace_roots == [here.join("x")]));
}

#[test]
fn an_error_names_the_flag_the_value_and_the_fix() {
    for (arguments, expected) in [
        ("--bogus", "unknown flag --bogus; see --help"),
        ("-x", "invalid option '-x'; see --help"),
        ("bogus", "unexpected argument \"bogus\"; see --help"),
        (
            "serve healthcheck",
            "serve takes no further argument \"healthcheck\"; see devcontainerd serve --help",
        ),
        (
            "--listen",
            "missing argument for option '--listen'; see --help",
        ),
        (
            "--no-events=maybe",
            "--no-events takes no value; see --help",
        ),
        (
            "--listen 3382",
            "--listen 3382: it should be HOST:PORT (HOST an IP address or localhost), [::1]:PORT or unix:/path",
        ),
        (
            "--cache-duration -1",
            "--cache-duration -1: it should be a number of seconds from 0 to 31622400",
        ),
        (
            "--cache-duration nan",
            "--cache-duration nan: it should be a number of seconds from 0 to 31622400",
        ),
        (
            "--list-timeout 0",
            "--list-timeout 0: it should be a number of seconds from 0.1 to 31622400",
        ),
        (
            "--job-timeout soon",
            "--job-timeout soon: it should be a number of seconds from 0.1 to 31622400",
        ),
        (
            "--workspace-root=",
            "--workspace-root : it should be the path of a directory",
        ),
        (
            "--child-nice 20",
            "--child-nice 20: it should be a whole number from -20 to 19",
        ),
        (
            "--child-nice=1.5",
            "--child-nice 1.5: it should be a whole number from -20 to 19",
        ),
        (
            "--child-oom-score-adj -1001",
            "--child-oom-score-adj -1001: it should be a whole number from -1000 to 1000",
        ),
        (
            "--log-level loud",
            "--log-level loud: it should be error, warn, info, debug or trace",
        ),
        (
            "--log-format xml",
            "--log-format xml: it should be text or json",
        ),
        (
            "--allow-host a:1",
            "--allow-host a:1: it should be a host name without a port",
        ),
        (
            "--docker=-x",
            "--docker -x: it should be the path or the name of a program",
        ),
    ] {
        let error = run(arguments, &[]).unwrap_err().to_string();
        assert_eq!(error, expected, "{arguments}");
    }
    for (variable, value) in [("JOB_TIMEOUT", "x"), ("NO_EVENTS", "perhaps")] {
        let variable = format!("DEVCONTAINERD_{variable}");
        let error = run("", &[(&variable, value)]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{variable} {value}: ")),
            "{error}"
        );
    }
}

fn text(arguments: &str) -> String {
    match run(arguments, &[]) {
        Ok(Task::Print(text)) => text,
        other => panic!("{arguments}: {other:?}"),
    }
}

fn target(arguments: &str, environment: &[(&str, &str)]) -> Target {
    match run(arguments, environment) {
        Ok(Task::Healthcheck(target) | Task::Ask(target, _)) => target,
        other => panic!("{arguments}: {other:?}"),
    }
}

fn question(arguments: &str) -> Question {
    match run(arguments, &[]) {
        Ok(Task::Ask(_, question)) => question,
        other => panic!("{arguments}: {other:?}"),
    }
}

#[test]
fn help_and_version_are_texts() {
    for arguments in ["--help", "-h", "help", "--listen unix:/x --help"] {
        assert_eq!(text(arguments), text("--help"), "{arguments}");
    }
    assert_eq!(text("serve --version"), text("-V"));
    for entry in WORDS {
        let own = text(&format!("help {}", entry.name));
        assert_eq!(text(&format!("{} --help", entry.name)), own);
        assert!(own.starts_with(&format!("Usage: devcontainerd {} [FLAGS]", entry.name)));
    }
    assert!(text("help --man").starts_with(".TH DEVCONTAINERD 1 "));
    assert!(text("completions bash").contains("complete -o default"));
}

#[test]
fn the_daemon_is_where_the_flags_or_the_environment_say() {
    for (arguments, environment, expected) in [
        ("ls", &[][..], &["http://127.0.0.1:3382"][..]),
        ("ls --url http://[::1]:80/x", &[], &["http://[::1]:80/x"]),
        (
            "--url unix:/s ls",
            &[("DEVCONTAINERD_URL", "unix:/t")],
            &["unix:/s"],
        ),
        (
            "ls",
            &[
                ("DEVCONTAINERD_URL", "unix:/t"),
                ("DEVCONTAINERD_LISTEN", "[::1]:1"),
            ],
            &["unix:/t"],
        ),
        (
            "ls",
            &[("DEVCONTAINERD_LISTEN", "unix:/s,127.0.0.1:1")],
            &["unix:/s", "http://127.0.0.1:1"],
        ),
        ("healthcheck", &[], &["http://127.0.0.1:3382"]),
        ("healthcheck --listen unix:/s", &[], &["unix:/s"]),
        (
            "ls",
            &[("XDG_RUNTIME_DIR", "/nonexistent")],
            &["http://127.0.0.1:3382"],
        ),
    ] {
        assert_eq!(target(arguments, environment).urls, expected, "{arguments}");
    }
    let dir = TestDir::new();
    let socket = dir.write("devcontainerd.sock", "");
    let environment = [("XDG_RUNTIME_DIR", dir.path().to_str().unwrap())];
    let socket = format!("unix:{}", socket.display());
    let urls = target("ls", &environment).urls;
    assert_eq!(urls, [&*socket, "http://127.0.0.1:3382"]);
    for (arguments, variable) in [
        ("healthcheck --token-file /t", ""),
        ("ls --url unix:/s", "/t"),
    ] {
        let environment = [("DEVCONTAINERD_TOKEN_FILE", variable)];
        let found = target(arguments, &environment).token_file;
        assert_eq!(found, Some("/t".into()), "{arguments}");
    }
}

#[test]
fn words_become_questions() {
    let operate = |kind, all| Question::Operate {
        kind,
        name: "app".to_owned(),
        all,
    };
    let wait = |clean, running, idle, timeout| Question::Wait {
        name: "app".to_owned(),
        clean,
        running,
        idle,
        timeout: Some(Duration::from_millis(timeout)).filter(|time| !time.is_zero()),
    };
    let exec = |flags: &[&'static str], docker: &str, command: &[&str]| Question::Exec {
        name: "app".to_owned(),
        flags: flags.to_vec(),
        docker: Some(docker.into()).filter(|_| !docker.is_empty()),
        command: command.iter().map(OsString::from).collect(),
    };
    let both = ["--interactive", "--tty"];
    for (arguments, expected) in [
        ("ls", Question::List(ListForm::Table)),
        ("ls -q", Question::List(ListForm::Names)),
        ("--json ls", Question::List(ListForm::Json)),
        ("recreate app", operate(OperationKind::Recreate, false)),
        ("start app", operate(OperationKind::Start, false)),
        ("stop app --all", operate(OperationKind::Stop, true)),
        ("rm --all app", operate(OperationKind::Delete, true)),
        ("cancel app", Question::Cancel("app".to_owned())),
        ("wait app", wait(false, false, true, 0)),
        (
            "wait app --clean --timeout 1.5",
            wait(true, false, false, 1500),
        ),
        ("wait --idle --running app", wait(false, true, true, 0)),
        ("exec app -- ls -l", exec(&[], "", &["ls", "-l"])),
        ("exec app ls --help", exec(&[], "", &["ls", "--help"])),
        ("exec -it app -- -x", exec(&both, "", &["-x"])),
        (
            "exec app -ti -- ls -- x",
            exec(&both, "", &["ls", "--", "x"]),
        ),
        ("exec --docker podman app ls", exec(&[], "podman", &["ls"])),
        (
            "__complete recreate a",
            Question::CompleteName("a".to_owned()),
        ),
    ] {
        assert_eq!(question(arguments), expected, "{arguments}");
    }
    let logs = Question::Logs {
        name: ".".to_owned(),
        follow: true,
    };
    assert_eq!(question("logs -f ."), logs);
}

#[test]
fn a_mistake_in_a_word_is_named_with_what_was_meant() {
    for (arguments, expected) in [
        (
            "recrate app",
            "unexpected argument \"recrate\"; did you mean recreate? See --help",
        ),
        (
            "ls --jsn",
            "unknown flag --jsn; did you mean --json? See --help",
        ),
        (
            "--lisen x",
            "unknown flag --lisen; did you mean --listen? See --help",
        ),
        (
            "ls --timeout 3",
            "ls takes no --timeout; see devcontainerd ls --help",
        ),
        (
            "ls --listen [::1]:1",
            "ls takes no --listen; see devcontainerd ls --help",
        ),
        (
            "--url x",
            "serve takes no --url; see devcontainerd serve --help",
        ),
        ("ls -x", "invalid option '-x'; see --help"),
        (
            "recreate",
            "recreate needs the NAME or the FOLDER of a dev container; see devcontainerd recreate --help",
        ),
        (
            "recreate a b",
            "recreate takes no further argument \"b\"; see devcontainerd recreate --help",
        ),
        (
            "exec app --",
            "exec needs NAME -- COMMAND; see devcontainerd exec --help",
        ),
        (
            "wait a --timeout -1",
            "--timeout -1: it should be a number of seconds from 0 to 31622400",
        ),
        ("ls --json=1", "--json takes no value; see --help"),
        (
            "help nope",
            "help knows no word \"nope\"; see devcontainerd help --help",
        ),
        (
            "completions csh",
            "completions knows the shells bash, zsh, fish; see devcontainerd completions --help",
        ),
    ] {
        let error = run(arguments, &[]).unwrap_err().to_string();
        assert_eq!(error, expected, "{arguments}");
    }
}

#[test]
fn without_an_address_the_sockets_of_the_service_manager_serve() {
    let pid = std::process::id().to_string();
    let given = [("LISTEN_PID", pid.as_str()), ("LISTEN_FDS", "1")];
    assert_eq!(config("", &given).listen, []);
    assert_eq!(config("--listen unix:/s", &given).listen.len(), 1);
    let for_another = [("LISTEN_PID", "1"), ("LISTEN_FDS", "1")];
    assert_eq!(config("", &for_another).listen.len(), 1);
}

#[test]
fn users_are_numbers() {
    let given = [("DEVCONTAINERD_ALLOW_UID", "1000,any")];
    let allowed = [AllowUid::Uid(1000), AllowUid::Any];
    assert_eq!(config("", &given).allow_uids, allowed);
    for value in ["root", "-1", "4294967295", "1.5", ""] {
        let arguments = format!("--allow-uid={value}");
        let error = run(&arguments, &[]).unwrap_err().to_string();
        assert!(error.contains("the number of a user, or any"), "{error}");
    }
}

#[test]
fn the_help_names_every_word_and_flag_in_80_columns() {
    let help = text("--help");
    for name in WORDS.iter().map(|entry| entry.name) {
        assert!(help.contains(&format!("\n  {name}")), "{name}");
    }
    for flag in FLAGS {
        let name = format!("\n  {}", flag.usage());
        assert!(help.contains(&name), "{name}");
        assert!(text("help serve").contains(&name), "{name}");
    }
    let of_words = WORDS
        .iter()
        .map(|entry| text(&format!("help {}", entry.name)));
    for page in of_words.chain([help]) {
        assert!(page.contains("\nExamples:\n") && page.contains("\nExit status:\n"));
        let long = page.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None);
    }
}

#[test]
fn the_docs_name_every_word_and_flag() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    for entry in WORDS {
        let row = docs.lines().find(|line| {
            let rest = line
                .strip_prefix("| `")
                .and_then(|rest| rest.strip_prefix(entry.name));
            rest.is_some_and(|rest| rest.starts_with(['`', ' ']))
        });
        let row = row.unwrap_or_else(|| panic!("{} has no row", entry.name));
        for flag in entry.flags {
            assert!(row.contains(&format!("`--{}", flag.name)), "{}", flag.name);
        }
    }
    for (status, _) in words::STATUSES {
        assert!(docs.contains(&format!("\n| {status} |")), "{status}");
    }
}

#[test]
fn the_help_tells_the_true_defaults() {
    let defaults = config("", &[]);
    for name in [
        "listen",
        "cache-duration",
        "list-timeout",
        "job-timeout",
        "log-level",
        "log-format",
    ] {
        let flag = FLAGS.iter().find(|flag| flag.name == name).unwrap();
        let arguments = format!("--{name} {}", flag.default);
        assert_eq!(config(&arguments, &[]), defaults, "{arguments}");
    }
}
