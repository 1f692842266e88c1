//! What the refresher decides, with a simulated docker and random events, losses, failures and clients.

use std::collections::{BTreeMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::model::listing::{Fault, Scope};

/// As the daemon has them.
const LIST_TIMEOUT: u64 = 5000;
const GRACE: u64 = 500;
/// How soon the truth shows once it can be known, beside what docker takes.
const CONVERGES_WITHIN: u64 = 2000;
/// The child's start, at the most, and the way of an event.
const TOLD_WITHIN: u64 = 60;
/// The longest that docker takes for anything here, in ms.
const SLOWEST: u64 = 400;

#[derive(Clone, Debug)]
enum Act {
    /// A container is made, changed or removed.
    InputChange(u32, bool),
    /// The same, and no event tells.
    ChangeUntold(u32),
    Ask,
    Open,
    Close,
    /// An operation has ended.
    Invalidate(u32),
    KillChild,
    /// It prints something that is no event.
    Nonsense,
    /// It prints nothing any more.
    HangChild,
    /// It names more containers than there are.
    Flood,
    Engine(Engine),
    /// Nothing for so many milliseconds.
    Pass(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Engine {
    Up,
    Down,
    Hung,
}

fn act() -> impl Strategy<Value = Act> {
    let engine = prop_oneof![
        3 => Just(Engine::Up),
        1 => Just(Engine::Down),
        1 => Just(Engine::Hung),
    ];
    prop_oneof![
        12 => (0..6_u32, any::<bool>()).prop_map(|(n, exists)| Act::InputChange(n, exists)),
        1 => (0..6_u32).prop_map(Act::ChangeUntold),
        6 => Just(Act::Ask),
        2 => Just(Act::Open),
        1 => Just(Act::Close),
        2 => (0..6_u32).prop_map(Act::Invalidate),
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

/// A `docker events`.
struct Child {
    hung: bool,
    /// Containers that it will name, and when.
    coming: Vec<(u64, String)>,
}

/// What the refresher waits for.
struct Reading {
    scope: Scope,
    /// When docker looks, and when it has answered.
    looks_at: u64,
    ends_at: u64,
    seen: Option<Result<Listed, String>>,
}

struct Sim {
    state: State,
    zero: Instant,
    /// Milliseconds.
    now: u64,
    random: u64,
    engine: Engine,
    /// Which containers there are, and how often each has changed.
    truth: BTreeMap<u32, u32>,
    versions: u32,
    /// What the engine has told in its life.
    told: Vec<(u64, String)>,
    child: Option<Child>,
    reading: Option<Reading>,
    /// What `docker inspect` has said.
    known: BTreeMap<String, Arc<ContainerInfo>>,
    waiters: Vec<u64>,
    streams: usize,
    /// When the refresher looks again by itself.
    wakes_at: Option<u64>,
    steps: u64,
    last_hung: Option<u64>,
    /// When each container last changed.
    changed: BTreeMap<u32, u64>,
    /// Whether anything has gone wrong yet.
    faulty: bool,
}

fn info(number: u32, version: u32) -> Arc<ContainerInfo> {
    Arc::new(ContainerInfo {
        created_at: Timestamp::new(0, 0),
        id: id(number),
        name: format!("box{number}"),
        image: "base".into(),
        labels: Pairs::default(),
        running: version.is_multiple_of(2),
        ports: Vec::new(),
        status: version.to_string(),
        volumes: Pairs::default(),
    })
}

impl Sim {
    fn new(follows: bool, random: u64) -> Self {
        let zero = Instant::now();
        let settings = Settings {
            cache_for: Duration::from_secs(10),
            allows_events: follows,
            revision: 0,
        };
        Self {
            state: State::new(&settings, zero),
            zero,
            now: 0,
            random,
            engine: Engine::Up,
            truth: BTreeMap::new(),
            versions: 0,
            told: Vec::new(),
            child: None,
            reading: None,
            known: BTreeMap::new(),
            waiters: Vec::new(),
            streams: 0,
            wakes_at: Some(0),
            steps: 0,
            last_hung: None,
            changed: BTreeMap::new(),
            faulty: false,
        }
    }

    fn instant(&self) -> Instant {
        self.at(self.now)
    }

    fn at(&self, millis: u64) -> Instant {
        self.zero + Duration::from_millis(millis)
    }

    fn apply(&mut self, fact: Fact) {
        let now = self.instant();
        self.state.apply(fact, now);
    }

    /// Somewhere in `from..to` (xorshift).
    fn any(&mut self, from: u64, to: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        from + self.random % (to - from)
    }

    fn act(&mut self, act: &Act) {
        let is_fault = !matches!(
            act,
            Act::InputChange(..) | Act::Ask | Act::Open | Act::Close | Act::Pass(_)
        );
        self.faulty |= is_fault;
        match act {
            Act::InputChange(number, exists) => self.change(*number, *exists, true),
            Act::ChangeUntold(number) => self.change(*number, true, false),
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

    fn change(&mut self, number: u32, exists: bool, is_told: bool) {
        if self.engine != Engine::Up {
            return;
        }
        self.versions += 1;
        self.changed.insert(number, self.now);
        match exists {
            true => self.truth.insert(number, self.versions),
            false => self.truth.remove(&number),
        };
        if is_told {
            self.told.push((self.now, id(number)));
            let at = self.now + self.any(0, 5);
            if let Some(child) = &mut self.child {
                child.coming.push((at, id(number)));
            }
        }
    }

    fn child_ends(&mut self, why: &str) {
        if self.child.take().is_some() {
            let fault = match why {
                "nonsense" => Fault::Odd(why.into()),
                why => Fault::Ended(why.into()),
            };
            self.apply(Fact::EventsFailed(fault));
        }
    }

    /// What happens until then, in its order.
    fn run_until(&mut self, end: u64) {
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.docker();
            self.wake();
        }
        self.now = end;
    }

    fn next_moment(&self) -> Option<u64> {
        let reading = self.reading.as_ref().map(|reading| match reading.seen {
            None => reading.looks_at,
            Some(_) => reading.ends_at,
        });
        let tells = self.engine == Engine::Up;
        let child = self.child.as_ref().filter(|child| !child.hung && tells);
        let event = child.and_then(|child| child.coming.iter().map(|(at, _)| *at).min());
        let wake = self.wakes_at.filter(|_| self.reading.is_none());
        let deadline = self
            .waiters
            .iter()
            .map(|asked| asked + LIST_TIMEOUT + GRACE);
        [reading, event, wake, deadline.min()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Docker's part of this moment.
    fn docker(&mut self) {
        let now = self.now;
        let tells = self.engine == Engine::Up;
        if let Some(child) = self.child.as_mut().filter(|child| !child.hung && tells) {
            let (due, later) = child.coming.drain(..).partition(|(at, _)| *at <= now);
            let due: Vec<(u64, String)> = due;
            child.coming = later;
            if !due.is_empty() {
                let ids = due.into_iter().map(|(_, id)| id).collect();
                self.apply(Fact::EventsNamed(ids));
            }
        }
        let Some(mut reading) = self.reading.take() else {
            return;
        };
        if reading.seen.is_none() && reading.looks_at <= now {
            match self.engine {
                Engine::Up => reading.seen = Some(Ok(self.look(&reading.scope))),
                Engine::Down => reading.seen = Some(Err("down".into())),
                Engine::Hung if now >= reading.ends_at => {
                    reading.seen = Some(Err("too slow".into()));
                }
                // The client waits.
                Engine::Hung => reading.looks_at = now + 50,
            }
            if reading.seen.is_some() {
                reading.ends_at = now + self.any(0, SLOWEST / 2);
            }
        }
        match reading.seen {
            Some(seen) if reading.ends_at <= now => {
                let result = seen.map(|listed| Inventory {
                    listed,
                    container_places: HashMap::new(),
                    entry_places: Vec::new(),
                });
                self.apply(Fact::Listed(result));
            }
            seen => self.reading = Some(Reading { seen, ..reading }),
        }
    }

    fn look(&mut self, scope: &Scope) -> Listed {
        let now: BTreeMap<String, Arc<ContainerInfo>> = self
            .truth
            .iter()
            .map(|(number, version)| (id(*number), info(*number, *version)))
            .collect();
        let before = self.known.clone();
        match scope {
            Scope::All => self.known = now,
            Scope::Changed(named) => {
                self.known.retain(|id, _| now.contains_key(id));
                for (id, info) in now {
                    if named.contains(&id) || !before.contains_key(&id) {
                        self.known.insert(id, info);
                    }
                }
            }
            Scope::Named(named) => {
                for id in named {
                    match now.get(id) {
                        Some(info) => self.known.insert(id.clone(), info.clone()),
                        None => self.known.remove(id),
                    };
                }
            }
        }
        let mut unreported = Vec::new();
        if let Scope::Changed(named) = scope {
            let ids: HashSet<&String> = before.keys().chain(self.known.keys()).collect();
            let other = ids.into_iter().filter(|id| {
                before.contains_key(*id) != self.known.contains_key(*id) && !named.contains(*id)
            });
            unreported.extend(other.cloned());
        }
        Listed {
            containers: self.known.values().cloned().collect(),
            ids: self.known.keys().cloned().collect(),
            warnings: Vec::new(),
            unreported,
            retry_at: None,
        }
    }

    /// The daemon's part of this moment: those who wait look again, and so does the refresher, if it is not busy.
    fn wake(&mut self) {
        self.answer();
        for _ in 0..20 {
            if self.reading.is_some() {
                return;
            }
            let now = self.instant();
            let step = match self.state.step(now) {
                Next::Do(step) => step,
                Next::Wait(until) => return self.rest_until(until),
            };
            match step {
                Step::List(scope, _) => {
                    self.steps += 1;
                    let looks_at = self.now + self.any(1, SLOWEST / 2);
                    self.reading = Some(Reading {
                        scope,
                        looks_at,
                        ends_at: self.now + LIST_TIMEOUT,
                        seen: None,
                    });
                }
                Step::StartEvents => {
                    self.steps += 1;
                    self.start_child();
                }
                Step::StopEvents(fault) => {
                    self.child = None;
                    self.apply(Fact::EventsStopped(fault));
                }
                Step::Save => {
                    self.apply(Fact::SaveBegun);
                }
                Step::Repair => {}
                Step::Stop => unreachable!("nobody stops it"),
            }
            self.answer();
        }
        panic!("the refresher does not come to rest");
    }

    fn rest_until(&mut self, until: Option<Instant>) {
        let until = until.map(|until| {
            let left = until.saturating_duration_since(self.zero);
            u64::try_from(left.as_micros().div_ceil(1000)).unwrap()
        });
        assert!(until.is_none_or(|at| at > self.now), "a wait for the past");
        self.wakes_at = until;
        self.answer();
    }

    fn start_child(&mut self) {
        assert!(self.child.is_none(), "two events children");
        let begins = self.now + self.any(5, 50);
        let since = self.now.saturating_sub(1000);
        let again = self.told.iter().filter(|(at, _)| *at >= since);
        self.child = Some(Child {
            hung: false,
            coming: again.map(|(_, id)| (begins, id.clone())).collect(),
        });
        if self.engine == Engine::Down {
            self.child_ends("the engine is down");
        }
    }

    fn answer(&mut self) {
        let now = self.instant();
        if self.engine == Engine::Hung {
            self.last_hung = Some(self.now);
        }
        let waiters = std::mem::take(&mut self.waiters);
        for asked in waiters {
            let at = self.at(asked);
            match self.state.ask(at, now) {
                Freshness::Wait if self.now < asked + LIST_TIMEOUT + GRACE => {
                    self.waiters.push(asked);
                }
                // While docker hangs, what is known has to do.
                Freshness::Wait => assert!(
                    self.last_hung.is_some_and(|hung| hung >= asked),
                    "somebody waits past the deadline"
                ),
                Freshness::Fresh => self.assert_fresh(asked),
                Freshness::Stale { .. } | Freshness::Failed(_) => {}
            }
        }
    }

    /// While nothing goes wrong and events are followed, an answer shows all that they can have told by then.
    fn assert_fresh(&mut self, asked: u64) {
        if self.faulty || !self.state.listing.follows_events() {
            return;
        }
        let shown = self.shown();
        for (number, at) in &self.changed {
            let truth = self.truth.get(number).map(u32::to_string);
            if at + TOLD_WITHIN <= asked {
                assert_eq!(shown.get(&id(*number)), truth.as_ref(), "at {}", self.now);
            }
        }
    }

    fn shown(&mut self) -> BTreeMap<String, String> {
        let view = self.state.view();
        let shown = view.containers.iter();
        shown
            .map(|one| (one.info.id.clone(), one.info.status.clone()))
            .collect()
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
        self.act(&Act::Open);
        // A child that tells nothing is found out when a listing of all shows something.
        for exists in [true, false, true] {
            if self.child.as_ref().is_some_and(|child| child.hung) {
                self.change(8, exists, true);
                self.run_until(self.now + 65_000);
            }
        }
        let follows = self.state.allows_events;
        let soon = CONVERGES_WITHIN + SLOWEST;
        self.run_until(self.now + if follows { soon } else { 11_000 });
        // What no event has ever told is read when it changes again.
        for number in self.truth.clone().into_keys() {
            self.change(number, true, true);
        }
        self.change(7, true, true);
        self.wake();
        self.run_until(self.now + if follows { soon } else { 11_000 });
        self.assert_true("after all went well");
    }

    /// Without anybody who asks, nothing runs and nothing wakes (P9).
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
