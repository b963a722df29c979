//! The log: numbered records without holes, and a few named values written with them. A record lies
//! at its index (big-endian) as a checksum followed by its payload. What a record means is not known
//! here.

use crate::engine::{Change, Changes, Durability, Engine, EngineView};
use crate::{Error, Family, Order, Result};
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Records, by index.
pub(crate) const LOG_FAMILY: Family = Family("log");
/// Named values, and the index the log starts at.
pub(crate) const META_FAMILY: Family = Family("meta");
pub(crate) const LOG_FAMILIES: &[Family] = &[LOG_FAMILY, META_FAMILY];

/// Named values live behind this prefix, so that none can collide with a key of our own.
const VALUE_PREFIX: &[u8] = b"value/";
const FIRST_KEY: &[u8] = b"first_index";
const BOUNDARY_NAME: &str = "boundary";
const GENERATION_NAME: &str = "state_generation";
const CHECKSUM_BYTES: usize = 4;
/// Index of the first record ever written.
const FIRST_INDEX: u64 = 1;

/// Record of the log: `payload` is opaque. A CRC guards each record on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Position in the log; the first record ever has 1.
    pub index: u64,
    /// What the caller wrote.
    pub payload: Bytes,
}

/// One atomic, optionally synced, write of the log.
#[derive(Default, Debug)]
pub struct LogWrite {
    /// Contiguous; may start at or below the last index: then the old suffix from there is replaced.
    pub records: Vec<Record>,
    /// Named values, e.g. `("hard_state", bytes)`.
    pub values: Vec<(&'static str, Bytes)>,
}

/// Shared, cheap to clone. Meant for one writer; several take turns.
#[derive(Clone)]
pub struct LogStore {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    /// Bounds of the log, moved after the write that moves them. While a write replaces records
    /// they may promise what is gone: `read` looks again before it calls that damage.
    first: AtomicU64,
    last: AtomicU64,
    /// Held while a write is under way.
    writing: Mutex<()>,
}

impl LogStore {
    /// Takes over an opened engine and finds the bounds. Does not read the whole log; a damaged
    /// record is found when it is read.
    pub(crate) fn open(engine: Engine) -> Result<LogStore> {
        let latest = engine.latest();
        let first = match latest.get(META_FAMILY, FIRST_KEY)? {
            Some(sealed) => match unseal(FIRST_KEY, &sealed) {
                Some(bytes) => index_of(&bytes)?,
                None => return Err(Error::Corrupt("the log's first index".into())),
            },
            None => FIRST_INDEX,
        };
        let last = end_of(&latest, Order::Reverse)?.unwrap_or(first - 1);
        match end_of(&latest, Order::Forward)? {
            Some(lowest) if lowest != first => {
                return Err(Error::Corrupt(format!(
                    "the log starts at record {lowest} instead of {first}"
                )));
            }
            _ => {}
        }
        drop(latest);
        Ok(LogStore {
            shared: Arc::new(Shared {
                engine,
                first: AtomicU64::new(first),
                last: AtomicU64::new(last),
                writing: Mutex::new(()),
            }),
        })
    }

    /// Lowest retained index; `last_index() + 1` when the log is empty.
    pub fn first_index(&self) -> u64 {
        self.shared.first.load(Ordering::Acquire)
    }

    /// Highest index written (not: synced).
    pub fn last_index(&self) -> u64 {
        self.shared.last.load(Ordering::Acquire)
    }

    /// Records of `range`, at least one if present, then while the sum of payload bytes stays within
    /// `bytes_max`. [`Error::Compacted`] below the first index, [`Error::Unavailable`] beyond the
    /// last, [`Error::Corrupt`] for a record that is missing or not what was written.
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Record>> {
        match self.try_read(&range, bytes_max) {
            // A writer may have replaced the suffix between the check of the bounds and the read.
            // Only what is still wrong with the writer held off is damage.
            Err(Error::Corrupt(_)) => {
                let _turn = self.writing();
                self.try_read(&range, bytes_max)
            }
            done => done,
        }
    }

