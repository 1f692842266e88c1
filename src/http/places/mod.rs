//! The places of connections, and who gives way where all are taken (P19).
//!
//! A connection that waits for a request gives its place to a new one, the one that has waited longest first, so that
//! idle and silent clients shut nobody out. Where none waits, the connection gives way whose client has taken nothing of
//! its answer for longest. Where each connection is being answered, a few more are taken for the requests that must
//! always be served. A client that has gone away frees the place of its connection, even if the thread still waits for
//! what it asked for.

use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::limits::{MAX_CONNECTIONS, MAX_LEAVING, MAX_RESERVED, STALL_TIMEOUT};
use super::socket::{Peer, Socket, Stall, Stream, Unread};

/// The places of all connections whose users are served.
pub struct Places {
    table: Mutex<Vec<Arc<Taken>>>,
    /// The beginning of the times that a [`Word`] has.
    begun: Instant,
}

/// The place of one connection, given back on drop.
pub(super) struct Place {
    places: Arc<Places>,
    taken: Arc<Taken>,
}

/// The kind of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Its connection may send any request.
    Regular = 1,
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

/// A place that is taken.
struct Taken {
    /// Its [`Word`].
    word: AtomicU64,
    stream: Weak<Stream>,
    stall: Arc<Stall>,
}

/// The state of a place: its kind, and since when the connection waits for a whole request, in nanoseconds. It is one word, so
/// that the thread of the connection begins to answer without a lock. Where another thread takes the place away at the same
/// time, one of them comes first, and the other one finds another word than it expects.
///
/// The kind changes under the lock only, the time by the thread of the connection only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Word(u64);

impl Word {
    const KIND: u64 = 0b11;

    fn new(kind: Kind, waits_since: u64) -> Self {
        Self(waits_since << 2 | kind as u64)
    }

    /// Returns `None` once the place was taken away, until the thread of its connection ends.
    fn kind(self) -> Option<Kind> {
        let is_this = |kind: &Kind| *kind as u64 == self.0 & Self::KIND;
        Kind::ALL.into_iter().find(is_this)
    }

    /// Returns false while the connection is answered.
    fn waits(self) -> bool {
        self.0 > Self::KIND
    }

    fn answered(self) -> Self {
        Self(self.0 & Self::KIND)
    }

    fn taken_away(self) -> Self {
        Self(self.0 & !Self::KIND)
    }
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

impl Default for Places {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            begun: Instant::now(),
        }
    }
}

impl Places {
    /// Gives a place to a new connection. Another one may have to give way. Returns `None` where none can, which is so
    /// for a moment only: two of the reserved ones never wait.
    pub(super) fn take(self: &Arc<Self>, socket: &Socket) -> Option<Place> {
        let mut table = self.lock();
        if table.len() >= MAX_CONNECTIONS + MAX_RESERVED + MAX_LEAVING {
            abort_stalled(&table, None);
            return None;
        }
        let kind = find_room(&table)?;
        let taken = Arc::new(Taken {
            word: AtomicU64::new(Word::new(kind, self.now()).0),
            stream: Arc::downgrade(socket.stream()),
            stall: socket.stall().clone(),
        });
        table.push(taken.clone());
        Some(Place {
            places: self.clone(),
            taken,
        })
    }

    /// Ends a connection that can give way. Returns false where there is none.
    pub(super) fn end_one(&self) -> bool {
        let table = self.lock();
        Kind::ALL.into_iter().any(|kind| end_one(&table, kind))
    }

    /// Returns how many connections there are that were admitted.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Returns how many requests are being answered. A connection that has lost its place counts until it is closed.
    pub fn answering(&self) -> usize {
        let table = self.lock();
        table.iter().filter(|taken| !taken.word().waits()).count()
    }

    /// Returns the time of now, which is never 0.
    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64 + 1
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Taken>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the kind of place that there is room for now.
fn find_room(table: &[Arc<Taken>]) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| make_room(table, *kind))
}

/// Returns whether there is room now. A client that closed only its sending half still gets its answer.
fn make_room(table: &[Arc<Taken>], kind: Kind) -> bool {
    of_kind(table, Some(kind)).count() < kind.limit()
        || of_kind(table, Some(kind)).any(Taken::leave)
        || end_one(table, kind)
}

/// Ends a connection in a place of this kind that can give way. Returns false where there is none.
fn end_one(table: &[Arc<Taken>], kind: Kind) -> bool {
    end_waiting(table, kind) || abort_stalled(table, Some(kind))
}

