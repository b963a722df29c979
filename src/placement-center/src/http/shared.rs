//! What handlers share, and the two kinds of read they do.

use super::LogLevel;
use super::error::ApiError;
use super::layers::{Counters, Limits};
use crate::admin::Admin;
use crate::config::Config;
use crate::node::Addresses;
use crate::service::Context;
use http::StatusCode;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Reads of the disk that health and status pages may have running. They are short; when the disk
/// hangs, probes come back every few seconds and must not use up the threads others need.
const DISK_READS_MAX: usize = 4;

/// What the API is made of.
pub struct Parts {
    /// The effective configuration.
    pub config: Arc<Config>,
    /// Where the node listens.
    pub addresses: Addresses,
    /// The services that gRPC and HTTP share.
    pub context: Arc<Context>,
    /// The administration of the cluster.
    pub admin: Arc<dyn Admin>,
    /// The switch of the logging system.
    pub log_level: Arc<dyn LogLevel>,
    /// Cancelled when requests still in flight at shutdown must be answered at once.
    pub cut: CancellationToken,
}

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub struct Shared {
    pub(super) parts: Arc<Parts>,
    pub(super) limits: Limits,
    pub(super) started: Instant,
    disk_reads: Arc<Semaphore>,
}

impl Shared {
    /// Puts the parts together; uptime counts from here.
    pub fn new(parts: Parts) -> Shared {
        let limits = Limits {
            body_bytes_max: parts.config.limits.request_bytes_max,
            timeout: parts.config.limits.request_timeout,
            cut: parts.cut.clone(),
            counters: Arc::new(Counters::default()),
        };
        Shared {
            parts: Arc::new(parts),
            limits,
            started: Instant::now(),
            disk_reads: Arc::new(Semaphore::new(DISK_READS_MAX)),
        }
    }

    /// Runs a short read of the disk on a thread that may block, and waits for it no longer than a
    /// request may take.
    pub(super) async fn disk_read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Context) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let reading = async {
            let permit = Arc::clone(&self.disk_reads).acquire_owned().await;
            let context = Arc::clone(&self.parts.context);
            tokio::task::spawn_blocking(move || {
                // Held until the read is over, also when nobody waits for it any more.
                let _permit = permit;
                read(&context)
            })
            .await
        };
        match tokio::time::timeout(self.limits.timeout, reading).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
            Err(_) => Err(ApiError::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "the disk did not answer in time",
                "look at the disk of this node",
            )),
        }
    }
}
