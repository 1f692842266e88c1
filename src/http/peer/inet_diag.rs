//! The kernel's answer about one TCP socket, by sock_diag(7): one message there, one back, without a dump of the table.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::net::netlink::SOCK_DIAG;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use super::{Ends, Owner};

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`, the type of the question and of its answer.
const BY_FAMILY: u16 = 20;
/// `NLMSG_ERROR` and `NLM_F_REQUEST` of `linux/netlink.h`.
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
/// The lengths of `nlmsghdr`, `inet_diag_req_v2` and `inet_diag_msg`.
const HEADER: usize = 16;
const QUESTION: usize = 56;
const ANSWER: usize = 72;

/// A way to ask the kernel. Its socket is kept, so that a process that has run out of descriptors can still ask.
pub(super) struct SockDiag(Mutex<Option<OwnedFd>>);

impl SockDiag {
    /// Opens the socket. Where that fails, it is opened for the first question.
    pub(super) fn new() -> Self {
        Self(Mutex::new(open().ok()))
    }

    /// Asks the kernel who owns a socket. The kernel answers while the question is sent, so that nothing waits.
    pub(super) fn owner(&self, ends: &Ends) -> io::Result<Owner> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = match kept.take() {
            Some(socket) => socket,
            None => open()?,
        };
        send(&socket, &question(ends), SendFlags::empty())?;
        let mut buffer = [0; 1024];
        let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::DONTWAIT)?;
        // Where a step fails, an answer may still come, and the next question needs another socket.
        *kept = Some(socket);
        answer(buffer.get(..length).unwrap_or_default(), ends)
    }
}

fn open() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let family = AddressFamily::NETLINK;
    Ok(socket_with(
        family,
        SocketType::DGRAM,
        flags,
        Some(SOCK_DIAG),
    )?)
}

/// Builds `nlmsghdr` and `inet_diag_req_v2` of `linux/inet_diag.h`.
fn question(ends: &Ends) -> Vec<u8> {
    let family = match ends.own.ip() {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    };
    let mut bytes = Vec::with_capacity(HEADER + QUESTION);
    let length = (HEADER + QUESTION) as u32;
    bytes.extend(length.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    // The sequence number, and the sender, which the kernel fills in.
    bytes.extend([0; 8]);
    // No extensions, and sockets in any state.
    bytes.extend([family, IPPROTO_TCP, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(ends.own.port().to_be_bytes());
    bytes.extend(ends.other.port().to_be_bytes());
    bytes.extend(address_bytes(ends.own.ip()));
    bytes.extend(address_bytes(ends.other.ip()));
    // On any interface, and with any cookie (INET_DIAG_NOCOOKIE).
    bytes.extend([0; 4]);
    bytes.extend([0xff; 8]);
    bytes
}

fn address_bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V6(v6) => v6.octets(),
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
    }
}

/// Reads `nlmsghdr` and `inet_diag_msg`, or the error in their place.
fn answer(bytes: &[u8], ends: &Ends) -> io::Result<Owner> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let (header, body) = bytes.split_at_checked(HEADER).ok_or_else(malformed)?;
    match header {
        [_, _, _, _, a, b, ..] if u16::from_ne_bytes([*a, *b]) == ERROR => {
            let code = word(body, 0).ok_or_else(malformed)?;
            Err(io::Error::from_raw_os_error((code as i32).wrapping_neg()))
        }
        [_, _, _, _, a, b, ..] if u16::from_ne_bytes([*a, *b]) == BY_FAMILY => {
            about(body, ends).ok_or_else(malformed)
        }
        _ => Err(malformed()),
    }
}

/// Reads `inet_diag_msg`. Where no connection has these ends, the kernel answers with a socket that listens at the
/// first one, so the answer is compared with the question.
fn about(body: &[u8], ends: &Ends) -> Option<Owner> {
    let [family, state, ..] = body.get(..ANSWER)? else {
        return None;
    };
    let ports = body.get(4..8)?;
    let found = Ends {
        own: end(*family, ports.get(..2)?, body.get(8..24)?)?,
        other: end(*family, ports.get(2..)?, body.get(24..40)?)?,
    };
    if found != *ends {
        return Some(Owner::NoSocket);
    }
    Some(Owner::of(*state, word(body, 64)?, word(body, 68)?.into()))
}

fn end(family: u8, port: &[u8], address: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(port.try_into().ok()?);
    let address: [u8; 16] = address.try_into().ok()?;
    let ip = match (family, address) {
        (AF_INET, [a, b, c, d, ..]) => IpAddr::from([a, b, c, d]),
        (AF_INET6, v6) => IpAddr::from(v6).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> Ends {
        Ends::new(
            "127.0.0.1:50000".parse().unwrap(),
            "127.0.0.1:3382".parse().unwrap(),
        )
    }

    /// An answer for these ends.
    fn found(ends: &Ends, state: u8, uid: u32, inode: u32) -> Vec<u8> {
        let asked = question(ends);
        let mut bytes = asked[..HEADER].to_vec();
        bytes.extend([asked[HEADER], state, 0, 0]);
        bytes.extend(&asked[HEADER + 8..]);
        bytes.extend([0; 12]);
        bytes.extend(uid.to_ne_bytes());
        bytes.extend(inode.to_ne_bytes());
        bytes
    }

    #[test]
    fn p26_an_answer_tells_the_user() {
        let v6 = Ends::new("[::1]:1".parse().unwrap(), "[::1]:2".parse().unwrap());
        for ends in [ends(), v6] {
            let bytes = found(&ends, 1, 1000, 7);
            assert_eq!(answer(&bytes, &ends).unwrap(), Owner::User(1000));
        }
        // The socket of a closed connection, which the kernel ascribes to root.
        let closed = found(&ends(), 4, 0, 0);
        assert_eq!(answer(&closed, &ends()).unwrap(), Owner::NoProcess);
    }

    #[test]
    fn p26_an_answer_about_another_socket_is_none() {
        let other = Ends::new(ends().own, "127.0.0.1:1".parse().unwrap());
        let listening = Ends::new(ends().own, "0.0.0.0:0".parse().unwrap());
        for about in [other, listening] {
            let bytes = found(&about, 1, 0, 7);
            assert_eq!(answer(&bytes, &ends()).unwrap(), Owner::NoSocket);
        }
        let listening = found(&ends(), 10, 0, 7);
        assert_eq!(answer(&listening, &ends()).unwrap(), Owner::NoSocket);
    }

    #[test]
    fn an_error_and_a_cut_answer_are_errors() {
        let mut refused = found(&ends(), 1, 0, 7);
        refused[4..6].copy_from_slice(&ERROR.to_ne_bytes());
        refused[HEADER..HEADER + 4].copy_from_slice(&(-2i32).to_ne_bytes());
        let error = answer(&refused, &ends()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let whole = found(&ends(), 1, 0, 7);
        for length in 0..whole.len() {
            assert!(answer(&whole[..length], &ends()).is_err(), "{length}");
        }
    }
}
