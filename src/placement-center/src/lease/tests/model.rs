//! Random commands against a model that is two maps.

use super::*;

/// Few, so that they meet.
const IDS: std::ops::Range<i64> = 1..5;
const KEYS: [&str; 5] = ["a", "b", "b\0", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    Grant(i64),
    Revoke(i64),
    Put(usize, i64),
    Keep(usize),
    Delete(usize, usize),
    /// Two puts and a delete in one transaction.
    Txn([(usize, i64); 2], usize),
    /// Of the right term or not, of this grant or an older one.
    Expire(Vec<i64>, bool, bool),
    Checkpoint(i64, u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let lease = || prop_oneof![2 => Just(0), 3 => IDS];
    let key = || 0..KEYS.len();
    prop_oneof![
        3 => IDS.prop_map(Step::Grant),
        1 => IDS.prop_map(Step::Revoke),
        6 => (key(), lease()).prop_map(|(key, id)| Step::Put(key, id)),
        1 => key().prop_map(Step::Keep),
        2 => (key(), key()).prop_map(|(from, to)| Step::Delete(from, to)),
        2 => ([(key(), lease()), (key(), lease())], key())
            .prop_map(|(puts, gone)| Step::Txn(puts, gone)),
        1 => (prop::collection::vec(IDS, 1..3), any::<bool>(), any::<bool>())
            .prop_map(|(ids, term, grant)| Step::Expire(ids, term, grant)),
        1 => (IDS, 0..9_u64).prop_map(|(id, left)| Step::Checkpoint(id, left)),
        1 => Just(Step::Restart),
    ]
}

#[derive(Default)]
struct Model {
    /// Remaining time of each lease.
    leases: BTreeMap<i64, u64>,
    keys: BTreeMap<&'static str, i64>,
    revision: i64,
}

impl Model {
    fn has(&self, id: i64) -> bool {
        id == 0 || self.leases.contains_key(&id)
    }

    fn end(&mut self, id: i64) {
        if self.leases.remove(&id).is_some() {
            let before = self.keys.len();
            self.keys.retain(|_, lease| *lease != id);
            self.revision += i64::from(self.keys.len() < before);
        }
    }

    fn put(&mut self, key: usize, id: i64) {
        self.keys.insert(KEYS[key], id);
    }
}

fn put_op(key: usize, lease: i64) -> RequestOp {
    RequestOp {
        request: Some(request_op::Request::RequestPut(PutRequest {
            key: KEYS[key].into(),
            lease,
            ..PutRequest::default()
        })),
    }
}

fn delete(from: usize, to: usize) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: KEYS[from].into(),
        range_end: if from == to { "" } else { KEYS[to] }.into(),
        ..DeleteRangeRequest::default()
    }
}

fn run(rig: &mut Rig, model: &mut Model, step: &Step) {
    match *step {
        Step::Grant(id) => {
            assert_eq!(rig.grant(id, 60).is_err(), model.leases.contains_key(&id));
            model.leases.entry(id).or_insert(0);
        }
        Step::Revoke(id) => {
            assert_eq!(rig.revoke(id).is_ok(), model.leases.contains_key(&id));
            model.end(id);
        }
        Step::Put(key, id) => {
            assert_eq!(rig.put(KEYS[key], id).is_ok(), model.has(id));
            if model.has(id) {
                model.put(key, id);
                model.revision += 1;
            }
        }
        Step::Keep(key) => {
            let kept = rig.put_request(PutRequest {
                key: KEYS[key].into(),
                ignore_lease: true,
                ..PutRequest::default()
            });
            assert_eq!(kept.is_ok(), model.keys.contains_key(KEYS[key]));
            model.revision += i64::from(kept.is_ok());
        }
        Step::Delete(from, to) => {
            rig.apply(machine::encode_delete_range(delete(from, to)));
            let before = model.keys.len();
            let (from, to) = (KEYS[from], (from != to).then_some(KEYS[to]));
            model.keys.retain(|key, _| match to {
                None => *key != from,
                Some(to) => !(*key >= from && *key < to),
            });
            model.revision += i64::from(model.keys.len() < before);
        }
        Step::Txn(puts, gone) => run_txn(rig, model, puts, gone),
        Step::Expire(ref ids, of_term, of_grant) => {
            let age = u64::from(!of_grant);
            let reference = |id: &i64| LeaseRef {
                id: *id,
                granted: rig.facts(*id).map_or(0, |facts| facts.granted) - age.min(1),
            };
            let known = ids.iter().filter(|id| model.leases.contains_key(id));
            let due: Vec<_> = known.map(reference).collect();
            assert_eq!(rig.expire(TERM - u64::from(!of_term), &due), of_term);
            if of_term && of_grant {
                due.iter().for_each(|lease| model.end(lease.id));
            }
        }
        Step::Checkpoint(id, left) => {
            if let Some(remaining) = model.leases.get_mut(&id) {
                *remaining = left;
                let lease = rig.reference(id);
                assert!(rig.checkpoint(TERM, lease, left));
            }
        }
        Step::Restart => {}
    }
}

fn run_txn(rig: &mut Rig, model: &mut Model, puts: [(usize, i64); 2], gone: usize) {
    let [(first, first_id), (second, second_id)] = puts;
    if first == second || [first, second].contains(&gone) {
        return;
    }
    let delete = RequestOp {
        request: Some(request_op::Request::RequestDeleteRange(delete(gone, gone))),
    };
    let txn = TxnRequest {
        success: vec![put_op(first, first_id), delete, put_op(second, second_id)],
        ..TxnRequest::default()
    };
    let is_allowed = model.has(first_id) && model.has(second_id);
    let reply = rig.apply(machine::encode_txn(txn));
    assert_eq!(matches!(reply, Reply::Txn(Ok(_))), is_allowed);
    if is_allowed {
        model.put(first, first_id);
        model.put(second, second_id);
        model.keys.remove(KEYS[gone]);
        model.revision += 1;
    }
}

fn compare(rig: &Rig, model: &Model) {
    let living: BTreeMap<Bytes, i64> = model
        .keys
        .iter()
        .map(|(key, id)| ((*key).into(), *id))
        .collect();
    assert_eq!(rig.living(), living);
    assert_eq!(rig.revision(), 1 + model.revision);
    for id in IDS {
        let attached: Vec<Bytes> = living
            .iter()
            .filter(|(_, lease)| **lease == id)
            .map(|(key, _)| key.clone())
            .collect();
        let facts = rig.facts(id);
        assert_eq!(
            facts.map(|facts| facts.remaining_ms),
            model.leases.get(&id).copied()
        );
        let count = facts.map_or(0, |facts| facts.keys);
        assert_eq!(count, attached.len() as u64, "lease {id}");
        assert_eq!(rig.attached(id), attached, "lease {id}");
    }
    assert_eq!(rows(rig, LEASE), model.leases.len());
    assert_eq!(
        rows(rig, LEASE_KEY),
        living.values().filter(|id| **id != 0).count()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn leases_and_keys_agree_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let (mut rig, mut model) = (Rig::new(), Model::default());
        for step in &steps {
            if matches!(step, Step::Restart) {
                rig = rig.reopen();
            }
            run(&mut rig, &mut model, step);
            compare(&rig, &model);
        }
    }
}
