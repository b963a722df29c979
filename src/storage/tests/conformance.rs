//! One suite of cases that every engine must pass: what is said of the stores holds whether they
//! run on RocksDB or on the in-memory twin, so tests on the twin speak for production.

mod conformance {
    pub mod damage;
    pub mod durability;
    pub mod log;
    pub mod model;
    pub mod node;
    pub mod reads;
    pub mod snapshots;
    pub mod writes;
}
