//! Random lives of dev containers: the answers are compared with a simple model of what is true.

use proptest::collection::vec;
use proptest::prelude::*;

use super::life::{CONFIGS, DOCKERFILE, LOCKS, Life, content};
use super::*;
use crate::state::persisted::Persisted;

#[derive(Clone, Debug)]
enum Step {
    /// A file gets other content, or the same again; of a config, a lock file, or the Dockerfile.
    Write(usize, u8),
    /// A file is given back the time at which it was before, as by `cp -p`.
    WriteKeepingTime(usize, u8),
    Touch(usize),
    Remove(usize),
    /// A request, for which the list is fresh enough.
    Ask,
    /// A request, for which docker is asked.
    Refresh,
    /// The CLI by hand makes a container, in place of the others or in addition to them.
    MadeByHand {
        of: usize,
        keeps_others: bool,
    },
    RemovedByHand(usize),
    Begin(usize),
    /// The CLI of our operation gets as far as that.
    Make {
        of: usize,
        lock: Option<u8>,
    },
    /// `named`: the CLI says which container it made.
    End {
        of: usize,
        named: bool,
    },
    /// Killed, and started again.
    Restart,
    /// Killed, and started again without its state file.
    Forget,
    ClockJump(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let (of, file, content) = (0..2_usize, 0..5_usize, 0..3_u8);
    prop_oneof![
        6 => (file.clone(), content.clone()).prop_map(|(f, c)| Step::Write(f, c)),
        1 => (file.clone(), content.clone()).prop_map(|(f, c)| Step::WriteKeepingTime(f, c)),
        2 => file.clone().prop_map(Step::Touch),
        2 => file.prop_map(Step::Remove),
        4 => Just(Step::Ask),
        4 => Just(Step::Refresh),
        3 => (of.clone(), any::<bool>()).prop_map(|(of, keeps_others)| Step::MadeByHand { of, keeps_others }),
        1 => of.clone().prop_map(Step::RemovedByHand),
        3 => of.clone().prop_map(Step::Begin),
        3 => (of.clone(), proptest::option::of(content)).prop_map(|(of, lock)| Step::Make { of, lock }),
        3 => (of, any::<bool>()).prop_map(|(of, named)| Step::End { of, named }),
        2 => Just(Step::Restart),
        1 => Just(Step::Forget),
        1 => (-50..50_i64).prop_map(Step::ClockJump),
    ]
}

fn file(number: usize) -> &'static str {
    [CONFIGS[0], LOCKS[0], DOCKERFILE, CONFIGS[1], LOCKS[1]][number]
}

impl Life {
    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let wall = self.world.wall;
        match *step {
            Step::Write(number, new) => self.world.put(file(number), &new.to_string()),
            Step::WriteKeepingTime(number, new) => {
                let at = self.on_disk(file(number)).map_or(wall, |(_, at)| at);
                self.world
                    .disk
                    .insert(file(number).into(), (content(new), at));
            }
            Step::Touch(number) => {
                self.world.wall += 1;
                if let Some((_, at)) = self.world.disk.get_mut(Path::new(file(number))) {
                    *at = wall + 1;
                }
            }
            Step::Remove(number) => {
                self.world.disk.remove(Path::new(file(number)));
            }
            Step::Ask => return self.ask(),
            Step::Refresh => return self.refresh(),
            Step::MadeByHand { of, keeps_others } => {
                if self.operations[of].is_none() {
                    self.make(of, keeps_others, None);
                }
            }
            Step::RemovedByHand(of) => {
                if self.operations[of].is_none() {
                    self.remove(of);
                }
            }
            Step::Begin(of) => {
                if self.operations[of].is_none() {
                    self.refresh()?;
                    self.begin(of);
                }
            }
            Step::Make { of, lock } => {
                if let Some(mut operation) = self.operations[of].take_if(|o| o.made.is_none()) {
                    if let Some(lock) = lock {
                        self.world.put(LOCKS[of], &lock.to_string());
                    }
                    operation.made = Some(self.make(of, false, Some(&operation.id)));
                    self.operations[of] = Some(operation);
                }
            }
            Step::End { of, named } => {
                if let Some(operation) = self.operations[of].take() {
                    self.end(of, &operation, named);
                }
            }
            Step::Restart => self.restart(self.persisted.clone()),
            Step::Forget => {
                if self.operations.iter().all(Option::is_none) {
                    self.persisted = Persisted::default();
                    self.restart(Persisted::default());
                    for truth in &mut self.truths {
                        (truth.origin, truth.lock_is_open) = (None, false);
                    }
                }
            }
            Step::ClockJump(seconds) => self.world.wall += seconds,
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Edits, touches, reverts, restarts, recreations, refreshes and clock jumps, in any order.
    #[test]
    fn p5_p6_p7_what_is_told_is_true(steps in vec(step(), 1..25)) {
        let mut life = Life::new();
        for step in &steps {
            life.take(step)?;
        }
        life.refresh()?;
    }
}
