//! A life of two dev containers: what happens to them, and a simple model of what the answers are to show.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::operation::OperationKind;
use crate::state::persisted::Persisted;

/// Two dev containers of one folder, which share a Dockerfile.
pub(super) const CONFIGS: [&str; 2] = [CONFIG, "/w/.devcontainer/b/devcontainer.json"];
pub(super) const LOCKS: [&str; 2] = [
    "/w/.devcontainer/devcontainer-lock.json",
    "/w/.devcontainer/b/devcontainer-lock.json",
];
pub(super) const DOCKERFILE: &str = "/w/.devcontainer/Dockerfile";
/// A configuration that says this names no Dockerfile.
const NO_DOCKERFILE: u8 = 2;

/// The content of a file when a container was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PriorState {
    /// `None`: absent.
    Known(Option<Content>),
    /// Absent when its container was first seen.
    Open,
    /// This, or what the daemon saw there while an operation was making the container.
    Doubtful(Option<Content>),
    Unknown,
}

/// The files that a dev container was made from, by path.
pub(super) type Origin = BTreeMap<&'static str, PriorState>;

#[derive(Clone)]
pub(super) struct Truth {
    of: usize,
    number: u32,
    created: i64,
    /// Known from the beginning where an operation made it, else from when it was first seen.
    pub(super) origin: Option<Origin>,
    /// True if the lock file is still to be taken as it will be found.
    pub(super) lock_is_open: bool,
    /// True if the daemon has it in its list.
    is_listed: bool,
}

/// An operation that runs, or was killed.
#[derive(Clone)]
pub(super) struct Operating {
    key: Key,
    pub(super) id: String,
    begun_with: Origin,
    pub(super) made: Option<u32>,
    /// True if the daemon has that in its list.
    is_listed: bool,
}

/// The world of two dev containers, and the truth about them.
pub(super) struct Life {
    pub(super) world: World,
    /// The state file of the daemon.
    pub(super) persisted: Persisted,
    pub(super) truths: Vec<Truth>,
    pub(super) operations: [Option<Operating>; 2],
    pub(super) next: u32,
    listed: bool,
}

pub(super) fn content(number: u8) -> Content {
    text(&number.to_string())
}

impl Life {
    pub(super) fn new() -> Self {
        let mut world = world();
        world.named = vec![DOCKERFILE.into()];
        world.names_nothing = Some(content(NO_DOCKERFILE));
        let predefine = CONFIGS.map(|config| predefined("/w", Some(config)));
        world.predefine(&predefine);
        Self {
            world,
            persisted: Persisted::default(),
            truths: Vec::new(),
            operations: [None, None],
            next: 1,
            listed: false,
        }
    }

    pub(super) fn on_disk(&self, path: &str) -> Option<(Content, i64)> {
        self.world.disk.get(Path::new(path)).copied()
    }

