//! The cause of a failure in docker's own words.

use std::collections::VecDeque;

use crate::base::text::plain_text;

/// How many bytes at the end of a program's output are searched for a cause.
const MAX_SEARCHED: usize = 8 << 10;
/// How many bytes of a cause are shown.
const MAX_CAUSE: usize = 1 << 10;
/// The beginnings of the error messages of docker, podman, compose, the builders and the shim.
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
    }

    /// Takes a piece of the output of the last program.
    pub(super) fn push(&mut self, text: &str) {
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
        let last = lines.rfind(|line| is_cause(line.trim()))?;
        let cause = last.trim();
        let end = cause.floor_char_boundary(MAX_CAUSE);
        cause.get(..end).map(str::to_owned)
    }
}

/// Returns the part of a command line by which it is known. The log has no more than the first line.
fn identity(command: &str) -> &str {
    let line = command.lines().next().unwrap_or_default().trim();
    let end = line.floor_char_boundary(MAX_COMMAND);
    line.get(..end).unwrap_or_default()
}

fn is_cause(line: &str) -> bool {
    let begins_with = |words: &&str| line.starts_with(words);
    CAUSES.iter().any(begins_with) && !AFTER_THE_CAUSE.iter().any(begins_with)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(printed: &[&str]) -> Option<String> {
        let mut causes = Causes::default();
        causes.begin("docker run x");
        for text in printed {
            causes.push(text);
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
            causes.push(printed);
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
            causes.push("Error: x");
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

    #[test]
    fn output_and_causes_are_bounded() {
        let long = format!("Error: {}", "é".repeat(MAX_CAUSE));
        let shown = cause(&[&long]).unwrap();
        assert!((MAX_CAUSE - 1..=MAX_CAUSE).contains(&shown.len()));
        let mut causes = Causes::default();
        causes.push("Error: early\n");
        for _ in 0..10 {
            causes.push(&"é".repeat(MAX_SEARCHED));
            assert!(causes.output.len() <= 2 * MAX_SEARCHED);
        }
        assert_eq!(causes.last(), None);
    }
}
