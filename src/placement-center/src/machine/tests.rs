use super::*;
use storage::Stores;

struct Node {
    stores: Stores,
    machine: Machine,
    published: Published,
}

fn node() -> Node {
    let stores = storage::memory_stores(FAMILIES);
    let (machine, published) = Machine::open(&stores.state).expect("open the machine");
    Node {
        stores,
        machine,
        published,
    }
}

impl Node {
    fn apply(&mut self, command: Bytes) -> Result<Reply, MachineError> {
        let index = self.stores.state.applied().index + 1;
        let context = ApplyContext {
            index,
            term: 1,
            time_ms: 0,
        };
        let mut batch = self.stores.writer.begin();
        let reply = self.machine.apply(context, command, &mut batch)?;
        batch.commit(Applied {
            index,
            term: 1,
            chain_hash: 0,
        })?;
        Ok(reply)
    }
}

fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

#[test]
fn commands_survive_the_log() {
    let delete = DeleteRangeRequest {
        key: "a".into(),
        range_end: "b".into(),
        prev_kv: true,
    };
    let txn = TxnRequest {
        success: vec![RequestOp {
            request: Some(request_op::Request::RequestPut(put("k", "v"))),
        }],
        ..Default::default()
    };
    let compact = CompactionRequest {
        revision: 7,
        physical: true,
    };
    let cases = [
        (
            encode_put(put("k", "v")),
            command::Command::Put(put("k", "v")),
        ),
        (
            encode_delete_range(delete.clone()),
            command::Command::DeleteRange(delete),
        ),
        (encode_txn(txn.clone()), command::Command::Txn(txn)),
        (encode_compact(compact), command::Command::Compact(compact)),
    ];
    for (bytes, command) in cases {
        assert_eq!(bytes[0], COMMAND_V1);
        assert_eq!(decode(bytes).expect("decode"), command);
    }
}

#[test]
fn decoding_copies_no_value() {
    let bytes = encode_put(put("key", "a value of some length"));
    let memory = bytes.as_ptr_range();
    let command::Command::Put(request) = decode(bytes.clone()).expect("decode") else {
        panic!("not a put")
    };
    assert!(memory.contains(&request.value.as_ptr()) && memory.contains(&request.key.as_ptr()));
}

#[test]
fn what_this_version_does_not_know_stops_the_node() {
    let good = encode_put(put("k", "v"));
    let cases: [(&str, Vec<u8>); 5] = [
        ("empty", vec![]),
        ("another version", [&[2], &good[1..]].concat()),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("no kind", vec![COMMAND_V1]),
        ("an unknown kind", vec![COMMAND_V1, 0x7A, 0]),
    ];
    for (name, bytes) in cases {
        let mut node = node();
        assert!(
            matches!(node.apply(bytes.into()), Err(MachineError::Command(_))),
            "{name}"
        );
    }
}

#[test]
fn every_command_is_answered_in_kind_and_refusals_are_replies() {
    let mut node = node();
    let Reply::Put(Ok(response)) = node.apply(encode_put(put("k", "v"))).expect("apply") else {
        panic!("not a put")
    };
    assert_eq!(
        response.header,
        Some(ResponseHeader {
            revision: 2,
            ..ResponseHeader::default()
        })
    );
    let refused = node.apply(encode_put(put("", "v"))).expect("apply");
    assert!(matches!(refused, Reply::Put(Err(kv::Refusal::EmptyKey))));
    let txn = node
        .apply(encode_txn(TxnRequest::default()))
        .expect("apply");
    assert!(matches!(
        txn,
        Reply::Txn(Ok(TxnResponse {
            succeeded: true,
            ..
        }))
    ));
    let delete = DeleteRangeRequest {
        key: "k".into(),
        ..DeleteRangeRequest::default()
    };
    let deleted = node.apply(encode_delete_range(delete)).expect("apply");
    assert!(matches!(
        deleted,
        Reply::DeleteRange(Ok(DeleteRangeResponse { deleted: 1, .. }))
    ));
    let compacted = node
        .apply(encode_compact(CompactionRequest {
            revision: 9,
            physical: false,
        }))
        .expect("apply");
    assert!(matches!(
        compacted,
        Reply::Compact(Err(kv::Refusal::FutureRevision))
    ));
}

#[test]
fn readers_learn_of_a_batch_once_it_is_committed() {
    let mut node = node();
    node.apply(encode_put(put("k", "v"))).expect("apply");
    assert_eq!(
        (node.published.kv.revision(), node.published.kv.keys()),
        (1, 0)
    );
    node.machine.committed(node.stores.state.applied());
    assert_eq!(
        (node.published.kv.revision(), node.published.kv.keys()),
        (2, 1)
    );
    assert!(node.published.kv.logical_bytes() > 2);
}

#[test]
fn a_reopened_machine_knows_what_the_first_did() {
    let mut node = node();
    node.apply(encode_put(put("k", "v"))).expect("apply");
    let (_, published) = Machine::open(&node.stores.state).expect("open the machine");
    assert_eq!(
        (
            published.kv.revision(),
            published.kv.keys(),
            published.kv.compacted_revision()
        ),
        (2, 1, -1)
    );
}

#[test]
fn housekeeping_ends() {
    let mut node = node();
    for command in [
        encode_put(put("k", "1")),
        encode_put(put("k", "2")),
        encode_compact(CompactionRequest {
            revision: 3,
            physical: false,
        }),
    ] {
        node.apply(command).expect("apply");
    }
    let mut step = || {
        let mut batch = node.stores.writer.begin();
        let more = node.machine.housekeep(&mut batch).expect("housekeep");
        batch.commit_housekeeping().expect("commit");
        more
    };
    assert!(
        (0..10).any(|_| !step()),
        "nothing is left after a few steps"
    );
    assert!(!step());
}
