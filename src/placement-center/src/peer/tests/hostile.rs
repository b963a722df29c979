//! Peers that do what no member does: strangers that hold the door, recordings that are played again, members that
//! were removed or speak nonsense. They are let go, and the others do not notice.

use super::super::frame::{self, CHALLENGE, HELLO, MESSAGES, REFUSED, REQUEST, WELCOME};
use super::super::link;
use super::*;
use prost::Message as _;
use protocol::placement::internal::v1::peer_hello::Purpose;
use protocol::placement::internal::v1::{PeerProvenHello, PeerRefused};
use std::net::SocketAddr;
use tokio::net::TcpSocket;

/// A connection from another address of this machine.
async fn from_elsewhere(to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], 0));
    socket.bind(elsewhere).expect("a loopback address");
    let to = to.parse().expect("an address");
    socket.connect(to).await.expect("it listens")
}

/// Waits until the other side closes, and returns what it said until then.
async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end as well.
    let read = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    let _ = read.expect("the connection is still open");
    said
}

/// A connection whose handshake is done, in the name of a member, for somebody who does not keep to the rules.
async fn member(id: u64, purpose: Purpose, to: &End) -> TcpStream {
    let connected = link::connect(&to.address, &settings(id), 2, purpose).await;
    connected.expect("a member is let in")
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_strangers_leave_room_for_members_and_are_let_go() {
    let (one, two) = (end(settings(1)), end(settings(2)));
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(from_elsewhere(&two.address).await);
    }
    one.knows(2, &two);
    one.link_is(|state| *state == LinkState::Connected).await;
    let mut greeted = 0;
    for stranger in silent {
        greeted += u32::from(!closed(stranger).await.is_empty());
    }
    assert_eq!(greeted, 16, "more wait than one address may have");
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overheard_hello_is_worth_nothing() {
    let two = end(settings(2));
    // Somebody between two members hears what they say.
    let between = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = between.local_addr().expect("bound").to_string();
    let listening = async {
        let (mut inner, _) = between.accept().await.expect("somebody connects");
        let mut outer = TcpStream::connect(&two.address).await.expect("it listens");
        let challenge = frame::read(&mut outer, 4096).await.expect("a frame");
        let challenge = challenge.expect("it speaks first");
        let mut buffer = bytes::BytesMut::new();
        frame::put(&mut buffer, CHALLENGE, &challenge.body);
        inner.write_all(&buffer).await.expect("sent");
        let hello = frame::read(&mut inner, 4096).await.expect("a frame");
        hello.expect("a hello")
    };
    let settings_of_one = settings(1);
    let connecting = link::connect(&address, &settings_of_one, 2, Purpose::Messages);
    let (connected, hello) = tokio::join!(connecting, listening);
    assert!(connected.is_err(), "nobody answered");
    assert_eq!(hello.kind, HELLO);
    let token = settings(1).token.expose().as_bytes().to_vec();
    assert!(
        !hello.body.windows(token.len()).any(|part| part == token),
        "the token travels"
    );
    let mut again = TcpStream::connect(&two.address).await.expect("it listens");
    let challenge = frame::read(&mut again, 4096).await.expect("a frame");
    assert_eq!(challenge.expect("it speaks first").kind, CHALLENGE);
    let proven: PeerProvenHello = frame::decode(hello.body).expect("a hello");
    frame::write(&mut again, HELLO, &proven)
        .await
        .expect("sent");
    let answer = frame::read(&mut again, 4096).await.expect("a frame");
    let answer = answer.expect("an answer");
    assert_eq!(answer.kind, REFUSED, "a recording was let in");
    let refused = PeerRefused::decode(answer.body).expect("a refusal");
    assert!(refused.reason.contains("token"), "{}", refused.reason);
    two.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_must_know_the_token_too() {
    let one = end(settings(1));
    let impostor = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = impostor.local_addr().expect("bound").to_string();
    one.transport.set_members(&BTreeMap::from([(2, address)]));
    let (mut stream, _) = impostor.accept().await.expect("it connects");
    let challenge = protocol::placement::internal::v1::PeerChallenge::default();
    frame::write(&mut stream, CHALLENGE, &challenge)
        .await
        .expect("sent");
    let hello = frame::read(&mut stream, 4096).await.expect("a frame");
    assert_eq!(hello.map(|frame| frame.kind), Some(HELLO));
    let welcome = protocol::placement::internal::v1::PeerWelcome {
        protocol: 1,
        proof: vec![0; 32].into(),
    };
    frame::write(&mut stream, WELCOME, &welcome)
        .await
        .expect("sent");
    assert_eq!(closed(stream).await, b"", "it says nothing more");
    one.link_is(|state| matches!(state, LinkState::Failed(reason) if reason.contains("token")))
        .await;
    one.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connections_of_a_removed_member_end() {
    let (one, two) = (end(settings(1)), end(settings(2)));
    one.knows(2, &two);
    one.link_is(|state| *state == LinkState::Connected).await;
    let requests = member(3, Purpose::Requests, &two).await;
    let messages = member(3, Purpose::Messages, &two).await;
    two.host.removed.lock().insert(3);
    two.transport.set_members(&BTreeMap::new());
    assert_eq!(closed(requests).await, b"");
    assert_eq!(closed(messages).await, b"");
    let status = one.transport.status();
    assert_eq!(status[0].state, LinkState::Connected, "others stay");
    // The other way: links to a member that was removed.
    one.transport.set_members(&BTreeMap::new());
    assert!(one.transport.status().is_empty());
    assert_eq!(one.request(2, "gone").await, Err(RequestError::NotSent));
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_connects_again_replaces_its_connection() {
    let two = end(settings(2));
    let mut connections = Vec::new();
    for _ in 0..10 {
        connections.push(member(1, Purpose::Messages, &two).await);
    }
    let last = connections.pop().expect("ten were made");
    for former in connections {
        assert_eq!(closed(former).await, b"");
    }
    let mut two = two;
    let mut last = last;
    let mut buffer = bytes::BytesMut::new();
    let message = heartbeat(1, 2, 1);
    let bytes = message.encoded_len();
    frame::put_messages(&mut buffer, [(message.clone(), bytes)].iter());
    last.write_all(&buffer).await.expect("sent");
    assert_eq!(received(&mut two).await, [message]);
    two.transport.shutdown().await;
}

/// A frame of messages.
fn frame_of(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut buffer = bytes::BytesMut::new();
    frame::put(&mut buffer, kind, body);
    buffer.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_of_a_member_ends_its_connection_and_nothing_else() {
    let (one, mut two) = (end(settings(1)), end(settings(2)));
    one.knows(2, &two);
    one.link_is(|state| *state == LinkState::Connected).await;
    let message = heartbeat(3, 2, 1).encode();
    let length = (message.len() as u32).to_le_bytes();
    let whole = frame_of(MESSAGES, &[&length[..], &message].concat());
    let mut damaged = whole.clone();
    *damaged.last_mut().expect("a frame") ^= 1;
    let nonsense = [
        frame_of(REQUEST, b"a request on the wrong connection"),
        frame_of(MESSAGES, &[1, 2]),
        frame_of(MESSAGES, &u32::MAX.to_le_bytes()),
        frame_of(MESSAGES, &[3, 0, 0, 0, 0xff, 0xff, 0xff]),
        frame_of(99, b""),
        vec![0xff; 100],
        vec![0; 100],
        damaged,
        whole[..whole.len() - 1].to_vec(),
    ];
    for bytes in nonsense {
        let mut stream = member(3, Purpose::Messages, &two).await;
        stream.write_all(&bytes).await.expect("sent");
        stream.shutdown().await.expect("all was said");
        assert_eq!(closed(stream).await, b"", "of {bytes:?}");
        assert!(two.inbox.is_empty(), "taken from {bytes:?}");
    }
    let mut stream = member(3, Purpose::Requests, &two).await;
    stream
        .write_all(&frame_of(REQUEST, b"short"))
        .await
        .expect("sent");
    assert_eq!(closed(stream).await, b"");
    assert!(two.host.seen.lock().is_empty());
    let status = one.transport.status();
    assert_eq!(status[0].state, LinkState::Connected);
    one.sender.send_all(vec![heartbeat(1, 2, 1)]);
    assert_eq!(received(&mut two).await.len(), 1);
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_member_costs_a_bounded_queue_and_is_reported() {
    let (one, two) = (end(settings(1)), end(settings(2)));
    one.knows(2, &two);
    // Nobody takes from the inbox of two: it fills, then the sockets, then the queue of one.
    one.link_is(|state| *state == LinkState::Connected).await;
    let mut sent = 0;
    while one.transport.status()[0].dropped == 0 {
        assert!(sent < 10_000_000, "nothing is ever dropped");
        let batch: Vec<_> = (0..1000).map(|_| heartbeat(1, 2, 1)).collect();
        sent += batch.len();
        one.sender.send_all(batch);
        tokio::task::yield_now().await;
    }
    one.transport.shutdown().await;
    two.transport.shutdown().await;
}
