//! Evaluates the comparisons of a transaction, and with them which branches run.

use super::key::Span;
use super::record::Record;
use super::snapshot::Snapshot;
use protocol::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::{Compare, RequestOp, TxnRequest};
use std::cmp::Ordering;
use std::ops::ControlFlow;
use storage::Read;
use storage::Result;

/// Which branch of a transaction runs, and of the transactions within that branch. Decided for all of
/// them before anything runs: a transaction within compares against the state before its outer one.
pub(super) struct Chosen<'t> {
    pub(super) succeeded: bool,
    pub(super) operations: &'t [RequestOp],
    /// One for each transaction among `operations`, in order.
    pub(super) nested: Vec<Chosen<'t>>,
}

impl<'t> Chosen<'t> {
    pub(super) fn choose<R: Read>(
        snapshot: &Snapshot<'_, R>,
        request: &'t TxnRequest,
    ) -> Result<Self> {
        let mut succeeded = true;
        for compare in &request.compare {
            if !holds(snapshot, compare)? {
                succeeded = false;
                break;
            }
        }
        let operations = if succeeded {
            &request.success
        } else {
            &request.failure
        };
        let mut nested = Vec::new();
        for operation in operations {
            if let Some(Request::RequestTxn(request)) = &operation.request {
                nested.push(Self::choose(snapshot, request)?);
            }
        }
        Ok(Chosen {
            succeeded,
            operations,
            nested,
        })
    }
}

/// Whether the comparison holds for every key it names. Without any key it is made once against a key
/// that was never written, except that a value which does not exist compares to nothing.
fn holds<R: Read>(snapshot: &Snapshot<'_, R>, compare: &Compare) -> Result<bool> {
    let span = Span::new(&compare.key, &compare.range_end);
    let (mut found, mut holds) = (false, true);
    snapshot.walk(
        span,
        snapshot.revision,
        &mut |_: &[u8], record: &Record<'_>| {
            found = true;
            holds = holds_for(compare, record);
            if holds {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        },
    )?;
    if found {
        return Ok(holds);
    }
    let never_written = Record {
        create_revision: 0,
        mod_revision: 0,
        sub: 0,
        version: 0,
        lease: 0,
        value: &[],
    };
    Ok(compare.target != CompareTarget::Value as i32 && holds_for(compare, &never_written))
}

fn holds_for(compare: &Compare, record: &Record<'_>) -> bool {
    // An operand of another kind than the target, or none, counts as zero.
    let operand = compare.target_union.as_ref();
    let ordering = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => record.version.cmp(&match operand {
            Some(TargetUnion::Version(version)) => *version,
            _ => 0,
        }),
        Ok(CompareTarget::Create) => record.create_revision.cmp(&match operand {
            Some(TargetUnion::CreateRevision(revision)) => *revision,
            _ => 0,
        }),
        Ok(CompareTarget::Mod) => record.mod_revision.cmp(&match operand {
            Some(TargetUnion::ModRevision(revision)) => *revision,
            _ => 0,
        }),
        Ok(CompareTarget::Value) => record.value.cmp(match operand {
            Some(TargetUnion::Value(value)) => value,
            _ => &[],
        }),
        Ok(CompareTarget::Lease) => record.lease.cmp(&match operand {
            Some(TargetUnion::Lease(lease)) => *lease,
            _ => 0,
        }),
        Err(_) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        // etcd lets a result it does not know pass.
        Err(_) => true,
    }
}
