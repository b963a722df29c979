//! `KV`, `Cluster` and `Maintenance` of etcd: headers, checks in their order, texts, quota, limits.

use crate::service::metrics::Rpc;
use crate::service::testing::*;
use crate::service::{Deadline, Failure, Outcome};
use bytes::Bytes;
use protocol::etcdserverpb::alarm_request::AlarmAction;
use protocol::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use protocol::etcdserverpb::request_op::Request as Op;
use protocol::etcdserverpb::*;
use std::time::Duration;
use tonic::{Code, Request};

fn header(revision: i64) -> impl Fn(Option<ResponseHeader>) {
    move |header| {
        let header = header.expect("every answer has a header");
        assert_eq!(
            (header.cluster_id, header.member_id, header.revision),
            (CLUSTER_ID, NODE_ID, revision)
        );
        assert!(header.raft_term > 0);
    }
}

fn exists(key: &'static str) -> Compare {
    Compare {
        result: CompareResult::Greater.into(),
        target: CompareTarget::Version.into(),
        key: key.into(),
        target_union: Some(TargetUnion::Version(0)),
        ..Compare::default()
    }
}

fn op(request: Op) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_a_full_header() {
    let node = Fixture::start().await;
    let mut kv = node.kv().await;
    header(1)(kv.range(range("a", "")).await.unwrap().into_inner().header);
    header(2)(kv.put(put("a", "1")).await.unwrap().into_inner().header);
    header(3)(kv.put(put("a", "2")).await.unwrap().into_inner().header);
    let old = kv
        .range(RangeRequest {
            revision: 2,
            ..range("a", "")
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(old.kvs[0].value, "1");
    header(3)(old.header);
    let read = TxnRequest {
        compare: vec![exists("a")],
        success: vec![op(Op::RequestRange(range("a", "")))],
        failure: vec![],
    };
    let read = kv.txn(read).await.unwrap().into_inner();
    assert!(read.succeeded);
    header(3)(read.header);
    let write = TxnRequest {
        compare: vec![exists("b")],
        success: vec![],
        failure: vec![op(Op::RequestPut(put("b", "1")))],
    };
    let write = kv.txn(write).await.unwrap().into_inner();
    assert!(!write.succeeded);
    header(4)(write.header);
    let compare_only = TxnRequest {
        compare: vec![exists("b")],
        ..TxnRequest::default()
    };
    assert!(kv.txn(compare_only).await.unwrap().into_inner().succeeded);
    let delete = DeleteRangeRequest {
        key: "a".into(),
        range_end: "z".into(),
        prev_kv: true,
    };
    let delete = kv.delete_range(delete).await.unwrap().into_inner();
    assert_eq!((delete.deleted, delete.prev_kvs.len()), (2, 2));
    header(5)(delete.header);
    let compact = kv
        .compact(CompactionRequest {
            revision: 5,
            physical: true,
        })
        .await
        .unwrap()
        .into_inner();
    header(5)(compact.header);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_etcds_codes_and_texts() {
    let node = Fixture::start().await;
    let mut kv = node.kv().await;
    let invalid = |text: &str| not_applied(Code::InvalidArgument, text);
    assert_eq!(
        told(kv.range(range("", "")).await),
        invalid("etcdserver: key is not provided")
    );
    assert_eq!(
        told(kv.put(put("", "v")).await),
        invalid("etcdserver: key is not provided")
    );
    let ignore = PutRequest {
        ignore_value: true,
        ..put("a", "v")
    };
    assert_eq!(
        told(kv.put(ignore).await),
        invalid("etcdserver: value is provided")
    );
    let missing = PutRequest {
        ignore_value: true,
        ..put("missing", "")
    };
    assert_eq!(
        told(kv.put(missing).await),
        invalid("etcdserver: key not found")
    );
    let lease = PutRequest {
        lease: 5,
        ..put("a", "v")
    };
    assert_eq!(
        told(kv.put(lease).await),
        not_applied(Code::NotFound, "etcdserver: requested lease not found")
    );
    let sort = RangeRequest {
        sort_order: 9,
        ..range("a", "")
    };
    assert_eq!(
        told(kv.range(sort).await),
        invalid("etcdserver: invalid sort option")
    );
    let future = RangeRequest {
        revision: 99,
        ..range("a", "")
    };
    let future_text = "etcdserver: mvcc: required revision is a future revision";
    assert_eq!(
        told(kv.range(future).await),
        not_applied(Code::OutOfRange, future_text)
    );
    let many = TxnRequest {
        success: vec![op(Op::RequestRange(range("a", ""))); 129],
        ..TxnRequest::default()
    };
    assert_eq!(
        told(kv.txn(many).await),
        invalid("etcdserver: too many operations in txn request")
    );
    let twice = TxnRequest {
        success: vec![op(Op::RequestPut(put("a", "1"))); 2],
        ..TxnRequest::default()
    };
    assert_eq!(
        told(kv.txn(twice).await),
        invalid("etcdserver: duplicate key given in txn request")
    );
    kv.put(put("a", "1")).await.unwrap();
    kv.compact(CompactionRequest {
        revision: 2,
        physical: false,
    })
    .await
    .unwrap();
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    assert_eq!(
        told(
            kv.compact(CompactionRequest {
                revision: 2,
                physical: true
            })
            .await
        ),
        not_applied(Code::OutOfRange, compacted)
    );
    assert_eq!(
        told(
            kv.compact(CompactionRequest {
                revision: 9,
                physical: true
            })
            .await
        ),
        not_applied(Code::OutOfRange, future_text)
    );
    assert_eq!(
        told(
            kv.range(RangeRequest {
                revision: 1,
                ..range("a", "")
            })
            .await
        ),
        not_applied(Code::OutOfRange, compacted)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_requests_are_refused_in_etcds_words() {
    let node = Fixture::start().await;
    let mut kv = node.kv().await;
    let limit = node.context.limits().request_bytes_max;
    kv.put(put("a", vec![0; limit - 64])).await.unwrap();
    let too_large = not_applied(Code::InvalidArgument, "etcdserver: request is too large");
    assert_eq!(told(kv.put(put("b", vec![0; limit])).await), too_large);
    let txn = TxnRequest {
        success: vec![op(Op::RequestPut(put("b", vec![0; limit])))],
        ..TxnRequest::default()
    };
    assert_eq!(told(kv.txn(txn).await), too_large);
    let (code, text, _) = told(kv.put(put("b", vec![0; 2 * 1024 * 1024])).await);
    assert_eq!(code, Code::ResourceExhausted, "{text}");
    assert!(
        text.starts_with("grpc: received message larger than max ("),
        "{text}"
    );
    assert_eq!(
        kv.range(range("b", "")).await.unwrap().into_inner().count,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_growth_alone_and_recovers_by_itself() {
    let node = Fixture::start_with(Options {
        quota_bytes: 2000,
        ..Options::default()
    })
    .await;
    let (mut kv, mut maintenance) = (node.kv().await, node.maintenance().await);
    kv.put(put("a", vec![0; 3000])).await.unwrap();
    let full = not_applied(
        Code::ResourceExhausted,
        "etcdserver: mvcc: database space exceeded",
    );
    assert_eq!(told(kv.put(put("b", "1")).await), full);
    assert_eq!(
        told(kv.put(put("", "1")).await),
        full,
        "the quota is checked first, as in etcd"
    );
    let hidden = TxnRequest {
        failure: vec![op(Op::RequestPut(put("b", "1")))],
        ..TxnRequest::default()
    };
    let nested = TxnRequest {
        success: vec![op(Op::RequestTxn(hidden))],
        ..TxnRequest::default()
    };
    assert_eq!(told(kv.txn(nested).await), full);
    kv.range(range("a", "")).await.unwrap();
    let get = AlarmRequest {
        action: AlarmAction::Get.into(),
        ..AlarmRequest::default()
    };
    let alarm = AlarmMember {
        member_id: NODE_ID,
        alarm: AlarmType::Nospace.into(),
    };
    assert_eq!(
        maintenance.alarm(get).await.unwrap().into_inner().alarms,
        [alarm]
    );
    let disarm = AlarmRequest {
        action: AlarmAction::Deactivate.into(),
        alarm: AlarmType::Nospace.into(),
        member_id: NODE_ID,
    };
    assert_eq!(
        maintenance.alarm(disarm).await.unwrap().into_inner().alarms,
        [alarm],
        "it still holds"
    );
    let errors = maintenance
        .status(StatusRequest {})
        .await
        .unwrap()
        .into_inner()
        .errors;
    assert_eq!(errors, [format!("memberID:{NODE_ID} alarm:NOSPACE ")]);

    let delete = DeleteRangeRequest {
        key: "a".into(),
        ..DeleteRangeRequest::default()
    };
    let revision = kv
        .delete_range(delete)
        .await
        .unwrap()
        .into_inner()
        .header
        .unwrap()
        .revision;
    kv.compact(CompactionRequest {
        revision,
        physical: true,
    })
    .await
    .unwrap();
    kv.put(put("b", "1")).await.unwrap();
    assert_eq!(
        maintenance.alarm(get).await.unwrap().into_inner().alarms,
        []
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_are_not_raised_by_hand() {
    let node = Fixture::start().await;
    let mut maintenance = node.maintenance().await;
    let alarm = |action: i32, alarm: i32| AlarmRequest {
        action,
        alarm,
        member_id: 0,
    };
    assert_eq!(
        told(maintenance.alarm(alarm(1, 1)).await).0,
        Code::Unimplemented
    );
    assert_eq!(
        told(maintenance.alarm(alarm(9, 0)).await).0,
        Code::InvalidArgument
    );
    assert_eq!(
        told(maintenance.alarm(alarm(0, 9)).await).0,
        Code::InvalidArgument
    );
    assert_eq!(
        maintenance
            .alarm(alarm(2, 2))
            .await
            .unwrap()
            .into_inner()
            .alarms,
        []
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_an_operator_needs() {
    let node = Fixture::start_with(Options {
        quota_bytes: 1 << 30,
        ..Options::default()
    })
    .await;
    node.kv().await.put(put("a", "1")).await.unwrap();
    let status = node
        .maintenance()
        .await
        .status(StatusRequest {})
        .await
        .unwrap()
        .into_inner();
    header(2)(status.header);
    assert_eq!(
        (status.version.as_str(), status.leader, status.db_size_quota),
        ("3.5.0", NODE_ID, 1 << 30)
    );
    assert!(status.raft_index > 0 && status.raft_term > 0 && status.raft_applied_index > 0);
    assert!(status.db_size_in_use > 0, "{status:?}");
    assert!(status.errors.is_empty() && !status.is_learner);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_member_list_names_this_node_and_no_revision() {
    let node = Fixture::start().await;
    node.kv().await.put(put("a", "1")).await.unwrap();
    for linearizable in [false, true] {
        let list = node
            .cluster()
            .await
            .member_list(MemberListRequest { linearizable })
            .await
            .unwrap()
            .into_inner();
        header(0)(list.header);
        let member = Member {
            id: NODE_ID,
            name: "seven".to_owned(),
            peer_ur_ls: vec!["http://p:1".to_owned()],
            client_ur_ls: vec!["http://c:1".to_owned()],
            is_learner: false,
        };
        assert_eq!(list.members, [member]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_cut_short_says_that_its_outcome_is_unknown() {
    let node = Fixture::start().await;
    let at_once = Deadline::after(Duration::ZERO);
    // The reply may already be there; then nothing was cut short.
    let mut revision = 1;
    loop {
        revision += 1;
        let key = Bytes::from(format!("k{revision}"));
        match node.context.put(put(key.clone(), "v"), at_once).await {
            Ok(_) => continue,
            Err(failure) => {
                assert_eq!(failure, Failure::TimedOut(Outcome::Unknown));
                // Unknown, and in this case applied.
                until(|| node.context.published().revision() == revision).await;
                break;
            }
        }
    }
    let status = Failure::TimedOut(Outcome::Unknown).into_etcd_status();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "etcdserver: request timed out")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demand_for_a_leader_is_granted_while_there_is_one() {
    let node = Fixture::start().await;
    let mut request = Request::new(range("a", ""));
    request
        .metadata_mut()
        .insert("hasleader", "true".parse().unwrap());
    node.kv().await.range(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_group_refuses_and_says_what_became_of_the_request() {
    let node = Fixture::start().await;
    let mut kv = node.kv().await;
    kv.put(put("a", "1")).await.unwrap();
    let (_context, _server) = node.stop_group().await;
    let stopped = not_applied(Code::Unavailable, "etcdserver: server stopped");
    assert_eq!(told(kv.put(put("a", "2")).await), stopped);
    let serializable = RangeRequest {
        serializable: true,
        ..range("a", "")
    };
    assert_eq!(told(kv.range(range("a", "")).await), stopped);
    let compare_only = TxnRequest {
        compare: vec![exists("a")],
        ..TxnRequest::default()
    };
    assert_eq!(
        told(kv.txn(compare_only).await),
        stopped,
        "not answered from local data"
    );
    assert_eq!(
        kv.range(serializable).await.unwrap().into_inner().kvs[0].value,
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_under_their_codes() {
    let node = Fixture::start().await;
    let mut kv = node.kv().await;
    kv.put(put("a", "1")).await.unwrap();
    told(kv.put(put("", "1")).await);
    let put = node.context.metrics().rpc(Rpc::Put);
    assert_eq!(
        (
            put.handled(Code::Ok),
            put.handled(Code::InvalidArgument),
            put.in_flight()
        ),
        (1, 1, 0)
    );
    assert!(put.micros_total() > 0);
}
