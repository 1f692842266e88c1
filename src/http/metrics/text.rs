//! The two text formats of metrics.

use super::Format;
use crate::base::count::Histogram;

/// The kind of a metric, which says how its samples are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number that only grows. The name of its samples ends in [`TOTAL`].
    Counter,
    Gauge,
    Histogram,
}

/// A label and its value. No value has a character that would have to be escaped.
pub(super) type Label = (&'static str, &'static str);

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
    pub(super) fn as_str(self) -> &'static str {
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
    pub(super) fn begin(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.name = name;
        let family = match self.format {
            Format::OpenMetrics => name.strip_suffix(TOTAL).unwrap_or(name),
            Format::Prometheus => name,
        };
        self.put(&[
            "# HELP ",
            family,
            " ",
            help,
            "\n# TYPE ",
            family,
            " ",
            kind.as_str(),
            "\n",
        ]);
    }

    /// Writes the sample of a metric without labels.
    pub(super) fn number(&mut self, value: u64) {
        self.sample("", &[], value);
    }

    /// Writes a sample with labels.
    pub(super) fn labelled(&mut self, labels: &[Label], value: u64) {
        self.sample("", labels, value);
    }

    /// Writes a sample for each of `words`, as the value of `label`: how often `found` has it.
    pub(super) fn tally(&mut self, label: &'static str, words: &[&'static str], found: &[&str]) {
        for word in words {
            let count = found.iter().filter(|one| *one == word).count();
            self.labelled(&[(label, word)], count as u64);
        }
    }

    /// Writes the sample of a metric without labels, in seconds.
    pub(super) fn micros(&mut self, micros: u64) {
        self.head("", &[], None);
        self.seconds(micros);
    }

    /// Writes the samples of a histogram, which has at most one label.
    pub(super) fn histogram(&mut self, label: Option<Label>, histogram: &Histogram) {
        let labels = label.as_slice();
        let mut count = 0;
        for (bound, number) in histogram.cumulative() {
            count = number;
            self.head("_bucket", labels, Some(bound));
            self.whole(number);
        }
        self.sample("_count", labels, count);
        self.head("_sum", labels, None);
        self.seconds(histogram.sum());
    }

    /// Returns all that was written.
    pub(super) fn end(mut self) -> Vec<u8> {
        if self.format == Format::OpenMetrics {
            self.put(&["# EOF\n"]);
        }
        self.bytes
    }

    fn sample(&mut self, ending: &str, labels: &[Label], value: u64) {
        self.head(ending, labels, None);
        self.whole(value);
    }

    /// Writes all of a sample but its value. `bound` is that of a bucket.
    fn head(&mut self, ending: &str, labels: &[Label], bound: Option<&'static str>) {
        let name = self.name;
        self.put(&[name, ending]);
        let mut before = "{";
        for (label, value) in labels
            .iter()
            .copied()
            .chain(bound.map(|bound| ("le", bound)))
        {
            self.put(&[before, label, "=\"", value, "\""]);
            before = ",";
        }
        self.put(&[if before == "{" { " " } else { "} " }]);
    }

    fn whole(&mut self, value: u64) {
        self.put(&[itoa::Buffer::new().format(value), "\n"]);
    }

    fn seconds(&mut self, micros: u64) {
        self.put(&[itoa::Buffer::new().format(micros / MICROS), "."]);
        // The leading 1 is left out, and the zeros after it stay.
        let mut digits = itoa::Buffer::new();
        let decimals = digits.format(MICROS + micros % MICROS);
        self.put(&[decimals.get(1..).unwrap_or_default(), "\n"]);
    }

    fn put(&mut self, parts: &[&str]) {
        for part in parts {
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }
}
