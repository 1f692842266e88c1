//! `GET /metrics`, its documentation, and the files in `packaging` that name metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::http::with_app;
use crate::common::client::Client;
use crate::common::{
    Daemon, DaemonBuilder, LONGEST, Response, Sandbox, Stopwatch, eventually, parse,
};

const OPEN_METRICS: &str =
    "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A metric, as its samples show it.
#[derive(Debug, Default, PartialEq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
    samples: BTreeMap<String, f64>,
}

/// The metrics of an answer in the text format of Prometheus, by name.
#[track_caller]
fn metrics(text: &str) -> BTreeMap<String, Metric> {
    let mut all = BTreeMap::<String, Metric>::new();
    let mut current = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["#", "HELP", name, _, ..] => current = name.to_owned(),
            ["#", "TYPE", name, kind] => {
                assert_eq!(name, current, "the help comes first");
                let metric = all.entry(name.to_owned()).or_default();
                assert_eq!(metric.kind, "", "{name} is there twice");
                metric.kind = kind.to_owned();
            }
            [sample, value] => {
                let metric = all.get_mut(&current).unwrap();
                assert!(sample.starts_with(&current), "{line}");
                let labels = sample.split_once('{').map_or("", |(_, labels)| labels);
                let names = labels.trim_end_matches('}').split(',');
                let names = names.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
                metric.labels.extend(names.filter(|name| name != "le"));
                let before = metric
                    .samples
                    .insert(sample.to_owned(), value.parse().unwrap());
                assert_eq!(before, None, "{sample} is there twice");
            }
            _ => panic!("{line}"),
        }
    }
    all
}

/// The value of a sample.
#[track_caller]
fn value(daemon: &Daemon, sample: &str) -> f64 {
    let text = daemon.get("/metrics").body;
    let all = metrics(&text);
    let found = all.values().find_map(|metric| metric.samples.get(sample));
    *found.unwrap_or_else(|| panic!("no {sample}: {text}"))
}

/// Every name that a sample can have.
pub(super) fn names(daemon: &Daemon) -> BTreeSet<String> {
    let all = metrics(&daemon.get("/metrics").body);
    let samples = all.values().flat_map(|metric| metric.samples.keys());
    samples
        .filter_map(|sample| Some(sample.split('{').next()?.to_owned()))
        .collect()
}

/// The words of a text that look like the name of a metric.
fn named_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c != '_' && !c.is_ascii_lowercase());
    let ours = words.filter(|word| {
        word.starts_with("devcontainerd_") || word.starts_with("process_") && word.len() > 8
    });
    ours.map(str::to_owned).collect()
}

pub(super) fn packaged(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_metric_is_documented_with_its_type_and_labels() {
    let (_sandbox, daemon) = with_app();
    daemon.get("/");
    let printed: BTreeMap<String, (String, BTreeSet<String>)> =
        metrics(&daemon.get("/metrics").body)
            .into_iter()
            .map(|(name, metric)| (name, (metric.kind, metric.labels)))
            .collect();
    let page = include_str!("../../docs/metrics.md");
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line
            .strip_prefix("| `")?
            .split('|')
            .map(str::trim)
            .collect();
        let [name, kind, labels, meaning, ""] = cells[..] else {
            return None;
        };
        assert!(!meaning.is_empty(), "{line}");
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned);
        let name = name.trim_end_matches('`').to_owned();
        Some((name, (kind.to_owned(), labels.collect())))
    });
    let documented: BTreeMap<_, _> = rows.collect();
    assert_eq!(printed, documented);
}

