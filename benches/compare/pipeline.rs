//! Puts through the native pipelined stream: one connection, many operations in flight.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use harness::client;
use harness::random::Random;
use protocol::placement::v1::kv_service_client::KvServiceClient;
use protocol::placement::v1::{
    Operation, PipelineRequest, SetRequest, operation, operation_result,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::drive::{self, BENCH_KEYS, Sample, VALUE_BYTES, Window};

/// Operations of one message; more save little, fewer cost a frame and a wake-up each.
const MESSAGE_OPERATIONS: usize = 64;

/// Messages in flight: some thousand operations, enough for several syncs of the log.
const MESSAGES_IN_FLIGHT: usize = 64;

/// Measures puts over one stream.
pub async fn measure(url: &str, window: &Window) -> Result<Sample> {
    let mut service = KvServiceClient::new(client::connect(url).await?);
    let (requests, queue) = mpsc::channel(MESSAGES_IN_FLIGHT);
    // One instant a message, in order: the answers come in the order of the operations.
    let (sent, mut pending) = mpsc::channel::<Instant>(MESSAGES_IN_FLIGHT);
    let slots = Arc::new(Semaphore::new(MESSAGES_IN_FLIGHT));
    let end = window.end;
    let sender = tokio::spawn(send(requests, sent, Arc::clone(&slots), end));
    let mut answers = service
        .pipeline(ReceiverStream::new(queue))
        .await?
        .into_inner();
    let reader = {
        let start = window.start;
        tokio::spawn(async move {
            let mut latency = drive::histogram()?;
            let (mut counted, mut open) = (0, 0);
            while let Some(answer) = answers.next().await {
                for result in answer?.results {
                    match result.result {
                        Some(operation_result::Result::Set(_)) => {}
                        other => bail!("a set was answered with {other:?}"),
                    }
                    open += 1;
                    let now = Instant::now();
                    if now >= start && now < end {
                        counted += 1;
                    }
                    if open == MESSAGE_OPERATIONS {
                        open = 0;
                        slots.add_permits(1);
                        let begun = pending.recv().await.context("an answer too many")?;
                        if begun >= start && now < end {
                            latency.record(begun.elapsed().as_micros() as u64)?;
                        }
                    }
                }
            }
            ensure!(open == 0, "{open} answers of an unfinished message");
            Ok((latency, counted))
        })
    };
    let used = window.usage().await?;
    sender.await.context("the sender panicked")??;
    let (latency, counted) = reader.await.context("the reader panicked")??;
    Ok(window.sample(used, &latency, counted))
}

async fn send(
    requests: mpsc::Sender<PipelineRequest>,
    sent: mpsc::Sender<Instant>,
    slots: Arc<Semaphore>,
    end: Instant,
) -> Result<()> {
    let value = drive::value(VALUE_BYTES);
    let mut random = Random::new(7);
    while Instant::now() < end {
        slots.acquire().await?.forget();
        let operations = (0..MESSAGE_OPERATIONS)
            .map(|_| SetRequest {
                key: drive::key(random.below(BENCH_KEYS)),
                value: value.clone(),
                expected_mod_revision: None,
            })
            .map(|set| Operation {
                operation: Some(operation::Operation::Set(set)),
            })
            .collect();
        sent.send(Instant::now())
            .await
            .context("the reader has ended")?;
        requests
            .send(PipelineRequest { operations })
            .await
            .context("the stream has ended")?;
    }
    Ok(())
}
