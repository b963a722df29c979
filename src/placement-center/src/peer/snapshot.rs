//! Snapshots between members, each on a connection of its own, so that it does not stand in the way of the log.
//! The sender keeps to a rate; the receiver writes to a place beside its state and answers when the whole is taken.

use super::frame::{self, CHUNK, FRAME_BYTES_MAX, SNAPSHOT, TAKEN};
use super::handshake::Refused;
use super::link;
use super::settings::Settings;
use bytes::{Bytes, BytesMut};
use consensus::{Message, PeerHandle};
use futures::FutureExt;
use parking_lot::Mutex;
use protocol::placement::internal::v1::SnapshotTaken;
use protocol::placement::internal::v1::peer_hello::Purpose;
use std::collections::BTreeMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use storage::{Snapshot, StagedSnapshot, StateStore};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// Chunks read ahead of the network, and chunks that wait for the disk of the receiver.
const CHUNKS_AHEAD: usize = 4;
/// A transfer in which nothing moves for this long is given up.
const STALL_TIME: Duration = Duration::from_secs(30);
/// What the receiver may take to verify, make durable and install the whole.
const INSTALL_TIME: Duration = Duration::from_secs(300);
/// What a sender may take to see an answer that comes before it has sent all, and to close.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// How far the transfers under way are: bytes sent and bytes in all, by receiver.
#[derive(Debug, Default)]
pub(super) struct Transfers(Mutex<BTreeMap<u64, (u64, u64)>>);

impl Transfers {
    pub(super) fn of(&self, node_id: u64) -> Option<(u64, u64)> {
        self.0.lock().get(&node_id).copied()
    }

    fn set(&self, node_id: u64, sent: u64, total: u64) {
        // The total is an estimate; a bar that goes beyond its end helps nobody.
        self.0.lock().insert(node_id, (sent, total.max(sent)));
    }
}

/// Why a snapshot did not arrive.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("read the state: {0}")]
    Read(#[from] storage::Error),
    #[error("the member did not take it: {0}")]
    NotTaken(String),
}

/// One snapshot on its way.
pub(super) struct Outgoing {
    pub(super) node_id: u64,
    pub(super) address: String,
    pub(super) settings: Arc<Settings>,
    pub(super) inbox: PeerHandle,
    pub(super) transfers: Arc<Transfers>,
    pub(super) message: Message,
    pub(super) snapshot: Snapshot,
}

impl Outgoing {
    /// Sends it, and reports how that ended in any case: without a word the leader would send nothing more to
    /// the member for a long time.
    pub(super) async fn run(self) {
        let (node_id, inbox) = (self.node_id, self.inbox.clone());
        let transfers = Arc::clone(&self.transfers);
        let started = Instant::now();
        let index = self.snapshot.applied().index;
        log::info!(target: super::LOG_TARGET, "sending node {node_id} a snapshot of the state at {index}");
        let sent = AssertUnwindSafe(self.send()).catch_unwind().await;
        match &sent {
            Ok(Ok(bytes)) => {
                let took = started.elapsed();
                log::info!(target: super::LOG_TARGET, "node {node_id} has taken the snapshot: {bytes} bytes in {took:?}");
            }
            Ok(Err(error)) => {
                log::warn!(target: super::LOG_TARGET, "the snapshot did not reach node {node_id}: {error}");
            }
            Err(_) => {
                log::error!(target: super::LOG_TARGET, "sending node {node_id} a snapshot panicked");
            }
        }
        transfers.0.lock().remove(&node_id);
        inbox
            .snapshot_sent(node_id, matches!(sent, Ok(Ok(_))))
            .await;
    }

    async fn send(self) -> Result<u64, SendError> {
        let purpose = Purpose::Snapshot;
        let mut stream =
            link::connect(&self.address, &self.settings, self.node_id, purpose).await?;
        let (mut incoming, mut outgoing) = stream.split();
        let mut answer = pin!(frame::read(&mut incoming, FRAME_BYTES_MAX));
        let (answer, bytes) = tokio::select! {
            // The receiver may say no at any time, and says why.
            answer = &mut answer => (answer?, 0),
            sent = self.send_chunks(&mut outgoing) => {
                let bytes = sent?;
                let answer = timeout(INSTALL_TIME, answer).await;
                (answer.map_err(|_| stalled())??, bytes)
            }
        };
        let answer = answer.filter(|frame| frame.kind == TAKEN);
        let answer = answer.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let taken: SnapshotTaken = frame::decode(answer.body)?;
        match taken.refused.is_empty() {
            true => Ok(bytes),
            false => Err(SendError::NotTaken(taken.refused)),
        }
    }

