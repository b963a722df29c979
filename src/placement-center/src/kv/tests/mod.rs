//! Tests of the store as a whole, on the in-memory engine.

mod damage;
mod differential;
mod generate;
mod model;
mod ranges;
pub(super) mod rig;
mod transactions;
mod writes;
