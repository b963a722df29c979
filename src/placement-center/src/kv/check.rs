//! What can be said of a request without the store. Services check before they propose or read; the
//! machine checks the rules its invariants rest on once more, because the log outlives its writers.
//! The order of the checks decides which message a client sees, and is etcd's.

use super::Refusal;
use protocol::etcdserverpb::range_request::{SortOrder, SortTarget};
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

/// Transactions within transactions go no deeper, so that recursion over them is bounded.
pub(super) const TXN_DEPTH_MAX: usize = 8;

type Checked = Result<(), Refusal>;

/// Checks a range request at the edge.
pub fn check_range(request: &RangeRequest) -> Checked {
    key(&request.key)?;
    SortOrder::try_from(request.sort_order).map_err(|_| Refusal::InvalidSortOption)?;
    SortTarget::try_from(request.sort_target).map_err(|_| Refusal::InvalidSortOption)?;
    Ok(())
}

/// Checks a put request at the edge.
pub fn check_put(request: &PutRequest) -> Checked {
    key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

/// Checks a delete request at the edge.
pub fn check_delete_range(request: &DeleteRangeRequest) -> Checked {
    key(&request.key)
}

/// Checks a transaction at the edge: its size, each operation, then that no key can change twice.
/// `ops_max` bounds the longest of its three lists; transactions within get what is left.
pub fn check_txn(request: &TxnRequest, ops_max: usize) -> Checked {
    operations(request, ops_max, 1)?;
    super::intervals::check(&request.success)?;
    super::intervals::check(&request.failure)
}

fn key(key: &[u8]) -> Checked {
    if key.is_empty() {
        Err(Refusal::EmptyKey)
    } else {
        Ok(())
    }
}

fn operations(request: &TxnRequest, ops_max: usize, depth: usize) -> Checked {
    let lists = [
        request.compare.len(),
        request.success.len(),
        request.failure.len(),
    ];
    let longest = lists.into_iter().max().unwrap_or(0);
    if longest > ops_max || depth > TXN_DEPTH_MAX {
        return Err(Refusal::TooManyOperations);
    }
    request
        .compare
        .iter()
        .try_for_each(|compare| key(&compare.key))?;
    for operation in request.success.iter().chain(&request.failure) {
        match &operation.request {
            Some(Request::RequestRange(range)) => check_range(range)?,
            Some(Request::RequestPut(put)) => check_put(put)?,
            Some(Request::RequestDeleteRange(delete)) => check_delete_range(delete)?,
            Some(Request::RequestTxn(nested)) => operations(nested, ops_max - longest, depth + 1)?,
            None => return Err(Refusal::KeyNotFound),
        }
    }
    Ok(())
}

fn both_branches(request: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    request.success.iter().chain(&request.failure)
}

/// Whether every operation of both branches is a range, so that the transaction may run as a read. A
/// transaction within makes it false, whatever it holds.
pub fn is_read_only(request: &TxnRequest) -> bool {
    both_branches(request)
        .all(|operation| matches!(operation.request, Some(Request::RequestRange(_))))
}

/// Whether a local, perhaps old, answer will do: read-only, at least one range, every range
/// serializable. A transaction that only compares is linearized, because nothing in it asked for less.
pub fn is_serializable(request: &TxnRequest) -> bool {
    let serializable = |operation: &RequestOp| matches!(&operation.request, Some(Request::RequestRange(range)) if range.serializable);
    both_branches(request).next().is_some() && both_branches(request).all(serializable)
}

/// Whether the transaction may make the store larger (a put in any branch, at any depth): such
/// requests are refused over quota.
pub fn grows(request: &TxnRequest) -> bool {
    grows_within(request, 1)
}

fn grows_within(request: &TxnRequest, depth: usize) -> bool {
    both_branches(request).any(|operation| match &operation.request {
        Some(Request::RequestPut(_)) => true,
        // Deeper than is allowed: whoever asks before checking gets the safe answer.
        Some(Request::RequestTxn(nested)) => {
            depth >= TXN_DEPTH_MAX || grows_within(nested, depth + 1)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests;
