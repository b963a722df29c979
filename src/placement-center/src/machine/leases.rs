//! Commands about leases. They touch two sub machines: a lease ends together with its keys.

use super::{Machine, encode};
use crate::kv::Refusal;
use crate::lease::{Checkpoint, LeaseRef};
use bytes::Bytes;
use consensus::ApplyContext;
use protocol::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse, ResponseHeader,
};
use protocol::placement::internal::v1::lease_checkpoint::Remaining;
use protocol::placement::internal::v1::{LeaseCheckpoint, LeaseExpire, command};
use storage::ApplyBatch;

impl Machine {
    pub(super) fn grant(
        &mut self,
        request: LeaseGrantRequest,
        context: ApplyContext,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<LeaseGrantResponse, Refusal> {
        let LeaseGrantRequest { ttl, id } = request;
        self.leases.grant(id, ttl, context.index, batch)?;
        Ok(LeaseGrantResponse {
            header: header(self.kv.revision()),
            id,
            ttl,
            error: String::new(),
        })
    }

    pub(super) fn revoke(
        &mut self,
        id: i64,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<Result<LeaseRevokeResponse, Refusal>, storage::Error> {
        if !self.leases.exists(id) {
            return Ok(Err(Refusal::LeaseNotFound));
        }
        let revision = self.end(id, false, batch)?;
        Ok(Ok(LeaseRevokeResponse {
            header: header(revision),
        }))
    }

    /// Ends leases whose time is over, each in a revision of its own. Returns whether the decision was of the
    /// term of its entry.
    pub(super) fn expire(
        &mut self,
        expire: &LeaseExpire,
        context: ApplyContext,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<bool, storage::Error> {
        if expire.term != context.term {
            return Ok(false);
        }
        for lease in &expire.leases {
            if let Some(id) = self.leases.find(*lease) {
                self.end(id, true, batch)?;
            }
        }
        Ok(true)
    }

    /// Writes down how much is left of leases. Returns as [`Machine::expire`].
    pub(super) fn checkpoint(
        &mut self,
        checkpoint: &LeaseCheckpoint,
        context: ApplyContext,
        batch: &mut ApplyBatch<'_>,
    ) -> bool {
        if checkpoint.term != context.term {
            return false;
        }
        let said = checkpoint.remaining.iter().filter_map(|remaining| {
            Some(Checkpoint {
                lease: remaining.lease?,
                remaining_ms: remaining.remaining_ms,
            })
        });
        let said: Vec<_> = said.collect();
        self.leases.checkpoint(&said, batch);
        true
    }

    /// Deletes the keys of a lease, in one revision, and the lease. Returns the revision.
    fn end(
        &mut self,
        id: i64,
        has_expired: bool,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<i64, storage::Error> {
        let keys = self.leases.attached(id, batch)?;
        let revision = self.kv.delete_keys(&keys, &mut self.leases, batch)?;
        self.leases.end(id, has_expired, batch)?;
        Ok(revision)
    }
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

/// Encodes a grant for the log; id and TTL are decided.
pub fn encode_lease_grant(request: LeaseGrantRequest) -> Bytes {
    encode(command::Command::LeaseGrant(request))
}

/// Encodes a revocation for the log.
pub fn encode_lease_revoke(request: LeaseRevokeRequest) -> Bytes {
    encode(command::Command::LeaseRevoke(request))
}

/// Encodes the end of leases for the log, decided by the leader of `term`.
pub fn encode_lease_expire(term: u64, leases: Vec<LeaseRef>) -> Bytes {
    encode(command::Command::LeaseExpire(LeaseExpire { term, leases }))
}

/// Encodes checkpoints for the log, decided by the leader of `term`.
pub fn encode_lease_checkpoint(term: u64, checkpoints: &[Checkpoint]) -> Bytes {
    let remaining = checkpoints.iter().map(|checkpoint| Remaining {
        lease: Some(checkpoint.lease),
        remaining_ms: checkpoint.remaining_ms,
    });
    encode(command::Command::LeaseCheckpoint(LeaseCheckpoint {
        term,
        remaining: remaining.collect(),
    }))
}
