//! The rule that one transaction changes a key at most once. The history family relies on it: it has
//! room for one version of a key per revision.

use super::Refusal;
use super::key::Span;
use protocol::etcdserverpb::RequestOp;
use protocol::etcdserverpb::request_op::Request;
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included, Unbounded};

/// What one list of operations may change.
#[derive(Default)]
struct Changes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Vec<Span<'a>>,
}

/// Refuses a list of operations in which a key could be put twice, or be put and deleted. Deleting
/// twice is harmless: the second finds nothing. The two branches of a transaction within may name the
/// same keys, since only one of them runs. The list must have passed the checks on depth.
pub(super) fn check(operations: &[RequestOp]) -> Result<(), Refusal> {
    changes(operations).map(|_| ())
}

fn changes(operations: &[RequestOp]) -> Result<Changes<'_>, Refusal> {
    let mut all = Changes::default();
    for operation in operations {
        match &operation.request {
            Some(Request::RequestPut(put)) => {
                all.add(Changes {
                    puts: BTreeSet::from([&put.key[..]]),
                    deletes: Vec::new(),
                })?;
            }
            Some(Request::RequestDeleteRange(delete)) => {
                let span = Span::new(&delete.key, &delete.range_end);
                all.add(Changes {
                    puts: BTreeSet::new(),
                    deletes: vec![span],
                })?;
            }
            Some(Request::RequestTxn(nested)) => {
                let mut either = changes(&nested.success)?;
                let otherwise = changes(&nested.failure)?;
                either.puts.extend(otherwise.puts);
                either.deletes.extend(otherwise.deletes);
                all.add(either)?;
            }
            Some(Request::RequestRange(_)) | None => {}
        }
    }
    Ok(all)
}

impl<'a> Changes<'a> {
    /// Takes in changes that happen beside the ones held.
    fn add(&mut self, other: Changes<'a>) -> Result<(), Refusal> {
        let twice = other.puts.iter().any(|key| self.puts.contains(key));
        if twice || hits(&self.deletes, &other.puts) || hits(&other.deletes, &self.puts) {
            return Err(Refusal::DuplicateKey);
        }
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
        Ok(())
    }
}

fn hits(deletes: &[Span<'_>], puts: &BTreeSet<&[u8]>) -> bool {
    deletes.iter().any(|span| match *span {
        Span::Key(key) => puts.contains(key),
        _ if span.is_empty() => false,
        Span::Range { start, end } => {
            let end = end.map_or(Unbounded, Excluded);
            puts.range::<[u8], _>((Included(start), end))
                .next()
                .is_some()
        }
    })
}

#[cfg(test)]
mod tests;
