//! Random choices that can be made again.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of choices that its seed determines: SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
pub(crate) struct Random(u64);

impl Random {
    /// A source with the seed in `DEVCONTAINERD_SEED`, or a new one. A test that fails shows it.
    pub(crate) fn new() -> Self {
        let given = std::env::var("DEVCONTAINERD_SEED").ok();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = given.map_or(now.as_secs(), |seed| seed.parse().unwrap());
        println!("DEVCONTAINERD_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range, which is not empty.
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// One of several.
    pub(crate) fn one_of<T: Copy>(&mut self, several: &[T]) -> T {
        several[self.within(0..several.len() as u64) as usize]
    }
}