#[test]
fn the_rules_and_the_dashboard_name_only_metrics_that_there_are() {
    let (_sandbox, daemon) = with_app();
    daemon.get("/");
    let known = names(&daemon);
    let unknown = |text: &str| -> Vec<String> {
        let named = named_in(text);
        assert!(named.len() > 3, "{text}");
        named.difference(&known).cloned().collect()
    };
    let rules = packaged("prometheus/devcontainerd.rules.yml");
    assert_eq!(unknown(&rules), [""; 0]);
    assert_eq!(
        unknown(&packaged("prometheus/devcontainerd.rules.test.yml")),
        [""; 0]
    );
    let page = include_str!("../../docs/metrics.md");
    for rule in rules
        .lines()
        .filter_map(|line| line.split("alert: ").nth(1))
    {
        assert!(
            page.contains(&format!("| `{rule}` |")),
            "{rule} is not documented"
        );
    }

    let dashboard: Value = serde_json::from_str(&packaged("grafana/devcontainerd.json")).unwrap();
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 20, "{expressions:?}");
    assert_eq!(unknown(&expressions.join("\n")), [""; 0]);
    let variables = &dashboard["templating"]["list"];
    assert_eq!(
        unknown(&format!("{variables}{}", expressions.join(" "))),
        [""; 0]
    );
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels
        .iter()
        .map(|one| one["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), panels.len(), "each panel has its own id");
}

/// The expressions of all panels.
pub(super) fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_format_is_the_one_that_the_client_names() {
    let (_sandbox, daemon) = with_app();
    for (accept, is_open) in [
        ("", false),
        ("Accept: */*\r\n", false),
        ("Accept: text/plain;version=0.0.4\r\n", false),
        ("Accept: application/openmetrics-text;q=0, */*\r\n", false),
        (OPEN_METRICS, true),
    ] {
        let answer = daemon.request("GET", "/metrics", accept);
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = match is_open {
            true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            false => "text/plain; version=0.0.4; charset=utf-8",
        };
        assert_eq!(answer.headers["content-type"], expected, "{accept}");
        assert_eq!(answer.headers["vary"], "Accept");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.body.ends_with("\n# EOF\n"), is_open, "{accept}");
        let family = "# TYPE devcontainerd_requests counter\n";
        assert_eq!(answer.body.contains(family), is_open, "{accept}");
        let head = daemon.request("HEAD", "/metrics", accept);
        assert_eq!((head.status, head.body.as_str()), (200, ""));
    }
    let below = daemon.get("/api/v0/containers/metrics/");
    assert_eq!(
        metrics(&below.body).len(),
        metrics(&daemon.get("/metrics").body).len()
    );
    assert_eq!(daemon.get("/metrics?x=1").status, 400);
    assert_eq!(daemon.post("/metrics").headers["allow"], "GET, HEAD");
}

#[test]
fn what_happens_is_counted() {
    let sandbox = Sandbox::with_app();
    sandbox.container(2).save();
    let daemon = sandbox.daemon().args("--cache-duration 600").start();
    daemon.get("/");
    for (sample, expected) in [
        ("devcontainerd_engine_up", 1.0),
        ("devcontainerd_containers{state=\"running\"}", 2.0),
        ("devcontainerd_devcontainers{status=\"running\"}", 1.0),
        ("devcontainerd_devcontainers_dirty", 0.0),
        ("devcontainerd_listing_duration_seconds_count", 1.0),
        ("devcontainerd_watcher_up", 1.0),
    ] {
        assert_eq!(value(&daemon, sample), expected, "{sample}");
    }
    eventually("the scrape is the only connection", || {
        (value(&daemon, "devcontainerd_connections_open") == 1.0).then_some(())
    });
    assert!(value(&daemon, "devcontainerd_scan_duration_seconds_count") >= 1.0);
    assert!(value(&daemon, "devcontainerd_listing_age_seconds") < 300.0);

    assert_eq!(daemon.recreate("app").status, 204);
    sandbox.devcontainer("echo no >&2; exit 1");
    assert_eq!(daemon.recreate("app").status, 500);
    let of_recreate = |outcome: &str| {
        let labels = format!("kind=\"recreate\",outcome=\"{outcome}\"");
        value(
            &daemon,
            &format!("devcontainerd_operations_total{{{labels}}}"),
        )
    };
    let outcomes = ["succeeded", "failed", "cancelled", "interrupted"];
    assert_eq!(outcomes.map(of_recreate), [1.0, 1.0, 0.0, 0.0]);
    let took = "devcontainerd_operation_duration_seconds";
    let all = format!("{took}_bucket{{kind=\"recreate\",le=\"+Inf\"}}");
    assert_eq!(value(&daemon, &all), 2.0);
    assert!(value(&daemon, &format!("{took}_sum{{kind=\"recreate\"}}")) > 0.0);

    sandbox.replace(
        "work/app/.devcontainer/devcontainer.json",
        "{\"image\":\"other\"}",
        0o644,
    );
    eventually("the edit shows, though nobody asks for the list", || {
        (value(&daemon, "devcontainerd_devcontainers_dirty") == 1.0).then_some(())
    });

    let before = value(&daemon, "devcontainerd_requests_total");
    assert_eq!(daemon.get("/nope").status, 404);
    assert_eq!(daemon.get("/devcontainers/nope").status, 404);
    let evil = "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(parse(&daemon.raw(evil.as_bytes())).status, 403);
    let errors = |code: &str| {
        value(
            &daemon,
            &format!("devcontainerd_request_errors_total{{code=\"{code}\"}}"),
        )
    };
    let codes = [
        "not_found",
        "devcontainer_not_found",
        "forbidden",
        "operation_failed",
    ];
    assert_eq!(codes.map(errors), [1.0; 4]);
    // Three requests, and the scrapes since then.
    assert_eq!(value(&daemon, "devcontainerd_requests_total"), before + 8.0);
}

