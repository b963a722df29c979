//! Random runs against the model: every answer equal, every invariant after every step. Housekeeping,
//! restarts and batches of several commands are mixed in, since none of them may change an answer.

use super::generate::{command, range_request, read_txn};
use super::model::Model;
use super::rig::{Answer, Command, Rig};
use crate::kv::testing::range;
use crate::kv::{CURRENT, HISTORY, META, REVISION};
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::etcdserverpb::{RangeRequest, TxnRequest};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<Command>),
    Range(RangeRequest),
    Read(TxnRequest),
    Housekeep,
    HousekeepFully,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => vec(command(), 1..4).prop_map(Step::Batch),
        8 => range_request().prop_map(Step::Range),
        2 => read_txn().prop_map(Step::Read),
        4 => Just(Step::Housekeep),
        1 => Just(Step::HousekeepFully),
        1 => Just(Step::Reopen),
    ]
}

fn answer(model: &mut Model, command: &Command) -> Answer {
    match command {
        Command::Put(request) => Answer::Put(model.put(request)),
        Command::Delete(request) => Answer::Delete(Ok(model.delete_range(request))),
        Command::Txn(request) => Answer::Txn(model.txn(request)),
        Command::Compact(revision) => Answer::Compact(model.compact(*revision)),
    }
}

/// Versions that reads at `compacted` or later, or a watch from there, can need.
fn needed(model: &Model) -> BTreeMap<(Vec<u8>, i64), Option<Vec<u8>>> {
    let mut needed = BTreeMap::new();
    for (key, versions) in &model.keys {
        for (at, version) in versions.iter().enumerate() {
            let is_replaced = versions
                .get(at + 1)
                .is_some_and(|next| next.revision <= model.compacted);
            let is_old_tombstone = version.kv.is_none() && version.revision < model.compacted;
            if !is_replaced && !is_old_tombstone {
                needed.insert(
                    (key.clone(), version.revision),
                    version.kv.as_ref().map(|kv| kv.value.to_vec()),
                );
            }
        }
    }
    needed
}

fn all(model: &Model) -> BTreeMap<(Vec<u8>, i64), Option<Vec<u8>>> {
    needed(&Model {
        compacted: -1,
        ..model.clone()
    })
}

fn check(rig: &Rig, model: &Model, is_swept: bool) {
    let stored = rig.check();
    let needed = needed(model);
    if is_swept {
        assert_eq!(
            stored, needed,
            "after a full sweep exactly what is needed is stored"
        );
    }
    assert!(
        needed
            .iter()
            .all(|(at, value)| stored.get(at) == Some(value)),
        "what is needed is stored"
    );
    let all = all(model);
    assert!(
        stored.iter().all(|(at, value)| all.get(at) == Some(value)),
        "what is stored was written"
    );
    assert_eq!(rig.published.revision(), model.revision);
    assert_eq!(rig.published.compacted_revision(), model.compacted);
}

/// The order of changes is that of the operations, for every revision not yet compacted.
fn check_order(rig: &Rig, model: &Model) {
    use crate::kv::{key::Position, record::Change};
    let mut stored: BTreeMap<i64, Vec<(Vec<u8>, bool)>> = BTreeMap::new();
    for (row, bytes) in rig.dump(REVISION) {
        let position = Position::decode(&row).expect("a position");
        let change = Change::decode(&bytes).expect("a change");
        if position.main > model.compacted {
            stored
                .entry(position.main)
                .or_default()
                .push((change.key.to_vec(), change.is_tombstone));
        }
    }
    let expected: BTreeMap<_, _> = model
        .changes
        .range(model.compacted + 1..)
        .map(|(at, changes)| (*at, changes.clone()))
        .collect();
    assert_eq!(stored, expected);
}

fn run(steps: Vec<Step>) {
    let (mut rig, mut model) = (Rig::new(), Model::new());
    for step in steps {
        match &step {
            Step::Batch(commands) => {
                let expected: Vec<_> = commands
                    .iter()
                    .map(|command| answer(&mut model, command))
                    .collect();
                assert_eq!(rig.apply(commands), expected, "{commands:?}");
            }
            Step::Range(request) => {
                assert_eq!(rig.range(request), model.range(request), "{request:?}")
            }
            Step::Read(request) => {
                assert_eq!(rig.txn_read(request), model.txn(request), "{request:?}")
            }
            Step::Housekeep => drop(rig.housekeep()),
            Step::HousekeepFully => rig.housekeep_fully(),
            Step::Reopen => rig = rig.reopen(),
        }
        check(&rig, &model, matches!(step, Step::HousekeepFully));
    }
    check_order(&rig, &model);
    for revision in model.compacted.max(1)..=model.revision {
        let request = RangeRequest {
            revision,
            ..range(b"\0", b"\0")
        };
        assert_eq!(
            rig.range(&request),
            model.range(&request),
            "everything at {revision}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_as_the_model(steps in vec(step(), 1..100)) {
        run(steps);
    }

    #[test]
    fn batches_do_not_matter(commands in vec(command(), 1..60), size in 2..9_usize) {
        let (mut one_by_one, mut grouped) = (Rig::new(), Rig::new());
        let single: Vec<_> = commands.iter().flat_map(|command| one_by_one.apply(std::slice::from_ref(command))).collect();
        let together: Vec<_> = commands.chunks(size).flat_map(|commands| grouped.apply(commands)).collect();
        prop_assert_eq!(single, together);
        for family in [CURRENT, HISTORY, REVISION, META] {
            prop_assert_eq!(one_by_one.dump(family), grouped.dump(family));
        }
    }
}
