//! The proxies of the network between members: what they hold back, delay and cut.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const DEADLINE: Duration = Duration::from_secs(10);

/// Long enough to see that nothing comes, on a machine that would deliver it within a millisecond.
const NOTHING: Duration = Duration::from_millis(200);

/// A connection that this process, as member 1, has to itself as member 2.
async fn connection(network: &Network) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    network.register(1, std::process::id(), 1);
    network.shared.members().ports.insert(2, port);
    let near = TcpStream::connect(&network.addresses()[&2]).await;
    let (far, _) = tokio::time::timeout(DEADLINE, listener.accept())
        .await
        .expect("in time")
        .expect("a connection");
    (near.expect("the proxy listens"), far)
}

async fn arrives(stream: &mut TcpStream) -> Option<u8> {
    let mut byte = [0; 1];
    let read = stream.read_exact(&mut byte);
    match tokio::time::timeout(NOTHING, read).await {
        Ok(Ok(_)) => Some(byte[0]),
        Ok(Err(_)) | Err(_) => None,
    }
}

#[tokio::test]
async fn a_held_way_holds_its_own_direction_and_delivers_late() {
    let network = Network::new([1, 2]).expect("ports");
    let (mut near, mut far) = connection(&network).await;
    near.write_all(b"a").await.expect("sent");
    assert_eq!(arrives(&mut far).await, Some(b'a'));
    network.hold(1, 2);
    near.write_all(b"b").await.expect("sent");
    assert_eq!(arrives(&mut far).await, None);
    far.write_all(b"c").await.expect("sent");
    assert_eq!(arrives(&mut near).await, Some(b'c'));
    network.heal();
    assert_eq!(arrives(&mut far).await, Some(b'b'));
}

#[tokio::test]
async fn a_delay_is_kept_and_a_cut_ends_the_connection() {
    let network = Network::new([1, 2]).expect("ports");
    let (mut near, mut far) = connection(&network).await;
    network.delay(1, 2, NOTHING / 4);
    let begin = Instant::now();
    near.write_all(b"a").await.expect("sent");
    assert_eq!(arrives(&mut far).await, Some(b'a'));
    assert!(begin.elapsed() >= NOTHING / 4, "{:?}", begin.elapsed());
    network.sever(2, 1);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, far.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection goes on");
}
