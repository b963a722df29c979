//! The JSON gateway against etcd's: the same bodies to both, the same answers but for ids and terms. Texts that
//! say what is wrong with a body are each server's own; status and code are not.
//!
//! Where etcd is not installed there is nothing to compare with, and the test says so.

use anyhow::{Context, Result, ensure};
use harness::random::{Random, count_from};
use harness::{Kind, Options, Server};
use serde_json::{Value, json};
use std::time::Duration;

/// Requests of the random part by default.
const REQUESTS_DEFAULT: u64 = 1500;
/// Longest that any answer here takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Transactions within transactions of the random part.
const TXN_DEPTH: u64 = 2;

/// One server's gateway.
struct Gateway {
    agent: ureq::Agent,
    url: String,
}

impl Gateway {
    fn of(server: &Server) -> Gateway {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE));
        Gateway {
            agent: config.build().into(),
            url: server.url(),
        }
    }

    fn post(&self, path: &str, body: &str) -> Result<(u16, String)> {
        let response = self.agent.post(format!("{}{path}", self.url)).send(body);
        let mut response = response.with_context(|| format!("POST {path}"))?;
        Ok((
            response.status().as_u16(),
            response.body_mut().read_to_string()?,
        ))
    }

    fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut response = self.agent.get(format!("{}{path}", self.url)).call()?;
        Ok((
            response.status().as_u16(),
            response.body_mut().read_to_string()?,
        ))
    }

    /// Status and what a client can rely on.
    fn ask(&self, path: &str, body: &str) -> Result<(u16, Value)> {
        let (status, text) = self.post(path, body)?;
        let mut json: Value = serde_json::from_str(&text)
            .with_context(|| format!("POST {path} {body:?} gave {text:?}"))?;
        strip(&mut json);
        Ok((status, json))
    }
}

