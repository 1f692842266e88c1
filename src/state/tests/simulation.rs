//! A simulated docker, and a refresher that follows the state's steps, in simulated time.

use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::model::listing::{Fault, Scope};
use crate::model::setup::Setup;

/// As the daemon has them.
pub(super) const LIST_TIMEOUT: u64 = 5000;
const PATIENCE: u64 = 8 * LIST_TIMEOUT + 500;
/// Maximum time of the start of a child, and of the way of an event.
const REPORTED_WITHIN: u64 = 60;
/// The longest that docker takes for anything, in ms: while it is fast, and while the machine is busy.
pub(super) const SLOWEST: u64 = 400;
pub(super) const BUSY: u64 = 8000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Engine {
    Up,
    Down,
    Hung,
}

/// A `docker events` child.
pub(super) struct Child {
    pub(super) hung: bool,
    /// Containers that it will name, and when.
    pub(super) coming: Vec<(u64, String)>,
}

/// The reading that the refresher waits for.
pub(super) struct Reading {
    pub(super) scope: Scope,
    /// When docker reads its containers, and when it has answered.
    pub(super) reads_at: u64,
    pub(super) ends_at: u64,
    pub(super) seen: Option<Result<Listed, String>>,
    /// True if it began while the machine was busy.
    is_slow: bool,
}

pub(super) struct Sim {
    pub(super) state: State,
    pub(super) zero: Instant,
    /// Milliseconds.
    pub(super) now: u64,
    pub(super) random: u64,
    pub(super) engine: Engine,
    /// The containers, and the version of each.
    pub(super) truth: BTreeMap<u32, u32>,
    pub(super) versions: u32,
    /// The events of the engine since it began.
    pub(super) reported: Vec<(u64, String)>,
    pub(super) child: Option<Child>,
    pub(super) reading: Option<Reading>,
    /// The containers as `docker inspect` has shown them.
    pub(super) known: BTreeMap<String, Arc<ContainerInfo>>,
    pub(super) waiters: Vec<u64>,
    pub(super) streams: usize,
    /// When the refresher wakes by itself.
    pub(super) wakes_at: Option<u64>,
    pub(super) steps: u64,
    pub(super) last_slow: Option<u64>,
    /// When each container last changed.
    pub(super) changed: BTreeMap<u32, u64>,
    /// The operations that have changed a container: when each ended, and the container's version by then.
    pub(super) finished: Vec<(u64, u32, u32)>,
    /// The longest that docker takes for anything, in ms.
    pub(super) slowest: u64,
    /// True if anything has gone wrong yet.
    pub(super) faulty: bool,
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
        run_state: RunState::Other(version.to_string().into()),
        error: None,
        health: None,
        mounts: Default::default(),
        setup: Setup::default(),
        foreign_labels: Box::default(),
    })
}

impl Sim {
    pub(super) fn new(follows: bool, random: u64) -> Self {
        let zero = Instant::now();
        let settings = Settings {
            cache_for: Duration::from_secs(10),
            allows_events: follows,
            wsl_distribution: Some("Ubuntu".into()),
            max_operations: 2,
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
            reported: Vec::new(),
            child: None,
            reading: None,
            known: BTreeMap::new(),
            waiters: Vec::new(),
            streams: 0,
            wakes_at: Some(0),
            steps: 0,
            last_slow: None,
            changed: BTreeMap::new(),
            finished: Vec::new(),
            slowest: SLOWEST,
            faulty: false,
        }
    }

    pub(super) fn instant(&self) -> Instant {
        self.at(self.now)
    }

    fn at(&self, millis: u64) -> Instant {
        self.zero + Duration::from_millis(millis)
    }

    pub(super) fn apply(&mut self, fact: Fact) {
        let now = self.instant();
        self.state.apply(fact, now);
    }

    /// Somewhere in `from..to` (xorshift).
    pub(super) fn any(&mut self, from: u64, to: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        from + self.random % (to - from)
    }

    pub(super) fn change(&mut self, number: u32, exists: bool, is_reported: bool) {
        if self.engine != Engine::Up {
            return;
        }
        self.versions += 1;
        self.changed.insert(number, self.now);
        match exists {
            true => self.truth.insert(number, self.versions),
            false => self.truth.remove(&number),
        };
        if is_reported {
            self.reported.push((self.now, id(number)));
            let at = self.now + self.any(0, 5);
            if let Some(child) = &mut self.child {
                child.coming.push((at, id(number)));
            }
        }
    }

    pub(super) fn child_ends(&mut self, why: &str) {
        if self.child.take().is_some() {
            let fault = match why {
                "nonsense" => Fault::Odd(why.into()),
                why => Fault::Ended(why.into()),
            };
            self.apply(Fact::EventsFailed(fault));
        }
    }

