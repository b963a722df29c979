//! The link to one member: Raft messages, one way. Connects, keeps trying, and sends what waits in the queue; what
//! waits while there is no connection is worth nothing to Raft and is dropped.

use super::LOG_TARGET;
use super::frame::{self, BATCH_BYTES};
use super::handshake::{self, Refused};
use super::links::LinkState;
use super::pause::Pause;
use super::settings::Settings;
use bytes::BytesMut;
use consensus::{Message, PeerHandle};
use parking_lot::Mutex;
use protocol::placement::internal::v1::peer_hello::Purpose;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// A peer that has not said who it is by then is let go.
pub(super) const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// Reasons remembered as said; the system has not many more.
const REASONS_MAX: usize = 32;

/// Messages that wait for one member, bounded by bytes.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Each with its encoded size.
    messages: VecDeque<(Message, usize)>,
    bytes: usize,
    connected: bool,
    dropped: u64,
}

impl Queue {
    /// Adds a message; false if it was dropped.
    pub(super) fn push(&self, message: Message, bytes_max: usize) -> bool {
        let mut waiting = self.waiting.lock();
        let bytes = message.encoded_len();
        // One message is always taken, or one larger than the bound would never be.
        let is_full = waiting.bytes > 0 && waiting.bytes + bytes > bytes_max;
        if !waiting.connected || is_full {
            waiting.dropped += 1;
            return false;
        }
        waiting.bytes += bytes;
        waiting.messages.push_back((message, bytes));
        true
    }

    /// Tells the link that messages were added.
    pub(super) fn wake(&self) {
        self.arrived.notify_one();
    }

    /// Messages dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.waiting.lock().dropped
    }

    fn set_connected(&self, connected: bool) {
        let mut waiting = self.waiting.lock();
        let dropped = waiting.dropped + waiting.messages.len() as u64;
        *waiting = Waiting {
            connected,
            dropped,
            ..Waiting::default()
        };
    }

    /// Takes messages for one frame; waits for the first one. Cancel-safe.
    async fn batch(&self, batch: &mut Vec<(Message, usize)>) {
        loop {
            {
                let mut waiting = self.waiting.lock();
                let mut batch_bytes = 0;
                while batch_bytes < BATCH_BYTES
                    && let Some((message, bytes)) = waiting.messages.pop_front()
                {
                    waiting.bytes -= bytes;
                    batch_bytes += bytes;
                    batch.push((message, bytes));
                }
                if !batch.is_empty() {
                    return;
                }
            }
            self.arrived.notified().await;
        }
    }
}

/// What the task of a link works with.
pub(super) struct Link {
    pub(super) node_id: u64,
    pub(super) settings: Arc<Settings>,
    pub(super) queue: Arc<Queue>,
    pub(super) address: watch::Receiver<String>,
    pub(super) state: watch::Sender<LinkState>,
    pub(super) inbox: PeerHandle,
    pub(super) stop: CancellationToken,
    /// Why it failed, as far as the log says, since it was connected last.
    pub(super) said: BTreeSet<String>,
}

