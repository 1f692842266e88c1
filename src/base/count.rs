//! Numbers that only grow, counted by any thread without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The maximum number of bounds of a histogram.
const MAX_BOUNDS: usize = 12;

/// The number of times that something has happened.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// The largest duration that a bucket of a histogram takes: as text, in seconds, and in microseconds.
pub type Bound = (&'static str, u64);

/// How often something took how long.
#[derive(Debug)]
pub struct Histogram {
    /// In ascending order.
    bounds: &'static [Bound],
    /// The number of durations for each bound, and after those of the bounds that of the longer ones.
    buckets: [Counter; MAX_BOUNDS + 1],
    /// In microseconds.
    sum: Counter,
}

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
    /// Returns an empty histogram with at most 12 bounds.
    pub const fn new(bounds: &'static [Bound]) -> Self {
        assert!(bounds.len() <= MAX_BOUNDS);
        Self {
            bounds,
            buckets: [const { Counter::new() }; MAX_BOUNDS + 1],
            sum: Counter::new(),
        }
    }

    /// Counts a duration.
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let fits = self.bounds.iter().position(|(_, bound)| micros <= *bound);
        if let Some(bucket) = self.buckets.get(fits.unwrap_or(self.bounds.len())) {
            bucket.add();
        }
        self.sum.add_many(micros);
    }

    /// Returns each bound as text, with the number of durations that are no longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = self.bounds.iter().map(|(text, _)| *text);
        let numbers = self.buckets.iter().scan(0, |sum, bucket| {
            *sum += bucket.get();
            Some(*sum)
        });
        names.chain(["+Inf"]).zip(numbers)
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
    fn a_duration_counts_for_its_bound_and_all_larger_ones() {
        let histogram = Histogram::new(&[("0.5", 500_000), ("1.0", 1_000_000)]);
        for millis in [0, 500, 501, 1000, 1001, 90_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let buckets: Vec<_> = histogram.cumulative().collect();
        assert_eq!(buckets, [("0.5", 2), ("1.0", 4), ("+Inf", 6)]);
        assert_eq!(histogram.sum(), 93_002_000);
    }
}
