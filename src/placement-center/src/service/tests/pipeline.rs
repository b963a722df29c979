//! `Pipeline`: order, errors in place, reads between writes, the window, overload, the ends of a stream.

use crate::config::LimitsConfig;
use crate::service::testing::*;
use bytes::Bytes;
use futures::stream;
use protocol::placement::v1::operation::Operation as Kind;
use protocol::placement::v1::operation_result::Result as Answer;
use protocol::placement::v1::*;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

fn operation(kind: Kind) -> Operation {
    Operation {
        operation: Some(kind),
    }
}

fn set(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Operation {
    operation(Kind::Set(SetRequest {
        key: key.into(),
        value: value.into(),
        expected_mod_revision: None,
    }))
}

fn get(key: impl Into<Bytes>) -> Operation {
    operation(Kind::Get(GetRequest {
        key: key.into(),
        ..GetRequest::default()
    }))
}

fn exists(key: impl Into<Bytes>) -> Operation {
    operation(Kind::Exists(ExistsRequest {
        key: key.into(),
        consistency: 0,
    }))
}

fn delete(key: impl Into<Bytes>) -> Operation {
    operation(Kind::Delete(DeleteRequest {
        key: key.into(),
        expected_mod_revision: None,
    }))
}

/// Sends all messages, closes, and collects every answer.
async fn run(node: &Fixture, messages: Vec<Vec<Operation>>) -> Vec<Answer> {
    let messages = messages
        .into_iter()
        .map(|operations| PipelineRequest { operations });
    let mut results = node
        .native()
        .await
        .pipeline(stream::iter(messages))
        .await
        .unwrap()
        .into_inner();
    let mut answers = Vec::new();
    while let Some(response) = bounded(results.message()).await.unwrap() {
        assert!(!response.results.is_empty());
        answers.extend(
            response
                .results
                .into_iter()
                .map(|result| result.result.unwrap()),
        );
    }
    answers
}

fn value(answer: &Answer) -> Option<&[u8]> {
    match answer {
        Answer::Get(get) => get.item.as_ref().map(|item| item.value.as_ref()),
        other => panic!("not a get: {other:?}"),
    }
}

fn error(answer: &Answer) -> (Code, &str) {
    match answer {
        Answer::Error(error) => {
            assert_eq!(error.outcome(), Outcome::NotApplied);
            (Code::from_i32(error.code), &error.message)
        }
        other => panic!("not an error: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_in_the_order_of_operations_and_reads_between_writes() {
    let node = Fixture::start().await;
    let operations = vec![
        vec![
            get("k"),
            exists("k"),
            set("k", "1"),
            get("k"),
            set("k", "2"),
            get("k"),
        ],
        vec![
            exists("k"),
            delete("k"),
            exists("k"),
            get("k"),
            delete("k"),
            set("k", "3"),
        ],
        vec![get("k")],
    ];
    let answers = run(&node, operations).await;
    assert_eq!(answers.len(), 13);
    assert_eq!(
        value(&answers[0]),
        None,
        "a read does not see a later write of its key"
    );
    assert!(matches!(
        answers[1],
        Answer::Exists(ExistsResponse { exists: false, .. })
    ));
    assert!(matches!(
        answers[2],
        Answer::Set(SetResponse {
            revision: 2,
            written: true
        })
    ));
    assert_eq!(value(&answers[3]), Some(&b"1"[..]));
    assert!(matches!(
        answers[4],
        Answer::Set(SetResponse { revision: 3, .. })
    ));
    assert_eq!(value(&answers[5]), Some(&b"2"[..]));
    assert!(matches!(
        answers[6],
        Answer::Exists(ExistsResponse { exists: true, .. })
    ));
    assert!(matches!(
        answers[7],
        Answer::Delete(DeleteResponse {
            revision: 4,
            deleted: true
        })
    ));
    assert!(matches!(
        answers[8],
        Answer::Exists(ExistsResponse { exists: false, .. })
    ));
    assert_eq!(value(&answers[9]), None);
    assert!(matches!(
        answers[10],
        Answer::Delete(DeleteResponse {
            revision: 4,
            deleted: false
        })
    ));
    assert!(matches!(
        answers[11],
        Answer::Set(SetResponse { revision: 5, .. })
    ));
    assert_eq!(value(&answers[12]), Some(&b"3"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_operation_fails_alone() {
    let node = Fixture::start().await;
    let bad_read = operation(Kind::Get(GetRequest {
        key: "a".into(),
        revision: 99,
        consistency: 0,
    }));
    let large = vec![0; node.context.limits().request_bytes_max];
    let operations = vec![
        vec![
            set("a", "1"),
            set("", "1"),
            Operation { operation: None },
            bad_read,
        ],
        vec![set("b", large)],
        vec![set("c", "1")],
    ];
    let answers = run(&node, operations).await;
    assert_eq!(answers.len(), 6);
    assert!(matches!(
        answers[0],
        Answer::Set(SetResponse { revision: 2, .. })
    ));
    assert_eq!(
        error(&answers[1]),
        (Code::InvalidArgument, "key is not provided")
    );
    assert_eq!(
        error(&answers[2]),
        (Code::InvalidArgument, "operation says nothing")
    );
    assert_eq!(
        error(&answers[3]),
        (
            Code::OutOfRange,
            "mvcc: required revision is a future revision"
        )
    );
    assert_eq!(
        error(&answers[4]),
        (Code::InvalidArgument, "request is too large")
    );
    assert!(matches!(
        answers[5],
        Answer::Set(SetResponse { revision: 3, .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writes_keep_their_order_and_all_are_answered() {
    let node = Fixture::start().await;
    let messages = (0..100).map(|message| {
        (0..64)
            .map(|op| set(format!("k{:02}", op % 7), format!("{message}.{op}")))
            .collect()
    });
    let answers = run(&node, messages.collect()).await;
    assert_eq!(answers.len(), 6400);
    for (number, answer) in answers.iter().enumerate() {
        let revision = number as i64 + 2;
        assert!(
            matches!(answer, Answer::Set(set) if set.revision == revision),
            "{number}: {answer:?}"
        );
    }
    assert_eq!(
        value(&run(&node, vec![vec![get("k00")]]).await[0]),
        Some(&b"99.63"[..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_consensus_queue_is_waited_for() {
    let limits = LimitsConfig {
        proposals_count_max: 2,
        request_timeout: PATIENCE,
        ..LimitsConfig::default()
    };
    let node = Fixture::start_with(Options {
        limits,
        ..Options::default()
    })
    .await;
    let answers = run(
        &node,
        vec![
            (0..200)
                .map(|number| set(format!("k{number}"), "v"))
                .collect(),
        ],
    )
    .await;
    assert_eq!(answers.len(), 200);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Answer::Set(_))),
        "{answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_read_ahead_than_the_window_holds() {
    let limits = LimitsConfig {
        pipeline_window: 4,
        request_timeout: PATIENCE,
        ..LimitsConfig::default()
    };
    let node = Fixture::start_with(Options {
        limits,
        ..Options::default()
    })
    .await;
    node.fill("large", 1, 1024 * 1024).await;
    // Answers that nobody reads fill the windows of the connection; the server must then stop reading.
    let (operations_tx, operations_rx) = mpsc::channel(1);
    let results = node
        .native()
        .await
        .pipeline(ReceiverStream::new(operations_rx))
        .await
        .unwrap()
        .into_inner();
    let mut operations = vec![get("large00000"); 64];
    operations.push(set("k", "v"));
    operations_tx
        .send(PipelineRequest { operations })
        .await
        .unwrap();
    let answered = || {
        node.context
            .metrics()
            .pipeline_operations
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    until(|| answered() > 0).await;
    let mut before = u64::MAX;
    while before != answered() {
        before = answered();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(
        before < 32,
        "{before} answers of 1 MiB were made though nobody reads them"
    );
    assert_eq!(
        node.context.published().revision(),
        2,
        "the write behind the reads was not taken"
    );
    drop(operations_tx);
    let answers: Vec<_> = bounded(results.collect::<Vec<_>>()).await;
    let count: usize = answers
        .iter()
        .map(|response| response.as_ref().unwrap().results.len())
        .sum();
    assert_eq!(count, 65);
    assert_eq!(node.context.published().revision(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_while_the_stream_stays_open() {
    let node = Fixture::start().await;
    let (operations_tx, operations_rx) = mpsc::channel(1);
    let mut results = node
        .native()
        .await
        .pipeline(ReceiverStream::new(operations_rx))
        .await
        .unwrap()
        .into_inner();
    for number in 0..50 {
        operations_tx
            .send(PipelineRequest {
                operations: vec![set("k", format!("{number}")), get("k")],
            })
            .await
            .unwrap();
        let mut answers = Vec::new();
        while answers.len() < 2 {
            answers.extend(bounded(results.message()).await.unwrap().unwrap().results);
        }
        assert_eq!(
            value(answers[1].result.as_ref().unwrap()),
            Some(number.to_string().as_bytes())
        );
    }
    drop(operations_tx);
    assert!(bounded(results.message()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_listener_ends_the_stream_after_its_answers() {
    let mut node = Fixture::start().await;
    let (operations_tx, operations_rx) = mpsc::channel(1);
    let mut results = node
        .native()
        .await
        .pipeline(ReceiverStream::new(operations_rx))
        .await
        .unwrap()
        .into_inner();
    operations_tx
        .send(PipelineRequest {
            operations: vec![set("k", "v")],
        })
        .await
        .unwrap();
    bounded(results.message()).await.unwrap().unwrap();
    node.stop.cancel();
    let end = bounded(results.message()).await.unwrap_err();
    assert_eq!(
        (end.code(), end.message()),
        (Code::Unavailable, "server stopped")
    );
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_group_fails_operations_and_not_the_stream() {
    let node = Fixture::start().await;
    let mut client = node.native().await;
    let (_context, _server) = node.stop_group().await;
    let requests = stream::iter([PipelineRequest {
        operations: vec![set("k", "v"), get("k")],
    }]);
    let mut results = client.pipeline(requests).await.unwrap().into_inner();
    let mut answers = Vec::new();
    while let Some(response) = bounded(results.message()).await.unwrap() {
        answers.extend(
            response
                .results
                .into_iter()
                .map(|result| result.result.unwrap()),
        );
    }
    assert_eq!(answers.len(), 2);
    assert_eq!(error(&answers[0]), (Code::Unavailable, "server stopped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_takes_too_long_is_answered_and_the_stream_goes_on() {
    let limits = LimitsConfig {
        request_timeout: std::time::Duration::ZERO,
        ..LimitsConfig::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let node = Fixture::start_with(options).await;
    let messages = (0..20).map(|number| vec![set("k", format!("{number}")), get("k")]);
    let answers = run(&node, messages.collect()).await;
    assert_eq!(answers.len(), 40);
    let mut late = 0;
    for (number, answer) in answers.iter().enumerate() {
        let Answer::Error(error) = answer else {
            continue;
        };
        late += 1;
        let is_write = number % 2 == 0;
        let (outcome, code) = match is_write {
            true => (Outcome::Unknown, Code::DeadlineExceeded),
            false => (Outcome::NotApplied, Code::Unavailable),
        };
        assert_eq!(
            (error.outcome(), Code::from_i32(error.code)),
            (outcome, code)
        );
        assert_eq!(error.message, "request timed out");
    }
    assert!(late > 0, "no sync takes no time");
    until(|| node.context.published().revision() == 21).await;
}
