//! Waits: in line, for a deadline, for a cut, for a sweep.

use crate::machine;
use crate::service::etcd::kv::KvService;
use crate::service::metrics::Rpc;
use crate::service::testing::*;
use crate::service::{Deadline, Failure, LONG_READS_MAX, Outcome};
use protocol::etcdserverpb::kv_server::Kv;
use protocol::etcdserverpb::{CompactionRequest, RangeRequest};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Request};

#[tokio::test(flavor = "multi_thread")]
async fn long_reads_wait_in_line_and_short_ones_pass() {
    let node = Fixture::start().await;
    node.fill("k", 3, 8).await;
    let permits = u32::try_from(LONG_READS_MAX).unwrap();
    let line = Arc::clone(&node.context.long_reads);
    let occupied = bounded(line.acquire_many_owned(permits)).await.unwrap();
    let soon = || Deadline::after(Duration::from_millis(50));
    let long = node.context.range(range("k", "l"), soon()).await;
    assert_eq!(long.unwrap_err(), Failure::TimedOut(Outcome::NotApplied));
    let short = RangeRequest {
        limit: 2,
        ..range("k", "l")
    };
    let short = node.context.range(short, Deadline::after(PATIENCE)).await;
    assert_eq!(short.unwrap().count, 3);
    drop(occupied);
    let long = node
        .context
        .range(range("k", "l"), Deadline::after(PATIENCE));
    assert_eq!(long.await.unwrap().kvs.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_give_less_time_than_the_node() {
    let node = Fixture::start().await;
    let permits = u32::try_from(LONG_READS_MAX).unwrap();
    let line = Arc::clone(&node.context.long_reads);
    let _occupied = bounded(line.acquire_many_owned(permits)).await.unwrap();
    let mut request = Request::new(range("a", "b"));
    let metadata = request.metadata_mut();
    metadata.insert("grpc-timeout", "50m".parse().unwrap());
    // Not through a channel: the client would heed the header too, and might be first.
    let service = KvService::new(Arc::clone(&node.context));
    let timed_out = not_applied(Code::Unavailable, "etcdserver: request timed out");
    assert_eq!(told(bounded(service.range(request)).await), timed_out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_answers_what_still_waits() {
    let node = Fixture::start().await;
    let permits = u32::try_from(LONG_READS_MAX).unwrap();
    let line = Arc::clone(&node.context.long_reads);
    let _occupied = bounded(line.acquire_many_owned(permits)).await.unwrap();
    let mut kv = node.kv().await;
    let waiting = kv.range(range("a", "b"));
    let cut = async {
        until(|| node.context.metrics().rpc(Rpc::Range).in_flight() == 1).await;
        node.context.cut.cancel();
    };
    let (answer, ()) = bounded(futures::future::join(waiting, cut)).await;
    let stopped = not_applied(Code::Unavailable, "etcdserver: server stopped");
    assert_eq!(told(answer), stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_physical_compaction_answers_when_the_bytes_are_gone() {
    let node = Fixture::start().await;
    // Many steps of the sweep, so that an answer before its end would be seen.
    let overwrites = (0..8000).map(|_| put("a", vec![0; 100]));
    let pending: Vec<_> = overwrites
        .map(|put| node.context.handle().submit(machine::encode_put(put)))
        .collect();
    for reply in pending {
        bounded(reply.unwrap()).await.unwrap();
    }
    let revision = node.context.published().revision();
    let compaction = CompactionRequest {
        revision,
        physical: true,
    };
    let deadline = Deadline::after(PATIENCE);
    node.context.compact(compaction, deadline).await.unwrap();
    let bytes = node.context.published().logical_bytes();
    assert!(bytes < 1000, "{bytes} bytes of one key are left");
}
