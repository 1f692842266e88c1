//! The phase that the CLI is in, by the events of its log.
//!
//! The end of `initializeCommand` is found without the CLI's words for people, which differ with the version and with the
//! form of the command. Events of lifecycle commands have a channel, steps of the CLI itself have none, and
//! `initializeCommand` is the only lifecycle command that runs before docker has made, started or entered a container.

use super::command::Command;
use super::event::CliEvent;
use crate::model::phase::Phase;

/// Follows the phases, which only go forward.
#[derive(Default)]
pub(super) struct Phases {
    phase: Option<Phase>,
    is_new: bool,
    initialize: Initialize,
}

/// The progress of `initializeCommand`.
#[derive(Clone, Copy, Default, PartialEq)]
enum Initialize {
    /// It may still begin.
    #[default]
    NotSeen,
    Running,
    /// It has ended, which is not reported yet.
    Ended,
    Reported,
}

impl Phases {
    pub(super) fn take(&mut self, event: &CliEvent<'_>) {
        match event {
            CliEvent::Start { text, .. } if event.is_of_hook() => self.hook_starts(text),
            CliEvent::Start { text, .. } => self.step_starts(text),
            CliEvent::Progress { name, status, .. } if status == "running" => {
                if let Some(hook) = Phase::HOOKS
                    .iter()
                    .find(|hook| name.contains(hook.as_str()))
                {
                    self.enter(*hook);
                }
            }
            _ => {}
        }
    }

    /// Returns the phase, once.
    pub(super) fn take_new(&mut self) -> Option<Phase> {
        std::mem::take(&mut self.is_new).then_some(self.phase)?
    }

    /// Returns `true` once, when `initializeCommand` has ended.
    pub(super) fn take_initialized(&mut self) -> bool {
        let has_ended = self.initialize == Initialize::Ended;
        if has_ended {
            self.initialize = Initialize::Reported;
        }
        has_ended
    }

    fn hook_starts(&mut self, step: &str) {
        let is_in_container = Command::of(step) == Some(Command::Exec);
        if self.phase.is_none() && !is_in_container {
            self.initialize = Initialize::Running;
            self.enter(Phase::InitializeCommand);
        }
    }

    fn step_starts(&mut self, step: &str) {
        if self.initialize == Initialize::Running {
            self.initialize = Initialize::Ended;
        }
        match Command::of(step) {
            Some(Command::Build | Command::Pull | Command::ComposeBuild) => {
                self.enter(Phase::Build);
            }
            Some(Command::Run | Command::Exec | Command::ComposeUp) => self.enter(Phase::Create),
            None => {}
        }
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase.is_none_or(|before| before < phase) {
            self.phase = Some(phase);
            self.is_new = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::parse;
    use super::*;

    /// Returns the phases that these events show, and `None` for the end of `initializeCommand`.
    fn follow(events: &[&str]) -> Vec<Option<Phase>> {
        let mut phases = Phases::default();
        let mut found = Vec::new();
        for event in events {
            phases.take(&parse(event).unwrap());
            if phases.take_initialized() {
                found.push(None);
            }
            found.extend(phases.take_new().map(Some));
        }
        found
    }

    const DOCKER: &str = r#"{"type":"start","level":2,"text":"Run: docker ps"}"#;
    const BUILD: &str = r#"{"type":"start","level":3,"text":"Run: docker build -t x ."}"#;
    const RUN: &str = r#"{"type":"start","level":3,"text":"Run: docker run x"}"#;
    const IN_CONTAINER: &str = r#"{"type":"start","level":2,"text":"Run in container: /bin/sh"}"#;
    const HOOK_IN_CONTAINER: &str =
        r#"{"type":"start","level":2,"text":"Run in container:","channel":"postCreate"}"#;
    const ON_CREATE: &str = r#"{"type":"progress","name":"Running onCreateCommand...","status":"running","channel":"postCreate"}"#;
    const POST_CREATE: &str = r#"{"type":"progress","name":"Running postCreateCommand...","status":"running","channel":"postCreate"}"#;
    const ENDED: &str = r#"{"type":"progress","name":"Running postCreateCommand...","status":"succeeded","channel":"postCreate"}"#;

    fn host_hook(kind: &str) -> String {
        format!(
            r#"{{"type":"{kind}","level":3,"text":"Run: docker build .","channel":"postCreate"}}"#
        )
    }

    #[test]
    fn the_end_of_initialize_command_is_reported_once_in_every_form() {
        let (start, stop) = (host_hook("start"), host_hook("stop"));
        let initialized = [Some(Phase::InitializeCommand), None];
        let ps_again = [DOCKER, &start, &stop, DOCKER, DOCKER];
        assert_eq!(follow(&ps_again), initialized);
        let parallel = [&start, &*start, &stop, &stop, DOCKER];
        assert_eq!(follow(&parallel), initialized);
        assert_eq!(follow(&[DOCKER, DOCKER]), []);
    }

    #[test]
    fn commands_in_the_container_are_not_initialize_command() {
        let start = host_hook("start");
        let create = Some(Phase::Create);
        for made in [RUN, IN_CONTAINER] {
            assert_eq!(follow(&[made, &start, DOCKER]), [create], "{made}");
        }
        assert_eq!(follow(&[HOOK_IN_CONTAINER, DOCKER]), []);
    }

    #[test]
    fn phases_go_forward() {
        let events = [
            DOCKER,
            BUILD,
            RUN,
            IN_CONTAINER,
            ON_CREATE,
            ON_CREATE,
            POST_CREATE,
            ENDED,
            ON_CREATE,
            BUILD,
        ];
        let expected = [
            Phase::Build,
            Phase::Create,
            Phase::OnCreateCommand,
            Phase::PostCreateCommand,
        ];
        assert_eq!(follow(&events), expected.map(Some));
    }
}
