//! Bytes in two parts, for tests that hold however bytes arrive.

/// Cuts `data` at a place that depends on its content.
pub fn cut(data: &[u8]) -> (&[u8], &[u8]) {
    let sum: usize = data.iter().map(|byte| usize::from(*byte)).sum();
    data.split_at(sum.checked_rem(data.len()).unwrap_or_default())
}