/// Takes out ids and terms, wherever they are.
fn strip(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for name in ["cluster_id", "member_id", "raft_term"] {
                fields.remove(name);
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

fn pair() -> Result<Option<(Server, Server)>> {
    let Some(etcd) = Server::etcd_if_installed()? else {
        return Ok(None);
    };
    let center = Server::start(Kind::Center, Options::default())?;
    Ok(Some((etcd, center)))
}

/// Bodies in many forms, in an order that gives both servers the same history.
const BODIES: [(&str, &str); 41] = [
    ("/v3/kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#),
    (
        "/v3/kv/put",
        r#"{"key":"Zm9v","value":"YmF6","prev_kv":true}"#,
    ),
    ("/v3/kv/put", r#"{"key":"Zm9v","value":"","prevKv":true}"#),
    (
        "/v3beta/kv/put",
        r#"{"key":"YQ==","value":"MQ==","lease":0}"#,
    ),
    (
        "/v3/kv/put",
        r#"{"key":"Yg==","value":"MQ==","lease":"0","unknown":{"x":[1]}}"#,
    ),
    ("/v3/kv/put", r#"{"key":"Yw==","lease":"77"}"#),
    ("/v3/kv/put", r#"{"key":"bm9uZQ==","ignore_value":true}"#),
    (
        "/v3/kv/put",
        r#"{"key":"Zm9v","value":"YQ==","ignoreValue":true}"#,
    ),
    ("/v3/kv/put", r#"{"value":"YQ=="}"#),
    ("/v3/kv/put", ""),
    ("/v3/kv/put", "null"),
    ("/v3/kv/range", r#"{"key":"Zm9v"}"#),
    (
        "/v3/kv/range",
        r#"{"key":"Zm9v","serializable":true,"keys_only":true}"#,
    ),
    (
        "/v3/kv/range",
        r#"{"key":"AA==","range_end":"AA==","sort_order":"DESCEND","sort_target":"MOD"}"#,
    ),
    (
        "/v3/kv/range",
        r#"{"key":"AA==","rangeEnd":"AA==","sortOrder":2,"sortTarget":3,"limit":"2"}"#,
    ),
    (
        "/v3/kv/range",
        r#"{"key":"AA==","range_end":"AA==","limit":1,"count_only":true}"#,
    ),
    ("/v3/kv/range", r#"{"key":"Zm9v","revision":"2"}"#),
    ("/v3/kv/range", r#"{"key":"Zm9v","revision":99}"#),
    (
        "/v3/kv/range",
        r#"{"key":"Zm9v","min_mod_revision":"3","max_mod_revision":"4"}"#,
    ),
    ("/v3/kv/range", r#"{"key":null}"#),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"key":"Zm9v","target":"VERSION","result":"GREATER","version":"1"}],"success":[{"request_put":{"key":"dHhu","value":"eWVz"}},{"request_range":{"key":"Zm9v"}}],"failure":[{"request_range":{"key":"YQ=="}}]}"#,
    ),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"key":"Zm9v","target":"CREATE","create_revision":"0"}],"success":[{"requestPut":{"key":"dHhu","value":"bm8="}}],"failure":[{"requestTxn":{"compare":[{"key":"YQ==","target":"VALUE","value":"MQ=="}],"success":[{"requestDeleteRange":{"key":"Yg==","prevKv":true}}]}}]}"#,
    ),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"key":"Zm9v","target":"MOD","result":"LESS","modRevision":1}]}"#,
    ),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"key":"Zm9v","target":4,"lease":"0"}],"success":[{"request_range":{"key":"Zm9v"}}]}"#,
    ),
    (
        "/v3/kv/txn",
        r#"{"success":[{"request_put":{"key":"eA=="}},{"request_put":{"key":"eA=="}}]}"#,
    ),
    ("/v3/kv/txn", r#"{"success":[{}]}"#),
    ("/v3/kv/txn", "{}"),
    ("/v3/kv/deleterange", r#"{"key":"bm9uZQ=="}"#),
    (
        "/v3/kv/deleterange",
        r#"{"key":"YQ==","range_end":"Yw==","prev_kv":true}"#,
    ),
    ("/v3/kv/deleterange", "{}"),
    ("/v3/kv/compaction", r#"{"revision":"99"}"#),
    ("/v3/kv/compaction", r#"{"revision":"3"}"#),
    ("/v3/kv/compaction", r#"{"revision":"3","physical":true}"#),
    ("/v3/kv/range", r#"{"key":"Zm9v","revision":"2"}"#),
    (
        "/v3/kv/range",
        r#"{"key":"Zm9v","count_only":true,"count_only":false}"#,
    ),
    ("/v3/kv/range", r#"{"KEY":"Zm9v"}"#),
    ("/v3/kv/put", r#"{"key":"w7zDvA==","value":"PD4m"}"#),
    ("/v3/kv/range", r#"{"key":"w7zDvA=="}"#),
    ("/v3/kv/range", r#"{"key":"\u0059Q=="}"#),
    ("/v3/kv/range", r#"{"key":"Zm9v","revision":"-5"}"#),
    ("/v3/kv/range", r#"{"key":"Zm9v","limit":"-1"}"#),
];

#[test]
fn the_same_bodies_get_the_same_answers() -> Result<()> {
    let Some((etcd, center)) = pair()? else {
        return Ok(());
    };
    let (etcd, center) = (Gateway::of(&etcd), Gateway::of(&center));
    for (path, body) in BODIES {
        let expected = etcd.ask(path, body)?;
        let found = center.ask(path, body)?;
        ensure!(
            expected == found,
            "POST {path} {body}\netcd answered {expected:#?}\nwe answered {found:#?}"
        );
    }
    Ok(())
}

#[test]
fn wrong_bodies_and_paths_get_the_same_status() -> Result<()> {
    let Some((etcd, center)) = pair()? else {
        return Ok(());
    };
    let (etcd, center) = (Gateway::of(&etcd), Gateway::of(&center));
    let bodies = [
        "{",
        "garbage",
        "[]",
        "7",
        "\"a\"",
        "{\"key\":5}",
        "{\"key\":\"###\"}",
        "{\"key\":{}}",
        "{\"limit\":\"x\"}",
        "{\"limit\":1.5}",
        "{\"limit\":[]}",
        "{\"sort_order\":\"WRONG\"}",
        "{\"serializable\":\"yes\"}",
        "{\"limit\":\"9223372036854775808\"}",
        "{\"key\":\"YQ==\",}",
    ];
    for body in bodies {
        let status = |gateway: &Gateway| -> Result<(u16, Value)> {
            let (status, json) = gateway.ask("/v3/kv/range", body)?;
            ensure!(
                json["error"].is_string() && json["error"] == json["message"],
                "{json}"
            );
            Ok((status, json["code"].clone()))
        };
        let (expected, found) = (status(&etcd)?, status(&center)?);
        ensure!(expected == found, "{body}: etcd {expected:?}, we {found:?}");
    }
    for path in [
        "/v3/nothing",
        "/nothing",
        "/v3alpha/kv/range",
        "/v3/kv/put/",
        "/v3",
    ] {
        let (expected, found) = (etcd.post(path, "{}")?.0, center.post(path, "{}")?.0);
        ensure!(
            expected == found,
            "POST {path}: etcd {expected}, we {found}"
        );
    }
    for path in [
        "/v3/kv/range",
        "/v3/kv/put",
        "/version",
        "/health",
        "/metrics",
        "/nothing",
    ] {
        let (expected, found) = (etcd.get(path)?.0, center.get(path)?.0);
        ensure!(expected == found, "GET {path}: etcd {expected}, we {found}");
    }
    let health: Value = serde_json::from_str(&center.get("/health")?.1)?;
    ensure!(health["health"] == "true", "{health}");
    let version: Value = serde_json::from_str(&center.get("/version")?.1)?;
    ensure!(
        version["etcdserver"].is_string() && version["etcdcluster"].is_string(),
        "{version}"
    );
    Ok(())
}

#[test]
fn random_requests_get_the_same_answers() -> Result<()> {
    let Some((etcd, center)) = pair()? else {
        return Ok(());
    };
    let (etcd, center) = (Gateway::of(&etcd), Gateway::of(&center));
    let mut random = Random::new(Random::seed_from("GATEWAY_SEED"));
    let count = count_from("GATEWAY_REQUESTS", REQUESTS_DEFAULT);
    let mut refused = 0;
    for number in 0..count {
        let (path, body) = request(&mut random);
        let body = body.to_string();
        let expected = etcd.ask(path, &body)?;
        let found = center.ask(path, &body)?;
        ensure!(
            expected == found,
            "request {number}: POST {path} {body}\netcd answered {expected:#?}\nwe answered {found:#?}"
        );
        refused += u64::from(expected.0 != 200);
    }
    println!("{count} requests compared, {refused} of them refused");
    ensure!(refused > count / 50 && refused < count / 2);
    Ok(())
}

/// A number as text or as it is: both are taken.
fn number(random: &mut Random, below: u64) -> Value {
    let number = random.below(below);
    match random.one_in(2) {
        true => json!(number.to_string()),
        false => json!(number),
    }
}

fn key(random: &mut Random) -> Value {
    json!(*random.pick(&["", "YQ==", "YWI=", "Yg==", "/w==", "AA==", "Y2Nj"]))
}

fn request(random: &mut Random) -> (&'static str, Value) {
    match random.below(10) {
        0..=3 => ("/v3/kv/put", put(random)),
        4 | 5 => ("/v3/kv/range", range(random)),
        6 => ("/v3/kv/deleterange", delete(random)),
        7 | 8 => ("/v3/kv/txn", txn(random, TXN_DEPTH)),
        _ => {
            // Mostly in the future or compacted already: errors are to be equal too.
            let revision = number(random, 400);
            ("/v3/kv/compaction", json!({ "revision": revision }))
        }
    }
}

fn put(random: &mut Random) -> Value {
    json!({"key": key(random), "value": key(random), "prev_kv": random.one_in(2), "ignore_value": random.one_in(9)})
}

/// A target without an order sorts what is left after the limit in etcd, and everything here; none of that.
fn range(random: &mut Random) -> Value {
    let order = *random.pick(&["NONE", "ASCEND", "DESCEND"]);
    let target = match order {
        "NONE" => "KEY",
        _ => *random.pick(&["KEY", "MOD", "CREATE"]),
    };
    let revision = match random.one_in(4) {
        true => number(random, 300),
        false => json!(0),
    };
    json!({
        "key": key(random), "rangeEnd": key(random), "limit": number(random, 4), "revision": revision,
        "sort_order": order, "sortTarget": target, "count_only": random.one_in(5),
    })
}

/// Of deletes up to the end of all keys etcd forgets to check that they meet no put of their transaction, and
/// changes a key twice in one revision; we refuse that as all others. So none of them here.
fn delete(random: &mut Random) -> Value {
    let end = match key(random) {
        end if random.one_in(2) && end != "AA==" => end,
        _ => json!(""),
    };
    json!({"key": key(random), "range_end": end, "prevKv": random.one_in(2)})
}

/// Deletes stand in the outermost branches alone: of those further in etcd overlooks some that meet a put.
fn txn(random: &mut Random, depth: u64) -> Value {
    let compare = match random.below(3) {
        0 => {
            json!({"key": key(random), "target": "CREATE", "result": "GREATER", "createRevision": number(random, 3)})
        }
        1 => json!({"key": key(random), "target": "VALUE", "value": key(random)}),
        _ => json!({"key": key(random), "result": 3, "version": number(random, 4)}),
    };
    let branch = |random: &mut Random| {
        let count = random.below(3);
        let operations = (0..count).map(|_| match random.below(4) {
            0 => json!({"request_put": put(random)}),
            1 if depth == TXN_DEPTH => json!({"request_delete_range": delete(random)}),
            2 if depth > 0 => json!({"requestTxn": txn(random, depth - 1)}),
            _ => json!({"requestRange": range(random)}),
        });
        Value::from(operations.collect::<Vec<_>>())
    };
    json!({"compare": [compare], "success": branch(random), "failure": branch(random)})
}
