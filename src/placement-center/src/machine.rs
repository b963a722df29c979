//! All sub state machines on one log: decodes a command, hands it to its owner, wraps the reply. Knows
//! no key and no revision.

mod leases;
mod reply;

pub use reply::{NotUnderstood, decode_reply, encode_reply};

use crate::watch::{Recent, Tuning};
use crate::{kv, lease, members};
use bytes::{BufMut, Bytes, BytesMut};
use consensus::{ApplyContext, MachineError, Membership, StateMachine};
use prost::Message;
use protocol::etcdserverpb::*;
use protocol::placement::internal::v1::{
    Command, MemberAnnounce, MemberUpdate, MembershipContext, command,
};
use std::sync::Arc;
use storage::{Applied, ApplyBatch, Family, StateStore};

/// First byte of every command. A command of another version stops the node: guessing would let
/// replicas diverge.
const COMMAND_V1: u8 = 1;

/// The families of all sub state machines; the state store is opened with them.
pub const FAMILIES: &[Family] = &families();

const OWNED: [&[Family]; 3] = [kv::FAMILIES, lease::FAMILIES, members::FAMILIES];

const fn families() -> [Family; kv::FAMILIES.len() + lease::FAMILIES.len() + members::FAMILIES.len()]
{
    let mut all = [members::MEMBERS; _];
    let (mut owner, mut at) = (0, 0);
    while owner < OWNED.len() {
        let mut own = 0;
        while own < OWNED[owner].len() {
            all[at] = OWNED[owner][own];
            (own, at) = (own + 1, at + 1);
        }
        owner += 1;
    }
    all
}

/// What readers outside the apply thread may know of the machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Published {
    /// Figures of the key-value store.
    pub kv: Arc<kv::Published>,
    /// The leases.
    pub leases: Arc<lease::Published>,
    /// The members of the center.
    pub members: Arc<members::Published>,
    /// The newest changes of keys, for those who watch.
    pub recent: Arc<Recent>,
}

/// The replicated state machine of the placement center.
#[derive(Debug)]
pub struct Machine {
    kv: kv::Store,
    leases: lease::Store,
    members: members::Store,
    published: Published,
}

impl Machine {
    /// Opens the machine on the committed state.
    ///
    /// # Errors
    /// When the state cannot be read or contradicts itself.
    pub fn open(state: &StateStore) -> Result<(Machine, Published), storage::Error> {
        let view = state.view();
        let kv = kv::Store::open(&view)?;
        let leases = lease::Store::open(&view)?;
        let members = members::Store::open(&view)?;
        let published = Published {
            kv: Arc::new(kv.published()),
            leases: Arc::new(leases.published()),
            members: Arc::new(members.published()),
            recent: Arc::new(Recent::new(&Tuning::default())),
        };
        let machine = Machine {
            kv,
            leases,
            members,
            published: published.clone(),
        };
        Ok((machine, published))
    }
}

impl StateMachine for Machine {
    type Reply = Reply;

