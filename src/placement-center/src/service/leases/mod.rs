//! The leader's side of leases at run time: proves leadership before it promises anything, ends leases whose
//! time is over, writes checkpoints. What a lease is belongs to `lease`; how clients and other members ask for
//! one to [`super::lease`].

mod checkpoints;
mod expiry;
mod forwarded;

pub use checkpoints::write_checkpoints;
pub use expiry::end_expired;
pub(super) use forwarded::{asked, told};

use crate::lease::{Life, Published, Renewal};
use crate::machine::Reply;
use consensus::{Handle, ReadError, Role};
use protocol::placement::internal::v1::LeaseRef;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// Looks at a lease that changes hands while it is renewed; more means that somebody grants and revokes it
/// without end.
const ROUNDS_MAX: usize = 4;

/// The leases of this node. One for the node, behind an `Arc`.
pub struct Leases {
    handle: Handle<Reply>,
    published: Arc<Published>,
    /// What a lease gets beyond its time when this node begins to lead.
    slack: Duration,
    /// Where the clock of the deadlines begins.
    started: Instant,
}

impl Leases {
    /// Leases of a group whose elections time out after `election`.
    pub fn new(handle: Handle<Reply>, published: Arc<Published>, election: Duration) -> Leases {
        Leases {
            handle,
            published,
            slack: election,
            started: Instant::now(),
        }
    }

    /// Leases as of the newest committed entry.
    pub fn published(&self) -> &Published {
        &self.published
    }

    fn now_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }

    /// Renews leases, if this node leads. When this returns, the leader of the term has been proven to lead
    /// after the renewal, so whoever leads next begins to reckon later than the client does. Bound the wait.
    /// Cancel-safe: a renewal may then have happened or not.
    ///
    /// # Errors
    /// When this node does not lead, or cannot prove it. Safe to repeat.
    pub async fn renew(&self, ids: &[i64]) -> Result<Vec<Life>, ReadError> {
        for _ in 0..ROUNDS_MAX {
            let (term, renewals) = self.renew_here(ids)?;
            self.prove(term).await?;
            self.cleared(term, ids, &renewals).await?;
            if let Some(lives) = self.confirmed(term, ids, &renewals)? {
                let live = lives
                    .iter()
                    .filter(|life| matches!(life, Life::Live { .. }));
                let counters = &self.published.counters;
                counters.renewed.fetch_add(live.count() as u64, Relaxed);
                return Ok(lives);
            }
        }
        Err(ReadError::LeaderChanged)
    }

    /// How long leases still live, if this node leads. Bound the wait. Cancel-safe.
    ///
    /// # Errors
    /// As [`Leases::renew`].
    pub async fn lives(&self, ids: &[i64]) -> Result<Vec<Life>, ReadError> {
        let term = self.term()?;
        self.prove(term).await?;
        let now = self.now_ms();
        let mut deadlines = self.published.deadlines();
        if deadlines.term() != Some(term) {
            return Err(ReadError::LeaderChanged);
        }
        let lives = ids.iter().map(|id| deadlines.life(*id, now));
        lives.collect::<Option<_>>().ok_or(ReadError::LeaderChanged)
    }

    fn term(&self) -> Result<u64, ReadError> {
        let term = self.published.deadlines().term();
        term.ok_or(ReadError::LeaderChanged)
    }

    fn renew_here(&self, ids: &[i64]) -> Result<(u64, Vec<Renewal>), ReadError> {
        let now = self.now_ms();
        let mut deadlines = self.published.deadlines();
        let term = deadlines.term().ok_or(ReadError::LeaderChanged)?;
        let renewals = ids.iter().map(|id| deadlines.renew(*id, now)).collect();
        if deadlines.has_clears() {
            self.published.clear_soon();
        }
        Ok((term, renewals))
    }

    /// Returns once this node is known to have led in `term` at some time since the call, and to have applied
    /// whatever was committed before it.
    async fn prove(&self, term: u64) -> Result<(), ReadError> {
        self.handle.read_barrier().await?;
        // A barrier of a follower is the leader's: it passes, and proves nothing of this node.
        if self.leads_in(term) {
            Ok(())
        } else {
            Err(ReadError::LeaderChanged)
        }
    }

    fn leads_in(&self, term: u64) -> bool {
        let status = self.handle.status();
        status.role == Role::Leader && status.term == term
    }

    /// Waits until no checkpoint stands in the way of the renewals.
    async fn cleared(&self, term: u64, ids: &[i64], renewals: &[Renewal]) -> Result<(), ReadError> {
        for (id, renewal) in ids.iter().zip(renewals) {
            let Renewal::Renewed {
                granted,
                is_clean: false,
                ..
            } = *renewal
            else {
                continue;
            };
            let lease = LeaseRef { id: *id, granted };
            let mut changes = self.published.subscribe();
            loop {
                {
                    let deadlines = self.published.deadlines();
                    if deadlines.term() != Some(term) {
                        return Err(ReadError::LeaderChanged);
                    }
                    if deadlines.holds(lease).is_some() {
                        break;
                    }
                }
                if changes.changed().await.is_err() {
                    return Err(ReadError::Stopping);
                }
            }
        }
        Ok(())
    }

    /// What the renewals came to; `None` when one of them is to be looked at again.
    fn confirmed(
        &self,
        term: u64,
        ids: &[i64],
        renewals: &[Renewal],
    ) -> Result<Option<Vec<Life>>, ReadError> {
        let now = self.now_ms();
        let mut deadlines = self.published.deadlines();
        if deadlines.term() != Some(term) {
            return Err(ReadError::LeaderChanged);
        }
        let mut lives = Vec::with_capacity(ids.len());
        for (id, renewal) in ids.iter().zip(renewals) {
            let life = deadlines.life(*id, now).ok_or(ReadError::LeaderChanged)?;
            let is_kept = match *renewal {
                Renewal::Renewed { granted, .. } => {
                    deadlines.holds(LeaseRef { id: *id, granted }) == Some(true)
                }
                _ => false,
            };
            match life {
                // Granted since, or not the one that was renewed.
                Life::Live { .. } if !is_kept => return Ok(None),
                life => lives.push(life),
            }
        }
        Ok(Some(lives))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
