//! The phases of an operation that runs the devcontainer CLI.

use serde::Serialize;

/// A phase, in the order in which the CLI comes to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// The command on this machine, before anything is built.
    InitializeCommand,
    /// Images are pulled or built.
    Build,
    /// The container is made or started, and set up.
    Create,
    /// The first command in a new container.
    OnCreateCommand,
    /// The second command in a new container.
    UpdateContentCommand,
    /// The third command in a new container.
    PostCreateCommand,
    /// The command at each start of the container.
    PostStartCommand,
    /// The command at each `devcontainer up`.
    PostAttachCommand,
}

impl Phase {
    /// The lifecycle commands in the container.
    pub const HOOKS: [Self; 5] = [
        Self::OnCreateCommand,
        Self::UpdateContentCommand,
        Self::PostCreateCommand,
        Self::PostStartCommand,
        Self::PostAttachCommand,
    ];

    /// Returns the phase of the lifecycle command with this property in the configuration.
    pub fn of_command(property: &str) -> Option<Self> {
        let mut commands = std::iter::once(Self::InitializeCommand).chain(Self::HOOKS);
        commands.find(|phase| phase.as_str() == property)
    }

    /// Returns the word on the wire. That of a lifecycle command is its property in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InitializeCommand => "initializeCommand",
            Self::Build => "build",
            Self::Create => "create",
            Self::OnCreateCommand => "onCreateCommand",
            Self::UpdateContentCommand => "updateContentCommand",
            Self::PostCreateCommand => "postCreateCommand",
            Self::PostStartCommand => "postStartCommand",
            Self::PostAttachCommand => "postAttachCommand",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_on_the_wire_is_that_of_the_configuration() {
        for phase in Phase::HOOKS {
            let json = serde_json::to_string(&phase).unwrap();
            assert_eq!(json, format!("{:?}", phase.as_str()));
        }
    }
}
