//! The part of the changes that a client follows, and the condition that ends its stream.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::model::api::{Container, Devcontainer, Status};
use crate::model::operation::OperationState;
use crate::model::shared_list::SharedList;
use crate::state::{Change, View};

/// The types of changes that a client follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types {
    containers: bool,
    devcontainers: bool,
    warnings: bool,
}

/// A condition on a dev container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It can be used.
    Running,
    /// It does not run, and nothing is being done to it.
    Stopped,
    /// No operation is running or queued.
    Idle,
    /// It has a container, which was made from the inputs that are on disk, all of which were compared.
    Clean,
}

/// The part of the changes that a client follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// The only dev container.
    pub(super) only: Option<Uuid>,
    /// `None` for all types.
    pub(super) types: Option<Types>,
    /// The stream ends when this holds for the only dev container.
    pub(super) until: Option<Condition>,
}

/// The objects that a client with a filter has received.
#[derive(Default)]
pub(super) struct Seen {
    /// The ids of the containers of the only dev container.
    containers: HashSet<String>,
    devcontainer: Option<Arc<Devcontainer>>,
}

impl Types {
    /// Reads a list such as `container,devcontainer`. Returns `None` for another word.
    pub(super) fn parse(list: &str) -> Option<Self> {
        let mut types = Self::default();
        for word in list.split(',') {
            match word {
                "container" => types.containers = true,
                "devcontainer" => types.devcontainers = true,
                "warnings" => types.warnings = true,
                _ => return None,
            }
        }
        Some(types)
    }
}

impl Condition {
    pub(super) const ALL: [Self; 4] = [Self::Running, Self::Stopped, Self::Idle, Self::Clean];

    pub(super) fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|condition| condition.as_str() == word)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Idle => "idle",
            Self::Clean => "clean",
        }
    }

    fn holds(self, one: &Devcontainer) -> bool {
        let state = one.job.map(|job| job.state);
        let has_job = matches!(
            state,
            Some(OperationState::Queued | OperationState::Running)
        );
        let is_changing = matches!(
            one.status,
            Status::Starting | Status::Stopping | Status::Deleting
        );
        match self {
            Self::Running => one.status == Status::Running,
            Self::Stopped => !one.running && !has_job && !is_changing,
            Self::Idle => !has_job && !is_changing,
            Self::Clean => one.container.is_some() && !one.dirty && one.unchecked.is_none(),
        }
    }
}

impl Filter {
    /// Returns whether the client follows everything.
    pub(super) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the part of a view that the client follows, and notes it as seen.
    pub(super) fn part(&self, view: &View, seen: &mut Seen) -> View {
        let types = self.types();
        let its = |one: &&Container| types.containers && self.is_of(one);
        let containers: SharedList<Container> =
            view.containers.iter().filter(its).cloned().collect();
        let is_it = |one: &&Arc<Devcontainer>| self.only.is_none_or(|only| one.id == only);
        let devcontainers = view.devcontainers.iter().filter(is_it);
        let devcontainers: Vec<Arc<Devcontainer>> = devcontainers.cloned().collect();
        if self.only.is_some() {
            seen.containers = containers.iter().map(|one| one.info.id.clone()).collect();
            seen.devcontainer = devcontainers.first().cloned();
        }
        View {
            containers,
            devcontainers: if types.devcontainers {
                devcontainers
            } else {
                Vec::new()
            },
            warnings: if types.warnings {
                view.warnings.clone()
            } else {
                Vec::new()
            },
            failure: view.failure.clone().filter(|_| types.warnings),
            revision: view.revision,
        }
    }

    /// Returns whether the client follows a change, and notes it as seen.
    pub(super) fn passes(&self, change: &Change, seen: &mut Seen) -> bool {
        let types = self.types();
        match change {
            Change::Container(one) if self.is_of(one) => {
                if self.only.is_some() {
                    seen.containers.insert(one.info.id.clone());
                }
                types.containers
            }
            // It may have become another's: the client sees whose it is now.
            Change::Container(one) => seen.containers.remove(&one.info.id) && types.containers,
            Change::ContainerRemoved(id) => {
                (self.only.is_none() || seen.containers.remove(id)) && types.containers
            }
            Change::Devcontainer(one) => {
                let is_it = self.only.is_none_or(|only| one.id == only);
                if is_it && self.only.is_some() {
                    seen.devcontainer = Some(one.clone());
                }
                is_it && types.devcontainers
            }
            Change::DevcontainerRemoved(id) => {
                let is_it = self.only.is_none_or(|only| *id == only);
                if is_it {
                    seen.devcontainer = None;
                }
                is_it && types.devcontainers
            }
            Change::Warnings(_) => types.warnings,
        }
    }

