//! A stream of bytes as lines of bounded length.

/// How much of one line of the CLI is read; the rest of a longer one is counted and dropped.
pub const MAX_INPUT_LINE: usize = 1 << 20;

/// Splits a stream into lines, of which it keeps the beginning.
#[derive(Default)]
pub struct Lines {
    begun: Vec<u8>,
    dropped: usize,
}

impl Lines {
    /// Hands on each line that `bytes` ends, without its line feed, and how many bytes of it were dropped.
    pub fn feed(&mut self, bytes: &[u8], line: &mut dyn FnMut(&[u8], usize)) {
        let mut parts = bytes.split(|b| *b == b'\n');
        let last = parts.next_back().unwrap_or_default();
        for part in parts {
            self.keep(part);
            self.end(line);
        }
        self.keep(last);
    }

    /// Hands on a last line that no line feed ends.
    pub fn finish(&mut self, line: &mut dyn FnMut(&[u8], usize)) {
        if !self.begun.is_empty() {
            self.end(line);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = (MAX_INPUT_LINE - self.begun.len()).min(bytes.len());
        self.begun
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.dropped += bytes.len() - room;
    }

    fn end(&mut self, line: &mut dyn FnMut(&[u8], usize)) {
        line(&self.begun, self.dropped);
        self.begun.clear();
        self.begun.shrink_to(CAPACITY_KEPT);
        self.dropped = 0;
    }
}

pub const CAPACITY_KEPT: usize = 64 << 10;
