//! Deterministic simulation of whole clusters: the same core, state machine and storage rules as the
//! product, on a virtual clock, network and disk, on one thread, by seed. The same seed gives the same
//! run, byte for byte.
//!
//! * [`simulate`] runs one seed under faults and says which rule broke, if one did.
//! * [`Mutant`] plants a bug in what the driver does, to see that the checkers find it.
//! * [`Counters`] tell which faults really took effect.
//!
//! [`linear`] and [`watches`] check what clients saw, of a simulation or of real processes.
//!
//! It simulates no tokio, no socket and no RocksDB: what runs here is everything that decides, not what
//! carries it.

mod counters;
mod dice;
mod mutant;
mod options;
mod queue;

mod model;
mod ops;
mod trace;
mod workload;

mod check;
mod network;
mod node;
mod simulation;
mod world;

pub mod linear;
pub mod watches;

pub use check::Violation;
pub use counters::{Count, Counters};
pub use dice::Dice;
pub use mutant::Mutant;
pub use options::{DiskOptions, Fault, NetworkOptions, Options};
pub use queue::{MILLI, Micros, SECOND};
pub use simulation::{Outcome, Plan, simulate};
