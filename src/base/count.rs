//! Numbers that only grow, counted by any thread without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The maximum number of bounds of a histogram.
const MAX_BOUNDS: usize = 12;

/// The number of times that something has happened.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The number of durations for each bound, and after those of the bounds that of the longer ones.
    buckets: [Counter; MAX_BOUNDS + 1],
    /// In microseconds.
    sum: Counter,
}

/// The largest duration that each bucket of a histogram takes, in microseconds and ascending. There are at most 12.
pub type Bounds = &'static [u64];

impl Counter {
    /// Returns a counter at 0.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one more.
    pub fn add(&self) {
        self.add_many(1);
    }

    fn add_many(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Returns the number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    /// Returns an empty histogram.
    pub const fn new() -> Self {
        Self {
            buckets: [const { Counter::new() }; MAX_BOUNDS + 1],
            sum: Counter::new(),
        }
    }

    /// Counts a duration. The bounds are always the same.
    pub fn observe(&self, took: Duration, bounds: Bounds) {
        let micros = took.as_micros() as u64;
        let fits = bounds.iter().position(|bound| micros <= *bound);
        if let Some(bucket) = self.buckets.get(fits.unwrap_or(bounds.len())) {
            bucket.add();
        }
        self.sum.add_many(micros);
    }

    /// Returns the number of durations in the bucket of each bound, and the number of the longer ones.
    pub fn buckets(&self) -> &[Counter] {
        &self.buckets
    }

    /// Returns the sum of all durations, in microseconds.
    pub fn sum(&self) -> u64 {
        self.sum.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_for_the_first_bound_that_it_does_not_exceed() {
        let histogram = Histogram::new();
        for millis in [0, 500, 501, 1000, 1001, 90_000] {
            histogram.observe(Duration::from_millis(millis), &[500_000, 1_000_000]);
        }
        let buckets = histogram.buckets().iter().map(Counter::get);
        assert_eq!(buckets.take(4).collect::<Vec<_>>(), [2, 2, 2, 0]);
        assert_eq!(histogram.sum(), 93_002_000);
    }
}
