//! Pages in a real Chromium, which try to read from the daemon, to act through it, and to shut others out (P17, P19).
//!
//! Docker and the devcontainer CLI are stand-ins: what counts is that nothing reaches them.

mod stage;

use self::stage::{Chromium, Relay, Site};
use crate::common::{Daemon, Sandbox, eventually};

/// The name of the container, which the daemon's answers contain, and no request does.
const SECRET: &str = "box1";
/// The last one is also the address of the status page, which no page gets but by opening it in a window.
const READ: &str = "/devcontainers,/events,/";
const ACT: &str = "/devcontainers/app/recreate,/devcontainers/app/stop";
/// Names of this machine, and one whose owner lets it resolve to it.
const HOSTS: [&str; 4] = ["localhost", "127.0.0.1", "0.0.0.0", "rebound.example"];

/// Parts of the requests that reach the daemon from any page, so that a browser that sent less would be noticed.
const SENT: [&str; 14] = [
    "Accept: text/event-stream",
    "Upgrade: websocket",
    "Sec-Purpose: prefetch",
    "Access-Control-Request-Method: POST",
    "Access-Control-Request-Method: DELETE",
    "Ping-To: ",
    "Origin: ",
    "Content-Type: text/plain",
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Type: multipart/form-data",
    "GET /devcontainers HTTP/1.1",
    "POST /devcontainers/app/stop HTTP/1.1",
    "POST /devcontainers/app/recreate HTTP/1.1",
    "Connection: keep-alive",
];

/// Parts of those that reach it under a name of this machine. A browser adds these headers for no other.
const SENT_TO_THIS_MACHINE: [&str; 10] = [
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Mode: no-cors",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: image",
    "Sec-Fetch-Dest: script",
    "Sec-Fetch-Dest: style",
    "Sec-Fetch-Dest: iframe",
    "Sec-Fetch-Dest: object",
    "Sec-Fetch-Dest: document",
];

struct Stage {
    // Ends first, as its programs live in the sandbox.
    daemon: Daemon,
    sandbox: Sandbox,
    site: Site,
    relay: Relay,
}

impl Stage {
    fn new() -> Self {
        let sandbox = Sandbox::with_app();
        let daemon = sandbox.following_daemon().start();
        let site = Site::new();
        let relay = Relay::new(daemon.socket_address(), site.address);
        assert!(daemon.get("/devcontainers").body.contains(SECRET));
        Self {
            sandbox,
            daemon,
            site,
            relay,
        }
    }

    /// The address of a path of the attacker's site.
    fn at_site(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.site.address.port())
    }

    /// The query of a page that attacks the daemon by way of the relay, under these names.
    fn query(&self, hosts: &[&str]) -> String {
        let port = self.relay.port;
        let base = |host: &&str| format!("http://{host}:{port}");
        let bases: Vec<String> = hosts.iter().map(base).collect();
        let site = self.at_site("localhost", "");
        format!(
            "site={site}&bases={}&read={READ}&act={ACT}",
            bases.join(",")
        )
    }

    /// The element that makes a page attack.
    fn script(&self) -> String {
        let script = self.at_site("localhost", "/attack.js");
        format!("<script src=\"{script}?{}\"></script>", self.query(&HOSTS))
    }

    /// Opens a page and returns its report of what it got to see.
    #[track_caller]
    fn open(&self, url: &str) -> Vec<String> {
        let _browser = Chromium::open(&self.sandbox, url);
        let report: Vec<String> = serde_json::from_str(&self.site.report()).unwrap();
        assert!(report.len() > 50, "{report:?}");
        report
    }

    /// Opens a page that attacks under all names. It may see nothing of any answer.
    #[track_caller]
    fn attack(&self, url: &str) {
        let report = self.open(url);
        let readable = report.iter().filter(|end| end.contains("readable"));
        assert_eq!(readable.collect::<Vec<_>>(), [""; 0]);
        let sent = self.assert_harmless(&report);
        for part in SENT.iter().chain(&SENT_TO_THIS_MACHINE) {
            assert!(sent.contains(part), "no request with {part:?}");
        }
        for host in HOSTS {
            assert!(
                sent.contains(&format!("Host: {host}:")),
                "no request to {host}"
            );
        }
    }

    /// Asserts that the daemon refused every request, and that nothing was shown or done. Returns the requests.
    #[track_caller]
    fn assert_harmless(&self, report: &[String]) -> String {
        let told = report.iter().filter(|end| end.contains(SECRET));
        assert_eq!(told.collect::<Vec<_>>(), [""; 0]);
        let mut sent = String::new();
        for exchange in self.relay.exchanges() {
            let refused = |line: &str| match line.split(' ').nth(1) {
                Some("403") => true,
                // A window that shows an answer asks for its icon, too.
                Some("404") => exchange.requests.contains("GET /favicon.ico "),
                _ => false,
            };
            let answers = exchange.answers.to_ascii_lowercase();
            let mut statuses = answers.lines().filter(|line| line.starts_with("http/1.1 "));
            assert!(statuses.all(refused), "{exchange:?}");
            assert!(!answers.contains("\r\naccess-control-"), "{exchange:?}");
            assert!(!exchange.answers.contains(SECRET), "{exchange:?}");
            sent += &exchange.requests;
        }
        assert_eq!(self.sandbox.read("calls/devcontainer"), "");
        let calls = self.sandbox.read("calls/docker");
        let reads = |call: &str| {
            let verb = call.split(' ').next();
            ["events", "ps", "inspect", "images", "version"].contains(&verb.unwrap_or_default())
        };
        let acting = calls.lines().filter(|call| !reads(call));
        assert_eq!(acting.collect::<Vec<_>>(), [""; 0]);
        assert_eq!(self.daemon.devcontainer()["status"], "running");
        sent
    }
}

