//! The targets of `make fuzz`: each reads bytes that come from outside, and asserts what holds for all of them.
//!
//! The findings of the fuzzer are in `fuzz/found`. The tests read these and the seeds, so that none comes back.

use crate::{devcontainer, docker, http, manifest, proxy, store};

/// A function that reads bytes, and panics where a rule does not hold.
pub struct Target {
    /// Its name on the command line, and that of the directories of its seeds and its findings.
    pub name: &'static str,
    /// The function.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident: $run:path,)+) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $run }),+];
    };
}

targets! {
    request: http::fuzz::request,
    chunks: http::fuzz::chunks,
    inspect: docker::fuzz::inspect,
    docker_events: docker::fuzz::events,
    cli_log: devcontainer::fuzz::cli_log,
    cli_result: devcontainer::fuzz::cli_result,
    jsonc: devcontainer::fuzz::jsonc,
    compose: devcontainer::fuzz::compose,
    env_file: devcontainer::fuzz::env_file,
    dockerfile: devcontainer::fuzz::dockerfile,
    state: store::fuzz::state,
    manifest: manifest::fuzz::manifest,
    engine_request: proxy::fuzz::request,
    engine_answer: proxy::fuzz::answer,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn p19_every_seed_and_finding_of_the_fuzzer_passes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for target in TARGETS {
            let mut read = 0;
            for directory in ["seeds", "found"] {
                let directory = root.join(directory).join(target.name);
                for file in fs::read_dir(directory).into_iter().flatten() {
                    let path = file.unwrap().path();
                    println!("{}", path.display());
                    (target.run)(&fs::read(path).unwrap());
                    read += 1;
                }
            }
            assert!(read > 0, "{} has no seeds", target.name);
        }
    }
}
