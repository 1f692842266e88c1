//! The user at the other end of a connection, who must be allowed to use the daemon (P26).
//!
//! A unix socket remembers who connected it. For TCP on this machine, the kernel knows who made the socket at the other
//! end. A program that connects for others, such as a proxy or an SSH server, is the user that it runs as.

mod inet_diag;
mod proc_net;

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fmt, fs, io, thread};

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use self::inet_diag::SockDiag;
use super::connection;
use super::errors::Error;
use super::limits::Permit;
use super::places::Place;
use super::routes::Scope;
use super::service::Service;
use super::socket::{Peer, Socket, Stream};
use crate::model::allow_uid::AllowUid;
use crate::model::listen::is_loopback;
use crate::model::origin::{Credentials, Origin};

/// The user that the kernel shows in place of those that a user namespace has no number for, unless it is set otherwise.
const OVERFLOW_UID: u32 = 65534;
/// The state of a socket that listens, in `net/tcp_states.h` of the kernel.
const LISTENING: u8 = 10;
/// The pause between the attempts to get a place for a connection.
const PLACE_PAUSE: Duration = Duration::from_millis(5);

/// The users whose connections are served.
pub struct AllowedUsers {
    /// `None` if all are.
    allowed: Option<Vec<u32>>,
    own: u32,
    /// The number that may be any of several users here.
    overflow: Option<u32>,
    sock_diag: SockDiag,
    /// True once sock_diag has found a socket. From then on, one that it does not find is not there.
    has_sock_diag: AtomicBool,
}

/// A connection that is not served, by the reason.
#[derive(Debug)]
pub(super) enum Stranger {
    /// It is of the user `uid`; the daemon runs as `own`.
    User { uid: u32, own: u32 },
    /// It is of a user without a number in the daemon's user namespace.
    Unmapped,
    /// Its client has closed it.
    Gone,
    /// The kernel knows of no such socket.
    NoSocket,
    /// The kernel does not answer.
    Unknown(io::Error),
}

/// The ends of a connection as the socket at its other end has them, in the form of IPv4 where that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    own: SocketAddr,
    other: SocketAddr,
}

/// The owner of a socket.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    User(u32),
    /// Its process has closed it or has ended. The kernel then shows root as its user.
    NoProcess,
    /// There is no such connection in the daemon's network namespace.
    NoSocket,
}

impl AllowedUsers {
    /// Allows the user of this process, root, and these.
    pub fn new(more: &[AllowUid]) -> Self {
        Self::of(geteuid().as_raw(), overflow_uid(), more)
    }

    fn of(own: u32, overflow: Option<u32>, more: &[AllowUid]) -> Self {
        let mut allowed = Some(vec![0]);
        // Where the own number may be any of several users, it lets in nobody.
        if let Some(allowed) = allowed.as_mut().filter(|_| overflow != Some(own)) {
            allowed.push(own);
        }
        for one in more {
            match (one, &mut allowed) {
                (AllowUid::Uid(uid), Some(allowed)) => allowed.push(*uid),
                (AllowUid::Any, _) => allowed = None,
                (_, None) => {}
            }
        }
        Self {
            allowed,
            own,
            overflow,
            sock_diag: SockDiag::new(),
            has_sock_diag: AtomicBool::new(false),
        }
    }

    /// Returns who is at the other end of a connection that is served, where the kernel tells.
    fn check(&self, stream: &Stream) -> Result<Option<Credentials>, Stranger> {
        let credentials = self.credentials(stream);
        let Some(allowed) = &self.allowed else {
            return Ok(credentials.ok().flatten());
        };
        let Some(credentials) = credentials? else {
            return Ok(None);
        };
        match credentials.uid {
            uid if allowed.contains(&uid) => Ok(Some(credentials)),
            uid if self.overflow == Some(uid) => Err(Stranger::Unmapped),
            uid => Err(Stranger::User { uid, own: self.own }),
        }
    }

    /// Finds out who is at the other end. `None` if something else shows that they may connect.
    fn credentials(&self, stream: &Stream) -> Result<Option<Credentials>, Stranger> {
        match stream {
            Stream::Unix(unix) => match socket_peercred(unix) {
                Ok(credentials) => Ok(Some(Credentials {
                    uid: credentials.uid.as_raw(),
                    pid: Some(credentials.pid.as_raw_nonzero().get()),
                })),
                // rustix has no form for a process that has no number here, because of its process namespace.
                Err(_) if self.is_private(unix) => Ok(None),
                Err(error) => Err(Stranger::Unknown(error.into())),
            },
            Stream::Tcp(tcp, client) => {
                let local = tcp.local_addr();
                let local = local.map_err(Stranger::Unknown)?;
                // Only a process of this machine has a loopback address at either end. Everyone else needs the token,
                // without which the daemon listens on loopback addresses only.
                if !is_loopback(client.ip()) && !is_loopback(local.ip()) {
                    return Ok(None);
                }
                let owner = self.owner(&Ends::new(*client, local));
                match owner.map_err(Stranger::Unknown)? {
                    Owner::User(uid) => Ok(Some(Credentials { uid, pid: None })),
                    Owner::NoProcess => Err(Stranger::Gone),
                    // The client has reset the connection.
                    Owner::NoSocket if stream.peer() == Peer::Gone => Err(Stranger::Gone),
                    Owner::NoSocket => Err(Stranger::NoSocket),
                }
            }
        }
    }

