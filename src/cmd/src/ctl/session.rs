//! A connection to one member, and the deadline of each request on it.

use std::future::Future;
use std::time::Duration;

use protocol::etcdserverpb::cluster_client::ClusterClient;
use protocol::etcdserverpb::maintenance_client::MaintenanceClient;
use protocol::placement::v1::kv_service_client::KvServiceClient;
use tokio::time::timeout;
use tonic::transport::{self, Channel};
use tonic::{Code, Request, Response, Status};

use super::Error;
use super::endpoint::Endpoint;
use super::error::innermost;

/// Largest answer taken: a full page of the largest values.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Whether a request changes anything, which decides what a lost answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It reads.
    Read,
    /// It writes.
    Write,
}

/// A connection to one member.
#[derive(Debug)]
pub struct Session {
    channel: Channel,
    endpoint: Endpoint,
    time: Duration,
}

impl Session {
    /// Connects.
    pub async fn open(endpoint: &Endpoint, time: Duration) -> Result<Session, Error> {
        let unreachable = |error: &transport::Error| Error::Unreachable {
            endpoint: endpoint.to_string(),
            reason: innermost(error),
        };
        let target = Channel::from_shared(endpoint.uri()).map_err(|error| Error::Unreachable {
            endpoint: endpoint.to_string(),
            reason: error.to_string(),
        })?;
        let channel = match timeout(time, target.connect()).await {
            Ok(connected) => connected.map_err(|error| unreachable(&error))?,
            Err(_) => {
                let reason = format!("no connection within {time:?}");
                return Err(Error::Unreachable {
                    endpoint: endpoint.to_string(),
                    reason,
                });
            }
        };
        Ok(Session {
            channel,
            endpoint: endpoint.clone(),
            time,
        })
    }

    /// Whom this session talks to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The native key-value service.
    pub fn kv(&self) -> KvServiceClient<Channel> {
        KvServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The status of a member.
    pub fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    /// The members.
    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    /// A request that tells the server how long anyone waits for its answer.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.time);
        request
    }

    /// Waits for an answer, but not for ever.
    pub async fn answer<T>(
        &self,
        effect: Effect,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        let write = effect == Effect::Write;
        let endpoint = self.endpoint.to_string();
        match timeout(self.time, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            // The client library keeps the deadline of `request` too, and may be first by a hair.
            Ok(Err(status)) if status.code() != Code::Cancelled => {
                Err(Error::of_status(endpoint, &status, write))
            }
            Ok(Err(_)) | Err(_) => Err(Error::Timeout {
                endpoint,
                time: self.time,
                write,
            }),
        }
    }
}
