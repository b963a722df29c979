//! One Raft group on raft-rs: a sans-io core, a tokio driver, a log writer thread, an apply thread
//! and a keeper thread.
//!
//! * [`Group::start`] opens the group on its stores and spawns the parts; [`Group::shutdown`] joins
//!   them; [`Group::failed`] tells when they died.
//! * [`Handle`] is how services talk to the group: submit a command, await its reply, pass a read
//!   barrier, look at the [`Status`].
//! * [`StateMachine`] is what the group replicates.
//! * [`core`] is the consensus algorithm without clock, socket, disk or thread; a simulator drives
//!   it directly.
//!
//! raft-rs types never leave this crate. What a command means is the state machine's business; how
//! bytes become durable is `storage`'s.

mod config;
mod control;
mod error;
mod machine;
mod status;

mod group;
mod handle;

pub mod core;
mod driver;
mod log;

mod apply;
mod keeper;
mod writer;

mod clock;
mod forced;
mod identity;
pub mod payload;
mod peers;
pub mod simulation;

pub use config::{Config, Tuning};
pub use control::{ChangeError, TransferError};
pub use core::{ChangeRefused, MemberChange, Message, MessageError, Position};
pub use error::{FatalError, ProposeError, ReadError, StartError};
pub use forced::{ForceError, force_new_cluster};
pub use group::Group;
pub use handle::{Handle, PendingReply};
pub use machine::{ApplyContext, MachineError, Membership, StateMachine};
pub use peers::{Ended, InstallError, Links, Nobody, PeerHandle, PeerInbox, Peers, peer_channel};
pub use status::{
    Counters, PeerProgress, Replication, Role, SnapshotCounters, SnapshotDirection,
    SnapshotTransfer, Status, SyncHistogram, SyncHistogramSnapshot,
};
