//! The peer port: accepts, lets each peer prove itself, and takes what it came to bring.

use super::frame::{self, ANSWER, FRAME_BYTES_MAX, JOIN, JOINED, MESSAGES, REQUEST};
use super::handshake::{self, Hello};
use super::link::{self, HANDSHAKE_TIME};
use super::settings::Settings;
use super::{Answer, Host, LOG_TARGET, snapshot};
use bytes::{Bytes, BytesMut};
use consensus::PeerHandle;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use protocol::placement::internal::v1::peer_hello::Purpose;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use storage::StateStore;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that have not proved themselves yet. A stranger can hold that many places for the time of a
/// handshake, and no more memory than its longest frame each.
const STRANGERS_MAX: usize = 64;
/// Connections of members: three kinds from each of a few members, and what is left of broken ones.
const MEMBERS_MAX: usize = 256;
/// Pause after a failed accept, as of every listener.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Requests of one member that are being answered; the next wait in its socket.
const ANSWERING_MAX: usize = 16_384;
/// Different refusals remembered, so that each is logged once.
const REFUSALS_MAX: usize = 256;

pub(super) struct Server {
    pub(super) settings: Arc<Settings>,
    pub(super) host: Arc<dyn Host>,
    pub(super) inbox: PeerHandle,
    pub(super) state: StateStore,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// What connections share.
struct Shared {
    settings: Arc<Settings>,
    host: Arc<dyn Host>,
    inbox: PeerHandle,
    state: StateStore,
    strangers: Arc<Semaphore>,
    members: Arc<Semaphore>,
    /// The last refusal of each address.
    refusals: Mutex<BTreeMap<IpAddr, String>>,
}

impl Server {
    /// Accepts until told to stop.
    pub(super) async fn run(self, listener: TcpListener) {
        let shared = Arc::new(Shared {
            settings: self.settings,
            host: self.host,
            inbox: self.inbox,
            state: self.state,
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            members: Arc::new(Semaphore::new(MEMBERS_MAX)),
            refusals: Mutex::default(),
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
        let greeted = {
            // Without a place the connection is closed at once: its owner tries again.
            let Ok(_place) = self.strangers.try_acquire() else {
                return;
            };
            let greeting = async {
                link::prepare(&stream, self.settings.dead_after)?;
                let admit = |hello: &Hello| self.host.admit(hello);
                handshake::accept(&mut stream, &self.settings, admit).await
            };
            timeout(HANDSHAKE_TIME, greeting).await
        };
        let (hello, purpose) = match greeted {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(refused)) => return self.refused(address, &refused.to_string()),
            Err(_) => return self.refused(address, "the handshake took too long"),
        };
        self.refusals.lock().remove(&address);
        let Ok(_place) = self.members.try_acquire() else {
            return self.refused(address, "too many connections of members");
        };
        let ended = match purpose {
            Purpose::Messages => self.messages(&mut stream, &hello).await,
            Purpose::Requests => self.requests(&mut stream, &hello).await,
            Purpose::Join => self.join(&mut stream).await,
            Purpose::Snapshot => {
                snapshot::receive(&mut stream, hello.from, &self.state, &self.inbox).await
            }
            // Refused by the handshake.
            Purpose::Unspecified => Ok(()),
        };
        if let Err(error) = ended {
            log::debug!(target: LOG_TARGET, "a connection of node {}: {error}", hello.from);
        }
    }

    /// Logs a refusal, unless it is the same as the last one of that address.
    fn refused(&self, address: IpAddr, reason: &str) {
        let mut refusals = self.refusals.lock();
        if refusals.get(&address).is_some_and(|known| known == reason) {
            return;
        }
        if refusals.len() >= REFUSALS_MAX {
            refusals.clear();
        }
        log::warn!(target: LOG_TARGET, "a connection from {address} was refused: {reason}");
        refusals.insert(address, reason.to_owned());
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
