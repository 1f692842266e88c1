//! Fingerprints of contents: equal fingerprints mean equal contents.

use uuid::Uuid;

/// What is read at once of a file that is no configuration.
pub const CHUNK: usize = 64 << 10;

/// Fingerprints of contents are UUIDs of version 5 below this one.
pub const CONTENTS: Uuid = Uuid::from_u128(0x6c1d_22a1_6f0c_4b6e_9d5b_3e0f_0a8f_6d11);

/// A fingerprint of content that means what `canonical` says.
pub fn fingerprint_of_meaning(canonical: &str) -> Uuid {
    Uuid::new_v5(&CONTENTS, canonical.as_bytes())
}

/// A fingerprint of content as it stands.
pub fn fingerprint_bytes(content: &[u8]) -> Uuid {
    content.chunks(CHUNK).fold(as_it_stands(), next)
}

pub fn as_it_stands() -> Uuid {
    Uuid::new_v5(&CONTENTS, b"as it stands")
}

/// One fingerprint goes into the next one, so that content of any size takes a chunk of memory.
pub fn next(before: Uuid, chunk: &[u8]) -> Uuid {
    Uuid::new_v5(&before, chunk)
}
