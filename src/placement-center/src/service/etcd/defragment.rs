//! `Defragment`: disk space that deleted data takes is given back while everything goes on. etcd stops for it.

use crate::service::{Context, Deadline, Failure};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Context {
    /// Has the store rewrite what holds deleted data, in small steps; as much as the deadline allows. The store does
    /// the same by itself in the long run, so that not getting to the end is no failure.
    pub(super) async fn reclaim(self: &Arc<Self>, deadline: Deadline) -> Result<(), Failure> {
        let turn = deadline.within(&self.cut, Arc::clone(&self.reclaiming).acquire_owned());
        let Ok(turn) = turn.await else {
            // Somebody else is at it.
            return Ok(());
        };
        let wanted = CancellationToken::new();
        let _wanted = wanted.clone().drop_guard();
        let (context, cut) = (Arc::clone(self), self.cut.clone());
        let working = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let go_on = || !wanted.is_cancelled() && !cut.is_cancelled();
            context.state().reclaim(go_on)
        });
        match deadline.within(&self.cut, working).await {
            Ok(Ok(Ok(()))) | Err(_) => Ok(()),
            Ok(Ok(Err(error))) => Err(crate::kv::ReadFailure::from(error).into()),
            Ok(Err(_)) => Err(Failure::Broken),
        }
    }
}