    /// Lets time pass until `end`, with all that happens.
    pub(super) fn run_until(&mut self, end: u64) {
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.docker();
            self.wake();
        }
        self.now = end;
    }

    fn next_moment(&self) -> Option<u64> {
        let reading = self.reading.as_ref().map(|reading| match reading.seen {
            None => reading.reads_at,
            Some(_) => reading.ends_at,
        });
        let reports = self.engine == Engine::Up;
        let child = self.child.as_ref().filter(|child| !child.hung && reports);
        let event = child.and_then(|child| child.coming.iter().map(|(at, _)| *at).min());
        let wake = self.wakes_at.filter(|_| self.reading.is_none());
        let deadline = self.waiters.iter().map(|asked| asked + PATIENCE);
        [reading, event, wake, deadline.min()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Docker's part of this moment.
    fn docker(&mut self) {
        let now = self.now;
        let reports = self.engine == Engine::Up;
        if let Some(child) = self.child.as_mut().filter(|child| !child.hung && reports) {
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
        if reading.seen.is_none() && reading.reads_at <= now {
            match self.engine {
                Engine::Up => reading.seen = Some(Ok(self.read(&reading.scope))),
                Engine::Down => reading.seen = Some(Err("down".into())),
                Engine::Hung if now >= reading.ends_at => {
                    reading.seen = Some(Err("too slow".into()));
                }
                // The client waits.
                Engine::Hung => reading.reads_at = now + 50,
            }
            if reading.seen.is_some() {
                reading.ends_at = now + self.any(0, self.slowest / 2);
            }
        }
        match reading.seen {
            Some(seen) if reading.ends_at <= now => {
                let result = seen.map(|listed| Inventory {
                    listed,
                    places: Some(Places::default()),
                    moves: self.state.moves(),
                    at: Timestamp::new(0, 0),
                });
                self.apply(Fact::Listed(result));
            }
            seen => self.reading = Some(Reading { seen, ..reading }),
        }
    }

    fn read(&mut self, scope: &Scope) -> Listed {
        let now: BTreeMap<String, Arc<ContainerInfo>> = self
            .truth
            .iter()
            .map(|(number, version)| (id(*number), info(*number, *version)))
            .collect();
        let before = self.known.clone();
        match scope {
            Scope::All(_) => self.known = now,
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
            ids: Arc::new(self.known.keys().cloned().collect()),
            warnings: Vec::new(),
            unreported,
            retry_at: None,
        }
    }

    /// The daemon's part of this moment: requests that wait ask again, and so does the refresher, if it is not busy.
    pub(super) fn wake(&mut self) {
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
                Step::List(scope) => {
                    self.steps += 1;
                    let reads_at = self.now + self.any(1, self.slowest / 2);
                    self.reading = Some(Reading {
                        scope,
                        reads_at,
                        ends_at: self.now + LIST_TIMEOUT,
                        seen: None,
                        is_slow: self.slowest == BUSY,
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
                Step::Stop => unreachable!("the daemon is not stopped"),
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
        let again = self.reported.iter().filter(|(at, _)| *at >= since);
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
        let is_busy = self.slowest == BUSY || self.reading.as_ref().is_some_and(|r| r.is_slow);
        if is_busy || self.engine == Engine::Hung {
            self.last_slow = Some(self.now);
        }
        let waiters = std::mem::take(&mut self.waiters);
        for asked in waiters {
            let at = self.at(asked);
            let freshness = match self.state.ask(at, Need::Recent, now) {
                Freshness::Wait if self.now < asked + PATIENCE => {
                    self.waiters.push(asked);
                    continue;
                }
                Freshness::Wait => {
                    assert!(
                        self.last_slow.is_some_and(|slow| slow >= asked),
                        "a request waits past the deadline"
                    );
                    self.state.fall_back("slow".into(), now)
                }
                freshness => freshness,
            };
            match freshness {
                Freshness::Fresh => {
                    self.assert_shows_finished(asked);
                    self.assert_fresh(asked);
                }
                Freshness::Stale { .. } => self.assert_shows_finished(asked),
                Freshness::Failed(_) | Freshness::Wait => {}
            }
        }
    }

    /// An operation ends, and has changed a container.
    pub(super) fn finish(&mut self, number: u32, exists: bool) {
        // A reading that begins at this moment would count as one that began afterwards.
        loop {
            let steps = self.steps;
            self.run_until(self.now + 1);
            if self.steps == steps {
                break;
            }
        }
        self.change(number, exists, true);
        let now = self.instant();
        self.state.listing.invalidate(now, vec![id(number)]);
        self.state.listing.must_show(now);
        self.finished.push((self.now, number, self.versions));
    }

    /// No answer shows the state from before the end of an operation that a client may know of.
    fn assert_shows_finished(&mut self, asked: u64) {
        let shown = self.shown();
        for (ended, number, version) in &self.finished {
            let now = shown.get(&id(*number)).map(|text| text.parse::<u32>());
            let is_shown = now.is_none_or(|now| now.unwrap() >= *version);
            assert!(
                *ended >= asked || is_shown,
                "{number} of {version} at {ended} for {asked} at {}: {shown:?}",
                self.now
            );
        }
    }

    /// While nothing goes wrong and events are followed, an answer shows all that they can have reported by then.
    fn assert_fresh(&mut self, asked: u64) {
        if self.faulty || !self.state.listing.follows_events() {
            return;
        }
        let shown = self.shown();
        for (number, at) in &self.changed {
            let truth = self.truth.get(number).map(u32::to_string);
            if at + REPORTED_WITHIN <= asked {
                assert_eq!(shown.get(&id(*number)), truth.as_ref(), "at {}", self.now);
            }
        }
    }

    pub(super) fn shown(&mut self) -> BTreeMap<String, String> {
        let view = self.state.view();
        let shown = view.containers.iter();
        shown
            .map(|one| (one.info.id.clone(), one.info.status()))
            .collect()
    }
}
