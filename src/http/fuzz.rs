//! Requests that the fuzzer makes.

#![allow(clippy::expect_used, reason = "the fuzzer reports panics")]

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::io::ioctl_fionread;

use super::guard::AllowedHosts;
use super::query::{Query, last_event_id};
use super::reader::{Body, Memory, NoRequest, Reader};
use super::request::Request;
use super::routes::route;
use super::socket::{Socket, Stream};
use crate::base::cut::cut;

/// Reads all requests of a connection. They are the same however the bytes arrive, and whether repeated ones are parsed again.
pub fn request(data: &[u8]) {
    let all = requests(&[data], answer, false);
    let (early, late) = cut(data);
    assert_eq!(all, requests(&[early, late], |_| {}, true));
}

/// Reads requests whose first one has the chunked body `data`.
pub fn chunks(data: &[u8]) {
    let head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    request(&[head, data].concat());
}

/// The requests of a connection on which these parts arrive, as they are shown, and whether the last one was rejected.
fn requests(parts: &[&[u8]], act: fn(&Request<'_>), repeats: bool) -> (Vec<String>, bool) {
    let mut requests = Vec::new();
    let (client, served) = UnixStream::pair().expect("a pair of sockets");
    let arrived = served.try_clone().expect("a descriptor");
    let socket = Socket::new(Stream::Unix(served));
    // It is open to the end, as it is sent `100 Continue`.
    let client = &client;
    thread::scope(|scope| {
        scope.spawn(move || {
            for part in parts {
                while ioctl_fionread(&arrived).is_ok_and(|unread| unread > 0) {
                    thread::yield_now();
                }
                let _ = (&mut &*client).write_all(part);
            }
            let _ = client.shutdown(Shutdown::Write);
        });
        let mut memory = Memory::default();
        let mut reader = Reader::new(&socket, &mut memory);
        loop {
            let mut request = Request::new();
            let time = Duration::from_secs(60);
            match reader.next(&mut request, time, |_| Ok(Body::Kept)) {
                Ok(mut next) => loop {
                    act(&request);
                    requests.push(format!("{request:?}"));
                    if !repeats || !next.next(time).unwrap_or(false) {
                        break;
                    }
                },
                Err(NoRequest::Closed) => return (requests, false),
                Err(NoRequest::Rejected(_)) => return (requests, true),
            }
        }
    })
}

/// Does what is done with a request before anything acts on it.
fn answer(request: &Request<'_>) {
    let hosts = AllowedHosts {
        names: vec!["example.org".into()],
        addresses: Vec::new(),
    };
    let _ = hosts.check(request);
    let _ = last_event_id(request);
    if let Ok(action) = route(&request.method, request.path)
        && let Ok(query) = Query::parse(request.query, action.parameters())
    {
        let _ = (query.check_follow(), query.format(request));
    }
}
