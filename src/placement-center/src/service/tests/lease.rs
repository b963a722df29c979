//! `etcdserverpb.Lease`: grants, renewals, ends, and what each says when there is nothing to say.

use crate::config::LimitsConfig;
use crate::lease::Deadlines;
use crate::service::testing::*;
use protocol::etcdserverpb::lease_client::LeaseClient;
use protocol::etcdserverpb::*;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

const NOT_FOUND: &str = "etcdserver: requested lease not found";

fn grant(id: i64, ttl: i64) -> LeaseGrantRequest {
    LeaseGrantRequest { ttl, id }
}

fn attached(key: &'static str, lease: i64) -> PutRequest {
    PutRequest {
        lease,
        ..put(key, "v")
    }
}

async fn granted(client: &mut LeaseClient<Channel>, id: i64, ttl: i64) -> LeaseGrantResponse {
    let reply = bounded(client.lease_grant(grant(id, ttl))).await;
    reply.expect("a lease").into_inner()
}

async fn asked(client: &mut LeaseClient<Channel>, id: i64) -> LeaseTimeToLiveResponse {
    let request = LeaseTimeToLiveRequest { id, keys: true };
    let reply = bounded(client.lease_time_to_live(request)).await;
    reply.expect("no error, whatever the lease").into_inner()
}

/// Lets all time pass.
fn all_due(deadlines: &mut Deadlines) {
    // Leases just granted get their deadlines first.
    deadlines.look(0);
    for _ in 0..10 {
        deadlines.look(u64::MAX / 2);
    }
}

/// A stream of renewals.
struct Renewing {
    requests_tx: mpsc::Sender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
}

impl Renewing {
    async fn open(client: &mut LeaseClient<Channel>) -> Renewing {
        let (requests_tx, requests_rx) = mpsc::channel(2048);
        let opening = client.lease_keep_alive(ReceiverStream::new(requests_rx));
        let answers = bounded(opening).await.expect("a stream").into_inner();
        Renewing {
            requests_tx,
            answers,
        }
    }

    async fn send(&self, id: i64) {
        let sent = self.requests_tx.send(LeaseKeepAliveRequest { id }).await;
        sent.expect("the stream is open");
    }

    async fn answer(&mut self) -> LeaseKeepAliveResponse {
        let answer = bounded(self.answers.message()).await;
        answer.expect("no error").expect("the stream goes on")
    }

