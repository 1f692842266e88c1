//! The cause of a failure in docker's own words.
//!
//! The errors of docker, podman and the builders are known by their beginnings, wherever they stand in the output. Those of
//! compose have no such mark, but compose prints nothing after its error.

use std::collections::VecDeque;

use crate::base::text::plain_text;

/// How many bytes at the end of a program's output are searched for a cause.
const MAX_SEARCHED: usize = 8 << 10;
/// How many bytes of a cause are shown.
const MAX_CAUSE: usize = 1 << 10;
/// The beginnings of the error messages of docker, podman, compose 1, the builders and the shim.
const CAUSES: [&str; 17] = [
    "devcontainerd: ",
    "Cannot connect to the Docker daemon",
    "error during connect",
    "permission denied while trying to connect",
    "Got permission denied while trying to connect",
    "Error response from daemon",
    "docker: ",
    "invalid reference format",
    "flag needs an argument: ",
    "unknown flag: ",
    "unknown shorthand flag: ",
    "invalid argument ",
    "unable to prepare context: ",
    "The command '",
    "ERROR: ",
    "Error: ",
    "failed to solve",
];
/// The beginnings of messages that docker prints after the cause.
const AFTER_THE_CAUSE: [&str; 2] = [
    "Error: failed to start containers",
    "Error: failed to rename container",
];

/// The words within a message of a builder that comes after the name of what was built: `target app: failed to solve: …`.
const FAILED_TARGET: (&str, &str) = ("target ", ": failed to solve: ");
/// The colour in which the CLI shows the standard error of a program that has ended.
const STDERR: &str = "\u{1b}[31m";
/// The words by which lines of compose's log are known that are no errors.
const NO_ERRORS: [&str; 3] = [" level=warning ", " level=info ", " level=debug "];

/// The beginning of the name of an error of compose 1's YAML parser, such as `yaml.parser.ParserError`.
const YAML_ERROR: &str = "yaml.";

/// How many failed programs are remembered. The CLI runs few more before it gives up.
const MAX_FAILED: usize = 16;
/// How many bytes of a command line tell it from others.
const MAX_COMMAND: usize = 8 << 10;
/// How the CLI reports a command that failed. The command line follows.
const COMMAND_FAILED: &str = "Command failed: ";

/// The errors of the programs that the CLI runs one after the other.
///
/// After one has failed the CLI may go on, so that an error counts only where the CLI reports that program.
#[derive(Default)]
pub(super) struct Causes {
    /// The first line of the command line of the last program; empty before the first.
    command: String,
    /// The end of what it has printed.
    output: String,
    /// The last error that it has printed and that may be shown, if it is compose.
    last_error: Option<String>,
    /// Earlier programs with an error, and the error. The newest is the last one.
    failed: VecDeque<(String, String)>,
}

impl Causes {
    /// Takes that the next program begins.
    pub(super) fn begin(&mut self, command: &str) {
        if let Some(cause) = self.last() {
            if self.failed.len() >= MAX_FAILED {
                self.failed.pop_front();
            }
            let command = std::mem::take(&mut self.command);
            self.failed.push_back((command, cause));
        }
        self.command = identity(command).to_owned();
        self.output.clear();
        self.last_error = None;
    }

    /// Takes the output that the last program has printed until its end, and lines of the CLI itself. With `is_shown`, it
    /// is of a level that holds no secrets.
    pub(super) fn push_text(&mut self, text: &str, is_shown: bool) {
        if text.contains(STDERR) {
            self.push(text, is_shown);
        } else {
            // Its standard output may be a compose file with the values of its variables.
            self.push(text, false);
        }
    }

    /// Takes a piece of the output of the last program, as it is printed.
    pub(super) fn push(&mut self, text: &str, is_shown: bool) {
        if is_shown && is_compose(&self.command) {
            self.last_error = last_error(text).or(self.last_error.take());
        }
        let from = text.ceil_char_boundary(text.len().saturating_sub(MAX_SEARCHED));
        self.output.push_str(text.get(from..).unwrap_or_default());
        if self.output.len() > 2 * MAX_SEARCHED {
            let from = self
                .output
                .ceil_char_boundary(self.output.len() - MAX_SEARCHED);
            self.output.drain(..from);
        }
    }

