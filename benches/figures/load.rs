//! Requests, over persistent connections or a connection for each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::LONG;
use crate::report::{milliseconds, percentile};

/// The result of sending requests for a while.
pub(crate) struct Load {
    pub(crate) count: usize,
    time: Duration,
    /// In milliseconds, sorted.
    latencies: Vec<f64>,
}

impl Load {
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }

    pub(crate) fn percentile(&self, share: f64) -> f64 {
        percentile(&self.latencies, share)
    }
}

/// How a connection is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// For one request after the other.
    Again,
    /// For one request.
    Once,
}

/// Sends a request repeatedly, on so many connections at once.
pub(crate) fn run(
    address: &str,
    request: &[u8],
    connections: usize,
    usage: Use,
    time: Duration,
) -> Load {
    // All answers are as long as the first one.
    let length = fetch(address, request).len();
    let begun = Instant::now();
    let mut latencies: Vec<f64> = thread::scope(|scope| {
        let on_one_connection = || {
            let mut stream = connect(address);
            let mut answer = vec![0; length];
            let mut latencies = Vec::with_capacity(100_000);
            while begun.elapsed() < time {
                let sent = Instant::now();
                if usage == Use::Once {
                    stream = connect(address);
                }
                stream.write_all(request).unwrap();
                stream.read_exact(&mut answer).unwrap();
                latencies.push(milliseconds(sent.elapsed()));
                assert!(answer.starts_with(b"HTTP/1.1 200 "));
            }
            latencies
        };
        let threads: Vec<_> = (0..connections)
            .map(|_| scope.spawn(on_one_connection))
            .collect();
        let latencies = threads.into_iter().map(|thread| thread.join().unwrap());
        latencies.flatten().collect()
    });
    let time = begun.elapsed();
    latencies.sort_by(f64::total_cmp);
    let count = latencies.len();
    Load {
        count,
        time,
        latencies,
    }
}

/// Returns one whole answer, which must have a `Content-Length`.
pub(crate) fn fetch(address: &str, request: &[u8]) -> Vec<u8> {
    let (mut answer, mut stream) = send(address, request);
    let head = String::from_utf8_lossy(&answer);
    let after_name = head.split("\r\nContent-Length: ").nth(1).unwrap();
    let length: usize = after_name.lines().next().unwrap().parse().unwrap();
    let begin = answer.len();
    answer.resize(begin + length, 0);
    stream.read_exact(&mut answer[begin..]).unwrap();
    answer
}

/// Sends a request whose answer ends with the connection. Returns the connection when its head has arrived.
pub(crate) fn open(address: &str, method: &str, path: &str) -> impl Read {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let (head, stream) = send(address, request.as_bytes());
    assert!(head.starts_with(b"HTTP/1.1 20"), "{head:?}");
    stream
}

/// Reads to the end of a connection.
pub(crate) fn drain(mut stream: impl Read) {
    let mut chunk = vec![0; 256 << 10];
    while stream.read(&mut chunk).unwrap() > 0 {}
}

/// Sends a request. Returns the head of the answer, and the connection.
fn send(address: &str, request: &[u8]) -> (Vec<u8>, BufReader<TcpStream>) {
    let mut stream = BufReader::new(connect(address));
    stream.get_mut().write_all(request).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read_until(b'\n', &mut head).unwrap();
        assert!(read > 0, "closed after {head:?}");
    }
    (head, stream)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}
