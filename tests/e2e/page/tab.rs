//! A page of a real Chromium, which a test drives by pieces of JavaScript for `driver.mjs`.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::common::{Sandbox, descendants, kill};

/// Ends when it is dropped.
pub(super) struct Tab {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Tab {
    pub(super) fn new(sandbox: &Sandbox) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tools = root.join("target/tools");
        let own = tools.join("bin/node");
        let log = sandbox.path("browser.log");
        let home = sandbox.path("browser");
        std::fs::create_dir_all(&home).unwrap();
        let mut child = Command::new(if own.exists() { own } else { "node".into() })
            .arg(root.join("tests/e2e/page/driver.mjs"))
            .arg(tools)
            .arg(chromium())
            // What it leaves behind is found by this and killed with the sandbox.
            .env("HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("node runs (scripts/setup.sh cli installs it)");
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            log,
        }
    }

    /// Runs the body of a function. Returns its result.
    #[track_caller]
    pub(super) fn run(&mut self, code: &str) -> Value {
        let line = Value::from(code).to_string();
        let sent = writeln!(self.input, "{line}");
        let mut answer = String::new();
        let read = sent.and_then(|()| self.output.read_line(&mut answer));
        assert!(
            matches!(read, Ok(1..)),
            "the driver has ended: {}",
            self.log()
        );
        let answer: Value = serde_json::from_str(&answer).unwrap();
        if let Some(error) = answer["error"].as_str() {
            panic!("{code}: {error}");
        }
        answer["value"].clone()
    }

    /// Asserts that the page has written no error and no warning, and asked no other address, but for these texts.
    #[track_caller]
    pub(super) fn assert_no_problem_but(&mut self, expected: &[&str]) {
        let problems = self.run("return problems.splice(0)");
        let unexpected = problems.as_array().unwrap().iter().filter(|problem| {
            let text = problem.as_str().unwrap();
            !expected.iter().any(|part| text.contains(part))
        });
        assert_eq!(unexpected.collect::<Vec<_>>(), [&Value::Null; 0]);
    }

    /// Asserts that axe finds nothing.
    #[track_caller]
    pub(super) fn assert_accessible(&mut self) {
        let found = self.run("return axe()");
        assert_eq!(found, Value::Array(Vec::new()), "{found:#}");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        let below = descendants(self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
        below.into_iter().for_each(kill);
    }
}

fn chromium() -> String {
    let found = Command::new("sh")
        .args(["-c", "command -v chromium"])
        .output()
        .unwrap();
    let path = String::from_utf8(found.stdout).unwrap();
    assert!(
        !path.is_empty(),
        "chromium is missing (scripts/bed.sh installs it in its root)"
    );
    path.trim().to_owned()
}