    /// Returns the error of the command that `message` says has failed. It holds no secrets, unlike most of the output
    /// around it.
    pub(super) fn cause_of(&self, message: &str) -> Option<String> {
        let (_, command) = message.split_once(COMMAND_FAILED)?;
        let command = identity(command);
        if self.command == command || self.command.is_empty() {
            return self.last();
        }
        let mut failed = self.failed.iter().rev();
        let (_, cause) = failed.find(|(failed, _)| failed == command)?;
        Some(cause.clone())
    }

    /// Returns the last error message of docker in the output of the last program.
    fn last(&self) -> Option<String> {
        let mut lines = self.output.lines().map(plain_text);
        let last = lines.rfind(|line| is_cause(line.trim()));
        let cause = last.map(|last| shorten(last.trim()).to_owned());
        cause.or_else(|| self.last_error.clone())
    }
}

fn shorten(cause: &str) -> &str {
    let end = cause.floor_char_boundary(MAX_CAUSE);
    cause.get(..end).unwrap_or_default()
}

/// Returns whether a command line is one of compose: of `docker compose`, or of a program of its own.
fn is_compose(command: &str) -> bool {
    let mut words = command.split(' ');
    let program = words.next().and_then(|program| program.rsplit('/').next());
    program.is_some_and(|program| program.contains("compose")) || words.next() == Some("compose")
}

/// Returns the error of compose with which a text ends: its last line, or a message of compose 1's YAML parser, which
/// goes over several lines.
fn last_error(text: &str) -> Option<String> {
    let lines = text.lines().map(plain_text);
    let errors: Vec<_> = lines.filter(|line| is_error(line)).collect();
    let is_first = |line: &String| line.trim().starts_with(YAML_ERROR);
    let first = errors.iter().rposition(is_first);
    let first = first.or(errors.len().checked_sub(1))?;
    let error: Vec<&str> = errors.iter().skip(first).map(|line| line.trim()).collect();
    Some(shorten(&error.join(", ")).to_owned())
}

fn is_error(line: &str) -> bool {
    !line.trim().is_empty() && !NO_ERRORS.iter().any(|words| line.contains(words))
}

/// Returns the part of a command line by which it is known. The log has no more than the first line.
fn identity(command: &str) -> &str {
    let line = command.lines().next().unwrap_or_default().trim();
    let end = line.floor_char_boundary(MAX_COMMAND);
    line.get(..end).unwrap_or_default()
}

