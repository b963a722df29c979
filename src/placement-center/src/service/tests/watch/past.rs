//! Watching from a revision: of the past, at a compaction, of the future.

use super::*;

fn from(start_revision: i64, create: WatchCreateRequest) -> WatchCreateRequest {
    WatchCreateRequest {
        start_revision,
        ..create
    }
}

#[tokio::test]
async fn the_past_is_told_from_the_store_then_the_present_as_it_comes() {
    let node = Fixture::start().await;
    write(&node, "a", "1").await;
    write(&node, "b", "x").await;
    write(&node, "a", "2").await;
    delete(&node, "a", "").await;
    let mut stream = Stream::open(&node).await;
    let create = WatchCreateRequest {
        prev_kv: true,
        ..from(2, key("a"))
    };
    assert_eq!(stream.create(create).await, (0, 5));
    let past = stream.next().await;
    assert_eq!(revision(&past), 5, "the store's revision");
    let told = events(&past);
    assert_eq!(
        briefs(&told),
        [put_of("a", "1", 2), put_of("a", "2", 4), delete_of("a", 5)]
    );
    let previous: Vec<Option<(i64, &[u8])>> = told
        .iter()
        .map(|event| {
            let previous = event.prev_kv.as_ref();
            previous.map(|kv| (kv.mod_revision, &kv.value[..]))
        })
        .collect();
    assert_eq!(previous, [None, Some((2, &b"1"[..])), Some((4, &b"2"[..]))]);
    let gone = told[2].kv.as_ref().unwrap();
    assert_eq!((gone.create_revision, gone.version), (0, 0));
    write(&node, "a", "3").await;
    let now = stream.next().await;
    assert_eq!(revision(&now), 6);
    assert_eq!(briefs(&events(&now)), [put_of("a", "3", 6)]);
    assert_eq!(events(&now)[0].prev_kv, None, "it did not exist");
}

#[tokio::test]
async fn a_compacted_start_is_created_and_then_cancelled() {
    let node = Fixture::start().await;
    for value in ["1", "2", "3"] {
        write(&node, "a", value).await;
    }
    compact(&node, 3, true).await;
    let mut stream = Stream::open(&node).await;
    assert_eq!(stream.create(from(2, key("a"))).await, (0, 4));
    let canceled = stream.next().await;
    assert_eq!((canceled.watch_id, canceled.canceled), (0, true));
    assert_eq!((canceled.compact_revision, revision(&canceled)), (3, 0));
    assert!(!canceled.created && canceled.cancel_reason.is_empty());
    // At the compacted revision itself nothing is missing but the version before it.
    let create = WatchCreateRequest {
        prev_kv: true,
        ..from(3, key("a"))
    };
    let (watch_id, _) = stream.create(create).await;
    let told = stream.events(watch_id).await;
    assert_eq!(briefs(&told), [put_of("a", "2", 3), put_of("a", "3", 4)]);
    assert_eq!(told[0].prev_kv, None, "compacted");
    assert_eq!(told[1].prev_kv.as_ref().unwrap().mod_revision, 3);
}

#[tokio::test]
async fn a_tombstone_at_the_compacted_revision_is_told() {
    let node = Fixture::start().await;
    write(&node, "a", "1").await;
    let deleted = delete(&node, "a", "").await;
    compact(&node, deleted, true).await;
    let mut stream = Stream::open(&node).await;
    stream.create(from(deleted, key("a"))).await;
    assert_eq!(briefs(&stream.events(0).await), [delete_of("a", deleted)]);
}

#[tokio::test]
async fn nothing_is_told_before_a_start_in_the_future() {
    let node = Fixture::start().await;
    let mut stream = Stream::open(&node).await;
    assert_eq!(stream.create(from(4, key("a"))).await, (0, 1));
    stream.ask_progress().await;
    for value in ["1", "2", "3", "4"] {
        write(&node, "a", value).await;
    }
    // Neither events nor progress of what lies before; then both, in order.
    let first = stream.next().await;
    assert_eq!(briefs(&events(&first)), [put_of("a", "3", 4)]);
    let mut answers = [stream.next().await, stream.next().await];
    answers.sort_by_key(|answer| answer.watch_id);
    assert_eq!(answers[0].watch_id, -1, "the progress");
    assert!(revision(&answers[0]) >= 4);
    assert_eq!(briefs(&events(&answers[1])), [put_of("a", "4", 5)]);
}

#[tokio::test]
async fn a_long_past_comes_whole_and_in_order() {
    let node = Fixture::start().await;
    node.fill("k", 2500, 10).await;
    let mut stream = Stream::open(&node).await;
    stream.create(from(1, keys("k", "l"))).await;
    let mut next = 2;
    while next < 2502 {
        let response = stream.next().await;
        assert!(response.events.len() <= 1000);
        assert!(revision(&response) >= 2501);
        for event in events(&response) {
            assert_eq!(brief(&event).3, next);
            next += 1;
        }
    }
}