    /// Returns whether only the own user and root can have connected, by the permissions of the file of the socket.
    fn is_private(&self, unix: &UnixStream) -> bool {
        let address = unix.local_addr();
        let path = address.as_ref().ok().and_then(|own| own.as_pathname());
        let metadata = path.and_then(|path| fs::metadata(path).ok());
        metadata.is_some_and(|file| {
            file.uid() == self.own && self.overflow != Some(self.own) && file.mode() & 0o077 == 0
        })
    }

    /// Finds out who owns the socket with these ends.
    fn owner(&self, ends: &Ends) -> io::Result<Owner> {
        match self.sock_diag.owner(ends) {
            Ok(owner) => {
                self.has_sock_diag.store(true, Ordering::Relaxed);
                Ok(owner)
            }
            // A kernel without sock_diag for TCP says the same.
            Err(e)
                if e.kind() == io::ErrorKind::NotFound
                    && self.has_sock_diag.load(Ordering::Relaxed) =>
            {
                Ok(Owner::NoSocket)
            }
            Err(_) => proc_net::owner(ends),
        }
    }
}

/// Serves a connection if its user is allowed. Anyone else gets an error before a request is read, and takes no place
/// meanwhile, so that no connection of an allowed user gives way to one of another user.
pub(super) fn serve(socket: Socket, service: &Service, scope: Scope, arrival: Permit) {
    match service.access.users.check(socket.stream()) {
        Ok(credentials) => {
            if let Some(place) = await_place(&socket, service) {
                drop(arrival);
                connection::serve(socket, service, scope, &place, credentials);
            }
        }
        Err(stranger) => refuse(&socket, service, arrival, stranger),
    }
}

fn await_place(socket: &Socket, service: &Service) -> Option<Place> {
    loop {
        if let Some(place) = service.places.take(socket) {
            return Some(place);
        }
        if service.is_closing() {
            return None;
        }
        thread::sleep(PLACE_PAUSE);
    }
}

fn refuse(socket: &Socket, service: &Service, arrival: Permit, stranger: Stranger) {
    // A client that closed its end before it was looked at has no process any more, and soon no socket.
    let is_there = match stranger {
        Stranger::Gone => false,
        Stranger::NoSocket => socket.peer() == Peer::Present,
        _ => true,
    };
    let credentials = match stranger {
        Stranger::User { uid, .. } => Some(Credentials { uid, pid: None }),
        _ => None,
    };
    let origin = Origin {
        address: socket.client_address(),
        credentials,
    };
    let error = Error::Stranger(stranger);
    service.refusals.note_connection(&error, &origin, is_there);
    let patience = service.limits.refusal();
    if patience.is_some() {
        // This takes a while. It is bounded by that permit from here on.
        drop(arrival);
    }
    connection::refuse(socket, error, patience.is_some());
}

impl Ends {
    /// `own` is the end that belongs to the socket.
    fn new(own: SocketAddr, other: SocketAddr) -> Self {
        let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        Self {
            own: canonical(own),
            other: canonical(other),
        }
    }
}

impl Owner {
    fn of(state: u8, uid: u32, inode: u64) -> Self {
        match (state, inode) {
            (LISTENING, _) => Self::NoSocket,
            (_, 0) => Self::NoProcess,
            _ => Self::User(uid),
        }
    }
}

/// Returns the number by which a user namespace shows the users without one (user_namespaces(7)), if there are any.
fn overflow_uid() -> Option<u32> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    if maps_all(&read("/proc/self/uid_map")) {
        return None;
    }
    let set = read("/proc/sys/kernel/overflowuid").trim().parse();
    Some(set.unwrap_or(OVERFLOW_UID))
}

fn maps_all(uid_map: &str) -> bool {
    let mut words = uid_map.split_ascii_whitespace();
    words.by_ref().take(2).eq(["0", "0"]) && words.eq(["4294967295"])
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { uid, own: 0 } => write!(
                f,
                "user {uid} is not served, only root, as whom the daemon runs; start it with --allow-uid {uid} to serve this user"
            ),
            Self::User { uid, own } => write!(
                f,
                "user {uid} is not served, only user {own}, as whom the daemon runs, and root; start it with --allow-uid {uid} to serve this user"
            ),
            Self::Unmapped => f.write_str(
                "the user at the other end has no number in the daemon's user namespace, so that it may be anyone; start the daemon with --allow-uid any to serve everyone",
            ),
            Self::Gone => f.write_str("its client has closed it"),
            Self::NoSocket => f.write_str(
                "the kernel knows of no process at the other end in the daemon's network namespace, so that it may be anyone; use a unix socket, or start the daemon with --allow-uid any to serve everyone",
            ),
            Self::Unknown(error) => write!(
                f,
                "who is at the other end cannot be found out ({error}), so that it may be anyone; start the daemon with --allow-uid any to serve everyone"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
