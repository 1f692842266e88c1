//! The places of connections, and who gives way where all are taken (P19).
//!
//! A connection that waits for a request gives its place to a new one, the one that has waited longest first, so that
//! idle and silent clients shut nobody out. Where each connection is being answered, a few more are taken for the
//! requests that must always be served. A client that has gone away frees the place of its connection, even if the thread
//! still waits for what it asked for.

use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::limits::{MAX_CONNECTIONS, MAX_LEAVING, MAX_RESERVED};
use super::socket::{Peer, Stream, Unread};

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
    /// The places that are not given back, those that were taken away included.
    given: usize,
    next: u64,
}

struct Taken {
    number: u64,
    kind: Kind,
    stream: Weak<Stream>,
    /// The time since when the connection waits for a whole request. `None` while it is answered.
    waits_since: Option<Instant>,
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
    pub(super) fn take(self: &Arc<Self>, stream: &Arc<Stream>) -> Option<Place> {
        let mut table = self.lock();
        if table.given >= MAX_CONNECTIONS + MAX_RESERVED + MAX_LEAVING {
            return None;
        }
        let mut kinds = [Kind::Regular, Kind::Reserved].into_iter();
        let kind = kinds.find(|kind| table.make_room(*kind))?;
        let number = table.next;
        table.next += 1;
        table.given += 1;
        table.taken.push(Taken {
            number,
            kind,
            stream: Arc::downgrade(stream),
            waits_since: Some(Instant::now()),
        });
        Some(Place {
            places: self.clone(),
            number,
        })
    }

    /// Ends the connection that has waited longest for a request. Returns false where each one is being answered.
    pub(super) fn end_longest_waiting(&self) -> bool {
        let mut table = self.lock();
        let longest = table.longest_waiting(None);
        longest.map(|index| table.end(index)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn has_room(&self, kind: Kind) -> bool {
        let taken = self.taken.iter().filter(|taken| taken.kind == kind);
        taken.count() < kind.limit()
    }

    /// Returns whether there is room now.
    fn make_room(&mut self, kind: Kind) -> bool {
        if self.has_room(kind) {
            return true;
        }
        // A client that closed only its sending half still gets its answer.
        if let Some(index) = self.left(kind) {
            self.taken.swap_remove(index);
            return true;
        }
        let longest = self.longest_waiting(Some(kind));
        longest.map(|index| self.end(index)).is_some()
    }

    /// Returns the index of a connection that is answered although its client has closed it.
    fn left(&self, kind: Kind) -> Option<usize> {
        self.taken.iter().position(|taken| {
            let is_left = |stream: Arc<Stream>| stream.peer() != Peer::Present;
            let is_answered = taken.kind == kind && taken.waits_since.is_none();
            is_answered && taken.stream.upgrade().is_some_and(is_left)
        })
    }

    /// Returns the index of the connection that has waited longest, among those of this kind if one is given. Those
    /// come first whose clients have closed them. One that is about to read what its client has sent does not wait.
    fn longest_waiting(&self, kind: Option<Kind>) -> Option<usize> {
        let all = self.taken.iter().enumerate();
        let of_kind = all.filter(|(_, taken)| kind.is_none_or(|kind| taken.kind == kind));
        let waiting = of_kind.filter_map(|(index, taken)| {
            let since = taken.waits_since?;
            let unread = taken.stream.upgrade().map(|stream| stream.unread());
            match unread {
                Some(Unread::Bytes) => None,
                Some(Unread::Nothing) => Some((true, since, index)),
                Some(Unread::End) | None => Some((false, since, index)),
            }
        });
        waiting.min().map(|(_, _, index)| index)
    }

    /// Takes a place away. The thread of its connection finds the end of the stream, and ends. If it has just read a
    /// request, it can still refuse that.
    fn end(&mut self, index: usize) {
        let stream = self.taken.swap_remove(index).stream;
        if let Some(stream) = stream.upgrade() {
            stream.shutdown(Shutdown::Read);
        }
    }

    fn find(&mut self, number: u64) -> Option<&mut Taken> {
        self.taken.iter_mut().find(|taken| taken.number == number)
    }
}

impl Place {
    /// Begins to answer a request, so that the connection does not give way. Returns the kind of its place, which is a
    /// regular one as soon as there is room, or `None` where it has given way already.
    pub(super) fn begin(&self) -> Option<Kind> {
        let mut table = self.places.lock();
        let taken = table.find(self.number)?;
        taken.waits_since = None;
        if taken.kind == Kind::Reserved && table.make_room(Kind::Regular) {
            table.find(self.number)?.kind = Kind::Regular;
        }
        table.find(self.number).map(|taken| taken.kind)
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
        table.given = table.given.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    struct Connected {
        place: Place,
        client: UnixStream,
        stream: Arc<Stream>,
    }

    impl Connected {
        fn is_ended(&mut self) -> bool {
            matches!(self.stream.unread(), Unread::End)
        }

        /// Returns whether the client still gets what is written.
        fn gets_answer(&mut self) -> bool {
            let Stream::Unix(server) = &*self.stream else {
                return false;
            };
            (&mut &*server).write_all(b"x").is_ok() && self.client.read_exact(&mut [0]).is_ok()
        }
    }

    fn connect(places: &Arc<Places>) -> Option<Connected> {
        let (client, server) = UnixStream::pair().unwrap();
        let stream = Arc::new(Stream::Unix(server));
        let place = places.take(&stream)?;
        Some(Connected {
            place,
            client,
            stream,
        })
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
        let mut all: Vec<_> = (0..MAX_CONNECTIONS)
            .map(|_| connect(&places).unwrap())
            .collect();
        assert!(all.iter().all(|one| one.place.begin().is_some()));
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
        let mut all: Vec<_> = (0..MAX_CONNECTIONS)
            .map(|_| connect(&places).unwrap())
            .collect();
        assert!(all.iter().all(|one| one.place.begin().is_some()));
        let (client, _other) = UnixStream::pair().unwrap();
        all[5].client = client;
        let next = connect(&places).unwrap();
        assert_eq!(next.place.begin(), Some(Kind::Regular));
        assert_eq!(all[5].place.begin(), None, "its place is taken");
        let last = connect(&places).unwrap();
        assert_eq!(last.place.begin(), Some(Kind::Reserved));
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
        assert!(places.end_longest_waiting());
        assert!(one.is_ended());
        let next = connect(&places).unwrap();
        next.place.begin();
        assert!(!places.end_longest_waiting());
    }
}