#[test]
fn operations_that_run_and_wait_are_shown() {
    let sandbox = Sandbox::with_app();
    let folder = sandbox.workspace("other");
    sandbox.devcontainer_of(2, &folder);
    sandbox.devcontainer("while [ ! -e $R/go ]; do sleep 0.01; done");
    let daemon = sandbox.daemon().args("--max-operations 1").start();
    daemon.begin_recreate("app");
    daemon.begin_recreate("other");
    let (mut follower, running) = {
        let path = "/devcontainers/other/logs?follow=true&format=text";
        let (_, follower) = daemon.stream("GET", path, "Connection: close\r\n");
        (
            follower,
            "devcontainerd_operations_running{kind=\"recreate\"}",
        )
    };
    assert_eq!(value(&daemon, running), 1.0);
    assert_eq!(
        value(
            &daemon,
            "devcontainerd_operations_queued{kind=\"recreate\"}"
        ),
        1.0
    );
    assert_eq!(value(&daemon, "devcontainerd_streams_open"), 1.0);
    sandbox.write("go", "");
    follower.rest();
    eventually("nothing runs any more", || {
        (value(&daemon, running) == 0.0).then_some(())
    });
    let streams = || (value(&daemon, "devcontainerd_streams_open") == 0.0).then_some(());
    eventually("its stream has ended", streams);
}

#[test]
fn p9_scrapes_run_no_program_while_the_list_is_young() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.following_daemon().start();
    daemon.get("/readyz");
    let calls = sandbox.calls("docker", "");
    for _ in 0..5 {
        assert_eq!(daemon.get("/metrics").status, 200);
    }
    assert_eq!(sandbox.calls("docker", ""), calls);
}

#[test]
fn p9_scrapes_show_no_interest() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox
        .following_daemon()
        .args("--cache-duration 0")
        .start();
    for _ in 0..5 {
        assert_eq!(daemon.get("/metrics").status, 200);
    }
    // This shows none either, but lets the refresher look whether there is some. It would start events first, then list.
    for _ in 0..3 {
        assert_eq!(daemon.get("/readyz").status, 200);
    }
    assert_eq!(sandbox.calls("docker", "events"), 0);
    assert_eq!(daemon.events_child(), None);
}

#[test]
fn p9_a_scrape_of_an_old_list_lets_another_one_be_made_without_waiting_for_it() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox
        .following_daemon()
        .args("--cache-duration 0")
        .start();
    daemon.get("/readyz");
    sandbox.docker("while [ ! -e $R/go ]; do sleep 0.01; done; echo down >&2; exit 1");
    let old = "devcontainerd_listing_age_seconds";
    eventually("the list is old", || {
        (value(&daemon, old) > 1.0).then_some(())
    });
    eventually("docker is asked, and answers nobody", || {
        value(&daemon, old);
        (sandbox.calls("docker", "ps") > 1).then_some(())
    });
    let begun = Stopwatch::start();
    assert_eq!(value(&daemon, "devcontainerd_engine_up"), 1.0, "so far");
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    sandbox.write("go", "");
    eventually("the failure shows", || {
        (value(&daemon, "devcontainerd_engine_up") == 0.0).then_some(())
    });
    let failures = "devcontainerd_listing_failures_total{reason=\"exit\"}";
    assert!(value(&daemon, failures) >= 1.0);
    sandbox.docker("");
    eventually("docker is asked again, and its answer shows", || {
        (value(&daemon, "devcontainerd_engine_up") == 1.0).then_some(())
    });
    assert_eq!(sandbox.calls("docker", "events"), 0);
}

#[test]
fn events_that_end_are_counted() {
    let sandbox = Sandbox::with_app();
    sandbox.docker("[ \"$1\" != events ] || [ -e $R/go ] || exit 1");
    let daemon = sandbox.following_daemon().start();
    let (_, _stream) = daemon.stream("GET", "/events", "");
    let restarts = "devcontainerd_events_restarts_total";
    eventually("the child has ended twice", || {
        (value(&daemon, restarts) >= 2.0).then_some(())
    });
    assert_eq!(value(&daemon, "devcontainerd_events_followed"), 0.0);
    sandbox.write("go", "");
    eventually("events are followed", || {
        (value(&daemon, "devcontainerd_events_followed") == 1.0).then_some(())
    });
    assert_eq!(value(&daemon, "devcontainerd_listing_age_seconds"), 0.0);
}

