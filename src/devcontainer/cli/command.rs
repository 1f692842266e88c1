//! The programs that the CLI runs, as the texts of their steps name them.

/// How the text of a step that runs a program on this machine begins.
const RUN: &str = "Run: ";
/// How the text of a step that runs a program in the container begins.
const RUN_IN_CONTAINER: &str = "Run in container:";

/// A command of docker or compose that takes long or changes containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `docker build`.
    Build,
    /// `docker pull`.
    Pull,
    /// `docker run` or `docker start`.
    Run,
    /// A program in the container.
    Exec,
    /// `docker compose build`.
    ComposeBuild,
    /// `docker compose up`.
    ComposeUp,
}

impl Command {
    /// Reads the text of a step. Only the verb of a command line is read.
    pub(super) fn of(step: &str) -> Option<Self> {
        if step.starts_with(RUN_IN_CONTAINER) {
            return Some(Self::Exec);
        }
        let mut words = line_of(step)?.split_whitespace().skip(1);
        match words.next()? {
            "build" => Some(Self::Build),
            "buildx" if step.contains(" build ") => Some(Self::Build),
            "pull" => Some(Self::Pull),
            "run" | "start" => Some(Self::Run),
            "exec" => Some(Self::Exec),
            "compose" => Self::of_compose(words),
            "--project-name" => Self::of_compose(words.skip(1)),
            _ => None,
        }
    }

    /// Reads the words of compose, which has its flags before the verb.
    fn of_compose<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Self> {
        loop {
            match words.next()? {
                "build" => return Some(Self::ComposeBuild),
                "up" => return Some(Self::ComposeUp),
                "--project-name" | "--env-file" | "-f" => {
                    words.next();
                }
                _ => {}
            }
        }
    }
}

/// Returns the command line of a step that runs a program on this machine.
pub(super) fn line_of(step: &str) -> Option<&str> {
    step.strip_prefix(RUN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_known_by_its_verb() {
        for (step, expected) in [
            ("Run: /d build -t x -f /f /c", Some(Command::Build)),
            ("Run: /d buildx build --load -t x", Some(Command::Build)),
            ("Run: /d pull x", Some(Command::Pull)),
            ("Run: /d run --sig-proxy=false x", Some(Command::Run)),
            ("Run: /d start x", Some(Command::Run)),
            ("Run: /d exec -i x /bin/sh", Some(Command::Exec)),
            ("Run in container: uname -m", Some(Command::Exec)),
            ("Run in container:", Some(Command::Exec)),
            (
                "Run: /c --project-name p -f x build",
                Some(Command::ComposeBuild),
            ),
            (
                "Run: /d compose --project-name p -f x up -d",
                Some(Command::ComposeUp),
            ),
            (
                "Run: /c --project-name build -f up up -d",
                Some(Command::ComposeUp),
            ),
            ("Run: /d compose version --short", None),
            ("Run: /d buildx version", None),
            ("Run: /d ps -q", None),
            ("Starting container", None),
            ("Run: ", None),
        ] {
            assert_eq!(Command::of(step), expected, "{step}");
        }
    }
}