    fn try_read(&self, range: &Range<u64>, bytes_max: usize) -> Result<Vec<Record>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (first, last) = (self.first_index(), self.last_index());
        if range.start < first {
            return Err(Error::Compacted {
                requested: range.start,
                first,
            });
        }
        if range.end - 1 > last {
            return Err(Error::Unavailable {
                requested: range.end - 1,
                last,
            });
        }
        let latest = self.shared.engine.latest();
        let (start, end) = (range.start.to_be_bytes(), range.end.to_be_bytes());
        let mut cursor = latest.scan(LOG_FAMILY, &start, Some(&end), Order::Forward)?;
        let mut records = Vec::new();
        let mut bytes: usize = 0;
        for index in range.clone() {
            let Some((key, value)) = cursor.entry() else {
                return Err(Error::Corrupt(format!("log record {index} is missing")));
            };
            if key != index.to_be_bytes() {
                return Err(Error::Corrupt(format!("log record {index} is missing")));
            }
            bytes = bytes.saturating_add(value.len().saturating_sub(CHECKSUM_BYTES));
            if bytes > bytes_max && !records.is_empty() {
                break;
            }
            let payload = unseal(&index.to_be_bytes(), value)
                .ok_or_else(|| Error::Corrupt(format!("log record {index}: wrong checksum")))?;
            records.push(Record { index, payload });
            cursor.advance()?;
        }
        Ok(records)
    }

