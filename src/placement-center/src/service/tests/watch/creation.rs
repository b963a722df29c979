//! Creating and cancelling watchers: ids, refusals, limits.

use super::*;
use crate::config::LimitsConfig;

#[tokio::test]
async fn ids_are_counted_from_zero_and_given_ones_are_kept() {
    let node = Fixture::start().await;
    let mut stream = Stream::open(&node).await;
    let asked = |watch_id| WatchCreateRequest {
        watch_id,
        ..key("a")
    };
    for (asked_id, expected) in [(0, 0), (1, 1), (0, 2), (7, 7), (-5, -5), (0, 3)] {
        let (watch_id, revision) = stream.create(asked(asked_id)).await;
        assert_eq!((watch_id, revision), (expected, 1));
    }
    stream.ask_create(asked(7)).await;
    let refused = stream.next().await;
    assert!(refused.created && refused.canceled);
    assert_eq!(refused.watch_id, -1);
    assert_eq!(
        refused.cancel_reason,
        "mvcc: duplicate watch ID provided on the WatchStream"
    );
    assert_eq!(revision(&refused), 1);
    // An id is free again once its watcher is gone.
    stream.cancel(7).await;
    assert!(stream.next().await.canceled);
    assert_eq!(stream.create(asked(7)).await.0, 7);
}

#[tokio::test]
async fn a_cancelled_watcher_is_told_so_and_nothing_more() {
    let node = Fixture::start().await;
    let mut stream = Stream::open(&node).await;
    stream.create(key("a")).await;
    stream.create(key("a")).await;
    stream.cancel(99).await;
    stream.cancel(0).await;
    let canceled = stream.next().await;
    assert_eq!((canceled.watch_id, canceled.canceled), (0, true));
    assert!(!canceled.created && canceled.cancel_reason.is_empty());
    assert_eq!((canceled.compact_revision, revision(&canceled)), (0, 1));
    write(&node, "a", "1").await;
    assert_eq!(briefs(&stream.events(1).await), [put_of("a", "1", 2)]);
}

#[tokio::test]
async fn refusals_have_etcds_shape_and_texts() {
    let limits = LimitsConfig {
        request_timeout: PATIENCE,
        watchers_per_stream_max: 2,
        watchers_max: 3,
        watch_key_bytes_max: 10,
        ..LimitsConfig::default()
    };
    let node = Fixture::start_with(Options {
        limits,
        ..Options::default()
    })
    .await;
    let mut stream = Stream::open(&node).await;
    let long = "0123456789x";
    let refusals = [
        (keys("b", "a"), "mvcc: watcher range is empty"),
        (keys("b", "b"), "mvcc: watcher range is empty"),
        (
            WatchCreateRequest {
                start_revision: -1,
                ..key("a")
            },
            "etcdserver: mvcc: required revision has been compacted",
        ),
        (
            key(long),
            "key and range end of a watcher are too long: limits.watch_key_bytes_max is 10",
        ),
        (
            keys("aaaaaa", "bbbbb"),
            "key and range end of a watcher are too long: limits.watch_key_bytes_max is 10",
        ),
    ];
    for (create, text) in refusals {
        stream.ask_create(create).await;
        let refused = stream.next().await;
        assert_eq!((refused.watch_id, &refused.cancel_reason[..]), (-1, text));
        assert!(refused.created && refused.canceled);
    }
    stream.create(key("a")).await;
    stream.create(key("a")).await;
    stream.ask_create(key("a")).await;
    assert_eq!(
        stream.next().await.cancel_reason,
        "too many watchers on this stream: limits.watchers_per_stream_max is 2"
    );
    let mut other = Stream::open(&node).await;
    other.create(key("a")).await;
    other.ask_create(key("a")).await;
    assert_eq!(
        other.next().await.cancel_reason,
        "too many watchers on this node: limits.watchers_max is 3"
    );
    // The watchers of a stream that is gone make room for others.
    drop(stream);
    let figures = node.context.watches().figures();
    until(|| figures.watchers.load(std::sync::atomic::Ordering::Relaxed) == 1).await;
    other.create(key("a")).await;
}

#[tokio::test]
async fn ranges_are_read_as_etcd_reads_them() {
    let node = Fixture::start().await;
    let mut stream = Stream::open(&node).await;
    let creates = [
        key("b"),
        keys("b", "c"),
        keys("b", "\0"),
        // No key stands for the lowest.
        keys("", "\0"),
        keys("", "b"),
        key(""),
    ];
    for create in creates {
        stream.create(create).await;
    }
    let mut told = Vec::new();
    for written in ["\0", "a", "b", "b1", "c"] {
        write(&node, written, "v").await;
    }
    for _ in 0..13 {
        let response = stream.next().await;
        let (_, key, _, _) = brief(&events(&response)[0]);
        told.push((response.watch_id, key));
    }
    told.sort();
    let expected = [
        (0, "b"),
        (1, "b"),
        (1, "b1"),
        (2, "b"),
        (2, "b1"),
        (2, "c"),
        (3, "\0"),
        (3, "a"),
        (3, "b"),
        (3, "b1"),
        (3, "c"),
        (4, "\0"),
        (4, "a"),
    ];
    let expected = expected.map(|(watch_id, key)| (watch_id, key.to_owned()));
    // The last watcher has one key, the lowest; its event is still to come.
    let rest = stream.next().await;
    told.push((rest.watch_id, brief(&events(&rest)[0]).1));
    told.sort();
    let mut all = expected.to_vec();
    all.push((5, "\0".to_owned()));
    all.sort();
    assert_eq!(told, all);
}
