//! The leases with the keys attached to them, as commands of the log; and against a model.

use super::*;
use crate::kv::{self, Refusal};
use crate::machine::{self, Machine, Reply};
use ::bytes::Bytes;
use consensus::{ApplyContext, StateMachine};
use proptest::prelude::*;
use protocol::etcdserverpb::*;
use std::collections::BTreeMap;
use storage::{Applied, Order, Stores};

mod model;

const TERM: u64 = 3;

type Outcome<T> = std::result::Result<T, Refusal>;

struct Rig {
    stores: Stores,
    machine: Machine,
    published: machine::Published,
    index: u64,
}

impl Rig {
    fn new() -> Rig {
        Rig::on(storage::memory_stores(machine::FAMILIES))
    }

    fn on(stores: Stores) -> Rig {
        let (machine, published) = Machine::open(&stores.state).expect("open the machine");
        let index = stores.state.applied().index;
        Rig {
            stores,
            machine,
            published,
            index,
        }
    }

    /// Forgets what is kept in memory, as a restart does.
    fn reopen(self) -> Rig {
        Rig::on(self.stores)
    }

    fn apply(&mut self, command: Bytes) -> Reply {
        self.index += 1;
        let context = ApplyContext {
            index: self.index,
            term: TERM,
            time_ms: 0,
        };
        let applied = Applied {
            index: self.index,
            term: TERM,
            chain_hash: 0,
        };
        let mut batch = self.stores.writer.begin();
        let reply = self.machine.apply(context, command, &mut batch);
        batch.commit(applied).expect("commit");
        self.machine.committed(applied);
        reply.expect("a command of ours")
    }

    fn grant(&mut self, id: i64, ttl: i64) -> Outcome<LeaseGrantResponse> {
        match self.apply(machine::encode_lease_grant(LeaseGrantRequest { ttl, id })) {
            Reply::LeaseGrant(reply) => reply,
            other => panic!("a grant answered {other:?}"),
        }
    }

    fn revoke(&mut self, id: i64) -> Outcome<i64> {
        match self.apply(machine::encode_lease_revoke(LeaseRevokeRequest { id })) {
            Reply::LeaseRevoke(reply) => Ok(reply?.header.expect("a header").revision),
            other => panic!("a revocation answered {other:?}"),
        }
    }

    fn put(&mut self, key: &'static str, lease: i64) -> Outcome<()> {
        self.put_request(PutRequest {
            key: key.into(),
            lease,
            ..PutRequest::default()
        })
    }

    fn put_request(&mut self, request: PutRequest) -> Outcome<()> {
        match self.apply(machine::encode_put(request)) {
            Reply::Put(reply) => reply.map(drop),
            other => panic!("a put answered {other:?}"),
        }
    }

    fn expire(&mut self, term: u64, leases: &[LeaseRef]) -> bool {
        match self.apply(machine::encode_lease_expire(term, leases.to_vec())) {
            Reply::Decided(is_of_term) => is_of_term,
            other => panic!("an expiry answered {other:?}"),
        }
    }

    fn checkpoint(&mut self, term: u64, lease: LeaseRef, remaining_ms: u64) -> bool {
        let checkpoint = Checkpoint {
            lease,
            remaining_ms,
        };
        match self.apply(machine::encode_lease_checkpoint(term, &[checkpoint])) {
            Reply::Decided(is_of_term) => is_of_term,
            other => panic!("a checkpoint answered {other:?}"),
        }
    }

    fn facts(&self, id: i64) -> Option<Facts> {
        self.published.leases.deadlines().facts(id)
    }

    fn reference(&self, id: i64) -> LeaseRef {
        let granted = self.facts(id).expect("a lease").granted;
        LeaseRef { id, granted }
    }

    fn attached(&self, id: i64) -> Vec<Bytes> {
        keys(&self.stores.state.view(), id).expect("readable keys")
    }

    fn revision(&self) -> i64 {
        self.published.kv.revision()
    }

    /// Living keys with their leases.
    fn living(&self) -> BTreeMap<Bytes, i64> {
        let everything = RangeRequest {
            key: Bytes::from_static(&[0]),
            range_end: Bytes::from_static(&[0]),
            ..RangeRequest::default()
        };
        let range = kv::range(&self.stores.state.view(), &everything).expect("a range");
        range.kvs.into_iter().map(|kv| (kv.key, kv.lease)).collect()
    }
}

