//! The members as the apply thread holds them. Deterministic: what a command does depends on the log alone.

use super::{
    Admission, Announced, MEMBERS, MemberRecord, Members, Published, RemovedMember, Updated,
};
use super::{INSTANCE_BYTES, is_well_formed};
use prost::Message;
use protocol::placement::internal::v1::MembershipContext;
use storage::{ApplyBatch, Error, Order, Read, Result};

/// Keys of present members start with this, those of removed ones with the other; the number follows,
/// big-endian.
const PRESENT: u8 = b'm';
const REMOVED: u8 = b'r';

/// Raft's membership after a change.
#[derive(Clone, Copy, Debug)]
pub struct Configuration<'a> {
    /// Voters.
    pub voters: &'a [u64],
    /// Voters that leave once the change under way is complete.
    pub outgoing: &'a [u64],
    /// Learners.
    pub learners: &'a [u64],
}

impl Configuration<'_> {
    fn holds(&self, id: u64) -> bool {
        [self.voters, self.outgoing, self.learners]
            .iter()
            .any(|ids| ids.contains(&id))
    }
}

/// The writer's side. What it keeps in memory is what the newest batch says; it must not outlive a batch
/// that was dropped instead of committed.
#[derive(Debug)]
pub struct Store {
    members: Members,
    changed: bool,
}

impl Store {
    /// Reads all members.
    ///
    /// # Errors
    /// When the state cannot be read or holds what this program did not write.
    pub fn open<R: Read>(reader: &R) -> Result<Store> {
        let mut members = Members::default();
        let mut cursor = reader.scan(MEMBERS, &[], None, Order::Forward)?;
        while let Some((key, value)) = cursor.entry() {
            let damaged = || Error::Corrupt("a row of the family members".to_owned());
            match key.first() {
                Some(&PRESENT) => {
                    let record = MemberRecord::decode(value).map_err(|_| damaged())?;
                    members.present.insert(record.id, record);
                }
                Some(&REMOVED) => {
                    let removed = RemovedMember::decode(value).map_err(|_| damaged())?;
                    members.removed.insert(removed.id, removed);
                }
                _ => return Err(damaged()),
            }
            cursor.advance()?;
        }
        drop(cursor);
        Ok(Store {
            members,
            changed: false,
        })
    }

    /// What readers may know, to be kept up to date with [`Store::publish`].
    pub fn published(&self) -> Published {
        Published::new(self.members.clone())
    }

    /// Tells readers of the committed state.
    pub fn publish(&mut self, published: &Published) {
        if std::mem::take(&mut self.changed) {
            published.publish(&self.members);
        }
    }

    /// Publishes whatever is held, after the state was replaced.
    pub fn publish_all(&mut self, published: &Published) {
        self.changed = false;
        published.publish(&self.members);
    }

    /// A member has started. Its record becomes what it says, unless the number belongs to somebody else.
    /// A name that another member bears is not taken over; everything else is.
    pub fn announce(&mut self, record: &MemberRecord, batch: &mut ApplyBatch<'_>) -> Announced {
        if !is_well_formed(record) || record.instance.len() != INSTANCE_BYTES {
            return Announced::Malformed;
        }
        match self
            .members
            .admit(record.id, &record.instance, record.incarnation, record.boot)
        {
            Admission::Admitted => {}
            Admission::Removed => return Announced::Removed,
            Admission::OtherInstance => return Announced::OtherInstance,
            Admission::OlderIncarnation => return Announced::OlderIncarnation,
        }
        let mut record = record.clone();
        let known = self.members.get(record.id);
        // Not for the member itself to say.
        record.stays_learner = known.is_some_and(|known| known.stays_learner);
        let bearer = self.members.named(&record.alias);
        let is_taken = bearer.is_some_and(|bearer| bearer.id != record.id);
        if is_taken {
            record.alias.clear();
        }
        self.put(record, batch);
        if is_taken {
            Announced::AliasTaken
        } else {
            Announced::Accepted
        }
    }

    /// A person says where a member is reached. It may say otherwise itself when it starts next.
    pub fn update(&mut self, id: u64, peer_address: &str, batch: &mut ApplyBatch<'_>) -> Updated {
        let Some(known) = self.members.get(id) else {
            return Updated::NoSuchMember;
        };
        let is_taken = |other: &MemberRecord| other.id != id && other.peer_address == peer_address;
        if self.members.iter().any(is_taken) {
            return Updated::AddressTaken;
        }
        let record = MemberRecord {
            peer_address: peer_address.to_owned(),
            ..known.clone()
        };
        if !is_well_formed(&record) || peer_address.is_empty() {
            return Updated::BadAddress;
        }
        self.put(record, batch);
        Updated::Done
    }

    /// A membership change took effect with the entry at `index`. `context` is what the one who asked for
    /// it added; a change without one (the second half of a joint change) only completes another.
    pub fn reconfigured(
        &mut self,
        index: u64,
        configuration: Configuration<'_>,
        context: &MembershipContext,
        batch: &mut ApplyBatch<'_>,
    ) {
        if let Some(added) = context.added.as_ref()
            && is_well_formed(added)
            && configuration.holds(added.id)
            && self.members.get(added.id).is_none()
        {
            self.put(added.clone(), batch);
        }
        for (id, stays_learner) in [(context.demoted, true), (context.promoted, false)] {
            if let Some(record) = self.members.get(id) {
                let record = MemberRecord {
                    stays_learner,
                    ..record.clone()
                };
                self.put(record, batch);
            }
        }
        let present = self.members.present.keys().copied();
        // A founder that never announced itself has no record, so the change names it too.
        let gone: Vec<u64> = present
            .chain((context.removed != 0).then_some(context.removed))
            .filter(|id| !configuration.holds(*id) && !self.members.was_removed(*id))
            .collect();
        for id in gone {
            self.remove(id, index, batch);
        }
    }

    fn put(&mut self, record: MemberRecord, batch: &mut ApplyBatch<'_>) {
        if self.members.get(record.id) == Some(&record) {
            return;
        }
        batch.put(MEMBERS, &key(PRESENT, record.id), &record.encode_to_vec());
        self.members.present.insert(record.id, record);
        self.changed = true;
    }

    fn remove(&mut self, id: u64, index: u64, batch: &mut ApplyBatch<'_>) {
        let record = self.members.present.remove(&id);
        let removed = RemovedMember {
            id,
            index,
            instance: record.map(|record| record.instance).unwrap_or_default(),
        };
        batch.delete(MEMBERS, &key(PRESENT, id));
        batch.put(MEMBERS, &key(REMOVED, id), &removed.encode_to_vec());
        self.members.removed.insert(id, removed);
        self.changed = true;
    }
}

fn key(kind: u8, id: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}
