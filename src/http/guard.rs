//! No web page may act, and no name that somebody else controls may lead here (P17).
//!
//! Whoever uses this port can run programs as the daemon's user, and a browser lets every page send requests to
//! local ports. It cannot keep a page from sending them, but it tells whose they are.

use std::net::{IpAddr, SocketAddr};

use super::request::Request;
use crate::model::listen::is_loopback;

/// The names of `--allow-host`.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts(pub Vec<String>);

impl AllowedHosts {
    /// Whether a request may be served. The error says why not, and the mend.
    pub(super) fn check(&self, request: &Request) -> Result<(), String> {
        if let Some(host) = request.host.as_deref()
            && !self.allows(host)
        {
            return Err(format!(
                "the Host {host:?} is not this machine; name it with --allow-host if it should be"
            ));
        }
        if let Some(site) = request.sec_fetch_site.as_deref()
            && !matches!(site, "none" | "same-origin")
        {
            return Err("requests of other web pages are not served (Sec-Fetch-Site)".into());
        }
        if let Some(origin) = request.origin.as_deref() {
            let host = request.host.as_deref().unwrap_or_default();
            let origin_host = origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"));
            if !origin_host.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) {
                return Err(format!(
                    "requests of the web page {origin:?} are not served (Origin)"
                ));
            }
        }
        Ok(())
    }

    fn allows(&self, host: &str) -> bool {
        let name = match host.parse::<SocketAddr>() {
            Ok(address) => return is_loopback(address.ip()),
            Err(_) => without_port(host),
        };
        let Some(name) = name else { return false };
        let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(name).parse::<IpAddr>() {
            return is_loopback(ip);
        }
        let allowed = self.0.iter().map(String::as_str);
        std::iter::once("localhost")
            .chain(allowed)
            .any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

/// `None` where what follows the colon is no port.
fn without_port(host: &str) -> Option<&str> {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => {
            let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.len() <= 5;
            is_port.then_some(name)
        }
        _ => Some(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &str) -> Result<(), String> {
        let head = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        let (request, _) = Request::parse(head.as_bytes()).unwrap().unwrap();
        AllowedHosts(vec!["devbox.example".into()]).check(&request)
    }

    #[test]
    fn p17_the_host_must_be_this_machine_or_an_allowed_name() {
        for host in [
            "localhost",
            "LocalHost:3382",
            "127.0.0.1",
            "127.0.0.1:3382",
            "127.8.9.1:1",
            "[::1]",
            "[::1]:3382",
            "[::ffff:127.0.0.1]:80",
            "devbox.example",
            "DEVBOX.example:8080",
        ] {
            assert_eq!(check(&format!("Host: {host}\r\n")), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "evil.example:3382",
            "127.0.0.1.evil.example",
            "192.0.2.1",
            "0.0.0.0:3382",
            "[::]:3382",
            "localhost:x",
            "localhost:3382:1",
            "devbox.example.evil.example",
            "2130706433",
            "localhost@evil.example",
        ] {
            assert!(check(&format!("Host: {host}\r\n")).is_err(), "{host}");
        }
    }

    #[test]
    fn p17_the_authority_of_an_absolute_target_counts_in_place_of_the_host() {
        let head = b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let (request, _) = Request::parse(head).unwrap().unwrap();
        assert!(AllowedHosts::default().check(&request).is_err());
    }

    #[test]
    fn p17_other_origins_are_refused() {
        for (origin, allowed) in [
            ("http://localhost:3382", true),
            ("https://localhost:3382", true),
            ("http://localhost", false),
            ("http://localhost:3000", false),
            ("http://evil.example", false),
            ("null", false),
            ("", false),
            ("localhost:3382", false),
        ] {
            let headers = format!("Host: localhost:3382\r\nOrigin: {origin}\r\n");
            assert_eq!(check(&headers).is_ok(), allowed, "{origin}");
        }
    }

    #[test]
    fn p17_what_a_page_of_another_site_fetches_is_refused() {
        for (site, allowed) in [
            ("none", true),
            ("same-origin", true),
            ("same-site", false),
            ("cross-site", false),
            ("", false),
        ] {
            let headers = format!("Host: localhost\r\nSec-Fetch-Site: {site}\r\n");
            assert_eq!(check(&headers).is_ok(), allowed, "{site}");
        }
    }
}
