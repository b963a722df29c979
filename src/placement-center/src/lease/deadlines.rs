//! When each lease ends, as the leader reckons it: one heap for all leases. A renewal only writes a new
//! deadline; the heap finds out when the old one comes up. Nothing here deletes a lease: what is due is
//! handed out, to be proposed, and a lease is gone when the log says so.
//!
//! The checkpoint rule. Whatever a client was told that it has, the next leader must give it. A leader that
//! starts from a checkpoint gives what the checkpoint says, so a renewal may be answered only once no
//! checkpoint of the lease is in the state, or on its way there. [`Phase`] keeps track of that.

use super::{Checkpoint, Facts, LeaseRef};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// A lease that was not renewed for this long is written down; see [`checkpoint_interval`].
const CHECKPOINT_INTERVAL_MS_MIN: u64 = 60_000;
const CHECKPOINT_INTERVAL_MS_MAX: u64 = 300_000;
/// Entries of the heap that one look examines: keeps the lock short when very many are due.
const LOOKS_MAX: usize = 8192;
/// Entries that the heap may hold beyond twice the leases before it is built anew.
const STALE_MAX: usize = 1024;
/// Of a lease whose end is not reckoned yet.
const NEVER: u64 = u64::MAX;

/// Whether a lease may be renewed, and what a renewal must do about checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No checkpoint is in the state or on its way there.
    Clean,
    /// There is one, or may be.
    Checkpointed,
    /// It is being cleared, for the sake of a renewal.
    Clearing,
    /// The time is over and the end is being proposed: too late to renew.
    Expiring,
}

#[derive(Clone, Copy, Debug)]
struct Tracked {
    facts: Facts,
    deadline: u64,
    /// When it was last granted, renewed or written down.
    since: u64,
    /// Its entry in the heap; entries that say otherwise are stale.
    wake: u64,
    phase: Phase,
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// This node does not lead, or has only just begun to.
    NotLeading,
    /// There is no such lease.
    Missing,
    /// Its time is over; wait for its end.
    Expiring,
    /// It has its whole TTL again.
    Renewed {
        /// Seconds.
        ttl: i64,
        /// The grant that was renewed, and the term in which.
        granted: u64,
        /// See the head of this file; false: to be answered only after the checkpoint was cleared.
        is_clean: bool,
    },
}

/// How long a lease still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// There is no such lease.
    Missing,
    /// Its time is over; it ends within moments.
    Expiring,
    /// It lives.
    Live {
        /// Seconds granted.
        ttl: i64,
        /// What is left.
        remaining_ms: u64,
    },
}

/// All leases, and on the leader when each ends. Times are milliseconds of one clock that never goes back.
#[derive(Debug, Default)]
pub struct Deadlines {
    leases: BTreeMap<i64, Tracked>,
    /// Of each lease one entry: when to look at it next. And stale ones.
    wakes: BinaryHeap<Reverse<(u64, i64)>>,
    /// The term in which this node leads.
    term: Option<u64>,
    /// Granted since somebody last told the time.
    fresh: Vec<i64>,
    /// What a look found, in order.
    expired: VecDeque<i64>,
    to_checkpoint: VecDeque<i64>,
    to_clear: VecDeque<i64>,
}

impl Deadlines {
    /// Takes over the leases of a state.
    pub(super) fn replace(&mut self, leases: &BTreeMap<i64, Facts>) {
        self.demote();
        let tracked = leases.iter().map(|(id, facts)| (*id, untimed(*facts)));
        self.leases = tracked.collect();
    }

    /// A lease is new, or changed, or gone.
    pub(super) fn touched(&mut self, id: i64, facts: Option<&Facts>) {
        let Some(facts) = facts else {
            self.leases.remove(&id);
            self.drop_stale();
            return;
        };
        match self.leases.get_mut(&id) {
            Some(tracked) if tracked.facts.granted == facts.granted => tracked.facts = *facts,
            _ => {
                self.leases.insert(id, untimed(*facts));
                if self.term.is_some() {
                    self.fresh.push(id);
                }
            }
        }
    }

    /// A checkpoint was cleared.
    pub(super) fn cleared(&mut self, id: i64) {
        if let Some(tracked) = self.leases.get_mut(&id)
            && tracked.phase == Phase::Clearing
        {
            tracked.phase = Phase::Clean;
        }
    }

    /// Leases there are.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there is no lease.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// When each lease ends, as far as this node knows, and its id. In no order of the ends: sorting is for
    /// whoever no longer holds the lock.
    pub fn ends(&self) -> Vec<(u64, i64)> {
        let ends = self.leases.iter();
        ends.map(|(id, tracked)| (tracked.deadline, *id)).collect()
    }

    /// Leases with an id of `from` or above, in the order of their ids.
    pub fn page(&self, from: i64, count_max: usize) -> Vec<(i64, Facts)> {
        let page = self.leases.range(from..).take(count_max);
        page.map(|(id, tracked)| (*id, tracked.facts)).collect()
    }

