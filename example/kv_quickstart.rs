//! A first program against the placement center: set and get a key, list a prefix, and write many keys
//! through one pipelined stream.
//!
//! Start a node (`make run`), then `cargo run --release --example kv_quickstart -- http://127.0.0.1:8871`.

use std::error::Error;

use protocol::placement::v1::kv_service_client::KvServiceClient;
use protocol::placement::v1::{
    GetRequest, ListPrefixRequest, Operation, PipelineRequest, SetRequest, operation,
    operation_result,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "http://127.0.0.1:8871".to_owned());
    let mut kv = KvServiceClient::connect(endpoint).await?;

    // Every write is one revision of the whole store.
    let first = kv
        .set(set("brokers/1", "10.0.0.1:9092"))
        .await?
        .into_inner();
    println!("set brokers/1 at revision {}", first.revision);

    // Written only while the key still has the revision we know: two brokers cannot both win.
    let guarded = SetRequest {
        expected_mod_revision: Some(first.revision),
        ..set("brokers/1", "10.0.0.1:9093")
    };
    let second = kv.set(guarded.clone()).await?.into_inner();
    let third = kv.set(guarded).await?.into_inner();
    println!(
        "guarded set: first {}, repeated {}",
        second.written, third.written
    );

    let get = GetRequest {
        key: "brokers/1".into(),
        ..GetRequest::default()
    };
    match kv.get(get).await?.into_inner().item {
        Some(item) => println!("get brokers/1 = {}", String::from_utf8_lossy(&item.value)),
        None => println!("brokers/1 is gone: somebody else deleted it"),
    }

    // Many operations in flight on one stream; their results come back in order. An error of one
    // operation is its result and does not end the stream.
    let operations = (2..=100)
        .map(|number| set(&format!("brokers/{number}"), "standby"))
        .map(|set| Operation {
            operation: Some(operation::Operation::Set(set)),
        })
        .collect();
    let requests = tokio_stream::once(PipelineRequest { operations });
    let mut answers = kv.pipeline(requests).await?.into_inner();
    let (mut written, mut failed) = (0, 0);
    while let Some(answer) = answers.message().await? {
        for result in answer.results {
            match result.result {
                Some(operation_result::Result::Set(_)) => written += 1,
                _ => failed += 1,
            }
        }
    }
    println!("pipeline: {written} written, {failed} failed");

    // A prefix comes in pages; pinned to the revision of the first page, they fit together.
    let mut page = ListPrefixRequest {
        prefix: "brokers/".into(),
        limit: 40,
        ..Default::default()
    };
    let mut total = 0;
    loop {
        let answer = kv.list_prefix(page.clone()).await?.into_inner();
        total += answer.items.len();
        match answer.items.last() {
            Some(last) if answer.more => {
                page.after_key = last.key.clone();
                page.revision = answer.revision;
            }
            _ => break,
        }
    }
    println!("list brokers/: {total} keys");
    Ok(())
}

fn set(key: &str, value: &str) -> SetRequest {
    SetRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        expected_mod_revision: None,
    }
}
