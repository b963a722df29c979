//! All links of this node: made and ended as the membership changes, filled by the driver.

use super::link::{Link, Queue};
use super::requests::{CALLS_MAX, Call, RequestError, Requests};
use super::settings::Settings;
use super::snapshot::{Outgoing, Transfers};
use bytes::Bytes;
use consensus::{Message, PeerHandle};
use futures::FutureExt;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use storage::Snapshot;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How a link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It tries for the first time.
    Connecting,
    /// Messages flow.
    Connected,
    /// The last attempt failed, and why; it keeps trying.
    Failed(String),
}

/// One link, for status pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// The member at the other end.
    pub node_id: u64,
    /// Where it is reached.
    pub address: String,
    /// How the link is.
    pub state: LinkState,
    /// Messages that were dropped since the start: no connection, or a full queue.
    pub dropped: u64,
    /// Snapshot under way to the member: bytes sent and, about, bytes in all.
    pub snapshot: Option<(u64, u64)>,
}

/// One member's link: dropped, its tasks end.
struct Entry {
    queue: Arc<Queue>,
    calls_tx: mpsc::Sender<Call>,
    address: watch::Sender<String>,
    state: watch::Receiver<LinkState>,
    stop: CancellationToken,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(super) struct Links {
    settings: Arc<Settings>,
    inbox: PeerHandle,
    tasks: TaskTracker,
    stop: CancellationToken,
    failed: CancellationToken,
    entries: Mutex<BTreeMap<u64, Entry>>,
    transfers: Arc<Transfers>,
}

impl Links {
    pub(super) fn new(
        settings: Arc<Settings>,
        inbox: PeerHandle,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Links {
        Links {
            settings,
            inbox,
            tasks,
            stop,
            failed: CancellationToken::new(),
            entries: Mutex::default(),
            transfers: Arc::default(),
        }
    }

    pub(super) fn set_members(&self, members: &BTreeMap<u64, String>) {
        let mut entries = self.entries.lock();
        entries.retain(|id, _| members.contains_key(id));
        for (id, address) in members {
            if *id == self.settings.node_id {
                continue;
            }
            match entries.get(id) {
                Some(entry) => {
                    entry.address.send_if_modified(|known| {
                        let is_new = known != address;
                        if is_new {
                            known.clone_from(address);
                        }
                        is_new
                    });
                }
                None => {
                    entries.insert(*id, self.start(*id, address));
                }
            }
        }
    }

    fn start(&self, node_id: u64, address: &str) -> Entry {
        let stop = self.stop.child_token();
        let (address_tx, address_rx) = watch::channel(address.to_owned());
        let (state_tx, state_rx) = watch::channel(LinkState::Connecting);
        let (calls_tx, calls_rx) = mpsc::channel(CALLS_MAX);
        let queue = Arc::new(Queue::default());
        let link = Link {
            node_id,
            settings: Arc::clone(&self.settings),
            queue: Arc::clone(&queue),
            address: address_rx.clone(),
            state: state_tx,
            inbox: self.inbox.clone(),
            stop: stop.clone(),
            said: BTreeSet::new(),
        };
        let requests = Requests {
            node_id,
            settings: Arc::clone(&self.settings),
            address: address_rx,
            calls_rx,
            stop: stop.clone(),
        };
        self.spawn(link.run());
        self.spawn(requests.run());
        Entry {
            queue,
            calls_tx,
            address: address_tx,
            state: state_rx,
            stop,
        }
    }

    /// Runs a task whose panic is the end of the transport: a member that nobody speaks to any more, and nobody
    /// knows why, is worse.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let failed = self.failed.clone();
        self.tasks.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                failed.cancel();
            }
        });
    }

    /// Resolves when such a task has panicked. Cancel-safe.
    pub(super) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    pub(super) fn status(&self) -> Vec<LinkStatus> {
        let entries = self.entries.lock();
        let status = entries.iter().map(|(id, entry)| LinkStatus {
            node_id: *id,
            address: entry.address.borrow().clone(),
            state: entry.state.borrow().clone(),
            dropped: entry.queue.dropped(),
            snapshot: self.transfers.of(*id),
        });
        status.collect()
    }

    /// Sends a snapshot on a connection of its own; false if the member is not known.
    fn send_snapshot(&self, message: Message, snapshot: Snapshot) -> bool {
        let node_id = message.to();
        let entries = self.entries.lock();
        let Some(entry) = entries.get(&node_id) else {
            return false;
        };
        let outgoing = Outgoing {
            node_id,
            address: entry.address.borrow().clone(),
            settings: Arc::clone(&self.settings),
            inbox: self.inbox.clone(),
            transfers: Arc::clone(&self.transfers),
            message,
            snapshot,
        };
        let stop = entry.stop.clone();
        let inbox = self.inbox.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = outgoing.run() => {}
                // The member was removed, or this node stops.
                () = stop.cancelled() => inbox.snapshot_sent(node_id, false).await,
            }
        });
        true
    }

    pub(super) fn request(
        &self,
        to: u64,
        request: Bytes,
    ) -> oneshot::Receiver<Result<Bytes, RequestError>> {
        let (answer_tx, answer_rx) = oneshot::channel();
        let call = Call { request, answer_tx };
        let entries = self.entries.lock();
        let refused = match entries.get(&to) {
            Some(entry) => entry
                .calls_tx
                .try_send(call)
                .err()
                .map(|error| match error {
                    mpsc::error::TrySendError::Full(call) => (call, RequestError::Overloaded),
                    mpsc::error::TrySendError::Closed(call) => (call, RequestError::NotSent),
                }),
            None => Some((call, RequestError::NotSent)),
        };
        if let Some((call, error)) = refused {
            // The receiver is right here.
            let _ = call.answer_tx.send(Err(error));
        }
        answer_rx
    }
}

/// The driver's end: puts messages into the queues.
pub struct Sender {
    links: Arc<Links>,
}

impl Sender {
    pub(super) fn new(links: Arc<Links>) -> Sender {
        Sender { links }
    }
}

impl Sender {
    /// Sends a snapshot on a connection of its own; how that ends is reported to the group. False if the member
    /// is not known.
    pub fn send_snapshot(&self, message: Message, snapshot: Snapshot) -> bool {
        self.links.send_snapshot(message, snapshot)
    }

    /// Puts messages into the queues of their receivers; those of strangers are dropped.
    pub fn send_all(&self, messages: Vec<Message>) {
        let entries = self.links.entries.lock();
        let bytes_max = self.links.settings.queue_bytes_max;
        // Messages come grouped by receiver; each group wakes its link once, and is reported lost once.
        let mut group = None;
        for message in messages {
            let to = message.to();
            let Some(entry) = entries.get(&to) else {
                continue;
            };
            let mut lost = match group.take() {
                Some((id, lost)) if id == to => lost,
                former => {
                    self.finish(&entries, former);
                    false
                }
            };
            lost |= !entry.queue.push(message, bytes_max);
            group = Some((to, lost));
        }
        self.finish(&entries, group);
    }

    /// Ends a group of messages to one receiver, some of which may be lost.
    fn finish(&self, entries: &BTreeMap<u64, Entry>, group: Option<(u64, bool)>) {
        let Some((to, lost)) = group else { return };
        if let Some(entry) = entries.get(&to) {
            entry.queue.wake();
        }
        if lost {
            self.links.inbox.unreachable(to);
        }
    }
}
