//! What the daemon has counted since its start, for `GET /metrics`.
//!
//! There is one set of counters in a process, as there is one log. Each is written in one place, where the fact is learned,
//! and an increment is all that it costs.

use std::time::Duration;

use super::error_code::ErrorCode;
use super::operation::{Ending, OperationKind, OperationState};
use crate::base::count::{Bound, Counter, Histogram};

/// The counters of this process.
pub static COUNTERS: Counters = Counters::new();

/// The bounds of the seconds of operations.
const OPERATIONS: &[Bound] = &[
    ("0.5", 500_000),
    ("1.0", 1_000_000),
    ("2.5", 2_500_000),
    ("5.0", 5_000_000),
    ("10.0", 10_000_000),
    ("30.0", 30_000_000),
    ("60.0", 60_000_000),
    ("120.0", 120_000_000),
    ("300.0", 300_000_000),
    ("600.0", 600_000_000),
    ("1800.0", 1_800_000_000),
    ("3600.0", 3_600_000_000),
];

/// The bounds of the seconds of listings.
const LISTINGS: &[Bound] = &[
    ("0.01", 10_000),
    ("0.025", 25_000),
    ("0.05", 50_000),
    ("0.1", 100_000),
    ("0.25", 250_000),
    ("0.5", 500_000),
    ("1.0", 1_000_000),
    ("2.5", 2_500_000),
    ("5.0", 5_000_000),
    ("10.0", 10_000_000),
];

/// The bounds of the seconds of scans.
const SCANS: &[Bound] = &[
    ("0.0001", 100),
    ("0.00025", 250),
    ("0.0005", 500),
    ("0.001", 1_000),
    ("0.0025", 2_500),
    ("0.005", 5_000),
    ("0.01", 10_000),
    ("0.05", 50_000),
    ("0.1", 100_000),
    ("0.5", 500_000),
    ("1.0", 1_000_000),
    ("5.0", 5_000_000),
];

const KINDS: usize = OperationKind::ALL.len();
const ENDS: usize = OperationState::ENDS.len();
const CODES: usize = ErrorCode::ALL.len();
const FAILURES: usize = ListingFailure::ALL.len();

/// All counters.
#[derive(Debug)]
pub struct Counters {
    /// By kind, then by the state after the end.
    operations: [[Counter; ENDS]; KINDS],
    operation_seconds: [Histogram; KINDS],
    /// The seconds of listings of all containers, the failed ones included.
    pub listings: Histogram,
    /// The seconds of readings of the containers that events have named.
    pub readings: Histogram,
    listing_failures: [Counter; FAILURES],
    /// The events children that were at fault and ended.
    pub events_restarts: Counter,
    /// The seconds of scans of inputs.
    pub scans: Histogram,
    /// The connections that were served.
    pub connections: Counter,
    /// The requests that were read.
    pub requests: Counter,
    /// The answers that were errors.
    errors: [Counter; CODES],
}

/// The reason why containers could not be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingFailure {
    /// docker could not be run.
    Spawn,
    /// docker did not finish in time.
    Timeout,
    /// docker failed, as it does where the engine is down.
    Exit,
    /// docker printed something that cannot be read.
    Output,
}

impl ListingFailure {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Spawn, Self::Timeout, Self::Exit, Self::Output];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::Timeout => "timeout",
            Self::Exit => "exit",
            Self::Output => "output",
        }
    }
}

impl Counters {
    const fn new() -> Self {
        Self {
            operations: [const { [const { Counter::new() }; ENDS] }; KINDS],
            operation_seconds: [const { Histogram::new(OPERATIONS) }; KINDS],
            listings: Histogram::new(LISTINGS),
            readings: Histogram::new(LISTINGS),
            listing_failures: [const { Counter::new() }; FAILURES],
            events_restarts: Counter::new(),
            scans: Histogram::new(SCANS),
            connections: Counter::new(),
            requests: Counter::new(),
            errors: [const { Counter::new() }; CODES],
        }
    }

    /// Counts the end of an operation, which took this long; `None` where it never began.
    pub fn operation_ended(&self, kind: OperationKind, ending: &Ending, took: Option<Duration>) {
        let ends = self.operations.get(kind as usize);
        let end = OperationState::ENDS
            .iter()
            .position(|state| *state == ending.state());
        if let Some(counter) = ends.zip(end).and_then(|(ends, end)| ends.get(end)) {
            counter.add();
        }
        let seconds = self.operation_seconds.get(kind as usize);
        if let Some((seconds, took)) = seconds.zip(took) {
            seconds.observe(took);
        }
    }

    /// Returns each kind of operation, with the number of those in each state after the end, and their seconds.
    pub fn operations(
        &self,
    ) -> impl Iterator<Item = (OperationKind, &[Counter; ENDS], &Histogram)> {
        let kinds = OperationKind::ALL.into_iter();
        let all = kinds.zip(&self.operations).zip(&self.operation_seconds);
        all.map(|((kind, ends), seconds)| (kind, ends, seconds))
    }

    /// Counts a listing that failed.
    pub fn listing_failed(&self, why: ListingFailure) {
        if let Some(counter) = self.listing_failures.get(why as usize) {
            counter.add();
        }
    }

    /// Returns the number of listings that failed, by the reason.
    pub fn listing_failures(&self) -> impl Iterator<Item = (ListingFailure, &Counter)> {
        ListingFailure::ALL.into_iter().zip(&self.listing_failures)
    }

    /// Counts an answer that is an error.
    pub fn error(&self, code: ErrorCode) {
        if let Some(counter) = self.errors.get(code as usize) {
            counter.add();
        }
    }

    /// Returns the number of answers that were errors, by the code.
    pub fn errors(&self) -> impl Iterator<Item = (ErrorCode, &Counter)> {
        ErrorCode::ALL.into_iter().zip(&self.errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_counts_for_its_kind_and_end() {
        let counters = Counters::new();
        let failed = Ending::Failed("no image".into());
        let took = Duration::from_secs(3);
        counters.operation_ended(OperationKind::Start, &failed, Some(took));
        counters.operation_ended(OperationKind::Start, &Ending::Cancelled, None);
        let all: Vec<_> = counters.operations().collect();
        let of_start = all.iter().find(|(kind, ..)| *kind == OperationKind::Start);
        let (_, ends, seconds) = of_start.unwrap();
        let ends = OperationState::ENDS
            .map(OperationState::as_str)
            .into_iter()
            .zip(*ends);
        let ends: Vec<_> = ends.map(|(end, counter)| (end, counter.get())).collect();
        let expected = [
            ("succeeded", 0),
            ("failed", 1),
            ("cancelled", 1),
            ("interrupted", 0),
        ];
        assert_eq!(ends, expected);
        assert_eq!(seconds.cumulative().last(), Some(("+Inf", 1)), "one ran");
        assert_eq!(seconds.sum(), 3_000_000);
        let others = all
            .iter()
            .filter(|(kind, ..)| *kind != OperationKind::Start);
        assert!(
            others
                .flat_map(|(_, ends, _)| *ends)
                .all(|counter| counter.get() == 0)
        );
    }

    #[test]
    fn every_kind_end_and_reason_has_its_place() {
        for (index, kind) in OperationKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
        let counters = Counters::new();
        for why in ListingFailure::ALL {
            counters.listing_failed(why);
        }
        for code in ErrorCode::ALL {
            counters.error(code);
        }
        assert!(
            counters
                .listing_failures()
                .all(|(_, counter)| counter.get() == 1)
        );
        assert!(counters.errors().all(|(_, counter)| counter.get() == 1));
    }
}
