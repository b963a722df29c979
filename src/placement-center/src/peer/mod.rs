//! The connections between members: Raft messages, requests that one member makes of another, and joining.
//!
//! Owns sockets, the handshake and the bounds on what a peer may make this node keep. What a request means is
//! the business of the [`Host`]; what a Raft message means that of `consensus`.
//!
//! Plain frames on TCP instead of gRPC: the stream between two members is one direction of one kind of thing, and
//! a frame here costs a fraction of what an HTTP/2 message does (docs/decisions/0004).

mod frame;
mod handshake;
mod incoming;
mod join;
mod link;
mod links;
mod pause;
mod proof;
mod refusals;
mod requests;
mod server;
mod settings;
mod snapshot;

pub use frame::FRAME_BYTES_MAX;
pub use handshake::{Hello, Refused};
pub use join::{JoinError, join};
pub use links::{LinkState, LinkStatus, Sender};
pub use requests::RequestError;
pub use settings::{Settings, random};

use bytes::Bytes;
use consensus::PeerHandle;
use links::Links;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use storage::StateStore;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where the connections of members log.
pub(crate) const LOG_TARGET: &str = "peer";

/// An answer on its way.
pub type Answer = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// What the transport asks of the node above it.
pub trait Host: Send + Sync + 'static {
    /// Whether the node that says this hello may be talked to; the text says why not.
    ///
    /// # Errors
    /// The reason, for the logs of both sides.
    fn admit(&self, hello: &Hello) -> Result<(), String>;

    /// A request of member `from`. Called in the order of arrival; what must keep that order is done before
    /// this returns.
    fn request(&self, from: u64, request: Bytes) -> Answer;

    /// A node asks to join; both sides are encoded messages of the protocol.
    fn join(&self, request: Bytes) -> Answer;
}

/// The running transport.
pub struct Transport {
    links: Arc<Links>,
    members_changed: watch::Sender<()>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Transport {
    /// Accepts peers on `listener`, stages their snapshots beside `state`, and connects to those that
    /// [`Transport::set_members`] names. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn start(
        settings: Settings,
        listener: TcpListener,
        host: Arc<dyn Host>,
        inbox: PeerHandle,
        state: StateStore,
    ) -> std::io::Result<(Transport, Sender)> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let settings = Arc::new(settings);
        let links = Arc::new(Links::new(
            Arc::clone(&settings),
            inbox.clone(),
            tasks.clone(),
            stop.clone(),
        ));
        let (members_changed, members_changes) = watch::channel(());
        let server = server::Server {
            settings,
            host,
            inbox,
            state,
            members_changes,
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        links.spawn(server.run(listener));
        let sender = Sender::new(Arc::clone(&links));
        let transport = Transport {
            links,
            members_changed,
            tasks,
            stop,
        };
        Ok((transport, sender))
    }

    /// The other members and where each is reached. Links to others end, and so do connections of those whom the
    /// host does not admit any more; a changed address takes effect with the next connection, at once if there is
    /// none.
    pub fn set_members(&self, members: &BTreeMap<u64, String>) {
        self.links.set_members(members);
        self.members_changed.send_replace(());
    }

    /// How each link is.
    pub fn status(&self) -> Vec<LinkStatus> {
        self.links.status()
    }

    /// Makes a request of a member. It is under way when this returns; requests to one member arrive in the
    /// order of the calls. Never waits; give the answer a deadline.
    pub fn request(
        &self,
        to: u64,
        request: Bytes,
    ) -> tokio::sync::oneshot::Receiver<Result<Bytes, RequestError>> {
        self.links.request(to, request)
    }

    /// Resolves when the task of a link or of the listener has panicked: a bug, after which this node must not
    /// go on half connected. Cancel-safe.
    pub async fn failed(&self) {
        self.links.failed().await;
    }

    /// Ends all connections and waits until every task is gone.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests;
