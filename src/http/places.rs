//! The places of connections, and who gives way where all are taken (P19).
//!
//! A connection that waits for a request gives its place to a new one, the one that has waited longest first, so that
//! idle and silent clients shut nobody out. Where none waits, the connection gives way whose client has taken nothing of
//! its answer for longest. Where each connection is being answered, a few more are taken for the requests that must
//! always be served. A client that has gone away frees the place of its connection, even if the thread still waits for
//! what it asked for.

use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::limits::{MAX_CONNECTIONS, MAX_LEAVING, MAX_RESERVED, STALL_TIMEOUT};
use super::socket::{Peer, Socket, Stall, Stream, Unread};

/// The places of all connections whose users are served.
#[derive(Default)]
pub struct Places(Mutex<Table>);

/// The place of one connection, given back on drop.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
}

/// The kind of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its connection may send any request.
    Regular,
    /// Its connection may send one request of those that must always be served.
    Reserved,
}

#[derive(Default)]
struct Table {
    taken: Vec<Taken>,
    next: u64,
}

struct Taken {
    number: u64,
    /// `None` once the place was taken away, until the thread of its connection ends.
    kind: Option<Kind>,
    stream: Weak<Stream>,
    /// The time since when the connection waits for a whole request. `None` while it is answered.
    waits_since: Option<Instant>,
    stall: Arc<Stall>,
}

impl Kind {
    fn limit(self) -> usize {
        match self {
            Self::Regular => MAX_CONNECTIONS,
            Self::Reserved => MAX_RESERVED,
        }
    }
}

impl Places {
    /// Gives a place to a new connection. Another one may have to give way. Returns `None` where none can, which is so
    /// for a moment only: two of the reserved ones never wait.
    pub(super) fn take(self: &Arc<Self>, socket: &Socket) -> Option<Place> {
        let mut table = self.lock();
        if table.taken.len() >= MAX_CONNECTIONS + MAX_RESERVED + MAX_LEAVING {
            table.abort_stalled(None);
            return None;
        }
        let mut kinds = [Kind::Regular, Kind::Reserved].into_iter();
        let kind = kinds.find(|kind| table.make_room(*kind))?;
        let number = table.next;
        table.next += 1;
        table.taken.push(Taken {
            number,
            kind: Some(kind),
            stream: Arc::downgrade(socket.stream()),
            waits_since: Some(Instant::now()),
            stall: socket.stall().clone(),
        });
        Some(Place {
            places: self.clone(),
            number,
        })
    }

    /// Ends a connection that can give way. Returns false where there is none.
    pub(super) fn end_one(&self) -> bool {
        let mut table = self.lock();
        let mut kinds = [Kind::Regular, Kind::Reserved].into_iter();
        kinds.any(|kind| table.end_one(kind))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn has_room(&self, kind: Kind) -> bool {
        let taken = self.taken.iter().filter(|taken| taken.kind == Some(kind));
        taken.count() < kind.limit()
    }

    /// Returns whether there is room now.
    fn make_room(&mut self, kind: Kind) -> bool {
        if self.has_room(kind) {
            return true;
        }
        // A client that closed only its sending half still gets its answer.
        match self.left(kind) {
            Some(left) => {
                left.kind = None;
                true
            }
            None => self.end_one(kind),
        }
    }

    /// Returns a connection that is answered although its client has closed it.
    fn left(&mut self, kind: Kind) -> Option<&mut Taken> {
        self.of_kind(Some(kind)).find(|taken| {
            let is_left = |stream: Arc<Stream>| stream.peer() != Peer::Present;
            taken.waits_since.is_none() && taken.stream.upgrade().is_some_and(is_left)
        })
    }

    /// Ends a connection in a place of this kind that can give way. Returns false where there is none.
    fn end_one(&mut self, kind: Kind) -> bool {
        self.end_waiting(kind) || self.abort_stalled(Some(kind))
    }

    /// Ends the connection that has waited longest for a request.
    fn end_waiting(&mut self, kind: Kind) -> bool {
        let of_kind = self.of_kind(Some(kind));
        let waiting = of_kind.filter_map(|taken| Some((taken.waits()?, taken)));
        let first = waiting.min_by_key(|(order, _)| *order);
        first.map(|(_, taken)| taken.end()).is_some()
    }

    /// Ends the connection whose client has taken nothing for longest, in the middle of its answer.
    fn abort_stalled(&mut self, kind: Option<Kind>) -> bool {
        let of_kind = self.of_kind(kind);
        let stalled = of_kind.filter_map(|taken| Some((taken.stalls()?, taken)));
        let first = stalled.min_by_key(|(since, _)| *since);
        first.map(|(_, taken)| taken.abort()).is_some()
    }

    fn of_kind(&mut self, kind: Option<Kind>) -> impl Iterator<Item = &mut Taken> {
        let taken = self.taken.iter_mut();
        taken.filter(move |taken| taken.kind == kind)
    }

    fn find(&mut self, number: u64) -> Option<&mut Taken> {
        let mut places = self.taken.iter_mut().filter(|taken| taken.kind.is_some());
        places.find(|taken| taken.number == number)
    }
}

impl Taken {
    /// Returns the order in which connections that wait give way. Those come first whose clients have closed them. One
    /// that is about to read what its client has sent does not wait.
    fn waits(&self) -> Option<(bool, Instant)> {
        let since = self.waits_since?;
        let unread = self.stream.upgrade().map(|stream| stream.unread());
        match unread {
            Some(Unread::Bytes) => None,
            Some(Unread::Nothing) => Some((true, since)),
            Some(Unread::End) | None => Some((false, since)),
        }
    }

