//! What every API does with leases the same way: grant, revoke, renew, ask. On a member that does not lead,
//! time is the leader's business, and it is asked.

use super::leases::{self, Leases};
use super::{Context, Deadline, Failure, Outcome};
use crate::kv::Refusal;
use crate::lease::{self, Life};
use crate::machine::{self, Reply};
use bytes::Bytes;
use consensus::ReadError;
use protocol::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Pause before leases are asked for again when nobody led, if nothing is heard of a new leader.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Random ids tried for a lease whose client leaves the choice to us. Of 2^63, none is ever taken.
const ID_ATTEMPTS_MAX: usize = 8;
/// While the end of a lease is awaited the leader is asked again this often: the next one may have given the
/// lease more time.
const END_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A lease that is over and does not end within this many looks is given up on; the client may ask again.
const END_LOOKS_MAX: usize = 60;

/// A lease as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Seconds granted.
    pub ttl: i64,
    /// What is left; 0 when its time is over.
    pub remaining_ms: u64,
    /// The keys attached, in order, if they were asked for.
    pub keys: Vec<Bytes>,
}

impl Context {
    /// The leader's side of leases.
    pub fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    /// Makes a lease.
    ///
    /// # Errors
    /// As for [`Context::put`], and [`Failure::TooManyLeases`].
    pub async fn lease_grant(
        &self,
        request: LeaseGrantRequest,
        deadline: Deadline,
    ) -> Result<LeaseGrantResponse, Failure> {
        self.check_quota()?;
        if request.ttl > lease::TTL_MAX {
            return Err(Refusal::LeaseTtlTooLarge.into());
        }
        if self.leases.published().deadlines().len() >= self.limits.leases_max {
            return Err(Failure::TooManyLeases);
        }
        let ttl = request.ttl.max(self.lease_ttl_min);
        for _ in 0..ID_ATTEMPTS_MAX {
            let id = match request.id {
                0 => random_id()?,
                id => id,
            };
            let command = machine::encode_lease_grant(LeaseGrantRequest { ttl, id });
            match self.write(command, deadline).await? {
                Reply::LeaseGrant(Err(Refusal::LeaseExists)) if request.id == 0 => {}
                Reply::LeaseGrant(reply) => return Ok(reply?),
                _ => return Err(Failure::Broken),
            }
        }
        Err(Refusal::LeaseExists.into())
    }

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// As for [`Context::put`].
    pub async fn lease_revoke(
        &self,
        id: i64,
        deadline: Deadline,
    ) -> Result<LeaseRevokeResponse, Failure> {
        let command = machine::encode_lease_revoke(LeaseRevokeRequest { id });
        match self.write(command, deadline).await? {
            Reply::LeaseRevoke(reply) => Ok(reply?),
            _ => Err(Failure::Broken),
        }
    }

    /// Renews leases. One that is over and not yet ended is [`Life::Expiring`]; see [`Context::lease_end`].
    ///
    /// # Errors
    /// Always safe to repeat. Renewals may have happened all the same.
    pub async fn keep_alive(&self, ids: &[i64], deadline: Deadline) -> Result<Vec<Life>, Failure> {
        self.ask_leader(ids, true, deadline).await
    }

