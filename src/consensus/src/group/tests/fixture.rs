//! A small state machine and the ways the tests start and end a group.

use super::super::*;
use crate::machine::{ApplyContext, MachineError, Membership};
use bytes::Bytes;
use std::future::Future;
use std::sync::Mutex as StdMutex;
use storage::{Applied, ApplyBatch, Family, MemoryDisk, Read as _};

pub(super) const FAMILY: Family = Family("ledger");
pub(super) const FAMILIES: &[Family] = &[FAMILY];
const COUNT: &[u8] = b"count";
/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(30);

type OnApply = Box<dyn Fn(&[u8]) -> Result<(), MachineError> + Send>;

/// What the machine lets a test see and do while it applies.
#[derive(Default)]
pub(super) struct Probe {
    pub(super) contexts: StdMutex<Vec<ApplyContext>>,
    pub(super) memberships: StdMutex<Vec<Membership>>,
    /// Called with each command.
    pub(super) on_apply: StdMutex<Option<OnApply>>,
    /// Commands applied when `committed` was last called.
    pub(super) published: StdMutex<u64>,
    /// Snapshots taken over.
    pub(super) restored: StdMutex<u64>,
    /// Steps of housekeeping to do before nothing is left.
    pub(super) housekeeping: StdMutex<u32>,
}

/// Stores each command under itself, numbered; replies with the number.
pub(super) struct Ledger {
    count: u64,
    pub(super) probe: Arc<Probe>,
}

impl Ledger {
    pub(super) fn open(state: &StateStore, probe: Arc<Probe>) -> Self {
        Ledger {
            count: count(state),
            probe,
        }
    }
}

pub(super) fn count(state: &StateStore) -> u64 {
    let stored = state.view().get(FAMILY, COUNT).unwrap();
    stored.map_or(0, |bytes| {
        u64::from_be_bytes(bytes.as_ref().try_into().unwrap())
    })
}

pub(super) fn number_of(state: &StateStore, command: &str) -> Option<u64> {
    let stored = state.view().get(FAMILY, command.as_bytes()).unwrap()?;
    Some(u64::from_be_bytes(stored.as_ref().try_into().unwrap()))
}

impl StateMachine for Ledger {
    type Reply = u64;

    fn apply(
        &mut self,
        context: ApplyContext,
        command: Bytes,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<u64, MachineError> {
        if let Some(on_apply) = self.probe.on_apply.lock().unwrap().as_ref() {
            on_apply(&command)?;
        }
        self.count += 1;
        batch.put(FAMILY, COUNT, &self.count.to_be_bytes());
        batch.put(FAMILY, &command, &self.count.to_be_bytes());
        self.probe.contexts.lock().unwrap().push(context);
        Ok(self.count)
    }

    fn membership(
        &mut self,
        _context: ApplyContext,
        membership: &Membership,
        _batch: &mut ApplyBatch<'_>,
    ) -> Result<(), MachineError> {
        let mut seen = self.probe.memberships.lock().unwrap();
        seen.push(membership.clone());
        Ok(())
    }

    fn committed(&mut self, _applied: Applied) {
        *self.probe.published.lock().unwrap() = self.count;
    }

    fn restored(&mut self, state: &StateStore) -> Result<(), MachineError> {
        self.count = count(state);
        *self.probe.published.lock().unwrap() = self.count;
        *self.probe.restored.lock().unwrap() += 1;
        Ok(())
    }

    fn housekeep(&mut self, batch: &mut ApplyBatch<'_>) -> Result<bool, MachineError> {
        let mut left = self.probe.housekeeping.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            batch.put(FAMILY, b"housekeeping", &left.to_be_bytes());
        }
        Ok(*left > 0)
    }
}

pub(super) fn config() -> Config {
    Config {
        node_id: 1,
        founding_voters: vec![1],
        joining: false,
        new_instance: 1,
        cluster_id: 77,
        heartbeat: Duration::from_millis(10),
        election: Duration::from_millis(100),
        seed: 1,
        proposals_count_max: 20_000,
        proposals_bytes_max: 64 << 20,
        command_bytes_max: 2 << 20,
        log_retention_entries: 1000,
        log_retention_bytes: 64 << 20,
        tuning: crate::Tuning::default(),
    }
}

