//! Several groups in one process, connected by queues instead of sockets.

use super::fixture::*;
use crate::Config;
use crate::core::Message;
use crate::peers::{Links, PeerHandle, Peers, peer_channel};
use crate::status::Role;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::{MemoryDisk, Snapshot, StateStore};
use tokio::task::JoinSet;

/// Who reaches whom. A full inbox loses messages, as a socket's buffer would.
#[derive(Default)]
pub(super) struct Network {
    inboxes: BTreeMap<u64, PeerHandle>,
    states: BTreeMap<u64, StateStore>,
    cut: BTreeSet<u64>,
    /// Snapshots to lose before one is delivered.
    pub(super) lose_snapshots: u32,
    pub(super) snapshots_sent: u32,
    deliveries: JoinSet<()>,
}

type Shared = Arc<Mutex<Network>>;

struct Wire {
    from: u64,
    network: Shared,
}

impl Peers for Wire {
    fn send(&mut self, messages: Vec<Message>) {
        let network = self.network.lock().expect("no test panics holding it");
        for message in messages {
            let to = message.to();
            if network.cut.contains(&self.from) || network.cut.contains(&to) {
                continue;
            }
            // Over the wire: what arrives is what was encoded.
            let message = Message::decode(&message.encode()).expect("our own message");
            if let Some(inbox) = network.inboxes.get(&to) {
                inbox.try_deliver(vec![message]);
            }
        }
    }

    fn send_snapshot(&mut self, message: Message, snapshot: Snapshot) -> bool {
        let mut network = self.network.lock().expect("no test panics holding it");
        network.snapshots_sent += 1;
        let to = message.to();
        if network.cut.contains(&self.from) || network.cut.contains(&to) {
            return false;
        }
        let reporter = network.inboxes[&self.from].clone();
        if network.lose_snapshots > 0 {
            network.lose_snapshots -= 1;
            let lost = async move { reporter.snapshot_sent(to, false).await };
            network.deliveries.spawn(lost);
            return true;
        }
        let (inbox, state) = (network.inboxes[&to].clone(), network.states[&to].clone());
        network.deliveries.spawn(async move {
            let delivered = deliver(&inbox, &state, message, &snapshot).await;
            reporter.snapshot_sent(to, delivered).await;
        });
        true
    }
}

/// What a transport does with a snapshot, without a network.
async fn deliver(
    inbox: &PeerHandle,
    state: &StateStore,
    message: Message,
    snapshot: &Snapshot,
) -> bool {
    let Ok(mut stage) = state.stage() else {
        return false;
    };
    for chunk in snapshot.chunks() {
        stage
            .push(&chunk.expect("a memory store"))
            .expect("our own chunk");
    }
    let staged = stage.finish().expect("it is whole");
    let message = Message::decode(&message.encode()).expect("our own message");
    inbox.install(message, staged).await.is_ok()
}

/// The groups, and the disks they run on.
pub(super) struct Cluster {
    pub(super) network: Shared,
    pub(super) nodes: BTreeMap<u64, Node>,
    disks: BTreeMap<u64, MemoryDisk>,
    founders: Vec<u64>,
    config: Config,
}

impl Cluster {
    pub(super) async fn start(ids: &[u64]) -> Cluster {
        Cluster::start_with(ids, config()).await
    }

    pub(super) async fn start_with(ids: &[u64], config: Config) -> Cluster {
        let mut cluster = Cluster {
            network: Shared::default(),
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            founders: ids.to_vec(),
            config,
        };
        for id in ids {
            cluster.add(*id);
        }
        cluster.leader().await;
        cluster
    }

    /// What nodes started from here on are configured with.
    pub(super) fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// Starts a node, on the disk it ran on before if there is one.
    pub(super) fn add(&mut self, id: u64) {
        let (handle, inbox) = peer_channel();
        let links = Links {
            peers: Box::new(Wire {
                from: id,
                network: Arc::clone(&self.network),
            }),
            inbox,
        };
        let config = Config {
            node_id: id,
            founding_voters: self.founders.clone(),
            joining: !self.founders.contains(&id),
            ..self.config.clone()
        };
        let disk = self.disks.entry(id).or_default();
        let (directory, stores) = disk.open(FAMILIES).expect("nobody else has it");
        let mut network = self.network.lock().expect("no test panics holding it");
        network.inboxes.insert(id, handle);
        network.states.insert(id, stores.state.clone());
        drop(network);
        let node = start_linked(config, directory, stores, links).expect("the group starts");
        self.nodes.insert(id, node);
    }

    fn unplug(&self, id: u64) {
        let mut network = self.network.lock().expect("no panic");
        network.inboxes.remove(&id);
        network.states.remove(&id);
    }

    /// Ends a node as a crash of its process would.
    pub(super) async fn kill(&mut self, id: u64) {
        let node = self.nodes.remove(&id).expect("it runs");
        self.unplug(id);
        node.kill().await;
        self.disks[&id].crash(storage::Crash::KeepAll);
    }

    /// The node that leads, once all others that are not cut off agree.
    pub(super) async fn leader(&self) -> u64 {
        let mut leader = 0;
        until(|| {
            let cut = self.network.lock().expect("no panic").cut.clone();
            let connected = self.nodes.iter().filter(|(id, _)| !cut.contains(id));
            let known: BTreeSet<_> = connected
                .map(|(_, node)| node.handle.status().leader)
                .collect();
            match known.into_iter().collect::<Vec<_>>().as_slice() {
                [Some(one)] if !cut.contains(one) => {
                    leader = *one;
                    self.nodes
                        .get(one)
                        .is_some_and(|node| node.handle.status().role == Role::Leader)
                }
                _ => false,
            }
        })
        .await;
        leader
    }

    pub(super) fn cut(&self, id: u64) {
        self.network.lock().expect("no panic").cut.insert(id);
    }

    pub(super) fn heal(&self) {
        self.network.lock().expect("no panic").cut.clear();
    }

    pub(super) fn others(&self, id: u64) -> Vec<u64> {
        self.nodes
            .keys()
            .copied()
            .filter(|other| *other != id)
            .collect()
    }

    /// All have applied what `id` has, and hold the same bytes.
    pub(super) async fn converged(&self) {
        until(|| {
            let applied: BTreeSet<_> = self
                .nodes
                .values()
                .map(|node| {
                    let applied = node.state.applied();
                    (applied.index, applied.chain_hash)
                })
                .collect();
            applied.len() == 1
        })
        .await;
    }

    pub(super) async fn stop(self) {
        for (_, node) in self.nodes {
            drop(node.handle);
            node.group
                .shutdown(Duration::from_secs(5))
                .await
                .expect("a clean stop");
        }
    }
}
