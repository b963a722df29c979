//! Connections and small calls over the generated etcd v3 client, which both servers understand.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use protocol::etcdserverpb::kv_client::KvClient;
use protocol::etcdserverpb::{PutRequest, RangeRequest};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Longest a test waits for a connection or for one ordinary answer.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer accepted; larger than any that a test asks for.
const DECODE_BYTES_MAX: usize = 64 << 20;

/// The client of the KV service.
pub type Kv = KvClient<Channel>;

/// Opens a connection of its own to `url`.
pub async fn connect(url: &str) -> Result<Channel> {
    Endpoint::from_shared(url.to_owned())
        .context("parse the address")?
        .connect_timeout(CALL_TIMEOUT)
        .timeout(CALL_TIMEOUT)
        .tcp_nodelay(true)
        .initial_connection_window_size(8 << 20)
        .initial_stream_window_size(4 << 20)
        .connect()
        .await
        .with_context(|| format!("connect to {url}"))
}

/// A KV client on a connection of its own.
pub async fn kv(url: &str) -> Result<Kv> {
    Ok(over(connect(url).await?))
}

/// A KV client on a given connection.
pub fn over(channel: Channel) -> Kv {
    KvClient::new(channel).max_decoding_message_size(DECODE_BYTES_MAX)
}

/// A put of one key.
pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

/// A linearizable get of one key.
pub fn get(key: impl Into<Bytes>) -> RangeRequest {
    RangeRequest {
        key: key.into(),
        ..RangeRequest::default()
    }
}

/// Whether an error says that its request had no effect and never will have: by the server's own word, or
/// because no connection was made on which it could have been sent.
pub fn was_not_applied(status: &Status) -> bool {
    let outcome = status.metadata().get("placement-outcome");
    if outcome.is_some_and(|outcome| outcome == "not-applied") {
        return true;
    }
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        cause = error.source();
    }
    false
}

/// The exclusive end of the range of all keys that start with `prefix`.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    // No key is above a prefix of nothing but 0xff: the range is open.
    Bytes::from_static(b"\0")
}

/// The store's revision now, by a linearizable read.
pub async fn revision(kv: &mut Kv) -> Result<i64> {
    let answer = kv
        .range(get("revision-probe"))
        .await
        .context("read the revision")?;
    let header = answer
        .into_inner()
        .header
        .context("the answer has no header")?;
    Ok(header.revision)
}
