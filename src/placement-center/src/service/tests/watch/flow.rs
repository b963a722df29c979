//! What is told as it happens: batches, filters, progress, fragments, slow readers, the end.

use super::*;
use crate::config::LimitsConfig;
use crate::watch::{Keys, Spec, WatchError};
use protocol::etcdserverpb::request_op::Request as Op;
use std::time::Duration;
use tonic::Code;

fn op(request: Op) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

async fn run(node: &Fixture, operations: Vec<RequestOp>) {
    let txn = TxnRequest {
        success: operations,
        ..TxnRequest::default()
    };
    bounded(node.kv().await.txn(txn)).await.unwrap();
}

#[tokio::test]
async fn a_revision_is_one_answer_to_each_watcher() {
    let node = Fixture::start().await;
    write(&node, "c", "1").await;
    let mut stream = Stream::open(&node).await;
    stream.create(keys("a", "z")).await;
    stream.create(key("b")).await;
    let remove = DeleteRangeRequest {
        key: "c".into(),
        ..DeleteRangeRequest::default()
    };
    let operations = vec![
        op(Op::RequestPut(put("b", "1"))),
        op(Op::RequestDeleteRange(remove)),
        op(Op::RequestPut(put("a", "1"))),
    ];
    run(&node, operations).await;
    let mut answers = [stream.next().await, stream.next().await];
    answers.sort_by_key(|answer| answer.watch_id);
    assert!(answers.iter().all(|answer| revision(answer) == 3));
    assert_eq!(
        briefs(&events(&answers[0])),
        [put_of("b", "1", 3), delete_of("c", 3), put_of("a", "1", 3)]
    );
    assert_eq!(briefs(&events(&answers[1])), [put_of("b", "1", 3)]);
}

#[tokio::test]
async fn filters_leave_kinds_out() {
    let node = Fixture::start().await;
    let mut stream = Stream::open(&node).await;
    // Unknown filters are passed over.
    for filters in [vec![0], vec![1], vec![0, 1], vec![7]] {
        let create = WatchCreateRequest {
            filters,
            ..key("a")
        };
        stream.create(create).await;
    }
    write(&node, "a", "1").await;
    delete(&node, "a", "").await;
    let mut told = Vec::new();
    for _ in 0..4 {
        let response = stream.next().await;
        told.push((response.watch_id, brief(&events(&response)[0]).0));
    }
    told.sort_unstable();
    assert_eq!(told, [(0, true), (1, false), (3, false), (3, true)]);
}

#[tokio::test]
async fn progress_is_told_on_request_and_never_ahead_of_events() {
    let node = Fixture::start().await;
    let mut stream = Stream::open(&node).await;
    stream.ask_progress().await;
    let answer = stream.next().await;
    assert_eq!((answer.watch_id, revision(&answer)), (-1, 1));
    stream.create(key("a")).await;
    let mut kv = node.kv().await;
    let mut told = 1;
    for number in 0..200 {
        let reply = bounded(kv.put(put("a", "v"))).await.unwrap().into_inner();
        if number % 5 == 0 {
            stream.ask_progress().await;
        }
        if number % 20 != 19 {
            continue;
        }
        let written = reply.header.unwrap().revision;
        let mut progress = 0;
        while told < written || progress < 4 {
            let response = stream.next().await;
            if response.watch_id == -1 {
                assert!(response.events.is_empty() && !response.canceled);
                assert_eq!(revision(&response), told, "all up to it was told");
                progress += 1;
            } else {
                told = brief(&events(&response)[0]).3;
            }
            if told == written && progress < 4 {
                // Requests that meet in the hub are answered together: ask until enough came.
                stream.ask_progress().await;
            }
        }
    }
}

#[tokio::test]
async fn a_quiet_watcher_that_wants_it_is_told_how_far_it_has_seen() {
    let limits = LimitsConfig {
        request_timeout: PATIENCE,
        watch_progress_interval: Duration::from_millis(100),
        ..LimitsConfig::default()
    };
    let node = Fixture::start_with(Options {
        limits,
        ..Options::default()
    })
    .await;
    let mut stream = Stream::open(&node).await;
    stream.create(key("a")).await;
    let create = WatchCreateRequest {
        progress_notify: true,
        ..key("a")
    };
    stream.create(create).await;
    write(&node, "b", "1").await;
    loop {
        let progress = stream.next().await;
        assert_eq!(progress.watch_id, 1, "only the one that wants it");
        assert!(progress.events.is_empty() && !progress.created && !progress.canceled);
        if revision(&progress) == 2 {
            break;
        }
    }
}