    /// Returns since when the client has taken nothing, once that is too long while others need its place.
    fn stalls(&self) -> Option<Instant> {
        let since = self.stall.since()?;
        (since.elapsed() >= STALL_TIMEOUT).then_some(since)
    }

    /// Takes the place away. The thread of the connection finds the end of the stream, and ends. If it has just read a
    /// request, it can still refuse that.
    fn end(&mut self) {
        self.kind = None;
        if let Some(stream) = self.stream.upgrade() {
            stream.shutdown(Shutdown::Read);
        }
    }

    /// Takes the place away in the middle of an answer.
    fn abort(&mut self) {
        self.kind = None;
        if let Some(stream) = self.stream.upgrade() {
            stream.abort();
        }
    }
}

impl Place {
    /// Begins to answer a request, so that the connection does not give way. Returns the kind of its place, which is a
    /// regular one as soon as there is room, or `None` where it has given way already.
    pub(super) fn begin(&self) -> Option<Kind> {
        let mut table = self.places.lock();
        let taken = table.find(self.number)?;
        taken.waits_since = None;
        if taken.kind == Some(Kind::Reserved) && table.make_room(Kind::Regular) {
            table.find(self.number)?.kind = Some(Kind::Regular);
        }
        table.find(self.number)?.kind
    }

    /// The connection waits for a request, or for the client to close it.
    pub(super) fn wait(&self) {
        if let Some(taken) = self.places.lock().find(self.number) {
            taken.waits_since = Some(Instant::now());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.lock();
        table.taken.retain(|taken| taken.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::thread;
    use std::time::Duration;

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
            let written = self.socket.write(b"x", Instant::now());
            written.is_ok() && self.client.read_exact(&mut [0]).is_ok()
        }
    }

    fn connect(places: &Arc<Places>) -> Option<Connected> {
        let (client, server) = UnixStream::pair().unwrap();
        let socket = Socket::new(Stream::Unix(server)).unwrap();
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
        assert_eq!(all[0].place.begin(), Some(Kind::Regular));
        all[1].place.wait();
        let next = connect(&places).unwrap();
        let ended: Vec<usize> = (0..all.len()).filter(|n| all[*n].is_ended()).collect();
        assert_eq!(ended, [2], "0 is answered, and 1 has waited for less long");
        assert_eq!(all[2].place.begin(), None, "it gave way");
        assert!(
            all[2].gets_answer(),
            "a request that was just read is refused"
        );
        assert_eq!(next.place.begin(), Some(Kind::Regular));
    }

    #[test]
    fn p19_a_reserve_is_left_where_all_are_answered() {
        let places = Arc::new(Places::default());
        let mut all = all_answered(&places);
        let reserved = |places| {
            let one = connect(places).unwrap();
            assert_eq!(one.place.begin(), Some(Kind::Reserved));
            one
        };
        let mut more: Vec<_> = (0..MAX_RESERVED).map(|_| reserved(&places)).collect();
        assert!(connect(&places).is_none());
        more[0].place.wait();
        let next = connect(&places).unwrap();
        assert!(more[0].is_ended(), "the reserve has an order of its own");
        all.pop();
        assert_eq!(next.place.begin(), Some(Kind::Regular), "there is room");
        assert!(connect(&places).is_some(), "its place is free");
    }

    #[test]
    fn p19_a_client_that_goes_away_frees_its_place() {
        let places = Arc::new(Places::default());
        let mut all = all_answered(&places);
        let (client, _other) = UnixStream::pair().unwrap();
        all[5].client = client;
        let next = connect(&places).unwrap();
        assert_eq!(next.place.begin(), Some(Kind::Regular));
        assert_eq!(all[5].place.begin(), None, "its place is taken");
        let last = connect(&places).unwrap();
        assert_eq!(last.place.begin(), Some(Kind::Reserved));
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
        let deadline = Instant::now() + Duration::from_secs(60);
        let stuck = thread::spawn(move || socket.write(&vec![b'x'; 8 << 20], deadline));
        while stall.since().is_none() {
            thread::yield_now();
        }
        let early = connect(&places).unwrap();
        assert_eq!(early.place.begin(), Some(Kind::Reserved));
        while stall
            .since()
            .is_some_and(|since| since.elapsed() < STALL_TIMEOUT)
        {
            thread::yield_now();
        }
        let next = connect(&places).unwrap();
        assert_eq!(next.place.begin(), Some(Kind::Regular));
        assert!(stuck.join().unwrap().is_err(), "its thread is woken");
        assert_eq!(place.begin(), None, "it gave way");
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
}
