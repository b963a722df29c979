//! Between the transport and the rest of the node: what the driver sends before the transport runs, commands on
//! their way to the leader, what other members ask, and who the other members are.

use crate::admin::Cluster;
use crate::machine::{self, Reply};
use crate::members::{self, Admission, Members};
use crate::peer::{Answer, Hello, Host, RequestError, Sender, Transport};
use crate::service::{Forward, Forwarded, Leases};
use bytes::{BufMut, Bytes, BytesMut};
use consensus::{Handle, Message, Peers};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use storage::Snapshot;
use tokio_util::sync::CancellationToken;

/// What a request between members is, in its first byte.
pub(crate) const COMMAND: u8 = 1;
pub(crate) const ADMINISTRATION: u8 = 2;
pub(crate) const LEASES: u8 = 3;

/// The driver's way out. The group starts before the transport, which must know the group's identity; what it
/// sends until then is lost, as on any network.
#[derive(Clone, Default)]
pub(super) struct LateSender(Arc<OnceLock<Sender>>);

impl LateSender {
    pub(super) fn set(&self, sender: Sender) {
        // Set once, at the start.
        let _ = self.0.set(sender);
    }
}

impl Peers for LateSender {
    fn send(&mut self, messages: Vec<Message>) {
        if let Some(sender) = self.0.get() {
            sender.send_all(messages);
        }
    }

    fn send_snapshot(&mut self, message: Message, snapshot: Snapshot) -> bool {
        self.0
            .get()
            .is_some_and(|sender| sender.send_snapshot(message, snapshot))
    }
}

/// Requests of other members; nothing is sent before the transport runs.
#[derive(Clone, Default)]
pub(crate) struct Requester(Arc<OnceLock<Transport>>);

impl Requester {
    pub(super) fn set(&self, transport: Transport) {
        let _ = self.0.set(transport);
    }

    /// The transport, once it runs.
    pub(crate) fn transport(&self) -> Option<&Transport> {
        self.0.get()
    }

    /// Makes a request of a kind.
    pub(crate) fn request(&self, to: u64, kind: u8, body: &[u8]) -> Forwarded {
        if let Some(transport) = self.0.get() {
            let mut request = BytesMut::with_capacity(1 + body.len());
            request.put_u8(kind);
            request.put_slice(body);
            return transport.request(to, request.freeze());
        }
        let (answer_tx, answer_rx) = tokio::sync::oneshot::channel();
        // The receiver is right here.
        let _ = answer_tx.send(Err(RequestError::NotSent));
        answer_rx
    }
}

impl Forward for Requester {
    fn forward(&self, to: u64, command: Bytes) -> Forwarded {
        self.request(to, COMMAND, &command)
    }

    fn ask_leases(&self, to: u64, question: Bytes) -> Forwarded {
        self.request(to, LEASES, &question)
    }
}

/// What other members ask of this node.
pub(super) struct NodeHost {
    pub(super) handle: Handle<Reply>,
    pub(super) members: Arc<members::Published>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) leases: Arc<Leases>,
}

impl Host for NodeHost {
    fn admit(&self, hello: &Hello) -> Result<(), String> {
        let members = self.members.members();
        match members.admit(hello.from, &hello.instance, hello.incarnation, hello.boot) {
            Admission::Admitted => Ok(()),
            Admission::Removed => Err(format!(
                "node {} was removed from the cluster; join with a new node_id",
                hello.from
            )),
            Admission::OtherInstance => Err(format!(
                "node {} has another data directory than the member of that number: if its disk was wiped, remove \
                 the member and join with a new node_id",
                hello.from
            )),
            Admission::OlderIncarnation => Err(format!(
                "node {} runs on an older copy of its data directory, or runs twice: remove the member and join \
                 with a new node_id",
                hello.from
            )),
        }
    }

    fn request(&self, _from: u64, mut request: Bytes) -> Answer {
        let body = match request.is_empty() {
            true => Bytes::new(),
            false => request.split_off(1),
        };
        match request.first() {
            Some(&COMMAND) => {
                // Submitted before this returns: commands of one member keep their order.
                let submitted = self.handle.submit(body);
                Box::pin(async move {
                    machine::encode_reply(match submitted {
                        Ok(pending) => pending.await,
                        Err(error) => Err(error),
                    })
                })
            }
            Some(&ADMINISTRATION) => {
                let cluster = Arc::clone(&self.cluster);
                Box::pin(async move { cluster.asked(&body).await })
            }
            Some(&LEASES) => {
                let leases = Arc::clone(&self.leases);
                Box::pin(async move { leases.answer(body).await })
            }
            // Of a newer version; an empty answer is understood as "no answer" there.
            _ => Box::pin(std::future::ready(Bytes::new())),
        }
    }

    fn join(&self, request: Bytes) -> Answer {
        let cluster = Arc::clone(&self.cluster);
        Box::pin(async move { cluster.join(request).await })
    }
}

/// Keeps the transport's links at what the replicated state says, until stopped.
///
/// # Errors
/// When this node was removed from the cluster: it has nothing more to do.
pub(super) async fn follow_members(
    node_id: u64,
    bootstrap: BTreeMap<u64, String>,
    published: Arc<members::Published>,
    requester: Requester,
    stop: CancellationToken,
) -> Result<(), Removed> {
    let mut changes = published.subscribe();
    loop {
        let members = Arc::clone(&changes.borrow_and_update());
        if members.was_removed(node_id) {
            return Err(Removed(node_id));
        }
        if let Some(transport) = requester.transport() {
            transport.set_members(&addresses(&bootstrap, &members));
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = changes.changed() => if changed.is_err() {
                stop.cancelled().await;
                return Ok(());
            },
        }
    }
}

/// Watches the tasks of the transport until stopped.
///
/// # Errors
/// When one of them panicked.
pub(super) async fn watch_transport(
    requester: Requester,
    stop: CancellationToken,
) -> Result<(), TransportFailed> {
    let failed = async {
        match requester.transport() {
            Some(transport) => transport.failed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = failed => Err(TransportFailed),
    }
}

/// A connection to another member is gone for good.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a task of the connections to other members panicked; the log has its text")]
pub(super) struct TransportFailed;

/// This node is no member any more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "node {0} was removed from the cluster; its data directory is of no more use, and its node_id cannot be used again"
)]
pub(super) struct Removed(u64);

/// Where members are reached: as they announced, or, before a founder's first announcement, as configured.
fn addresses(bootstrap: &BTreeMap<u64, String>, members: &Members) -> BTreeMap<u64, String> {
    let mut addresses = bootstrap.clone();
    addresses.retain(|id, _| !members.was_removed(*id));
    for member in members
        .iter()
        .filter(|member| !member.peer_address.is_empty())
    {
        addresses.insert(member.id, member.peer_address.clone());
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_addresses_replace_configured_ones() {
        let stores = storage::memory_stores(members::FAMILIES);
        let store = members::Store::open(&stores.state.view()).expect("an empty state");
        let bootstrap = BTreeMap::from([(1, "a:1".to_owned()), (2, "b:1".to_owned())]);
        let members = store.published().members();
        assert_eq!(addresses(&bootstrap, &members), bootstrap);
    }
}
