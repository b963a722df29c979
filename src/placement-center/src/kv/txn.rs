//! Runs transactions: decides the branches, checks what could refuse them, then runs the operations in
//! order. After the checks nothing refuses, so a transaction changes everything it says or nothing.

use super::Refusal;
use super::compare::Chosen;
use super::fault::ReadFailure;
use super::range::range;
use super::snapshot::Snapshot;
use super::write::Writer;
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::response_op::Response;
use protocol::etcdserverpb::{
    PutRequest, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};
use storage::Read;
use storage::Result;

/// Runs a checked transaction that may write.
pub(super) fn txn(
    writer: &mut Writer<'_, '_>,
    request: &TxnRequest,
) -> std::result::Result<TxnResponse, ReadFailure> {
    let snapshot = writer.snapshot();
    let chosen = Chosen::choose(&snapshot, request)?;
    let has_lease = |id| writer.has_lease(id);
    check_puts(&snapshot, &chosen, &has_lease)?;
    check_ranges(&snapshot, &chosen)?;
    let responses = run(writer, &chosen)?;
    Ok(TxnResponse {
        header: writer.header(),
        succeeded: chosen.succeeded,
        responses,
    })
}

/// Runs a checked transaction whose operations are all ranges.
pub(super) fn read<R: Read>(
    snapshot: &Snapshot<'_, R>,
    request: &TxnRequest,
) -> std::result::Result<TxnResponse, ReadFailure> {
    assert!(
        super::is_read_only(request),
        "a transaction that may write goes through the log"
    );
    let chosen = Chosen::choose(snapshot, request)?;
    check_ranges(snapshot, &chosen)?;
    let mut responses = Vec::with_capacity(chosen.operations.len());
    for operation in chosen.operations {
        if let Some(Request::RequestRange(request)) = &operation.request {
            responses.push(response(Response::ResponseRange(range(snapshot, request)?)));
        }
    }
    let header = Some(ResponseHeader {
        revision: snapshot.revision,
        ..ResponseHeader::default()
    });
    Ok(TxnResponse {
        header,
        succeeded: chosen.succeeded,
        responses,
    })
}

/// Whether a put, with `exists` telling of its key, refers to something that is missing. The caller
/// looks the lease and the key up in the order in which etcd would complain.
pub(super) fn check_key_kept(
    request: &PutRequest,
    exists: bool,
) -> std::result::Result<(), Refusal> {
    let keeps = request.ignore_value || request.ignore_lease;
    if keeps && !exists {
        Err(Refusal::KeyNotFound)
    } else {
        Ok(())
    }
}

/// Refuses a put onto a lease that does not exist.
pub(super) fn check_lease(
    request: &PutRequest,
    has_lease: &impl Fn(i64) -> bool,
) -> std::result::Result<(), Refusal> {
    if request.lease == 0 || has_lease(request.lease) {
        Ok(())
    } else {
        Err(Refusal::LeaseNotFound)
    }
}

/// Checks what only the state can tell, along the branches that will run, before any of them runs: all
/// puts first, then, in `check_ranges`, all ranges.
fn check_puts<R: Read>(
    snapshot: &Snapshot<'_, R>,
    chosen: &Chosen<'_>,
    has_lease: &impl Fn(i64) -> bool,
) -> std::result::Result<(), ReadFailure> {
    each(chosen, &mut |request| {
        if let Request::RequestPut(put) = request {
            if put.ignore_value || put.ignore_lease {
                let found = snapshot.get(&put.key, snapshot.revision)?;
                check_key_kept(put, found.is_some())?;
            }
            check_lease(put, has_lease)?;
        }
        Ok(())
    })
}

fn check_ranges<R: Read>(
    snapshot: &Snapshot<'_, R>,
    chosen: &Chosen<'_>,
) -> std::result::Result<(), ReadFailure> {
    each(chosen, &mut |request| {
        if let Request::RequestRange(range) = request {
            // Outside a transaction a negative revision reads the newest; inside one, etcd takes it for
            // what it is: older than anything kept.
            if range.revision < 0 && range.revision < snapshot.compacted {
                return Err(Refusal::Compacted.into());
            }
            snapshot.resolve(range.revision)?;
        }
        Ok(())
    })
}

/// Calls `check` for each operation that will run, in order.
fn each(
    chosen: &Chosen<'_>,
    check: &mut impl FnMut(&Request) -> std::result::Result<(), ReadFailure>,
) -> std::result::Result<(), ReadFailure> {
    let mut nested = chosen.nested.iter();
    for operation in chosen.operations {
        match &operation.request {
            Some(Request::RequestTxn(_)) => each(next(&mut nested), check)?,
            Some(request) => check(request)?,
            None => {}
        }
    }
    Ok(())
}

fn next<'c, 't>(nested: &mut std::slice::Iter<'c, Chosen<'t>>) -> &'c Chosen<'t> {
    nested
        .next()
        .expect("a choice was made for every transaction within")
}

fn run(writer: &mut Writer<'_, '_>, chosen: &Chosen<'_>) -> Result<Vec<ResponseOp>> {
    let mut nested = chosen.nested.iter();
    let mut responses = Vec::with_capacity(chosen.operations.len());
    for RequestOp { request } in chosen.operations {
        responses.push(response(match request {
            Some(Request::RequestRange(request)) => {
                Response::ResponseRange(read_within(writer, request)?)
            }
            Some(Request::RequestPut(request)) => {
                let snapshot = writer.snapshot();
                let previous = snapshot.get(&request.key, snapshot.revision)?;
                Response::ResponsePut(writer.put(request, previous.as_ref())?)
            }
            Some(Request::RequestDeleteRange(request)) => {
                Response::ResponseDeleteRange(writer.delete_range(request)?)
            }
            Some(Request::RequestTxn(_)) => {
                let chosen = next(&mut nested);
                // The header of a transaction within is present and empty, as etcd's.
                let header = Some(ResponseHeader::default());
                Response::ResponseTxn(TxnResponse {
                    header,
                    succeeded: chosen.succeeded,
                    responses: run(writer, chosen)?,
                })
            }
            None => continue,
        }));
    }
    Ok(responses)
}

/// A range among writes sees the changes before it.
fn read_within(
    writer: &Writer<'_, '_>,
    request: &protocol::etcdserverpb::RangeRequest,
) -> Result<protocol::etcdserverpb::RangeResponse> {
    range(&writer.snapshot(), request).map_err(|failure| match failure {
        ReadFailure::Refused(refusal) => unreachable!("refused after the checks passed: {refusal}"),
        ReadFailure::Storage(error) => error,
    })
}

fn response(response: Response) -> ResponseOp {
    ResponseOp {
        response: Some(response),
    }
}
