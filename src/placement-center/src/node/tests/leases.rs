//! Leases on three nodes: asked for anywhere, kept by whoever leads.

use super::cluster::{Member, leader, three, until};
use super::*;
use crate::service::testing::put;
use protocol::etcdserverpb::lease_client::LeaseClient;
use protocol::etcdserverpb::*;
use tokio_stream::{StreamExt, iter};
use tonic::transport::Channel;

async fn leases(member: &Member) -> LeaseClient<Channel> {
    let address = format!("http://{}", member.node.addresses().grpc);
    LeaseClient::connect(address).await.expect("it listens")
}

async fn grant(member: &Member, id: i64, ttl: i64) {
    let mut client = leases(member).await;
    let granted = client.lease_grant(LeaseGrantRequest { ttl, id });
    let granted = timeout(PATIENCE, granted).await.expect("in time");
    assert_eq!(granted.expect("granted").into_inner().ttl, ttl);
}

async fn renew(member: &Member, ids: &[i64]) -> Vec<i64> {
    let requests: Vec<_> = ids
        .iter()
        .map(|id| LeaseKeepAliveRequest { id: *id })
        .collect();
    let mut client = leases(member).await;
    let renewing = async {
        let answers = client.lease_keep_alive(iter(requests)).await;
        let answers: Vec<_> = answers.expect("a stream").into_inner().collect().await;
        answers
            .into_iter()
            .map(|answer| answer.expect("an answer").ttl)
            .collect()
    };
    timeout(PATIENCE, renewing).await.expect("in time")
}

async fn left(member: &Member, id: i64) -> LeaseTimeToLiveResponse {
    let mut client = leases(member).await;
    let asking = client.lease_time_to_live(LeaseTimeToLiveRequest { id, keys: true });
    let answer = timeout(PATIENCE, asking).await.expect("in time");
    answer.expect("an answer").into_inner()
}

async fn attach(member: &Member, key: &str, id: i64) {
    let request = PutRequest {
        lease: id,
        ..put(key.to_owned(), "v")
    };
    let address = format!("http://{}", member.node.addresses().grpc);
    let mut kv = kv_client::KvClient::connect(address)
        .await
        .expect("it listens");
    kv.put(request).await.expect("written");
}

async fn stop(members: Vec<Member>) {
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_grants_renews_and_tells_of_leases() {
    let members = three().await;
    for (number, member) in members.iter().enumerate() {
        let id = 10 + number as i64;
        grant(member, id, 60).await;
        attach(member, &format!("key-{number}"), id).await;
    }
    for member in &members {
        assert_eq!(renew(member, &[10, 11, 99, 12]).await, [60, 60, 0, 60]);
        let told = left(member, 11).await;
        assert_eq!((told.granted_ttl, told.keys.len()), (60, 1));
        assert!((50..=60).contains(&told.ttl), "{}", told.ttl);
        assert_eq!(left(member, 99).await.ttl, -1);
    }
    for member in &members {
        let refused = leases(member)
            .await
            .lease_revoke(LeaseRevokeRequest { id: 99 })
            .await;
        let status = refused.expect_err("there is none");
        assert_eq!(status.message(), "etcdserver: requested lease not found");
    }
    let revoke = LeaseRevokeRequest { id: 11 };
    leases(&members[0])
        .await
        .lease_revoke(revoke)
        .await
        .expect("revoked");
    for member in &members {
        assert_eq!(renew(member, &[10, 11]).await, [60, 0]);
        assert_eq!(cluster::read(member, "key-1").await, None);
    }
    stop(members).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_end_on_all_members_also_after_their_leader_is_gone() {
    let mut members = three().await;
    // Longer than an election, shorter than patience.
    grant(&members[0], 1, 3).await;
    grant(&members[0], 2, 3600).await;
    attach(&members[0], "short", 1).await;
    attach(&members[0], "long", 2).await;
    let gone = members.remove(leader(&members).await);
    gone.stop().await;
    assert_eq!(renew(&members[0], &[2]).await, [3600], "it has survived");
    until("the lease that nobody renewed has ended", async || {
        cluster::read(&members[1], "short").await.is_none()
    })
    .await;
    for member in &members {
        assert_eq!(left(member, 1).await.ttl, -1);
        assert_eq!(renew(member, &[1, 2]).await, [0, 3600]);
        assert!(cluster::read(member, "long").await.is_some());
    }
    stop(members).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_renewed_outlives_three_leader_changes() {
    let members = three().await;
    grant(&members[0], 1, 3).await;
    attach(&members[0], "kept", 1).await;
    for _ in 0..3 {
        let old = leader(&members).await;
        let moved = members[old].node.handle.transfer_leader(None);
        timeout(PATIENCE, moved)
            .await
            .expect("in time")
            .expect("handed over");
        for member in &members {
            assert_eq!(renew(member, &[1]).await, [3]);
        }
    }
    assert!(cluster::read(&members[0], "kept").await.is_some());
    stop(members).await;
}
