//! The kernel's figures of this process.

use std::fs;

use crate::base::open_files;
use crate::base::time::Timestamp;

/// The microseconds of a tick, in which the kernel counts the time of processors: it has 100 a second for every program
/// (`USER_HZ`).
const TICK: u64 = 10_000;

/// The figures that libraries for Prometheus give of a process, under the same names.
pub(super) struct Process {
    /// In microseconds.
    pub(super) cpu: u64,
    /// In bytes.
    pub(super) resident: u64,
    /// In bytes.
    pub(super) virtual_memory: u64,
    pub(super) threads: u64,
    pub(super) open_files: u64,
    /// `None` where there is no limit.
    pub(super) max_files: Option<u64>,
    /// Since 1970, in microseconds.
    pub(super) started: u64,
}

impl Process {
    /// Reads the figures of now. Those are 0 that the kernel does not give, as without `/proc`.
    pub(super) fn read(started: Timestamp) -> Self {
        let status = read("/proc/self/status");
        let stat = read("/proc/self/stat");
        Self {
            cpu: ticks(&stat).saturating_mul(TICK),
            resident: value(&status, "VmRSS:") << 10,
            virtual_memory: value(&status, "VmSize:") << 10,
            threads: value(&status, "Threads:"),
            // The directory that is read is one of them.
            open_files: open_files::count().saturating_sub(1),
            max_files: open_files::limit(),
            started: started.as_millis().unsigned_abs() * 1000,
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Returns the number in the line of `/proc/PID/status` that begins with `name`.
fn value(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    number(line.unwrap_or_default(), 0)
}

/// Returns the ticks for which the process was on a processor, by `/proc/PID/stat`: the fields 14 and 15, `utime` and
/// `stime`. The second field is its name, which may have spaces.
fn ticks(stat: &str) -> u64 {
    let (_, after_name) = stat.rsplit_once(')').unwrap_or_default();
    number(after_name, 11).saturating_add(number(after_name, 12))
}

/// Returns the number in one of the fields of a line, 0 where there is none.
fn number(line: &str, field: usize) -> u64 {
    let field = line.split_ascii_whitespace().nth(field);
    field.and_then(|field| field.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_found_in_what_the_kernel_writes() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 99 0 0 0 250 17 3 4 20 0 5 0 1000 9 8 7";
        assert_eq!(ticks(stat), 267);
        assert_eq!(ticks(""), 0);
        let status = "Name:\tx\nVmRSS:\t    1536 kB\nThreads:\t5\n";
        assert_eq!(
            (value(status, "VmRSS:"), value(status, "Threads:")),
            (1536, 5)
        );
        assert_eq!(value(status, "VmSize:"), 0);
    }

    #[test]
    fn this_process_has_figures() {
        let now = Process::read(Timestamp::new(12, 500_000_000));
        assert!(now.resident > 1 << 20 && now.virtual_memory > now.resident);
        assert!(now.threads > 0 && now.open_files > 2);
        assert!(now.max_files.is_none_or(|max| max > now.open_files));
        assert_eq!(now.started, 12_500_000);
    }
}
