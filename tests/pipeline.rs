//! The native key-value service over the generated client: unary calls and the pipelined stream.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use harness::{Options, Server, client};
use protocol::placement::v1::kv_service_client::KvServiceClient;
use protocol::placement::v1::{
    Consistency, DeleteRequest, ExistsRequest, GetRequest, ListPrefixRequest, Operation,
    OperationResult, Outcome, PipelineRequest, PipelineResponse, SetRequest, operation,
    operation_result,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

/// Longest one answer may take.
const ANSWER: Duration = Duration::from_secs(20);

type Native = KvServiceClient<Channel>;

async fn native(server: &Server) -> Result<Native> {
    Ok(KvServiceClient::new(client::connect(&server.url()).await?))
}

fn set(key: &str, value: &str) -> SetRequest {
    SetRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        expected_mod_revision: None,
    }
}

fn set_if(key: &str, value: &str, revision: i64) -> SetRequest {
    SetRequest {
        expected_mod_revision: Some(revision),
        ..set(key, value)
    }
}

fn get(key: &str) -> GetRequest {
    GetRequest {
        key: key.to_owned().into(),
        ..GetRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unary_calls_write_read_and_compare() -> Result<()> {
    let server = Server::center()?;
    let mut kv = native(&server).await?;
    let first = kv.set(set("a", "1")).await?.into_inner();
    ensure!(first.written && first.revision == 2, "{first:?}");

    let stale = kv.set(set_if("a", "2", 0)).await?.into_inner();
    ensure!(
        !stale.written && stale.revision == 2,
        "written over an existing key: {stale:?}"
    );
    let fresh = kv.set(set_if("a", "2", 2)).await?.into_inner();
    ensure!(fresh.written && fresh.revision == 3, "{fresh:?}");

    let item = kv
        .get(get("a"))
        .await?
        .into_inner()
        .item
        .context("a is there")?;
    ensure!(item.value == "2" && item.create_revision == 2, "{item:?}");
    ensure!(item.mod_revision == 3 && item.version == 2, "{item:?}");
    let old = GetRequest {
        revision: 2,
        ..get("a")
    };
    let old = kv
        .get(old)
        .await?
        .into_inner()
        .item
        .context("a was there")?;
    ensure!(old.value == "1", "{old:?}");
    let local = GetRequest {
        consistency: Consistency::Serializable.into(),
        ..get("a")
    };
    ensure!(kv.get(local).await?.into_inner().item.is_some());

    let exists = ExistsRequest {
        key: "a".into(),
        ..ExistsRequest::default()
    };
    ensure!(kv.exists(exists.clone()).await?.into_inner().exists);
    let guarded = DeleteRequest {
        key: "a".into(),
        expected_mod_revision: Some(2),
    };
    ensure!(!kv.delete(guarded).await?.into_inner().deleted);
    let delete = DeleteRequest {
        key: "a".into(),
        expected_mod_revision: None,
    };
    let deleted = kv.delete(delete.clone()).await?.into_inner();
    ensure!(deleted.deleted && deleted.revision == 4, "{deleted:?}");
    let again = kv.delete(delete).await?.into_inner();
    ensure!(!again.deleted && again.revision == 4, "{again:?}");
    ensure!(!kv.exists(exists).await?.into_inner().exists);
    ensure!(kv.get(get("a")).await?.into_inner().item.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_unary_calls_are_refused_with_a_code() -> Result<()> {
    let server = Server::center()?;
    let mut kv = native(&server).await?;
    let code = |result: Result<(), tonic::Status>| result.err().map(|status| status.code());
    let empty = kv.set(set("", "x")).await.map(drop);
    ensure!(code(empty) == Some(Code::InvalidArgument));
    let large = kv.set(set("k", &"x".repeat(1_700_000))).await.map(drop);
    ensure!(code(large) == Some(Code::InvalidArgument));
    let future = kv
        .get(GetRequest {
            revision: 99,
            ..get("k")
        })
        .await
        .map(drop);
    ensure!(code(future) == Some(Code::OutOfRange));
    let pages = ListPrefixRequest {
        limit: 10_001,
        ..ListPrefixRequest::default()
    };
    ensure!(code(kv.list_prefix(pages).await.map(drop)) == Some(Code::InvalidArgument));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_prefix_are_complete_and_pinned() -> Result<()> {
    let server = Server::center()?;
    let mut kv = native(&server).await?;
    for number in 0..25 {
        kv.set(set(&format!("p/{number:02}"), "v")).await?;
    }
    kv.set(set("q", "not of the prefix")).await?;
    let first = ListPrefixRequest {
        prefix: "p/".into(),
        limit: 10,
        ..Default::default()
    };
    let mut page = kv.list_prefix(first.clone()).await?.into_inner();
    let revision = page.revision;
    kv.set(set("p/99", "later than the first page")).await?;
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.extend(page.items.iter().map(|item| item.key.clone()));
        if !page.more {
            break;
        }
        let after_key = keys.last().cloned().context("a full page has a last key")?;
        let next = ListPrefixRequest {
            after_key,
            revision,
            ..first.clone()
        };
        page = kv.list_prefix(next).await?.into_inner();
    }
    let expected: Vec<_> = (0..25).map(|number| format!("p/{number:02}")).collect();
    ensure!(keys == expected, "{keys:?}");
    Ok(())
}

/// A stream whose requests a test sends and whose results it reads one by one.
struct Stream {
    requests: Option<mpsc::Sender<PipelineRequest>>,
    answers: Streaming<PipelineResponse>,
    waiting: std::collections::VecDeque<OperationResult>,
}

impl Stream {
    async fn open(kv: &mut Native) -> Result<Self> {
        // Enough that a test's few messages never wait for the server here.
        let (sender, receiver) = mpsc::channel(64);
        let answers = kv
            .pipeline(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        Ok(Self {
            requests: Some(sender),
            answers,
            waiting: Default::default(),
        })
    }

    async fn send(&self, operations: Vec<operation::Operation>) -> Result<()> {
        let operations = operations
            .into_iter()
            .map(|inner| Operation {
                operation: Some(inner),
            })
            .collect();
        let requests = self.requests.as_ref().context("already closed")?;
        requests
            .send(PipelineRequest { operations })
            .await
            .context("send to the stream")
    }

    /// No more requests will come; answers still do.
    fn close(&mut self) {
        self.requests = None;
    }

    async fn next(&mut self) -> Result<Option<operation_result::Result>> {
        while self.waiting.is_empty() {
            let answer = tokio::time::timeout(ANSWER, self.answers.next());
            match answer.await.context("no answer in time")? {
                Some(answer) => self.waiting.extend(answer?.results),
                None => return Ok(None),
            }
        }
        let result = self.waiting.pop_front().and_then(|result| result.result);
        Ok(Some(result.context("a result is empty")?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_in_order_and_reads_see_earlier_writes() -> Result<()> {
    use operation::Operation::{Get, Set};
    let server = Server::center()?;
    let mut stream = Stream::open(&mut native(&server).await?).await?;
    const MESSAGES: usize = 20;
    for message in 0..MESSAGES {
        let operations = (0..16)
            .flat_map(|number| {
                let value = format!("{message}-{number}");
                [Set(set("same", &value)), Get(get("same"))]
            })
            .collect();
        stream.send(operations).await?;
    }
    stream.close();
    let mut last = 1;
    for message in 0..MESSAGES {
        for number in 0..16 {
            match stream.next().await?.context("a result is missing")? {
                operation_result::Result::Set(done) => {
                    ensure!(
                        done.revision == last + 1,
                        "{} follows {last}",
                        done.revision
                    );
                    last = done.revision;
                }
                other => anyhow::bail!("a set was answered with {other:?}"),
            }
            match stream.next().await?.context("a result is missing")? {
                operation_result::Result::Get(found) => {
                    let item = found.item.context("the key was just set")?;
                    ensure!(item.value == format!("{message}-{number}"), "{item:?}");
                    ensure!(item.mod_revision == last, "{item:?} after revision {last}");
                }
                other => anyhow::bail!("a get was answered with {other:?}"),
            }
        }
    }
    ensure!(
        stream.next().await?.is_none(),
        "more results than operations"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_does_not_end_the_stream() -> Result<()> {
    use operation::Operation::{Delete, Exists, Get, Set};
    let server = Server::center()?;
    let mut stream = Stream::open(&mut native(&server).await?).await?;
    let future = GetRequest {
        revision: 1000,
        ..get("a")
    };
    let delete = DeleteRequest {
        key: "a".into(),
        expected_mod_revision: None,
    };
    let exists = ExistsRequest {
        key: "a".into(),
        ..ExistsRequest::default()
    };
    stream
        .send(vec![
            Set(set("", "empty key")),
            Set(set("a", "1")),
            Get(future),
            Set(set("a", &"x".repeat(1_700_000))),
            Delete(delete),
            Exists(exists),
        ])
        .await?;
    let codes = [Some(Code::InvalidArgument), None, Some(Code::OutOfRange)]
        .into_iter()
        .chain([Some(Code::InvalidArgument), None, None]);
    for (number, expected) in codes.enumerate() {
        let found = match stream.next().await?.context("a result is missing")? {
            operation_result::Result::Error(error) => {
                ensure!(
                    !error.message.is_empty(),
                    "operation {number} has no message"
                );
                ensure!(
                    error.outcome() == Outcome::NotApplied,
                    "operation {number}: {error:?}"
                );
                Some(Code::from(error.code))
            }
            operation_result::Result::Exists(answer) => {
                ensure!(!answer.exists, "deleted before on the same stream");
                None
            }
            _ => None,
        };
        ensure!(
            found == expected,
            "operation {number}: {found:?}, expected {expected:?}"
        );
    }
    stream.send(vec![Set(set("after", "the errors"))]).await?;
    let after = stream.next().await?.context("the stream ended")?;
    ensure!(
        matches!(after, operation_result::Result::Set(_)),
        "{after:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_held_back_and_loses_nothing() -> Result<()> {
    use operation::Operation::Get;
    let config = "[limits]\npipeline_window = 100".to_owned();
    let server = Server::start(
        harness::Kind::Center,
        Options {
            config,
            ..Options::default()
        },
    )?;
    let mut kv = native(&server).await?;
    // Large answers, so that flow control and the window have something to hold back.
    kv.set(set("big", &"x".repeat(100_000))).await?;
    let before = harness::usage::Usage::of(server.pid())?.resident_bytes;
    const OPERATIONS: usize = 4000;
    let mut stream = Stream::open(&mut kv).await?;
    let sender = stream.requests.take().context("just opened")?;
    let sending = tokio::task::spawn(async move {
        for _ in 0..OPERATIONS {
            let operations = vec![Operation {
                operation: Some(Get(get("big"))),
            }];
            if sender.send(PipelineRequest { operations }).await.is_err() {
                break;
            }
        }
    });
    // Nothing is read until the server has gone quiet: had it read everything ahead, it would now
    // hold 400 MB of answers.
    let quiet = quiet_bytes(&server).await?;
    ensure!(
        quiet < before + (96 << 20),
        "grew from {before} to {quiet} bytes"
    );
    for number in 0..OPERATIONS {
        let result = stream
            .next()
            .await?
            .with_context(|| format!("result {number} is missing"))?;
        ensure!(
            matches!(result, operation_result::Result::Get(_)),
            "{number}: {result:?}"
        );
    }
    sending.await.context("the sender panicked")?;
    Ok(())
}

/// Resident bytes once the process has used no CPU for a while.
async fn quiet_bytes(server: &Server) -> Result<u64> {
    let mut last = harness::usage::Usage::of(server.pid())?;
    let mut since = std::time::Instant::now();
    harness::wait::until_async("a quiet server", ANSWER, || {
        let now = harness::usage::Usage::of(server.pid()).unwrap_or(last);
        // Ticks, elections and housekeeping go on; a busy server uses far more than one tick in 200 ms.
        if now.cpu > last.cpu + Duration::from_millis(10) {
            (last, since) = (now, std::time::Instant::now());
        }
        since.elapsed() > Duration::from_millis(500)
    })
    .await?;
    Ok(harness::usage::Usage::of(server.pid())?.resident_bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_services_share_one_store() -> Result<()> {
    let server = Server::center()?;
    let mut kv = native(&server).await?;
    let mut etcd = client::kv(&server.url()).await?;
    let set = kv.set(set("shared", "native")).await?.into_inner();
    let seen = etcd.range(client::get("shared")).await?.into_inner();
    ensure!(
        seen.kvs.len() == 1 && seen.kvs[0].mod_revision == set.revision,
        "{seen:?}"
    );
    let put = etcd.put(client::put("shared", "etcd")).await?.into_inner();
    let put = put.header.context("a header")?.revision;
    let item = kv
        .get(get("shared"))
        .await?
        .into_inner()
        .item
        .context("shared is there")?;
    ensure!(item.value == "etcd" && item.mod_revision == put, "{item:?}");
    Ok(())
}
