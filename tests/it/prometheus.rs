//! The metrics as Prometheus reads them, and the alerts and the dashboard that are made for it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::metrics::{expressions, metrics_address, packaged};
use crate::common::{Daemon, LONGEST, Sandbox, eventually, parse};

/// Runs promtool, which must not find a flaw.
#[track_caller]
fn promtool(arguments: &[&str], input: &str) {
    let child = Command::new("promtool")
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("promtool is missing: scripts/setup.sh installs it");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // A metric with an odd name is no failure, but is said.
    let is_quiet = !input.is_empty() && said.is_empty();
    assert!(
        output.status.success() && (input.is_empty() || is_quiet),
        "{arguments:?}: {said}"
    );
}

#[test]
fn promtool_finds_no_flaw_in_the_metrics() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    daemon.get("/");
    assert_eq!(daemon.recreate("app").status, 204);
    promtool(&["check", "metrics"], &daemon.get("/metrics").body);
}

#[test]
fn promtool_accepts_the_alerts_and_their_tests_pass() {
    promtool(&["check", "rules", "devcontainerd.rules.yml"], "");
    promtool(&["test", "rules", "devcontainerd.rules.test.yml"], "");
}

/// A Prometheus that scrapes a daemon, and ends when it is dropped.
struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    /// Starts one that scrapes these addresses, and takes the alerts at once that wait for some minutes.
    #[track_caller]
    fn start(sandbox: &Sandbox, targets: &str) -> Self {
        let rules = packaged("prometheus/devcontainerd.rules.yml");
        let lines = rules
            .lines()
            .filter(|line| !line.trim_start().starts_with("for: "));
        sandbox.write("rules.yml", &lines.collect::<Vec<_>>().join("\n"));
        let config = sandbox.write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
                 rule_files: [rules.yml]\n\
                 scrape_configs:\n  - job_name: devcontainerd\n    static_configs: [{{targets: [{targets}]}}]\n"
            ),
        );
        let log = sandbox.path("prometheus.log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                sandbox.path("prometheus").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn();
        let child = child.expect("prometheus is missing: scripts/setup.sh installs it");
        let mut prometheus = Self {
            child,
            address: String::new(),
        };
        prometheus.address = eventually("Prometheus listens", || {
            let text = fs::read_to_string(&log).ok()?;
            let line = text
                .lines()
                .find(|line| line.contains("msg=\"Listening on\""))?;
            let (_, address) = line.split_once(" address=")?;
            address.contains(':').then(|| address.trim().to_owned())
        });
        prometheus
    }

    /// The data of an answer, once it is ready to give one.
    fn api(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        let head =
            format!("GET /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let answer = parse(&answer);
        (answer.status == 200).then(|| answer.json()["data"].clone())
    }

    /// The values that an expression has now, each as text.
    fn query(&self, expression: &str) -> Option<Vec<String>> {
        let escaped = expression.bytes().map(|byte| format!("%{byte:02x}"));
        let data = self.api(&format!("query?query={}", escaped.collect::<String>()))?;
        let all = data["result"].as_array()?.iter();
        all.map(|one| one["value"][1].as_str().map(str::to_owned))
            .collect()
    }

    /// The names of the alerts that fire.
    fn firing(&self) -> Option<Vec<String>> {
        let data = self.api("alerts")?;
        let all = data["alerts"].as_array()?.iter();
        let firing = all.filter(|one| one["state"] == "firing");
        firing
            .map(|one| one["labels"]["alertname"].as_str().map(str::to_owned))
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until exactly these alerts fire.
#[track_caller]
fn assert_firing(prometheus: &Prometheus, expected: &[&str]) {
    let mut last = None;
    eventually(&format!("{expected:?} fire"), || {
        last = prometheus.firing();
        (last.as_deref()? == expected).then_some(())
    });
}

fn targets(daemons: &[&Daemon]) -> String {
    let all = daemons
        .iter()
        .map(|daemon| format!("\"{}\"", metrics_address(daemon)));
    all.collect::<Vec<_>>().join(", ")
}

#[test]
fn an_alert_fires_when_the_engine_of_an_idle_daemon_stops() {
    let sandbox = Sandbox::with_app();
    let arguments = "--metrics-listen 127.0.0.1:0 --cache-duration 0.1";
    let daemon = sandbox.following_daemon().args(arguments).start();
    let prometheus = Prometheus::start(&sandbox, &targets(&[&daemon]));
    eventually("the daemon is scraped, and its engine is up", || {
        (prometheus
            .query("up == 1 and devcontainerd_engine_up == 1")?
            .len()
            == 1)
            .then_some(())
    });
    assert_firing(&prometheus, &[]);
    let running = "devcontainerd_devcontainers{status=\"running\"}";
    assert_eq!(prometheus.query(running), Some(vec!["1".to_owned()]));
    every_panel_can_be_drawn(&prometheus);

    // Nobody but Prometheus asks the daemon for anything.
    sandbox.docker("echo 'Cannot connect to the Docker daemon' >&2; exit 1");
    assert_firing(&prometheus, &["DevcontainerdEngineDown"]);
    sandbox.docker("");
    assert_firing(&prometheus, &[]);
    assert_eq!(
        sandbox.calls("docker", "events"),
        0,
        "P9: that is no interest"
    );

    drop(daemon);
    assert_firing(&prometheus, &["DevcontainerdDown"]);
}

/// Every expression of the dashboard is one, and most have a value.
#[track_caller]
fn every_panel_can_be_drawn(prometheus: &Prometheus) {
    let dashboard: Value = serde_json::from_str(&packaged("grafana/devcontainerd.json")).unwrap();
    let expressions = expressions(&dashboard);
    let is_drawn = |expression: &&String| {
        let expression = expression
            .replace("$job", ".+")
            .replace("$instance", ".+")
            .replace("$__rate_interval", "1m");
        let values = prometheus.query(&expression);
        let values = values.unwrap_or_else(|| panic!("no expression: {expression}"));
        !values.is_empty()
    };
    // A rate needs two scrapes. The errors of which there are none are not drawn.
    eventually("all panels but one have a value", || {
        let drawn = expressions.iter().filter(is_drawn).count();
        (drawn + 1 >= expressions.len()).then_some(())
    });
}
