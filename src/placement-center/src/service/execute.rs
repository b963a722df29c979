//! What every API does the same way: check, refuse, propose or read, wait within a deadline. Requests and
//! replies are etcd's, because they say everything the store can do; headers hold the revision alone.

use super::deadline::Cut;
use super::{Context, Deadline, Failure, Outcome};
use crate::kv;
use crate::machine::{self, Reply};
use bytes::Bytes;
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};
use std::sync::Arc;
use storage::View;

/// A range of at most this many keys is read on the runtime's own thread: it takes less time than moving
/// it elsewhere would.
const SHORT_RANGE_KEYS_MAX: i64 = 512;

impl Context {
    /// Writes one key.
    ///
    /// # Errors
    /// See [`Failure::row`] for what each says about the outcome. Dropping the future abandons the
    /// reply, not the write; this holds for every write here.
    pub async fn put(
        &self,
        request: PutRequest,
        deadline: Deadline,
    ) -> Result<PutResponse, Failure> {
        self.check_quota()?;
        kv::check_put(&request)?;
        match self.write(machine::encode_put(request), deadline).await? {
            Reply::Put(reply) => Ok(reply?),
            _ => Err(Failure::Broken),
        }
    }

    /// Deletes one key or a range of keys.
    ///
    /// # Errors
    /// As for [`Context::put`].
    pub async fn delete_range(
        &self,
        request: DeleteRangeRequest,
        deadline: Deadline,
    ) -> Result<DeleteRangeResponse, Failure> {
        kv::check_delete_range(&request)?;
        match self
            .write(machine::encode_delete_range(request), deadline)
            .await?
        {
            Reply::DeleteRange(reply) => Ok(reply?),
            _ => Err(Failure::Broken),
        }
    }

    /// Compares and runs one of two lists of operations; as a read when nothing in it can write.
    ///
    /// # Errors
    /// As for [`Context::put`].
    pub async fn txn(
        self: &Arc<Self>,
        request: TxnRequest,
        deadline: Deadline,
    ) -> Result<TxnResponse, Failure> {
        if kv::grows(&request) {
            self.check_quota()?;
        }
        kv::check_txn(&request, self.limits.txn_ops_max)?;
        if kv::is_read_only(&request) {
            if !kv::is_serializable(&request) {
                self.read_barrier(deadline).await?;
            }
            let is_long = may_be_long_txn(&request);
            return self
                .read(is_long, deadline, move |view| kv::txn_read(view, &request))
                .await;
        }
        match self.write(machine::encode_txn(request), deadline).await? {
            Reply::Txn(reply) => Ok(reply?),
            _ => Err(Failure::Broken),
        }
    }

    /// Forgets history; with `physical`, waits until it is gone from the store.
    ///
    /// # Errors
    /// As for [`Context::put`], and [`Failure::SweepPending`].
    pub async fn compact(
        &self,
        request: CompactionRequest,
        deadline: Deadline,
    ) -> Result<CompactionResponse, Failure> {
        let reply = match self
            .write(machine::encode_compact(request), deadline)
            .await?
        {
            Reply::Compact(reply) => reply?,
            _ => return Err(Failure::Broken),
        };
        if request.physical {
            // Applied from here on: no failure may suggest otherwise.
            let swept = deadline
                .within(&self.cut, self.published.kv.swept(request.revision))
                .await;
            swept.map_err(|_| Failure::SweepPending)?;
        }
        Ok(reply)
    }

    /// Reads one key or a range of keys, linearizably unless the request says otherwise.
    ///
    /// # Errors
    /// See [`Failure::row`].
    pub async fn range(
        self: &Arc<Self>,
        request: RangeRequest,
        deadline: Deadline,
    ) -> Result<RangeResponse, Failure> {
        kv::check_range(&request)?;
        if !request.serializable {
            self.read_barrier(deadline).await?;
        }
        let is_long = may_be_long(&request);
        self.read(is_long, deadline, move |view| kv::range(view, &request))
            .await
    }

