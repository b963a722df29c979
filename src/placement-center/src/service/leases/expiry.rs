//! Ends leases whose time is over, on the leader: one task, whatever the number of leases.

use super::{Leases, millis};
use crate::lease::LeaseRef;
use crate::machine::{self, Reply};
use consensus::Role;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How often the deadlines are looked at: what a lease may live too long.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Leases that one entry ends. Applying it takes about a millisecond, which a write behind it waits.
const LEASES_MAX: usize = 128;
/// Keys that one entry deletes, more or less: the lease that brings it there comes with all of its keys,
/// because those go in one revision.
const KEYS_MAX: u64 = 256;
/// After an entry the task rests for this many times as long as the entry took, so that the writes of
/// clients get the greater part when very many leases end at once.
const REST_SHARE: u32 = 2;
/// An entry that takes longer is proposed again: a lease that is gone is passed over.
const PROPOSAL_TIME: Duration = Duration::from_secs(5);
/// How long a new leader may take to learn what was committed before it led; then it tries again.
const CATCH_UP_TIME: Duration = Duration::from_secs(5);

/// Ends leases until stopped.
pub async fn end_expired(leases: Arc<Leases>, stop: CancellationToken) -> Result<(), Infallible> {
    let mut rest = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(rest) => {}
            // Renewals wait for the new leader to take over.
            () = leases.handle.leader_changed() => {}
        }
        let turn = async {
            leases.follow_leadership().await;
            leases.end_some().await
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            took = turn => rest = took.map_or(LOOK_INTERVAL, |took| took * REST_SHARE),
        }
    }
}

impl Leases {
    /// Begins to reckon when this node has come to lead, and ends when it does no more.
    async fn follow_leadership(&self) {
        let status = self.handle.status();
        let reckons_in = self.published.deadlines().term();
        if status.role != Role::Leader {
            if reckons_in.is_some() {
                self.published.deadlines().demote();
                self.published.ring();
            }
            return;
        }
        if reckons_in == Some(status.term) {
            return;
        }
        // Until it has applied what others committed, it does not know every lease and every checkpoint.
        let caught_up = timeout(CATCH_UP_TIME, self.handle.read_barrier()).await;
        if !matches!(caught_up, Ok(Ok(()))) || !self.leads_in(status.term) {
            return;
        }
        let count = {
            let mut deadlines = self.published.deadlines();
            deadlines.promote(status.term, self.now_ms(), millis(self.slack));
            deadlines.len()
        };
        self.published.ring();
        log::info!(
            "this node keeps the time of {count} leases, as leader of term {}",
            status.term
        );
    }

    /// Ends some of the leases that are due. Returns how long that took, `None` when none is due.
    async fn end_some(&self) -> Option<Duration> {
        let (term, due) = {
            let mut deadlines = self.published.deadlines();
            let term = deadlines.term()?;
            deadlines.look(self.now_ms());
            (term, deadlines.take_expired(LEASES_MAX, KEYS_MAX))
        };
        if due.is_empty() {
            return None;
        }
        let started = Instant::now();
        if self.propose_end(term, &due).await {
            self.count_delays(&due);
        } else {
            self.published.deadlines().give_back(&due);
        }
        Some(started.elapsed())
    }

    /// Whether the leases are gone; false if that is unknown, too.
    async fn propose_end(&self, term: u64, due: &[(LeaseRef, u64)]) -> bool {
        let ended = due.iter().map(|(lease, _)| *lease).collect();
        let command = machine::encode_lease_expire(term, ended);
        match timeout(PROPOSAL_TIME, self.handle.propose(command)).await {
            Ok(Ok(Reply::Decided(true))) => true,
            Ok(Ok(_)) => {
                log::info!(
                    "{} leases that are due are left to the next leader",
                    due.len()
                );
                false
            }
            Ok(Err(error)) => {
                log::debug!("end {} leases: {error}", due.len());
                false
            }
            Err(_) => {
                log::warn!("ending {} leases takes long", due.len());
                false
            }
        }
    }

    fn count_delays(&self, due: &[(LeaseRef, u64)]) {
        let now = self.now_ms();
        let counters = &self.published.counters;
        for (_, deadline) in due {
            let delay = now.saturating_sub(*deadline);
            counters.delay_ms_total.fetch_add(delay, Relaxed);
            counters.delay_ms_max.fetch_max(delay, Relaxed);
        }
        counters.delays.fetch_add(due.len() as u64, Relaxed);
    }
}