#[test]
fn p17_a_page_of_another_site_reads_nothing_and_does_nothing() {
    let stage = Stage::new();
    let page = format!("/attack.html?{}", stage.query(&HOSTS));
    stage.attack(&stage.at_site("evil.example", &page));
}

/// To a browser, the ports of one host are one site, and a page of `localhost` may have a service worker.
#[test]
fn p17_a_page_of_another_port_of_localhost_reads_nothing_and_does_nothing() {
    let stage = Stage::new();
    let page = format!("/attack.html?{}", stage.query(&HOSTS));
    stage.attack(&stage.at_site("localhost", &page));
    let sent = stage.assert_harmless(&[]);
    assert!(sent.contains("Sec-Fetch-Site: same-site"));
}

#[test]
fn p17_a_page_from_a_file_reads_nothing_and_does_nothing() {
    let stage = Stage::new();
    let file = stage.sandbox.write("page.html", &stage.script());
    stage.attack(&format!("file://{}", file.display()));
}

#[test]
fn p17_a_page_in_a_data_url_reads_nothing_and_does_nothing() {
    let stage = Stage::new();
    let page = format!("<iframe src='data:text/html,{}'></iframe>", stage.script());
    let file = stage.sandbox.write("page.html", &page);
    stage.attack(&format!("file://{}", file.display()));
}

/// The page and the daemon are one origin to the browser: it may read each answer, and none says anything.
#[test]
fn p17_a_page_whose_name_was_rebound_reads_nothing_and_does_nothing() {
    let stage = Stage::new();
    let host = "rebound.example";
    let page = format!("/attack.html?{}", stage.query(&[host]));
    let report = stage.open(&format!("http://{host}:{}{page}", stage.relay.port));
    let read = report.iter().any(|end| end.contains("readable 403 {"));
    assert!(read, "not one origin: {report:?}");
    let sent = stage.assert_harmless(&report);
    for part in SENT
        .into_iter()
        .filter(|part| !part.starts_with("Access-Control"))
    {
        assert!(sent.contains(part), "no request with {part:?}");
    }
    assert!(sent.contains("Sec-Purpose: prefetch;prerender"));
}

/// The browser asks for a page to be prerendered as if its user had typed the address, with `Sec-Fetch-Site: none`.
#[test]
fn p17_a_page_prefetches_and_prerenders_nothing() {
    for host in ["evil.example", "localhost"] {
        let stage = Stage::new();
        let port = stage.relay.port;
        let url = |path| format!("http://localhost:{port}{path},http://127.0.0.1:{port}{path}");
        let urls = ["/devcontainers", "/"].map(url).join(",");
        let page = format!("/attack-speculate.html?urls={urls}");
        let _browser = Chromium::open(&stage.sandbox, &stage.at_site(host, &page));
        for purpose in ["prefetch", "prefetch;prerender"] {
            let header = format!("\r\nSec-Purpose: {purpose}\r\n");
            eventually(purpose, || {
                let exchanges = stage.relay.exchanges();
                let mut all = exchanges.iter();
                all.any(|one| one.requests.contains(&header) && !one.answers.is_empty())
                    .then_some(())
            });
        }
        let sent = stage.assert_harmless(&[]);
        assert!(sent.contains("Sec-Fetch-Site: none"), "{sent}");
    }
}

/// A browser makes six connections to each name, and keeps them open.
#[test]
fn p19_a_page_with_fourteen_names_shuts_nobody_out() {
    const ROUNDS: usize = 3;
    let stage = Stage::new();
    let daemon = &stage.daemon;
    let port = daemon.socket_address().port();
    let origin = |number| format!("http://n{number}.example:{port}");
    let origins: Vec<String> = (0..14).map(origin).collect();
    let page = format!(
        "/attack-names.html?site={}&rounds={ROUNDS}&origins={}",
        stage.at_site("localhost", ""),
        origins.join(",")
    );
    let before = daemon.descriptors();
    let mut held = 0;
    let mut probe = || {
        held = held.max(daemon.descriptors().saturating_sub(before));
        let cancel = daemon.post("/devcontainers/app/cancel").status;
        assert_eq!(cancel, 409, "a cancel, with {held} connections held");
        for path in ["/healthz", "/readyz"] {
            assert_eq!(daemon.get(path).status, 200, "{path}, with {held} held");
        }
        // All others may be at work at once for a moment, but not for long.
        let served = (0..3).any(|_| daemon.get("/devcontainers").status == 200);
        assert!(served, "/devcontainers, with {held} held");
    };
    let browser = Chromium::open(&stage.sandbox, &stage.at_site("evil.example", &page));
    eventually("the page has made its requests", || {
        probe();
        (stage.site.reports().len() >= ROUNDS).then_some(())
    });
    // It holds its connections now and sends nothing on them.
    (0..10).for_each(|_| probe());
    drop(browser);
    assert!(held >= 48, "the page held {held} connections at most");
}
