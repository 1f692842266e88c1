//! An engine's socket at which a request is held.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};

/// The name of the socket in its directory.
pub(crate) const SOCKET: &str = "held.sock";

/// The request at which it is held: the first one that does this to a container.
#[derive(Clone, Copy)]
pub(crate) enum Hold {
    /// The engine does not get the request.
    Before(&'static str),
    /// The client does not get the answer.
    After(&'static str),
}

#[derive(Clone)]
struct HeldEngine {
    directory: PathBuf,
    engine: PathBuf,
    hold: Hold,
    has_held: Arc<AtomicBool>,
}

/// Makes a socket that leads to an engine, but holds one request while there is the file `hold` in the directory. There is
/// `held` then. The socket is served as long as this program runs, and is the same the next time. Returns the value for
/// `DOCKER_HOST`.
pub(crate) fn hold_at(directory: &Path, engine: &Path, hold: Hold) -> String {
    let socket = directory.join(SOCKET);
    let host = format!("unix://{}", socket.display());
    if socket.exists() {
        return host;
    }
    fs::write(directory.join("hold"), "").unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let held = HeldEngine {
        directory: directory.to_owned(),
        engine: engine.to_owned(),
        hold,
        has_held: Arc::default(),
    };
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let held = held.clone();
            // A client or an engine that goes away ends the connection.
            thread::spawn(move || held.serve(client));
        }
    });
    host
}

impl HeldEngine {
    fn serve(&self, mut client: UnixStream) -> io::Result<()> {
        let mut begin = vec![0; 4096];
        let length = client.read(&mut begin)?;
        begin.truncate(length);
        let (Hold::Before(act) | Hold::After(act)) = self.hold;
        let is_held = does(&begin, act) && !self.has_held.swap(true, Ordering::SeqCst);
        if is_held && matches!(self.hold, Hold::Before(_)) {
            self.hold();
            // Nobody waits for it who was killed meanwhile.
            if recv(
                &client,
                &mut [0; 1][..],
                RecvFlags::PEEK | RecvFlags::DONTWAIT,
            ) == Ok((0, 0))
            {
                return Ok(());
            }
        }
        let mut engine = UnixStream::connect(&self.engine)?;
        engine.write_all(&begin)?;
        if is_held && matches!(self.hold, Hold::After(_)) {
            let mut answer = Vec::new();
            engine.read_to_end(&mut answer)?;
            self.hold();
            return client.write_all(&answer);
        }
        let (from, to) = (client.try_clone()?, engine.try_clone()?);
        thread::spawn(move || pass(from, to));
        pass(engine, client)
    }

    fn hold(&self) {
        fs::write(self.directory.join("held"), "").unwrap();
        // The test that holds it says how long.
        while self.directory.join("hold").exists() {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Returns whether this is the beginning of a request that does something to a container.
fn does(request: &[u8], act: &str) -> bool {
    let line = String::from_utf8_lossy(request);
    let line = line.lines().next().unwrap_or_default();
    let path = line.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    line.starts_with("POST ") && path.contains("/containers/") && path.ends_with(&format!("/{act}"))
}

fn pass(mut from: UnixStream, mut to: UnixStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut to);
    to.shutdown(Shutdown::Write)?;
    copied.map(drop)
}
