//! The kernel's table of TCP sockets as text, `/proc/net/tcp` and `/proc/net/tcp6` (proc_net(5)), for where there is no
//! sock_diag: in a sandbox that has no netlink sockets, and in a kernel without that module.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::{Ends, Owner};

/// The bytes of each table that are read, about 100,000 sockets.
const LONGEST_TABLE: u64 = 16 << 20;

/// Looks up who owns a socket. One of IPv4 may stand in either table: a program may use an IPv6 socket for it.
pub(super) fn owner(ends: &Ends) -> io::Result<Owner> {
    let v4 = look_up("/proc/net/tcp", ends);
    match &v4 {
        Ok(Owner::NoSocket) | Err(_) => {}
        Ok(_) => return v4,
    }
    // A kernel without IPv6 has no such table.
    match look_up("/proc/net/tcp6", ends) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => v4,
        v6 => v6,
    }
}

fn look_up(path: &str, ends: &Ends) -> io::Result<Owner> {
    let file = File::open(path)?;
    find(BufReader::new(file.take(LONGEST_TABLE)), ends)
}

fn find(mut table: impl BufRead, ends: &Ends) -> io::Result<Owner> {
    let mut line = String::new();
    while table.read_line(&mut line)? > 0 {
        if let Some(entry) = parse(&line)
            && entry.ends == *ends
        {
            return Ok(entry.owner);
        }
        line.clear();
    }
    Ok(Owner::NoSocket)
}

struct Entry {
    ends: Ends,
    owner: Owner,
}

/// Parses a line. The first one, with the names of the columns, is no entry.
fn parse(line: &str) -> Option<Entry> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let own = end(columns.next()?)?;
    let other = end(columns.next()?)?;
    let state = u8::from_str_radix(columns.next()?, 16).ok()?;
    let mut columns = columns.skip(3);
    let uid = columns.next()?.parse().ok()?;
    let inode = columns.nth(1)?.parse().ok()?;
    Some(Entry {
        ends: Ends { own, other },
        owner: Owner::of(state, uid, inode),
    })
}

/// Parses an address and a port. The address is printed as words of the machine, whose bytes are in network order.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut octets = [0; 16];
            for (octet, byte) in octets.iter_mut().zip(words.as_flattened()) {
                *octet = *byte;
            }
            IpAddr::from(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    /// Looks up 127.0.0.1:50000, which is connected to 127.0.0.1:3382, or the same in IPv6.
    fn find_in(table: &str) -> Owner {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let ends = Ends::new(address(50000), address(3382));
        find(format!("{HEADER}{table}").as_bytes(), &ends).unwrap()
    }

    // The tables of a little-endian machine.
    #[cfg(target_endian = "little")]
    #[test]
    fn p26_a_table_tells_the_user() {
        let line = "   1: 0100007F:C350 0100007F:0D36 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 20 4 30 10 -1\n";
        let mapped = "   1: 0000000000000000FFFF00000100007F:C350 0000000000000000FFFF00000100007F:0D36 01 00000000:00000000 00:00000000 00000000  1001        0 4711 1 0 20 4 30 10 -1\n";
        let daemon = "   0: 0100007F:0D36 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4710 1 0 20 4 30 10 -1\n";
        assert_eq!(find_in(&format!("{daemon}{line}")), Owner::User(1000));
        assert_eq!(find_in(mapped), Owner::User(1001));
        assert_eq!(find_in(daemon), Owner::NoSocket);
        assert_eq!(find_in(""), Owner::NoSocket);
        // TIME_WAIT and a socket that no process has any more: the kernel shows root for both.
        let closed = "   1: 0100007F:C350 0100007F:0D36 06 00000000:00000000 03:00000F9A 00000000     0        0 0 3 0\n";
        assert_eq!(find_in(closed), Owner::NoProcess);
        let v6 = "   1: 00000000000000000000000001000000:C350 00000000000000000000000001000000:0D36 01 00000000:00000000 00:00000000 00000000  1002        0 4711 1 0\n";
        let loopback = |port| SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
        let ends = Ends::new(loopback(50000), loopback(3382));
        assert_eq!(find(v6.as_bytes(), &ends).unwrap(), Owner::User(1002));
    }

    #[test]
    fn lines_of_another_form_are_passed_over() {
        for line in [
            "",
            "1:",
            "1: x:y 0:0 01",
            "   1: 0100007F:C350 0100007F:0D36 01\n",
        ] {
            assert_eq!(find_in(line), Owner::NoSocket, "{line}");
        }
    }
}
