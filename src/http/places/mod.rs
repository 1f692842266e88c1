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
enum Kind {
    /// Its connection may send any request.
    Regular,
    /// Its connection may send one request of those that must always be served.
    Reserved,
}

/// The permission of a connection to answer the request that it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Answer it, and read the next one.
    Any,
    /// Answer it as its last one.
    Last,
    /// Answer it as its last one, if it is one of those that must always be served.
    LastReserved,
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
    /// In the order in which they are given away.
    const ALL: [Self; 2] = [Self::Regular, Self::Reserved];

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
        let kind = table.find_room()?;
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
        Kind::ALL.into_iter().any(|kind| table.end_one(kind))
    }

    /// Returns how many connections there are that were admitted.
    pub(super) fn count(&self) -> usize {
        self.lock().taken.len()
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

    /// Returns the kind of place that there is room for now.
    fn find_room(&mut self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| self.make_room(*kind))
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

    fn taken_by(&mut self, number: u64) -> Option<&mut Taken> {
        self.taken.iter_mut().find(|taken| taken.number == number)
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
    /// request, it can still answer that.
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
    /// Begins to answer a request, so that the connection does not give way. Its place is a regular one as soon as there
    /// is room. A connection that gave way when its request had just been read gets a place again, if another one can
    /// give way instead. Returns `None` where none can.
    pub(super) fn begin(&self) -> Option<Turn> {
        let mut table = self.places.lock();
        let before = table.taken_by(self.number)?;
        let (was, waited) = (before.kind, before.waits_since.take());
        let kind = match was {
            Some(Kind::Regular) => return Some(Turn::Any),
            Some(Kind::Reserved) if !table.make_room(Kind::Regular) => Kind::Reserved,
            Some(Kind::Reserved) => Kind::Regular,
            None if waited.is_none() => return None,
            None => table.find_room()?,
        };
        table.taken_by(self.number)?.kind = Some(kind);
        Some(match (kind, was) {
            (Kind::Reserved, _) => Turn::LastReserved,
            (Kind::Regular, None) => Turn::Last,
            (Kind::Regular, Some(_)) => Turn::Any,
        })
    }

    /// The connection waits for a request, or for the client to close it.
    pub(super) fn wait(&self) {
        let mut table = self.places.lock();
        let taken = table.taken_by(self.number);
        if let Some(taken) = taken.filter(|taken| taken.kind.is_some()) {
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
mod tests;
