//! Notices, while the daemon has nothing to send yet, that the client of a request has gone away.

use std::cell::Cell;
use std::io;

use super::limits::WRITE_TIMEOUT;
use super::request::Version;
use super::socket::{Peer, Socket};

/// Notices that the client of one request goes away.
pub(super) struct Presence<'a> {
    socket: &'a Socket,
    version: Version,
    /// An interim answer was sent to find out if a client that closed its sending half still reads.
    is_probed: Cell<bool>,
}

impl<'a> Presence<'a> {
    pub(super) fn new(socket: &'a Socket, version: Version) -> Self {
        Self {
            socket,
            version,
            is_probed: Cell::new(false),
        }
    }

    /// Fails where the client is gone, or has closed its sending half and cannot be probed.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.socket.peer() {
            Peer::Present => Ok(()),
            Peer::HalfClosed if self.version == Version::Http11 => self.probe(),
            Peer::HalfClosed | Peer::Gone => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Returns false once the client is certainly gone. One that has closed its sending half and cannot be probed may
    /// still read.
    pub(super) fn may_be_there(&self) -> bool {
        match self.version {
            Version::Http10 => self.socket.peer() != Peer::Gone,
            Version::Http11 => self.check().is_ok(),
        }
    }

    /// A client that only closed its sending half takes an interim answer; one that is gone resets the connection.
    fn probe(&self) -> io::Result<()> {
        if self.is_probed.replace(true) {
            return Ok(());
        }
        let interim = b"HTTP/1.1 102 Processing\r\n\r\n";
        self.socket.write(interim, WRITE_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::http::socket::Stream;

    fn connect() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, address) = listener.accept().unwrap();
        (client, Socket::new(Stream::Tcp(server, address)))
    }

    fn until(condition: impl Fn() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(30));
            std::thread::yield_now();
        }
    }

    #[test]
    fn p19_a_client_that_has_gone_away_is_noticed() {
        let (client, socket) = connect();
        let presence = Presence::new(&socket, Version::Http11);
        assert!(presence.check().is_ok());
        drop(client);
        until(|| presence.check().is_err());
        assert!(!presence.may_be_there());
    }

    #[test]
    fn a_client_that_only_closed_its_sending_half_is_there() {
        let (mut client, socket) = connect();
        client.shutdown(Shutdown::Write).unwrap();
        until(|| socket.peer() == Peer::HalfClosed);
        let presence = Presence::new(&socket, Version::Http11);
        assert!(presence.check().is_ok() && presence.may_be_there());
        let old = Presence::new(&socket, Version::Http10);
        assert!(old.may_be_there() && old.check().is_err());
        drop(socket);
        let mut all = String::new();
        client.read_to_string(&mut all).unwrap();
        assert_eq!(all, "HTTP/1.1 102 Processing\r\n\r\n", "sent once");
    }
}
