//! Tests of scans on disk.

mod compose;
mod content;
mod context;
mod limits;
mod references;
mod services;

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::base::test_dir::TestDir;
use crate::model::inputs::Stamp;

const CONFIG: &str = "w/.devcontainer/devcontainer.json";

fn paths(dir: &TestDir) -> Arc<CliPaths> {
    Arc::new(CliPaths {
        folder: dir.path().join("w"),
        config: dir.path().join(CONFIG),
    })
}

/// Scans; `None` where nothing is new.
fn scan_dir(dir: &TestDir, before: Option<&Inputs>) -> Option<Inputs> {
    scan(&paths(dir), before, &ForceReread::default()).unwrap()
}

/// The content of each input, with its name.
fn contents(inputs: &Inputs) -> Vec<(String, Content)> {
    let named = inputs.named();
    named
        .map(|(name, input)| (name.display().to_string(), input.content))
        .collect()
}

fn names(inputs: &Inputs) -> Vec<String> {
    contents(inputs).into_iter().map(|(name, _)| name).collect()
}

fn config(dir: &TestDir) -> Content {
    contents(&scan_dir(dir, None).unwrap())[0].1
}

/// Scans until all stamps are settled.
fn settled(dir: &TestDir) -> Inputs {
    let begun = Instant::now();
    let is_settled = |input: &Input| input.stamp().is_none_or(Stamp::is_settled);
    let mut inputs = scan_dir(dir, None).unwrap();
    while !inputs.items().all(is_settled) {
        assert!(begun.elapsed() < Duration::from_secs(10), "never settles");
        inputs = scan_dir(dir, Some(&inputs)).unwrap_or(inputs);
    }
    inputs
}
