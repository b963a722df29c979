//! The unary RPCs of `placement.v1.KvService`.

use crate::service::testing::*;
use bytes::Bytes;
use protocol::placement::v1::*;
use tonic::Code;

fn set(key: &'static str, value: &'static str, expected_mod_revision: Option<i64>) -> SetRequest {
    SetRequest {
        key: key.into(),
        value: value.into(),
        expected_mod_revision,
    }
}

fn get(key: &'static str) -> GetRequest {
    GetRequest {
        key: key.into(),
        ..GetRequest::default()
    }
}

fn delete(key: &'static str, expected_mod_revision: Option<i64>) -> DeleteRequest {
    DeleteRequest {
        key: key.into(),
        expected_mod_revision,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lives_and_dies() {
    let node = Fixture::start().await;
    let mut kv = node.native().await;
    let written = |revision| SetResponse {
        revision,
        written: true,
    };
    assert_eq!(
        kv.set(set("a", "1", None)).await.unwrap().into_inner(),
        written(2)
    );
    assert_eq!(
        kv.set(set("a", "2", None)).await.unwrap().into_inner(),
        written(3)
    );
    let item = Item {
        key: "a".into(),
        value: "2".into(),
        create_revision: 2,
        mod_revision: 3,
        version: 2,
    };
    let got = kv.get(get("a")).await.unwrap().into_inner();
    assert_eq!(
        got,
        GetResponse {
            revision: 3,
            item: Some(item)
        }
    );
    let old = kv
        .get(GetRequest {
            revision: 2,
            consistency: 1,
            ..get("a")
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(old.item.unwrap().value, "1");
    let exists = |key: &'static str| ExistsRequest {
        key: key.into(),
        consistency: 0,
    };
    assert!(kv.exists(exists("a")).await.unwrap().into_inner().exists);
    assert!(
        kv.delete(delete("a", None))
            .await
            .unwrap()
            .into_inner()
            .deleted
    );
    assert_eq!(
        kv.delete(delete("a", None)).await.unwrap().into_inner(),
        DeleteResponse {
            revision: 4,
            deleted: false
        }
    );
    assert_eq!(
        kv.exists(exists("a")).await.unwrap().into_inner(),
        ExistsResponse {
            revision: 4,
            exists: false
        }
    );
    assert_eq!(
        kv.get(get("a")).await.unwrap().into_inner(),
        GetResponse {
            revision: 4,
            item: None
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_decides_whether_a_write_happens() {
    let node = Fixture::start().await;
    let mut kv = node.native().await;
    assert!(
        kv.set(set("a", "1", Some(0)))
            .await
            .unwrap()
            .into_inner()
            .written
    );
    assert!(
        !kv.set(set("a", "2", Some(0)))
            .await
            .unwrap()
            .into_inner()
            .written
    );
    assert!(
        !kv.set(set("a", "2", Some(9)))
            .await
            .unwrap()
            .into_inner()
            .written
    );
    assert_eq!(
        kv.set(set("a", "3", Some(2))).await.unwrap().into_inner(),
        SetResponse {
            revision: 3,
            written: true
        }
    );
    assert!(
        !kv.delete(delete("a", Some(2)))
            .await
            .unwrap()
            .into_inner()
            .deleted
    );
    assert!(
        kv.delete(delete("a", Some(3)))
            .await
            .unwrap()
            .into_inner()
            .deleted
    );
    assert!(
        !kv.delete(delete("a", Some(0)))
            .await
            .unwrap()
            .into_inner()
            .deleted,
        "there is nothing to delete"
    );
    assert!(kv.get(get("a")).await.unwrap().into_inner().item.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_in_pages_is_of_one_revision() {
    let node = Fixture::start().await;
    node.fill("p/", 25, 8).await;
    node.fill("q/", 3, 8).await;
    let mut kv = node.native().await;
    let mut request = ListPrefixRequest {
        prefix: "p/".into(),
        limit: 10,
        ..ListPrefixRequest::default()
    };
    let (mut keys, mut pages) = (Vec::new(), 0);
    loop {
        let page = kv.list_prefix(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.revision, 29, "the revision of the first page");
        pages += 1;
        keys.extend(page.items.iter().map(|item| item.key.clone()));
        kv.set(set("p/99999", "later", None)).await.unwrap();
        if !page.more {
            break;
        }
        request.after_key = page.items.last().unwrap().key.clone();
        request.revision = page.revision;
    }
    assert_eq!((keys.len(), pages), (25, 3));
    assert!(keys.is_sorted());
    let keys_only = ListPrefixRequest {
        prefix: "q/".into(),
        keys_only: true,
        ..ListPrefixRequest::default()
    };
    let page = kv.list_prefix(keys_only).await.unwrap().into_inner();
    assert!(
        page.items.len() == 3 && !page.more && page.items.iter().all(|item| item.value.is_empty())
    );
    let everything = kv
        .list_prefix(ListPrefixRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(everything.items.len(), 29);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_large_values_stays_within_what_clients_accept() {
    let node = Fixture::start().await;
    node.fill("p/", 6, 1024 * 1024).await;
    let page = node
        .native()
        .await
        .list_prefix(ListPrefixRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((page.items.len(), page.more), (2, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_in_plain_words() {
    let node = Fixture::start().await;
    let mut kv = node.native().await;
    let invalid = |text: &str| not_applied(Code::InvalidArgument, text);
    assert_eq!(
        told(kv.set(set("", "1", None)).await),
        invalid("key is not provided")
    );
    assert_eq!(
        told(kv.set(set("a", "1", Some(-1))).await),
        invalid("expected_mod_revision is negative")
    );
    assert_eq!(
        told(
            kv.get(GetRequest {
                consistency: 7,
                ..get("a")
            })
            .await
        ),
        invalid("unknown consistency")
    );
    let future = GetRequest {
        revision: 99,
        ..get("a")
    };
    assert_eq!(
        told(kv.get(future).await),
        not_applied(
            Code::OutOfRange,
            "mvcc: required revision is a future revision"
        )
    );
    let large = SetRequest {
        key: "a".into(),
        value: Bytes::from(vec![0; 1_600_000]),
        ..SetRequest::default()
    };
    assert_eq!(told(kv.set(large).await), invalid("request is too large"));
    let list = ListPrefixRequest {
        limit: 10_001,
        ..ListPrefixRequest::default()
    };
    assert_eq!(
        told(kv.list_prefix(list).await),
        invalid("limit exceeds 10000")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_to_set() {
    let node = Fixture::start_with(Options {
        quota_bytes: 100,
        ..Options::default()
    })
    .await;
    node.fill("k", 1, 200).await;
    let mut kv = node.native().await;
    let full = not_applied(Code::ResourceExhausted, "mvcc: database space exceeded");
    assert_eq!(told(kv.set(set("a", "1", None)).await), full);
    assert_eq!(told(kv.set(set("a", "1", Some(0))).await), full);
    assert!(
        kv.delete(delete("k00000", None))
            .await
            .unwrap()
            .into_inner()
            .deleted
    );
}
