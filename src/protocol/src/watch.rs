//! The answer of a watch, written by hand for the sake of its events: they are encoded once and then shared
//! by the answers to all watchers, so that here they are bytes. On the wire nothing differs from the message
//! of the .proto file, which is also what reflection shows.

use crate::etcdserverpb::ResponseHeader;
use bytes::Bytes;

/// `etcdserverpb.WatchResponse`; see the .proto file for what the fields mean.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchResponse {
    /// Where the store stands.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The watcher that is spoken of.
    #[prost(int64, tag = "2")]
    pub watch_id: i64,
    /// Answers a request to create a watcher.
    #[prost(bool, tag = "3")]
    pub created: bool,
    /// The watcher has ended.
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    /// Lowest revision left, when the watcher ended because of a compaction.
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    /// Why the watcher ended.
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    /// More of the same revisions follows.
    #[prost(bool, tag = "7")]
    pub fragment: bool,
    /// Encoded messages `mvccpb.Event`.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub events: Vec<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mvccpb::{Event, KeyValue, event::EventType};
    use prost::Message;

    /// The same message with the types that a generator gives its fields.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Generated {
        #[prost(message, optional, tag = "1")]
        header: Option<ResponseHeader>,
        #[prost(int64, tag = "2")]
        watch_id: i64,
        #[prost(bool, tag = "3")]
        created: bool,
        #[prost(bool, tag = "4")]
        canceled: bool,
        #[prost(int64, tag = "5")]
        compact_revision: i64,
        #[prost(string, tag = "6")]
        cancel_reason: String,
        #[prost(bool, tag = "7")]
        fragment: bool,
        #[prost(message, repeated, tag = "11")]
        events: Vec<Event>,
    }

    #[test]
    fn encoded_events_look_like_events() {
        let put = Event {
            r#type: EventType::Put.into(),
            kv: Some(KeyValue {
                key: "k".into(),
                mod_revision: 7,
                ..KeyValue::default()
            }),
            prev_kv: None,
        };
        let delete = Event {
            r#type: EventType::Delete.into(),
            prev_kv: put.kv.clone(),
            ..put.clone()
        };
        // A put of nothing at all: the shortest event is empty, and still one.
        let events = vec![put, delete, Event::default()];
        let ours = WatchResponse {
            header: Some(ResponseHeader::default()),
            watch_id: -1,
            created: true,
            canceled: true,
            compact_revision: 5,
            cancel_reason: "because".to_owned(),
            fragment: true,
            events: events
                .iter()
                .map(|event| event.encode_to_vec().into())
                .collect(),
        };
        let theirs = Generated::decode(&ours.encode_to_vec()[..]).expect("our own message");
        assert_eq!(theirs.events, events);
        assert_eq!(theirs.encode_to_vec(), ours.encode_to_vec());
        assert_eq!(WatchResponse::decode(&theirs.encode_to_vec()[..]), Ok(ours));
    }
}
