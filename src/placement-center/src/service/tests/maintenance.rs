//! The rarer RPCs of `Maintenance`: hashes, giving space back, handing over, going back a version.

use crate::service::testing::*;
use protocol::etcdserverpb::downgrade_request::DowngradeAction;
use protocol::etcdserverpb::*;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn the_history_has_etcds_hash() {
    let node = Fixture::start().await;
    let mut client = node.maintenance().await;
    let hash = client.hash_kv(HashKvRequest { revision: 0 }).await;
    let hash = hash.unwrap().into_inner();
    assert_eq!(hash.header.unwrap().revision, 1);
    assert_eq!(
        (hash.hash, hash.compact_revision, hash.hash_revision),
        (1_084_519_789, -1, 1)
    );
    node.kv().await.put(put("a", "1")).await.unwrap();
    let older = client.hash_kv(HashKvRequest { revision: 1 }).await;
    let older = older.unwrap().into_inner();
    assert_eq!((older.hash, older.hash_revision), (hash.hash, 1));
    assert_eq!(older.header.unwrap().revision, 2);
    assert_eq!(
        told(client.hash_kv(HashKvRequest { revision: 9 }).await),
        not_applied(
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_of_everything_changes_with_every_entry() {
    let node = Fixture::start().await;
    let mut client = node.maintenance().await;
    let first = client.hash(HashRequest {}).await.unwrap().into_inner();
    let again = client.hash(HashRequest {}).await.unwrap().into_inner();
    assert_eq!(first.hash, again.hash);
    node.kv().await.put(put("a", "1")).await.unwrap();
    let later = client.hash(HashRequest {}).await.unwrap().into_inner();
    assert_ne!(first.hash, later.hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_given_back_without_a_header() {
    let node = Fixture::start().await;
    node.fill("k", 100, 1000).await;
    let mut client = node.maintenance().await;
    let done = client.defragment(DefragmentRequest {}).await.unwrap();
    assert_eq!(done.into_inner().header, None);
    node.kv().await.put(put("a", "1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_goes_to_voters_alone() {
    let node = Fixture::start().await;
    let mut client = node.maintenance().await;
    let stays = client.move_leader(MoveLeaderRequest { target_id: NODE_ID });
    assert_eq!(
        stays.await.unwrap().into_inner().header.unwrap().revision,
        1
    );
    for target_id in [0, 99] {
        assert_eq!(
            told(client.move_leader(MoveLeaderRequest { target_id }).await),
            not_applied(
                Code::FailedPrecondition,
                "etcdserver: bad leader transferee"
            )
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_downgrade_is_possible_or_under_way() {
    let node = Fixture::start().await;
    let mut client = node.maintenance().await;
    let request = |action: DowngradeAction| DowngradeRequest {
        action: action.into(),
        version: "3.4.0".to_owned(),
    };
    assert_eq!(
        told(client.downgrade(request(DowngradeAction::Enable)).await).0,
        Code::InvalidArgument
    );
    assert_eq!(
        told(client.downgrade(request(DowngradeAction::Cancel)).await).0,
        Code::FailedPrecondition
    );
}
