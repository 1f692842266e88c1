//! The table of all metrics. A new one is a row here, and a row in `docs/metrics.md`.

use super::process::Process;
use super::text::{Kind, Text};
use crate::model::api::Status;
use crate::model::container::RunState;
use crate::model::counters::COUNTERS;
use crate::model::operation::{OperationKind, OperationState};
use crate::state::Scraped;

/// Everything at one moment that is not counted in [`COUNTERS`].
pub(super) struct Figures {
    pub(super) scraped: Scraped,
    pub(super) connections: usize,
    pub(super) streams: usize,
    pub(super) process: Process,
}

/// A metric.
pub(super) struct Family {
    /// The name of its samples, but for the endings of a histogram.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    /// Writes its samples. There may be none.
    pub(super) samples: fn(&Figures, &mut Text),
}

/// The metrics, in the order in which they are written. Labels have values from fixed sets, so that the number of samples is
/// the same for every daemon.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "devcontainerd_build_info",
        kind: Kind::Gauge,
        help: "Version of the daemon; the value is 1.",
        samples: |_, text| text.labelled(&[("version", env!("CARGO_PKG_VERSION"))], 1),
    },
    Family {
        name: "devcontainerd_engine_up",
        kind: Kind::Gauge,
        help: "1 if containers could be listed the last time.",
        samples: |now, text| {
            if let Some(lists) = now.scraped.lists {
                text.number(lists.into());
            }
        },
    },
    Family {
        name: "devcontainerd_listing_age_seconds",
        kind: Kind::Gauge,
        help: "Age of the list that the other metrics show.",
        samples: |now, text| {
            if let Some(age) = now.scraped.age {
                text.micros(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
            }
        },
    },
    Family {
        name: "devcontainerd_listing_duration_seconds",
        kind: Kind::Histogram,
        help: "Time that listing all containers took.",
        samples: |_, text| text.histogram(None, &COUNTERS.listings),
    },
    Family {
        name: "devcontainerd_reading_duration_seconds",
        kind: Kind::Histogram,
        help: "Time that reading the containers took that events named.",
        samples: |_, text| text.histogram(None, &COUNTERS.readings),
    },
    Family {
        name: "devcontainerd_listing_failures_total",
        kind: Kind::Counter,
        help: "Listings and readings in which docker failed.",
        samples: |_, text| {
            for (why, counter) in COUNTERS.listing_failures() {
                text.labelled(&[("reason", why.as_str())], counter.get());
            }
        },
    },
    Family {
        name: "devcontainerd_events_followed",
        kind: Kind::Gauge,
        help: "1 if docker events keeps the list current.",
        samples: |now, text| text.number(now.scraped.follows_events.into()),
    },
    Family {
        name: "devcontainerd_events_restarts_total",
        kind: Kind::Counter,
        help: "Times that docker events failed and had to be replaced.",
        samples: |_, text| text.number(COUNTERS.events_restarts.get()),
    },
    Family {
        name: "devcontainerd_containers",
        kind: Kind::Gauge,
        help: "Containers by state.",
        samples: |now, text| {
            let all = now.scraped.view.containers.iter();
            let found: Vec<&str> = all.map(|one| one.info.run_state.word()).collect();
            text.tally("state", &RunState::WORDS, &found);
        },
    },
    Family {
        name: "devcontainerd_devcontainers",
        kind: Kind::Gauge,
        help: "Dev containers by status.",
        samples: |now, text| {
            let all = now.scraped.view.devcontainers.iter();
            let found: Vec<&str> = all.map(|one| one.status.as_str()).collect();
            text.tally("status", &Status::ALL.map(Status::as_str), &found);
        },
    },
    Family {
        name: "devcontainerd_devcontainers_dirty",
        kind: Kind::Gauge,
        help: "Dev containers that no longer match their configuration.",
        samples: |now, text| {
            let all = now.scraped.view.devcontainers.iter();
            text.number(all.filter(|one| one.dirty).count() as u64);
        },
    },
    Family {
        name: "devcontainerd_devcontainers_unchecked",
        kind: Kind::Gauge,
        help: "Dev containers of which not everything could be compared.",
        samples: |now, text| {
            let all = now.scraped.view.devcontainers.iter();
            text.number(all.filter(|one| one.unchecked.is_some()).count() as u64);
        },
    },
    Family {
        name: "devcontainerd_warnings",
        kind: Kind::Gauge,
        help: "Warnings that the list of containers has.",
        samples: |now, text| text.number(now.scraped.view.warnings.len() as u64),
    },
    Family {
        name: "devcontainerd_watcher_up",
        kind: Kind::Gauge,
        help: "1 if changes of files are noticed at once.",
        samples: |now, text| text.number(now.scraped.watches.into()),
    },
    Family {
        name: "devcontainerd_scan_duration_seconds",
        kind: Kind::Histogram,
        help: "Time that comparing the inputs of dev containers took.",
        samples: |_, text| text.histogram(None, &COUNTERS.scans),
    },
    Family {
        name: "devcontainerd_operations_running",
        kind: Kind::Gauge,
        help: "Operations that run, by kind.",
        samples: |now, text| operations(now, OperationState::Running, text),
    },
    Family {
        name: "devcontainerd_operations_queued",
        kind: Kind::Gauge,
        help: "Operations that wait for their turn, by kind.",
        samples: |now, text| operations(now, OperationState::Queued, text),
    },
    Family {
        name: "devcontainerd_operations_total",
        kind: Kind::Counter,
        help: "Operations that ended, by kind and outcome.",
        samples: |_, text| {
            for (kind, ends, _) in COUNTERS.operations() {
                for (end, counter) in OperationState::ENDS.into_iter().zip(ends) {
                    let labels = [("kind", kind.verb()), ("outcome", end.as_str())];
                    text.labelled(&labels, counter.get());
                }
            }
        },
    },
    Family {
        name: "devcontainerd_operation_duration_seconds",
        kind: Kind::Histogram,
        help: "Time that operations took, without that in the queue.",
        samples: |_, text| {
            for (kind, _, seconds) in COUNTERS.operations() {
                text.histogram(Some(("kind", kind.verb())), seconds);
            }
        },
    },
    Family {
        name: "devcontainerd_connections_open",
        kind: Kind::Gauge,
        help: "Connections that are open.",
        samples: |now, text| text.number(now.connections as u64),
    },
    Family {
        name: "devcontainerd_streams_open",
        kind: Kind::Gauge,
        help: "Streams of changes and logs that are open.",
        samples: |now, text| text.number(now.streams as u64),
    },
    Family {
        name: "devcontainerd_connections_total",
        kind: Kind::Counter,
        help: "Connections that were served.",
        samples: |_, text| text.number(COUNTERS.connections.get()),
    },
    Family {
        name: "devcontainerd_requests_total",
        kind: Kind::Counter,
        help: "Requests that were read.",
        samples: |_, text| text.number(COUNTERS.requests.get()),
    },
    Family {
        name: "devcontainerd_request_errors_total",
        kind: Kind::Counter,
        help: "Answers that were errors, by code; refused requests among them.",
        samples: |_, text| {
            for (code, counter) in COUNTERS.errors() {
                text.labelled(&[("code", code.row().1)], counter.get());
            }
        },
    },
    Family {
        name: "process_cpu_seconds_total",
        kind: Kind::Counter,
        help: "Time on a processor, without that of other programs that it ran.",
        samples: |now, text| text.micros(now.process.cpu),
    },
    Family {
        name: "process_resident_memory_bytes",
        kind: Kind::Gauge,
        help: "Resident memory.",
        samples: |now, text| text.number(now.process.resident),
    },
    Family {
        name: "process_virtual_memory_bytes",
        kind: Kind::Gauge,
        help: "Virtual memory.",
        samples: |now, text| text.number(now.process.virtual_memory),
    },
    Family {
        name: "process_open_fds",
        kind: Kind::Gauge,
        help: "Open file descriptors.",
        samples: |now, text| text.number(now.process.open_files),
    },
    Family {
        name: "process_max_fds",
        kind: Kind::Gauge,
        help: "Limit of open file descriptors.",
        samples: |now, text| {
            if let Some(max) = now.process.max_files {
                text.number(max);
            }
        },
    },
    Family {
        name: "process_threads",
        kind: Kind::Gauge,
        help: "Threads.",
        samples: |now, text| text.number(now.process.threads),
    },
    Family {
        name: "process_start_time_seconds",
        kind: Kind::Gauge,
        help: "Start of the daemon, since 1970.",
        samples: |now, text| text.micros(now.process.started),
    },
];

/// Writes the number of operations in a state, by kind.
fn operations(now: &Figures, state: OperationState, text: &mut Text) {
    let jobs = now
        .scraped
        .view
        .devcontainers
        .iter()
        .filter_map(|one| one.job);
    let jobs = jobs.filter(|job| job.state == state);
    let found: Vec<&str> = jobs.map(|job| job.kind.verb()).collect();
    text.tally("kind", &OperationKind::ALL.map(OperationKind::verb), &found);
}