#[tokio::test]
async fn a_long_revision_is_split_for_those_who_can_put_it_together() {
    let limits = LimitsConfig {
        request_timeout: PATIENCE,
        request_bytes_max: 4096,
        ..LimitsConfig::default()
    };
    let node = Fixture::start_with(Options {
        limits,
        ..Options::default()
    })
    .await;
    node.fill("k", 10, 1000).await;
    let mut whole = Stream::open(&node).await;
    let mut split = Stream::open(&node).await;
    let wants = |fragment| WatchCreateRequest {
        fragment,
        prev_kv: true,
        ..keys("k", "l")
    };
    whole.create(wants(false)).await;
    split.create(wants(true)).await;
    delete(&node, "k", "l").await;
    assert_eq!(whole.events(0).await.len(), 10, "in one piece");
    let mut parts = Vec::new();
    loop {
        let part = split.next().await;
        assert_eq!((part.watch_id, revision(&part)), (0, 12));
        let is_last = !part.fragment;
        parts.push(events(&part));
        if is_last {
            break;
        }
    }
    assert!(parts.len() > 2 && parts.iter().all(|part| !part.is_empty()));
    let keys: Vec<String> = parts.concat().iter().map(|event| brief(event).1).collect();
    let expected: Vec<String> = (0..10).map(|number| format!("k{number:05}")).collect();
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn a_client_that_has_said_everything_is_still_told() {
    let node = Fixture::start().await;
    let mut stream = Stream::open(&node).await;
    stream.create(key("a")).await;
    stream.requests_tx = None;
    write(&node, "a", "1").await;
    assert_eq!(briefs(&stream.events(0).await), [put_of("a", "1", 2)]);
}

#[tokio::test]
async fn streams_end_with_etcds_words_when_the_server_stops() {
    let mut node = Fixture::start().await;
    let mut stream = Stream::open(&node).await;
    stream.create(key("a")).await;
    node.stop.cancel();
    let status = stream.end().await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::Cancelled, "etcdserver: watch canceled")
    );
    node.stopped().await;
}

/// More than fits between a server and a client that does not read.
const FLOOD_EVENTS: usize = 400;
const FLOOD_VALUE_BYTES: usize = 32 * 1024;

#[tokio::test]
async fn a_slow_reader_delays_nobody_and_misses_nothing() {
    let node = Fixture::start().await;
    let mut slow = Stream::open(&node).await;
    slow.create(keys("k", "l")).await;
    let mut quick = Stream::open(&node).await;
    quick.create(keys("k", "l")).await;
    let mut kv = node.kv().await;
    let value = Bytes::from(vec![b'v'; FLOOD_VALUE_BYTES]);
    for number in 0..FLOOD_EVENTS {
        let request = put(format!("k{number}"), value.clone());
        bounded(kv.put(request)).await.unwrap();
        let told = quick.events(0).await;
        assert_eq!(brief(&told[0]).3, number as i64 + 2, "at once");
    }
    let figures = node.context.watches().figures();
    let load =
        |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert!(load(&figures.fell_behind) > 0, "the outbox was full");
    let mut told = 0;
    while told < FLOOD_EVENTS {
        for event in slow.events(0).await {
            assert_eq!(brief(&event).3, told as i64 + 2);
            told += 1;
        }
    }
    until(|| load(&figures.slow) == 0).await;
}

#[tokio::test]
async fn parts_of_the_node_watch_without_a_client() {
    let node = Fixture::start().await;
    write(&node, "a", "1").await;
    let hub = node.context.watches();
    let keys = Keys::new("a".into(), Bytes::new()).unwrap();
    let mut watch = bounded(hub.watch(Spec::new(keys.clone(), 2)))
        .await
        .unwrap();
    assert_eq!(watch.revision(), 2);
    let batch = bounded(watch.next()).await.unwrap();
    assert_eq!(batch.events().count(), 1);
    write(&node, "b", "1").await;
    write(&node, "a", "2").await;
    let batch = bounded(watch.next()).await.unwrap();
    let revisions: Vec<i64> = batch.events().map(|event| event.revision()).collect();
    assert_eq!(revisions, [4]);
    compact(&node, 4, false).await;
    let refused = bounded(hub.watch(Spec::new(keys.clone(), -1))).await;
    assert!(matches!(refused, Err(WatchError::Refused(_))));
    let mut compacted = bounded(hub.watch(Spec::new(keys, 2))).await.unwrap();
    assert_eq!(
        bounded(compacted.next()).await.unwrap_err(),
        WatchError::Compacted(4)
    );
    node.stop.cancel();
    assert_eq!(
        bounded(watch.next()).await.unwrap_err(),
        WatchError::Stopping
    );
}
