//! The members as everybody but the apply thread sees them.

use super::{MemberRecord, RemovedMember};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// All that is known of present and former members. Immutable; a change makes a new one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members {
    pub(super) present: BTreeMap<u64, MemberRecord>,
    pub(super) removed: BTreeMap<u64, RemovedMember>,
}

/// Whether a node that claims to be a member may be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nothing speaks against it.
    Admitted,
    /// The number is that of a removed member.
    Removed,
    /// It runs on another data directory than the member of that number: its disk was wiped, or two nodes
    /// have the same number.
    OtherInstance,
    /// Its data directory is an older copy of the member's.
    OlderIncarnation,
}

impl Members {
    /// The members in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &MemberRecord> {
        self.present.values()
    }

    /// The member of a number.
    pub fn get(&self, id: u64) -> Option<&MemberRecord> {
        self.present.get(&id)
    }

    /// The member of a name.
    pub fn named(&self, alias: &str) -> Option<&MemberRecord> {
        self.iter()
            .find(|record| !alias.is_empty() && record.alias == alias)
    }

    /// Every number that a member has or had.
    pub fn numbers_used(&self) -> impl Iterator<Item = u64> {
        self.present.keys().chain(self.removed.keys()).copied()
    }

    /// Whether the number belonged to a member that was removed.
    pub fn was_removed(&self, id: u64) -> bool {
        self.removed.contains_key(&id)
    }

    /// Judges a node that claims to be member `id`, running for the `incarnation`th time on the directory
    /// `instance`, in the run `boot`. A number without a record is admitted: whether it is a member is for
    /// the Raft membership to say, and a founder has no record before it first announced itself.
    pub fn admit(&self, id: u64, instance: &[u8], incarnation: u64, boot: u64) -> Admission {
        if self.was_removed(id) {
            return Admission::Removed;
        }
        let Some(record) = self.get(id).filter(|record| !record.instance.is_empty()) else {
            return Admission::Admitted;
        };
        if record.instance != instance {
            return Admission::OtherInstance;
        }
        let is_another_run = incarnation == record.incarnation && boot != record.boot;
        if incarnation < record.incarnation || is_another_run {
            return Admission::OlderIncarnation;
        }
        Admission::Admitted
    }
}

/// The newest committed members; cheap to read, and can be waited on.
#[derive(Debug)]
pub struct Published {
    newest: watch::Sender<Arc<Members>>,
}

impl Published {
    pub(super) fn new(members: Members) -> Published {
        Published {
            newest: watch::Sender::new(Arc::new(members)),
        }
    }

    pub(super) fn publish(&self, members: &Members) {
        self.newest.send_if_modified(|newest| {
            let is_new = **newest != *members;
            if is_new {
                *newest = Arc::new(members.clone());
            }
            is_new
        });
    }

    /// The members as of the newest committed entry.
    pub fn members(&self) -> Arc<Members> {
        Arc::clone(&self.newest.borrow())
    }

    /// Tells of every change from now on.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Members>> {
        self.newest.subscribe()
    }
}
