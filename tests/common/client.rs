//! A client that reads one response after another from its connection, and streams line by line.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use super::{Daemon, Response, parse};

/// One end of a connection.
pub struct Client<S = TcpStream> {
    pub stream: S,
    /// Bytes that are read, but not used yet.
    buffer: Vec<u8>,
    /// Such bytes of a chunked stream, without the framing.
    unchunked: Vec<u8>,
}

impl Daemon {
    pub fn client(&self) -> Client {
        Client::new(self.connect())
    }

    /// The text of a request that leaves the connection open.
    pub fn head(&self, method: &str, path: &str, headers: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            self.address
        )
    }

    /// Begins to read a stream. Returns its head, too.
    #[track_caller]
    pub fn stream(&self, method: &str, path: &str, headers: &str) -> (Response, Client) {
        let mut client = self.client();
        client.send(self.head(method, path, headers));
        let head = client.read_head();
        assert_eq!(head.status, 200, "{head:?}");
        (head, client)
    }
}

impl Client {
    /// Returns whether a read would not wait: bytes have arrived, or the daemon has closed the connection.
    pub fn is_readable(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let read = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        !self.buffer.is_empty() || !matches!(read, Err(e) if e.kind() == ErrorKind::WouldBlock)
    }
}

impl<S: Read + Write> Client<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            unchunked: Vec::new(),
        }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Reads more. Returns false at the end.
    #[track_caller]
    fn fill(&mut self) -> bool {
        let mut chunk = [0; 65536];
        match self.stream.read(&mut chunk) {
            // A read with a timeout is interrupted when the process is stopped and continued (signal(7)).
            Err(e) if e.kind() == ErrorKind::Interrupted => true,
            Ok(length) => {
                self.buffer.extend_from_slice(&chunk[..length]);
                length > 0
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => false,
            Err(e) => panic!("{e} after {:?}", String::from_utf8_lossy(&self.buffer)),
        }
    }

    /// Takes the text before `end`, and `end`. Returns `None` where the connection ends first.
    #[track_caller]
    fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            let found = self.buffer.windows(end.len()).position(|w| w == end);
            if let Some(at) = found {
                let taken: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                return Some(String::from_utf8(taken[..at].to_vec()).unwrap());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    #[track_caller]
    fn exactly(&mut self, length: usize) -> String {
        while self.buffer.len() < length {
            assert!(self.fill(), "it ends after {:?}", self.buffer.len());
        }
        String::from_utf8(self.buffer.drain(..length).collect()).unwrap()
    }

    /// Reads the status and the headers, which are all of the response to HEAD.
    #[track_caller]
    pub fn read_head(&mut self) -> Response {
        let head = self.until(b"\r\n\r\n");
        parse(&format!("{}\r\n\r\n", head.expect("a response")))
    }

    /// Reads a whole response, and no byte more.
    #[track_caller]
    pub fn answer(&mut self) -> Response {
        let mut answer = self.read_head();
        let header = |name| answer.headers.get(name).map(String::as_str);
        if let Some(length) = header("content-length") {
            answer.body = self.exactly(length.parse().unwrap());
        } else if header("transfer-encoding") == Some("chunked") {
            while let Some(line) = self.line() {
                answer.body += &line;
                answer.body.push('\n');
            }
        } else {
            assert!([100, 102, 204].contains(&answer.status), "{answer:?}");
        }
        answer
    }

    /// Reads the next line of a chunked stream; `None` after its last one.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unchunked.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.unchunked.drain(..=end).collect();
                return Some(String::from_utf8(line[..end].to_vec()).unwrap());
            }
            let size = self.until(b"\r\n").expect("the stream is cut off");
            let size = usize::from_str_radix(&size, 16).unwrap();
            let chunk = self.exactly(size);
            assert_eq!(self.exactly(2), "\r\n");
            if size == 0 {
                assert!(self.unchunked.is_empty(), "it ends within a line");
                return None;
            }
            self.unchunked.extend_from_slice(chunk.as_bytes());
        }
    }

    /// Reads the next line that is no heartbeat, as JSON.
    #[track_caller]
    pub fn json_line(&mut self) -> Option<serde_json::Value> {
        loop {
            let line: serde_json::Value = serde_json::from_str(&self.line()?).unwrap();
            if line["type"] != "heartbeat" {
                return Some(line);
            }
        }
    }

    /// Reads until the daemon closes the connection.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        while self.fill() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }
}
