//! Tests of the core: several cores passing messages, with durability and application reported when
//! the test says so. Each trap of raft-rs that a guard closes has a test that fails without it.

mod harness;

mod elections;
mod forged;
mod guards;
mod leaders;
mod log_rules;
mod members;
mod reads;
mod simulation;
mod snapshots;
