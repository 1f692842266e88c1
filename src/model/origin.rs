//! The client that asked for something, as the log names it.

use std::fmt;

/// The client that asked for an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The address that it called from, or the kind of its socket.
    pub address: String,
    /// Its user and process, where the kernel tells.
    pub credentials: Option<Credentials>,
}

/// The user and the process at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The number of the user, in the daemon's user namespace.
    pub uid: u32,
    /// The number of the process that connected, in the daemon's process namespace. Only unix sockets show it.
    pub pid: Option<i32>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)?;
        match self.credentials {
            Some(Credentials { uid, pid: None }) => write!(f, " (uid {uid})"),
            Some(Credentials {
                uid,
                pid: Some(pid),
            }) => write!(f, " (uid {uid}, pid {pid})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_named_by_all_that_is_known_of_it() {
        let named = |credentials| {
            let address = "a unix socket".to_owned();
            Origin {
                address,
                credentials,
            }
            .to_string()
        };
        let credentials = |pid| Some(Credentials { uid: 1000, pid });
        assert_eq!(named(None), "a unix socket");
        assert_eq!(named(credentials(None)), "a unix socket (uid 1000)");
        assert_eq!(
            named(credentials(Some(7))),
            "a unix socket (uid 1000, pid 7)"
        );
    }
}
