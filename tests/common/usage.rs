//! The memory, the threads and the descriptors of a daemon, which it has to give back.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::client::Client;
use super::{Daemon, Stopwatch, eventually};

/// The limit for the answer to the next request.
pub const PROMPT: Duration = Duration::from_millis(100);
/// The threads of a daemon that has listed containers and does nothing: main, accept, refresher, watcher, and the helper
/// that looks at folders.
pub const AT_REST: u64 = 5;
/// How much larger the process may be afterwards, in kB: pages of a debug build that are touched for the first time,
/// and the allocator's arenas of 64 threads.
const SLACK: u64 = 1500;

/// The resources of a daemon.
#[derive(Debug)]
pub struct Usage {
    memory: u64,
    threads: u64,
    descriptors: usize,
}

impl Daemon {
    /// Its resources at rest, once it has answered each kind of request.
    #[track_caller]
    pub fn usage(&self) -> Usage {
        for path in ["/", "/devcontainers", "/healthz", "/nope"] {
            self.get(path);
        }
        self.raw(b"\r\n\x00\r\n\r\n");
        let idle = || {
            let usage = self.used();
            let again = self.used();
            let settled = usage.threads == AT_REST && usage.threads == again.threads;
            settled.then_some(again)
        };
        eventually("only the threads that never end are left", idle)
    }

    fn used(&self) -> Usage {
        Usage {
            memory: self.status("VmRSS"),
            threads: self.threads(),
            descriptors: self.descriptors(),
        }
    }

    /// Asserts that it answers at once, and soon uses no more than before.
    #[track_caller]
    pub fn assert_unharmed(&self, before: &Usage) {
        self.assert_prompt(&[200]);
        eventually("threads and descriptors are given back", || {
            let now = self.used();
            // A file may have been open before.
            let is_back = now.threads == before.threads && now.descriptors <= before.descriptors;
            is_back.then_some(())
        });
        let now = self.used();
        assert!(now.memory < before.memory + SLACK, "{before:?} {now:?}");
        self.assert_prompt(&[200]);
        let log = self.log.lines();
        assert!(!log.iter().any(|line| line.contains("panicked")), "{log:?}");
    }

    /// Asserts that at least three of the next five requests are answered within 100 ms, and each one that is sent with
    /// one of these statuses. The rest is not sent once that is known.
    #[track_caller]
    pub fn assert_prompt(&self, statuses: &[u16]) {
        let mut took = Vec::new();
        let mut prompt = 0;
        while prompt < 3 {
            assert!(took.len() - prompt < 3, "too slow: {took:?}");
            let begun = Stopwatch::start();
            let status = self.get("/healthz").status;
            took.push(begun.elapsed());
            assert!(statuses.contains(&status), "{status}");
            prompt += usize::from(took.last().is_some_and(|took| *took < PROMPT));
        }
    }

    /// Connections that send nothing. Those for which there is no slot are refused.
    pub fn connections(&self, count: usize) -> Vec<TcpStream> {
        (0..count).map(|_| self.connect()).collect()
    }

    /// Keep-alive connections that have each been answered once, so that each has a slot.
    #[track_caller]
    pub fn kept_connections(&self, count: usize) -> Vec<Client> {
        let connect = |_| {
            let mut client = self.client();
            client.send(self.head("GET", "/healthz", ""));
            assert_eq!(client.answer().status, 200);
            client
        };
        (0..count).map(connect).collect()
    }

    pub fn socket_address(&self) -> SocketAddr {
        self.address.parse().unwrap()
    }
}
