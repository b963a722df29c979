//! Bytes and durability. This crate keeps ordered bytes in named families, on RocksDB or on an
//! in-memory twin that can inject faults, behind two narrow interfaces:
//!
//! * [`LogStore`]: numbered records and a few named values; every write may be synced. The Raft log.
//! * [`StateStore`]: families of keys that change only through an [`ApplyBatch`], which carries the
//!   applied index in the same atomic batch as the change. Not synced: replayed from the log.
//!
//! [`DataDir`] is the directory both live in, with its lock, format version and identity file;
//! [`MemoryDisk`] is the same thing in memory, for tests and simulation.
//!
//! It knows nothing of Raft messages, protobuf or the meaning of a key.

mod cursor;
mod data_dir;
mod engine;
mod error;
mod log_store;
mod read;
mod state;

pub use cursor::Cursor;
pub use data_dir::{DataDir, Identity, OpenOptions, Stores, Watermark};
pub use engine::{Crash, Fault, MemoryDisk, memory_stores};
pub use error::{EngineError, Error, Result};
pub use log_store::{LogStore, LogWrite, Record};
pub use read::{Family, Order, Read};
pub use state::{
    Applied, ApplyBatch, CHUNK_BYTES, CHUNK_BYTES_MAX, Snapshot, SnapshotChunks, SnapshotStage,
    StagedSnapshot, StateStore, StateWriter, View, is_last_chunk,
};
