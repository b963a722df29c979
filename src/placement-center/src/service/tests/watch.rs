//! `Watch` of etcd: the shape and the order of every answer.

mod creation;
mod flow;
mod past;

use crate::service::testing::*;
use bytes::Bytes;
use prost::Message;
use protocol::WatchResponse;
use protocol::etcdserverpb::watch_request::RequestUnion;
use protocol::etcdserverpb::*;
use protocol::mvccpb::Event;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Requests that a test may send ahead.
const REQUESTS_MAX: usize = 64;

/// A stream of watches as a client holds it.
struct Stream {
    requests_tx: Option<mpsc::Sender<WatchRequest>>,
    responses: Streaming<WatchResponse>,
}

impl Stream {
    async fn open(node: &Fixture) -> Stream {
        let (requests_tx, requests_rx) = mpsc::channel(REQUESTS_MAX);
        let mut client = node.watch().await;
        let opened = bounded(client.watch(ReceiverStream::new(requests_rx))).await;
        Stream {
            requests_tx: Some(requests_tx),
            responses: opened.unwrap().into_inner(),
        }
    }

    async fn ask(&self, request: RequestUnion) {
        let request = WatchRequest {
            request_union: Some(request),
        };
        let requests_tx = self.requests_tx.as_ref().expect("not closed");
        bounded(requests_tx.send(request)).await.unwrap();
    }

    async fn ask_create(&self, create: WatchCreateRequest) {
        self.ask(RequestUnion::CreateRequest(create)).await;
    }

    /// Creates a watcher and returns its id and the revision it was told.
    async fn create(&mut self, create: WatchCreateRequest) -> (i64, i64) {
        self.ask_create(create).await;
        let created = self.next().await;
        assert!(created.created && !created.canceled, "{created:?}");
        assert_eq!((created.compact_revision, created.events.len()), (0, 0));
        (created.watch_id, revision(&created))
    }

    async fn cancel(&self, watch_id: i64) {
        let cancel = WatchCancelRequest { watch_id };
        self.ask(RequestUnion::CancelRequest(cancel)).await;
    }

    async fn ask_progress(&self) {
        self.ask(RequestUnion::ProgressRequest(WatchProgressRequest {}))
            .await;
    }

    async fn next(&mut self) -> WatchResponse {
        let response = bounded(self.responses.message()).await.unwrap();
        let response = response.expect("the stream goes on");
        let header = response.header.as_ref().expect("every answer has a header");
        assert_eq!((header.cluster_id, header.member_id), (CLUSTER_ID, NODE_ID));
        response
    }

    /// The next answer, which must hold events of this watcher.
    async fn events(&mut self, watch_id: i64) -> Vec<Event> {
        let response = self.next().await;
        assert_eq!(response.watch_id, watch_id, "{response:?}");
        assert!(!response.created && !response.canceled && !response.events.is_empty());
        events(&response)
    }

    async fn end(&mut self) -> Status {
        loop {
            match bounded(self.responses.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a reason"),
                Err(status) => return status,
            }
        }
    }
}

fn revision(response: &WatchResponse) -> i64 {
    response.header.as_ref().expect("a header").revision
}

fn events(response: &WatchResponse) -> Vec<Event> {
    let decoded = response.events.iter().cloned().map(Event::decode);
    decoded.map(|event| event.expect("an event")).collect()
}

fn key(key: &'static str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: key.into(),
        ..WatchCreateRequest::default()
    }
}

fn keys(key: &'static str, range_end: &'static str) -> WatchCreateRequest {
    WatchCreateRequest {
        range_end: range_end.into(),
        ..self::key(key)
    }
}

/// Kind, key, value and revision of an event.
fn brief(event: &Event) -> (bool, String, String, i64) {
    let kv = event.kv.as_ref().expect("every event has its key");
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    (
        event.r#type == 1,
        text(&kv.key),
        text(&kv.value),
        kv.mod_revision,
    )
}

fn put_of(key: &str, value: &str, revision: i64) -> (bool, String, String, i64) {
    (false, key.to_owned(), value.to_owned(), revision)
}

fn delete_of(key: &str, revision: i64) -> (bool, String, String, i64) {
    (true, key.to_owned(), String::new(), revision)
}

fn briefs(events: &[Event]) -> Vec<(bool, String, String, i64)> {
    events.iter().map(brief).collect()
}

/// Writes one key and returns the revision.
async fn write(node: &Fixture, key: &'static str, value: &'static str) -> i64 {
    let reply = bounded(node.kv().await.put(put(key, value))).await.unwrap();
    reply.into_inner().header.expect("a header").revision
}

async fn delete(node: &Fixture, key: &'static str, range_end: &'static str) -> i64 {
    let request = DeleteRangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        prev_kv: false,
    };
    let reply = bounded(node.kv().await.delete_range(request)).await;
    reply
        .unwrap()
        .into_inner()
        .header
        .expect("a header")
        .revision
}

async fn compact(node: &Fixture, revision: i64, physical: bool) {
    let request = CompactionRequest { revision, physical };
    bounded(node.kv().await.compact(request)).await.unwrap();
}