    /// What is replicated of a lease.
    pub fn facts(&self, id: i64) -> Option<Facts> {
        self.leases.get(&id).map(|tracked| tracked.facts)
    }

    /// The term in which this node leads and reckons.
    pub fn term(&self) -> Option<u64> {
        self.term
    }

    /// This node leads from now on. Every lease gets what is left of it as far as the state tells, and
    /// `slack_ms` for the time in which nobody could renew it.
    pub fn promote(&mut self, term: u64, now: u64, slack_ms: u64) {
        self.demote();
        self.term = Some(term);
        let mut wakes = Vec::with_capacity(self.leases.len());
        for (id, tracked) in &mut self.leases {
            let facts = tracked.facts;
            let (left, phase) = match facts.remaining_ms {
                0 => (ttl_ms(&facts), Phase::Clean),
                remaining => (remaining.min(ttl_ms(&facts)), Phase::Checkpointed),
            };
            *tracked = Tracked {
                facts,
                deadline: now + left + slack_ms,
                since: now,
                wake: NEVER,
                phase,
            };
            wakes.push(Reverse(tracked.reckon(*id)));
        }
        self.wakes = wakes.into();
    }

    /// This node does not lead any more.
    pub fn demote(&mut self) {
        let leases = std::mem::take(&mut self.leases);
        *self = Deadlines {
            leases,
            ..Deadlines::default()
        };
    }

    /// Gives a lease its whole TTL again.
    pub fn renew(&mut self, id: i64, now: u64) -> Renewal {
        if self.term.is_none() {
            return Renewal::NotLeading;
        }
        self.reckon_fresh(now);
        let Some(tracked) = self.leases.get_mut(&id) else {
            return Renewal::Missing;
        };
        if tracked.phase == Phase::Expiring || tracked.deadline <= now {
            return Renewal::Expiring;
        }
        // A deadline that a leader change put off is not brought forward.
        tracked.deadline = tracked.deadline.max(now + ttl_ms(&tracked.facts));
        tracked.since = now;
        if tracked.phase == Phase::Checkpointed {
            tracked.phase = Phase::Clearing;
            self.to_clear.push_back(id);
        }
        Renewal::Renewed {
            ttl: tracked.facts.ttl,
            granted: tracked.facts.granted,
            is_clean: tracked.phase == Phase::Clean,
        }
    }

    /// Whether what a renewal of that grant promised still holds; `None` while its checkpoint is being cleared.
    pub fn holds(&self, lease: LeaseRef) -> Option<bool> {
        let tracked = self.leases.get(&lease.id);
        match tracked.filter(|tracked| tracked.facts.granted == lease.granted) {
            None => Some(false),
            Some(tracked) => match tracked.phase {
                Phase::Clean => Some(true),
                Phase::Expiring => Some(false),
                Phase::Checkpointed | Phase::Clearing => None,
            },
        }
    }

    /// How long a lease still lives; `None` when this node does not lead.
    pub fn life(&mut self, id: i64, now: u64) -> Option<Life> {
        self.term?;
        self.reckon_fresh(now);
        Some(match self.leases.get(&id) {
            None => Life::Missing,
            Some(tracked) if tracked.phase == Phase::Expiring || tracked.deadline <= now => {
                Life::Expiring
            }
            Some(tracked) => Life::Live {
                ttl: tracked.facts.ttl,
                // What a leader change adds is not for the owner to count on.
                remaining_ms: (tracked.deadline - now).min(ttl_ms(&tracked.facts)),
            },
        })
    }

    /// Looks at what is due by `now`, for the `take_` functions to hand out.
    pub fn look(&mut self, now: u64) {
        self.reckon_fresh(now);
        for _ in 0..LOOKS_MAX {
            let Some(Reverse((wake, id))) = self.wakes.peek().copied() else {
                return;
            };
            if wake > now {
                return;
            }
            self.wakes.pop();
            let Some(tracked) = self.leases.get_mut(&id) else {
                continue;
            };
            if tracked.wake != wake {
                continue;
            }
            tracked.wake = NEVER;
            if tracked.deadline <= now {
                tracked.phase = Phase::Expiring;
                self.expired.push_back(id);
                continue;
            }
            let is_due = now >= tracked.since + checkpoint_interval(&tracked.facts);
            if is_due && tracked.phase != Phase::Clearing {
                tracked.phase = Phase::Checkpointed;
                tracked.since = now;
                self.to_checkpoint.push_back(id);
            }
            self.wakes.push(Reverse(tracked.reckon(id)));
        }
    }

