//! The arguments that the devcontainer CLI gives to docker and docker-compose: pure rules, without I/O.

use std::ffi::OsString;

use crate::base::time::Timestamp;
use crate::model::ids::OperationId;
use crate::model::labels::{LABEL_FOLDER, LABEL_OPERATION};

/// The flags of `docker compose` before its verb that have their value in the next word.
const COMPOSE_FLAGS_WITH_VALUE: [&str; 6] = [
    "--project-name",
    "-p",
    "--file",
    "-f",
    "--env-file",
    "--profile",
];

/// Returns whether `run` or `create` is given a name for the container.
pub(super) fn has_name(arguments: &[OsString]) -> bool {
    let is_name = |word: &OsString| {
        let word = word.as_encoded_bytes();
        word == b"--name" || word.starts_with(b"--name=")
    };
    arguments.iter().any(is_name)
}

/// Returns whether `run` makes a dev container. The CLI also runs other containers, to look into an image.
pub(super) fn makes_devcontainer(arguments: &[OsString]) -> bool {
    let label = format!("{LABEL_FOLDER}=");
    arguments
        .iter()
        .any(|word| word.as_encoded_bytes().starts_with(label.as_bytes()))
}

/// The arguments of `run` with the label of the operation after those that a configuration gives (`runArgs`): docker
/// takes the last of two equal labels.
pub(super) fn with_label(run: &[OsString], operation: &OperationId) -> Vec<OsString> {
    let label = format!("{LABEL_OPERATION}={operation}");
    // The CLI puts this flag after those of a configuration. What follows may be the command of the container.
    let entrypoint = run.iter().position(|word| word == "--entrypoint");
    let (before, after) = run.split_at(entrypoint.unwrap_or(run.len().min(1)));
    let mut labelled = before.to_vec();
    labelled.extend(["--label".into(), label.into()]);
    labelled.extend_from_slice(after);
    labelled
}

/// The words after `run`, without the flags that `create` does not know. Only a configuration gives these (`runArgs`),
/// before the entry point, and they mean nothing to a container that is created and then started.
pub(super) fn without_flags_of_run(run: &[OsString]) -> Vec<OsString> {
    let mut words = run.iter().skip(1);
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default();
        match text.split('=').next().unwrap_or_default() {
            "--entrypoint" => {
                kept.push(word.clone());
                break;
            }
            "-d" | "--detach" | "--sig-proxy" => {}
            "--detach-keys" if text.contains('=') => {}
            "--detach-keys" => drop(words.next()),
            _ => kept.push(word.clone()),
        }
    }
    kept.extend(words.cloned());
    kept
}

/// The arguments of `events`, with those events that come from `now` on, though docker subscribes to them later. The CLI
/// does not wait for that: on a busy machine, the container that it waits for starts before, and it would wait for ever.
pub(super) fn events_from(events: &[OsString], now: Timestamp) -> Vec<OsString> {
    let has_since = events.iter().any(|word| {
        let word = word.as_encoded_bytes();
        word == b"--since" || word.starts_with(b"--since=")
    });
    let mut all = events.to_vec();
    if !has_since {
        let at = events.len().min(1);
        all.splice(at..at, ["--since".into(), now.as_seconds_text().into()]);
    }
    all
}

/// The index of the verb in the arguments of compose.
pub(super) fn verb_of_compose(arguments: &[OsString]) -> Option<usize> {
    let mut at = 0;
    loop {
        let word = arguments.get(at)?;
        at += if COMPOSE_FLAGS_WITH_VALUE.iter().any(|flag| word == flag) {
            2
        } else if word.as_encoded_bytes().starts_with(b"-") {
            1
        } else {
            return Some(at);
        };
    }
}

/// The value of `--project-name` in the arguments of compose.
pub(super) fn project_of(arguments: &[OsString]) -> Option<&str> {
    let flag = arguments.iter().position(|word| word == "--project-name")?;
    arguments.get(flag + 1)?.to_str()
}

/// The arguments of compose for an `up` that replaces the container of `service` even if nothing of it changed.
/// `up` is the index of the verb.
pub(super) fn forced_up(arguments: &[OsString], up: usize, service: &str) -> Vec<OsString> {
    let flags = ["up", "-d", "--no-deps", "--force-recreate", service];
    let before = arguments.iter().take(up).cloned();
    before.chain(flags.map(OsString::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_those_from_the_call_on() {
        let now = Timestamp::new(1_700_000_000, 5_000);
        let shown = |text: &str| events_from(&words(text), now).join(" ".as_ref());
        assert_eq!(
            shown("events --format {{json .}} --filter event=start"),
            "events --since 1700000000.000005000 --format {{json .}} --filter event=start"
        );
        for own in ["events --since 5", "events --since=5m --filter a=b"] {
            assert_eq!(shown(own), own);
        }
    }

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn a_name_is_one_word_or_two() {
        for (text, named) in [
            ("run --name x base", true),
            ("run --name=x base", true),
            ("run --names base", false),
            ("run base", false),
        ] {
            assert_eq!(has_name(&words(text)), named, "{text}");
        }
    }

    #[test]
    fn only_a_container_with_the_folder_is_the_dev_container() {
        assert!(makes_devcontainer(&words(
            "run -l devcontainer.local_folder=/w base"
        )));
        assert!(!makes_devcontainer(&words("run --rm base uname -m")));
    }

    #[test]
    fn flags_of_run_alone_are_left_out() {
        let run = "run --sig-proxy=false -a STDOUT -d --detach-keys ctrl-x --detach-keys=x --device d --entrypoint /bin/sh base -d";
        let create = "-a STDOUT --device d --entrypoint /bin/sh base -d";
        assert_eq!(without_flags_of_run(&words(run)), words(create));
    }

    #[test]
    fn the_project_of_compose() {
        assert_eq!(project_of(&words("--project-name p -f x up -d")), Some("p"));
        assert_eq!(project_of(&words("-f x config")), None);
        assert_eq!(project_of(&words("--project-name")), None);
    }

    #[test]
    fn the_label_of_the_operation_is_the_last() {
        let operation = OperationId::parse("0123456789abcdef").unwrap();
        for (run, labelled) in [
            (
                "run -a STDOUT --label x=y --entrypoint /bin/sh base",
                "run -a STDOUT --label x=y --label devcontainerd.operation=0123456789abcdef --entrypoint /bin/sh base",
            ),
            (
                "run base",
                "run --label devcontainerd.operation=0123456789abcdef base",
            ),
        ] {
            assert_eq!(with_label(&words(run), &operation), words(labelled));
        }
    }

    #[test]
    fn the_verb_of_compose_comes_after_its_flags() {
        for (text, verb) in [
            ("--project-name up -f x.yml up -d", Some("up")),
            ("-f up build", Some("build")),
            ("--ansi=never up", Some("up")),
            ("-f", None),
            ("", None),
        ] {
            let words = words(text);
            let found = verb_of_compose(&words).and_then(|at| words[at].to_str());
            assert_eq!(found, verb, "{text}");
        }
    }

    #[test]
    fn a_forced_up_keeps_the_flags_before_the_verb() {
        let up = forced_up(&words("--project-name p -f x up -d --build"), 4, "app");
        let forced = "--project-name p -f x up -d --no-deps --force-recreate app";
        assert_eq!(up, words(forced));
    }
}
