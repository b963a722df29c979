//! Asking a member for membership, before this node has a data directory.

use super::frame::{self, FRAME_BYTES_MAX, JOIN, JOINED};
use super::handshake::Refused;
use super::link;
use super::settings::Settings;
use prost::Message;
use protocol::placement::internal::v1::peer_hello::Purpose;
use protocol::placement::internal::v1::{JoinReply, JoinRequest};
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// The members agree on the new one within this time, or the node asks the next of its list.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// Why no member took this node in; one line for each that was asked.
#[derive(Debug, thiserror::Error)]
#[error("no member took this node in: {}", .0.join("; "))]
pub struct JoinError(pub Vec<String>);

/// Asks each address in turn until one answers with yes.
///
/// # Errors
/// What each of them said.
pub async fn join(
    settings: &Settings,
    addresses: &[String],
    request: &JoinRequest,
) -> Result<JoinReply, JoinError> {
    let mut said = Vec::new();
    for address in addresses {
        let asked = timeout(ANSWER_TIME, ask(settings, address, request)).await;
        match asked.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(reply) if reply.refused.is_empty() => return Ok(reply),
            Ok(reply) => said.push(format!("{address} refuses: {}", reply.refused)),
            Err(error) => said.push(format!("{address}: {error}")),
        }
    }
    Err(JoinError(said))
}

async fn ask(
    settings: &Settings,
    address: &str,
    request: &JoinRequest,
) -> Result<JoinReply, Refused> {
    let mut stream = link::connect(address, settings, 0, Purpose::Join).await?;
    frame::write(&mut stream, JOIN, request).await?;
    let frame = frame::read(&mut stream, FRAME_BYTES_MAX).await?;
    let frame = frame.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    if frame.kind != JOINED {
        return Err(frame::malformed("a frame out of turn").into());
    }
    JoinReply::decode(frame.body)
        .map_err(|_| frame::malformed("an answer that cannot be decoded").into())
}
