//! The status page: who gets it, its headers, and the tests of its scripts.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;

use crate::common::{Daemon, Response, Sandbox, parse};

/// What browsers send for the address that a person opens.
const HTML: &str =
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n";
const GZIP: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";
const LINK: &str = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n";
const NO_GZIP: &str = "Accept-Encoding: gzip";

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/http/page")
        .join(name)
}

/// Returns the answer to a request, and the content that its body is compressed from.
#[track_caller]
fn fetch(daemon: &Daemon, method: &str, path: &str, headers: &str) -> (Response, String) {
    let mut stream = daemon.connect();
    let head = daemon.head(method, path, &format!("{headers}Connection: close\r\n"));
    stream.write_all(head.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let (head, body) = bytes.split_at(end);
    let answer = parse(std::str::from_utf8(head).unwrap());
    if body.is_empty() {
        return (answer, String::new());
    }
    assert_eq!(answer.headers["content-length"], body.len().to_string());
    let mut content = String::new();
    let read = GzDecoder::new(body).read_to_string(&mut content);
    read.unwrap_or_else(|_| panic!("{answer:?}: {}", String::from_utf8_lossy(body)));
    (answer, content)
}

#[track_caller]
fn assert_page(daemon: &Daemon, headers: &str) {
    let (answer, content) = fetch(daemon, "GET", "/", &format!("{HTML}{GZIP}{headers}"));
    assert_eq!(answer.status, 200, "{headers}: {answer:?}");
    assert!(
        content.starts_with("<!doctype html>"),
        "{headers}: {content}"
    );
}

#[test]
fn a_browser_gets_the_page_and_everyone_else_the_list() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    assert_page(&daemon, "");
    let list = daemon.get("/");
    assert_eq!(list.headers["vary"], "Accept");
    for accept in [
        "",
        "Accept: */*\r\n",
        "Accept: application/json, text/html\r\n",
    ] {
        let answer = daemon.request("GET", "/", &format!("{accept}{GZIP}"));
        assert_eq!((answer.status, &answer.body), (200, &list.body), "{accept}");
        assert_eq!(
            answer.headers["content-type"],
            "application/json; charset=utf-8"
        );
        assert_eq!(answer.headers["vary"], "Accept");
    }
    // A browser can look at the list, too.
    for path in ["/devcontainers", "/api/v0/containers"] {
        let answer = daemon.request("GET", path, &format!("{HTML}{GZIP}"));
        assert!(answer.json().is_object(), "{path}");
        assert!(!answer.headers.contains_key("vary"), "{path}: {answer:?}");
    }
    daemon
        .request("POST", "/", &format!("{HTML}{GZIP}"))
        .assert_error(405, "Method not allowed", "GET, HEAD");
    let query = daemon.request("GET", "/?x=1", &format!("{HTML}{GZIP}"));
    query.assert_error(400, "Bad request", "x");
}

