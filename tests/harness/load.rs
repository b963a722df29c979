//! A put load whose memory is the witness: what was sent, what was acknowledged at which revision, and
//! what stayed without an answer when the server went away.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::task::JoinSet;
use tonic::Status;

use crate::client::{self, Kv};
use crate::wait;

/// What to send.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `http://host:port` of the server.
    pub url: String,
    /// Clients, each with one put in flight.
    pub writers: usize,
    /// Connections the clients share.
    pub connections: usize,
    /// Size of a value; small values hold at least their own name.
    pub value_bytes: usize,
    /// Every n-th put of a writer overwrites its one hot key; the others make new keys. 0 never overwrites.
    pub overwrite_every: u64,
    /// Keys begin with this; must differ between loads on one store.
    pub prefix: String,
}

impl Plan {
    /// 64 clients on 8 connections with values of 256 bytes.
    pub fn standard(url: &str, prefix: &str) -> Self {
        Self {
            url: url.to_owned(),
            writers: 64,
            connections: 8,
            value_bytes: 256,
            overwrite_every: 4,
            prefix: prefix.to_owned(),
        }
    }
}

/// One put as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Bytes,
    /// Its value; begins with the key, so that a stored pair can be judged alone.
    pub value: Bytes,
}

/// A put the server has promised.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// What was sent.
    pub write: Write,
    /// The revision of the answer.
    pub revision: i64,
}

/// A put that ended with an error: it may or may not be in the store.
#[derive(Clone, Debug)]
pub struct Unanswered {
    /// What was sent.
    pub write: Write,
    /// The error.
    pub status: Status,
}

/// All that a load knows.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Promised writes, in the order in which their answers arrived.
    pub acknowledged: Vec<Acknowledged>,
    /// Writes with an unknown outcome.
    pub unanswered: Vec<Unanswered>,
}

/// A running load. Dropping it aborts its writers.
#[derive(Debug)]
pub struct Load {
    writers: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    running: AtomicU64,
    record: Mutex<Record>,
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        // A writer that panicked between two pushes leaves a usable list.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load {
    /// Connects and starts all writers. A writer ends at its first error or when asked to.
    pub async fn start(plan: &Plan) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..plan.connections.max(1) {
            connections.push(client::kv(&plan.url).await?);
        }
        let shared = Arc::new(Shared::default());
        let mut writers = JoinSet::new();
        for number in 0..plan.writers {
            let writer = Writer {
                number,
                kv: connections[number % connections.len()].clone(),
                plan: plan.clone(),
                shared: Arc::clone(&shared),
            };
            shared.running.fetch_add(1, Ordering::AcqRel);
            writers.spawn(writer.run());
        }
        Ok(Self { writers, shared })
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Acquire)
    }

    /// Waits until `count` writes are acknowledged; fails at once when no writer is left to make them.
    pub async fn reached(&self, count: u64, deadline: Duration) -> Result<()> {
        let what = format!("{count} acknowledged writes");
        let over = || self.shared.running.load(Ordering::Acquire) == 0;
        wait::until_async(&what, deadline, || self.acknowledged() >= count || over()).await?;
        if self.acknowledged() < count {
            bail!(
                "{what}: all writers have ended, by {:?}",
                self.so_far().unanswered.first()
            );
        }
        Ok(())
    }

    /// A copy of what is known now, while the load goes on.
    pub fn so_far(&self) -> Record {
        self.shared.record().clone()
    }

    /// Asks the writers to end after their present put, and waits for them.
    pub async fn finish(self, deadline: Duration) -> Result<Record> {
        self.shared.stop.store(true, Ordering::Release);
        self.ended(deadline).await
    }

    /// Waits until all writers have ended by themselves, as they do when the server goes away.
    pub async fn ended(mut self, deadline: Duration) -> Result<Record> {
        let all = async {
            while let Some(joined) = self.writers.join_next().await {
                joined.context("a writer panicked")?;
            }
            Ok::<(), anyhow::Error>(())
        };
        match tokio::time::timeout(deadline, all).await {
            Ok(joined) => joined?,
            Err(_) => bail!("writers still wait for an answer after {deadline:?}"),
        }
        Ok(std::mem::take(&mut *self.shared.record()))
    }
}

struct Writer {
    number: usize,
    kv: Kv,
    plan: Plan,
    shared: Arc<Shared>,
}

impl Writer {
    async fn run(mut self) {
        self.write_on().await;
        self.shared.running.fetch_sub(1, Ordering::AcqRel);
    }

    async fn write_on(&mut self) {
        let mut sequence = 0;
        while !self.shared.stop.load(Ordering::Acquire) {
            let write = self.write(sequence);
            sequence += 1;
            let request = client::put(write.key.clone(), write.value.clone());
            match self.kv.put(request).await {
                Ok(answer) => {
                    let header = answer.into_inner().header.unwrap_or_default();
                    let revision = header.revision;
                    self.shared
                        .record()
                        .acknowledged
                        .push(Acknowledged { write, revision });
                    self.shared.acknowledged.fetch_add(1, Ordering::AcqRel);
                }
                Err(status) => {
                    self.shared
                        .record()
                        .unanswered
                        .push(Unanswered { write, status });
                    return;
                }
            }
        }
    }

    fn write(&self, sequence: u64) -> Write {
        let Plan {
            prefix,
            overwrite_every: every,
            value_bytes,
            ..
        } = &self.plan;
        let hot = *every > 0 && sequence % every == every - 1;
        let key = match hot {
            true => format!("{prefix}/hot/{:05}", self.number),
            false => format!("{prefix}/new/{:05}/{sequence:010}", self.number),
        };
        let mut value = format!("{key}@{sequence};").into_bytes();
        value.resize((*value_bytes).max(value.len()), b'.');
        Write {
            key: key.into(),
            value: value.into(),
        }
    }
}
