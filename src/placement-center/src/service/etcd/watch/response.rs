//! Notices as clients get them: etcd's shapes, to the last detail that some client depends on.

use crate::service::Context;
use crate::watch::{Batch, Cause, Notice};
use bytes::Bytes;
use protocol::WatchResponse;
use protocol::etcdserverpb::ResponseHeader;
use std::collections::VecDeque;
use std::sync::Arc;

/// Speaks of no watcher, or of all of a stream.
const NO_WATCHER: i64 = -1;
/// What one event takes in a response beside its own bytes: a tag and a length.
const EVENT_FRAME_BYTES: usize = 6;

/// Responses to be sent. A notice is one response, or several if it is too long for one and may be split.
pub(super) struct Responses {
    context: Arc<Context>,
    ready: VecDeque<WatchResponse>,
}

impl Responses {
    pub(super) fn new(context: Arc<Context>) -> Responses {
        Responses {
            context,
            ready: VecDeque::new(),
        }
    }

    /// The next response.
    pub(super) fn next(&mut self) -> Option<WatchResponse> {
        self.ready.pop_front()
    }

    /// Adds the responses to a notice; returns how many events they hold.
    pub(super) fn add(&mut self, notice: Notice) -> usize {
        let response = match notice {
            Notice::Events(batch) => return self.add_events(&batch),
            Notice::Created { watch_id, revision } => WatchResponse {
                watch_id,
                created: true,
                ..self.at(revision)
            },
            Notice::Refused { revision, refusal } => WatchResponse {
                watch_id: NO_WATCHER,
                created: true,
                canceled: true,
                cancel_reason: refusal.to_string(),
                ..self.at(revision)
            },
            Notice::Progress { watch_id, revision } => WatchResponse {
                watch_id: watch_id.unwrap_or(NO_WATCHER),
                ..self.at(revision)
            },
            Notice::Canceled { watch_id, cause } => self.canceled(watch_id, cause),
        };
        self.ready.push_back(response);
        0
    }

    fn canceled(&self, watch_id: i64, cause: Cause) -> WatchResponse {
        let response = match cause {
            Cause::Asked { revision } => self.at(revision),
            // Clients take the header of this one for nothing: etcd leaves its revision out.
            Cause::Compacted { revision } => WatchResponse {
                compact_revision: revision,
                ..self.at(0)
            },
            Cause::Unreadable => WatchResponse {
                cancel_reason: "etcdserver: the local store could not be read".to_owned(),
                ..self.at(0)
            },
        };
        WatchResponse {
            watch_id,
            canceled: true,
            ..response
        }
    }

    fn at(&self, revision: i64) -> WatchResponse {
        WatchResponse {
            header: Some(self.header(revision)),
            ..WatchResponse::default()
        }
    }

    fn header(&self, revision: i64) -> ResponseHeader {
        self.context.header(revision)
    }

    fn add_events(&mut self, batch: &Batch) -> usize {
        let spec = batch.spec();
        let events: Vec<Bytes> = batch
            .events()
            .map(|event| event.encoded(spec.previous))
            .collect();
        let count = events.len();
        let parts = match spec.fragment {
            true => split(events, self.context.limits.request_bytes_max),
            false => vec![events],
        };
        let last = parts.len() - 1;
        for (place, events) in parts.into_iter().enumerate() {
            let response = WatchResponse {
                watch_id: batch.watch_id,
                fragment: place < last,
                events,
                ..self.at(batch.revision)
            };
            self.ready.push_back(response);
        }
        count
    }
}

/// Splits events so that no part is longer than `bytes_max`, unless a single event is. One part at least.
fn split(events: Vec<Bytes>, bytes_max: usize) -> Vec<Vec<Bytes>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for event in events {
        bytes += event.len() + EVENT_FRAME_BYTES;
        if bytes > bytes_max && parts.last().is_some_and(|part| !part.is_empty()) {
            bytes = event.len() + EVENT_FRAME_BYTES;
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(event);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_batch_is_split_between_events() {
        let event = |bytes: usize| Bytes::from(vec![0; bytes - EVENT_FRAME_BYTES]);
        let sizes = |events: &[usize]| -> Vec<Vec<usize>> {
            let parts = split(events.iter().map(|bytes| event(*bytes)).collect(), 100);
            let size = |event: &Bytes| event.len() + EVENT_FRAME_BYTES;
            parts
                .iter()
                .map(|part| part.iter().map(size).collect())
                .collect()
        };
        assert_eq!(sizes(&[50, 50]), [[50, 50]]);
        assert_eq!(sizes(&[50, 51]), [[50], [51]]);
        assert_eq!(sizes(&[300]), [[300]]);
        assert_eq!(
            sizes(&[40, 300, 40, 40]),
            [vec![40], vec![300], vec![40, 40]]
        );
    }
}
