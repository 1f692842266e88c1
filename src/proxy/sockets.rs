//! The open sockets of a proxy, which end with it.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The open sockets of a proxy.
#[derive(Default)]
pub(super) struct Sockets(Mutex<Open>);

#[derive(Default)]
struct Open {
    is_closed: bool,
    next: u64,
    sockets: HashMap<u64, UnixStream>,
}

/// A socket that is shut down when the proxy ends.
pub(super) struct Registered {
    sockets: Arc<Sockets>,
    number: u64,
}

impl Sockets {
    /// Registers a socket for as long as the result lives. Fails once the proxy has ended.
    pub(super) fn register(self: &Arc<Self>, socket: &UnixStream) -> io::Result<Registered> {
        let socket = socket.try_clone()?;
        let mut open = self.open();
        if open.is_closed {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let number = open.next;
        open.next += 1;
        open.sockets.insert(number, socket);
        Ok(Registered {
            sockets: self.clone(),
            number,
        })
    }

    /// Shuts all sockets down, and those that are still to come: whoever reads from them or writes to them goes on at
    /// once.
    pub(super) fn close(&self) {
        let mut open = self.open();
        open.is_closed = true;
        for socket in open.sockets.values() {
            // It fails where the other end has closed it.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.sockets.open().sockets.remove(&self.number);
    }
}