/// Ends the connection that has waited longest for a request.
fn end_waiting(table: &[Arc<Taken>], kind: Kind) -> bool {
    loop {
        let waiting = of_kind(table, Some(kind)).filter_map(|taken| Some((taken.waits()?, taken)));
        let Some(((_, word), first)) = waiting.min_by_key(|(order, _)| *order) else {
            return false;
        };
        // Otherwise it has just begun to answer.
        if first.end(word) {
            return true;
        }
    }
}

/// Ends the connection whose client has taken nothing for longest, in the middle of its answer.
fn abort_stalled(table: &[Arc<Taken>], kind: Option<Kind>) -> bool {
    let stalled = of_kind(table, kind).filter_map(|taken| Some((taken.stalls()?, taken)));
    let first = stalled.min_by_key(|(since, _)| *since);
    first.map(|(_, taken)| taken.abort()).is_some()
}

fn of_kind(table: &[Arc<Taken>], kind: Option<Kind>) -> impl Iterator<Item = &Taken> {
    let taken = table.iter().map(|taken| &**taken);
    taken.filter(move |taken| taken.word().kind() == kind)
}

impl Taken {
    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn set(&self, word: Word) {
        self.word.store(word.0, Ordering::Release);
    }

    /// Returns whether the word was `before`, and is `after` now.
    fn replace(&self, before: Word, after: Word) -> bool {
        let (done, failed) = (Ordering::AcqRel, Ordering::Acquire);
        let replaced = self.word.compare_exchange(before.0, after.0, done, failed);
        replaced.is_ok()
    }

    /// Returns the order in which connections that wait give way, with their word. Those come first whose clients have closed
    /// them. One that is about to read what its client has sent does not wait.
    fn waits(&self) -> Option<(bool, Word)> {
        let word = Some(self.word()).filter(|word| word.waits())?;
        let unread = self.stream.upgrade().map(|stream| stream.unread());
        match unread {
            Some(Unread::Bytes) => None,
            Some(Unread::Nothing) => Some((true, word)),
            Some(Unread::End) | None => Some((false, word)),
        }
    }

    /// Returns since when the client has taken nothing, once that is too long while others need its place.
    fn stalls(&self) -> Option<Instant> {
        let since = self.stall.since()?;
        (since.elapsed() >= STALL_TIMEOUT).then_some(since)
    }

    /// Takes the place of a connection away that is answered although its client has closed it. Returns false if it is none.
    fn leave(&self) -> bool {
        let word = self.word();
        let is_left = |stream: Arc<Stream>| stream.peer() != Peer::Present;
        !word.waits()
            && self.stream.upgrade().is_some_and(is_left)
            && self.replace(word, word.taken_away())
    }

    /// Takes the place away, unless the connection has begun to answer. Its thread finds the end of the stream, and ends. If
    /// it has just read a request, it can still answer that.
    fn end(&self, word: Word) -> bool {
        let is_ended = self.replace(word, word.taken_away());
        if is_ended && let Some(stream) = self.stream.upgrade() {
            stream.shutdown(Shutdown::Read);
        }
        is_ended
    }

    /// Takes the place away in the middle of an answer.
    fn abort(&self) {
        self.word.fetch_and(!Word::KIND, Ordering::AcqRel);
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
        let taken = &self.taken;
        let word = taken.word();
        if word.kind() == Some(Kind::Regular) && taken.replace(word, word.answered()) {
            return Some(Turn::Any);
        }
        let table = self.places.lock();
        // No other thread changes it now.
        let before = taken.word();
        taken.set(before.answered());
        let was = before.kind();
        let kind = match was {
            Some(Kind::Regular) => return Some(Turn::Any),
            Some(Kind::Reserved) if !make_room(&table, Kind::Regular) => Kind::Reserved,
            Some(Kind::Reserved) => Kind::Regular,
            None if !before.waits() => return None,
            None => find_room(&table)?,
        };
        taken.set(Word::new(kind, 0));
        Some(match (kind, was) {
            (Kind::Reserved, _) => Turn::LastReserved,
            (Kind::Regular, None) => Turn::Last,
            (Kind::Regular, Some(_)) => Turn::Any,
        })
    }

    /// The connection waits for a request, or for the client to close it.
    pub(super) fn wait(&self) {
        let now = self.places.now();
        let waiting = |word| Word(word).kind().map(|kind| Word::new(kind, now).0);
        let word = &self.taken.word;
        // One whose place was taken away gets no other one by waiting.
        let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, waiting);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.lock();
        table.retain(|taken| !Arc::ptr_eq(taken, &self.taken));
    }
}

#[cfg(test)]
mod tests;