#[test]
fn an_id_is_granted_once_while_its_lease_lives() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.grant(7, 60).map(|reply| (reply.id, reply.ttl)),
        Ok((7, 60))
    );
    assert_eq!(rig.grant(7, 60), Err(Refusal::LeaseExists));
    assert_eq!(rig.grant(0, 60), Err(Refusal::LeaseNotFound));
    assert_eq!(rig.grant(8, TTL_MAX + 1), Err(Refusal::LeaseTtlTooLarge));
    assert!(rig.grant(8, TTL_MAX).is_ok());
    assert!(rig.grant(i64::MIN, 1).is_ok() && rig.grant(-1, 1).is_ok());
    assert!(rig.revoke(7).is_ok());
    assert_eq!(rig.revoke(7), Err(Refusal::LeaseNotFound));
    assert!(rig.grant(7, 60).is_ok());
    assert_eq!(rig.revision(), 1, "a lease is no change of a key");
}

#[test]
fn a_revocation_deletes_all_keys_of_the_lease_in_one_revision() {
    let mut rig = Rig::new();
    for id in [-1, 7, 8] {
        rig.grant(id, 60).expect("a lease");
    }
    for key in ["b", "a\0", "a", "c"] {
        rig.put(key, 7).expect("a put");
    }
    rig.put("x", -1).expect("a put");
    rig.put("y", 8).expect("a put");
    rig.put("free", 0).expect("a put");
    assert_eq!(rig.attached(7), ["a", "a\0", "b", "c"]);
    let before = rig.revision();
    assert_eq!(rig.revoke(7), Ok(before + 1));
    let left = [("free", 0), ("x", -1), ("y", 8)];
    assert_eq!(rig.living(), left.map(|(key, id)| (key.into(), id)).into());
    assert_eq!(rig.revoke(-1), Ok(before + 2));
    rig.put("y", 0).expect("a put");
    assert_eq!(rig.revoke(8), Ok(before + 3), "no key, no revision");
}

#[test]
fn a_key_belongs_to_the_lease_of_its_last_put() {
    let mut rig = Rig::new();
    rig.grant(7, 60).expect("a lease");
    rig.grant(8, 60).expect("a lease");
    rig.put("k", 7).expect("a put");
    rig.put("k", 7).expect("a put");
    assert_eq!(
        (rig.attached(7), rig.facts(7).map(|facts| facts.keys)),
        (vec!["k".into()], Some(1))
    );
    rig.put("k", 8).expect("a put");
    assert_eq!((rig.attached(7).len(), rig.attached(8).len()), (0, 1));
    rig.put_request(PutRequest {
        key: "k".into(),
        ignore_lease: true,
        ..PutRequest::default()
    })
    .expect("a put");
    assert_eq!(rig.attached(8).len(), 1, "kept");
    assert_eq!(rig.put("k", 9), Err(Refusal::LeaseNotFound));
    assert_eq!(rig.attached(8).len(), 1, "a refused put changes nothing");
    let delete = DeleteRangeRequest {
        key: "k".into(),
        ..DeleteRangeRequest::default()
    };
    rig.apply(machine::encode_delete_range(delete));
    assert_eq!(rig.attached(8).len(), 0);
    rig.put("k", 8).expect("a put");
    rig.put("k", 0).expect("a put");
    assert_eq!(
        (rig.attached(8).len(), rig.facts(8).map(|facts| facts.keys)),
        (0, Some(0))
    );
}

#[test]
fn a_transaction_onto_a_missing_lease_does_nothing() {
    let mut rig = Rig::new();
    rig.grant(7, 60).expect("a lease");
    let op = |key: &'static str, lease| RequestOp {
        request: Some(request_op::Request::RequestPut(PutRequest {
            key: key.into(),
            lease,
            ..PutRequest::default()
        })),
    };
    let txn = |success| TxnRequest {
        success,
        ..TxnRequest::default()
    };
    let refused = txn(vec![op("a", 7), op("b", 9)]);
    let reply = rig.apply(machine::encode_txn(refused));
    assert!(matches!(reply, Reply::Txn(Err(Refusal::LeaseNotFound))));
    assert_eq!((rig.living().len(), rig.attached(7).len()), (0, 0));
    rig.apply(machine::encode_txn(txn(vec![op("a", 7), op("b", 7)])));
    assert_eq!(rig.attached(7).len(), 2);
}

