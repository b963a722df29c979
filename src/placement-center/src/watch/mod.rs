//! Watches: changes of keys, told in order, from any revision that is not compacted.
//!
//! The apply thread leaves the events of a batch in [`Recent`], a bounded memory, and goes on; it never waits
//! for a watcher and does nothing at all while there is none. One task, the [`run`] of the [`Hub`], owns all
//! watchers. It finds who watches a key and puts what they are to be told into the outbox of their stream. An
//! outbox is bounded: a watcher whose outbox is full falls behind, and is brought up again from memory or from
//! the store once its stream takes more. So a slow stream costs its bound, and delays nobody.
//!
//! What a watch looks like on the wire belongs to `service`.

mod catch_up;
mod core;
mod figures;
mod hub;
mod index;
mod outbox;
mod reader;
mod recent;
mod run;
mod signals;
mod spec;
mod tuning;

pub use core::{Limits, StreamId, Survey, SurveyRequest, WatcherView};
pub use figures::Figures;
pub use hub::{Hub, Parts, Subscription};
pub use outbox::{Batch, Cause, End, Notice};
pub use reader::{Watch, WatchError};
pub use recent::Recent;
pub use run::{Runner, follow_leader};
pub use spec::{Keys, Refusal, Spec};
pub use tuning::Tuning;