    /// The inputs of a dev container as they are now.
    fn inputs_of(&self, of: usize) -> Vec<&'static str> {
        let config = self.on_disk(CONFIGS[of]).map(|(content, _)| content);
        let mut inputs = vec![CONFIGS[of], LOCKS[of]];
        inputs.extend((config != Some(content(NO_DOCKERFILE))).then_some(DOCKERFILE));
        inputs
    }

    fn origin_now(&self, of: usize, created: Option<i64>) -> Origin {
        let was = |path: &'static str| match (self.on_disk(path), created) {
            (Some((_, modified)), Some(created)) if modified > created => {
                (path, PriorState::Unknown)
            }
            (None, Some(_)) if self.on_disk(CONFIGS[of]).is_none() => (path, PriorState::Open),
            (found, _) => (path, PriorState::Known(found.map(|(content, _)| content))),
        };
        self.inputs_of(of).into_iter().map(was).collect()
    }

    /// Returns the changes since a container was made.
    fn changes(&self, of: usize, origin: &Origin, ignores_lock: bool) -> Vec<(String, ChangeKind)> {
        let mut changes = Vec::new();
        for path in self.inputs_of(of) {
            let now = self.on_disk(path).map(|(content, _)| content);
            let change = match (origin.get(path), now) {
                (Some(PriorState::Unknown), _) => ChangeKind::Unknown,
                (Some(PriorState::Doubtful(was)), now) if *was == now => ChangeKind::Unknown,
                (Some(PriorState::Known(was)), now) if *was == now => continue,
                (Some(PriorState::Open), None) => continue,
                (Some(PriorState::Known(was) | PriorState::Doubtful(was)), Some(_))
                    if was.is_some() =>
                {
                    ChangeKind::Modified
                }
                (Some(_), Some(_)) => ChangeKind::Created,
                (Some(_), None) => ChangeKind::Removed,
                // It became an input because the configuration changed, which is shown.
                (None, _) => continue,
            };
            if !(ignores_lock && path == LOCKS[of]) {
                changes.push((path.to_owned(), change));
            }
        }
        changes.sort_by(|a, b| a.0.cmp(&b.0));
        changes
    }

    fn save(&mut self) {
        self.persisted = self.world.state.persisted();
    }

    /// A file that was absent at first turns out to be older than the container.
    fn settle(&mut self) {
        for index in 0..self.truths.len() {
            let truth = &self.truths[index];
            let (of, created, is_listed) = (truth.of, truth.created, truth.is_listed);
            let Some(mut origin) = truth.origin.clone().filter(|_| is_listed) else {
                continue;
            };
            let now = self.origin_now(of, Some(created));
            let is_shown = |path: &str| {
                origin.get(path) == Some(&PriorState::Open)
                    && matches!(now.get(path), Some(PriorState::Known(Some(_))))
            };
            if is_shown(CONFIGS[of]) {
                // Which inputs there are is known only now.
                let known = |(path, is): (&&'static str, &PriorState)| {
                    let was = origin.get(path).filter(|was| **was != PriorState::Open);
                    (*path, *was.unwrap_or(is))
                };
                origin = now.iter().map(known).collect();
            } else {
                let shown = now.iter().filter(|(path, _)| is_shown(path));
                let settled: Vec<_> = shown.map(|(path, is)| (*path, *is)).collect();
                origin.extend(settled);
            }
            self.truths[index].origin = Some(origin);
        }
    }

    /// The daemon sees files that are not those with which an operation began.
    fn doubt(&mut self) {
        for of in 0..2 {
            let Some(mut operation) = self.operations[of].take_if(|o| !o.is_listed) else {
                continue;
            };
            for (path, change) in self.changes(of, &operation.begun_with, true) {
                let differs = matches!(change, ChangeKind::Created | ChangeKind::Modified);
                let was = operation.begun_with.get_mut(path.as_str());
                if let Some(was) = was
                    && let PriorState::Known(content) = *was
                    && differs
                {
                    *was = PriorState::Doubtful(content);
                }
            }
            self.operations[of] = Some(operation);
        }
    }

    pub(super) fn ask(&mut self) -> Result<(), TestCaseError> {
        self.settle();
        self.doubt();
        self.world.scan();
        if self.world.take_unsaved() {
            self.save();
        }
        match self.listed {
            true => self.compare(),
            false => Ok(()),
        }
    }

    pub(super) fn refresh(&mut self) -> Result<(), TestCaseError> {
        self.world.list_only();
        self.listed = true;
        for operation in self.operations.iter_mut().flatten() {
            operation.is_listed = operation.made.is_some();
        }
        for index in 0..self.truths.len() {
            let truth = self.truths[index].clone();
            let is_being_made = self.operations[truth.of]
                .as_ref()
                .is_some_and(|operation| operation.made == Some(truth.number));
            if is_being_made {
                continue;
            }
            let mut origin = match truth.origin {
                Some(origin) => origin,
                None => self.origin_now(truth.of, Some(truth.created)),
            };
            if truth.lock_is_open {
                let lock = self.on_disk(LOCKS[truth.of]).map(|(content, _)| content);
                origin.insert(LOCKS[truth.of], PriorState::Known(lock));
            }
            self.truths[index].origin = Some(origin);
            self.truths[index].lock_is_open = false;
            self.truths[index].is_listed = true;
        }
        self.ask()
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let view = self.world.state.view();
        for truth in &self.truths {
            let Some(container) = view
                .containers
                .iter()
                .find(|c| c.info.id == id(truth.number))
            else {
                continue;
            };
            let runs = self.operations[truth.of].as_ref();
            let made_by_it = runs.filter(|operation| operation.made == Some(truth.number));
            let origin = made_by_it.map(|o| &o.begun_with).or(truth.origin.as_ref());
            let expected = self.changes(truth.of, origin.unwrap(), runs.is_some());
            prop_assert_eq!(
                container.devcontainer_dirty,
                !expected.is_empty(),
                "{}",
                truth.number
            );
            let shown = view.devcontainers.iter().find(|d| {
                d.container
                    .as_ref()
                    .is_some_and(|c| c.info.id == id(truth.number))
            });
            if let Some(shown) = shown {
                let found = shown.changes.iter();
                let found: Vec<_> = found.map(|c| (c.path.clone(), c.change)).collect();
                prop_assert_eq!(found, expected, "{}", truth.number);
            }
        }
        Ok(())
    }

    /// Adds a container made now, in place of the others or in addition to them.
    pub(super) fn make(&mut self, of: usize, keeps_others: bool, operation: Option<&str>) -> u32 {
        let number = self.next;
        self.next += 1;
        if !keeps_others {
            self.remove(of);
        }
        match operation {
            Some(operation) => self.world.run_by(operation, number, CONFIGS[of]),
            None => {
                self.world.run(number, "/w", Some(CONFIGS[of]));
            }
        }
        self.truths.push(Truth {
            of,
            number,
            created: self.world.wall,
            origin: None,
            lock_is_open: false,
            is_listed: false,
        });
        self.listed = false;
        number
    }

    pub(super) fn remove(&mut self, of: usize) {
        let gone = self.truths.iter().filter(|truth| truth.of == of);
        gone.for_each(|truth| self.world.remove(truth.number));
        self.truths.retain(|truth| truth.of != of);
        self.listed = false;
    }

    pub(super) fn restart(&mut self, persisted: Persisted) {
        let persisted = crate::store::round_trip(persisted);
        self.world.state = new_state();
        self.world
            .state
            .recover(persisted, Timestamp::new(self.world.wall, 0));
        self.world
            .predefine(&CONFIGS.map(|config| predefined("/w", Some(config))));
        self.listed = false;
        self.truths
            .iter_mut()
            .for_each(|truth| truth.is_listed = false);
        for of in 0..2 {
            // The container that it had made by then is known by its label, and has the inputs of its beginning.
            if let Some(operation) = self.operations[of].take() {
                let made = self
                    .truths
                    .iter_mut()
                    .find(|t| Some(t.number) == operation.made);
                if let Some(made) = made {
                    made.origin = Some(operation.begun_with);
                    made.lock_is_open = true;
                }
            }
        }
    }

    pub(super) fn begin(&mut self, of: usize) {
        // Ids are never given twice, whatever the clock says.
        let id = operation(5_000_000 + i64::from(self.next));
        self.next += 1;
        let devcontainers = self.world.state.view().devcontainers.clone();
        let shown = devcontainers
            .iter()
            .find(|d| d.config_path.as_deref() == Some(CONFIGS[of]));
        let key = self
            .world
            .state
            .find(&shown.unwrap().id.to_string())
            .unwrap();
        self.world
            .state
            .begin(key, OperationKind::Recreate, id.clone(), Vec::new())
            .unwrap();
        let site = CliPaths {
            folder: "/w".into(),
            config: CONFIGS[of].into(),
        };
        let inputs = self.world.inputs(&site);
        self.world
            .state
            .prepare_operation(key, Vec::new(), Some(&inputs));
        self.save();
        self.operations[of] = Some(Operating {
            key,
            id: id.to_string(),
            begun_with: self.origin_now(of, None),
            made: None,
            is_listed: false,
        });
    }

    pub(super) fn end(&mut self, of: usize, operation: &Operating, named: bool) {
        let site = CliPaths {
            folder: "/w".into(),
            config: CONFIGS[of].into(),
        };
        let after = self.world.inputs(&site);
        let ended = EndedOperation {
            end: End {
                ending: Ending::Succeeded,
                containers: None,
                finished_at: Timestamp::new(self.world.wall, 0),
            },
            container: operation.made.map(id).filter(|_| named),
            settlement: Settlement::Settled,
        };
        self.world
            .state
            .end_operation(operation.key, ended, Some(&after), self.world.now);
        self.save();
        self.listed = false;
        let lock = self.on_disk(LOCKS[of]).map(|(content, _)| content);
        if let Some(made) = self
            .truths
            .iter_mut()
            .find(|t| Some(t.number) == operation.made)
        {
            let mut origin = operation.begun_with.clone();
            origin.insert(LOCKS[of], PriorState::Known(lock));
            made.origin = Some(origin);
        }
    }
}
