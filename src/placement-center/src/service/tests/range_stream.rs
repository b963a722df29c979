//! `RangeStream`: chunks that together are the range, in bounded memory, at one revision.

use crate::service::testing::*;
use protocol::etcdserverpb::*;
use protocol::mvccpb::KeyValue;
use tonic::Code;

async fn chunks(node: &Fixture, request: RangeRequest) -> Vec<RangeResponse> {
    let mut stream = node
        .kv()
        .await
        .range_stream(request)
        .await
        .unwrap()
        .into_inner();
    let mut chunks = Vec::new();
    while let Some(chunk) = bounded(stream.message()).await.unwrap() {
        chunks.push(chunk.range_response.unwrap());
    }
    chunks
}

/// All chunks as one answer; asserts that only the last says more than its keys.
fn merged(chunks: Vec<RangeResponse>) -> RangeResponse {
    let mut kvs: Vec<KeyValue> = Vec::new();
    let last = chunks.len() - 1;
    for (number, chunk) in chunks.iter().enumerate() {
        if number < last {
            assert!(
                chunk.header.is_none() && !chunk.more && chunk.count == 0 && !chunk.kvs.is_empty()
            );
        }
        kvs.extend(chunk.kvs.iter().cloned());
    }
    RangeResponse {
        kvs,
        ..chunks[last].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_chunks_together_are_the_range() {
    let node = Fixture::start().await;
    node.fill("k", 2001, 8).await;
    let mut kv = node.kv().await;
    let requests = [
        range("k", "l"),
        RangeRequest {
            limit: 1500,
            ..range("k", "l")
        },
        RangeRequest {
            limit: 1000,
            ..range("k", "l")
        },
        RangeRequest {
            limit: 2001,
            ..range("k", "l")
        },
        RangeRequest {
            revision: 900,
            ..range("k", "l")
        },
        RangeRequest {
            revision: 900,
            limit: 10,
            ..range("k", "l")
        },
        RangeRequest {
            keys_only: true,
            sort_order: 1,
            ..range("k", "l")
        },
        RangeRequest {
            count_only: true,
            ..range("k", "l")
        },
        range("k00007", ""),
        range("none", ""),
        range("z", "a"),
    ];
    for request in requests {
        let expected = kv.range(request.clone()).await.unwrap().into_inner();
        let chunks = chunks(&node, request.clone()).await;
        assert!(chunks.iter().all(|chunk| chunk.kvs.len() <= 1000));
        assert_eq!(merged(chunks), expected, "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_of_large_values_is_bounded_in_bytes() {
    let node = Fixture::start().await;
    node.fill("k", 20, 300 * 1024).await;
    let chunks = chunks(&node, range("k", "l")).await;
    let sizes: Vec<usize> = chunks.iter().map(|chunk| chunk.kvs.len()).collect();
    assert_eq!(
        sizes,
        [4, 4, 4, 4, 4],
        "the fourth value brings a chunk over 1 MiB"
    );
    assert_eq!(merged(chunks).count, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn later_chunks_are_of_the_first_ones_revision() {
    let node = Fixture::start().await;
    node.fill("k", 64, 300 * 1024).await;
    let mut kv = node.kv().await;
    let mut stream = node
        .kv()
        .await
        .range_stream(range("k", "l"))
        .await
        .unwrap()
        .into_inner();
    let first = bounded(stream.message()).await.unwrap().unwrap();
    // 19 MiB do not fit into the windows, so the later chunks are read after these writes.
    kv.put(put("k00063", "new")).await.unwrap();
    kv.put(put("k9", "new")).await.unwrap();
    kv.delete_range(DeleteRangeRequest {
        key: "k00062".into(),
        ..DeleteRangeRequest::default()
    })
    .await
    .unwrap();
    let mut chunks = vec![first.range_response.unwrap()];
    while let Some(chunk) = bounded(stream.message()).await.unwrap() {
        chunks.push(chunk.range_response.unwrap());
    }
    let all = merged(chunks);
    assert_eq!(
        (all.kvs.len(), all.count, all.header.unwrap().revision),
        (64, 64, 65)
    );
    assert!(all.kvs.iter().all(|kv| kv.value.len() == 300 * 1024));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_above_its_revision_ends_the_stream() {
    let node = Fixture::start().await;
    node.fill("k", 64, 300 * 1024).await;
    let mut kv = node.kv().await;
    let mut stream = node
        .kv()
        .await
        .range_stream(range("k", "l"))
        .await
        .unwrap()
        .into_inner();
    bounded(stream.message()).await.unwrap().unwrap();
    let revision = kv
        .put(put("k00000", "new"))
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
    let end = loop {
        match bounded(stream.message()).await {
            Ok(chunk) => assert!(chunk.unwrap().range_response.unwrap().header.is_none()),
            Err(status) => break status,
        }
    };
    assert_eq!(
        (end.code(), end.message()),
        (
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_streamed_is_refused() {
    let node = Fixture::start().await;
    let mut kv = node.kv().await;
    let unsupported = [
        RangeRequest {
            sort_order: 2,
            ..range("k", "l")
        },
        RangeRequest {
            sort_target: 4,
            ..range("k", "l")
        },
        RangeRequest {
            min_mod_revision: 1,
            ..range("k", "l")
        },
        RangeRequest {
            max_mod_revision: 1,
            ..range("k", "l")
        },
        RangeRequest {
            min_create_revision: 1,
            ..range("k", "l")
        },
        RangeRequest {
            max_create_revision: 1,
            ..range("k", "l")
        },
    ];
    for request in unsupported {
        assert_eq!(
            told(kv.range_stream(request.clone()).await.map(drop)).0,
            Code::Unimplemented,
            "{request:?}"
        );
    }
    assert_eq!(
        told(kv.range_stream(range("", "")).await.map(drop)).0,
        Code::InvalidArgument
    );
    let future = RangeRequest {
        revision: 9,
        ..range("k", "l")
    };
    assert_eq!(
        told(kv.range_stream(future).await.map(drop)).0,
        Code::OutOfRange
    );
}
