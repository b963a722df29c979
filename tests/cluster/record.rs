//! Clients that read, write, swap and batch through all members, and the history of all they asked and were
//! told, which the checker of the simulator judges.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use harness::client::{self, Kv};
use harness::random::Random;
use harness::{binary, wait};
use simulator::linear::{Answer, Call, Operation, Verdict, check};
use tokio::task::JoinSet;

use crate::calls::ask;

/// Bounds the search of each group of keys; ten times what the longest of these histories has needed.
const STEPS_MAX: u64 = 20_000_000;

/// How many clients do what on how many keys.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Clients, each with one operation under way.
    pub clients: usize,
    /// Keys; few, so that clients meet on them.
    pub keys: u64,
    /// Reads of what a member has, instead of linearizable ones.
    pub serializable: bool,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            clients: 12,
            keys: 10,
            serializable: false,
        }
    }
}

/// Running clients. Dropping it aborts them.
#[derive(Debug)]
pub struct Clients {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    begin: Instant,
    stop: AtomicBool,
    answered: AtomicU64,
    operations: Mutex<Vec<Operation>>,
}

impl Shared {
    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }
}

/// What all clients asked and were told.
#[derive(Debug)]
pub struct History(pub Vec<Operation>);

impl Clients {
    /// Connects every client to every member and starts them.
    pub async fn start(urls: &[String], mix: Mix) -> Result<Self> {
        let mut members = Vec::new();
        for url in urls {
            members.push(client::kv(url).await?);
        }
        let shared = Arc::new(Shared {
            begin: Instant::now(),
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            operations: Mutex::default(),
        });
        let mut random = Random::new(Random::seed_from("CLUSTER_SEED"));
        let mut tasks = JoinSet::new();
        for number in 0..mix.clients {
            let client = Client {
                number,
                members: members.clone(),
                home: number % members.len(),
                random: Random::new(random.bits()),
                seen: vec![None; mix.keys as usize],
                writes: 0,
                serializable: mix.serializable,
                shared: Arc::clone(&shared),
            };
            tasks.spawn(client.run());
        }
        Ok(Self { tasks, shared })
    }

    /// Waits until that many more operations were answered well.
    pub async fn answered_more(&self, count: u64, deadline: Duration) -> Result<()> {
        let answered = || self.shared.answered.load(Ordering::Acquire);
        let wanted = answered() + count;
        let what = format!("{count} more answers");
        wait::until_async(&what, deadline, || answered() >= wanted).await
    }

    /// Lets the clients end their present operations and answers what they saw.
    pub async fn finish(mut self, deadline: Duration) -> Result<History> {
        self.shared.stop.store(true, Ordering::Release);
        let all = async {
            while let Some(joined) = self.tasks.join_next().await {
                joined.context("a client panicked")?;
            }
            Ok::<(), anyhow::Error>(())
        };
        match tokio::time::timeout(deadline, all).await {
            Ok(joined) => joined?,
            Err(_) => bail!("clients still wait for an answer after {deadline:?}"),
        }
        let mut operations = self
            .shared
            .operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(History(std::mem::take(&mut *operations)))
    }
}

impl History {
    /// What the checker says.
    pub fn verdict(&self) -> Verdict {
        check(&self.0, STEPS_MAX)
    }

    /// Fails unless there is an order that explains every answer. A history that contradicts itself is kept in
    /// a file.
    pub fn judge(&self) -> Result<()> {
        let operations = &self.0;
        let told = |answer: fn(&Option<Answer>) -> bool| {
            let operations = operations.iter();
            operations
                .filter(|operation| answer(&operation.answer))
                .count()
        };
        let unknown = told(Option::is_none);
        let refused = told(|answer| *answer == Some(Answer::NotApplied));
        let begin = Instant::now();
        let verdict = self.verdict();
        println!(
            "{} operations, {unknown} of unknown outcome, {refused} refused: {verdict:?}, checked in {:?}",
            operations.len(),
            begin.elapsed()
        );
        if verdict != Verdict::Linearizable {
            let file = binary::scratch()?.join(format!("history-{}.json", std::process::id()));
            std::fs::write(&file, serde_json::to_vec(operations)?)?;
            println!("the history is in {}", file.display());
        }
        ensure!(verdict == Verdict::Linearizable, "{verdict:?}");
        Ok(())
    }
}

struct Client {
    number: usize,
    members: Vec<Kv>,
    /// The member it asks; the next one after an error.
    home: usize,
    random: Random,
    /// The value of each key as it saw it last, for swaps that have a chance.
    seen: Vec<Option<String>>,
    writes: u64,
    serializable: bool,
    shared: Arc<Shared>,
}

impl Client {
    async fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            let call = self.next();
            // Mostly one member, so that there is always somebody at the one that is in trouble.
            let member = match self.random.one_in(8) {
                true => self.random.below(self.members.len() as u64) as usize,
                false => self.home,
            };
            let invoked = self.shared.now();
            let outcome = ask(&mut self.members[member], &call, self.serializable).await;
            let returned = self.shared.now();
            let failed = outcome.is_err();
            let answer = match outcome {
                Ok(answer) => Some(answer),
                Err(status) if client::was_not_applied(&status) => Some(Answer::NotApplied),
                Err(_) => None,
            };
            if !failed {
                self.remember(&call, answer.as_ref());
                self.shared.answered.fetch_add(1, Ordering::AcqRel);
            }
            let operation = Operation {
                invoked,
                returned: answer.is_some().then_some(returned),
                call,
                answer,
            };
            let operations = &self.shared.operations;
            operations
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(operation);
            if failed {
                self.home = (member + 1) % self.members.len();
                wait::back_off().await;
            }
        }
    }

    fn next(&mut self) -> Call {
        let slot = self.random.below(self.seen.len() as u64) as usize;
        match self.random.below(10) {
            0..=3 => Call::Read { key: key(slot) },
            4..=6 => Call::Write {
                key: key(slot),
                value: self.value(),
            },
            7..=8 => Call::Swap {
                key: key(slot),
                expected: self.seen[slot].clone(),
                value: Some(self.unique()),
            },
            // Always the same pairs, so that the checker may take each pair by itself.
            _ => {
                let pair = [key(slot & !1), key(slot | 1)];
                let writes = pair.iter().map(|key| (key.clone(), Some(self.unique())));
                Call::Batch {
                    writes: writes.collect(),
                    reads: pair.to_vec(),
                }
            }
        }
    }

    /// A value that nobody else writes, or now and then none.
    fn value(&mut self) -> Option<String> {
        (!self.random.one_in(8)).then(|| self.unique())
    }

    fn unique(&mut self) -> String {
        self.writes += 1;
        format!("{}-{}", self.number, self.writes)
    }

    fn remember(&mut self, call: &Call, answer: Option<&Answer>) {
        let mut put = |name: &str, value: &Option<String>| {
            if let Some(slot) = (0..self.seen.len()).find(|slot| key(*slot) == name) {
                self.seen[slot].clone_from(value);
            }
        };
        match (call, answer) {
            (Call::Read { key }, Some(Answer::Value(value))) => put(key, value),
            (Call::Write { key, value }, _) => put(key, value),
            (Call::Swap { key, value, .. }, Some(Answer::Swapped(true))) => put(key, value),
            (Call::Batch { writes, .. }, _) => {
                writes.iter().for_each(|(key, value)| put(key, value));
            }
            _ => {}
        }
    }
}

fn key(slot: usize) -> String {
    format!("linear/{slot}")
}