#[test]
fn every_file_has_its_type_and_the_headers_that_confine_the_page() {
    let daemon = Sandbox::new().daemon().start();
    let files = fs::read_dir(source(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
    assert!(names.len() > 5, "{names:?}");
    let mut size = 0;
    for name in &names {
        let path = if name == "index.html" {
            "/".to_owned()
        } else {
            format!("/page/{name}")
        };
        let (answer, content) = fetch(&daemon, "GET", &path, &format!("{HTML}{GZIP}"));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(
            content == fs::read_to_string(source(name)).unwrap(),
            "{path} is another one"
        );
        let (content_type, vary) = match name.rsplit('.').next() {
            Some("html") => ("text/html", "Accept, Accept-Encoding"),
            Some("css") => ("text/css", "Accept-Encoding"),
            _ => ("text/javascript", "Accept-Encoding"),
        };
        let header = |name: &str| answer.headers[name].as_str();
        assert_eq!(
            header("content-type"),
            format!("{content_type}; charset=utf-8")
        );
        assert_eq!(header("vary"), vary);
        assert_eq!(header("content-encoding"), "gzip");
        assert_eq!(header("cache-control"), "no-cache");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        let policy = header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ] {
            assert!(
                policy.split("; ").any(|found| found == rule),
                "{rule} in {policy}"
            );
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
        let (mut head, nothing) = fetch(&daemon, "HEAD", &path, &format!("{HTML}{GZIP}"));
        head.headers.insert("date".into(), header("date").into());
        assert_eq!(
            (head.headers, nothing.as_str()),
            (answer.headers.clone(), ""),
            "{path}"
        );
        size += answer.headers["content-length"].parse::<usize>().unwrap();
    }
    assert!(size <= 60 << 10, "the page has {size} bytes");
}

#[test]
fn a_browser_that_has_a_file_does_not_get_it_again() {
    let daemon = Sandbox::new().daemon().start();
    for path in ["/", "/page/main.mjs"] {
        let (first, _) = fetch(&daemon, "GET", path, &format!("{HTML}{GZIP}"));
        let tag = &first.headers["etag"];
        assert!(
            tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10,
            "{tag}"
        );
        for known in [tag.clone(), format!("\"x\", {tag}")] {
            let again = format!("{HTML}{GZIP}If-None-Match: {known}\r\n");
            let (answer, content) = fetch(&daemon, "GET", path, &again);
            assert_eq!((answer.status, content.as_str()), (304, ""), "{answer:?}");
            assert_eq!(answer.headers["etag"], *tag);
            assert!(!answer.headers.contains_key("content-type"), "{answer:?}");
        }
        let (other, _) = fetch(
            &daemon,
            "GET",
            path,
            &format!("{HTML}{GZIP}If-None-Match: \"x\"\r\n"),
        );
        assert_eq!(other.status, 200);
    }
}

#[test]
fn a_client_without_gzip_is_told_so() {
    let daemon = Sandbox::new().daemon().start();
    for coding in [
        "",
        "Accept-Encoding: identity\r\n",
        "Accept-Encoding: br, gzip;q=0\r\n",
    ] {
        for path in ["/", "/page/style.css"] {
            let answer = daemon.request("GET", path, &format!("{HTML}{coding}"));
            answer.assert_error(406, "Not acceptable", NO_GZIP);
        }
    }
    for path in [
        "/page",
        "/page/",
        "/page/x.mjs",
        "/page/index.html",
        "/page/main",
        "/page/..%2fpage.rs",
    ] {
        let answer = daemon.request("GET", path, &format!("{HTML}{GZIP}"));
        answer.assert_error(404, "Not found", path.trim_end_matches('/'));
    }
}

#[test]
fn p17_a_link_of_another_site_opens_the_page_and_nothing_else() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    assert_page(&daemon, LINK);
    assert_page(&daemon, &LINK.replace("cross-site", "same-site"));
    let base = format!("{HTML}{GZIP}");
    let refused = |method: &str, path: &str, headers: &str| {
        let answer = daemon.request(method, path, headers);
        if method == "HEAD" {
            assert_eq!(answer.status, 403, "{headers}");
        } else {
            answer.assert_error(403, "Forbidden", "");
        }
        assert_eq!(answer.headers["connection"], "close", "{headers}");
    };
    for path in [
        "/devcontainers",
        "/events",
        "/version",
        "/healthz",
        "/api/v0/containers",
        "//",
        "/page/main.mjs",
        "/devcontainers/app/recreate",
        "/nope",
    ] {
        refused("GET", path, &format!("{base}{LINK}"));
    }
    for method in ["POST", "HEAD", "DELETE", "OPTIONS"] {
        refused(method, "/", &format!("{base}{LINK}"));
    }
    for (from, to) in [
        ("navigate", "no-cors"),
        ("navigate", "nested-navigate"),
        ("document", "iframe"),
        ("document", "frame"),
        ("document", "object"),
        ("document", "embed"),
        ("document", "script"),
        ("Sec-Fetch-Dest: document\r\n", ""),
        ("Sec-Fetch-Mode: navigate\r\n", ""),
        ("?1\r\n", "?1\r\nSec-Purpose: prefetch\r\n"),
        ("?1\r\n", "?1\r\nSec-Purpose: prefetch;prerender\r\n"),
        ("?1\r\n", "?1\r\nPurpose: prefetch\r\n"),
        ("?1\r\n", "?1\r\nOrigin: http://evil.example\r\n"),
        ("?1\r\n", "?1\r\nOrigin: null\r\n"),
    ] {
        let headers = LINK.replace(from, to);
        assert_ne!(headers, LINK);
        refused("GET", "/", &format!("{base}{headers}"));
    }
    // The list is not for a link, whatever else it says.
    for accept in [
        "",
        "Accept: */*\r\n",
        "Accept: application/json, text/html\r\n",
    ] {
        refused("GET", "/", &format!("{accept}{GZIP}{LINK}"));
    }
    // A name that leads here by DNS rebinding gets no page.
    let head =
        format!("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n{base}{LINK}\r\n");
    parse(&daemon.raw(head.as_bytes())).assert_error(403, "Forbidden", "evil.example");
    let twice = format!("{base}{LINK}Sec-Fetch-Dest: document\r\n");
    assert_eq!(daemon.request("GET", "/", &twice).status, 400);
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn the_page_needs_no_token_but_what_it_shows_does() {
    let sandbox = Sandbox::with_app();
    sandbox.replace("token", "correct-horse-battery-staple-0123456789\n", 0o600);
    let flag = format!("--token-file {}", sandbox.path("token").display());
    let daemon = sandbox.daemon().args(&flag).start();
    assert_page(&daemon, "");
    assert_page(&daemon, LINK);
    let own = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n";
    for (path, status) in [
        ("/page/main.mjs", 200),
        ("/events", 401),
        ("/version", 401),
        ("/", 401),
    ] {
        let answer = daemon.request("HEAD", path, &format!("Accept: */*\r\n{GZIP}{own}"));
        assert_eq!(answer.status, status, "{path}");
    }
    for method in ["POST", "DELETE"] {
        let answer = daemon.request(method, "/", &format!("{HTML}{GZIP}"));
        assert_eq!(answer.status, 401, "{method}");
    }
}

#[test]
fn what_the_scripts_compute_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join("target/tools/bin/node");
    let node = if own.exists() { own } else { "node".into() };
    let tests = fs::read_dir(root.join("tests/page"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let tests: Vec<PathBuf> = tests
        .filter(|path| path.to_str().unwrap().ends_with(".test.mjs"))
        .collect();
    assert!(tests.len() >= 4, "{tests:?}");
    let output = Command::new(node).arg("--test").args(tests).output();
    let output = output.expect("Node runs (scripts/setup.sh cli installs it)");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("# fail 0\n") || said.contains("ℹ fail 0\n"),
        "{said}"
    );
}
