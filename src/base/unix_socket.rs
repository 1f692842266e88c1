//! Unix sockets, connected without waiting.

use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Connects to the socket at `path`. Reads and writes of the stream do not block.
///
/// # Errors
///
/// `CONNREFUSED` where nothing listens there any more, and `AGAIN` where the queue of the program that does is full:
/// [`UnixStream::connect`] would wait for it without an end.
pub fn connect_at_once(path: &Path) -> Result<UnixStream, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::base::test_dir::TestDir;

    #[test]
    fn a_full_queue_is_not_waited_for() {
        let dir = TestDir::new();
        let path = dir.path().join("socket");
        assert_eq!(connect_at_once(&path).err(), Some(Errno::NOENT));
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            match connect_at_once(&path) {
                Ok(client) => waiting.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(full, Errno::AGAIN);
        drop(listener);
        assert_eq!(connect_at_once(&path).err(), Some(Errno::CONNREFUSED));
    }
}
