//! Reads a range piece by piece: keys in order from a place on, bounded by number and by bytes. Does not
//! count the range, so that reading all of it in pages costs one walk and not one for each page.

use super::ReadFailure;
use super::key::Span;
use super::record::Record;
use super::snapshot::Snapshot;
use bytes::Bytes;
use protocol::mvccpb::KeyValue;
use std::ops::ControlFlow;
use storage::Read;

/// Which keys a page holds.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// First key, and the end, as a range request has them.
    pub key: Bytes,
    /// See `key`.
    pub range_end: Bytes,
    /// Revision to read at; 0 reads the newest.
    pub revision: i64,
    /// Keys of the page at most.
    pub keys_max: usize,
    /// The page ends with the key that brings keys and values to this many bytes.
    pub bytes_max: usize,
    /// Leave the values out.
    pub keys_only: bool,
}

/// Keys in order.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Revision the page was read at: pins the next ones.
    pub read_at: i64,
    /// The keys.
    pub kvs: Vec<KeyValue>,
    /// Whether the range holds more keys behind the last.
    pub more: bool,
}

pub(super) fn page<R: Read>(
    snapshot: &Snapshot<'_, R>,
    request: &PageRequest,
) -> Result<Page, ReadFailure> {
    let read_at = snapshot.resolve(request.revision)?;
    let mut page = Page {
        read_at,
        ..Page::default()
    };
    let mut bytes = 0_usize;
    let span = Span::new(&request.key, &request.range_end);
    snapshot.walk(span, read_at, &mut |key: &[u8], record: &Record<'_>| {
        if page.kvs.len() >= request.keys_max || bytes >= request.bytes_max {
            page.more = true;
            return ControlFlow::Break(());
        }
        let value = if request.keys_only {
            Bytes::new()
        } else {
            Bytes::copy_from_slice(record.value)
        };
        bytes += key.len() + value.len();
        page.kvs
            .push(record.to_key_value(Bytes::copy_from_slice(key), value));
        ControlFlow::Continue(())
    })?;
    Ok(page)
}
