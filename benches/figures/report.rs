//! The report: figures as a table and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Returns a percentile of sorted values; `share` is from 0 to 1.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len() - 1;
    sorted[(last as f64 * share).round() as usize]
}

/// A limit that a figure should keep to.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// The maximum of the median.
    AtMost(f64),
    /// The minimum of the median.
    AtLeast(f64),
    /// The maximum of the 99th percentile.
    P99AtMost(f64),
    /// The maximum of the ratio to each peer.
    RatioAtMost(f64),
    /// The minimum of the ratio to the first peer.
    RatioAtLeast(f64),
}

/// Sorted measurements.
struct Samples(Vec<f64>);

impl Samples {
    fn new(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    fn median(&self) -> f64 {
        percentile(&self.0, 0.5)
    }

    fn p99(&self) -> f64 {
        percentile(&self.0, 0.99)
    }

    fn min(&self) -> f64 {
        self.0[0]
    }

    fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

pub(crate) struct Figure {
    what: String,
    unit: &'static str,
    samples: Samples,
    target: Option<Target>,
    peers: Vec<(&'static str, Samples)>,
}

impl Figure {
    pub(crate) fn target(&mut self, target: Target) -> &mut Self {
        self.target = Some(target);
        self
    }

    /// Adds another measurement for comparison, whose samples were taken alternately.
    pub(crate) fn peer(&mut self, what: &'static str, samples: Vec<f64>) -> &mut Self {
        if !samples.is_empty() {
            self.peers.push((what, Samples::new(samples)));
        }
        self
    }

    fn meets(&self, target: Target) -> bool {
        match target {
            Target::AtMost(limit) => self.samples.median() <= limit,
            Target::AtLeast(limit) => self.samples.median() >= limit,
            Target::P99AtMost(limit) => self.samples.p99() <= limit,
            Target::RatioAtMost(limit) => {
                self.peers.iter().all(|(_, peer)| self.ratio(peer) <= limit)
            }
            Target::RatioAtLeast(limit) => {
                let first = self.peers.first();
                first.is_none_or(|(_, peer)| self.ratio(peer) >= limit)
            }
        }
    }

    fn ratio(&self, peer: &Samples) -> f64 {
        self.samples.median() / peer.median()
    }

    fn row(&self) -> [String; 8] {
        let Samples(samples) = &self.samples;
        // With few samples the 99th percentile is the maximum, and a single sample is the median.
        let shown_from = |least: usize, value: f64| {
            if samples.len() < least {
                String::new()
            } else {
                shown(value)
            }
        };
        let target = self.target.map_or_else(String::new, |target| {
            let missed = if self.meets(target) { "" } else { " MISSED" };
            match target {
                Target::AtMost(limit) => format!("<= {}{missed}", shown(limit)),
                Target::AtLeast(limit) => format!(">= {}{missed}", shown(limit)),
                Target::P99AtMost(limit) => format!("p99 <= {}{missed}", shown(limit)),
                Target::RatioAtMost(limit) => format!("<= {} x{missed}", shown(limit)),
                Target::RatioAtLeast(limit) => format!(">= {} x{missed}", shown(limit)),
            }
        });
        let peers = self.peers.iter().map(|(what, peer)| {
            format!(
                "{:.2} x {} ({what})",
                self.ratio(peer),
                shown(peer.median())
            )
        });
        [
            self.what.clone(),
            self.unit.into(),
            shown_from(2, self.samples.min()),
            shown(self.samples.median()),
            shown_from(100, self.samples.p99()),
            shown_from(2, self.samples.max()),
            target,
            peers.collect::<Vec<_>>().join(", "),
        ]
    }

    fn json(&self) -> Value {
        let samples = |samples: &Samples| {
            json!({
                "count": samples.0.len(), "min": samples.min(), "median": samples.median(),
                "p99": samples.p99(), "max": samples.max(),
            })
        };
        let mut figure =
            json!({"figure": self.what, "unit": self.unit, "is": samples(&self.samples)});
        if let Some(target) = self.target {
            figure["target"] = match target {
                Target::AtMost(limit) => json!({"median_at_most": limit}),
                Target::AtLeast(limit) => json!({"median_at_least": limit}),
                Target::P99AtMost(limit) => json!({"p99_at_most": limit}),
                Target::RatioAtMost(limit) => json!({"ratio_at_most": limit}),
                Target::RatioAtLeast(limit) => json!({"ratio_at_least": limit}),
            };
            figure["meets_target"] = self.meets(target).into();
        }
        let peers = self.peers.iter().map(
            |(what, peer)| json!({"what": what, "is": samples(peer), "ratio": self.ratio(peer)}),
        );
        figure["peers"] = peers.collect();
        figure
    }
}

#[derive(Default)]
pub(crate) struct Report(Vec<Figure>);

impl Report {
    pub(crate) fn one(&mut self, what: &str, unit: &'static str, value: f64) -> &mut Figure {
        self.many(what, unit, vec![value])
    }

    pub(crate) fn json(&self) -> Value {
        let figures: Vec<Value> = self.0.iter().map(Figure::json).collect();
        json!({"figures": figures})
    }

    pub(crate) fn many(
        &mut self,
        what: &str,
        unit: &'static str,
        samples: Vec<f64>,
    ) -> &mut Figure {
        self.0.push(Figure {
            what: what.into(),
            unit,
            samples: Samples::new(samples),
            target: None,
            peers: Vec::new(),
        });
        self.0.last_mut().unwrap()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = [
            "",
            "",
            "min",
            "median",
            "p99",
            "max",
            "target",
            "compared with",
        ];
        let mut rows = vec![titles.map(str::to_owned)];
        rows.extend(self.0.iter().map(Figure::row));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..titles.len()).filter_map(width).collect();
        for row in &rows {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                line += &if (2..6).contains(&column) {
                    format!("{cell:>width$}  ")
                } else {
                    format!("{cell:<width$}  ")
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Returns a value with at least three significant digits.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