    /// Returns once a local read sees everything acknowledged before the call.
    ///
    /// # Errors
    /// When the barrier cannot be passed in time.
    pub async fn read_barrier(&self, deadline: Deadline) -> Result<(), Failure> {
        match deadline.within(&self.cut, self.handle.read_barrier()).await {
            Ok(passed) => Ok(passed?),
            Err(cut) => Err(not_applied(cut)),
        }
    }

    /// Refuses to grow a store that is over its quota.
    pub(super) fn check_quota(&self) -> Result<(), Failure> {
        if self.is_over_quota() {
            Err(Failure::NoSpace)
        } else {
            Ok(())
        }
    }

    /// Refuses a command longer than a request may be.
    pub(super) fn check_size(&self, command: &Bytes) -> Result<(), Failure> {
        if command.len() > self.limits.request_bytes_max {
            Err(Failure::TooLarge)
        } else {
            Ok(())
        }
    }

    /// Runs `read` on a view of the state: here when it is short, on a blocking thread when it is not.
    pub(super) async fn read<T, F>(
        self: &Arc<Self>,
        is_long: bool,
        deadline: Deadline,
        read: F,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&View) -> Result<T, kv::ReadFailure> + Send + 'static,
    {
        if !is_long {
            return Ok(read(&self.state.view())?);
        }
        let permit = deadline.within(&self.cut, Arc::clone(&self.long_reads).acquire_owned());
        let permit = permit
            .await
            .map_err(not_applied)?
            .map_err(|_| Failure::Broken)?;
        let context = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            // A read whose client has gone still runs to its end, so it holds its place in line as long.
            let _permit = permit;
            read(&context.state.view())
        });
        let result = deadline
            .within(&self.cut, reading)
            .await
            .map_err(not_applied)?;
        Ok(result.map_err(|_| Failure::Broken)??)
    }
}

/// A wait of a read that was cut short.
fn not_applied(cut: Cut) -> Failure {
    match cut {
        Cut::TimedOut => Failure::TimedOut(Outcome::NotApplied),
        Cut::Stopping => Failure::Stopping(Outcome::NotApplied),
    }
}

/// Whether the store may have to look at more than a few keys.
fn may_be_long(request: &RangeRequest) -> bool {
    if request.range_end.is_empty() {
        return false;
    }
    let is_short = (1..=SHORT_RANGE_KEYS_MAX).contains(&request.limit) || request.count_only;
    // Filters, orders and old revisions make the store walk the range whatever the limit.
    let walks = request.revision > 0
        || request.sort_target != 0
        || request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0;
    walks || !is_short
}

fn may_be_long_txn(request: &TxnRequest) -> bool {
    let operations = request.success.iter().chain(&request.failure);
    let long_range =
        |request: &Request| matches!(request, Request::RequestRange(range) if may_be_long(range));
    request
        .compare
        .iter()
        .any(|compare| !compare.range_end.is_empty())
        || operations
            .filter_map(|operation| operation.request.as_ref())
            .any(long_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(limit: i64) -> RangeRequest {
        RangeRequest {
            key: "a".into(),
            range_end: "b".into(),
            limit,
            ..RangeRequest::default()
        }
    }

    #[test]
    fn only_reads_known_to_be_short_stay_on_the_runtime() {
        let key = RangeRequest {
            range_end: Bytes::new(),
            ..range(0)
        };
        let short = [
            key,
            range(1),
            range(512),
            RangeRequest {
                count_only: true,
                ..range(0)
            },
        ];
        for request in short {
            assert!(!may_be_long(&request), "{request:?}");
        }
        let long = [
            range(0),
            range(-1),
            range(513),
            RangeRequest {
                revision: 7,
                ..range(1)
            },
            RangeRequest {
                sort_target: 4,
                ..range(1)
            },
            RangeRequest {
                min_mod_revision: 1,
                ..range(1)
            },
            RangeRequest {
                max_create_revision: 1,
                count_only: true,
                ..range(0)
            },
        ];
        for request in long {
            assert!(may_be_long(&request), "{request:?}");
        }
    }
}