fn is_cause(line: &str) -> bool {
    let begins_with = |words: &&str| line.starts_with(words);
    let (target, failed) = FAILED_TARGET;
    let is_of_target = line.starts_with(target) && line.contains(failed);
    (is_of_target || CAUSES.iter().any(begins_with)) && !AFTER_THE_CAUSE.iter().any(begins_with)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(printed: &[&str]) -> Option<String> {
        let mut causes = Causes::default();
        causes.begin("docker run x");
        for text in printed {
            causes.push(text, true);
        }
        causes.cause_of("Command failed: docker run x")
    }

    #[test]
    fn an_error_is_that_of_the_command_that_failed() {
        let mut causes = Causes::default();
        for (command, printed) in [
            (
                "docker buildx version",
                "docker: unknown command: docker buildx",
            ),
            (
                "docker run -p 80:80 x -c echo",
                "docker: Error response from daemon: port is taken",
            ),
            ("docker ps -q ", ""),
            ("docker inspect y", "Error: No such object: y"),
        ] {
            causes.begin(command);
            causes.push(printed, false);
        }
        for (message, expected) in [
            (
                "Command failed: docker run -p 80:80 x -c echo\ntrap",
                Some("docker: Error response from daemon: port is taken"),
            ),
            (
                "An error: Command failed: docker inspect y",
                Some("Error: No such object: y"),
            ),
            ("Command failed: docker ps -q", None),
            ("Command failed: /bin/sh -c exit 3", None),
            ("something else", None),
        ] {
            assert_eq!(causes.cause_of(message).as_deref(), expected, "{message}");
        }
        for number in 0..100 {
            causes.begin(&format!("{number}{}", "x".repeat(2 * MAX_COMMAND)));
            causes.push("Error: x", false);
        }
        assert_eq!(causes.failed.len(), MAX_FAILED);
        assert!(
            causes
                .failed
                .iter()
                .all(|(line, _)| line.len() <= MAX_COMMAND)
        );
    }

    #[test]
    fn the_last_message_of_docker_is_the_cause() {
        assert_eq!(cause(&["fine\n"]), None);
        let printed = ["Error: one\r\n", "\u{1b}[1mERROR: two\u{1b}[0m\nfine\n"];
        assert_eq!(cause(&printed).as_deref(), Some("ERROR: two"));
        let printed = ["Error: one\nError: failed to start containers: x\n"];
        assert_eq!(cause(&printed).as_deref(), Some("Error: one"));
    }

    #[test]
    fn every_client_has_a_cause() {
        // Printed by docker 20.10, 26.1 and 28.2, podman 4.3 and 5.4, and by the shim.
        for (cause_of_it, around) in [
            ("unknown flag: --bad", "~\nSee 'docker create --help'."),
            (
                "unknown shorthand flag: 'y' in -y",
                "~\n\nUsage:  docker create [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun 'docker create --help' for more information",
            ),
            (
                "flag needs an argument: --memory",
                "~\nSee 'docker create --help'.",
            ),
            (
                "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'",
                "~\nSee 'docker create --help'.",
            ),
            (
                "docker: Invalid containerPort: abc.",
                "~\nSee 'docker create --help'.",
            ),
            (
                "docker: invalid containerPort: abc",
                "~\n\nRun 'docker create --help' for more information",
            ),
            (
                "invalid reference format: repository name (library/UPPER) must be lowercase",
                "~",
            ),
            (
                "docker: Error response from daemon: invalid restart policy 'foo'",
                "~\n\nRun 'docker run --help' for more information",
            ),
            (
                "docker: Error response from daemon: error gathering device information while adding custom device \"/dev/nonesuch\": no such file or directory.",
                "~\ntime=\"2026-11-27T22:37:50Z\" level=error msg=\"error waiting for container: context canceled\"",
            ),
            (
                "Error response from daemon: Get \"http://localhost:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                "Unable to find image 'localhost:1/no-such:latest' locally\n~",
            ),
            (
                "Error response from daemon: No such container: x",
                "~\nError: failed to start containers: x",
            ),
            (
                "docker: unknown command: docker compose",
                "~\n\nRun 'docker --help' for more information",
            ),
            (
                "Error: unknown flag: --bad",
                "~\nSee 'podman create --help'",
            ),
            ("Error: stat /dev/nonesuch: no such file or directory", "~"),
            (
                "devcontainerd: the old container cannot be renamed: docker rename failed (exit status: 1): Error response from daemon: x",
                "~\nError: failed to rename container named x",
            ),
        ] {
            let printed = around.replace('~', cause_of_it);
            assert_eq!(cause(&[&printed]).as_deref(), Some(cause_of_it));
        }
    }

    /// Returns the cause of a command that the CLI has shown like this.
    fn cause_in(command: &str, texts: &[(&str, bool)]) -> Option<String> {
        let mut causes = Causes::default();
        causes.begin(command);
        for (text, is_shown) in texts {
            causes.push_text(text, *is_shown);
        }
        causes.cause_of(&format!("Command failed: {command}"))
    }

    #[test]
    fn the_last_line_of_compose_on_standard_error_is_the_cause() {
        const CONFIG: &str = "docker compose -f c.yml --profile * config";
        // Printed by compose 2.40, as the CLI 0.89 shows it.
        for error in [
            "yaml: line 1: did not find expected ',' or '}'",
            "env file /w/no.env not found: stat /w/no.env: no such file or directory",
            "error while interpolating services.a.image: required variable NEEDED is missing a value: set NEEDED first",
            "service \"a\" depends on undefined service \"zz\": invalid compose project",
            "validating /w/c.yml: services.a additional properties 'nosuchkey' not allowed",
            "open /w/none.yml: no such file or directory",
        ] {
            let warning = "time=\"2026-11-28T13:40:23Z\" level=warning msg=\"x: the attribute `version` is obsolete\"";
            let red = |line: &str| format!("\u{1b}[1m\u{1b}[31m{line}\u{1b}[39m\u{1b}[22m\r\n");
            for lines in [[error, warning], [warning, error]] {
                let stderr: String = lines.iter().chain(&[""]).map(|line| red(line)).collect();
                let texts = |is_shown| {
                    [
                        ("services:\n  a: {image: secret}\n", is_shown),
                        (&*stderr, is_shown),
                        ("Exit code 1", is_shown),
                    ]
                };
                for command in [CONFIG, "/usr/bin/docker-compose -f c.yml config"] {
                    assert_eq!(cause_in(command, &texts(true)).as_deref(), Some(error));
                    assert_eq!(cause_in(command, &texts(false)), None, "may be secret");
                }
                assert_eq!(cause_in("docker ps -q", &texts(true)), None);
            }
        }
    }

    #[test]
    fn a_message_of_the_yaml_parser_goes_over_several_lines() {
        // Printed by compose 1.29, as the CLI 0.89 shows it.
        let lines = [
            "yaml.parser.ParserError: while parsing a flow node",
            "expected the node content, but found '<stream end>'",
            "  in \"/w/c.yml\", line 2, column 1",
            "",
        ];
        let red = |line| format!("\u{1b}[1m\u{1b}[31m{line}\u{1b}[39m\u{1b}[22m\r\n");
        let stderr: String = lines.map(red).concat();
        let texts = [("", true), (&*stderr, true), ("Exit code 1", true)];
        let cause = cause_in("docker-compose -f c.yml config", &texts);
        let expected = "yaml.parser.ParserError: while parsing a flow node, expected the node content, but found \
                        '<stream end>', in \"/w/c.yml\", line 2, column 1";
        assert_eq!(cause.as_deref(), Some(expected));
    }

    #[test]
    fn the_last_line_that_compose_prints_at_work_is_the_cause() {
        const UP: &str = "docker compose -f c.yml up -d";
        let mut causes = Causes::default();
        causes.begin(UP);
        causes.push(" Container p-db-1  Error\r\n", true);
        causes.push(
            "dependency failed to start: container p-db-1 is unhealthy\r\n",
            true,
        );
        causes.push_text("Exit code 1", true);
        let cause = causes.cause_of(&format!("Command failed: {UP}"));
        let expected = "dependency failed to start: container p-db-1 is unhealthy";
        assert_eq!(cause.as_deref(), Some(expected));
        causes.begin("docker ps");
        let cause = causes.cause_of(&format!("Command failed: {UP}"));
        assert_eq!(cause.as_deref(), Some(expected));
    }

    #[test]
    fn a_target_that_fails_to_build_is_the_cause() {
        // Printed by bake.
        let cause_of_it = "target app: failed to solve: process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3";
        assert_eq!(
            cause(&[&format!(
                "{cause_of_it}\n\nView build details: docker-desktop://x\n"
            )])
            .as_deref(),
            Some(cause_of_it)
        );
    }

    #[test]
    fn output_and_causes_are_bounded() {
        let long = format!("Error: {}", "é".repeat(MAX_CAUSE));
        let shown = cause(&[&long]).unwrap();
        assert!((MAX_CAUSE - 1..=MAX_CAUSE).contains(&shown.len()));
        let mut causes = Causes::default();
        causes.push("Error: early\n", true);
        for _ in 0..10 {
            causes.push(&"é".repeat(MAX_SEARCHED), true);
            assert!(causes.output.len() <= 2 * MAX_SEARCHED);
        }
        assert_eq!(causes.last(), None);
    }
}
