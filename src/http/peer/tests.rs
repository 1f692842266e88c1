//! Tests of who is at the other end of a connection, on real sockets.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::fs::fchown;
use rustix::process::{Uid, geteuid};

use super::*;

/// A connection, with the client first.
fn connect(address: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(address).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

/// The ends as the client's socket has them.
fn ends(server: &TcpStream) -> Ends {
    Ends::new(server.peer_addr().unwrap(), server.local_addr().unwrap())
}

/// Gives a socket to another user, as if that user had made it. Only root may do so.
fn give_away(socket: &TcpStream, uid: u32) -> bool {
    let given = fchown(socket, Some(Uid::from_raw(uid)), None).is_ok();
    if !given {
        eprintln!("not tested: sockets of other users, which only root can make");
    }
    given
}

fn by_sock_diag(ends: &Ends) -> io::Result<Owner> {
    SockDiag::new().owner(ends)
}

#[test]
fn p26_both_ways_to_ask_the_kernel_agree() {
    let own = Owner::User(geteuid().as_raw());
    for address in ["127.0.0.1:0", "127.9.8.7:0", "[::1]:0"] {
        let (client, server) = connect(address);
        let ends = ends(&server);
        assert_eq!(by_sock_diag(&ends).unwrap(), own, "{address}");
        assert_eq!(proc_net::owner(&ends).unwrap(), own, "{address}");
        if give_away(&client, 54321) {
            assert_eq!(by_sock_diag(&ends).unwrap(), Owner::User(54321));
            assert_eq!(proc_net::owner(&ends).unwrap(), Owner::User(54321));
        }
        drop(client);
        // The socket still exists, as the daemon's end is open, and the kernel shows root for it. A kernel that has too
        // many such sockets drops it (tcp_max_tw_buckets).
        let is_closed = |owner: io::Result<Owner>| match owner {
            Ok(owner) => matches!(owner, Owner::NoProcess | Owner::NoSocket),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        eventually(|| is_closed(by_sock_diag(&ends)));
        eventually(|| is_closed(proc_net::owner(&ends)));
    }
}

/// Waits until `condition` holds, as a child that another test has just forked has the sockets of this process until it
/// executes its program.
#[track_caller]
fn eventually(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
}

#[test]
fn p26_an_ipv6_socket_that_speaks_ipv4_is_found() {
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
        let client = TcpStream::connect((address, port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        let own = Owner::User(geteuid().as_raw());
        assert_eq!(by_sock_diag(&ends(&server)).unwrap(), own, "{address}");
        assert_eq!(proc_net::owner(&ends(&server)).unwrap(), own, "{address}");
        drop(client);
    }
}

#[test]
fn p26_no_socket_is_not_the_one_that_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = Ends::new(
        listener.local_addr().unwrap(),
        "127.0.0.1:1".parse().unwrap(),
    );
    let users = AllowedUsers::new(&[]);
    for _ in 0..2 {
        assert_eq!(users.owner(&nobody).unwrap(), Owner::NoSocket);
    }
}

#[test]
fn p26_only_the_own_user_root_and_allowed_ones_are_served() {
    let users = |more: &[AllowUid]| AllowedUsers::of(54000, None, more);
    let (client, server) = connect("127.0.0.1:0");
    let stream = Stream::Tcp(server, client.local_addr().unwrap());
    let served = |users: &AllowedUsers| users.check(&stream).is_ok();
    assert!(served(&AllowedUsers::new(&[])), "the own user");
    if !give_away(&client, 54321) {
        return;
    }
    assert!(!served(&users(&[])));
    assert!(!served(&users(&[AllowUid::Uid(54320)])));
    assert!(served(&AllowedUsers::of(54321, None, &[])));
    assert!(served(&users(&[
        AllowUid::Uid(54320),
        AllowUid::Uid(54321)
    ])));
    assert!(served(&users(&[AllowUid::Uid(1), AllowUid::Any])));
    assert!(give_away(&client, 0));
    assert!(served(&users(&[])), "root");
    drop(client);
    // The kernel shows root for a closed one, too.
    eventually(|| matches!(users(&[]).check(&stream), Err(Stranger::Gone)));
}

#[test]
fn p26_users_without_a_number_are_not_served() {
    let (client, server) = connect("127.0.0.1:0");
    let stream = Stream::Tcp(server, client.local_addr().unwrap());
    if !give_away(&client, 54321) {
        return;
    }
    // A daemon that is such a user itself is not served to all of them.
    for own in [54000, 54321] {
        let refused = AllowedUsers::of(own, Some(54321), &[]).check(&stream);
        assert!(matches!(refused, Err(Stranger::Unmapped)), "{refused:?}");
    }
    let all = AllowedUsers::of(54000, Some(54321), &[AllowUid::Uid(54321)]);
    assert!(all.check(&stream).is_ok());
}

#[test]
fn p26_a_unix_socket_tells_who_connected_it() {
    let (_client, server) = UnixStream::pair().unwrap();
    assert!(AllowedUsers::new(&[]).check(&Stream::Unix(server)).is_ok());
}

#[test]
fn a_map_of_all_users_leaves_none_without_a_number() {
    for (map, expected) in [
        ("         0          0 4294967295\n", true),
        ("0 1000 1\n", false),
        ("0 0 1\n", false),
        ("0 0 4294967295\n1 1 1\n", false),
        ("", false),
    ] {
        assert_eq!(maps_all(map), expected, "{map:?}");
    }
}

/// Prints what the check costs a connection, by both ways to ask the kernel.
#[test]
fn p26_the_cost_of_a_check() {
    let (_client, server) = connect("127.0.0.1:0");
    let ends = ends(&server);
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets = table.lines().count() - 1;
    for (way, ask) in [
        ("sock_diag", by_sock_diag as fn(&Ends) -> io::Result<Owner>),
        ("/proc/net/tcp", proc_net::owner),
    ] {
        let mut times: Vec<Duration> = (0..101)
            .map(|_| {
                let begun = Instant::now();
                ask(&ends).unwrap();
                begun.elapsed()
            })
            .collect();
        times.sort();
        println!(
            "{way}: median {:?}, p99 {:?}, of {sockets} sockets",
            times[50], times[99]
        );
    }
}
