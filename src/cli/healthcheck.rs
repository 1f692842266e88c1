//! Asks a daemon whether it answers: images without a shell have no `curl`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks at `url` (`http://HOST:PORT[/path]` or `unix:/path`; the path is `/healthz` where none is given).
/// The error says what came instead of an answer.
pub fn run(url: &str) -> Result<(), String> {
    let failed = |why: String| format!("no daemon answers at {url}: {why}");
    let status = ask(url).map_err(|e| failed(e.to_string()))?;
    match status.as_str() {
        "200" => Ok(()),
        status => Err(failed(format!("the status is {status:?}"))),
    }
}

fn ask(url: &str) -> io::Result<String> {
    if let Some(path) = url.strip_prefix("unix:") {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        return exchange(stream, "localhost", "/healthz");
    }
    let invalid = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "it should be http://ADDRESS:PORT[/path] or unix:/path",
        )
    };
    let rest = url.strip_prefix("http://").ok_or_else(invalid)?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.len() > 1 { path } else { "/healthz" };
    let address = address(host).ok_or_else(invalid)?;
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    exchange(stream, host, path)
}

/// We listen on addresses and on localhost only; a resolver would be a fifth of the program.
fn address(host: &str) -> Option<SocketAddr> {
    host.replace("localhost", "127.0.0.1").parse().ok()
}

/// Returns the status of the answer.
fn exchange(mut stream: impl Read + Write, host: &str, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer)?;
    let status = answer
        .split(' ')
        .nth(1)
        .filter(|_| answer.starts_with("HTTP/1."));
    Ok(status.unwrap_or_default().to_owned())
}
