//! Telling the cluster, at each start, where this node is reached and on which data directory it runs.

use crate::machine::{self, Reply};
use crate::members::{Announced, MemberRecord};
use crate::service::{Context, Deadline};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause before an announcement that was not answered is made again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The cluster does not take this node for the member it says it is.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum NotAMember {
    #[error(
        "node {0} was removed from the cluster; join with a new node_id on an empty data directory"
    )]
    Removed(u64),
    #[error(
        "member {0} has another data directory: if the disk of this node was wiped, remove the member and join with a \
         new node_id"
    )]
    OtherInstance(u64),
    #[error(
        "the data directory is an older copy of that of member {0}, or the member runs twice: it could break promises \
         made since; remove the member and join with a new node_id"
    )]
    OlderIncarnation(u64),
    #[error("the cluster cannot read what node {0} says of itself")]
    Malformed(u64),
}

/// Announces this node until the cluster has taken note, then waits for the stop.
pub(super) async fn announce(
    context: Arc<Context>,
    record: MemberRecord,
    stop: CancellationToken,
) -> Result<(), NotAMember> {
    let id = record.id;
    let command = machine::encode_announce(record);
    loop {
        let deadline = Deadline::after(context.limits().request_timeout);
        let announced = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            announced = context.write(command.clone(), deadline) => announced,
        };
        match announced {
            Ok(Reply::Announce(Announced::Accepted)) => break,
            Ok(Reply::Announce(Announced::AliasTaken)) => {
                log::warn!(
                    "another member has the same node_alias; this one is known by its node_id {id} alone"
                );
                break;
            }
            Ok(Reply::Announce(Announced::Removed)) => return Err(NotAMember::Removed(id)),
            Ok(Reply::Announce(Announced::OtherInstance)) => {
                return Err(NotAMember::OtherInstance(id));
            }
            Ok(Reply::Announce(Announced::OlderIncarnation)) => {
                return Err(NotAMember::OlderIncarnation(id));
            }
            Ok(Reply::Announce(Announced::Malformed)) => return Err(NotAMember::Malformed(id)),
            Ok(_) => log::warn!("the announcement of this node got the answer of another command"),
            // No leader yet, or an outcome that is unknown: saying it twice does no harm.
            Err(failure) => log::debug!("announce this node: {failure}"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(RETRY_PAUSE) => {}
        }
    }
    stop.cancelled().await;
    Ok(())
}
