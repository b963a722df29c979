//! Closed-loop clients: each has one operation in flight; what is measured is a window after a warm-up.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use harness::client::{self, Kv};
use harness::random::Random;
use harness::usage::Usage;
use hdrhistogram::Histogram;
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::{RequestOp, TxnRequest};
use tokio::task::JoinSet;

/// Keys that the operations meet.
pub const BENCH_KEYS: u64 = 10_000;

/// Size of every value.
pub const VALUE_BYTES: usize = 256;

/// Longest latency that a histogram holds; also far above every deadline of a call.
const LATENCY_US_MAX: u64 = 120_000_000;

/// Puts of one seeding transaction: the most that etcd accepts is 128.
const SEED_PUTS: u64 = 100;

/// One measurement.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Operations a second.
    pub rate: f64,
    /// Median latency.
    pub p50_us: u64,
    /// 99th percentile of the latency.
    pub p99_us: u64,
    /// CPU time of the server for one operation.
    pub cpu_us: f64,
    /// Bytes that the server wrote to disk for one operation.
    pub written: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rate,
            p50_us,
            p99_us,
            cpu_us,
            written,
        } = self;
        write!(
            out,
            "{rate:.0} ops/s, p50 {p50_us} us, p99 {p99_us} us, {cpu_us:.1} us CPU/op, "
        )?;
        write!(out, "{written:.0} B written/op")
    }
}

/// A window of measurement, and what the server had used when it began.
#[derive(Debug)]
pub struct Window {
    /// First instant that counts.
    pub start: Instant,
    /// First instant that no longer counts.
    pub end: Instant,
    pid: u32,
}

impl Window {
    /// A window of `seconds` after a warm-up.
    pub fn after_warm_up(seconds: f64, pid: u32) -> Self {
        let start = Instant::now() + Duration::from_secs_f64((seconds * 0.2).min(2.0));
        Self {
            start,
            end: start + Duration::from_secs_f64(seconds),
            pid,
        }
    }

    /// Waits for the window to pass and answers what the server used in it.
    pub async fn usage(&self) -> Result<(Usage, Usage)> {
        tokio::time::sleep_until(self.start.into()).await;
        let before = Usage::of(self.pid)?;
        tokio::time::sleep_until(self.end.into()).await;
        Ok((before, Usage::of(self.pid)?))
    }

    /// Puts the counts of one window together.
    pub fn sample(
        &self,
        (before, after): (Usage, Usage),
        latency: &Histogram<u64>,
        ops: u64,
    ) -> Sample {
        let count = ops.max(1) as f64;
        Sample {
            rate: ops as f64 / (self.end - self.start).as_secs_f64(),
            p50_us: latency.value_at_quantile(0.5),
            p99_us: latency.value_at_quantile(0.99),
            cpu_us: (after.cpu - before.cpu).as_secs_f64() * 1e6 / count,
            written: (after.written_bytes - before.written_bytes) as f64 / count,
        }
    }
}

/// An empty histogram of latencies in microseconds.
pub fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_max(LATENCY_US_MAX, 3).context("make a histogram")
}

/// `clients` closed loops of `operation` over `connections`.
pub async fn closed_loop<F, Running>(
    url: &str,
    (clients, connections): (usize, usize),
    window: &Window,
    operation: F,
) -> Result<Sample>
where
    F: Fn(Kv, Bytes, u64) -> Running + Clone + Send + 'static,
    Running: Future<Output = Result<(), tonic::Status>> + Send,
{
    let mut channels = Vec::new();
    for _ in 0..connections {
        channels.push(client::kv(url).await?);
    }
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let kv = channels[number % connections].clone();
        let (operation, start, end) = (operation.clone(), window.start, window.end);
        tasks.spawn(async move {
            let mut random = Random::new(number as u64 + 1);
            let mut latency = histogram()?;
            loop {
                let begin = Instant::now();
                if begin >= end {
                    return Ok::<_, anyhow::Error>(latency);
                }
                let draw = random.bits();
                operation(kv.clone(), key(draw % BENCH_KEYS), draw >> 32).await?;
                // Operations that end behind the window belong to no measurement.
                if begin >= start && Instant::now() < end {
                    latency.record(begin.elapsed().as_micros() as u64)?;
                }
            }
        });
    }
    let used = window.usage().await?;
    let mut latency = histogram()?;
    while let Some(joined) = tasks.join_next().await {
        latency.add(joined.context("a client panicked")??)?;
    }
    ensure!(!latency.is_empty(), "not one operation ended in the window");
    Ok(window.sample(used, &latency, latency.len()))
}

/// The n-th key.
pub fn key(number: u64) -> Bytes {
    format!("/bench/{number:010}").into()
}

/// A value that does not compress to nothing.
pub fn value(bytes: usize) -> Bytes {
    Random::new(42).bytes(bytes).into()
}

/// Fills a store with the keys of the operations, one put after the other.
///
/// Not faster, in fairness: etcd keeps the buffer of its largest burst of writes and copies it for every
/// read, so its reads are measured before it has seen any burst.
pub async fn seed_gently(url: &str) -> Result<()> {
    let mut kv = client::kv(url).await?;
    let value = value(VALUE_BYTES);
    for number in 0..BENCH_KEYS {
        kv.put(client::put(key(number), value.clone()))
            .await
            .context("seed")?;
    }
    Ok(())
}

/// Fills a store with `keys` keys, many puts a transaction.
pub async fn seed(url: &str, keys: u64) -> Result<()> {
    const WRITERS: usize = 32;
    let next = Arc::new(AtomicU64::new(0));
    let value = value(VALUE_BYTES);
    let mut tasks = JoinSet::new();
    for _ in 0..WRITERS {
        let (mut kv, next, value) = (client::kv(url).await?, Arc::clone(&next), value.clone());
        tasks.spawn(async move {
            loop {
                let from = next.fetch_add(SEED_PUTS, Ordering::Relaxed);
                if from >= keys {
                    return Ok::<_, anyhow::Error>(());
                }
                let put = |number| client::put(key(number), value.clone());
                let success = (from..keys.min(from + SEED_PUTS))
                    .map(|number| RequestOp {
                        request: Some(Request::RequestPut(put(number))),
                    })
                    .collect();
                kv.txn(TxnRequest {
                    success,
                    ..TxnRequest::default()
                })
                .await
                .context("seed")?;
            }
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined.context("a writer panicked")??;
    }
    Ok(())
}
