//! Requests that this node makes of one member, over a connection of their own that is made when the first one
//! comes. Many are in flight at once, told apart by number; the answers come in any order.

use super::frame::{self, ANSWER, FRAME_BYTES_MAX, REQUEST};
use super::handshake::Refused;
use super::link;
use super::settings::Settings;
use bytes::{Bytes, BytesMut};
use protocol::placement::internal::v1::peer_hello::Purpose;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Requests that wait for one member to be connected, or for room; clients in flight are bounded above this.
pub(super) const CALLS_MAX: usize = 16_384;
/// Requests written at once.
const BATCH_MAX: usize = 1024;
/// Requests of one connection that are not answered; more wait.
const IN_FLIGHT_MAX: usize = 16_384;

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It never left this node.
    #[error("the member cannot be reached")]
    NotSent,
    /// It never left this node: too many wait already.
    #[error("too many requests wait for the member")]
    Overloaded,
    /// It may have arrived.
    #[error("the connection broke before the answer")]
    Unknown,
}

pub(super) type AnswerTx = oneshot::Sender<Result<Bytes, RequestError>>;

/// One request.
pub(super) struct Call {
    pub(super) request: Bytes,
    pub(super) answer_tx: AnswerTx,
}

/// What the task works with.
pub(super) struct Requests {
    pub(super) node_id: u64,
    pub(super) settings: Arc<Settings>,
    pub(super) address: watch::Receiver<String>,
    pub(super) calls_rx: mpsc::Receiver<Call>,
    pub(super) stop: CancellationToken,
}

impl Requests {
    /// Works until told to stop.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        let mut calls = Vec::new();
        loop {
            // Connecting is worth while once somebody asks.
            let count = tokio::select! {
                () = stop.cancelled() => return,
                count = self.calls_rx.recv_many(&mut calls, BATCH_MAX) => count,
            };
            if count == 0 {
                return;
            }
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.serve(&mut calls) => ended,
            };
            log::debug!(target: super::LOG_TARGET, "requests to node {}: {ended}", self.node_id);
            refuse(&mut calls);
            while let Ok(call) = self.calls_rx.try_recv() {
                calls.push(call);
                refuse(&mut calls);
            }
        }
    }

    /// Connects and works until the connection ends. What was written and not answered is unknown then; what
    /// is left in `calls` was not sent.
    async fn serve(&mut self, calls: &mut Vec<Call>) -> Refused {
        let address = self.address.borrow().clone();
        let purpose = Purpose::Requests;
        let mut stream = match link::connect(&address, &self.settings, self.node_id, purpose).await
        {
            Ok(stream) => stream,
            Err(refused) => return refused,
        };
        let mut in_flight = InFlight::default();
        let ended = self.exchange(&mut stream, calls, &mut in_flight).await;
        in_flight.fail();
        ended.into()
    }

    async fn exchange(
        &mut self,
        stream: &mut TcpStream,
        calls: &mut Vec<Call>,
        in_flight: &mut InFlight,
    ) -> io::Error {
        let (mut incoming, mut outgoing) = stream.split();
        let mut reader = Reader::default();
        let mut buffer = BytesMut::new();
        loop {
            if !calls.is_empty() {
                buffer.clear();
                for call in calls.drain(..) {
                    in_flight.add(call, &mut buffer);
                }
                if let Err(error) = outgoing.write_all(&buffer).await {
                    return error;
                }
            }
            let has_room = in_flight.calls.len() < IN_FLIGHT_MAX;
            tokio::select! {
                answer = reader.answer(&mut incoming) => match answer {
                    Ok(Some((number, answer))) => in_flight.answer(number, answer),
                    Ok(None) => return io::ErrorKind::UnexpectedEof.into(),
                    Err(error) => return error,
                },
                count = self.calls_rx.recv_many(calls, BATCH_MAX), if has_room => {
                    if count == 0 {
                        return io::ErrorKind::NotConnected.into();
                    }
                }
            }
        }
    }
}

fn refuse(calls: &mut Vec<Call>) {
    for call in calls.drain(..) {
        let _ = call.answer_tx.send(Err(RequestError::NotSent));
    }
}

#[derive(Default)]
struct InFlight {
    calls: HashMap<u64, AnswerTx>,
    last: u64,
}

impl InFlight {
    fn add(&mut self, call: Call, buffer: &mut BytesMut) {
        if call.answer_tx.is_closed() {
            return;
        }
        self.last += 1;
        frame::put_numbered(buffer, REQUEST, self.last, &call.request);
        self.calls.insert(self.last, call.answer_tx);
    }

    fn answer(&mut self, number: u64, answer: Bytes) {
        if let Some(answer_tx) = self.calls.remove(&number) {
            // Whoever asked may have given up.
            let _ = answer_tx.send(Ok(answer));
        }
    }

    fn fail(self) {
        for (_, answer_tx) in self.calls {
            let _ = answer_tx.send(Err(RequestError::Unknown));
        }
    }
}

/// Reads answers; holds a frame that has arrived in part, so that waiting for more may be cancelled.
#[derive(Default)]
struct Reader {
    partial: frame::Partial,
}

impl Reader {
    async fn answer<R>(&mut self, stream: &mut R) -> io::Result<Option<(u64, Bytes)>>
    where
        R: AsyncRead + Unpin,
    {
        let Some(frame) = self.partial.read(stream, FRAME_BYTES_MAX).await? else {
            return Ok(None);
        };
        if frame.kind != ANSWER {
            return Err(frame::malformed("a frame that is no answer"));
        }
        frame::numbered(frame.body).map(Some)
    }
}
