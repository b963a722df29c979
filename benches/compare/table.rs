//! Medians, ratios and their Markdown.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use harness::Kind;

use crate::drive::Sample;
use crate::restart::Restarts;

/// The samples of one operation.
#[derive(Debug)]
pub struct Row {
    name: &'static str,
    etcd: Vec<Sample>,
    center: Vec<Sample>,
}

impl Row {
    /// Without samples yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            etcd: Vec::new(),
            center: Vec::new(),
        }
    }

    /// Keeps one measurement.
    pub fn add(&mut self, kind: Kind, sample: Sample) {
        match kind {
            Kind::Etcd => self.etcd.push(sample),
            Kind::Center => self.center.push(sample),
        }
    }
}

/// What the figures depend on.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let etcd = Command::new("etcd").arg("--version").output().ok();
    let etcd = etcd.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let etcd = etcd
        .as_deref()
        .and_then(|text| text.lines().next())
        .unwrap_or("no etcd");
    format!(
        "{cores} cores shared with the load, Linux {}, {etcd}, values of 256 bytes, medians.\n",
        kernel.trim()
    )
}

/// The table of operations.
pub fn operations(rows: &[Row], kinds: &[Kind]) -> String {
    let mut out = String::from(
        "| operation | server | ops/s | p50 ms | p99 ms | CPU us/op | written B/op |\n",
    );
    out.push_str("|---|---|--:|--:|--:|--:|--:|\n");
    for row in rows {
        let (etcd, center) = (median(&row.etcd), median(&row.center));
        for (kind, sample) in [(Kind::Etcd, etcd), (Kind::Center, center)] {
            if let Some(sample) = sample {
                line(&mut out, row.name, kind.name(), &sample);
            }
        }
        if let (Some(etcd), Some(center), true) = (etcd, center, kinds.len() == 2) {
            let ratio = |ours: f64, theirs: f64| format!("{:.2}x", ours / theirs.max(1e-9));
            let _infallible = writeln!(
                out,
                "| {} | **ours / etcd** | {} | {} | {} | {} | {} |",
                row.name,
                ratio(center.rate, etcd.rate),
                ratio(center.p50_us as f64, etcd.p50_us as f64),
                ratio(center.p99_us as f64, etcd.p99_us as f64),
                ratio(center.cpu_us, etcd.cpu_us),
                if etcd.written < 1.0 {
                    "-".into()
                } else {
                    ratio(center.written, etcd.written)
                },
            );
        }
    }
    out
}

fn line(out: &mut String, name: &str, server: &str, sample: &Sample) {
    let milliseconds = |us: u64| us as f64 / 1000.0;
    let _infallible = writeln!(
        out,
        "| {name} | {server} | {:.0} | {:.2} | {:.2} | {:.1} | {:.0} |",
        sample.rate,
        milliseconds(sample.p50_us),
        milliseconds(sample.p99_us),
        sample.cpu_us,
        sample.written,
    );
}

/// The table of restarts.
pub fn restarts(restarts: &[Restarts]) -> String {
    let mut out = String::from(
        "| restart | server | fill s | after kill -9: s | MiB | after clean stop: s | MiB |\n",
    );
    out.push_str("|---|---|--:|--:|--:|--:|--:|\n");
    for of in restarts {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let _infallible = writeln!(
            out,
            "| {} keys of 256 B | {} | {:.1} | {:.2} | {:.0} | {:.2} | {:.0} |",
            of.keys,
            of.kind.name(),
            of.seeded.as_secs_f64(),
            of.after_kill.took.as_secs_f64(),
            mib(of.after_kill.resident_bytes),
            of.after_stop.took.as_secs_f64(),
            mib(of.after_stop.resident_bytes),
        );
    }
    out
}

/// The median of each figure by itself.
fn median(samples: &[Sample]) -> Option<Sample> {
    if samples.is_empty() {
        return None;
    }
    let middle = |figure: fn(&Sample) -> f64| {
        let mut figures: Vec<f64> = samples.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Some(Sample {
        rate: middle(|sample| sample.rate),
        p50_us: middle(|sample| sample.p50_us as f64) as u64,
        p99_us: middle(|sample| sample.p99_us as f64) as u64,
        cpu_us: middle(|sample| sample.cpu_us),
        written: middle(|sample| sample.written),
    })
}
