//! Where to listen.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `127.0.0.1:3382`, `[::1]:3382`, `localhost:3382`.
    Tcp(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Reads an address. The error says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return match path.is_absolute() {
                true => Ok(Self::Unix(path)),
                false => Err("the path of a unix socket must be absolute".into()),
            };
        }
        let localhost = || {
            let port = text.strip_prefix("localhost:")?.parse().ok()?;
            Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
        };
        let address = text.parse().ok().or_else(localhost);
        let address: SocketAddr = address.ok_or(
            "it should be HOST:PORT (HOST an IP address or localhost), [::1]:PORT or unix:/path",
        )?;
        match is_loopback(address.ip()) {
            true => Ok(Self::Tcp(address)),
            false => Err(
                "it is not a loopback address: whoever reaches the port can run programs here; use 127.0.0.1, [::1] or unix:/path"
                    .into(),
            ),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Whether an address is this machine, also where IPv4 is written as IPv6.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("127.0.0.1:3382", "http://127.0.0.1:3382"),
            ("127.0.0.9:0", "http://127.0.0.9:0"),
            ("localhost:80", "http://127.0.0.1:80"),
            ("[::1]:3382", "http://[::1]:3382"),
            ("unix:/run/d.sock", "unix:/run/d.sock"),
        ] {
            let shown = ListenAddress::parse(text).map(|address| address.to_string());
            assert_eq!(shown.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn bad_addresses_say_what_would_be_right() {
        for (text, expected) in [
            ("", "HOST:PORT"),
            ("3382", "HOST:PORT"),
            (":3382", "HOST:PORT"),
            ("127.0.0.1", "HOST:PORT"),
            ("127.0.0.1:65536", "HOST:PORT"),
            ("example.com:80", "HOST:PORT"),
            ("unix:relative", "must be absolute"),
            ("0.0.0.0:3382", "not a loopback address"),
            ("[::]:3382", "not a loopback address"),
            ("192.0.2.1:3382", "not a loopback address"),
        ] {
            let error = ListenAddress::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
