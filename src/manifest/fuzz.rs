//! Manifests that the fuzzer makes.

use super::Manifest;

/// Reads a manifest. Every dev container has an absolute folder.
pub fn manifest(data: &[u8]) {
    let variable = |name: &str| (name == "HOME").then(|| "/home/user".to_owned());
    if let Ok(read) = Manifest::parse(data, &variable) {
        let mut all = read.devcontainers.iter();
        assert!(all.all(|one| one.folder.is_absolute()));
    }
}
