//! The address of a daemon, as `--url` names it.

use std::path::PathBuf;

use crate::model::listen::ListenAddress;

/// The address of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The address as it was written.
    pub(super) url: String,
    pub(super) address: ListenAddress,
    /// The value of `Host`.
    pub(super) host: String,
    /// The path that is put before every other one, without a slash at its end.
    pub(super) prefix: String,
}

impl Place {
    /// Reads `http://ADDRESS:PORT[/prefix]` or `unix:/path`. A name other than `localhost` is none: the daemon listens on
    /// no other, and a resolver would be a fifth of the program.
    pub(super) fn parse(url: &str) -> Option<Self> {
        if let Some(path) = url.strip_prefix("unix:") {
            return Some(Self {
                url: url.to_owned(),
                address: ListenAddress::Unix(PathBuf::from(path)),
                host: "localhost".to_owned(),
                prefix: String::new(),
            });
        }
        let rest = url.strip_prefix("http://")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_plain = |b: u8| matches!(b, b'!'..=b'~');
        path.bytes().all(is_plain).then_some(())?;
        let address = host.replace("localhost", "127.0.0.1").parse().ok()?;
        Some(Self {
            url: url.to_owned(),
            address: ListenAddress::Tcp(address),
            host: host.to_owned(),
            prefix: path.trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_prefix() {
        for (url, expected) in [
            ("http://127.0.0.1:3382", Some(("127.0.0.1:3382", ""))),
            ("http://127.0.0.1:3382/", Some(("127.0.0.1:3382", ""))),
            ("http://localhost:80/a/b/", Some(("localhost:80", "/a/b"))),
            ("http://[::1]:80/x", Some(("[::1]:80", "/x"))),
            ("unix:/run/d.sock", Some(("localhost", ""))),
            ("http://127.0.0.1", None),
            ("http://example.com:80", None),
            ("http://127.0.0.1:80/a b", None),
            ("http://127.0.0.1:80/a\r\nb", None),
            ("https://127.0.0.1:80", None),
            ("127.0.0.1:80", None),
            ("", None),
        ] {
            let place = Place::parse(url);
            let found = place.as_ref().map(|place| (&*place.host, &*place.prefix));
            assert_eq!(found, expected, "{url}");
        }
    }
}
