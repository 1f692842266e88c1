//! The guard against web pages: no page may act, and no name that an attacker controls may lead here (P17).
//!
//! A client of this port can run programs as the daemon's user, and a browser lets every page send requests to local
//! ports. A browser cannot keep a page from sending them, but it says which page they come from.

use std::net::{IpAddr, SocketAddr};

use super::page;
use super::request::Request;
use crate::model::listen::is_loopback;

/// The hosts that requests may be for, besides `localhost` and loopback addresses.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts {
    /// The names and addresses of `--allow-host`.
    pub names: Vec<String>,
    /// The addresses that the daemon listens on. If one of them is unspecified (`0.0.0.0`), requests may be for any
    /// address: nobody can make an address lead elsewhere, as DNS rebinding does with a name.
    pub addresses: Vec<IpAddr>,
}

/// The reason to reject a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// This `Host` is neither this machine nor an allowed name: DNS rebinding would look like that.
    Host(String),
    /// A page of another site sent the request (`Sec-Fetch-Site` of W3C Fetch Metadata).
    Site,
    /// A browser fetches the address before anyone has opened it, because a page says so. Such a request has the
    /// `Sec-Fetch-Site` of one that a person makes.
    Speculative,
    /// The page of this `Origin` sent the request (RFC 6454, section 7).
    Origin(String),
}

impl AllowedHosts {
    /// Admits requests for this machine that no page of another site sent, except that it may open the status page.
    pub(super) fn check(&self, request: &Request<'_>) -> Result<(), Forbidden> {
        if let Some(host) = request.host
            && !self.allows(host)
        {
            return Err(Forbidden::Host(host.to_owned()));
        }
        if let Some(site) = request.sec_fetch_site
            && !matches!(site, "none" | "same-origin")
            && !page::is_opened_by_link(request)
        {
            return Err(Forbidden::Site);
        }
        if request.is_speculative {
            return Err(Forbidden::Speculative);
        }
        if let Some(origin) = request.origin
            && !request.host.is_some_and(|host| is_origin_of(origin, host))
        {
            return Err(Forbidden::Origin(origin.to_owned()));
        }
        Ok(())
    }

    fn allows(&self, host: &str) -> bool {
        if let Ok(address) = host.parse::<SocketAddr>() {
            return self.allows_address(address.ip());
        }
        let Some(name) = without_port(host) else {
            return false;
        };
        let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(name).parse::<IpAddr>() {
            return self.allows_address(ip);
        }
        let allowed = self.names.iter().map(String::as_str);
        std::iter::once("localhost")
            .chain(allowed)
            .any(|allowed| allowed.eq_ignore_ascii_case(name))
    }

    fn allows_address(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let is_own = |own: &IpAddr| own.is_unspecified() || own.to_canonical() == ip;
        let is_named = |name: &String| name.parse() == Ok(ip);
        is_loopback(ip) || self.addresses.iter().any(is_own) || self.names.iter().any(is_named)
    }
}

fn is_origin_of(origin: &str, host: &str) -> bool {
    let without_scheme = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    without_scheme.is_some_and(|origin_host| origin_host.eq_ignore_ascii_case(host))
}

/// Removes the port, if there is one. Returns `None` where the part after the colon is no port.
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

    fn check(headers: &str) -> Result<(), Forbidden> {
        let head = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        let request = Request::of(head.as_bytes());
        let hosts = AllowedHosts {
            names: vec!["devbox.example".into(), "192.0.2.9".into()],
            addresses: vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 7])],
        };
        hosts.check(&request)
    }

    #[test]
    fn p17_a_host_may_be_any_address_where_the_daemon_listens_on_all() {
        for (listens, host, allowed) in [
            ("0.0.0.0", "192.0.2.1:3382", true),
            ("::", "[2001:db8::1]", true),
            ("::", "192.0.2.1", true),
            ("0.0.0.0", "evil.example", false),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "0.0.0.0", false),
        ] {
            let hosts = AllowedHosts {
                addresses: vec![listens.parse().unwrap()],
                ..AllowedHosts::default()
            };
            assert_eq!(hosts.allows(host), allowed, "{listens} {host}");
        }
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
            "192.0.2.7:3382",
            "[::ffff:192.0.2.7]",
            "192.0.2.9",
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
            let refused = Err(Forbidden::Host(host.into()));
            assert_eq!(check(&format!("Host: {host}\r\n")), refused, "{host}");
        }
    }

    #[test]
    fn p17_the_authority_of_an_absolute_target_counts_as_the_host() {
        let head = b"GET http://evil.example/ HTTP/1.0\r\n\r\n";
        let request = Request::of(head);
        let refused = Err(Forbidden::Host("evil.example".into()));
        assert_eq!(AllowedHosts::default().check(&request), refused);
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
            let refused = Err(Forbidden::Origin(origin.into()));
            let expected = if allowed { Ok(()) } else { refused };
            assert_eq!(check(&headers), expected, "{origin}");
        }
    }

    #[test]
    fn p17_an_origin_without_a_host_to_compare_with_is_refused() {
        for origin in ["", "http://", "https://", "http://localhost"] {
            let head = format!("POST / HTTP/1.0\r\nOrigin: {origin}\r\n\r\n");
            let request = Request::of(head.as_bytes());
            let refused = Err(Forbidden::Origin(origin.into()));
            assert_eq!(AllowedHosts::default().check(&request), refused, "{origin}");
        }
    }

    #[test]
    fn p17_what_a_browser_fetches_ahead_is_refused() {
        for (header, allowed) in [
            ("Sec-Purpose: prefetch", false),
            ("Sec-Purpose: prefetch;prerender", false),
            ("Sec-Purpose: PREFETCH; anonymous-client-ip", false),
            ("Sec-Purpose: x\r\nSec-Purpose: prerender", false),
            ("Purpose: prefetch", false),
            ("X-Moz: prefetch", false),
            ("X-Purpose: preview", false),
            ("Sec-Purpose: ", true),
            ("Purpose: prefetching", true),
        ] {
            let headers = format!("Host: localhost\r\nSec-Fetch-Site: none\r\n{header}\r\n");
            let expected = if allowed {
                Ok(())
            } else {
                Err(Forbidden::Speculative)
            };
            assert_eq!(check(&headers), expected, "{header}");
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
            let expected = if allowed {
                Ok(())
            } else {
                Err(Forbidden::Site)
            };
            assert_eq!(check(&headers), expected, "{site}");
        }
    }
}
