//! A browser, the site that attacks, and a relay that records what reaches the daemon.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::common::{Sandbox, descendants, eventually, kill};

const ATTACK: &str = include_str!("attack.js");
const WORKER: &str = include_str!("worker.js");
const NAMES: &str = include_str!("names.html");
const SPECULATE: &str = include_str!("speculate.html");

/// Listens on a free port and serves each connection in a thread. The thread that accepts ends with the test program.
fn listen(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// The web server of the attacker. All of its paths begin with `/attack`.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    reports: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub(super) fn new() -> Self {
        let reports = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&reports);
        let address = listen(move |stream| {
            let _ = Self::serve(&stream, &kept);
        });
        Self { address, reports }
    }

    /// Answers one request and closes the connection.
    fn serve(stream: &TcpStream, reports: &Mutex<Vec<String>>) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut target = String::new();
        reader.read_line(&mut target)?;
        let target = target.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        for line in reader.by_ref().lines() {
            let line = line?.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = String::new();
        reader.take(length).read_to_string(&mut body)?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (status, header, body) = match path {
            "/attack.html" => {
                let page =
                    format!("<!doctype html><body><script src=\"/attack.js?{query}\"></script>");
                ("200 OK", "Content-Type: text/html".to_owned(), page)
            }
            "/attack-names.html" | "/attack-speculate.html" => {
                let names = path == "/attack-names.html";
                let page = if names { NAMES } else { SPECULATE };
                (
                    "200 OK",
                    "Content-Type: text/html".to_owned(),
                    page.to_owned(),
                )
            }
            "/attack.js" | "/attack-worker.js" => {
                let script = if path == "/attack.js" { ATTACK } else { WORKER };
                (
                    "200 OK",
                    "Content-Type: text/javascript".to_owned(),
                    script.to_owned(),
                )
            }
            "/attack-redirect" => {
                let to = decode(query.trim_start_matches("to="));
                (
                    "307 Temporary Redirect",
                    format!("Location: {to}"),
                    String::new(),
                )
            }
            "/attack-report" => {
                reports.lock().unwrap().push(body);
                (
                    "200 OK",
                    "Content-Type: text/plain".to_owned(),
                    String::new(),
                )
            }
            _ => (
                "404 Not Found",
                "Content-Type: text/plain".to_owned(),
                String::new(),
            ),
        };
        let length = body.len();
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }

    pub(super) fn reports(&self) -> Vec<String> {
        self.reports.lock().unwrap().clone()
    }

    /// Waits for the first report.
    #[track_caller]
    pub(super) fn report(&self) -> String {
        eventually("the page reports", || self.reports().into_iter().next())
    }
}

/// Decodes the percent-encoding of a value in a query.
fn decode(value: &str) -> String {
    let mut parts = value.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |decoded, part| {
        let byte = u8::from_str_radix(&part[..2], 16).unwrap();
        format!("{decoded}{}{}", char::from(byte), &part[2..])
    })
}

/// The bytes of one connection that went to the daemon, and those that it answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    pub(super) requests: String,
    pub(super) answers: String,
}

/// Passes connections on to the daemon and keeps what passes. Those that ask for a page of the attacker go to the site
/// instead, as those of a name whose owner lets it resolve to the attacker first and to this machine later.
pub(super) struct Relay {
    pub(super) port: u16,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

impl Relay {
    pub(super) fn new(daemon: SocketAddr, site: SocketAddr) -> Self {
        let exchanges = Arc::<Mutex<Vec<Exchange>>>::default();
        let kept = Arc::clone(&exchanges);
        let address = listen(move |client| {
            let mut first = [0; 11];
            while client
                .peek(&mut first)
                .is_ok_and(|length| 0 < length && length < first.len())
            {
                thread::yield_now();
            }
            if &first == b"GET /attack" {
                pass(&client, site, |_, _| {});
            } else {
                let number = {
                    let mut all = kept.lock().unwrap();
                    all.push(Exchange::default());
                    all.len() - 1
                };
                pass(&client, daemon, |is_request, bytes| {
                    let text = String::from_utf8_lossy(bytes);
                    let exchange = &mut kept.lock().unwrap()[number];
                    if is_request {
                        exchange.requests += &text
                    } else {
                        exchange.answers += &text
                    }
                });
            }
        });
        let port = address.port();
        Self { port, exchanges }
    }

    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap().clone()
    }
}

/// Copies in both directions until both ends have closed. `record` sees all bytes, with true for those of the client.
fn pass(client: &TcpStream, to: SocketAddr, record: impl Fn(bool, &[u8]) + Sync) {
    let Ok(server) = TcpStream::connect(to) else {
        return;
    };
    let copy = |mut from: &TcpStream, mut to: &TcpStream, is_request| {
        let mut buffer = [0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            record(is_request, &buffer[..length]);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    };
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &server, true));
        copy(&server, client, false);
    });
}

/// A headless Chromium that shows one page, with a profile of its own; killed when it is dropped.
///
/// It resolves `*.example` to this machine and no other name, so that nothing leaves the machine.
pub(super) struct Chromium {
    child: Child,
    log: std::path::PathBuf,
}

impl Chromium {
    pub(super) fn open(sandbox: &Sandbox, url: &str) -> Self {
        let log = sandbox.path("chromium.log");
        let home = sandbox.path("browser");
        let profile = home.join("profile");
        let child = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--disable-popup-blocking", "--mute-audio"])
            .arg("--host-resolver-rules=MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1, EXCLUDE 0.0.0.0")
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(url)
            // What it leaves behind is found by this and killed with the sandbox.
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("chromium runs (scripts/bed.sh installs it in its root)");
        Self { child, log }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let below = descendants(self.pid());
        let _ = self.child.kill();
        let _ = self.child.wait();
        below.into_iter().for_each(kill);
        if thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("chromium's log:\n{log}");
        }
    }
}
