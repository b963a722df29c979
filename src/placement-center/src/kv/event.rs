//! Changes of keys as those who watch them see them. An event is encoded once for all of them, by whoever
//! needs it first.

use super::CURRENT;
use super::record::Record;
use bytes::Bytes;
use prost::Message;
use protocol::mvccpb::event::EventType;
use protocol::mvccpb::{self, KeyValue};
use std::sync::{Arc, OnceLock};

/// What an event takes beside its bytes: the structures around them.
const EVENT_OVERHEAD_BYTES: usize = 200;
/// Copies of its bytes that an event may come to hold: as it is stored, and encoded without and with the
/// version before it.
const COPIES_MAX: usize = 3;

/// One change of one key.
#[derive(Debug)]
pub struct Event {
    key: Bytes,
    revision: i64,
    /// The new version as it is stored, checked when the event was made; `None` when the key was deleted.
    version: Option<Bytes>,
    /// The version before it, likewise.
    previous: Option<Bytes>,
    encoded: OnceLock<Bytes>,
    encoded_with_previous: OnceLock<Bytes>,
}

/// The changes of one revision, in their order; at least one.
#[derive(Debug)]
pub struct Revision {
    number: i64,
    events: Box<[Event]>,
    bytes: usize,
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// The revision of the change.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Whether the key was deleted.
    pub fn is_delete(&self) -> bool {
        self.version.is_none()
    }

    /// The encoded `mvccpb.Event`, with the version before the change or without.
    pub fn encoded(&self, with_previous: bool) -> Bytes {
        let slot = match with_previous && self.previous.is_some() {
            true => &self.encoded_with_previous,
            false => &self.encoded,
        };
        let encode = || self.to_message(with_previous).encode_to_vec().into();
        slot.get_or_init(encode).clone()
    }

    /// The event as a message; values share the memory of the event.
    pub fn to_message(&self, with_previous: bool) -> mvccpb::Event {
        let (kind, kv) = match &self.version {
            Some(version) => (EventType::Put, self.key_value(version)),
            None => {
                let gone = KeyValue {
                    key: self.key.clone(),
                    mod_revision: self.revision,
                    ..KeyValue::default()
                };
                (EventType::Delete, gone)
            }
        };
        let previous = self.previous.as_ref().filter(|_| with_previous);
        mvccpb::Event {
            r#type: kind.into(),
            kv: Some(kv),
            prev_kv: previous.map(|version| self.key_value(version)),
        }
    }

    fn key_value(&self, version: &Bytes) -> KeyValue {
        let record = Record::decode(CURRENT, version);
        let record = record.expect("the version was decoded when the event was made");
        let value = version.slice_ref(record.value);
        record.to_key_value(self.key.clone(), value)
    }

    fn bytes(&self) -> usize {
        let length = |version: &Option<Bytes>| version.as_ref().map_or(0, Bytes::len);
        let own = self.key.len() + length(&self.version) + length(&self.previous);
        EVENT_OVERHEAD_BYTES + COPIES_MAX * own
    }
}

impl Revision {
    /// The revision.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Its changes, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Memory that it keeps, rounded up.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Gathers the events of one revision after the other.
#[derive(Debug, Default)]
pub(super) struct Collector {
    is_on: bool,
    open: Vec<Event>,
    done: Vec<Arc<Revision>>,
}

/// A change, for the collector. Both versions must have been decoded, or come from the encoder.
pub(super) struct Changed<'a> {
    pub(super) key: &'a [u8],
    pub(super) revision: i64,
    /// `None` when the key was deleted.
    pub(super) version: Option<&'a [u8]>,
    pub(super) previous: Option<Bytes>,
}

impl Collector {
    /// One that gathers.
    pub(super) fn gathering() -> Collector {
        Collector {
            is_on: true,
            ..Collector::default()
        }
    }

    /// Whether events are gathered at all; asked before anything is copied for one. Changes between
    /// revisions alone, or a revision would be gathered by half.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    pub(super) fn switch(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    pub(super) fn add(&mut self, changed: Changed<'_>) {
        self.open.push(Event {
            key: Bytes::copy_from_slice(changed.key),
            revision: changed.revision,
            version: changed.version.map(Bytes::copy_from_slice),
            previous: changed.previous,
            encoded: OnceLock::new(),
            encoded_with_previous: OnceLock::new(),
        });
    }

    /// Ends a revision. One that gathered nothing is left out.
    pub(super) fn close(&mut self, number: i64) {
        if self.open.is_empty() {
            return;
        }
        let events: Box<[Event]> = std::mem::take(&mut self.open).into();
        let bytes = events.iter().map(Event::bytes).sum();
        self.done.push(Arc::new(Revision {
            number,
            events,
            bytes,
        }));
    }

    /// Bytes of the revision that is being gathered.
    pub(super) fn open_bytes(&self) -> usize {
        self.open.iter().map(Event::bytes).sum()
    }

    /// The revisions that ended since the last call.
    pub(super) fn take(&mut self) -> Vec<Arc<Revision>> {
        std::mem::take(&mut self.done)
    }
}
