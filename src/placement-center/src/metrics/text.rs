//! Writes the Prometheus text exposition format, version 0.0.4.
//!
//! Written by hand because the names are a contract: dashboards and alerts made for etcd read gauges
//! that end in `_total`, which a client library would rename.

use std::fmt::{Display, Write};

/// Content type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a number means to Prometheus.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Only grows, from zero at start.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// What one series of a histogram has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// (upper bound, observations at or below it), for the finite bounds. What was beyond the last one
    /// is in `count` alone.
    pub cumulative: Vec<(f64, u64)>,
    /// Sum of all observations.
    pub sum: f64,
    /// Number of all observations.
    pub count: u64,
}

/// A page of metrics under construction.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// One metric without labels.
    pub fn value(&mut self, kind: Kind, name: &str, help: &str, value: impl Display) {
        self.family(kind, name, help);
        self.sample(name, &[], value);
    }

    /// Announces a metric whose samples follow.
    pub fn family(&mut self, kind: Kind, name: &str, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.head(kind, name, help);
    }

    /// One sample of the family announced last.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        self.labels(labels);
        self.line(value);
    }

    /// Announces a histogram whose series follow.
    pub fn histogram_family(&mut self, name: &str, help: &str) {
        self.head("histogram", name, help);
    }

    /// One series of the histogram announced last.
    pub fn histogram(&mut self, name: &str, labels: &[(&str, &str)], observed: &Observed) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in &observed.cumulative {
            let bound = bound.to_string();
            self.sample(
                &bucket,
                &[labels, &[("le", bound.as_str())]].concat(),
                count,
            );
        }
        // Buckets and count are read one after the other while others write; a page must stay monotonic.
        let below = observed.cumulative.last().map_or(0, |(_, count)| *count);
        let count = observed.count.max(below);
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), count);
        self.sample(&format!("{name}_sum"), labels, observed.sum);
        self.sample(&format!("{name}_count"), labels, count);
    }

    /// The finished page.
    pub fn finish(self) -> String {
        self.text
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        self.text
            .push_str(&help.replace('\\', "\\\\").replace('\n', "\\n"));
        self.text.push_str("\n# TYPE ");
        self.text.push_str(name);
        self.text.push(' ');
        self.text.push_str(kind);
        self.text.push('\n');
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        let mut separator = '{';
        for (name, value) in labels {
            self.text.push(separator);
            self.text.push_str(name);
            self.text.push_str("=\"");
            self.text.push_str(
                &value
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n"),
            );
            self.text.push('"');
            separator = ',';
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
    }

    fn line(&mut self, value: impl Display) {
        writeln!(self.text, " {value}").expect("writing to a String cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_prometheus_expects() {
        let mut page = Page::default();
        page.value(Kind::Gauge, "a", "What\n\"a\" is.", 1.5);
        page.family(Kind::Counter, "b_total", "Counts.");
        page.sample("b_total", &[("code", "OK"), ("path", "x\"\\\n")], 7);
        let expected = "# HELP a What\\n\"a\" is.\n# TYPE a gauge\na 1.5\n# HELP b_total Counts.\n# TYPE b_total counter\nb_total{code=\"OK\",path=\"x\\\"\\\\\\n\"} 7\n";
        assert_eq!(page.finish(), expected);
    }

    #[test]
    fn a_histogram_never_shows_buckets_above_its_count() {
        let mut page = Page::default();
        page.histogram_family("h", "H.");
        let observed = Observed {
            cumulative: vec![(0.001, 2), (0.5, 5)],
            sum: 0.25,
            count: 4,
        };
        page.histogram("h", &[("m", "x")], &observed);
        let text = page.finish();
        let samples: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            samples,
            [
                "h_bucket{m=\"x\",le=\"0.001\"} 2",
                "h_bucket{m=\"x\",le=\"0.5\"} 5",
                "h_bucket{m=\"x\",le=\"+Inf\"} 5",
                "h_sum{m=\"x\"} 0.25",
                "h_count{m=\"x\"} 5",
            ]
        );
    }
}
