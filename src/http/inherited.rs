//! Listening sockets that a service manager has opened.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use super::listener::{Bound, Listener};
use super::routes::Scope;
use crate::model::listen::ListenAddress;

/// An inherited socket that cannot be served.
#[derive(Debug)]
pub struct InheritedError {
    descriptor: i32,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Io(io::Error),
    /// It is no stream socket that listens, of TCP or a unix socket.
    Kind,
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Cause {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

impl Bound {
    /// Takes a socket that listens already. A file of a unix socket stays: whoever made it removes it.
    pub fn inherited(socket: OwnedFd) -> Result<Self, InheritedError> {
        let descriptor = socket.as_raw_fd();
        take(socket).map_err(|cause| InheritedError { descriptor, cause })
    }
}

fn take(socket: OwnedFd) -> Result<Bound, Cause> {
    if socket_type(&socket)? != SocketType::STREAM || !socket_acceptconn(&socket)? {
        return Err(Cause::Kind);
    }
    match socket_domain(&socket)? {
        AddressFamily::INET | AddressFamily::INET6 => Ok(Bound::tcp(TcpListener::from(socket))?),
        AddressFamily::UNIX => {
            let listener = UnixListener::from(socket);
            listener.set_nonblocking(true)?;
            let address = ListenAddress::Unix(path(&listener)?);
            Ok(Bound {
                listener: Listener::Unix(None, listener),
                address,
                scope: Scope::All,
            })
        }
        _ => Err(Cause::Kind),
    }
}

/// Returns the path of a unix socket. An abstract name gets an `@` in front, as `ss` shows it.
fn path(listener: &UnixListener) -> io::Result<PathBuf> {
    let address = listener.local_addr()?;
    if let Some(path) = address.as_pathname() {
        return Ok(path.to_owned());
    }
    let name = address.as_abstract_name().unwrap_or_default();
    Ok(format!("@{}", String::from_utf8_lossy(name)).into())
}

impl fmt::Display for InheritedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let descriptor = self.descriptor;
        match &self.cause {
            Cause::Io(error) => write!(f, "LISTEN_FDS: descriptor {descriptor}: {error}"),
            Cause::Kind => write!(
                f,
                "LISTEN_FDS: descriptor {descriptor} should be a listening stream socket; in the socket unit, use ListenStream= and Accept=no"
            ),
        }
    }
}

impl std::error::Error for InheritedError {}
