//! The log of one operation: written by its thread, read by any number of readers, each at its own speed.
//!
//! It is no part of the state, so that ten gigabytes of output never contend with a request, and so that a reader keeps
//! it when the next operation has begun.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::rendering::Rendering;
use crate::base::time::Timestamp;
use crate::devcontainer::cli::line::Line;
use crate::model::api::{LogLevel, LogLine, LogSource};
use crate::model::operation::{End, OperationState};

/// Maximum size of a log in bytes, of which the newest lines are kept.
const KEPT: usize = 4 << 20;
/// Maximum number of bytes that a reader gets at once. Each reader has as much of the log in memory once more.
pub const PAGE: usize = 64 << 10;
/// The memory that a line takes in addition to its text, in bytes.
const OVERHEAD: usize = size_of::<LogLine>() + size_of::<Arc<LogLine>>() + 16;

/// A bounded log that ends when its operation does.
pub struct Journal {
    source: Arc<LogSource>,
    log: Mutex<Log>,
    grown: Condvar,
    /// The page that a stream has sent last.
    pub rendering: Rendering,
}

#[derive(Default)]
struct Log {
    lines: VecDeque<Arc<LogLine>>,
    /// The number of the oldest line that is kept; also how many were dropped.
    first: u64,
    bytes: usize,
    ended: Option<Ended>,
}

/// The end of the operation.
struct Ended {
    end: End,
    at: Instant,
}

/// A part of a log.
#[derive(Debug, Default)]
pub struct Page {
    /// Lines, the oldest first. Where lines were dropped before them, the first one says how many.
    pub lines: Vec<Arc<LogLine>>,
    /// The number of the line to read next.
    pub next: u64,
    /// The number after that of the newest line.
    pub end: u64,
    /// True if no more lines will come.
    pub ended: bool,
}

impl Journal {
    /// Returns an empty log, whose lines are of `source`.
    pub fn new(source: LogSource) -> Self {
        Self {
            source: source.into(),
            log: Mutex::default(),
            grown: Condvar::new(),
            rendering: Rendering::default(),
        }
    }

    /// Adds lines. The oldest lines are dropped where there is no more room.
    pub fn write(&self, lines: Vec<Line>) {
        if lines.is_empty() {
            return;
        }
        let mut log = self.lock();
        for line in lines {
            log.push(self.line(line.at, line.level, line.text, None));
        }
        drop(log);
        self.grown.notify_all();
    }

    /// Ends the log. `summary` is the last line.
    pub fn end(&self, end: End, summary: String) {
        let state = end.ending.state();
        let level = match state {
            OperationState::Succeeded => LogLevel::Info,
            _ => LogLevel::Error,
        };
        let last = self.line(end.finished_at, level, summary.into(), Some(state));
        let mut log = self.lock();
        log.push(last);
        log.ended = Some(Ended {
            end,
            at: Instant::now(),
        });
        drop(log);
        self.rendering.forget();
        self.grown.notify_all();
    }

    /// Returns when the operation ended, if it has.
    pub fn ended_at(&self) -> Option<Instant> {
        self.lock().ended.as_ref().map(|ended| ended.at)
    }