impl Link {
    /// Works until told to stop.
    pub(super) async fn run(mut self) {
        let mut pause = Pause::new(self.settings.node_id, self.node_id);
        let stop = self.stop.clone();
        loop {
            let mut connected_at = None;
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.connect_and_send(&mut connected_at) => ended,
            };
            if let Some(connected_at) = connected_at {
                pause.connected(Instant::now().duration_since(connected_at));
                self.inbox.unreachable(self.node_id);
            }
            self.queue.set_connected(false);
            let wait = match &ended {
                Refused::Io(_) => pause.failed(),
                Refused::ByPeer(_) | Refused::ByUs(_) | Refused::Visitor { .. } => pause.refused(),
            };
            self.report(LinkState::Failed(ended.to_string()));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                changed = self.address.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Shows the state, and says what is new: each reason once until there is a connection again, also when
    /// reasons take turns because the member is started again and again.
    fn report(&mut self, state: LinkState) {
        let is_new = self.state.send_if_modified(|known| {
            let is_new = *known != state;
            known.clone_from(&state);
            is_new
        });
        let node_id = self.node_id;
        match state {
            LinkState::Connected if is_new => {
                self.said.clear();
                log::info!(target: LOG_TARGET, "connected to node {node_id}");
            }
            LinkState::Failed(reason) if is_news(&mut self.said, &reason) => {
                log::warn!(target: LOG_TARGET, "no connection to node {node_id}: {reason}");
            }
            LinkState::Connecting | LinkState::Connected | LinkState::Failed(_) => {}
        }
    }

    async fn connect_and_send(&mut self, connected_at: &mut Option<Instant>) -> Refused {
        let address = self.address.borrow_and_update().clone();
        let purpose = Purpose::Messages;
        match connect(&address, &self.settings, self.node_id, purpose).await {
            Ok(stream) => {
                *connected_at = Some(Instant::now());
                self.queue.set_connected(true);
                self.report(LinkState::Connected);
                self.send(stream).await.into()
            }
            Err(refused) => refused,
        }
    }

    /// Sends until the connection ends.
    async fn send(&self, mut stream: TcpStream) -> io::Error {
        let (mut incoming, mut outgoing) = stream.split();
        let sending = async {
            let mut batch = Vec::new();
            let mut buffer = BytesMut::new();
            loop {
                self.queue.batch(&mut batch).await;
                buffer.clear();
                frame::put_messages(&mut buffer, batch.iter());
                batch.clear();
                if let Err(error) = outgoing.write_all(&buffer).await {
                    return error;
                }
            }
        };
        // The other side says nothing on this stream, so a read ends when the connection does.
        let mut nothing = [0; 1];
        tokio::select! {
            error = sending => error,
            read = incoming.read(&mut nothing) => match read {
                Ok(0) => io::Error::new(io::ErrorKind::UnexpectedEof, "the member closed the connection"),
                Ok(_) => frame::malformed("the member speaks out of turn"),
                Err(error) => error,
            },
        }
    }
}

/// Whether a reason was not said yet; it is remembered as long as there is room.
fn is_news(said: &mut BTreeSet<String>, reason: &str) -> bool {
    said.len() < REASONS_MAX && said.insert(reason.to_owned())
}

/// A connection whose handshake is done.
pub(super) async fn connect(
    address: &str,
    settings: &Settings,
    to: u64,
    purpose: Purpose,
) -> Result<TcpStream, Refused> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let connecting = TcpStream::connect(address);
    let mut stream = timeout(settings.dead_after, connecting)
        .await
        .map_err(late)??;
    prepare(&stream, settings.dead_after)?;
    let shaking = handshake::connect(&mut stream, settings, to, purpose);
    timeout(HANDSHAKE_TIME, shaking).await.map_err(late)??;
    Ok(stream)
}

/// Small frames leave at once, and a silent network is noticed.
pub(super) fn prepare(stream: &TcpStream, dead_after: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    // Sent bytes that nobody acknowledges end the connection, and so does a peer that is gone while nothing
    // is sent.
    socket.set_tcp_user_timeout(Some(dead_after))?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(dead_after.max(Duration::from_secs(1)))
        .with_interval(Duration::from_secs(1))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_take_turns_are_each_said_once() {
        let mut said = BTreeSet::new();
        let news = |reasons: &[&str], said: &mut BTreeSet<String>| {
            let reasons = reasons.iter();
            reasons.filter(|reason| is_news(said, reason)).count()
        };
        assert_eq!(news(&["a", "b", "a", "b", "b"], &mut said), 2);
        let made_up: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let made_up: Vec<&str> = made_up.iter().map(String::as_str).collect();
        assert_eq!(news(&made_up, &mut said), REASONS_MAX - 2);
    }
}
