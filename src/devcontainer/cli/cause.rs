//! The cause of a failure in docker's own words.

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

/// The end of what the last program that the CLI ran has printed.
#[derive(Default)]
pub(super) struct ProgramOutput(String);

impl ProgramOutput {
    pub(super) fn push(&mut self, text: &str) {
        let from = text.ceil_char_boundary(text.len().saturating_sub(MAX_SEARCHED));
        self.0.push_str(text.get(from..).unwrap_or_default());
        if self.0.len() > 2 * MAX_SEARCHED {
            let from = self.0.ceil_char_boundary(self.0.len() - MAX_SEARCHED);
            self.0.drain(..from);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The last error message of docker. It holds no secrets, unlike most of the output around it.
    pub(super) fn cause(&self) -> Option<String> {
        let mut lines = self.0.lines().map(plain_text);
        let last = lines.rfind(|line| is_cause(line.trim()))?;
        let cause = last.trim();
        let end = cause.floor_char_boundary(MAX_CAUSE);
        cause.get(..end).map(str::to_owned)
    }
}

fn is_cause(line: &str) -> bool {
    let begins_with = |words: &&str| line.starts_with(words);
    CAUSES.iter().any(begins_with) && !AFTER_THE_CAUSE.iter().any(begins_with)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(printed: &[&str]) -> Option<String> {
        let mut output = ProgramOutput::default();
        for text in printed {
            output.push(text);
        }
        output.cause()
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
        let mut output = ProgramOutput::default();
        output.push("Error: early\n");
        for _ in 0..10 {
            output.push(&"é".repeat(MAX_SEARCHED));
            assert!(output.0.len() <= 2 * MAX_SEARCHED);
        }
        assert_eq!(output.cause(), None);
    }
}