    /// Leases whose time is over, the first to end first: at most `leases_max`, and no more once they hold
    /// `keys_max` keys together. Each comes with its deadline. To be given back if they were not ended.
    pub fn take_expired(&mut self, leases_max: usize, keys_max: u64) -> Vec<(LeaseRef, u64)> {
        let (mut taken, mut keys) = (Vec::new(), 0);
        while taken.len() < leases_max && keys < keys_max {
            let Some(id) = self.expired.pop_front() else {
                break;
            };
            // One that a client revoked meanwhile, perhaps to grant it anew.
            let Some(tracked) = self.leases.get(&id) else {
                continue;
            };
            if tracked.phase == Phase::Expiring {
                keys += tracked.facts.keys.max(1);
                taken.push((tracked.reference(id), tracked.deadline));
            }
        }
        taken
    }

    /// The end of these leases was perhaps not proposed: they are due again.
    pub fn give_back(&mut self, leases: &[(LeaseRef, u64)]) {
        if self.term.is_some() {
            self.expired
                .extend(leases.iter().map(|(lease, _)| lease.id));
        }
    }

    /// What is to be written down of leases that nobody renewed, and, for those whose renewal waits for it, that
    /// nothing is: `count_max` of each at most. Whoever takes them proposes them in the order of the calls.
    pub fn take_checkpoints(&mut self, count_max: usize, now: u64) -> Vec<Checkpoint> {
        let mut taken = Vec::new();
        for id in take(&mut self.to_clear, count_max) {
            if let Some(tracked) = self.leases.get(&id)
                && tracked.phase == Phase::Clearing
            {
                taken.push(Checkpoint {
                    lease: tracked.reference(id),
                    remaining_ms: 0,
                });
            }
        }
        for id in take(&mut self.to_checkpoint, count_max) {
            if let Some(tracked) = self.leases.get(&id)
                && tracked.phase == Phase::Checkpointed
            {
                taken.push(Checkpoint {
                    lease: tracked.reference(id),
                    // Rounded up: 0 would be the whole TTL.
                    remaining_ms: tracked
                        .deadline
                        .saturating_sub(now)
                        .clamp(1, ttl_ms(&tracked.facts)),
                });
            }
        }
        taken
    }

    /// These checkpoints were perhaps not proposed: those that renewals wait for are due again.
    pub fn give_back_checkpoints(&mut self, checkpoints: &[Checkpoint]) {
        let clears = checkpoints
            .iter()
            .filter(|checkpoint| checkpoint.remaining_ms == 0);
        if self.term.is_some() {
            self.to_clear
                .extend(clears.map(|checkpoint| checkpoint.lease.id));
        }
    }

    /// Whether renewals wait for a checkpoint to be cleared.
    pub fn has_clears(&self) -> bool {
        !self.to_clear.is_empty()
    }

    /// Whether leases are to be ended.
    pub fn has_expired(&self) -> bool {
        !self.expired.is_empty()
    }

    fn reckon_fresh(&mut self, now: u64) {
        for id in self.fresh.drain(..) {
            let Some(tracked) = self.leases.get_mut(&id) else {
                continue;
            };
            // Granted, ended and granted again, it is on the list twice.
            if tracked.deadline == NEVER {
                tracked.deadline = now + ttl_ms(&tracked.facts);
                tracked.since = now;
                self.wakes.push(Reverse(tracked.reckon(id)));
            }
        }
    }

    /// Leases that were granted for long and revoked soon leave their entries behind.
    fn drop_stale(&mut self) {
        if self.wakes.len() > 2 * self.leases.len() + STALE_MAX {
            let leases = &self.leases;
            self.wakes.retain(|Reverse((wake, id))| {
                leases.get(id).is_some_and(|tracked| tracked.wake == *wake)
            });
        }
    }
}

impl Tracked {
    /// Notes when to look at it next; returns the entry for the heap.
    fn reckon(&mut self, id: i64) -> (u64, i64) {
        let checkpoint = self.since + checkpoint_interval(&self.facts);
        self.wake = self.deadline.min(checkpoint);
        (self.wake, id)
    }

    fn reference(&self, id: i64) -> LeaseRef {
        LeaseRef {
            id,
            granted: self.facts.granted,
        }
    }
}

fn untimed(facts: Facts) -> Tracked {
    Tracked {
        facts,
        deadline: NEVER,
        since: 0,
        wake: NEVER,
        phase: Phase::Clean,
    }
}

fn ttl_ms(facts: &Facts) -> u64 {
    facts.ttl.unsigned_abs().saturating_mul(1000)
}

/// After how long without a renewal a lease is written down. Half its TTL, because clients renew more often
/// than that and each renewal of a lease that was written down costs an entry; five minutes at most, because
/// that is what a leader change gives back to the lease.
fn checkpoint_interval(facts: &Facts) -> u64 {
    (ttl_ms(facts) / 2).clamp(CHECKPOINT_INTERVAL_MS_MIN, CHECKPOINT_INTERVAL_MS_MAX)
}

fn take(
    queue: &mut VecDeque<i64>,
    count_max: usize,
) -> std::collections::vec_deque::Drain<'_, i64> {
    let count = queue.len().min(count_max);
    queue.drain(..count)
}

#[cfg(test)]
mod tests;
