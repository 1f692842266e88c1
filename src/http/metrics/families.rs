//! All metrics. Each has a row in `docs/metrics.md`, too.
//!
//! Labels have values from fixed sets, so that the number of samples is the same for every daemon.

use super::process::Process;
use super::text::{Kind, Text};
use crate::base::count::Counter;
use crate::model::api::{Devcontainer, Status};
use crate::model::container::RunState;
use crate::model::counters::{COUNTERS, LISTINGS, ListingFailure, OPERATIONS, SCANS};
use crate::model::error_code::ErrorCode;
use crate::model::operation::{OperationKind, OperationState};
use crate::state::Scraped;

/// Everything at one moment that is not counted in [`COUNTERS`].
pub(super) struct Figures {
    pub(super) scraped: Scraped,
    pub(super) connections: usize,
    pub(super) streams: usize,
    pub(super) process: Process,
}

/// Writes all metrics.
pub(super) fn write(now: &Figures, text: &mut Text) {
    engine(&now.scraped, text);
    containers(&now.scraped, text);
    operations(&now.scraped, text);
    clients(now, text);
    process(&now.process, text);
}

fn engine(now: &Scraped, text: &mut Text) {
    text.begin(
        Kind::Gauge,
        "devcontainerd_build_info",
        "Version of the daemon.",
    );
    let version = ("version", env!("CARGO_PKG_VERSION"));
    let commit = option_env!("DEVCONTAINERD_BUILD_COMMIT").unwrap_or("unknown");
    text.sample(&[version, ("commit", commit)], 1);
    text.begin(
        Kind::Gauge,
        "devcontainerd_engine_up",
        "1 if the last listing succeeded.",
    );
    if let Some(lists) = now.lists {
        text.sample(&[], lists.into());
    }
    text.begin(
        Kind::Gauge,
        "devcontainerd_listing_age_seconds",
        "Age of the list.",
    );
    if let Some(age) = now.age {
        text.micros(age.as_micros() as u64);
    }
    text.histogram(
        "devcontainerd_listing_duration_seconds",
        "Time of listings.",
        COUNTERS.listings(),
        LISTINGS,
    );
    text.histogram(
        "devcontainerd_reading_duration_seconds",
        "Time of readings after events.",
        COUNTERS.readings(),
        LISTINGS,
    );
    text.begin(
        Kind::Counter,
        "devcontainerd_listing_failures_total",
        "Failed listings.",
    );
    for (why, counter) in ListingFailure::ALL.iter().zip(COUNTERS.listing_failures()) {
        text.sample(&[("reason", why.as_str())], counter.get());
    }
    text.gauge(
        "devcontainerd_events_followed",
        "1 if events are followed.",
        now.follows_events.into(),
    );
    text.counter(
        "devcontainerd_events_restarts_total",
        "Failures of docker events.",
        COUNTERS.events_restarts.get(),
    );
}

fn containers(now: &Scraped, text: &mut Text) {
    let view = &now.view;
    text.begin(Kind::Gauge, "devcontainerd_containers", "Containers.");
    let states = view.containers.iter().map(|one| one.info.run_state.word());
    text.tally("state", &RunState::WORDS, &mut { states });
    text.begin(
        Kind::Gauge,
        "devcontainerd_devcontainers",
        "Dev containers.",
    );
    let statuses = view.devcontainers.iter().map(|one| one.status.as_str());
    text.tally("status", &Status::ALL.map(Status::as_str), &mut {
        statuses
    });
    let count = |is: fn(&Devcontainer) -> bool| {
        let all = view.devcontainers.iter();
        all.filter(|one| is(one)).count() as u64
    };
    text.gauge(
        "devcontainerd_devcontainers_dirty",
        "Dirty dev containers.",
        count(|one| one.dirty),
    );
    text.gauge(
        "devcontainerd_devcontainers_unchecked",
        "Unchecked dev containers.",
        count(|one| one.unchecked.is_some()),
    );
    text.gauge(
        "devcontainerd_warnings",
        "Warnings of the list.",
        view.warnings.len() as u64,
    );
    text.gauge(
        "devcontainerd_watcher_up",
        "1 if files are watched.",
        now.watches.into(),
    );
    text.histogram(
        "devcontainerd_scan_duration_seconds",
        "Time of scans of inputs.",
        COUNTERS.scans(),
        SCANS,
    );
}

fn operations(now: &Scraped, text: &mut Text) {
    let kinds = OperationKind::ALL.map(OperationKind::verb);
    for (state, name, help) in [
        (
            OperationState::Running,
            "devcontainerd_operations_running",
            "Running operations.",
        ),
        (
            OperationState::Queued,
            "devcontainerd_operations_queued",
            "Queued operations.",
        ),
    ] {
        text.begin(Kind::Gauge, name, help);
        let jobs = now.view.devcontainers.iter().filter_map(|one| one.job);
        let jobs = jobs.filter(|job| job.state == state);
        text.tally("kind", &kinds, &mut jobs.map(|job| job.kind.verb()));
    }
    text.begin(
        Kind::Counter,
        "devcontainerd_operations_total",
        "Ended operations.",
    );
    let mut counters = COUNTERS.operations().iter().map(Counter::get);
    for kind in kinds {
        for (end, number) in OperationState::ENDS.iter().zip(&mut counters) {
            text.sample(&[("kind", kind), ("outcome", end.as_str())], number);
        }
    }
    text.begin(
        Kind::Histogram,
        "devcontainerd_operation_duration_seconds",
        "Time of operations.",
    );
    for (kind, seconds) in kinds.iter().zip(COUNTERS.operation_seconds()) {
        text.buckets(&[("kind", kind)], seconds, OPERATIONS);
    }
}

fn clients(now: &Figures, text: &mut Text) {
    text.gauge(
        "devcontainerd_connections_open",
        "Open connections.",
        now.connections as u64,
    );
    text.gauge(
        "devcontainerd_streams_open",
        "Open streams.",
        now.streams as u64,
    );
    text.counter(
        "devcontainerd_connections_total",
        "Served connections.",
        COUNTERS.connections.get(),
    );
    text.counter(
        "devcontainerd_requests_total",
        "Requests.",
        COUNTERS.requests.get(),
    );
    text.begin(
        Kind::Counter,
        "devcontainerd_request_errors_total",
        "Answers with an error.",
    );
    for (code, counter) in ErrorCode::ALL.iter().zip(COUNTERS.errors()) {
        text.sample(&[("code", code.row().1)], counter.get());
    }
}

/// The names are those that libraries for Prometheus use.
fn process(now: &Process, text: &mut Text) {
    text.begin(
        Kind::Counter,
        "process_cpu_seconds_total",
        "Time on a processor.",
    );
    text.micros(now.cpu);
    text.gauge(
        "process_resident_memory_bytes",
        "Resident memory.",
        now.resident,
    );
    text.gauge(
        "process_virtual_memory_bytes",
        "Virtual memory.",
        now.virtual_memory,
    );
    text.gauge("process_open_fds", "Open files.", now.open_files);
    if let Some(max) = now.max_files {
        text.gauge("process_max_fds", "Limit of open files.", max);
    }
    text.gauge("process_threads", "Threads.", now.threads);
    text.begin(Kind::Gauge, "process_start_time_seconds", "Start time.");
    text.micros(now.started);
}