    /// Waits for the end of a lease that was expiring; returns the seconds that the client may count on: none,
    /// unless a new leader gave the lease more time.
    ///
    /// # Errors
    /// As for [`Context::keep_alive`], and when the lease does not end.
    pub async fn lease_end(&self, id: i64) -> Result<i64, Failure> {
        let published = self.leases.published();
        for _ in 0..END_LOOKS_MAX {
            let mut changes = published.subscribe();
            let gone = async {
                while published.deadlines().facts(id).is_some() {
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
            };
            let look = Deadline::after(END_LOOK_INTERVAL);
            match look.within(&self.cut, gone).await {
                Ok(()) => return Ok(0),
                Err(super::deadline::Cut::Stopping) => {
                    return Err(Failure::Stopping(Outcome::Unknown));
                }
                Err(super::deadline::Cut::TimedOut) => {}
            }
            let deadline = Deadline::after(self.limits.request_timeout);
            match self.keep_alive(&[id], deadline).await?.first() {
                Some(Life::Live { ttl, .. }) => return Ok(*ttl),
                Some(Life::Missing) | None => return Ok(0),
                Some(Life::Expiring) => {}
            }
        }
        Err(Failure::TimedOut(Outcome::Unknown))
    }

    /// What is left of a lease, and which keys are attached to it; `None` when it does not exist.
    ///
    /// # Errors
    /// See [`Failure::row`].
    pub async fn lease_view(
        self: &Arc<Self>,
        id: i64,
        with_keys: bool,
        deadline: Deadline,
    ) -> Result<Option<LeaseView>, Failure> {
        let (ttl, remaining_ms) = match self.ask_leader(&[id], false, deadline).await?.first() {
            None | Some(Life::Missing) => return Ok(None),
            Some(Life::Live { ttl, remaining_ms }) => (Some(*ttl), *remaining_ms),
            Some(Life::Expiring) => (None, 0),
        };
        // The leader spoke of a state that this node may not have reached.
        self.read_barrier(deadline).await?;
        let Some(facts) = self.leases.published().deadlines().facts(id) else {
            return Ok(None);
        };
        let keys = if with_keys {
            self.read(true, deadline, move |view| Ok(lease::keys(view, id)?))
                .await?
        } else {
            Vec::new()
        };
        Ok(Some(LeaseView {
            ttl: ttl.unwrap_or(facts.ttl),
            remaining_ms,
            keys,
        }))
    }

    /// The leases that this node knows of; those that end first come first, as far as it knows.
    pub fn lease_ids(&self) -> Vec<i64> {
        let mut ends = self.leases.published().deadlines().ends();
        ends.sort_unstable();
        ends.into_iter().map(|(_, id)| id).collect()
    }

    async fn ask_leader(
        &self,
        ids: &[i64],
        renew: bool,
        deadline: Deadline,
    ) -> Result<Vec<Life>, Failure> {
        let leader_deadline = deadline.no_later_than(self.leader_wait);
        loop {
            let asking = self.ask(ids, renew);
            match deadline.within(&self.cut, asking).await {
                Ok(Some(lives)) => return Ok(lives),
                Ok(None) => {}
                Err(super::deadline::Cut::TimedOut) => {
                    return Err(Failure::TimedOut(Outcome::Unknown));
                }
                Err(super::deadline::Cut::Stopping) => {
                    return Err(Failure::Stopping(Outcome::Unknown));
                }
            }
            let next_leader = timeout(RETRY_PAUSE, self.handle.leader_changed());
            let waited = leader_deadline.within(&self.cut, next_leader).await;
            if waited.is_err() {
                return Err(Failure::NoLeader);
            }
        }
    }

    /// Asks whoever leads; `None` when nobody could tell.
    async fn ask(&self, ids: &[i64], renew: bool) -> Option<Vec<Life>> {
        match self.handle.status().leader {
            None => None,
            Some(leader) if leader == self.identity.node_id => {
                let lives = match renew {
                    true => self.leases.renew(ids).await,
                    false => self.leases.lives(ids).await,
                };
                lives
                    .inspect_err(|error: &ReadError| log::debug!("tell of leases: {error}"))
                    .ok()
            }
            Some(leader) => {
                let question = leases::asked(ids, renew);
                let answer = self.forward.ask_leases(leader, question).await;
                leases::told(answer.ok()?.ok()?, ids.len())
            }
        }
    }
}

/// A positive id that nobody can guess.
fn random_id() -> Result<i64, Failure> {
    let random: Result<[u8; 8], _> = crate::peer::random();
    let random = random.map_err(|error| {
        log::error!("draw a lease id: {error}");
        Failure::Broken
    })?;
    let id = i64::from_be_bytes(random) & i64::MAX;
    Ok(id.max(1))
}