    /// The value written last under `name`. `"boundary"` is what
    /// [`truncate_prefix`](Self::truncate_prefix) was given.
    pub fn value(&self, name: &str) -> Result<Option<Bytes>> {
        let key = value_key(name);
        let Some(sealed) = self.shared.engine.latest().get(META_FAMILY, &key)? else {
            return Ok(None);
        };
        match unseal(&key, &sealed) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::Corrupt(format!("value {name}: wrong checksum"))),
        }
    }

    /// One batch; with `sync`, durable when it returns, and with it everything written before.
    /// Refuses a hole with [`Error::Gap`], also into an empty log, and then writes nothing. After
    /// any other error the log takes no more writes.
    pub fn write(&self, write: &LogWrite, sync: bool) -> Result<()> {
        let _turn = self.writing();
        let (first, last) = (self.first_index(), self.last_index());
        check_contiguous(&write.records, first, last)?;
        let mut changes = Changes::with_capacity(write.records.len() + write.values.len() + 1);
        let mut new_last = last;
        if let Some(tail) = write.records.last() {
            new_last = tail.index;
            if new_last < last {
                changes.push(Change::DeleteRange {
                    family: LOG_FAMILY,
                    from: key(new_last + 1),
                    to: key(last + 1),
                });
            }
        }
        for record in &write.records {
            changes.push(Change::Put {
                family: LOG_FAMILY,
                key: key(record.index),
                value: seal(&record.index.to_be_bytes(), &record.payload),
            });
        }
        changes.extend(
            write
                .values
                .iter()
                .map(|(name, value)| put_value(name, value)),
        );
        if changes.is_empty() && !sync {
            return Ok(());
        }
        let durability = match sync {
            true => Durability::Synced,
            false => Durability::Logged,
        };
        self.shared.engine.write(&changes, durability)?;
        self.shared.last.store(new_last, Ordering::Release);
        Ok(())
    }

    /// Forgets records below `first`. `boundary` (what the caller must remember of record
    /// `first - 1`) is stored as value `"boundary"` in the same batch. Nothing happens when `first`
    /// does not lie above the first index; `first` may be one beyond the last record and no more.
    /// Durable when it returns.
    pub fn truncate_prefix(&self, first: u64, boundary: &[u8]) -> Result<()> {
        let _turn = self.writing();
        let (old_first, last) = (self.first_index(), self.last_index());
        if first <= old_first {
            return Ok(());
        }
        if first > last + 1 {
            return Err(Error::Unavailable {
                requested: first - 1,
                last,
            });
        }
        let changes = vec![
            Change::DeleteRange {
                family: LOG_FAMILY,
                from: key(old_first),
                to: key(first),
            },
            Change::Put {
                family: META_FAMILY,
                key: Cow::Borrowed(FIRST_KEY),
                value: seal(FIRST_KEY, &first.to_be_bytes()),
            },
            put_value(BOUNDARY_NAME, boundary),
        ];
        // Synced: files are dropped next, and a power failure must not bring back a log whose
        // head they held.
        self.shared.engine.write(&changes, Durability::Synced)?;
        self.shared.first.store(first, Ordering::Release);
        let (from, to) = (key(old_first), key(first));
        self.shared.engine.release(LOG_FAMILY, &from, &to)
    }

    /// Empties the log and makes the state `generation` the one that counts, in one synced write: the
    /// snapshot behind that state replaces everything up to `first - 1`. `values` are stored with it; the
    /// boundary (see [`truncate_prefix`](Self::truncate_prefix)) must be among them.
    pub(crate) fn reset(
        &self,
        first: u64,
        values: &[(&'static str, Bytes)],
        generation: u64,
    ) -> Result<()> {
        let _turn = self.writing();
        let (from, to) = (key(FIRST_INDEX), key(u64::MAX));
        let mut changes = vec![
            Change::DeleteRange {
                family: LOG_FAMILY,
                from: from.clone(),
                to: to.clone(),
            },
            Change::Put {
                family: META_FAMILY,
                key: Cow::Borrowed(FIRST_KEY),
                value: seal(FIRST_KEY, &first.to_be_bytes()),
            },
            put_value(GENERATION_NAME, &generation.to_be_bytes()),
        ];
        changes.extend(values.iter().map(|(name, value)| put_value(name, value)));
        self.shared.engine.write(&changes, Durability::Synced)?;
        self.shared.first.store(first, Ordering::Release);
        self.shared.last.store(first - 1, Ordering::Release);
        self.shared.engine.release(LOG_FAMILY, &from, &to)
    }

    /// Which state belongs to this log; 0 for the one a node starts with.
    pub(crate) fn state_generation(&self) -> Result<u64> {
        match self.value(GENERATION_NAME)? {
            None => Ok(0),
            Some(bytes) => match bytes.as_ref().try_into() {
                Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
                Err(_) => Err(Error::Corrupt("the state's generation".into())),
            },
        }
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data; a panic under it left the engine's own batch atomic.
        let turn = self.shared.writing.lock();
        turn.unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_contiguous(records: &[Record], first: u64, last: u64) -> Result<()> {
    let Some(head) = records.first() else {
        return Ok(());
    };
    if head.index < first {
        return Err(Error::Compacted {
            requested: head.index,
            first,
        });
    }
    if head.index > last + 1 {
        return Err(Error::Gap {
            expected: last + 1,
            found: head.index,
        });
    }
    for (record, expected) in records.iter().zip(head.index..) {
        if record.index != expected {
            return Err(Error::Gap {
                expected,
                found: record.index,
            });
        }
    }
    Ok(())
}

/// Index of the lowest (Forward) or highest (Reverse) record, which must be intact: the end of the
/// log is where a failing disk shows first.
fn end_of(latest: &EngineView<'_>, order: Order) -> Result<Option<u64>> {
    let cursor = latest.scan(LOG_FAMILY, &[], None, order)?;
    let Some((key, sealed)) = cursor.entry() else {
        return Ok(None);
    };
    let index = index_of(key)?;
    match unseal(key, sealed) {
        Some(_) => Ok(Some(index)),
        None => Err(Error::Corrupt(format!(
            "log record {index}: wrong checksum"
        ))),
    }
}

fn index_of(bytes: &[u8]) -> Result<u64> {
    match bytes.try_into().map(u64::from_be_bytes) {
        // The highest number is left free, so that one past the last index is a number too.
        Ok(index) if (FIRST_INDEX..u64::MAX).contains(&index) => Ok(index),
        _ => Err(Error::Corrupt(format!("{bytes:02x?} is no log index"))),
    }
}

fn key(index: u64) -> Cow<'static, [u8]> {
    Cow::Owned(index.to_be_bytes().to_vec())
}

fn value_key(name: &str) -> Vec<u8> {
    [VALUE_PREFIX, name.as_bytes()].concat()
}

fn put_value(name: &str, value: &[u8]) -> Change<'static> {
    let key = value_key(name);
    Change::Put {
        family: META_FAMILY,
        value: seal(&key, value),
        key: Cow::Owned(key),
    }
}

/// Checksum over key and payload, then the payload: a record at a wrong key is damage too.
fn seal(key: &[u8], payload: &[u8]) -> Cow<'static, [u8]> {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(key), payload);
    let mut sealed = Vec::with_capacity(CHECKSUM_BYTES + payload.len());
    sealed.extend_from_slice(&checksum.to_le_bytes());
    sealed.extend_from_slice(payload);
    Cow::Owned(sealed)
}

fn unseal(key: &[u8], sealed: &[u8]) -> Option<Bytes> {
    let (checksum, payload) = sealed.split_first_chunk::<CHECKSUM_BYTES>()?;
    let expected = crc32c::crc32c_append(crc32c::crc32c(key), payload);
    (u32::from_le_bytes(*checksum) == expected).then(|| Bytes::copy_from_slice(payload))
}
