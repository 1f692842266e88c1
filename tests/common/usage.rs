//! What a daemon uses, and whether it gives it back.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::client::Client;
use super::{Daemon, eventually};

/// How soon the next request is answered, whatever happened before it.
pub const PROMPT: Duration = Duration::from_millis(100);
/// How much larger the process may be afterwards, in kB: a debug build whose pages are touched for the first time,
/// and what the allocator keeps of 64 threads.
const SLACK: u64 = 1500;

/// What a daemon uses.
#[derive(Debug)]
pub struct Usage {
    memory: u64,
    threads: u64,
    descriptors: usize,
}

impl Daemon {
    /// What it uses now that it has answered each kind of request once.
    #[track_caller]
    pub fn usage(&self) -> Usage {
        for path in ["/", "/devcontainers", "/healthz", "/nope"] {
            self.get(path);
        }
        self.raw(b"\r\n\x00\r\n\r\n");
        let idle = || {
            let usage = self.used();
            let again = self.used();
            let settled = usage.threads == 4 && usage.threads == again.threads;
            settled.then_some(again)
        };
        eventually("main, accept, refresher and watcher are alone", idle)
    }

    fn used(&self) -> Usage {
        Usage {
            memory: self.status("VmRSS"),
            threads: self.threads(),
            descriptors: self.descriptors(),
        }
    }

    /// It answers at once, and soon uses no more than before.
    #[track_caller]
    pub fn assert_unharmed(&self, before: &Usage) {
        self.assert_prompt(&[200]);
        eventually("threads and descriptors are given back", || {
            let now = self.used();
            // It may have been writing a file before.
            let is_back = now.threads == before.threads && now.descriptors <= before.descriptors;
            is_back.then_some(())
        });
        let now = self.used();
        assert!(now.memory < before.memory + SLACK, "{before:?} {now:?}");
        self.assert_prompt(&[200]);
        let log = self.log.lines();
        assert!(!log.iter().any(|line| line.contains("panicked")), "{log:?}");
    }

    /// The next request is answered with one of these within 100 ms. On a busy machine it may take a second try.
    #[track_caller]
    pub fn assert_prompt(&self, statuses: &[u16]) {
        let mut took = Vec::new();
        for _ in 0..5 {
            let begun = Instant::now();
            let status = self.get("/healthz").status;
            took.push(begun.elapsed());
            assert!(statuses.contains(&status), "{status}");
            if begun.elapsed() < PROMPT {
                return;
            }
        }
        panic!("too slow: {took:?}");
    }

    /// Connections that say nothing, or where all slots are taken are refused.
    pub fn connections(&self, count: usize) -> Vec<TcpStream> {
        (0..count).map(|_| self.connect()).collect()
    }

    /// Keep-alive connections, each of which has been answered once: each has a slot.
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