    async fn renew(&mut self, id: i64) -> i64 {
        self.send(id).await;
        let answer = self.answer().await;
        assert_eq!(answer.id, id);
        answer.ttl
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_answered_as_etcd_does() {
    let node = Fixture::start_with(Options {
        lease_ttl_min: 2,
        ..Options::default()
    })
    .await;
    let mut leases = node.lease().await;
    let chosen = granted(&mut leases, 0, 60).await;
    assert!(chosen.id > 0 && chosen.ttl == 60 && chosen.error.is_empty());
    let header = chosen.header.expect("a header");
    assert_eq!(
        (header.cluster_id, header.member_id, header.revision),
        (CLUSTER_ID, NODE_ID, 1)
    );
    assert!(header.raft_term > 0);
    assert_ne!(granted(&mut leases, 0, 60).await.id, chosen.id);
    assert_eq!(
        granted(&mut leases, 7, 0).await.ttl,
        2,
        "raised, not refused"
    );
    assert_eq!(granted(&mut leases, -8, -5).await.ttl, 2);
    let not_applied = |code, text: &str| (code, text.to_owned(), "not-applied".to_owned());
    assert_eq!(
        told(leases.lease_grant(grant(7, 60)).await),
        not_applied(Code::FailedPrecondition, "etcdserver: lease already exists")
    );
    assert_eq!(
        told(leases.lease_grant(grant(9, 9_000_000_001)).await),
        not_applied(Code::OutOfRange, "etcdserver: too large lease TTL")
    );
    assert_eq!(
        granted(&mut leases, 9, 9_000_000_000).await.ttl,
        9_000_000_000
    );
    let missing = LeaseRevokeRequest { id: 99 };
    assert_eq!(
        told(leases.lease_revoke(missing).await),
        not_applied(Code::NotFound, NOT_FOUND)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_leases_is_bounded() {
    let node = Fixture::start_with(Options {
        limits: LimitsConfig {
            leases_max: 2,
            request_timeout: PATIENCE,
            ..LimitsConfig::default()
        },
        ..Options::default()
    })
    .await;
    let mut leases = node.lease().await;
    granted(&mut leases, 1, 60).await;
    granted(&mut leases, 2, 60).await;
    let (code, text, outcome) = told(leases.lease_grant(grant(3, 60)).await);
    assert_eq!(
        (code, text.as_str(), outcome.as_str()),
        (
            Code::ResourceExhausted,
            "etcdserver: too many leases",
            "not-applied"
        )
    );
    let revoke = LeaseRevokeRequest { id: 1 };
    bounded(leases.lease_revoke(revoke)).await.expect("revoked");
    granted(&mut leases, 3, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_over_its_quota_grants_nothing() {
    let node = Fixture::start_with(Options {
        quota_bytes: 0,
        ..Options::default()
    })
    .await;
    // The first write is let through: the store is empty.
    node.fill("a", 1, 1).await;
    let mut leases = node.lease().await;
    let (code, text, _) = told(leases.lease_grant(grant(1, 60)).await);
    assert_eq!(
        (code, text.as_str()),
        (
            Code::ResourceExhausted,
            "etcdserver: mvcc: database space exceeded"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_live_as_long_as_their_lease() {
    let node = Fixture::start().await;
    let (mut leases, mut kv) = (node.lease().await, node.kv().await);
    granted(&mut leases, 7, 60).await;
    for key in ["b", "a"] {
        bounded(kv.put(attached(key, 7))).await.expect("written");
    }
    let seen = asked(&mut leases, 7).await;
    assert_eq!((seen.id, seen.granted_ttl), (7, 60));
    assert_eq!(seen.keys, ["a", "b"]);
    assert!((1..=60).contains(&seen.ttl), "{}", seen.ttl);
    let listed = leases
        .lease_leases(LeaseLeasesRequest {})
        .await
        .expect("a list");
    assert_eq!(listed.into_inner().leases, [LeaseStatus { id: 7 }]);
    let revoked = leases.lease_revoke(LeaseRevokeRequest { id: 7 }).await;
    let header = revoked
        .expect("revoked")
        .into_inner()
        .header
        .expect("a header");
    assert_eq!((header.revision, header.member_id), (4, NODE_ID));
    let left = kv.range(range("a", "z")).await.expect("read").into_inner();
    assert_eq!(left.count, 0);
    let seen = asked(&mut leases, 7).await;
    assert_eq!((seen.ttl, seen.granted_ttl, seen.keys.len()), (-1, 0, 0));
    assert_eq!(seen.header.expect("a header").revision, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_nobody_renews_ends_and_one_that_is_renewed_does_not() {
    let node = Fixture::start().await;
    let (mut leases, mut kv) = (node.lease().await, node.kv().await);
    granted(&mut leases, 1, 1).await;
    granted(&mut leases, 2, 1).await;
    bounded(kv.put(attached("left", 1))).await.expect("written");
    bounded(kv.put(attached("kept", 2))).await.expect("written");
    let mut renewing = Renewing::open(&mut leases).await;
    // Until the first has ended, which is longer than the TTL of both.
    let facts = |id| node.context.leases().published().deadlines().facts(id);
    bounded(async {
        while facts(1).is_some() {
            assert_eq!(renewing.renew(2).await, 1);
        }
    })
    .await;
    let left = kv.range(range("a", "z")).await.expect("read").into_inner();
    assert_eq!(left.kvs.len(), 1);
    assert_eq!(left.kvs[0].key, "kept");
    assert_eq!(renewing.renew(1).await, 0, "gone, and no error");
    assert_eq!(renewing.renew(2).await, 1, "the stream goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_comes_too_late_waits_for_the_end_of_the_lease() {
    let node = Fixture::start().await;
    let mut leases = node.lease().await;
    granted(&mut leases, 1, 60).await;
    granted(&mut leases, 2, 60).await;
    let published = node.context.leases().published();
    // Its time is over, and nobody has ended it: what was taken is not proposed.
    let taken = {
        let mut deadlines = published.deadlines();
        all_due(&mut deadlines);
        deadlines.take_expired(2, 2)
    };
    assert_eq!(taken.len(), 2);
    let mut renewing = Renewing::open(&mut leases).await;
    renewing.send(1).await;
    renewing.send(99).await;
    assert_eq!(
        renewing.answer().await.id,
        99,
        "the others do not wait with it"
    );
    published.deadlines().give_back(&taken);
    let answer = renewing.answer().await;
    assert_eq!((answer.id, answer.ttl), (1, 0));
    assert!(published.deadlines().facts(1).is_none(), "it ended first");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_renewals_at_once_are_all_answered_in_their_order() {
    let node = Fixture::start().await;
    let mut leases = node.lease().await;
    for id in 1..=20 {
        granted(&mut leases, id, 60).await;
    }
    let mut renewing = Renewing::open(&mut leases).await;
    let ids = || (0..1000).map(|number| number % 25);
    for id in ids() {
        renewing.send(id).await;
    }
    for id in ids() {
        let answer = renewing.answer().await;
        let expected = if (1..=20).contains(&id) { 60 } else { 0 };
        assert_eq!((answer.id, answer.ttl), (id, expected));
    }
    drop(renewing.requests_tx);
    let end = bounded(renewing.answers.message()).await;
    assert_eq!(end.expect("no error"), None, "the client said everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_clears_what_was_written_down_before_it_is_answered() {
    let node = Fixture::start().await;
    let mut leases = node.lease().await;
    granted(&mut leases, 1, 3600).await;
    let published = node.context.leases().published();
    let facts = || published.deadlines().facts(1).expect("it lives");
    // As if ten minutes had passed.
    {
        let mut deadlines = published.deadlines();
        deadlines.look(0);
        deadlines.look(600_000);
    }
    until(|| facts().remaining_ms > 0).await;
    let mut renewing = Renewing::open(&mut leases).await;
    assert_eq!(renewing.renew(1).await, 3600);
    assert_eq!(facts().remaining_ms, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_renewals_ends_when_the_node_drains() {
    let mut node = Fixture::start().await;
    let mut leases = node.lease().await;
    let mut renewing = Renewing::open(&mut leases).await;
    assert_eq!(renewing.renew(1).await, 0);
    node.stop.cancel();
    let end = bounded(renewing.answers.message()).await;
    let status = end.expect_err("the client is to go elsewhere");
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "etcdserver: server stopped")
    );
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_leases_end_at_once_and_writes_go_on() {
    const COUNT: i64 = 10_000;
    let node = Fixture::start().await;
    let published = node.context.leases().published();
    let handle = node.context.handle();
    let mut pending = Vec::new();
    for id in 1..=COUNT {
        let grant = grant(id, 3600);
        let command = crate::machine::encode_lease_grant(grant);
        pending.push(handle.submit(command).expect("room"));
        if pending.len() == 1000 {
            for reply in pending.drain(..) {
                bounded(reply).await.expect("granted");
            }
        }
    }
    all_due(&mut published.deadlines());
    let mut slowest = Duration::ZERO;
    let mut kv = node.kv().await;
    let mut writes = 0;
    while !published.deadlines().is_empty() {
        writes += 1;
        assert!(writes < 1_000_000, "they do not end");
        let started = tokio::time::Instant::now();
        bounded(kv.put(put("k", "v"))).await.expect("written");
        slowest = slowest.max(started.elapsed());
    }
    // Ending them takes most of a second; a write waits for one entry of them, not for all.
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}
