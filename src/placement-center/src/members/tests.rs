//! The rules of records, on the in-memory store.

use super::*;
use protocol::placement::internal::v1::MembershipContext;
use storage::{Applied, ApplyBatch, Stores};

struct Rig {
    stores: Stores,
    store: Store,
}

impl Rig {
    fn new() -> Rig {
        let stores = storage::memory_stores(FAMILIES);
        let store = Store::open(&stores.state.view()).expect("an empty state");
        Rig { stores, store }
    }

    fn change<T>(&mut self, work: impl FnOnce(&mut Store, &mut ApplyBatch<'_>, u64) -> T) -> T {
        let index = self.stores.state.applied().index + 1;
        let mut batch = self.stores.writer.begin();
        let result = work(&mut self.store, &mut batch, index);
        let applied = Applied {
            index,
            term: 1,
            chain_hash: 0,
        };
        batch.commit(applied).expect("the memory store takes it");
        result
    }

    fn announce(&mut self, record: &MemberRecord) -> Announced {
        self.change(|store, batch, _| store.announce(record, batch))
    }

    fn reconfigure(&mut self, voters: &[u64], outgoing: &[u64], context: MembershipContext) {
        let configuration = Configuration {
            voters,
            outgoing,
            learners: &[],
        };
        self.change(|store, batch, index| {
            store.reconfigured(index, configuration, &context, batch);
        });
    }

    /// The members, as held and as stored: always the same.
    fn members(&self) -> std::sync::Arc<Members> {
        let held = self.store.published().members();
        let stored = Store::open(&self.stores.state.view()).expect("a readable state");
        assert_eq!(*held, *stored.published().members());
        held
    }
}

fn record(id: u64) -> MemberRecord {
    MemberRecord {
        id,
        alias: format!("node-{id}"),
        peer_address: format!("10.0.0.{id}:8872"),
        instance: vec![id as u8; INSTANCE_BYTES].into(),
        incarnation: 1,
        boot: 11,
        ..MemberRecord::default()
    }
}

fn removal(id: u64) -> MembershipContext {
    MembershipContext {
        added: None,
        removed: id,
        ..MembershipContext::default()
    }
}

#[test]
fn a_person_moves_the_address_of_a_member_until_it_announces_itself() {
    let mut rig = Rig::new();
    rig.announce(&record(1));
    rig.announce(&record(2));
    let mut update =
        |id, address: &str| rig.change(|store, batch, _| store.update(id, address, batch));
    assert_eq!(update(3, "a:1"), Updated::NoSuchMember);
    assert_eq!(update(1, "10.0.0.2:8872"), Updated::AddressTaken);
    assert_eq!(update(1, ""), Updated::BadAddress);
    assert_eq!(
        update(1, &"a".repeat(ADDRESS_BYTES_MAX + 1)),
        Updated::BadAddress
    );
    assert_eq!(update(1, "10.0.0.1:8872"), Updated::Done);
    assert_eq!(update(1, "a:1"), Updated::Done);
    let moved = MemberRecord {
        peer_address: "a:1".to_owned(),
        ..record(1)
    };
    assert_eq!(rig.members().get(1), Some(&moved));
    assert_eq!(rig.announce(&record(1)), Announced::Accepted);
    assert_eq!(rig.members().get(1), Some(&record(1)));
}

#[test]
fn an_announcement_moves_the_address_of_a_member() {
    let mut rig = Rig::new();
    assert_eq!(rig.announce(&record(1)), Announced::Accepted);
    let moved = MemberRecord {
        peer_address: "10.0.0.9:8872".to_owned(),
        incarnation: 2,
        boot: 12,
        ..record(1)
    };
    assert_eq!(rig.announce(&moved), Announced::Accepted);
    assert_eq!(rig.members().get(1), Some(&moved));
}

#[test]
fn a_wiped_or_rolled_back_disk_is_not_the_member() {
    let mut rig = Rig::new();
    let third_start = MemberRecord {
        incarnation: 3,
        ..record(1)
    };
    rig.announce(&third_start);
    let wiped = MemberRecord {
        instance: vec![99; INSTANCE_BYTES].into(),
        incarnation: 9,
        ..record(1)
    };
    assert_eq!(rig.announce(&wiped), Announced::OtherInstance);
    let rolled_back = MemberRecord {
        incarnation: 2,
        ..record(1)
    };
    assert_eq!(rig.announce(&rolled_back), Announced::OlderIncarnation);
    let copied = MemberRecord {
        boot: 77,
        ..third_start.clone()
    };
    assert_eq!(rig.announce(&copied), Announced::OlderIncarnation);
    assert_eq!(
        rig.announce(&third_start),
        Announced::Accepted,
        "said twice by the same run"
    );
    assert_eq!(rig.members().get(1), Some(&third_start));
}

#[test]
fn a_name_belongs_to_one_member() {
    let mut rig = Rig::new();
    rig.announce(&record(1));
    let same_name = MemberRecord {
        alias: "node-1".to_owned(),
        ..record(2)
    };
    assert_eq!(rig.announce(&same_name), Announced::AliasTaken);
    let members = rig.members();
    assert_eq!(members.get(2).map(|member| member.alias.as_str()), Some(""));
    assert_eq!(members.named("node-1").map(|member| member.id), Some(1));
    assert!(members.named("").is_none(), "no name names nobody");
}

#[test]
fn a_removed_number_never_comes_back() {
    let mut rig = Rig::new();
    rig.announce(&record(1));
    rig.announce(&record(2));
    rig.reconfigure(&[1], &[], removal(2));
    let members = rig.members();
    assert!(members.get(2).is_none() && members.was_removed(2));
    let again = MemberRecord {
        incarnation: 5,
        ..record(2)
    };
    assert_eq!(rig.announce(&again), Announced::Removed);
    assert_eq!(members.admit(2, &again.instance, 5, 1), Admission::Removed);
}

#[test]
fn a_voter_on_its_way_out_is_a_member_until_the_change_is_complete() {
    let mut rig = Rig::new();
    rig.announce(&record(1));
    rig.announce(&record(2));
    rig.reconfigure(&[1, 3], &[1, 2], removal(2));
    assert!(rig.members().get(2).is_some(), "its vote still counts");
    rig.reconfigure(&[1, 3], &[], MembershipContext::default());
    assert!(rig.members().was_removed(2));
}

#[test]
fn a_founder_without_a_record_is_remembered_when_removed() {
    let mut rig = Rig::new();
    rig.announce(&record(1));
    rig.reconfigure(&[1], &[], removal(3));
    assert!(rig.members().was_removed(3));
}

#[test]
fn a_member_joins_with_the_change_that_adds_it() {
    let mut rig = Rig::new();
    rig.announce(&record(1));
    let joining = MemberRecord {
        instance: bytes::Bytes::new(),
        incarnation: 0,
        ..record(4)
    };
    let context = MembershipContext {
        added: Some(joining.clone()),
        ..MembershipContext::default()
    };
    rig.reconfigure(&[1, 4], &[], context);
    assert_eq!(rig.members().get(4), Some(&joining));
    assert_eq!(rig.announce(&record(4)), Announced::Accepted);
    assert_eq!(rig.members().get(4), Some(&record(4)));
}

#[test]
fn malformed_records_change_nothing() {
    let mut rig = Rig::new();
    let long = "x".repeat(ADDRESS_BYTES_MAX + 1);
    let malformed = [
        MemberRecord { id: 0, ..record(1) },
        MemberRecord {
            alias: "x".repeat(crate::config::NAME_BYTES_MAX + 1),
            ..record(1)
        },
        MemberRecord {
            peer_address: long.clone(),
            ..record(1)
        },
        MemberRecord {
            client_urls: vec![long],
            ..record(1)
        },
        MemberRecord {
            client_urls: vec![String::new(); CLIENT_URLS_MAX + 1],
            ..record(1)
        },
        MemberRecord {
            instance: vec![1; 3].into(),
            ..record(1)
        },
        MemberRecord {
            instance: bytes::Bytes::new(),
            ..record(1)
        },
    ];
    for record in malformed {
        assert_eq!(rig.announce(&record), Announced::Malformed, "{record:?}");
    }
    assert_eq!(rig.members().iter().count(), 0);
}

#[test]
fn a_demoted_member_stays_a_learner_until_it_is_promoted() {
    let mut rig = Rig::new();
    rig.announce(&record(1));
    rig.announce(&record(2));
    let demotion = MembershipContext {
        demoted: 2,
        ..MembershipContext::default()
    };
    rig.reconfigure(&[1, 2], &[], demotion);
    let stays = |rig: &Rig| rig.members().get(2).map(|member| member.stays_learner);
    assert_eq!(stays(&rig), Some(true));
    rig.announce(&MemberRecord {
        incarnation: 2,
        ..record(2)
    });
    assert_eq!(stays(&rig), Some(true), "a restart does not change it");
    let promotion = MembershipContext {
        promoted: 2,
        ..MembershipContext::default()
    };
    rig.reconfigure(&[1, 2], &[], promotion);
    assert_eq!(stays(&rig), Some(false));
}
