//! The steps of the refresher, with a simulated docker and random events, losses, failures and clients.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::simulation::{BUSY, Engine, LIST_TIMEOUT, SLOWEST, Sim};
use super::*;

/// How soon the truth shows once it can be known, in addition to the time that docker takes.
const CONVERGES_WITHIN: u64 = 2000;

#[derive(Clone, Debug)]
enum Act {
    /// A container is made, changed or removed.
    InputChange(u32, bool),
    /// A container is made or changed, and no event reports it.
    ChangeUnreported(u32),
    Ask,
    Open,
    Close,
    /// Something may have changed, as HUP says.
    Invalidate(u32),
    /// An operation has made, changed or removed a container.
    Finish(u32, bool),
    /// The machine is busy, or not any more.
    Busy(bool),
    KillChild,
    /// It prints something that is no event.
    Nonsense,
    /// It prints nothing any more.
    HangChild,
    /// It names more containers than there are.
    Flood,
    Engine(Engine),
    /// Nothing, for this number of milliseconds.
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let engine = prop_oneof![
        3 => Just(Engine::Up),
        1 => Just(Engine::Down),
        1 => Just(Engine::Hung),
    ];
    prop_oneof![
        12 => (0..6_u32, any::<bool>()).prop_map(|(n, exists)| Act::InputChange(n, exists)),
        1 => (0..6_u32).prop_map(Act::ChangeUnreported),
        6 => Just(Act::Ask),
        2 => Just(Act::Open),
        1 => Just(Act::Close),
        2 => (0..6_u32).prop_map(Act::Invalidate),
        2 => (0..6_u32, any::<bool>()).prop_map(|(n, exists)| Act::Finish(n, exists)),
        1 => any::<bool>().prop_map(Act::Busy),
        2 => Just(Act::KillChild),
        1 => Just(Act::Nonsense),
        1 => Just(Act::HangChild),
        1 => Just(Act::Flood),
        2 => engine.prop_map(Act::Engine),
        8 => (0..200_u64).prop_map(Act::Pass),
        4 => (0..3000_u64).prop_map(Act::Pass),
        1 => (50_000..130_000_u64).prop_map(Act::Pass),
    ]
}

impl Sim {
    fn act(&mut self, act: &Act) {
        let is_fault = !matches!(
            act,
            Act::InputChange(..) | Act::Ask | Act::Open | Act::Close | Act::Pass(_)
        );
        self.faulty |= is_fault;
        match act {
            Act::InputChange(number, exists) => self.change(*number, *exists, true),
            Act::ChangeUnreported(number) => self.change(*number, true, false),
            Act::Ask => {
                let now = self.instant();
                self.state.note_request(now);
                self.waiters.push(self.now);
            }
            Act::Open => {
                self.streams += 1;
                self.apply(Fact::StreamOpened);
            }
            Act::Close if self.streams > 0 => {
                self.streams -= 1;
                self.apply(Fact::StreamClosed);
            }
            Act::Close => {}
            Act::Invalidate(number) => {
                self.change(*number, true, false);
                self.apply(Fact::ListOutdated(vec![id(*number)]));
            }
            Act::Finish(number, exists) if self.engine == Engine::Up => {
                self.finish(*number, *exists);
            }
            Act::Finish(..) => {}
            Act::Busy(is_busy) => self.slowest = if *is_busy { BUSY } else { SLOWEST },
            Act::KillChild => self.child_ends("killed"),
            Act::Nonsense => self.child_ends("nonsense"),
            Act::HangChild => {
                if let Some(child) = &mut self.child {
                    child.hung = true;
                }
            }
            Act::Flood if self.child.is_some() => {
                let ids = (100..2000).map(id).collect();
                self.apply(Fact::EventsNamed(ids));
            }
            Act::Flood => {}
            Act::Engine(engine) => {
                self.engine = *engine;
                if *engine == Engine::Down {
                    self.child_ends("the engine is down");
                }
            }
            Act::Pass(millis) => return self.run_until(self.now + millis),
        }
        self.wake();
    }

    #[track_caller]
    fn assert_true(&mut self, when: &str) {
        let truth: BTreeMap<String, String> = self
            .truth
            .iter()
            .map(|(number, version)| (id(*number), version.to_string()))
            .collect();
        assert_eq!(self.shown(), truth, "{when}");
    }

    /// Whatever happened, once nothing goes wrong any more the truth shows.
    fn assert_converges(&mut self) {
        self.act(&Act::Engine(Engine::Up));
        self.act(&Act::Busy(false));
        self.run_until(self.now + BUSY);
        self.act(&Act::Open);
        // A silent child is found out when a listing of all containers shows a change.
        for exists in [true, false, true] {
            if self.child.as_ref().is_some_and(|child| child.hung) {
                self.change(8, exists, true);
                self.run_until(self.now + 65_000);
            }
        }
        let follows = self.state.allows_events;
        let soon = CONVERGES_WITHIN + SLOWEST;
        self.run_until(self.now + if follows { soon } else { 11_000 });
        // A change that no event has reported is read when the container changes again.
        for number in self.truth.clone().into_keys() {
            self.change(number, true, true);
        }
        self.change(7, true, true);
        self.wake();
        self.run_until(self.now + if follows { soon } else { 11_000 });
        self.assert_true("after all went well");
    }

    /// Without requests, nothing runs and nothing wakes (P9).
    fn assert_falls_asleep(&mut self) {
        for _ in 0..self.streams {
            self.act(&Act::Close);
        }
        self.run_until(self.now + 61_000 + LIST_TIMEOUT);
        assert!(self.child.is_none(), "an events child without interest");
        assert!(
            self.reading.is_none() && self.wakes_at.is_none(),
            "not asleep"
        );
        let steps = self.steps;
        self.run_until(self.now + 3_600_000);
        assert_eq!(self.steps, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p10_p11_the_refresher_converges_whatever_happens(
        acts in vec(act(), 0..60),
        follows in prop_oneof![4 => Just(true), 1 => Just(false)],
        random in 1..u64::MAX,
    ) {
        let mut sim = Sim::new(follows, random);
        for act in &acts {
            let (before, steps) = (sim.now, sim.steps);
            sim.act(act);
            let (millis, steps) = (sim.now - before, sim.steps - steps);
            prop_assert!(steps <= 4 + millis / 50, "{steps} steps within {millis} ms");
        }
        sim.assert_converges();
        sim.assert_falls_asleep();
    }
}
