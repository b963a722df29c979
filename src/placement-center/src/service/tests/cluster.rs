//! `Cluster` of etcd on a single node: refusals in etcd's words, and what a change answers.

use crate::service::testing::*;
use protocol::etcdserverpb::*;
use tonic::Code;

fn addition(url: &str) -> MemberAddRequest {
    MemberAddRequest {
        peer_ur_ls: vec![url.to_owned()],
        is_learner: true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_move_and_go() {
    let node = Fixture::start().await;
    let mut client = node.cluster().await;
    let added = client.member_add(addition("http://10.0.0.8:1")).await;
    let added = added.unwrap().into_inner();
    let header = added.header.unwrap();
    assert_eq!((header.cluster_id, header.revision), (CLUSTER_ID, 0));
    let eighth = Member {
        id: NODE_ID + 1,
        peer_ur_ls: vec!["http://10.0.0.8:1".to_owned()],
        is_learner: true,
        ..Member::default()
    };
    assert_eq!(added.member, Some(eighth.clone()));
    assert_eq!((added.members.len(), &added.members[1]), (2, &eighth));
    let update = MemberUpdateRequest {
        id: eighth.id,
        peer_ur_ls: vec!["http://10.0.0.9:1".to_owned()],
    };
    let updated = client.member_update(update.clone()).await.unwrap();
    assert_eq!(
        updated.into_inner().members[1].peer_ur_ls,
        update.peer_ur_ls
    );
    let list = client.member_list(MemberListRequest { linearizable: true });
    let list = list.await.unwrap().into_inner().members;
    assert_eq!(list[1].peer_ur_ls, update.peer_ur_ls);
    let removal = MemberRemoveRequest { id: eighth.id };
    let removed = client.member_remove(removal).await.unwrap().into_inner();
    assert_eq!(removed.members.len(), 1);
    // A number is never given out again.
    let next = client.member_add(addition("http://10.0.0.8:1")).await;
    assert_eq!(next.unwrap().into_inner().member.unwrap().id, NODE_ID + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_etcds() {
    let node = Fixture::start().await;
    let mut client = node.cluster().await;
    let bad_urls = not_applied(
        Code::InvalidArgument,
        "etcdserver: given member URLs are invalid",
    );
    for url in ["", "zzz", "http://", "http://a:1/x"] {
        assert_eq!(told(client.member_add(addition(url)).await), bad_urls);
    }
    let missing = not_applied(Code::NotFound, "etcdserver: member not found");
    for id in [0, 99] {
        let update = MemberUpdateRequest {
            id,
            peer_ur_ls: vec!["http://a:1".to_owned()],
        };
        assert_eq!(told(client.member_update(update).await), missing);
        let removal = MemberRemoveRequest { id };
        assert_eq!(told(client.member_remove(removal).await), missing);
        let promotion = MemberPromoteRequest { id };
        assert_eq!(told(client.member_promote(promotion).await), missing);
    }
    let refused = |text: &str| not_applied(Code::FailedPrecondition, text);
    let removal = MemberRemoveRequest { id: NODE_ID };
    assert_eq!(
        told(client.member_remove(removal).await),
        refused("etcdserver: re-configuration failed due to not enough started members")
    );
    let promotion = MemberPromoteRequest { id: NODE_ID };
    assert_eq!(
        told(client.member_promote(promotion).await),
        refused("etcdserver: can only promote a learner member")
    );
    client.member_add(addition("http://b:1")).await.unwrap();
    client.member_add(addition("http://c:1")).await.unwrap();
    let promotion = MemberPromoteRequest { id: NODE_ID + 1 };
    assert_eq!(
        told(client.member_promote(promotion).await),
        refused("etcdserver: can only promote a learner member which is in sync with leader")
    );
    let taken = refused("etcdserver: Peer URLs already exists");
    assert_eq!(told(client.member_add(addition("http://c:1")).await), taken);
    let update = MemberUpdateRequest {
        id: NODE_ID + 1,
        peer_ur_ls: vec!["http://c:1".to_owned()],
    };
    assert_eq!(told(client.member_update(update).await), taken);
}
