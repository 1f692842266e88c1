//! `GET /metrics`: what an operator watches, for Prometheus and other programs that scrape.
//!
//! A scrape reads what is known. It runs no program and waits for none, and shows no interest in the list.

mod families;
mod process;
mod text;

use self::families::Figures;
use self::process::Process;
use self::text::Text;
use super::page::accepts;
use super::request::Request;
use super::response::{Answer, ContentType};
use super::service::Service;

/// The media type by which a client asks for OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// The two formats. They differ in the names of counters, and in the last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Version 0.0.4 of the text format, which every program that scrapes can read, and people.
    Prometheus,
    OpenMetrics,
}

impl Format {
    fn of(request: &Request<'_>) -> Self {
        match request.accept {
            Some(accept) if accepts(accept, OPEN_METRICS) => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    fn content_type(self) -> ContentType {
        match self {
            Self::Prometheus => ContentType::Prometheus,
            Self::OpenMetrics => ContentType::OpenMetrics,
        }
    }
}

impl Service {
    /// Answers with all metrics.
    pub(super) fn metrics(&self, request: &Request<'_>) -> Answer {
        let format = Format::of(request);
        let figures = Figures {
            scraped: self.scrape(),
            connections: self.places.count(),
            streams: self.limits.streaming(),
            process: Process::read(self.started),
        };
        Answer {
            content_type: format.content_type(),
            varies_by_accept: true,
            ..Answer::line(200, written(&figures, format))
        }
    }
}

fn written(figures: &Figures, format: Format) -> Vec<u8> {
    let mut text = Text::new(format);
    families::write(figures, &mut text);
    text.end()
}

#[cfg(test)]
mod tests;
