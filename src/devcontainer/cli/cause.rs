//! The cause of a failure in docker's own words.

use crate::base::text::plain_text;

/// How many bytes at the end of a program's output are searched for a cause.
const MAX_SEARCHED: usize = 8 << 10;
/// How many bytes of a cause are shown.
const MAX_CAUSE: usize = 1 << 10;
/// The beginnings of the error messages of docker, podman, compose and the builders.
const CAUSES: [&str; 14] = [
    "Cannot connect to the Docker daemon",
    "error during connect",
    "permission denied while trying to connect",
    "Got permission denied while trying to connect",
    "Error response from daemon",
    "docker: Error",
    "unknown flag: ",
    "unknown shorthand flag: ",
    "invalid argument ",
    "unable to prepare context: ",
    "The command '",
    "ERROR: ",
    "Error: ",
    "failed to solve",
];
/// The beginning of a message that docker prints after the cause.
const AFTER_THE_CAUSE: &str = "Error: failed to start containers";

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
    CAUSES.iter().any(|words| line.starts_with(words)) && !line.starts_with(AFTER_THE_CAUSE)
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
