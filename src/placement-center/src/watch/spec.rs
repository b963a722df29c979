//! What a watcher asks for, and why it may be refused.

use crate::kv::Event;
use bytes::Bytes;

/// The keys a watcher wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A single key.
    One(Bytes),
    /// The keys from `start` on, below `end` (`None`: without end).
    Range {
        /// First key.
        start: Bytes,
        /// First key behind.
        end: Option<Bytes>,
    },
}

/// The lowest key there can be; stands for a key that is not given.
const LOWEST: &[u8] = &[0];

impl Keys {
    /// Reads the wire form. Unlike other requests, a watch may leave the key out: it begins at the lowest then.
    ///
    /// # Errors
    /// [`Refusal::EmptyRange`].
    pub fn new(key: Bytes, range_end: Bytes) -> Result<Keys, Refusal> {
        let start = match key.is_empty() {
            true => Bytes::from_static(LOWEST),
            false => key,
        };
        match &range_end[..] {
            [] => Ok(Keys::One(start)),
            [0] => Ok(Keys::Range { start, end: None }),
            end if start[..] >= *end => Err(Refusal::EmptyRange),
            _ => Ok(Keys::Range {
                start,
                end: Some(range_end),
            }),
        }
    }

    /// Whether `key` is one of them.
    pub fn contain(&self, key: &[u8]) -> bool {
        match self {
            Keys::One(own) => own == key,
            Keys::Range { start, end } => {
                &start[..] <= key && end.as_ref().is_none_or(|end| key < end)
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Keys::One(key) => key.len(),
            Keys::Range { start, end } => start.len() + end.as_ref().map_or(0, Bytes::len),
        }
    }
}

/// What a watcher asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The keys.
    pub keys: Keys,
    /// First revision; 0 begins behind the newest at registration.
    pub start: i64,
    /// Leave puts out.
    pub no_put: bool,
    /// Leave deletes out.
    pub no_delete: bool,
    /// With the version before each change.
    pub previous: bool,
    /// Tell how far the watcher has seen when there is nothing else to tell.
    pub progress: bool,
    /// A batch that is too long for one message may be split.
    pub fragment: bool,
}

impl Spec {
    /// All changes of `keys` from `start` on.
    pub fn new(keys: Keys, start: i64) -> Spec {
        Spec {
            keys,
            start,
            no_put: false,
            no_delete: false,
            previous: false,
            progress: false,
            fragment: false,
        }
    }

    /// Whether the watcher is to be told of a change of this kind.
    pub(super) fn takes_kind(&self, is_delete: bool) -> bool {
        match is_delete {
            true => !self.no_delete,
            false => !self.no_put,
        }
    }

    /// Whether the watcher is to be told of `event`.
    pub(super) fn takes(&self, event: &Event) -> bool {
        self.takes_kind(event.is_delete()) && self.keys.contain(event.key())
    }
}

/// Why a watcher is not created. The first three are etcd's texts, on which clients match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The end of the range is not behind its start.
    #[error("mvcc: watcher range is empty")]
    EmptyRange,
    /// The stream has a watcher of that id.
    #[error("mvcc: duplicate watch ID provided on the WatchStream")]
    DuplicateId,
    /// A revision below zero.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    NegativeStart,
    /// The stream has all the watchers it may have.
    #[error("too many watchers on this stream: limits.watchers_per_stream_max is {0}")]
    StreamFull(usize),
    /// This node has all the watchers it may have.
    #[error("too many watchers on this node: limits.watchers_max is {0}")]
    NodeFull(usize),
    /// Key and range end are too long to be kept.
    #[error("key and range end of a watcher are too long: limits.watch_key_bytes_max is {0}")]
    KeyTooLong(usize),
}