    /// Sends the message and the chunks; returns the bytes of these.
    async fn send_chunks(self, outgoing: &mut WriteHalf<'_>) -> Result<u64, SendError> {
        let mut buffer = BytesMut::new();
        frame::put(&mut buffer, SNAPSHOT, &self.message.encode());
        outgoing.write_all(&buffer).await?;
        let total = self.snapshot.bytes();
        let (chunks_tx, mut chunks_rx) = mpsc::channel(CHUNKS_AHEAD);
        let snapshot = self.snapshot;
        let reading = tokio::task::spawn_blocking(move || {
            for chunk in snapshot.chunks() {
                // The transfer has ended when nobody takes the chunk.
                if chunks_tx.blocking_send(chunk).is_err() {
                    return;
                }
            }
        });
        let mut pace = Pace::new(self.settings.snapshot_bytes_per_second);
        while let Some(chunk) = chunks_rx.recv().await {
            let chunk = chunk?;
            pace.wait(chunk.len()).await;
            buffer.clear();
            frame::put(&mut buffer, CHUNK, &chunk);
            let writing = timeout(STALL_TIME, outgoing.write_all(&buffer));
            writing.await.map_err(|_| stalled())??;
            self.transfers.set(self.node_id, pace.bytes, total);
        }
        reading.await.map_err(io::Error::other)?;
        Ok(pace.bytes)
    }
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nothing moved for too long")
}

/// Keeps a sender to a rate: sends ahead by one chunk, then waits until the time for what was sent is over.
struct Pace {
    started: Instant,
    bytes: u64,
    bytes_per_second: u64,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Pace {
        Pace {
            started: Instant::now(),
            bytes: 0,
            bytes_per_second: bytes_per_second.max(1),
        }
    }

    async fn wait(&mut self, bytes: usize) {
        let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second as f64);
        self.bytes += bytes as u64;
        tokio::time::sleep_until(self.started + due).await;
    }
}

/// Receives one snapshot and hands it to the group.
pub(super) async fn receive(
    stream: &mut TcpStream,
    from: u64,
    state: &StateStore,
    inbox: &PeerHandle,
) -> io::Result<()> {
    let head = timeout(STALL_TIME, frame::read(stream, FRAME_BYTES_MAX));
    let head = head.await.map_err(|_| stalled())??;
    let Some(head) = head.filter(|frame| frame.kind == SNAPSHOT) else {
        return Err(frame::malformed("no snapshot"));
    };
    let message = Message::decode(&head.body).map_err(io::Error::other)?;
    if message.from() != from {
        return Err(frame::malformed("a snapshot in the name of another member"));
    }
    let refused = match stage(stream, state.clone()).await {
        Ok(staged) => match inbox.install(message, staged).await {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        },
        Err(StageError::Io(error)) => return Err(error),
        Err(StageError::Refused(reason)) => reason,
    };
    if !refused.is_empty() {
        log::warn!(target: super::LOG_TARGET, "a snapshot of node {from} was not taken: {refused}");
    }
    answer(stream, refused).await
}

/// Tells a sender that its snapshot is not wanted now.
pub(super) async fn refuse(stream: &mut TcpStream, reason: &str) -> io::Result<()> {
    answer(stream, reason.to_owned()).await
}

/// Answers, and waits until the sender has closed: closed earlier, over chunks not read, the connection would be
/// reset, and the answer lost.
async fn answer(stream: &mut TcpStream, refused: String) -> io::Result<()> {
    frame::write(stream, TAKEN, &SnapshotTaken { refused }).await?;
    stream.shutdown().await?;
    let mut sink = tokio::io::sink();
    let closed = timeout(CLOSE_TIME, tokio::io::copy(stream, &mut sink));
    closed.await.map_err(|_| stalled())?.map(drop)
}

enum StageError {
    Io(io::Error),
    Refused(String),
}

impl From<io::Error> for StageError {
    fn from(error: io::Error) -> Self {
        StageError::Io(error)
    }
}

/// Writes the chunks to a place beside the state, on a thread that may block on the disk.
async fn stage(stream: &mut TcpStream, state: StateStore) -> Result<StagedSnapshot, StageError> {
    let (chunks_tx, mut chunks_rx) = mpsc::channel::<Bytes>(CHUNKS_AHEAD);
    let writing = tokio::task::spawn_blocking(move || {
        let mut stage = state.stage()?;
        while let Some(chunk) = chunks_rx.blocking_recv() {
            stage.push(&chunk)?;
        }
        stage.finish()
    });
    loop {
        let read = timeout(STALL_TIME, frame::read(stream, FRAME_BYTES_MAX));
        let frame = read.await.map_err(|_| stalled())??;
        let Some(frame) = frame.filter(|frame| frame.kind == CHUNK) else {
            return Err(frame::malformed("a snapshot that ends early").into());
        };
        let is_last = storage::is_last_chunk(&frame.body);
        // When the writer has given up, its reason comes below.
        if chunks_tx.send(frame.body).await.is_err() || is_last {
            break;
        }
    }
    drop(chunks_tx);
    match writing.await.map_err(io::Error::other)? {
        Ok(staged) => Ok(staged),
        Err(error) => Err(StageError::Refused(chain(&error))),
    }
}

/// An error and what is behind it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
