//! The counts of the daemon since its start, for `GET /metrics`.
//!
//! There is one set of counters in a process, as there is one log. Each is written in one place, where the fact is learned,
//! and an increment is all that it costs.

use std::time::Duration;

use super::error_code::ErrorCode;
use super::operation::{OperationKind, OperationState};
use crate::base::count::{Bounds, Counter, Histogram};

/// The counters of this process.
pub static COUNTERS: Counters = Counters::new();

const MILLI: u64 = 1000;
const SECOND: u64 = 1000 * MILLI;

/// The bounds of the time of operations.
pub const OPERATIONS: Bounds = &[
    SECOND / 2,
    SECOND,
    5 * SECOND / 2,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    120 * SECOND,
    300 * SECOND,
    600 * SECOND,
    1800 * SECOND,
    3600 * SECOND,
];

/// The bounds of the time of listings.
pub const LISTINGS: Bounds = &[
    10 * MILLI,
    25 * MILLI,
    50 * MILLI,
    100 * MILLI,
    250 * MILLI,
    500 * MILLI,
    SECOND,
    5 * SECOND / 2,
    5 * SECOND,
    10 * SECOND,
];

/// The bounds of the time of scans.
pub const SCANS: Bounds = &[
    100,
    250,
    500,
    MILLI,
    5 * MILLI / 2,
    5 * MILLI,
    10 * MILLI,
    50 * MILLI,
    100 * MILLI,
    500 * MILLI,
    SECOND,
    5 * SECOND,
];

const KINDS: usize = OperationKind::ALL.len();
const ENDS: usize = OperationState::ENDS.len();
const CODES: usize = ErrorCode::ALL.len();
const FAILURES: usize = ListingFailure::ALL.len();

/// All counters.
#[derive(Debug)]
pub struct Counters {
    /// By kind and end.
    operations: [Counter; KINDS * ENDS],
    /// By kind.
    operation_seconds: [Histogram; KINDS],
    listings: Histogram,
    readings: Histogram,
    listing_failures: [Counter; FAILURES],
    /// The events children that were at fault and ended.
    pub events_restarts: Counter,
    scans: Histogram,
    /// The connections that were served.
    pub connections: Counter,
    /// The requests that were read.
    pub requests: Counter,
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
            operations: [const { Counter::new() }; KINDS * ENDS],
            operation_seconds: [const { Histogram::new() }; KINDS],
            listings: Histogram::new(),
            readings: Histogram::new(),
            listing_failures: [const { Counter::new() }; FAILURES],
            events_restarts: Counter::new(),
            scans: Histogram::new(),
            connections: Counter::new(),
            requests: Counter::new(),
            errors: [const { Counter::new() }; CODES],
        }
    }

    /// Counts an operation that is in this state after its end. It took so long; `None` where it never began.
    pub fn operation_ended(
        &self,
        kind: OperationKind,
        state: OperationState,
        took: Option<Duration>,
    ) {
        let end = OperationState::ENDS.iter().position(|end| *end == state);
        let at = end.map(|end| kind as usize * ENDS + end);
        add(&self.operations, at.unwrap_or(usize::MAX));
        if let (Some(seconds), Some(took)) = (self.operation_seconds.get(kind as usize), took) {
            seconds.observe(took, OPERATIONS);
        }
    }

    /// Returns the number of operations that ended: of each kind in turn, those with each end.
    pub fn operations(&self) -> &[Counter] {
        &self.operations
    }

    /// Returns the time of the operations of each kind, with bounds as in [`OPERATIONS`].
    pub fn operation_seconds(&self) -> &[Histogram] {
        &self.operation_seconds
    }

    /// Counts a listing of all containers, which may have failed.
    pub fn listed(&self, took: Duration) {
        self.listings.observe(took, LISTINGS);
    }

    /// Returns the time of listings of all containers, with bounds as in [`LISTINGS`].
    pub fn listings(&self) -> &Histogram {
        &self.listings
    }

    /// Counts a reading of the containers that events have named, which may have failed.
    pub fn reread(&self, took: Duration) {
        self.readings.observe(took, LISTINGS);
    }

    /// Returns the time of such readings, with bounds as in [`LISTINGS`].
    pub fn readings(&self) -> &Histogram {
        &self.readings
    }

    /// Counts a listing or reading that failed.
    pub fn listing_failed(&self, why: ListingFailure) {
        add(&self.listing_failures, why as usize);
    }

    /// Returns the number of those that failed, for each reason in turn.
    pub fn listing_failures(&self) -> &[Counter] {
        &self.listing_failures
    }

    /// Counts a scan of inputs.
    pub fn scanned(&self, took: Duration) {
        self.scans.observe(took, SCANS);
    }

    /// Returns the time of scans, with bounds as in [`SCANS`].
    pub fn scans(&self) -> &Histogram {
        &self.scans
    }

    /// Counts an answer that is an error.
    pub fn error(&self, code: ErrorCode) {
        add(&self.errors, code as usize);
    }

    /// Returns the number of answers that were errors, for each code in turn.
    pub fn errors(&self) -> &[Counter] {
        &self.errors
    }
}

fn add(counters: &[Counter], at: usize) {
    if let Some(counter) = counters.get(at) {
        counter.add();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(counters: &[Counter]) -> Vec<u64> {
        counters.iter().map(Counter::get).collect()
    }

    #[test]
    fn an_operation_counts_for_its_kind_and_end() {
        let counters = Counters::new();
        let took = Duration::from_secs(3);
        counters.operation_ended(OperationKind::Start, OperationState::Failed, Some(took));
        counters.operation_ended(OperationKind::Start, OperationState::Cancelled, None);
        let expected = [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(numbers(counters.operations()), expected);
        let sums = counters.operation_seconds().iter().map(Histogram::sum);
        assert_eq!(sums.collect::<Vec<_>>(), [0, 3_000_000, 0, 0], "one ran");
    }

    #[test]
    fn every_kind_end_and_reason_has_its_place() {
        for (index, kind) in OperationKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
        let counters = Counters::new();
        for kind in OperationKind::ALL {
            for end in OperationState::ENDS {
                counters.operation_ended(kind, end, None);
            }
        }
        for why in ListingFailure::ALL {
            counters.listing_failed(why);
        }
        for code in ErrorCode::ALL {
            counters.error(code);
        }
        assert_eq!(numbers(counters.operations()), [1; 16]);
        assert_eq!(numbers(counters.listing_failures()), [1; 4]);
        assert_eq!(numbers(counters.errors()), [1; 37]);
    }

    #[test]
    fn bounds_ascend_and_are_not_more_than_a_histogram_has() {
        for bounds in [OPERATIONS, LISTINGS, SCANS] {
            assert!(bounds.is_sorted() && bounds.len() < Histogram::new().buckets().len());
        }
    }
}
