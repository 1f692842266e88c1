//! Fingerprints of contents: equal fingerprints mean equal contents.
//!
//! A fingerprint is a UUID of version 5. Baselines in the state directory hold fingerprints, so that any change here
//! makes all dev containers dirty.

use uuid::Uuid;

/// How much of a file is read at once, in bytes; a part of the format of fingerprints.
pub const CHUNK: usize = 64 << 10;

const NAMESPACE: Uuid = Uuid::from_u128(0x6c1d_22a1_6f0c_4b6e_9d5b_3e0f_0a8f_6d11);

/// The fingerprint of content whose meaning `canonical` expresses.
pub fn fingerprint_of_meaning(canonical: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, canonical.as_bytes())
}

/// The fingerprint of content byte by byte.
pub fn fingerprint_bytes(content: &[u8]) -> Uuid {
    content.chunks(CHUNK).fold(verbatim(), append)
}

/// The fingerprint of empty content.
pub fn verbatim() -> Uuid {
    Uuid::new_v5(&NAMESPACE, b"as it stands")
}

/// The fingerprint of content that goes on with a chunk of [`CHUNK`] bytes, or with a shorter last one.
pub fn append(before: Uuid, chunk: &[u8]) -> Uuid {
    Uuid::new_v5(&before, chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_of_earlier_versions_stay_valid() {
        assert_eq!(
            fingerprint_bytes(b"FROM x").to_string(),
            "f9471ea4-9c13-5686-a2a0-46969644c87e"
        );
        assert_eq!(
            fingerprint_bytes(&[b'x'; CHUNK + 1]).to_string(),
            "83fe38b3-bb55-5e5f-9cad-48b9146d6f40"
        );
        assert_eq!(
            fingerprint_of_meaning("{}").to_string(),
            "e844b72f-5c7e-5696-943c-21d83d40552b"
        );
    }
}
