//! The KV surface as users of the etcd-client crate meet it: replies, revisions, and errors by exact
//! code and text. With `SUITE_SUBJECT=etcd` the same expectations are put to etcd.

use anyhow::{Context, Result, ensure};
use etcd_client::{
    Client, CompactionOptions, Compare, CompareOp, DeleteOptions, Error, GetOptions, GetResponse,
    KeyValue, PutOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
};
use futures::StreamExt;
use harness::{Kind, Server};
use tonic::Code;

async fn start() -> Result<(Server, Client)> {
    let server = Server::subject()?;
    let client = Client::connect([server.endpoint()], None)
        .await
        .context("connect")?;
    Ok((server, client))
}

async fn fill(client: &mut Client, pairs: &[(&str, &str)]) -> Result<()> {
    for (key, value) in pairs {
        client.put(*key, *value, None).await?;
    }
    Ok(())
}

fn keys(answer: &GetResponse) -> Vec<String> {
    let key = |item: &KeyValue| String::from_utf8_lossy(item.key()).into_owned();
    answer.kvs().iter().map(key).collect()
}

fn revision(header: Option<&etcd_client::ResponseHeader>) -> Result<i64> {
    Ok(header.context("no header")?.revision())
}

/// The answer must be this error, by code and text.
fn is_error<T>(answer: Result<T, Error>, code: Code, text: &str) -> Result<()> {
    match answer {
        Err(Error::GRpcStatus(status)) => {
            let same = status.code() == code && status.message() == text;
            ensure!(same, "expected {code:?} {text:?}, answered {status:?}");
            Ok(())
        }
        Err(other) => Err(other).context("an error without a status"),
        Ok(_) => anyhow::bail!("accepted, expected {code:?} {text:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_revisions_count_as_documented() -> Result<()> {
    let (_server, mut client) = start().await?;
    ensure!(
        revision(client.get("a", None).await?.header())? == 1,
        "a fresh store is at 1"
    );
    let first = client.put("a", "1", None).await?;
    ensure!(revision(first.header())? == 2);
    client.put("a", "1", None).await?;
    let answer = client.get("a", None).await?;
    let item = answer.kvs().first().context("a is there")?;
    ensure!(item.create_revision() == 2 && item.mod_revision() == 3 && item.version() == 2);
    ensure!(answer.count() == 1 && !answer.more());
    let header = answer.header().context("no header")?;
    ensure!(header.cluster_id() != 0 && header.member_id() != 0 && header.raft_term() > 0);

    let put = client
        .put("a", "2", Some(PutOptions::new().with_prev_key()))
        .await?;
    ensure!(put.prev_key().context("a previous value")?.value() == b"1");
    let deleted = client
        .delete("a", Some(DeleteOptions::new().with_prev_key()))
        .await?;
    ensure!(deleted.deleted() == 1 && deleted.prev_kvs()[0].value() == b"2");
    let nothing = client.delete("a", None).await?;
    ensure!(nothing.deleted() == 0 && revision(nothing.header())? == revision(deleted.header())?);
    client.put("a", "3", None).await?;
    let answer = client.get("a", None).await?;
    let item = answer.kvs().first().context("a is back")?;
    ensure!(item.version() == 1 && item.create_revision() == item.mod_revision());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_limits_and_orders() -> Result<()> {
    let (_server, mut client) = start().await?;
    fill(
        &mut client,
        &[
            ("p/b", "2"),
            ("p/a", "3"),
            ("p/c", "1"),
            ("q", "x"),
            ("p", "y"),
        ],
    )
    .await?;
    client.put("p/b", "0", None).await?;
    let all = || GetOptions::new().with_prefix();
    ensure!(keys(&client.get("p/", Some(all())).await?) == ["p/a", "p/b", "p/c"]);
    let two = client.get("p/", Some(all().with_limit(2))).await?;
    ensure!(keys(&two) == ["p/a", "p/b"] && two.more() && two.count() == 3);
    let sorted = |target, order| all().with_sort(target, order);
    for (target, order, expected) in [
        (SortTarget::Key, SortOrder::Descend, ["p/c", "p/b", "p/a"]),
        (SortTarget::Create, SortOrder::Ascend, ["p/b", "p/a", "p/c"]),
        (SortTarget::Mod, SortOrder::Ascend, ["p/a", "p/c", "p/b"]),
        (SortTarget::Mod, SortOrder::Descend, ["p/b", "p/c", "p/a"]),
        (SortTarget::Value, SortOrder::Ascend, ["p/b", "p/c", "p/a"]),
    ] {
        let answer = client.get("p/", Some(sorted(target, order))).await?;
        ensure!(
            keys(&answer) == expected,
            "{target:?} {order:?}: {:?}",
            keys(&answer)
        );
    }
    let newest = sorted(SortTarget::Version, SortOrder::Descend).with_limit(1);
    let newest = client.get("p/", Some(newest)).await?;
    ensure!(
        keys(&newest) == ["p/b"] && newest.more(),
        "sorted before it is limited"
    );

    let bare = client.get("p/", Some(all().with_keys_only())).await?;
    ensure!(bare.kvs().len() == 3 && bare.kvs().iter().all(|item| item.value().is_empty()));
    let counted = client.get("p/", Some(all().with_count_only())).await?;
    ensure!(counted.count() == 3 && counted.kvs().is_empty());
    let from = client
        .get("p/c", Some(GetOptions::new().with_from_key()))
        .await?;
    ensure!(keys(&from) == ["p/c", "q"]);
    ensure!(
        client
            .get("", Some(GetOptions::new().with_all_keys()))
            .await?
            .count()
            == 5
    );
    let inverted = client
        .get("q", Some(GetOptions::new().with_range("p")))
        .await?;
    ensure!(inverted.count() == 0, "an inverted range is empty");
    let local = client
        .get("q", Some(GetOptions::new().with_serializable()))
        .await?;
    ensure!(local.count() == 1);

    let recent = client
        .get("p/", Some(all().with_min_mod_revision(7)))
        .await?;
    ensure!(
        keys(&recent) == ["p/b"] && recent.count() == 3,
        "count ignores the filter"
    );
    let old = client
        .get("p/", Some(all().with_max_create_revision(3)))
        .await?;
    ensure!(keys(&old) == ["p/a", "p/b"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_until_it_is_compacted() -> Result<()> {
    let (_server, mut client) = start().await?;
    fill(&mut client, &[("a", "1"), ("a", "2"), ("b", "1")]).await?;
    client.delete("a", None).await?;
    client.put("a", "3", None).await?;
    let at = |revision| Some(GetOptions::new().with_revision(revision));
    for (revision, expected) in [(2, Some("1")), (3, Some("2")), (5, None), (6, Some("3"))] {
        let answer = client.get("a", at(revision)).await?;
        let found = answer
            .kvs()
            .first()
            .map(|item| String::from_utf8_lossy(item.value()));
        ensure!(found.as_deref() == expected, "at {revision}: {found:?}");
    }
    let old = client.get("a", at(2)).await?;
    ensure!(
        old.header().context("no header")?.revision() == 6,
        "the header tells the present"
    );

    let (future, gone) = (
        "etcdserver: mvcc: required revision is a future revision",
        "etcdserver: mvcc: required revision has been compacted",
    );
    is_error(client.get("a", at(99)).await, Code::OutOfRange, future)?;
    is_error(client.compact(99, None).await, Code::OutOfRange, future)?;
    let compacted = client
        .compact(4, Some(CompactionOptions::new().with_physical()))
        .await?;
    ensure!(revision(compacted.header())? == 6);
    is_error(client.compact(4, None).await, Code::OutOfRange, gone)?;
    is_error(client.compact(2, None).await, Code::OutOfRange, gone)?;
    is_error(client.get("a", at(3)).await, Code::OutOfRange, gone)?;
    let kept = client.get("a", at(4)).await?;
    ensure!(
        kept.kvs()[0].value() == b"2",
        "the compacted revision itself stays readable"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_puts_and_ranges_are_refused_word_for_word() -> Result<()> {
    let (_server, mut client) = start().await?;
    let options = PutOptions::new;
    let invalid = Code::InvalidArgument;
    let no_key = "etcdserver: key is not provided";
    is_error(client.put("", "v", None).await, invalid, no_key)?;
    is_error(client.get("", None).await, invalid, no_key)?;
    is_error(client.delete("", None).await, invalid, no_key)?;
    let given = client
        .put("k", "v", Some(options().with_ignore_value()))
        .await;
    is_error(given, invalid, "etcdserver: value is provided")?;
    let missing = client
        .put("k", "", Some(options().with_ignore_value()))
        .await;
    is_error(missing, invalid, "etcdserver: key not found")?;
    let missing = client
        .put("k", "v", Some(options().with_ignore_lease()))
        .await;
    is_error(missing, invalid, "etcdserver: key not found")?;
    let both = client
        .put("k", "v", Some(options().with_ignore_lease().with_lease(5)))
        .await;
    is_error(both, invalid, "etcdserver: lease is provided")?;
    let lease = client
        .put("k", "v", Some(options().with_lease(12345)))
        .await;
    is_error(
        lease,
        Code::NotFound,
        "etcdserver: requested lease not found",
    )?;
    let large = client.put("k", vec![b'x'; 1_600_000], None).await;
    is_error(large, invalid, "etcdserver: request is too large")?;
    ensure!(
        revision(client.get("k", None).await?.header())? == 1,
        "nothing was written"
    );

    client.put("k", "kept", None).await?;
    client
        .put("k", "", Some(options().with_ignore_value()))
        .await?;
    let answer = client.get("k", None).await?;
    ensure!(answer.kvs()[0].value() == b"kept" && answer.kvs()[0].version() == 2);
    client
        .put("k", "new", Some(options().with_ignore_lease()))
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_compare_of_a_transaction() -> Result<()> {
    use CompareOp::{Equal, Greater, Less, NotEqual};
    let (_server, mut client) = start().await?;
    fill(&mut client, &[("a", "m"), ("a", "m"), ("b", "m")]).await?;
    let cases = [
        (Compare::value("a", Equal, "m"), true),
        (Compare::value("a", NotEqual, "n"), true),
        (Compare::value("a", Greater, "l"), true),
        (Compare::value("a", Less, "n"), true),
        (Compare::value("a", Equal, "n"), false),
        (Compare::version("a", Equal, 2), true),
        (Compare::version("a", Greater, 2), false),
        (Compare::create_revision("a", Less, 3), true),
        (Compare::mod_revision("a", Equal, 3), true),
        (Compare::mod_revision("a", NotEqual, 3), false),
        (Compare::lease("a", Equal, 0), true),
        // A missing key compares as zero, but its value compares with nothing.
        (Compare::version("none", Equal, 0), true),
        (Compare::create_revision("none", Equal, 0), true),
        (Compare::value("none", NotEqual, "x"), false),
        // A range holds when all of its keys do.
        (Compare::version("a", Greater, 0).with_range("c"), true),
        (Compare::version("a", Greater, 1).with_range("c"), false),
        (Compare::value("x", Equal, "m").with_range("z"), false),
    ];
    for (compare, expected) in cases {
        let txn = Txn::new()
            .when([compare.clone()])
            .and_then([TxnOp::get("a", None)]);
        let answer = client.txn(txn).await?;
        ensure!(answer.succeeded() == expected, "{compare:?}");
        ensure!(answer.op_responses().len() == usize::from(expected));
    }
    ensure!(
        revision(client.get("a", None).await?.header())? == 4,
        "comparing wrote something"
    );
    is_error(
        client
            .txn(Txn::new().when([Compare::version("", Equal, 0)]))
            .await,
        Code::InvalidArgument,
        "etcdserver: key is not provided",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_one_revision_and_reads_its_own_writes() -> Result<()> {
    let (_server, mut client) = start().await?;
    fill(&mut client, &[("a", "1"), ("old", "x")]).await?;
    let nested = Txn::new()
        .when([Compare::version("a", CompareOp::Equal, 1)])
        .and_then([TxnOp::put("inner", "yes", None)])
        .or_else([TxnOp::put("inner", "no", None)]);
    let txn = Txn::new().and_then([
        TxnOp::put("a", "2", None),
        TxnOp::get("a", None),
        TxnOp::txn(nested),
        TxnOp::delete("old", None),
    ]);
    let answer = client.txn(txn).await?;
    let revision = revision(answer.header())?;
    ensure!(revision == 4 && answer.succeeded());
    let responses = answer.op_responses();
    match &responses[1] {
        TxnOpResponse::Get(found) => {
            ensure!(found.kvs()[0].value() == b"2" && found.kvs()[0].mod_revision() == revision);
        }
        other => anyhow::bail!("a get was answered with {other:?}"),
    }
    let inner = client.get("inner", None).await?;
    ensure!(
        inner.kvs()[0].value() == b"yes",
        "compares are evaluated before any write"
    );
    ensure!(inner.kvs()[0].mod_revision() == revision);
    ensure!(client.get("old", None).await?.count() == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_transactions_are_refused_word_for_word() -> Result<()> {
    let (_server, mut client) = start().await?;
    let invalid = Code::InvalidArgument;
    let put = |key: &str| TxnOp::put(key, "v", None);
    let many: Vec<TxnOp> = (0..129).map(|number| put(&format!("k{number}"))).collect();
    let too_many = "etcdserver: too many operations in txn request";
    is_error(
        client.txn(Txn::new().and_then(many.clone())).await,
        invalid,
        too_many,
    )?;
    is_error(
        client.txn(Txn::new().or_else(many.clone())).await,
        invalid,
        too_many,
    )?;
    let duplicate = "etcdserver: duplicate key given in txn request";
    let twice = Txn::new().and_then([put("d"), put("d")]);
    is_error(client.txn(twice).await, invalid, duplicate)?;
    let covered = DeleteOptions::new().with_prefix();
    let covered = Txn::new().and_then([put("d/1"), TxnOp::delete("d/", Some(covered))]);
    is_error(client.txn(covered).await, invalid, duplicate)?;
    let inner = Txn::new().and_then([put("d")]);
    let across = Txn::new().and_then([put("d"), TxnOp::txn(inner)]);
    is_error(client.txn(across).await, invalid, duplicate)?;
    let no_key = Txn::new().and_then([put("")]);
    is_error(
        client.txn(no_key).await,
        invalid,
        "etcdserver: key is not provided",
    )?;
    let future = GetOptions::new().with_revision(99);
    let future = Txn::new().and_then([TxnOp::get("d", Some(future))]);
    let text = "etcdserver: mvcc: required revision is a future revision";
    is_error(client.txn(future).await, Code::OutOfRange, text)?;
    // Alone, a negative revision reads the newest; in a transaction it is older than anything kept.
    let negative = GetOptions::new().with_revision(-18);
    ensure!(client.get("d", Some(negative.clone())).await?.count() == 0);
    let negative = Txn::new().and_then([TxnOp::get("d", Some(negative))]);
    let text = "etcdserver: mvcc: required revision has been compacted";
    is_error(client.txn(negative).await, Code::OutOfRange, text)?;

    // Allowed: 128 operations, both branches on one key, a key deleted twice.
    client
        .txn(Txn::new().and_then(many[..128].to_vec()))
        .await?;
    client
        .txn(Txn::new().and_then([put("d")]).or_else([put("d")]))
        .await?;
    let deletes = [TxnOp::delete("d", None), TxnOp::delete("d", None)];
    client.txn(Txn::new().and_then(deletes)).await?;
    ensure!(client.get("d", None).await?.count() == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_members_describe_one_leader() -> Result<()> {
    let (server, mut client) = start().await?;
    client.put("a", vec![b'x'; 1000], None).await?;
    let status = client.status().await?;
    let header = status.header().context("no header")?;
    ensure!(status.leader() == header.member_id() && status.leader() != 0);
    ensure!(status.raft_index() > 0 && status.raft_applied_index() > 0 && status.db_size() > 0);
    ensure!(status.errors().is_empty() && !status.is_learner());
    let version: Vec<u64> = status
        .version()
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect();
    ensure!(
        version >= vec![3, 4],
        "clients choose their dialect by {:?}",
        status.version()
    );
    let members = client.member_list().await?;
    ensure!(members.members().len() == 1);
    let member = &members.members()[0];
    ensure!(member.id() == header.member_id() && !member.name().is_empty());
    let url = server.url();
    ensure!(
        member.client_urls().contains(&url),
        "{:?} lacks {url}",
        member.client_urls()
    );
    ensure!(
        members.header().context("no header")?.revision() == 0,
        "members have no revision"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_range_equals_the_plain_one() -> Result<()> {
    if Kind::subject() == Kind::Etcd {
        println!("skipped: the installed etcd is older than RangeStream");
        return Ok(());
    }
    let (_server, mut client) = start().await?;
    // More than one chunk, by keys and by bytes.
    for batch in 0..30 {
        let puts: Vec<TxnOp> = (0..100)
            .map(|number| TxnOp::put(format!("s/{batch:02}{number:02}"), vec![b'v'; 700], None))
            .collect();
        client.txn(Txn::new().and_then(puts)).await?;
    }
    let all = || Some(GetOptions::new().with_prefix());
    let plain = client.get("s/", all()).await?;
    let mut stream = client.kv_client().get_stream("s/", all()).await?;
    let (mut streamed, mut chunks, mut count) = (Vec::new(), 0, 0);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        streamed.extend(keys(&chunk));
        chunks += 1;
        count = chunk.count();
    }
    ensure!(streamed == keys(&plain) && streamed.len() == 3000 && count == 3000);
    ensure!(chunks > 2, "3000 keys and 2 MB in {chunks} chunks");
    let sorted = GetOptions::new()
        .with_prefix()
        .with_sort(SortTarget::Value, SortOrder::Descend);
    let refused = client.kv_client().get_stream("s/", Some(sorted)).await;
    let code = match refused {
        Err(Error::GRpcStatus(status)) => status.code(),
        Ok(mut stream) => match stream.next().await {
            Some(Err(Error::GRpcStatus(status))) => status.code(),
            other => anyhow::bail!("a custom order was streamed: {}", other.is_some()),
        },
        Err(other) => return Err(other.into()),
    };
    ensure!(code == Code::Unimplemented, "{code:?}");
    Ok(())
}
