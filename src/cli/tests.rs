//! Tests of reading the command line and the environment.

use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::*;
use crate::base::logging::LogFormat;
use crate::model::allow_uid::AllowUid;
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
            "unexpected argument \"healthcheck\"; see --help",
        ),
        ("--url x", "unknown flag --url; see --help"),
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

#[test]
fn other_tasks() {
    assert!(matches!(run("--help", &[]), Ok(Task::Help)));
    assert!(matches!(run("serve --version", &[]), Ok(Task::Version)));
    let url = |arguments, environment: &[_]| match run(arguments, environment) {
        Ok(Task::Healthcheck(check)) => check.url,
        other => panic!("{other:?}"),
    };
    assert_eq!(url("healthcheck", &[]), "http://127.0.0.1:3382");
    assert_eq!(
        url("healthcheck --url http://[::1]:80/x", &[]),
        "http://[::1]:80/x"
    );
    let environment = [("DEVCONTAINERD_LISTEN", "unix:/s,127.0.0.1:1")];
    assert_eq!(url("healthcheck", &environment), "unix:/s");
    for (arguments, variable) in [
        ("healthcheck --token-file /t", ""),
        ("healthcheck --url unix:/s", "/t"),
    ] {
        let environment = [("DEVCONTAINERD_TOKEN_FILE", variable)];
        match run(arguments, &environment) {
            Ok(Task::Healthcheck(check)) => assert_eq!(check.token_file, Some("/t".into())),
            other => panic!("{other:?}"),
        }
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
fn the_help_names_every_flag() {
    for flag in FLAGS {
        let name = format!("\n  --{} ", flag.name);
        assert!(help().contains(&name), "{name}");
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
