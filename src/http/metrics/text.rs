//! The two text formats of metrics.

use super::Format;
use crate::base::count::{Bounds, Counter, Histogram};

/// The kind of a metric, which says how its samples are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number that only grows. The name of its samples ends in [`TOTAL`].
    Counter,
    Gauge,
    Histogram,
}

/// A label and its value. No value has a character that would have to be escaped.
pub(super) type Label<'a> = (&'static str, &'a str);

const TOTAL: &str = "_total";
const MICROS: u64 = 1_000_000;

/// Writes metrics, one after the other.
pub(super) struct Text {
    format: Format,
    bytes: Vec<u8>,
    /// The metric whose samples are written.
    name: &'static str,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Text {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            bytes: Vec::new(),
            name: "",
        }
    }

    /// Begins a metric. `name` is that of its samples, but for the endings of a histogram.
    pub(super) fn begin(&mut self, kind: Kind, name: &'static str, help: &str) {
        self.name = name;
        let family = match self.format {
            Format::OpenMetrics => name.strip_suffix(TOTAL).unwrap_or(name),
            Format::Prometheus => name,
        };
        let kind = kind.as_str();
        self.put(&[
            "# HELP ",
            family,
            " ",
            help,
            "\n# TYPE ",
            family,
            " ",
            kind,
            "\n",
        ]);
    }

    /// Writes a gauge without labels.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: u64) {
        self.begin(Kind::Gauge, name, help);
        self.sample(&[], value);
    }

    /// Writes a counter without labels.
    pub(super) fn counter(&mut self, name: &'static str, help: &str, value: u64) {
        self.begin(Kind::Counter, name, help);
        self.sample(&[], value);
    }

    /// Writes a sample of the metric that was begun last.
    pub(super) fn sample(&mut self, labels: &[Label<'_>], value: u64) {
        self.head("", labels, "");
        self.whole(value);
    }

    /// Writes a sample without labels, in seconds.
    pub(super) fn micros(&mut self, micros: u64) {
        self.head("", &[], "");
        self.seconds(micros);
    }

    /// Writes a sample for each of `words`, the value of `label`: how often it was `found`.
    pub(super) fn tally(
        &mut self,
        label: &'static str,
        words: &[&'static str],
        found: &mut dyn Iterator<Item = &'static str>,
    ) {
        let mut counts = [0; 8];
        for word in found {
            let at = words.iter().position(|one| *one == word);
            if let Some(count) = at.and_then(|at| counts.get_mut(at)) {
                *count += 1;
            }
        }
        for (word, count) in words.iter().zip(counts) {
            self.sample(&[(label, word)], count);
        }
    }

    /// Writes a histogram without labels.
    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        histogram: &Histogram,
        bounds: Bounds,
    ) {
        self.begin(Kind::Histogram, name, help);
        self.buckets(&[], histogram, bounds);
    }

    /// Writes the samples of a histogram.
    pub(super) fn buckets(&mut self, labels: &[Label<'_>], histogram: &Histogram, bounds: Bounds) {
        let mut count = 0;
        let numbers = histogram.buckets().iter().map(Counter::get);
        for (at, number) in numbers.take(bounds.len() + 1).enumerate() {
            count += number;
            let bound = bounds
                .get(at)
                .copied()
                .map_or_else(|| "+Inf".into(), decimal);
            self.head("_bucket", labels, &bound);
            self.whole(count);
        }
        self.head("_count", labels, "");
        self.whole(count);
        self.head("_sum", labels, "");
        self.seconds(histogram.sum());
    }

    /// Returns all that was written.
    pub(super) fn end(mut self) -> Vec<u8> {
        if self.format == Format::OpenMetrics {
            self.put(&["# EOF\n"]);
        }
        self.bytes
    }

    /// Writes all of a sample but its value. `bound` is that of a bucket, or empty.
    fn head(&mut self, ending: &str, labels: &[Label<'_>], bound: &str) {
        self.put(&[self.name, ending]);
        let mut before = "{";
        for (label, value) in labels {
            self.put(&[before, label, "=\"", value, "\""]);
            before = ",";
        }
        if !bound.is_empty() {
            self.put(&[before, "le=\"", bound, "\""]);
            before = ",";
        }
        self.put(&[if before == "," { "} " } else { " " }]);
    }

    fn whole(&mut self, value: u64) {
        self.put(&[itoa::Buffer::new().format(value), "\n"]);
    }

    fn seconds(&mut self, micros: u64) {
        self.put(&[&decimal(micros), "\n"]);
    }

    fn put(&mut self, parts: &[&str]) {
        for part in parts {
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }
}

/// Returns microseconds as seconds, with one decimal at least.
fn decimal(micros: u64) -> String {
    let mut text = itoa::Buffer::new().format(micros / MICROS).to_owned();
    // The leading 1 keeps the zeros after it.
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(MICROS + micros % MICROS);
    let decimals = digits.get(1..).unwrap_or_default().trim_end_matches('0');
    text.push('.');
    text.push_str(if decimals.is_empty() { "0" } else { decimals });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_decimals_of_seconds() {
        for (micros, expected) in [
            (0, "0.0"),
            (100, "0.0001"),
            (2_500_000, "2.5"),
            (10_000_000, "10.0"),
            (1_000_001, "1.000001"),
            (1_700_000_000_050_000, "1700000000.05"),
        ] {
            assert_eq!(decimal(micros), expected);
        }
    }
}