#[test]
fn leases_end_by_expiry_each_in_its_own_revision() {
    let mut rig = Rig::new();
    for (id, key) in [(1, "a"), (2, "b"), (3, "c")] {
        rig.grant(id, 60).expect("a lease");
        rig.put(key, id).expect("a put");
    }
    let before = rig.revision();
    let due = [rig.reference(1), rig.reference(3)];
    assert!(rig.expire(TERM, &due));
    assert_eq!((rig.revision(), rig.living().len()), (before + 2, 1));
    assert!(rig.expire(TERM, &due), "gone is gone");
    assert_eq!(rig.revision(), before + 2);
}

#[test]
fn what_a_leader_of_another_term_decided_has_no_effect() {
    let mut rig = Rig::new();
    rig.grant(1, 60).expect("a lease");
    let lease = rig.reference(1);
    assert!(!rig.expire(TERM - 1, &[lease]));
    assert!(!rig.expire(TERM + 1, &[lease]));
    assert!(!rig.checkpoint(TERM - 1, lease, 5));
    assert_eq!(rig.facts(1).map(|facts| facts.remaining_ms), Some(0));
    assert!(rig.checkpoint(TERM, lease, 5));
    assert_eq!(rig.facts(1).map(|facts| facts.remaining_ms), Some(5));
}

#[test]
fn what_was_decided_about_a_lease_does_not_hit_its_successor() {
    let mut rig = Rig::new();
    rig.grant(1, 60).expect("a lease");
    let old = rig.reference(1);
    rig.revoke(1).expect("a lease");
    rig.grant(1, 60).expect("a lease");
    assert!(rig.expire(TERM, &[old]));
    assert!(rig.checkpoint(TERM, old, 5));
    assert_eq!(rig.facts(1).map(|facts| facts.remaining_ms), Some(0));
}

#[test]
fn a_restart_forgets_nothing() {
    let mut rig = Rig::new();
    rig.grant(i64::MAX, 60).expect("a lease");
    rig.grant(i64::MIN, 61).expect("a lease");
    rig.put("a", i64::MAX).expect("a put");
    rig.put("b", i64::MAX).expect("a put");
    let lease = rig.reference(i64::MAX);
    assert!(rig.checkpoint(TERM, lease, 1234));
    let before = [i64::MAX, i64::MIN].map(|id| rig.facts(id));
    let mut rig = rig.reopen();
    assert_eq!([i64::MAX, i64::MIN].map(|id| rig.facts(id)), before);
    assert_eq!(
        before[0].map(|facts| (facts.keys, facts.remaining_ms)),
        Some((2, 1234))
    );
    rig.revoke(i64::MAX).expect("a lease");
    assert_eq!(rig.living().len(), 0);
}

#[test]
fn a_restored_state_replaces_what_is_known() {
    let mut rig = Rig::new();
    rig.grant(1, 60).expect("a lease");
    let mut other = Rig::new();
    other.grant(2, 60).expect("a lease");
    rig.machine.restored(&other.stores.state).expect("a state");
    assert_eq!(
        (rig.facts(1), rig.facts(2).map(|facts| facts.ttl)),
        (None, Some(60))
    );
}

#[test]
fn damage_is_found_when_the_state_is_opened() {
    let damage: [(Family, &[u8], &[u8]); 5] = [
        (LEASE, b"short", b"\x01\x01\x01\x00"),
        (LEASE, b"too long by far", b"\x01\x01\x01\x00"),
        (LEASE, b"12345678", b"\x02\x01\x01\x00"),
        (LEASE, b"12345678", b"\x01\x01"),
        (LEASE_KEY, b"12345678k", b""),
    ];
    for (family, key, value) in damage {
        let mut rig = Rig::new();
        let mut batch = rig.stores.writer.begin();
        batch.put(family, key, value);
        let applied = Applied {
            index: 1,
            term: 1,
            chain_hash: 0,
        };
        batch.commit(applied).expect("commit");
        let opened = Store::open(&rig.stores.state.view());
        assert!(opened.is_err(), "{key:?} = {value:?}");
    }
}

/// Rows of a family, for the comparison with the model.
fn rows(rig: &Rig, family: Family) -> usize {
    let view = rig.stores.state.view();
    let mut cursor = view.scan(family, &[], None, Order::Forward).expect("scan");
    let mut count = 0;
    while cursor.entry().is_some() {
        count += 1;
        cursor.advance().expect("advance");
    }
    count
}
