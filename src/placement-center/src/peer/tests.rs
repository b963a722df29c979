//! Two transports in one process, and strangers at the door.

use super::frame;
use super::*;
use crate::config::ClusterToken;
use consensus::{Message, PeerInbox, peer_channel};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

mod fuzz;
mod hostile;

const PATIENCE: Duration = Duration::from_secs(30);

/// Echoes requests behind the number of who asked; admits all but those that were removed.
#[derive(Default)]
struct Echo {
    seen: Mutex<Vec<Bytes>>,
    removed: Mutex<BTreeSet<u64>>,
    /// How often it was asked to admit somebody.
    asked: AtomicU64,
}

impl Host for Echo {
    fn admit(&self, hello: &Hello) -> Result<(), String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.removed.lock().contains(&hello.from) {
            true => Err(format!("node {} was removed", hello.from)),
            false => Ok(()),
        }
    }

    fn request(&self, from: u64, request: Bytes) -> Answer {
        self.seen.lock().push(request.clone());
        Box::pin(async move { Bytes::from([&[from as u8][..], &request].concat()) })
    }

    fn join(&self, request: Bytes) -> Answer {
        Box::pin(std::future::ready(request))
    }
}

struct End {
    transport: Transport,
    sender: Sender,
    inbox: PeerInbox,
    host: Arc<Echo>,
    address: String,
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect(what);
}

fn settings(node_id: u64) -> Settings {
    Settings {
        node_id,
        cluster_id: 77,
        token: ClusterToken::new("the-token-of-these-tests").expect("a token"),
        instance: [node_id as u8; 16],
        incarnation: 1,
        boot: 5,
        queue_bytes_max: 1 << 20,
        snapshot_bytes_per_second: 64 << 20,
        dead_after: Duration::from_secs(1),
    }
}

fn state() -> storage::StateStore {
    storage::memory_stores(&[]).state
}

fn end(settings: Settings) -> End {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let host = Arc::new(Echo::default());
    let (handle, inbox) = peer_channel();
    let started = Transport::start(settings, listener, host.clone(), handle, state());
    let (transport, sender) = started.expect("the listener serves");
    End {
        transport,
        sender,
        inbox,
        host,
        address,
    }
}

impl End {
    fn knows(&self, id: u64, other: &End) {
        let members = BTreeMap::from([(id, other.address.clone())]);
        self.transport.set_members(&members);
    }

    async fn link_is(&self, wanted: impl Fn(&LinkState) -> bool) {
        let status = || self.transport.status();
        until("the link gets there", || {
            status().iter().all(|link| wanted(&link.state))
        })
        .await;
    }

    async fn request(&self, to: u64, text: &'static str) -> Result<Bytes, RequestError> {
        let answer = self.transport.request(to, Bytes::from(text));
        timeout(PATIENCE, answer)
            .await
            .expect("in time")
            .expect("an answer")
    }
}

/// A heartbeat from one member to another, as raft-rs would encode it.
fn heartbeat(from: u64, to: u64, term: u64) -> Message {
    // msg_type 8, to, from, term: fields 1 to 4 of the message.
    let bytes = [8, 8, 16, to as u8, 24, from as u8, 32, term as u8];
    Message::decode(&bytes).expect("a message")
}

