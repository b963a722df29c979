//! A put load whose memory is the witness: what was sent, what was acknowledged at which revision, and
//! what stayed without an answer when the server went away.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::task::JoinSet;
use tonic::Status;

use crate::client::{self, Kv};
use crate::wait;

/// Longer than any fault that a cluster gets over takes, on a machine that runs other tests too.
const PATIENCE: Duration = Duration::from_secs(15);

/// What to send.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `http://host:port` of the server.
    pub url: String,
    /// Other members of the same cluster. A writer goes on at the next one after an error, and repeats there a
    /// write that was certainly not applied; without others it ends at its first error.
    pub others: Vec<String>,
    /// Clients, each with one put in flight.
    pub writers: usize,
    /// Connections the clients share.
    pub connections: usize,
    /// Size of a value; small values hold at least their own name.
    pub value_bytes: usize,
    /// Every n-th put of a writer overwrites its one hot key; the others make new keys. 0 never overwrites.
    pub overwrite_every: u64,
    /// How long a writer repeats a write that is refused by one member after the other.
    pub patience: Duration,
    /// Keys begin with this; must differ between loads on one store.
    pub prefix: String,
}

impl Plan {
    /// 64 clients on 8 connections with values of 256 bytes.
    pub fn standard(url: &str, prefix: &str) -> Self {
        Self {
            url: url.to_owned(),
            others: Vec::new(),
            writers: 64,
            connections: 8,
            value_bytes: 256,
            overwrite_every: 4,
            patience: PATIENCE,
            prefix: prefix.to_owned(),
        }
    }
}

impl Plan {
    /// The same against all members of a cluster.
    pub fn of_cluster(urls: &[String], prefix: &str) -> Self {
        let (first, others) = urls.split_first().expect("a cluster has a member");
        Self {
            others: others.to_vec(),
            ..Self::standard(first, prefix)
        }
    }

    fn urls(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.url).chain(&self.others)
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
    /// When it was sent.
    pub sent: Instant,
    /// When the answer came.
    pub answered: Instant,
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
    /// Writes that were said not to be applied, by every member that was asked until patience ended.
    pub refused: Vec<Unanswered>,
}

impl Record {
    /// How long after `instant` the first answer came to a write that was sent after it.
    pub fn first_after(&self, instant: Instant) -> Option<Duration> {
        let later = self
            .acknowledged
            .iter()
            .filter(|known| known.sent >= instant);
        later
            .map(|known| known.answered.duration_since(instant))
            .min()
    }

    /// The longest time without an answer after `instant`, between two answers or from `instant` to the first.
    pub fn longest_gap_after(&self, instant: Instant) -> Option<Duration> {
        let answers = self.acknowledged.iter().map(|known| known.answered);
        let mut answers: Vec<Instant> = answers.filter(|answered| *answered >= instant).collect();
        answers.sort_unstable();
        let begins = std::iter::once(instant).chain(answers.iter().copied());
        let gaps = begins.zip(&answers);
        gaps.map(|(before, after)| after.duration_since(before))
            .max()
    }
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
        let mut members = Vec::new();
        for url in plan.urls() {
            let mut connections = Vec::new();
            for _ in 0..(plan.connections / (1 + plan.others.len())).max(1) {
                connections.push(client::kv(url).await?);
            }
            members.push(connections);
        }
        let shared = Arc::new(Shared::default());
        let mut writers = JoinSet::new();
        for number in 0..plan.writers {
            let writer = Writer {
                number,
                members: members
                    .iter()
                    .map(|connections| connections[number % connections.len()].clone())
                    .collect(),
                life: 0,
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
    /// A client of each member.
    members: Vec<Kv>,
    plan: Plan,
    shared: Arc<Shared>,
    /// Writes whose outcome it does not know. It leaves its hot key after each, because a version that it does
    /// not know and that it overwrites would be a hole in its memory.
    life: u64,
}

/// What became of one write.
enum Outcome {
    Acknowledged(i64, Instant),
    Unanswered(Status),
    Refused(Status),
}

impl Writer {
    async fn run(mut self) {
        self.write_on().await;
        self.shared.running.fetch_sub(1, Ordering::AcqRel);
    }

    async fn write_on(&mut self) {
        let mut sequence = 0;
        // Clients of a cluster begin at different members.
        let mut member = self.number % self.members.len();
        while !self.shared.stop.load(Ordering::Acquire) {
            let write = self.write(sequence);
            sequence += 1;
            let is_one_server = self.members.len() == 1;
            match self.put(&write, &mut member).await {
                Outcome::Acknowledged(revision, sent) => {
                    let answered = Instant::now();
                    self.shared.record().acknowledged.push(Acknowledged {
                        write,
                        revision,
                        sent,
                        answered,
                    });
                    self.shared.acknowledged.fetch_add(1, Ordering::AcqRel);
                    continue;
                }
                Outcome::Unanswered(status) => {
                    let lost = Unanswered { write, status };
                    self.shared.record().unanswered.push(lost);
                    self.life += 1;
                }
                Outcome::Refused(status) => {
                    let refused = Unanswered { write, status };
                    self.shared.record().refused.push(refused);
                }
            }
            if is_one_server {
                return;
            }
        }
    }

    /// Sends a write until its outcome is known or cannot be known.
    async fn put(&mut self, write: &Write, member: &mut usize) -> Outcome {
        let patience_ends = Instant::now() + self.plan.patience;
        loop {
            let sent = Instant::now();
            let request = client::put(write.key.clone(), write.value.clone());
            let status = match self.members[*member].put(request).await {
                Ok(answer) => {
                    let header = answer.into_inner().header.unwrap_or_default();
                    return Outcome::Acknowledged(header.revision, sent);
                }
                Err(status) => status,
            };
            *member = (*member + 1) % self.members.len();
            if self.members.len() == 1 || !client::was_not_applied(&status) {
                return Outcome::Unanswered(status);
            }
            if Instant::now() >= patience_ends {
                return Outcome::Refused(status);
            }
            wait::back_off().await;
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
            true => format!("{prefix}/hot/{:05}/{}", self.number, self.life),
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