/// A configuration whose clock stands still, so that a test knows each storage operation.
pub(super) fn still() -> Config {
    Config {
        heartbeat: Duration::from_secs(600),
        election: Duration::from_secs(6000),
        ..config()
    }
}

/// A running group and what a test looks at.
pub(super) struct Node {
    pub(super) handle: Handle<u64>,
    pub(super) group: Group,
    pub(super) state: StateStore,
    pub(super) log: storage::LogStore,
    pub(super) probe: Arc<Probe>,
}

pub(super) fn start_on(
    config: Config,
    directory: DataDir,
    stores: Stores,
) -> Result<Node, StartError> {
    let probe = Arc::new(Probe::default());
    start_with(config, directory, stores, probe)
}

pub(super) fn start_with(
    config: Config,
    directory: DataDir,
    stores: Stores,
    probe: Arc<Probe>,
) -> Result<Node, StartError> {
    start_on_links(config, directory, stores, probe, Links::none())
}

pub(super) fn start_linked(
    config: Config,
    directory: DataDir,
    stores: Stores,
    links: Links,
) -> Result<Node, StartError> {
    let probe = Arc::new(Probe::default());
    start_on_links(config, directory, stores, probe, links)
}

fn start_on_links(
    config: Config,
    directory: DataDir,
    stores: Stores,
    probe: Arc<Probe>,
    links: Links,
) -> Result<Node, StartError> {
    let (state, log) = (stores.state.clone(), stores.log.clone());
    let machine = Ledger::open(&state, Arc::clone(&probe));
    let (handle, group) = Group::start(config, directory, stores, machine, links)?;
    Ok(Node {
        handle,
        group,
        state,
        log,
        probe,
    })
}

pub(super) fn start(disk: &MemoryDisk) -> Node {
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    start_on(config(), directory, stores).unwrap()
}

/// A node on a fresh disk, ready to serve.
pub(super) async fn ready() -> (MemoryDisk, Node) {
    ready_with(config()).await
}

pub(super) async fn ready_with(config: Config) -> (MemoryDisk, Node) {
    let disk = MemoryDisk::new();
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let node = start_on(config, directory, stores).unwrap();
    in_time(node.handle.read_barrier()).await.unwrap();
    (disk, node)
}

impl Node {
    /// Ends the group as a crash of the process would, and waits until its threads are gone.
    pub(super) async fn kill(mut self) {
        if let Some(task) = self.group.driver.0.take() {
            task.abort();
            let _ = in_time(task).await;
        }
        let threads = self.group.rest.threads.clone();
        in_time(tokio::task::spawn_blocking(move || threads.join()))
            .await
            .unwrap();
    }

    pub(super) async fn stop(self) {
        self.stop_within(PATIENCE).await;
    }

    pub(super) async fn stop_within(self, deadline: Duration) {
        in_time(self.group.shutdown(deadline)).await.unwrap();
    }

    pub(super) async fn put(&self, command: &str) -> Result<u64, crate::ProposeError> {
        in_time(
            self.handle
                .propose(Bytes::copy_from_slice(command.as_bytes())),
        )
        .await
    }

    /// Yields until the status fulfils a condition.
    pub(super) async fn until(&self, condition: impl Fn(&crate::Status) -> bool) {
        let wait = async {
            while !condition(&self.handle.status()) {
                tokio::task::yield_now().await;
            }
        };
        in_time(wait).await;
    }

    pub(super) fn syncs(&self) -> u64 {
        self.handle.counters().syncs.load(Ordering::Relaxed)
    }
}

/// Fails the test instead of waiting for ever.
pub(super) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("the test does not hang")
}

/// Yields until a condition holds that nobody tells of.
pub(super) async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    in_time(wait).await;
}