    /// Waits at most `time` for the end of the operation.
    pub fn wait_for_end(&self, time: Duration) -> Option<End> {
        let (log, _) = self
            .grown
            .wait_timeout_while(self.lock(), time, |log| log.ended.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        log.ended.as_ref().map(|ended| ended.end.clone())
    }

    /// Returns the lines from number `from` on, as many as fit on a page. Waits at most `time` for the first one.
    pub fn read(&self, from: u64, time: Duration) -> Page {
        let deadline = Instant::now() + time;
        let mut log = self.lock();
        while log.next() <= from && log.ended.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (log, _) = self
                .grown
                .wait_timeout(log, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let skipped = log.first.saturating_sub(from);
        let start = from.saturating_sub(log.first) as usize;
        let mut lines = Vec::new();
        if skipped > 0 {
            let text = format!("[{skipped} older lines were dropped]");
            let at = log
                .lines
                .front()
                .map_or_else(Timestamp::now, |l| l.created_at);
            lines.push(Arc::new(self.line(at, LogLevel::Info, text.into(), None)));
        }
        let mut bytes = 0;
        let mut next = from.max(log.first);
        for line in log.lines.iter().skip(start) {
            bytes += line.output.len() + OVERHEAD;
            if bytes > PAGE && next > from.max(log.first) {
                break;
            }
            lines.push(line.clone());
            next += 1;
        }
        Page {
            lines,
            next,
            end: log.next(),
            ended: log.ended.is_some() && next >= log.next(),
        }
    }

    fn line(
        &self,
        created_at: Timestamp,
        level: LogLevel,
        output: Box<str>,
        outcome: Option<OperationState>,
    ) -> LogLine {
        LogLine {
            source: self.source.clone(),
            created_at,
            level,
            output,
            outcome,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        // Nothing can panic half-way through a change of it.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn push(&mut self, line: LogLine) {
        self.bytes += line.output.len() + OVERHEAD;
        self.lines.push_back(Arc::new(line));
        while self.bytes > KEPT {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.output.len() + OVERHEAD;
            self.first += 1;
        }
    }

    fn next(&self) -> u64 {
        self.first + self.lines.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    use crate::model::operation::Ending;

    fn journal() -> Journal {
        Journal::new(LogSource {
            id: Uuid::nil(),
            devcontainer_id: Uuid::nil(),
            devcontainer_name: "app".into(),
        })
    }

    fn line(text: &str) -> Line {
        Line {
            at: Timestamp::new(0, 0),
            level: LogLevel::Info,
            text: text.into(),
        }
    }

    fn end(ending: Ending) -> End {
        End {
            ending,
            containers: None,
            finished_at: Timestamp::new(1, 0),
        }
    }

    fn failed() -> End {
        end(Ending::Failed("no image".into()))
    }

    fn texts(page: &Page) -> Vec<&str> {
        page.lines.iter().map(|line| &*line.output).collect()
    }

    #[test]
    fn a_reader_that_comes_late_gets_it_all_and_the_outcome_last() {
        let journal = journal();
        journal.write(vec![line("a"), line("b")]);
        let page = journal.read(0, Duration::ZERO);
        assert_eq!(
            (texts(&page), page.next, page.ended),
            (vec!["a", "b"], 2, false)
        );
        journal.end(failed(), "recreate failed".into());
        let page = journal.read(page.next, Duration::ZERO);
        assert_eq!(
            (texts(&page), page.next, page.ended),
            (vec!["recreate failed"], 3, true)
        );
        assert_eq!(page.lines[0].outcome, Some(OperationState::Failed));
        assert_eq!(page.lines[0].level, LogLevel::Error);
        assert_eq!(
            texts(&journal.read(1, Duration::ZERO)),
            ["b", "recreate failed"]
        );
        assert_eq!(texts(&journal.read(99, Duration::ZERO)), [""; 0]);
    }

    #[test]
    fn p15_the_newest_4_mib_are_kept_and_the_rest_is_counted() {
        let journal = journal();
        let long = "x".repeat(60_000);
        for _ in 0..1000 {
            journal.write(vec![line(&long)]);
        }
        let lines = all(&journal);
        let kept = lines.len() - 1;
        assert!((60..=70).contains(&kept), "{kept}");
        assert_eq!(
            &*lines[0].output,
            format!("[{} older lines were dropped]", 1000 - kept)
        );
        let many: Vec<Line> = (0..200_000).map(|_| line("")).collect();
        journal.write(many);
        let kept = all(&journal).len();
        assert!(kept * OVERHEAD < KEPT + OVERHEAD * 2, "{kept}");
    }

    #[test]
    fn a_reader_gets_a_page_at_a_time() {
        let journal = journal();
        let texts: Vec<String> = (0..5000).map(|n| format!("{n:0100}")).collect();
        journal.write(texts.iter().map(|text| line(text)).collect());
        journal.end(end(Ending::Succeeded), "x".repeat(PAGE));
        let page = journal.read(1, Duration::ZERO);
        assert!((100..1000).contains(&page.lines.len()));
        assert_eq!((page.end, page.ended), (5001, false));
        assert_eq!(page.next, 1 + page.lines.len() as u64);
        assert_eq!(all(&journal).len(), 5001);
        let last = journal.read(5000, Duration::ZERO);
        assert_eq!((last.lines.len(), last.next, last.ended), (1, 5001, true));
    }

    fn all(journal: &Journal) -> Vec<Arc<LogLine>> {
        let mut lines = Vec::new();
        let mut next = 0;
        loop {
            let page = journal.read(next, Duration::ZERO);
            next = page.next;
            lines.extend(page.lines);
            if next == page.end {
                return lines;
            }
        }
    }

    #[test]
    fn a_waiting_reader_is_woken() {
        let journal = journal();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| journal.read(0, Duration::from_secs(60)));
            let waiter = scope.spawn(|| journal.wait_for_end(Duration::from_secs(60)));
            journal.end(end(Ending::Succeeded), "done".into());
            // It may have been asked before or after the end: both see it.
            assert!(!texts(&reader.join().unwrap()).is_empty());
            let ended = waiter.join().unwrap().unwrap();
            assert_eq!(ended, end(Ending::Succeeded));
            assert!(journal.ended_at().is_some());
        });
    }
}
