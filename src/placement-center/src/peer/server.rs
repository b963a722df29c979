//! The peer port: accepts, lets each peer prove itself, and takes what it came to bring.

use super::frame::{self, ANSWER, FRAME_BYTES_MAX, JOIN, JOINED, MESSAGES, REQUEST};
use super::handshake::{self, Hello, Refused};
use super::incoming::Incoming;
use super::link::{self, HANDSHAKE_TIME};
use super::refusals::{Caller, Refusals};
use super::settings::Settings;
use super::{Answer, Host, LOG_TARGET, snapshot};
use bytes::{Bytes, BytesMut};
use consensus::PeerHandle;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use protocol::placement::internal::v1::peer_hello::Purpose;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use storage::StateStore;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after a failed accept, as of every listener.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Requests of one member that are being answered; the next wait in its socket.
const ANSWERING_MAX: usize = 16_384;
/// Nodes that may ask to join at once; the group changes by one at a time.
const JOINING_MAX: usize = 8;
/// Snapshots that may arrive at once: there is one state to put one in the place of.
const SNAPSHOTS_MAX: usize = 1;

pub(super) struct Server {
    pub(super) settings: Arc<Settings>,
    pub(super) host: Arc<dyn Host>,
    pub(super) inbox: PeerHandle,
    pub(super) state: StateStore,
    pub(super) members_changes: watch::Receiver<()>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// What connections share.
struct Shared {
    settings: Arc<Settings>,
    host: Arc<dyn Host>,
    inbox: PeerHandle,
    state: StateStore,
    members_changes: watch::Receiver<()>,
    incoming: Arc<Incoming>,
    joining: Semaphore,
    snapshots: Semaphore,
    refusals: Refusals,
}

impl Server {
    /// Accepts until told to stop.
    pub(super) async fn run(self, listener: TcpListener) {
        let shared = Arc::new(Shared {
            settings: self.settings,
            host: self.host,
            inbox: self.inbox,
            state: self.state,
            members_changes: self.members_changes,
            incoming: Arc::default(),
            joining: Semaphore::new(JOINING_MAX),
            snapshots: Semaphore::new(SNAPSHOTS_MAX),
            refusals: Refusals::default(),
        });
        loop {
            let (stream, address) = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => (stream, address.ip()),
                    Err(error) => {
                        log::warn!(target: LOG_TARGET, "accept a connection: {error}");
                        tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
                        continue;
                    }
                },
            };
            let (shared, stop) = (Arc::clone(&shared), self.stop.clone());
            self.tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = shared.serve(stream, address) => {}
                }
            });
        }
    }
}

impl Shared {
    async fn serve(&self, mut stream: TcpStream, address: IpAddr) {
        // From before the host is asked: a change meanwhile asks it again.
        let mut members_changes = self.members_changes.clone();
        members_changes.mark_unchanged();
        let Some((hello, purpose)) = self.greet(&mut stream, address).await else {
            return;
        };
        let ended = tokio::select! {
            ended = self.take(purpose, &mut stream, &hello) => ended,
            reason = self.unwanted(purpose, &hello, &mut members_changes) => {
                return self.refused(self.member(address, hello.from), &reason);
            }
        };
        if let Err(error) = ended {
            log::debug!(target: LOG_TARGET, "a connection of node {}: {error}", hello.from);
        }
    }

    /// Lets a peer say and prove who it is; `None` if it is not let in.
    async fn greet(&self, stream: &mut TcpStream, address: IpAddr) -> Option<(Hello, Purpose)> {
        // Without a place the connection is closed at once: its owner tries again.
        let _place = self.incoming.stranger(address)?;
        let greeting = async {
            link::prepare(stream, self.settings.dead_after)?;
            let admit = |hello: &Hello| self.host.admit(hello);
            handshake::accept(stream, &self.settings, admit).await
        };
        let refused = match timeout(HANDSHAKE_TIME, greeting).await {
            Ok(Ok((hello, purpose))) => {
                // Who may ask to join is not admitted yet.
                if purpose != Purpose::Join {
                    self.admitted(self.member(address, hello.from));
                }
                return Some((hello, purpose));
            }
            Ok(Err(refused)) => refused,
            Err(_) => Refused::ByUs("the handshake took too long".to_owned()),
        };
        let (node, cluster, reason) = match refused {
            Refused::Visitor {
                from,
                cluster,
                reason,
            } => (from, cluster, reason),
            refused => (0, 0, refused.to_string()),
        };
        let caller = Caller {
            address,
            node,
            cluster,
        };
        self.refused(caller, &reason);
        None
    }

    /// A caller who has proved that he is of this cluster.
    fn member(&self, address: IpAddr, node: u64) -> Caller {
        Caller {
            address,
            node,
            cluster: self.settings.cluster_id,
        }
    }

