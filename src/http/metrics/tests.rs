//! Tests of the text of metrics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::http::examples;
use crate::state::Scraped;

fn figures(age: Option<Duration>) -> Figures {
    Figures {
        scraped: Scraped {
            view: Arc::new(examples::view()),
            lists: age.map(|_| true),
            age,
            follows_events: false,
            watches: true,
            wants_list: false,
        },
        connections: 3,
        streams: 2,
        process: Process {
            cpu: 1_230_000,
            resident: 2 << 20,
            virtual_memory: 3 << 20,
            threads: 5,
            open_files: 20,
            max_files: Some(1024),
            started: 1_700_000_000_050_000,
        },
    }
}

fn lines(format: Format) -> Vec<String> {
    let text = written(&figures(Some(Duration::from_micros(2_000_007))), format);
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_state_is_written_with_every_value_of_a_label() {
    let lines = lines(Format::Prometheus);
    for expected in [
        "# TYPE devcontainerd_containers gauge",
        "devcontainerd_containers{state=\"running\"} 2",
        "devcontainerd_containers{state=\"dead\"} 0",
        "devcontainerd_devcontainers{status=\"stopped\"} 1",
        "devcontainerd_devcontainers{status=\"running\"} 1",
        "devcontainerd_devcontainers_dirty 1",
        "devcontainerd_devcontainers_unchecked 1",
        "devcontainerd_warnings 1",
        "devcontainerd_engine_up 1",
        "devcontainerd_watcher_up 1",
        "devcontainerd_events_followed 0",
        "devcontainerd_listing_age_seconds 2.000007",
        "devcontainerd_connections_open 3",
        "devcontainerd_operations_queued{kind=\"recreate\"} 0",
        "# TYPE process_cpu_seconds_total counter",
        "process_cpu_seconds_total 1.23",
        "process_start_time_seconds 1700000000.05",
        "process_max_fds 1024",
    ] {
        assert!(
            lines.iter().any(|line| line == expected),
            "{expected}: {lines:#?}"
        );
    }
    assert!(!lines.iter().any(|line| line == "# EOF"));
}

#[test]
fn openmetrics_names_a_counter_without_its_ending_and_has_an_end() {
    let lines = lines(Format::OpenMetrics);
    let position = |wanted: &str| lines.iter().position(|line| line == wanted).unwrap();
    let begin = position("# TYPE process_cpu_seconds counter");
    assert_eq!(lines[begin + 1], "process_cpu_seconds_total 1.23");
    assert_eq!(position("# EOF"), lines.len() - 1);
}

#[test]
fn a_daemon_that_has_no_list_yet_says_nothing_of_it() {
    let text = String::from_utf8(written(&figures(None), Format::OpenMetrics)).unwrap();
    for name in [
        "devcontainerd_engine_up",
        "devcontainerd_listing_age_seconds",
    ] {
        assert!(text.contains(&format!("# TYPE {name} gauge\n# ")), "{text}");
    }
}

/// The rules of Prometheus and OpenMetrics for names and help texts.
#[test]
fn names_and_helps_have_the_form_that_they_should_have() {
    let lines = lines(Format::Prometheus);
    let of = |begin: &str| -> Vec<(String, String)> {
        let rows = lines.iter().filter_map(|line| line.strip_prefix(begin));
        rows.filter_map(|row| row.split_once(' '))
            .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
            .collect()
    };
    let kinds = of("# TYPE ");
    let names: BTreeSet<&str> = kinds.iter().map(|(name, _)| name.as_str()).collect();
    assert!(
        kinds.len() > 25 && names.len() == kinds.len(),
        "one is there twice: {kinds:?}"
    );
    for (name, kind) in &kinds {
        let is_ours = name.starts_with("devcontainerd_") || name.starts_with("process_");
        let is_plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(is_ours && is_plain, "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        let family = name.trim_end_matches("_total");
        let taken = names
            .iter()
            .filter(|other| other.trim_end_matches("_total") == family);
        assert_eq!(taken.count(), 1, "{family} is there twice in OpenMetrics");
    }
    let helps = of("# HELP ");
    assert!(
        helps
            .iter()
            .map(|(name, _)| name)
            .eq(kinds.iter().map(|(name, _)| name))
    );
    for (name, help) in helps {
        assert!(
            help.ends_with('.') && !help.contains(['\\', '"']),
            "{name}: {help}"
        );
    }
}
