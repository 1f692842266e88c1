//! The inputs of the advisories against `tiny_http`, whose message types the daemon uses, and the file that says why
//! they do not apply. SECURITY.md has the reasons in full.

use std::fs;
use std::path::Path;

use super::http::with_app;
use super::structure::sources;
use crate::common::{Sandbox, parse};

/// The advisories for every version of `tiny_http`, none of which is mended in any.
const ADVISORIES: [&str; 2] = ["CVE-2026-66752", "CVE-2026-66753"];

/// CVE-2026-66752: `tiny_http` takes any value of `Transfer-Encoding` for `chunked`, and a `Content-Length` with it for
/// nothing. A program in front that reads the length instead sees another end of the request.
#[test]
fn cve_2026_66752_a_coding_that_is_not_chunked_hides_no_request() {
    let (sandbox, daemon) = with_app();
    let hidden = daemon.head("POST", "/devcontainers/app/recreate", "");
    for (coding, status) in [
        ("identity", 501),
        ("gzip", 501),
        ("gzip, chunked", 501),
        ("chunked, gzip", 501),
        ("chunked, identity", 501),
        ("chunked, chunked", 501),
        ("chunked,", 501),
        ("xchunked", 501),
        ("chunkedx", 501),
        ("chunk", 501),
        ("x", 501),
        ("chunked;q=1", 501),
        ("\"chunked\"", 501),
        ("", 501),
        ("chunked\r\nTransfer-Encoding: identity", 501),
        ("identity\r\nTransfer-Encoding: chunked", 501),
        ("chunked\r\nTransfer-Encoding: chunked", 501),
        ("\u{b}chunked", 400),
        ("chunked\u{0}", 400),
    ] {
        for length in ["", "Content-Length: 5\r\n"] {
            for body in ["0\r\n\r\n", "5\r\n", ""] {
                let headers = format!("Transfer-Encoding: {coding}\r\n{length}");
                let head = daemon.head("POST", "/devcontainers/app/stop", &headers);
                let answers = daemon.raw(format!("{head}{body}{hidden}").as_bytes());
                let answer = parse(&answers);
                let rejected =
                    answer.status == status || !length.is_empty() && answer.status == 400;
                assert!(rejected, "{headers:?}: {answer:?}");
                assert_eq!(answer.headers["connection"], "close", "{headers:?}");
                let count = answers.matches("\r\nServer: ").count();
                assert_eq!(count, 1, "{headers:?}: {answers}");
            }
        }
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

/// CVE-2026-66753: `tiny_http` takes header values with CR and LF, of requests and of responses.
#[test]
fn cve_2026_66753_no_value_of_a_request_has_a_line_end() {
    let (sandbox, daemon) = with_app();
    for value in ["a\rX-Injected: 1", "a\r\rb", "a\u{0}b", "a\r"] {
        for name in ["Origin", "Accept", "Last-Event-ID", "X"] {
            let head = daemon.head(
                "POST",
                "/devcontainers/app/stop",
                &format!("{name}: {value}\r\n"),
            );
            let answers = daemon.raw(head.as_bytes());
            let answer = parse(&answers);
            assert_eq!(answer.status, 400, "{name}: {value:?}: {answers}");
            assert_eq!(answer.headers["connection"], "close");
        }
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

/// The same, of responses: names and paths that people and images choose get into bodies, where JSON escapes them, and
/// into no header.
#[test]
fn cve_2026_66753_no_value_of_an_answer_has_a_line_end() {
    let injected = "a\r\nX-Injected: 1\r\n\r\nHTTP/1.1 200 OK";
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace(&injected.replace('/', "-"));
    sandbox
        .container(1)
        .of(&folder)
        .label("label", injected)
        .save();
    let daemon = sandbox.daemon().start();
    let name = daemon.devcontainer()["id"].as_str().unwrap().to_owned();
    let encoded = "a%0d%0aX-Injected:%201%0d%0a%0d%0aHTTP%2f1.1";
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/devcontainers"),
        ("GET", &format!("/devcontainers/{encoded}")),
        ("GET", &format!("/{encoded}")),
        ("GET", &format!("/devcontainers/{name}?{encoded}={encoded}")),
        ("POST", &format!("/devcontainers/{name}/recreate")),
        ("POST", &format!("/devcontainers/{encoded}/recreate")),
        (
            "POST",
            &format!("/devcontainers/container/{encoded}/recreate"),
        ),
        ("DELETE", &format!("/devcontainers/{encoded}")),
    ] {
        let response = daemon.raw(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                daemon.address
            )
            .as_bytes(),
        );
        let heads = response.matches("\r\nServer: ").count();
        assert_eq!(heads, 1, "{method} {path}: {response}");
        let answer = parse(&response);
        let is_injected = |(name, value): (&String, &String)| {
            name.contains("injected") || value.contains(|c: char| c.is_control())
        };
        assert!(
            !answer.headers.iter().any(is_injected),
            "{method} {path}: {response}"
        );
    }
}

/// The reasons hold only while no more of `tiny_http` than its message types is used.
#[test]
fn only_message_types_of_tiny_http_are_used() {
    const TYPES: [&str; 5] = ["HTTPVersion", "Header", "Method", "Response", "StatusCode"];
    let mut uses = 0;
    for source in sources() {
        for (at, found) in source.text.match_indices("tiny_http::") {
            let rest = &source.text[at + found.len()..];
            let (list, _) = rest.split_once(';').unwrap();
            let names: Vec<&str> = match list.strip_prefix('{') {
                Some(list) => list
                    .trim_end_matches('}')
                    .split(',')
                    .map(str::trim)
                    .collect(),
                None => vec![rest.split(|c: char| !c.is_alphanumeric()).next().unwrap()],
            };
            let unknown = names.iter().find(|name| !TYPES.contains(name));
            assert_eq!(unknown, None, "{}", source.file.display());
            uses += 1;
        }
    }
    assert!(uses >= 5, "the uses were not found");
}

/// Both files name each advisory that a scanner reports.
#[test]
fn the_reasons_are_written_down() {
    for name in ["deny.toml", "SECURITY.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = fs::read_to_string(&path).unwrap();
        for advisory in ADVISORIES {
            assert!(text.contains(advisory), "{name} lacks {advisory}");
        }
    }
}
