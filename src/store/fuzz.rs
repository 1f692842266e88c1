//! Files that the fuzzer makes.

use super::format::{from_json, to_json};

/// Reads `state.json`. What is written of it is read as the same.
pub fn state(data: &[u8]) {
    if let Ok(read) = from_json(data) {
        let again = from_json(&to_json(read.clone()));
        assert_eq!(again.ok(), Some(read));
    }
}
