//! Runs the target that the environment variable `FUZZ_TARGET` names under libFuzzer.

#![no_main]

use std::sync::LazyLock;

use devcontainerd::fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("FUZZ_TARGET is {name:?}, which is no target"))
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
