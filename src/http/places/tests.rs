//! Tests of who gives way, on real sockets without threads.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::*;

struct Connected {
    place: Place,
    client: UnixStream,
    socket: Socket,
}

impl Connected {
    fn is_ended(&mut self) -> bool {
        matches!(self.socket.stream().unread(), Unread::End)
    }

    /// Returns whether the client still gets what is written.
    fn gets_answer(&mut self) -> bool {
        let written = self.socket.write(b"x", Duration::ZERO);
        written.is_ok() && self.client.read_exact(&mut [0]).is_ok()
    }
}

fn connect(places: &Arc<Places>) -> Option<Connected> {
    let (client, server) = UnixStream::pair().unwrap();
    let socket = Socket::new(Stream::Unix(server));
    let place = places.take(&socket)?;
    Some(Connected {
        place,
        client,
        socket,
    })
}

/// Takes all regular places, with connections that are being answered.
fn all_answered(places: &Arc<Places>) -> Vec<Connected> {
    let connected = (0..MAX_CONNECTIONS).map(|_| connect(places).unwrap());
    let all: Vec<Connected> = connected.collect();
    assert!(all.iter().all(|one| one.place.begin().is_some()));
    all
}

#[test]
fn p19_the_connection_that_has_waited_longest_gives_way() {
    let places = Arc::new(Places::default());
    let mut all: Vec<_> = (0..MAX_CONNECTIONS)
        .map(|_| connect(&places).unwrap())
        .collect();
    assert_eq!(all[0].place.begin(), Some(Turn::Any));
    all[1].place.wait();
    let next = connect(&places).unwrap();
    let ended: Vec<usize> = (0..all.len()).filter(|n| all[*n].is_ended()).collect();
    assert_eq!(ended, [2], "0 is answered, and 1 has waited for less long");
    assert_eq!(next.place.begin(), Some(Turn::Any));
}

#[test]
fn p19_a_request_that_was_just_read_is_answered_all_the_same() {
    let places = Arc::new(Places::default());
    let connected = (0..MAX_CONNECTIONS).map(|_| connect(&places).unwrap());
    let mut all: Vec<Connected> = connected.collect();
    let next = connect(&places).unwrap();
    assert!(all[0].is_ended(), "it has waited longest");
    assert_eq!(all[0].place.begin(), Some(Turn::Last));
    assert!(all[0].gets_answer());
    assert!(all[1].is_ended(), "it gives way instead");
    assert_eq!(next.place.begin(), Some(Turn::Any));
}

#[test]
fn p19_a_request_that_was_just_read_is_refused_where_no_other_gives_way() {
    let places = Arc::new(Places::default());
    let _all = all_answered(&places);
    let reserved = (0..=MAX_RESERVED).map(|_| connect(&places).unwrap());
    let mut reserved: Vec<Connected> = reserved.collect();
    for one in &reserved[1..] {
        assert_eq!(one.place.begin(), Some(Turn::LastReserved));
    }
    assert_eq!(reserved[0].place.begin(), None, "it gave way");
    assert!(reserved[0].gets_answer(), "which can be said");
}

#[test]
fn p19_a_reserve_is_left_where_all_are_answered() {
    let places = Arc::new(Places::default());
    let mut all = all_answered(&places);
    let reserved = |places| {
        let one = connect(places).unwrap();
        assert_eq!(one.place.begin(), Some(Turn::LastReserved));
        one
    };
    let mut more: Vec<_> = (0..MAX_RESERVED).map(|_| reserved(&places)).collect();
    assert!(connect(&places).is_none());
    more[0].place.wait();
    let next = connect(&places).unwrap();
    assert!(more[0].is_ended(), "the reserve has an order of its own");
    all.pop();
    assert_eq!(next.place.begin(), Some(Turn::Any), "there is room");
    assert!(connect(&places).is_some(), "its place is free");
}

#[test]
fn p19_a_client_that_goes_away_frees_its_place() {
    let places = Arc::new(Places::default());
    let mut all = all_answered(&places);
    let (client, _other) = UnixStream::pair().unwrap();
    all[5].client = client;
    let next = connect(&places).unwrap();
    assert_eq!(next.place.begin(), Some(Turn::Any));
    assert_eq!(all[5].place.begin(), None, "its place is taken");
    let last = connect(&places).unwrap();
    assert_eq!(last.place.begin(), Some(Turn::LastReserved));
}

#[test]
fn p19_a_client_that_takes_nothing_gives_way() {
    let places = Arc::new(Places::default());
    let mut all = all_answered(&places);
    let Connected {
        place,
        client: _client,
        socket,
    } = all.swap_remove(5);
    let stall = socket.stall().clone();
    let time = Duration::from_secs(60);
    let stuck = thread::spawn(move || socket.write(&vec![b'x'; 8 << 20], time));
    while stall.since().is_none() {
        thread::yield_now();
    }
    let early = connect(&places).unwrap();
    assert_eq!(early.place.begin(), Some(Turn::LastReserved));
    while stall
        .since()
        .is_some_and(|since| since.elapsed() < STALL_TIMEOUT)
    {
        thread::yield_now();
    }
    let next = connect(&places).unwrap();
    assert_eq!(next.place.begin(), Some(Turn::Any));
    assert!(stuck.join().unwrap().is_err(), "its thread is woken");
    assert_eq!(place.begin(), None, "it gave way");
}

#[test]
fn p19_no_connection_gives_way_once_it_has_begun_to_answer() {
    let places = Arc::new(Places::default());
    for _ in 0..300 {
        let mut one = connect(&places).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| while !places.end_one() {});
            while one.place.begin() == Some(Turn::Any) {
                assert!(!one.is_ended(), "it answers");
                one.place.wait();
                // Otherwise it would hardly ever wait.
                (0..50).for_each(|_| std::hint::spin_loop());
            }
        });
        assert!(one.is_ended(), "it gave way before");
    }
}

#[test]
fn p19_requests_that_are_answered_are_counted() {
    let places = Arc::new(Places::default());
    let (one, two) = (connect(&places).unwrap(), connect(&places).unwrap());
    assert_eq!((places.count(), places.answering()), (2, 0));
    one.place.begin();
    two.place.begin();
    assert_eq!(places.answering(), 2);
    one.place.wait();
    assert_eq!(places.answering(), 1);
    drop(two);
    assert_eq!((places.count(), places.answering()), (1, 0));
}

#[test]
fn p19_connections_that_gave_way_are_few() {
    let places = Arc::new(Places::default());
    let all: Vec<_> = (0..500).map_while(|_| connect(&places)).collect();
    let most = MAX_CONNECTIONS + MAX_RESERVED + MAX_LEAVING;
    assert_eq!(all.len(), most, "their threads have not ended");
    assert!(connect(&places).is_none());
    drop(all);
    assert!(connect(&places).is_some());
}

#[test]
fn p19_an_idle_connection_can_be_ended_for_its_descriptor() {
    let places = Arc::new(Places::default());
    let mut one = connect(&places).unwrap();
    assert!(places.end_one());
    assert!(one.is_ended());
    let next = connect(&places).unwrap();
    next.place.begin();
    assert!(!places.end_one());
}
