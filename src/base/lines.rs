//! A stream of bytes as lines of bounded length.

use memchr::memchr_iter;

/// How many bytes of a line are kept; the rest of a longer one is counted and dropped.
pub const MAX_INPUT_LINE: usize = 1 << 20;
/// How much memory stays allocated between lines, in bytes.
const CAPACITY_KEPT: usize = 64 << 10;

/// Splits a stream at line feeds.
pub struct Lines {
    begun: Vec<u8>,
    dropped: usize,
    limit: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self::up_to(MAX_INPUT_LINE)
    }
}

impl Lines {
    /// Lines of which so many bytes are kept.
    pub fn up_to(limit: usize) -> Self {
        Self {
            begun: Vec::new(),
            dropped: 0,
            limit,
        }
    }

    /// Calls `line` for each line that `bytes` ends, with its content and how many bytes of it were dropped.
    pub fn feed(&mut self, bytes: &[u8], line: &mut dyn FnMut(&[u8], usize)) {
        let mut begin = 0;
        for end in memchr_iter(b'\n', bytes) {
            let part = bytes.get(begin..end).unwrap_or_default();
            begin = end + 1;
            if self.begun.is_empty() && self.dropped == 0 && part.len() <= self.limit {
                // Most lines come whole, and need no copy.
                line(part, 0);
            } else {
                self.keep(part);
                self.end(line);
            }
        }
        self.keep(bytes.get(begin..).unwrap_or_default());
    }

    /// Calls `line` for a last line without a line feed, if there is one.
    pub fn finish(&mut self, line: &mut dyn FnMut(&[u8], usize)) {
        if !self.begun.is_empty() {
            self.end(line);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.begun.len());
        let (kept, rest) = bytes.split_at(room.min(bytes.len()));
        self.begun.extend_from_slice(kept);
        self.dropped += rest.len();
    }

    fn end(&mut self, line: &mut dyn FnMut(&[u8], usize)) {
        line(&self.begun, self.dropped);
        self.begun.clear();
        self.begun.shrink_to(CAPACITY_KEPT);
        self.dropped = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_split_at_line_feeds_wherever_its_pieces_end() {
        let stream = b"one\n\ntwo\nend";
        for size in 1..=stream.len() {
            let mut lines = Lines::default();
            let mut found: Vec<(Vec<u8>, usize)> = Vec::new();
            let mut push = |line: &[u8], dropped: usize| found.push((line.to_vec(), dropped));
            for piece in stream.chunks(size) {
                lines.feed(piece, &mut push);
            }
            lines.finish(&mut push);
            lines.finish(&mut push);
            let expected = ["one", "", "two", "end"].map(|line| (line.as_bytes().to_vec(), 0));
            assert_eq!(found, expected, "{size}");
        }
    }

    #[test]
    fn a_long_line_is_cut_and_what_is_dropped_is_counted() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut push = |line: &[u8], dropped: usize| found.push((line.len(), dropped));
        lines.feed(&vec![b'x'; MAX_INPUT_LINE + 2], &mut push);
        lines.feed(b"xyz\nshort\n", &mut push);
        assert_eq!(found, [(MAX_INPUT_LINE, 5), (5, 0)]);
    }
}
