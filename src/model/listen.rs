//! Addresses to listen on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `127.0.0.1:3382`, `[::1]:3382` or `localhost:3382`, or an address that other machines can reach.
    Tcp(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
}

/// The reason why a text is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenAddressError {
    /// It has another form.
    Form,
    /// The path of a unix socket is relative.
    RelativePath,
}

impl ListenAddress {
    /// Parses an address as `--listen` takes it.
    pub fn parse(text: &str) -> Result<Self, ListenAddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(ListenAddressError::RelativePath)
            };
        }
        let localhost = || {
            let port = text.strip_prefix("localhost:")?.parse().ok()?;
            Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
        };
        let address = text.parse().ok().or_else(localhost);
        address.map(Self::Tcp).ok_or(ListenAddressError::Form)
    }

    /// Returns whether other machines may reach the address.
    pub fn is_exposed(&self) -> bool {
        matches!(self, Self::Tcp(address) if !is_loopback(address.ip()))
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

impl fmt::Display for ListenAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "it should be HOST:PORT (HOST an IP address or localhost), [::1]:PORT or unix:/path"
            }
            Self::RelativePath => "the path of a unix socket must be absolute",
        })
    }
}

/// True for an address of this machine only, also where IPv4 is written as IPv6.
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
            ("0.0.0.0:3382", "http://0.0.0.0:3382"),
            ("[::1]:3382", "http://[::1]:3382"),
            ("unix:/run/d.sock", "unix:/run/d.sock"),
        ] {
            let shown = ListenAddress::parse(text).map(|address| address.to_string());
            assert_eq!(shown, Ok(expected.to_owned()));
        }
    }

    #[test]
    fn only_loopback_addresses_and_unix_sockets_are_out_of_reach() {
        for (text, expected) in [
            ("127.0.0.1:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("unix:/run/d.sock", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("192.0.2.1:1", true),
        ] {
            let address = ListenAddress::parse(text).unwrap();
            assert_eq!(address.is_exposed(), expected, "{text}");
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
        ] {
            let error = ListenAddress::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