    fn apply(
        &mut self,
        context: ApplyContext,
        command: Bytes,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<Reply, MachineError> {
        self.kv.keep_changes(self.published.recent.is_watched());
        let leases = &mut self.leases;
        Ok(match decode(command)? {
            command::Command::Put(request) => Reply::Put(self.kv.put(&request, leases, batch)?),
            command::Command::DeleteRange(request) => {
                Reply::DeleteRange(self.kv.delete_range(&request, leases, batch)?)
            }
            command::Command::Txn(request) => Reply::Txn(self.kv.txn(&request, leases, batch)?),
            command::Command::Compact(request) => Reply::Compact(self.kv.compact(&request, batch)),
            command::Command::Announce(announce) => {
                let member = announce.member.unwrap_or_default();
                Reply::Announce(self.members.announce(&member, batch))
            }
            command::Command::UpdateMember(update) => {
                let members = &mut self.members;
                Reply::UpdateMember(members.update(update.id, &update.peer_address, batch))
            }
            command::Command::LeaseGrant(request) => {
                Reply::LeaseGrant(self.grant(request, context, batch))
            }
            command::Command::LeaseRevoke(request) => {
                Reply::LeaseRevoke(self.revoke(request.id, batch)?)
            }
            command::Command::LeaseExpire(expire) => {
                Reply::Decided(self.expire(&expire, context, batch)?)
            }
            command::Command::LeaseCheckpoint(checkpoint) => {
                Reply::Decided(self.checkpoint(&checkpoint, context, batch))
            }
        })
    }

    fn membership(
        &mut self,
        context: ApplyContext,
        membership: &Membership,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<(), MachineError> {
        let said = MembershipContext::decode(membership.context.clone())
            .map_err(|error| MachineError::Command(error.to_string()))?;
        let configuration = members::Configuration {
            voters: &membership.voters,
            outgoing: &membership.outgoing,
            learners: &membership.learners,
        };
        self.members
            .reconfigured(context.index, configuration, &said, batch);
        Ok(())
    }

    fn committed(&mut self, _applied: Applied) {
        self.kv.publish(&self.published.kv);
        self.leases.publish(&self.published.leases);
        self.members.publish(&self.published.members);
        let newest = self.published.kv.revision();
        let changes = self.kv.take_changes();
        self.published.recent.committed(newest, changes);
    }

    fn restored(&mut self, state: &StateStore) -> Result<(), MachineError> {
        let view = state.view();
        self.kv = kv::Store::open(&view)?;
        self.leases = lease::Store::open(&view)?;
        self.members = members::Store::open(&view)?;
        self.kv.publish(&self.published.kv);
        self.leases.publish_all(&self.published.leases);
        self.members.publish_all(&self.published.members);
        self.published.recent.replaced(self.published.kv.revision());
        Ok(())
    }

    fn housekeep(&mut self, batch: &mut ApplyBatch<'_>) -> Result<bool, MachineError> {
        Ok(self.kv.housekeep(batch)?)
    }
}

/// Reply of one command, headers carrying the revision alone; a refusal is a reply.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Of a put.
    Put(Result<PutResponse, kv::Refusal>),
    /// Of a delete.
    DeleteRange(Result<DeleteRangeResponse, kv::Refusal>),
    /// Of a transaction.
    Txn(Result<TxnResponse, kv::Refusal>),
    /// Of a compaction.
    Compact(Result<CompactionResponse, kv::Refusal>),
    /// Of a member that started.
    Announce(members::Announced),
    /// Of a new address of a member.
    UpdateMember(members::Updated),
    /// Of a grant.
    LeaseGrant(Result<LeaseGrantResponse, kv::Refusal>),
    /// Of a revocation.
    LeaseRevoke(Result<LeaseRevokeResponse, kv::Refusal>),
    /// Of what the leader decided about leases; whether it was of the term of its entry, and so had an effect.
    Decided(bool),
}

/// Encodes a put for the log.
pub fn encode_put(request: PutRequest) -> Bytes {
    encode(command::Command::Put(request))
}

/// Encodes a delete for the log.
pub fn encode_delete_range(request: DeleteRangeRequest) -> Bytes {
    encode(command::Command::DeleteRange(request))
}

/// Encodes a transaction for the log.
pub fn encode_txn(request: TxnRequest) -> Bytes {
    encode(command::Command::Txn(request))
}

/// Encodes a compaction for the log.
pub fn encode_compact(request: CompactionRequest) -> Bytes {
    encode(command::Command::Compact(request))
}

/// Encodes the announcement of a member for the log.
pub fn encode_announce(member: members::MemberRecord) -> Bytes {
    encode(command::Command::Announce(MemberAnnounce {
        member: Some(member),
    }))
}

/// Encodes a new address of a member for the log.
pub fn encode_update_member(update: MemberUpdate) -> Bytes {
    encode(command::Command::UpdateMember(update))
}

pub use leases::{
    encode_lease_checkpoint, encode_lease_expire, encode_lease_grant, encode_lease_revoke,
};

fn encode(command: command::Command) -> Bytes {
    let command = Command {
        command: Some(command),
    };
    let mut out = BytesMut::with_capacity(1 + command.encoded_len());
    out.put_u8(COMMAND_V1);
    command.encode_raw(&mut out);
    out.freeze()
}

/// Decodes a command; keys and values share the memory of `bytes`.
fn decode(mut bytes: Bytes) -> Result<command::Command, MachineError> {
    match bytes.first() {
        Some(&COMMAND_V1) => {}
        Some(version) => {
            return Err(MachineError::Command(format!(
                "version {version} is not known, this program writes {COMMAND_V1}"
            )));
        }
        None => return Err(MachineError::Command("it is empty".to_owned())),
    }
    let body = bytes.split_off(1);
    let command =
        Command::decode(body).map_err(|error| MachineError::Command(error.to_string()))?;
    command
        .command
        .ok_or_else(|| MachineError::Command("its kind is not known".to_owned()))
}

#[cfg(test)]
mod tests;
