//! How long the steps of the CLI take.

use super::command::Command;
use crate::base::time::Timestamp;

/// How many running steps are timed; the CLI has a handful. The oldest is forgotten.
const MAX_STEPS: usize = 64;

/// Steps that report their progress, and when each began.
#[derive(Default)]
pub(super) struct Steps(Vec<(String, Timestamp)>);

impl Steps {
    /// Notes that a step runs, unless that is known.
    pub(super) fn begin(&mut self, name: &str, now: Timestamp) {
        if self.0.iter().any(|(step, _)| step == name) {
            return;
        }
        if self.0.len() >= MAX_STEPS {
            self.0.remove(0);
        }
        self.0.push((name.to_owned(), now));
    }

    /// Notes that a step has ended, and returns how many seconds it took; `None` where its start is not known.
    pub(super) fn end(&mut self, name: &str, now: Timestamp) -> Option<f64> {
        let index = self.0.iter().position(|(step, _)| step == name)?;
        let (_, begun) = self.0.remove(index);
        Some(now.seconds_since(begun).max(0.0))
    }
}

/// Names a finished step that is worth timing. `done` is its text in the log.
pub(super) fn step_name(done: &str) -> Option<&'static str> {
    if done == "Starting container" {
        return Some("creating the container");
    }
    match Command::of(done)? {
        Command::Build => Some("building the image"),
        Command::Pull => Some("pulling the image"),
        Command::ComposeBuild => Some("building the images"),
        Command::ComposeUp => Some("creating the containers"),
        Command::Run | Command::Exec => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_steps_have_a_name() {
        for (done, expected) in [
            ("Run: /d build -t x -f /f /c", Some("building the image")),
            ("Run: /d pull x", Some("pulling the image")),
            ("Starting container", Some("creating the container")),
            (
                "Run: /c --project-name p -f x build",
                Some("building the images"),
            ),
            (
                "Run: /d compose --project-name p -f x up -d",
                Some("creating the containers"),
            ),
            ("Run: /d run x", None),
            ("Run: /d ps -q", None),
        ] {
            assert_eq!(step_name(done), expected, "{done}");
        }
    }

    #[test]
    fn steps_are_timed_from_their_first_begin() {
        let at = Timestamp::from_millis;
        let mut steps = Steps::default();
        steps.begin("a", at(1000));
        steps.begin("a", at(2000));
        assert_eq!(steps.end("a", at(4000)), Some(3.0));
        assert_eq!(steps.end("a", at(4000)), None);
        // The clock was set back.
        steps.begin("b", at(5000));
        assert_eq!(steps.end("b", at(4000)), Some(0.0));
        for number in 0..=MAX_STEPS {
            steps.begin(&number.to_string(), at(1000));
        }
        assert_eq!(steps.end("0", at(1000)), None);
        assert_eq!(steps.end("1", at(1000)), Some(0.0));
    }
}
