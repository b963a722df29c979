//! Malformed requests over gRPC and HTTP: the server must neither panic nor grow, must say clearly
//! what is wrong, and an honest client must not notice.
//!
//! `MALFORMED_REQUESTS` sets their number (the acceptance run sends 10,000), `MALFORMED_SEED` repeats
//! a run.

mod hostile;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::random::{Random, count_from};
use harness::usage::Usage;
use harness::{Server, client};
use hostile::{frames, grpc, http1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const REQUESTS_DEFAULT: u64 = 2000;

/// Hostile clients at work at the same time.
const ATTACKERS: u64 = 8;

/// Longest a server may leave a half-closed, broken connection open.
const CLOSE_DEADLINE: Duration = Duration::from_secs(20);

/// More than allocator caches and statistics need; far less than any leak over thousands of requests.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// An honest request on a machine that also runs the attackers. A stall shows in the worst of all,
/// a general slowness in the 99th percentile.
const HONEST_P99_MAX: Duration = Duration::from_millis(500);
const HONEST_MAX: Duration = Duration::from_secs(3);

/// Connections that send their request a byte now and then.
const SLOW_CONNECTIONS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_do_no_harm() -> Result<()> {
    let mut server = Server::subject()?;
    let seed = Random::seed_from("MALFORMED_SEED");
    let count = count_from("MALFORMED_REQUESTS", REQUESTS_DEFAULT);
    let honest = Honest::start(&server.url()).await?;
    let slow = Slow::start(&server).await?;

    // The first tenth fills caches and pools; growth is judged from there.
    attack(&server, seed, count / 10).await?;
    let before = Usage::of(server.pid())?.resident_bytes;
    attack(&server, seed ^ 1, count - count / 10).await?;
    let after = Usage::of(server.pid())?.resident_bytes;

    let latencies = honest.finish().await?;
    slow.finish();
    let p99 = latencies[latencies.len() * 99 / 100];
    let worst = latencies[latencies.len() - 1];
    println!(
        "{count} malformed requests; memory {} -> {} KiB; {} honest requests: p99 {p99:?}, worst {worst:?}",
        before >> 10,
        after >> 10,
        latencies.len()
    );
    ensure!(
        after < before + GROWTH_BYTES_MAX,
        "grew from {before} to {after} bytes"
    );
    ensure!(
        p99 < HONEST_P99_MAX && worst < HONEST_MAX,
        "p99 {p99:?}, worst {worst:?}"
    );
    ensure!(server.process().ended()?.is_none(), "the server has ended");
    let logged = server.everything_logged();
    let panic = logged.lines().find(|line| line.contains("panicked"));
    ensure!(panic.is_none(), "{panic:?}");
    let mut kv = client::kv(&server.url()).await?;
    kv.put(client::put("after", "all this"))
        .await
        .context("an honest put afterwards")?;
    ensure!(kv.range(client::get("after")).await?.into_inner().count == 1);
    Ok(())
}

/// `count` hostile requests, shared by some attackers, a third of each kind.
async fn attack(server: &Server, seed: u64, count: u64) -> Result<()> {
    let mut attackers = JoinSet::new();
    for number in 0..ATTACKERS {
        let (url, grpc, http) = (server.url(), server.endpoint(), server.http_endpoint());
        let mut random = Random::new(seed.wrapping_add(number));
        let share = count / ATTACKERS + u64::from(number < count % ATTACKERS);
        attackers.spawn(async move {
            let channel = client::connect(&url).await?;
            for turn in 0..share {
                match turn % 3 {
                    0 => grpc::judge(&channel, grpc::call(&mut random)).await?,
                    1 => drop(exchange(&grpc, &frames::connection(&mut random)).await?),
                    _ => {
                        let sent = http1::connection(&mut random);
                        http1::accept(&sent, &exchange(&http, &sent).await?)?;
                    }
                }
            }
            Ok::<(), anyhow::Error>(())
        });
    }
    while let Some(ended) = attackers.join_next().await {
        ended.context("an attacker panicked")??;
    }
    Ok(())
}

/// Sends bytes, closes the sending half and reads until the server closes too.
async fn exchange(endpoint: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(endpoint).await.context("connect")?;
    // The server may close while we still send: that is an answer as well.
    let sent = stream.write_all(bytes).await.is_ok() && stream.shutdown().await.is_ok();
    let mut answer = Vec::new();
    let mut reading = stream.take(1 << 20);
    let read = tokio::time::timeout(CLOSE_DEADLINE, reading.read_to_end(&mut answer)).await;
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
    let read = read.with_context(|| format!("still open: {start:?} (all sent: {sent})"))?;
    // A reset after the answer is no failure; what was read counts.
    drop(read);
    Ok(answer)
}

/// A client that writes and reads all the while and keeps how long each took.
struct Honest {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<Result<Vec<Duration>>>,
}

impl Honest {
    async fn start(url: &str) -> Result<Self> {
        let mut kv = client::kv(url).await?;
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (asked, counted) = (Arc::clone(&stop), Arc::clone(&done));
        let task = tokio::task::spawn(async move {
            let mut latencies = Vec::new();
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            while !asked.load(Ordering::Acquire) {
                pace.tick().await;
                let begin = Instant::now();
                kv.put(client::put("honest", "work"))
                    .await
                    .context("an honest put")?;
                kv.range(client::get("honest"))
                    .await
                    .context("an honest get")?;
                latencies.push(begin.elapsed());
                counted.fetch_add(1, Ordering::AcqRel);
            }
            latencies.sort_unstable();
            Ok(latencies)
        });
        Ok(Self { stop, done, task })
    }

    async fn finish(self) -> Result<Vec<Duration>> {
        // Percentiles of a handful would say nothing.
        harness::wait::until_async("200 honest requests", CLOSE_DEADLINE, || {
            self.done.load(Ordering::Acquire) >= 200 || self.task.is_finished()
        })
        .await?;
        self.stop.store(true, Ordering::Release);
        self.task.await.context("the honest client panicked")?
    }
}

/// Connections that never finish their request.
struct Slow(JoinSet<()>);

impl Slow {
    async fn start(server: &Server) -> Result<Self> {
        let mut tasks = JoinSet::new();
        for number in 0..SLOW_CONNECTIONS {
            let http = number % 2 == 0;
            let endpoint = if http {
                server.http_endpoint()
            } else {
                server.endpoint()
            };
            let mut stream = TcpStream::connect(&endpoint)
                .await
                .context("connect slowly")?;
            let bytes: &[u8] = match http {
                true => b"GET /health HTTP/1.1\r\nHost: a-very-slow-client\r\nX-More: to come",
                false => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0",
            };
            tasks.spawn(async move {
                let mut pace = tokio::time::interval(Duration::from_millis(300));
                for byte in bytes {
                    pace.tick().await;
                    // Being thrown out is what a slow client may expect.
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self(tasks))
    }

    fn finish(mut self) {
        self.0.abort_all();
    }
}
