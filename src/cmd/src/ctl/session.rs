//! A connection to one member, and the deadline of each request on it.

use std::future::Future;
use std::time::Duration;

use protocol::etcdserverpb::cluster_client::ClusterClient;
use protocol::etcdserverpb::maintenance_client::MaintenanceClient;
use protocol::placement::v1::kv_service_client::KvServiceClient;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::Error;
use super::endpoint::{Endpoint, Endpoints};
use super::error::innermost;

/// Largest answer taken: a full page of the largest values.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Longest wait for one endpoint when there are others to try.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a connection to one of the endpoints may take.
pub fn connect_time(endpoints: &Endpoints, time: Duration) -> Duration {
    if endpoints.iter().len() > 1 {
        time.min(CONNECT_TIME_MAX)
    } else {
        time
    }
}

async fn connect(endpoint: &Endpoint, time: Duration) -> Result<Channel, String> {
    let target = Channel::from_shared(endpoint.uri()).map_err(|error| error.to_string())?;
    match timeout(time, target.connect()).await {
        Ok(connected) => connected.map_err(|error| innermost(&error)),
        Err(_) => Err(format!("no connection within {time:?}")),
    }
}

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
    /// Connects to the first endpoint that answers.
    pub async fn open(endpoints: &Endpoints, time: Duration) -> Result<Session, Error> {
        let mut refusals = Vec::new();
        for endpoint in endpoints.iter() {
            match connect(endpoint, connect_time(endpoints, time)).await {
                Ok(channel) => {
                    return Ok(Session {
                        channel,
                        endpoint: endpoint.clone(),
                        time,
                    });
                }
                Err(reason) => refusals.push((endpoint, reason)),
            }
        }
        Err(Error::unreachable(&refusals))
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
