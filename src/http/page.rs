//! The status page: which requests get it, and its files, which are embedded compressed (`build.rs`).
//!
//! A browser that opens `/` gets the page, and its scripts use the same routes as every other client. The files hold no
//! data, so that they need no token, and a link of another site may open the page: nothing acts by that.

use tiny_http::Method;

use super::errors::Error;
use super::request::Request;
use super::response::{Answer, Body, Caching, ContentType};

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    name: &'static str,
    /// Its entity tag, without quotes.
    tag: &'static str,
    /// As gzip.
    content: &'static [u8],
}

const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// The headers of every file. The page takes nothing from elsewhere, is shown in no frame, and no page that opened it can
/// reach it. Texts cannot become HTML by mistake.
const HEADERS: [(&str, &str); 5] = [
    ("Content-Encoding", "gzip"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
];

const HTML: &str = "text/html";

/// Returns a style or a script by its name.
pub(super) fn file(name: &str) -> Option<&'static File> {
    let mut files = FILES.iter();
    files.find(|file| file.name == name && file.content_type() != ContentType::Html)
}

/// Returns the file of the page itself, whose address is `/`.
pub(super) fn index() -> Option<&'static File> {
    let mut files = FILES.iter();
    files.find(|file| file.content_type() == ContentType::Html)
}

/// Returns whether a request for the list of containers is that of a browser, which shows the page in its place. A client
/// that names JSON, too, gets JSON.
pub(super) fn is_wanted(request: &Request<'_>) -> bool {
    request.accept.is_some_and(|accept| {
        // Most clients accept anything, and get their answer fast.
        accept.len() >= HTML.len()
            && may_be_wanted(request)
            && accepts(accept, HTML)
            && !accepts(accept, "application/json")
    })
}

/// Returns whether `Accept` decides between the page and the list: it does at `/`, which is the shortest path.
pub(super) fn may_be_wanted(request: &Request<'_>) -> bool {
    request.path.len() == 1
}

/// Returns whether a browser opens the page in a tab or a window of its own, wherever the link to it is.
pub(super) fn is_opened_by_link(request: &Request<'_>) -> bool {
    request.is_navigation && request.method == Method::Get && is_wanted(request)
}

/// Returns the answer with a file, or without it where the client has it already.
pub(super) fn answer(file: &'static File, request: &Request<'_>) -> Result<Answer, Error> {
    let codings = request.accept_encoding.unwrap_or_default();
    if !["gzip", "x-gzip", "*"]
        .iter()
        .any(|coding| accepts(codings, coding))
    {
        return Err(Error::NotCompressed);
    }
    let is_known = request.has_tag(|tag| tag == file.tag);
    let answer = Answer {
        status: if is_known { 304 } else { 200 },
        body: (!is_known).then_some(Body::Embedded(file.content)),
        content_type: file.content_type(),
        caching: Caching::Tag(file.tag),
        ..Answer::empty()
    };
    let answer = answer.with("Vary", file.varies_by());
    let headers = HEADERS.into_iter();
    Ok(headers.fold(answer, |answer, (name, value)| answer.with(name, value)))
}

impl File {
    fn content_type(&self) -> ContentType {
        match self.name.rsplit_once('.') {
            Some((_, "css")) => ContentType::Css,
            Some((_, "mjs")) => ContentType::JavaScript,
            _ => ContentType::Html,
        }
    }

    /// The address of the page is also that of the list.
    fn varies_by(&self) -> &'static str {
        match self.content_type() {
            ContentType::Html => "Accept, Accept-Encoding",
            _ => "Accept-Encoding",
        }
    }
}

/// Returns whether a list of media ranges or codings has `name`, unless with a weight of 0 (RFC 9110, section 12.4.2).
pub(super) fn accepts(list: &str, name: &str) -> bool {
    list.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_named = parts
            .next()
            .is_some_and(|first| first.eq_ignore_ascii_case(name));
        is_named && !parts.any(is_zero_weight)
    })
}

fn is_zero_weight(parameter: &str) -> bool {
    let weight = parameter
        .split_once('=')
        .filter(|(name, _)| name.eq_ignore_ascii_case("q"));
    weight.is_some_and(|(_, value)| value.trim().bytes().all(|b| matches!(b, b'0' | b'.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<R>(target: &str, headers: &str, check: impl FnOnce(&Request<'_>) -> R) -> R {
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        check(&Request::of(head.as_bytes()))
    }

    #[test]
    fn a_browser_wants_the_page_and_others_want_json() {
        for (accept, wanted) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("TEXT/HTML ; charset=utf-8", true),
            ("*/*", false),
            ("text/*", false),
            ("application/json", false),
            ("application/json, text/html;q=0.9", false),
            ("text/html;q=0", false),
            ("text/html; Q=0.000, */*", false),
            ("text/htmlx, x-text/html", false),
            ("", false),
        ] {
            let header = format!("Accept: {accept}\r\n");
            assert_eq!(request("/", &header, is_wanted), wanted, "{accept}");
            for other in ["/devcontainers", "/api/v0/containers", "//"] {
                assert!(!request(other, &header, is_wanted), "{other}");
            }
        }
        assert!(!request("/", "", is_wanted));
    }

    #[test]
    fn a_coding_is_found_in_a_list() {
        for (codings, accepted) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("*", true),
            ("", false),
            ("identity", false),
            ("gzip;q=0", false),
            ("br", false),
        ] {
            let header = format!("Accept-Encoding: {codings}\r\n");
            let answer = request("/", &header, |request| answer(index().unwrap(), request));
            assert_eq!(answer.is_ok(), accepted, "{codings}");
        }
    }
}
