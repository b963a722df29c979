//! The hashes by which members, and operators, compare what they hold.

use crate::kv;
use crate::service::{Context, Deadline, Failure};
use protocol::etcdserverpb::{HashKvRequest, HashKvResponse, HashResponse};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Context {
    /// A hash over everything that was ever applied: equal on all members at the same applied index. What etcd
    /// hashes here is its file, so the two have nothing in common but their purpose.
    pub(super) fn applied_hash(&self) -> HashResponse {
        let chain = self.state().applied().chain_hash;
        HashResponse {
            header: Some(self.header(self.published().revision())),
            // Both halves: either alone would be as good a hash.
            hash: (chain >> 32) as u32 ^ chain as u32,
        }
    }

    /// etcd's hash over the keys and their history, as this member holds them.
    pub(super) async fn history_hash(
        self: &Arc<Self>,
        request: HashKvRequest,
        deadline: Deadline,
    ) -> Result<HashKvResponse, Failure> {
        // Dropped with this future: nobody wants the hash then.
        let wanted = CancellationToken::new();
        let _wanted = wanted.clone().drop_guard();
        let cut = self.cut.clone();
        let go_on = move || !wanted.is_cancelled() && !cut.is_cancelled();
        let hashing = self.read(true, deadline, move |view| {
            kv::history_hash(view, request.revision, go_on)
        });
        let Some(hash) = hashing.await? else {
            return Err(Failure::Stopping(crate::service::Outcome::NotApplied));
        };
        Ok(HashKvResponse {
            header: Some(self.header(hash.revision)),
            hash: hash.hash,
            compact_revision: hash.compacted_revision,
            hash_revision: hash.hashed_revision,
        })
    }
}
