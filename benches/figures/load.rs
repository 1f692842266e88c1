//! Requests over persistent connections, and a server that answers them without doing anything.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
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

/// Sends a request repeatedly, on one connection for each core.
pub(crate) fn run(address: &str, request: &[u8], time: Duration) -> Load {
    let connections = thread::available_parallelism().unwrap().get();
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
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let after_name = head.split("\r\nContent-Length: ").nth(1).unwrap();
            let length = after_name.lines().next().unwrap().parse();
            if length == Ok(body.len()) {
                return answer;
            }
        }
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "closed after {answer:?}");
        answer.extend_from_slice(&chunk[..read]);
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// A server that answers every request with the same bytes, as a bound of what loopback and two threads can do.
pub(crate) struct Floor {
    pub(crate) address: String,
}

impl Floor {
    pub(crate) fn new(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answer: Arc<[u8]> = answer.into();
        // The listening thread ends with the program; the others end with their connections.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = answer.clone();
                thread::spawn(move || Self::serve(stream, &answer));
            }
        });
        Self { address }
    }

    /// Answers the requests of a connection. A request is so short that it arrives in one read.
    fn serve(mut stream: TcpStream, answer: &[u8]) {
        stream.set_nodelay(true).unwrap();
        let mut request = [0; 4096];
        loop {
            match stream.read(&mut request) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Ok(1..) if stream.write_all(answer).is_ok() => {}
                _ => return,
            }
        }
    }
}