async fn received(end: &mut End) -> Vec<Message> {
    let batch = timeout(PATIENCE, end.inbox.next_batch()).await;
    batch.expect("in time").expect("the transport lives")
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_in_order_and_in_batches() {
    let (one, mut two) = (end(settings(1)), end(settings(2)));
    one.knows(2, &two);
    one.link_is(|state| *state == LinkState::Connected).await;
    one.sender
        .send_all((1..=100).map(|term| heartbeat(1, 2, term)).collect());
    let mut messages = Vec::new();
    while messages.len() < 100 {
        messages.extend(received(&mut two).await);
    }
    let expected: Vec<Message> = (1..=100).map(|term| heartbeat(1, 2, term)).collect();
    assert_eq!(messages, expected);
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_comes_back_when_the_member_does() {
    let (one, two) = (end(settings(1)), end(settings(2)));
    one.knows(2, &two);
    one.link_is(|state| *state == LinkState::Connected).await;
    let address = two.address.clone();
    two.transport.shutdown().await;
    drop(two);
    one.link_is(|state| matches!(state, LinkState::Failed(_)))
        .await;
    assert_eq!(one.request(2, "lost").await, Err(RequestError::NotSent));
    let listener = TcpListener::bind(&address).expect("the port is free again");
    let (handle, _inbox) = peer_channel();
    let host = Arc::new(Echo::default());
    let (again, _sender) =
        Transport::start(settings(2), listener, host, handle, state()).expect("it serves");
    one.link_is(|state| *state == LinkState::Connected).await;
    assert_eq!(
        one.request(2, "kept").await.as_deref(),
        Ok(&b"\x01kept"[..])
    );
    one.transport.shutdown().await;
    again.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_arrive_in_the_order_of_the_calls() {
    let (one, two) = (end(settings(1)), end(settings(2)));
    one.knows(2, &two);
    let calls: Vec<_> = (0..500_u32)
        .map(|number| {
            one.transport
                .request(2, Bytes::from(number.to_be_bytes().to_vec()))
        })
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        let answer = timeout(PATIENCE, call)
            .await
            .expect("in time")
            .expect("an answer");
        assert_eq!(
            answer.expect("it arrived")[1..],
            (number as u32).to_be_bytes()
        );
    }
    let seen = two.host.seen.lock().clone();
    assert!(seen.is_sorted(), "out of order");
    assert_eq!(seen.len(), 500);
    assert_eq!(one.request(3, "nobody").await, Err(RequestError::NotSent));
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

/// How a link to node 2 fails when node 1 says this of itself.
async fn refusal(settings_of_one: Settings) -> String {
    let (one, mut two) = (end(settings_of_one), end(settings(2)));
    two.host.removed.lock().insert(9);
    one.knows(2, &two);
    one.link_is(|state| matches!(state, LinkState::Failed(_)))
        .await;
    one.sender.send_all(vec![heartbeat(1, 2, 1)]);
    assert!(two.inbox.is_empty(), "nothing of a refused peer is taken");
    let LinkState::Failed(reason) = one.transport.status()[0].state.clone() else {
        panic!("it was refused a moment ago");
    };
    one.transport.shutdown().await;
    two.transport.shutdown().await;
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_belong_is_refused_with_the_reason() {
    let other_token = Settings {
        token: ClusterToken::new("another-token-than-theirs").expect("a token"),
        ..settings(1)
    };
    assert!(refusal(other_token).await.contains("token"));
    let no_token = Settings {
        token: ClusterToken::default(),
        ..settings(1)
    };
    assert!(refusal(no_token).await.contains("token"));
    let other_cluster = Settings {
        cluster_id: 78,
        ..settings(1)
    };
    let reason = refusal(other_cluster).await;
    assert!(reason.contains("cluster 000000000000004d"), "{reason}");
    assert!(refusal(settings(9)).await.contains("node 9 was removed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_end_must_be_the_member_that_was_meant() {
    let (one, two) = (end(settings(1)), end(settings(2)));
    one.knows(3, &two);
    one.link_is(|state| matches!(state, LinkState::Failed(_)))
        .await;
    let state = one.transport.status()[0].state.clone();
    assert!(
        format!("{state:?}").contains("this is node 2, not 3"),
        "{state:?}"
    );
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_let_go_and_members_served_meanwhile() {
    let (one, mut two) = (end(settings(1)), end(settings(2)));
    let mut strangers = Vec::new();
    for number in 0..20_u8 {
        let mut stranger = TcpStream::connect(&two.address).await.expect("it listens");
        let noise: Vec<u8> = (0..200).map(|at| number.wrapping_mul(31) ^ at).collect();
        // A refused one is closed while it still speaks.
        let _ = stranger.write_all(&noise).await;
        strangers.push(stranger);
    }
    let mut huge = TcpStream::connect(&two.address).await.expect("it listens");
    huge.write_all(&[0xff; 8]).await.expect("sent");
    one.knows(2, &two);
    one.link_is(|state| *state == LinkState::Connected).await;
    one.sender.send_all(vec![heartbeat(1, 2, 1)]);
    assert_eq!(received(&mut two).await.len(), 1);
    for mut stranger in strangers.into_iter().chain([huge]) {
        let mut said = Vec::new();
        let end = timeout(PATIENCE, stranger.read_to_end(&mut said)).await;
        assert!(end.is_ok(), "a stranger is still there");
        assert!(said.len() < 200, "it is told little");
    }
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_speaks_only_for_itself() {
    let (one, mut two) = (end(settings(1)), end(settings(2)));
    one.knows(2, &two);
    one.link_is(|state| *state == LinkState::Connected).await;
    one.sender.send_all(vec![heartbeat(3, 2, 1)]);
    one.link_is(|state| matches!(state, LinkState::Failed(_)))
        .await;
    assert!(two.inbox.is_empty());
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

#[tokio::test]
async fn frames_are_read_whole_or_refused() {
    let mut buffer = bytes::BytesMut::new();
    frame::put_numbered(&mut buffer, frame::REQUEST, 7, b"body");
    let mut stream = &buffer[..];
    let read = frame::read(&mut stream, 100).await.expect("well formed");
    let read = read.expect("a frame");
    let (number, body) = frame::numbered(read.body).expect("numbered");
    assert_eq!(
        (read.kind, number, &body[..]),
        (frame::REQUEST, 7, &b"body"[..])
    );
    assert_eq!(frame::read(&mut stream, 100).await.expect("the end"), None);
    for cut in 1..buffer.len() {
        let mut stream = &buffer[..cut];
        assert!(frame::read(&mut stream, 100).await.is_err(), "cut at {cut}");
    }
    for length in [0_u32, 101, u32::MAX] {
        let bytes = [&length.to_le_bytes()[..], &[0; 200]].concat();
        let read = frame::read(&mut &bytes[..], 100).await;
        let error = read.expect_err("no frame").to_string();
        assert!(error.contains("impossible length"), "{length}: {error}");
    }
}

#[tokio::test]
async fn a_damaged_frame_is_refused() {
    let mut whole = bytes::BytesMut::new();
    frame::put_numbered(&mut whole, frame::REQUEST, 7, b"what was asked");
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let read = frame::read(&mut &bytes[..], 100).await;
        assert!(read.is_err(), "bit {bit}: {read:?}");
    }
}