    fn refused(&self, caller: Caller, reason: &str) {
        if let Some(line) = self.refusals.refused(caller, reason, Instant::now()) {
            log::warn!(target: LOG_TARGET, "{line}");
        }
    }

    fn admitted(&self, caller: Caller) {
        if let Some(line) = self.refusals.admitted(caller) {
            log::info!(target: LOG_TARGET, "{line}");
        }
    }

    /// Takes what a member came to bring.
    async fn take(
        &self,
        purpose: Purpose,
        stream: &mut TcpStream,
        hello: &Hello,
    ) -> io::Result<()> {
        match purpose {
            Purpose::Messages => {
                let place = self.incoming.member(hello.from, purpose);
                tokio::select! {
                    ended = self.messages(stream, hello) => ended,
                    () = place.replaced() => Ok(()),
                }
            }
            Purpose::Requests => {
                let place = self.incoming.member(hello.from, purpose);
                tokio::select! {
                    ended = self.requests(stream, hello) => ended,
                    () = place.replaced() => Ok(()),
                }
            }
            Purpose::Join => {
                let place = self.joining.try_acquire();
                let _place = place.map_err(|_| io::Error::other("too many nodes ask to join"))?;
                self.join(stream).await
            }
            Purpose::Snapshot => {
                let Ok(_place) = self.snapshots.try_acquire() else {
                    return snapshot::refuse(stream, "another snapshot is arriving").await;
                };
                snapshot::receive(stream, hello.from, &self.state, &self.inbox).await
            }
            // Refused by the handshake.
            Purpose::Unspecified => Ok(()),
        }
    }

    /// Waits until the host does not admit the member any more; says why.
    async fn unwanted(
        &self,
        purpose: Purpose,
        hello: &Hello,
        members_changes: &mut watch::Receiver<()>,
    ) -> String {
        if purpose == Purpose::Join {
            // It was not asked: this node is no member yet.
            return std::future::pending().await;
        }
        loop {
            if members_changes.changed().await.is_err() {
                // The transport is gone, and this task with it.
                std::future::pending::<()>().await;
            }
            if let Err(reason) = self.host.admit(hello) {
                return reason;
            }
        }
    }

    async fn messages(&self, stream: &mut TcpStream, hello: &Hello) -> io::Result<()> {
        let mut stream = tokio::io::BufReader::with_capacity(READ_BYTES, stream);
        while let Some(frame) = frame::read(&mut stream, FRAME_BYTES_MAX).await? {
            if frame.kind != MESSAGES {
                return Err(frame::malformed("a frame that holds no messages"));
            }
            let messages = frame::messages(&frame.body, hello.from)?;
            if self.inbox.deliver(messages).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn requests(&self, stream: &mut TcpStream, hello: &Hello) -> io::Result<()> {
        let (mut incoming, mut outgoing) = stream.split();
        let mut partial = frame::Partial::default();
        let mut answering = FuturesUnordered::new();
        let mut buffer = BytesMut::new();
        loop {
            let has_room = answering.len() < ANSWERING_MAX;
            tokio::select! {
                frame = partial.read(&mut incoming, FRAME_BYTES_MAX), if has_room => {
                    let Some(frame) = frame? else { return Ok(()) };
                    if frame.kind != REQUEST {
                        return Err(frame::malformed("a frame that is no request"));
                    }
                    let (number, request) = frame::numbered(frame.body)?;
                    answering.push(numbered(number, self.host.request(hello.from, request)));
                }
                Some((number, answer)) = answering.next() => {
                    frame::put_numbered(&mut buffer, ANSWER, number, &answer);
                    // What else is ready leaves in the same write.
                    while let Some(Some((number, answer))) = futures::FutureExt::now_or_never(answering.next()) {
                        frame::put_numbered(&mut buffer, ANSWER, number, &answer);
                    }
                    outgoing.write_all(&buffer).await?;
                    buffer.clear();
                }
            }
        }
    }

    async fn join(&self, stream: &mut TcpStream) -> io::Result<()> {
        let read = timeout(
            HANDSHAKE_TIME,
            frame::read(stream, frame::STRANGER_BYTES_MAX),
        );
        let frame = read
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let Some(frame) = frame.filter(|frame| frame.kind == JOIN) else {
            return Err(frame::malformed("no request to join"));
        };
        let answer = self.host.join(frame.body).await;
        let mut buffer = BytesMut::new();
        frame::put(&mut buffer, JOINED, &answer);
        stream.write_all(&buffer).await
    }
}

/// Bytes read from a member's socket at a time: a busy batch in one or two reads.
const READ_BYTES: usize = 64 << 10;

async fn numbered(number: u64, answer: Answer) -> (u64, Bytes) {
    (number, answer.await)
}