    /// Returns the condition that ends the stream now, and whether it holds. It cannot hold any more for a dev container
    /// that is gone.
    pub(super) fn end(&self, seen: &Seen) -> Option<(Condition, bool)> {
        let until = self.until?;
        match &seen.devcontainer {
            None => Some((until, false)),
            Some(one) => until.holds(one).then_some((until, true)),
        }
    }

    fn types(&self) -> Types {
        self.types.unwrap_or(Types {
            containers: true,
            devcontainers: true,
            warnings: true,
        })
    }

    fn is_of(&self, container: &Container) -> bool {
        let owner = container.owner.as_ref();
        self.only
            .is_none_or(|only| owner.is_some_and(|owner| owner.id == only))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::examples;
    use crate::model::api::Job;

    #[test]
    fn each_condition_holds_where_it_should() {
        use Condition::{Clean, Idle, Running, Stopped};
        let running = Devcontainer {
            dirty: false,
            unchecked: None,
            ..examples::full_devcontainer()
        };
        let job = |state| {
            Some(Job {
                state,
                ..running.job.unwrap()
            })
        };
        for (one, expected) in [
            (running.clone(), vec![Running, Idle, Clean]),
            (examples::full_devcontainer(), vec![Running, Idle]),
            (examples::bare_devcontainer(), vec![Stopped, Idle]),
            (
                Devcontainer {
                    unchecked: Some("?".into()),
                    ..running.clone()
                },
                vec![Running, Idle],
            ),
            (
                Devcontainer {
                    job: job(OperationState::Queued),
                    ..running.clone()
                },
                vec![Running, Clean],
            ),
            (
                Devcontainer {
                    job: job(OperationState::Running),
                    ..running.clone()
                },
                vec![Running, Clean],
            ),
            (
                Devcontainer {
                    status: Status::Starting,
                    ..examples::bare_devcontainer()
                },
                vec![],
            ),
            (
                Devcontainer {
                    status: Status::Error,
                    ..examples::bare_devcontainer()
                },
                vec![Stopped, Idle],
            ),
        ] {
            let holding = Condition::ALL
                .into_iter()
                .filter(|condition| condition.holds(&one));
            assert_eq!(holding.collect::<Vec<_>>(), expected, "{one:?}");
        }
        for condition in Condition::ALL {
            assert_eq!(Condition::parse(condition.as_str()), Some(condition));
        }
        assert_eq!(Condition::parse("Idle"), None);
    }

    #[test]
    fn a_filter_passes_what_belongs_to_its_dev_container() {
        let mut seen = Seen::default();
        let filter = Filter {
            only: Some(Uuid::nil()),
            ..Filter::default()
        };
        let other = Filter {
            only: Some(Uuid::max()),
            ..filter
        };
        let view = examples::view();
        let part = filter.part(&view, &mut seen);
        assert_eq!((part.containers.len(), part.devcontainers.len()), (1, 2));
        let nothing = other.part(&view, &mut Seen::default());
        assert_eq!(
            (nothing.containers.len(), nothing.devcontainers.len()),
            (0, 0)
        );
        assert_eq!(nothing.warnings, view.warnings, "these are for all");

        let passing = |filter: &Filter, seen: &mut Seen| {
            let changes = examples::changes();
            let passing = changes.iter().map(|change| filter.passes(change, seen));
            passing.collect::<Vec<bool>>()
        };
        assert_eq!(passing(&Filter::default(), &mut Seen::default()), [true; 8]);
        // The first container is its own no more, and the second one is, until it is removed.
        assert_eq!(
            passing(&filter, &mut seen),
            [true, true, true, true, true, true, true, true]
        );
        let expected = [false, false, false, false, false, false, true, true];
        assert_eq!(passing(&other, &mut Seen::default()), expected);
        let types = Types::parse("devcontainer");
        let expected = [false, false, true, true, false, true, false, false];
        assert_eq!(
            passing(&Filter { types, ..filter }, &mut Seen::default()),
            expected
        );
        for bad in ["", "container,", "x", "Container"] {
            assert_eq!(Types::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_stream_ends_when_its_condition_holds_or_cannot_hold_any_more() {
        let until = Some(Condition::Idle);
        let filter = Filter {
            only: Some(Uuid::nil()),
            types: Types::parse("warnings"),
            until,
        };
        let mut seen = Seen::default();
        filter.part(&examples::view(), &mut seen);
        assert_eq!(filter.end(&seen), Some((Condition::Idle, true)));
        let busy = Devcontainer {
            status: Status::Stopping,
            ..examples::bare_devcontainer()
        };
        assert!(!filter.passes(&Change::Devcontainer(Arc::new(busy)), &mut seen));
        assert_eq!(filter.end(&seen), None, "what is not sent counts, too");
        filter.passes(&Change::DevcontainerRemoved(Uuid::nil()), &mut seen);
        assert_eq!(filter.end(&seen), Some((Condition::Idle, false)));
        assert_eq!(Filter::default().end(&Seen::default()), None);
    }
}