/// The address at which a daemon serves its metrics.
pub(super) fn metrics_address(daemon: &Daemon) -> String {
    let line = daemon.log.wait_for("serving metrics on ");
    let (_, address) = line.split_once("serving metrics on ").unwrap();
    address.trim_start_matches("http://").to_owned()
}

/// Sends a request to the address of the metrics.
#[track_caller]
fn request(address: &str, method: &str, path: &str, headers: &str) -> Response {
    let head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    let answer = match address.strip_prefix("unix:") {
        Some(path) => Client::new(with_timeout(UnixStream::connect(path).unwrap())).ask(&head),
        None => Client::new(std::net::TcpStream::connect(address).unwrap()).ask(&head),
    };
    parse(&answer)
}

fn with_timeout(stream: UnixStream) -> UnixStream {
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    stream
}

impl<S: std::io::Read + std::io::Write> Client<S> {
    fn ask(&mut self, head: &str) -> String {
        self.send(head);
        self.rest()
    }
}

fn with_token(sandbox: &Sandbox) -> DaemonBuilder {
    let file = sandbox.write("token", TOKEN);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    sandbox
        .daemon()
        .arg("--token-file")
        .arg(file.to_str().unwrap())
}

#[test]
fn an_address_for_metrics_serves_nothing_else_and_needs_no_token() {
    let sandbox = Sandbox::with_app();
    let socket = format!("unix:{}", sandbox.path("metrics.sock").display());
    let tcp = with_token(&sandbox)
        .args("--metrics-listen 127.0.0.1:0")
        .start();
    let unix = with_token(&sandbox)
        .arg("--metrics-listen")
        .arg(&socket)
        .start();
    assert_eq!(tcp.get("/metrics").status, 401, "as on every other address");
    assert_eq!(metrics_address(&unix), socket);
    for daemon in [&tcp, &unix] {
        let address = metrics_address(daemon);
        let host = "Host: localhost\r\n";
        for path in ["/metrics", "/healthz", "/api/v0/containers/metrics"] {
            assert_eq!(request(&address, "GET", path, host).status, 200, "{path}");
            assert_eq!(request(&address, "HEAD", path, host).status, 200, "{path}");
        }
        let page = format!("{host}Accept: text/html\r\nAccept-Encoding: gzip\r\n");
        for path in [
            "/",
            "/devcontainers",
            "/events",
            "/readyz",
            "/version",
            "/page/main.mjs",
        ] {
            for headers in [host, &page] {
                let answer = request(&address, "GET", path, headers);
                answer.assert_error(404, "Not found", path);
            }
        }
        let recreate = "/devcontainers/app/recreate?wait=true";
        assert_eq!(request(&address, "POST", recreate, host).status, 404);
        assert_eq!(request(&address, "POST", "/metrics", host).status, 405);
        assert_eq!(
            request(&address, "DELETE", "/devcontainers/app", host).status,
            404
        );
        let evil = request(&address, "GET", "/metrics", "Host: evil.example\r\n");
        evil.assert_error(403, "Forbidden", "evil.example");
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    let mode = fs::metadata(sandbox.path("metrics.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_address_for_metrics_that_others_reach_needs_the_token() {
    let sandbox = Sandbox::with_app();
    let daemon = with_token(&sandbox)
        .args("--listen 127.0.0.1:0")
        .env("DEVCONTAINERD_METRICS_LISTEN", "0.0.0.0:0, [::1]:0")
        .start();
    let port = metrics_address(&daemon)
        .rsplit_once(':')
        .unwrap()
        .1
        .to_owned();
    let address = format!("127.0.0.1:{port}");
    let host = "Host: localhost\r\n";
    assert_eq!(request(&address, "GET", "/metrics", host).status, 401);
    let token = format!("{host}Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(request(&address, "GET", "/metrics", &token).status, 200);
    assert_eq!(
        request(&address, "GET", "/devcontainers", &token).status,
        404
    );
    eventually("it serves metrics on both addresses", || {
        (daemon.log_count("serving metrics on ") == 2).then_some(())
    });
}

#[test]
fn an_address_for_metrics_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let daemon = DaemonBuilder::new().arg("--metrics-listen").arg(&address);
    let (status, said) = daemon.run();
    assert_eq!(status.code(), Some(2), "{said}");
    let expected = format!("--metrics-listen {address}: ");
    assert!(
        said.contains(&expected) && said.contains("another address"),
        "{said}"
    );
}
