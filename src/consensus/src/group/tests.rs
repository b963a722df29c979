//! Tests of the whole group on one node: driver, threads and stores together, with faults.

mod fixture;
mod rig;

mod cluster;
mod crashes;
mod failures;
mod forced;
mod restarts;
mod serving;
mod snapshots;
