//! A cluster of real processes under load and under faults: what was acknowledged stays, reads are not stale,
//! refusals tell the truth, and all members end with the same state.
//!
//! `CLUSTER_ROUNDS` sets how often each fault is repeated; from 15 on, the times of elections are held to
//! the product's own figures, on a machine that does nothing else. `CLUSTER_SEED` repeats the choices of a run.

mod calls;
mod election;
mod membership;
mod partition;
mod reads;
mod record;
mod refusal;
mod rolling;
mod steps;
