//! What JSON becomes which message, and back.

use super::*;
use prost_reflect::DescriptorPool;
use protocol::etcdserverpb::{Compare, PutRequest, RangeRequest, TxnRequest, request_op};

fn descriptor(name: &str) -> MessageDescriptor {
    let pool = DescriptorPool::decode(protocol::FILE_DESCRIPTOR_SET).expect("descriptors");
    let found = pool.get_message_by_name(&format!("etcdserverpb.{name}"));
    found.expect("a message of the test")
}

fn read<M: Message + Default>(name: &str, body: &str) -> M {
    let bytes = read_one(body.as_bytes(), &descriptor(name)).expect(body);
    M::decode(bytes.as_slice()).expect("a message of ours")
}

fn refused(name: &str, body: &[u8]) -> String {
    let refusal = read_one(body, &descriptor(name));
    refusal
        .expect_err(&String::from_utf8_lossy(body))
        .to_string()
}

#[test]
fn names_numbers_and_bytes_are_read_in_every_form() {
    let expected = RangeRequest {
        key: b"\xfb\xff\xbf".as_slice().into(),
        limit: 9_007_199_254_740_993,
        sort_order: 2,
        sort_target: 4,
        min_mod_revision: -1,
        serializable: true,
        ..RangeRequest::default()
    };
    for body in [
        r#"{"key":"+/+/","limit":"9007199254740993","sort_order":"DESCEND","sort_target":"VALUE","min_mod_revision":-1,"serializable":true}"#,
        r#"{"key":"-_-_","limit":9007199254740993,"sortOrder":2,"sortTarget":4,"minModRevision":"-1","serializable":true}"#,
        r#" {"key":"-_-_","limit":9007199254740993,"sortOrder":2,"sortTarget":4,"minModRevision":"-1","serializable":true,"nobody":[1,{"a":2}],"revision":null} "#,
    ] {
        assert_eq!(read::<RangeRequest>("RangeRequest", body), expected);
    }
}

#[test]
fn no_body_is_an_empty_message() {
    for body in ["", " \n", "null", "{}"] {
        let read: RangeRequest = read("RangeRequest", body);
        assert_eq!(read, RangeRequest::default(), "{body:?}");
    }
}

#[test]
fn transactions_nest_and_strangers_in_them_are_overlooked() {
    let txn: TxnRequest = read(
        "TxnRequest",
        r#"{"compare":[{"key":"YQ==","target":"CREATE","createRevision":"0","extra":1}],
            "success":[{"request_txn":{"success":[{"requestPut":{"key":"YQ==","value":"Yg","extra":{}}}]}}]}"#,
    );
    assert_eq!(txn.compare[0].key, "a");
    let Some(request_op::Request::RequestTxn(inner)) = &txn.success[0].request else {
        panic!("{txn:?}");
    };
    let put = PutRequest {
        key: "a".into(),
        value: "b".into(),
        ..PutRequest::default()
    };
    assert_eq!(
        inner.success[0].request,
        Some(request_op::Request::RequestPut(put))
    );
}

#[test]
fn wrong_bodies_are_refused_with_a_reason() {
    let cases: [(&str, &[u8], &str); 14] = [
        ("RangeRequest", b"{", "EOF while parsing"),
        ("RangeRequest", b"garbage", "expected value"),
        ("RangeRequest", b"\xff\xfe\x00", "expected value"),
        ("RangeRequest", b"[]", "no RangeRequest"),
        ("RangeRequest", b"7", "no RangeRequest"),
        ("RangeRequest", br#"{"key":5}"#, "base64"),
        ("RangeRequest", br####"{"key":"###"}"####, "base64"),
        ("RangeRequest", br#"{"limit":1.5}"#, "integer"),
        ("RangeRequest", br#"{"limit":"x"}"#, "invalid digit"),
        (
            "RangeRequest",
            br#"{"limit":9223372036854775808}"#,
            "out of range",
        ),
        ("RangeRequest", br#"{"sort_order":"WRONG"}"#, "WRONG"),
        ("RangeRequest", br#"{"serializable":1}"#, "boolean"),
        ("RangeRequest", b"{} {}", "goes on"),
        (
            "Compare",
            br#"{"version":1,"mod_revision":2}"#,
            "multiple fields",
        ),
    ];
    for (name, body, part) in cases {
        let text = refused(name, body);
        assert!(
            text.contains(part),
            "{:?}: {text}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let open = r#"{"success":[{"request_txn":"#;
    let deep = |depth: usize| format!("{}{{}}{}", open.repeat(depth), "}]}".repeat(depth));
    assert!(read_one(deep(20).as_bytes(), &descriptor("TxnRequest")).is_ok());
    for depth in [60, 50_000] {
        assert!(refused("TxnRequest", deep(depth).as_bytes()).contains("recursion limit"));
    }
    assert!(refused("TxnRequest", "[".repeat(1 << 20).as_bytes()).contains("recursion limit"));
}

#[test]
fn messages_that_follow_each_other_are_all_read() {
    let all = |body: &str| read_all(body.as_bytes(), &descriptor("Compare"));
    assert_eq!(all("").expect("none").len(), 0);
    let two = all("{\"key\":\"YQ==\"}\n{}").expect("two");
    let first = Compare::decode(two[0].as_slice()).expect("a message of ours");
    assert_eq!((two.len(), first.key.as_ref()), (2, b"a".as_slice()));
    assert!(all("{}{").is_err());
}

#[test]
fn replies_have_the_names_and_forms_of_etcd() {
    use protocol::etcdserverpb::{Member, MemberListResponse, RangeResponse, ResponseHeader};
    let header = ResponseHeader {
        cluster_id: u64::MAX,
        member_id: 1,
        revision: 0,
        raft_term: 2,
    };
    let shown = |name: &str, bytes: Vec<u8>| {
        let mut out = Vec::new();
        write(&bytes, &descriptor(name), &mut out).expect("a message of ours");
        String::from_utf8(out).expect("JSON is text")
    };
    let range = RangeResponse {
        header: Some(header),
        kvs: vec![protocol::mvccpb::KeyValue {
            key: "a".into(),
            value: b"\xfb\xff".as_slice().into(),
            version: 1,
            ..Default::default()
        }],
        count: 1,
        ..RangeResponse::default()
    };
    assert_eq!(
        shown("RangeResponse", range.encode_to_vec()),
        r#"{"header":{"cluster_id":"18446744073709551615","member_id":"1","raft_term":"2"},"kvs":[{"key":"YQ==","version":"1","value":"+/8="}],"count":"1"}"#
    );
    let members = MemberListResponse {
        header: None,
        members: vec![Member {
            id: 5,
            peer_ur_ls: vec!["http://a:1".to_owned()],
            is_learner: true,
            ..Member::default()
        }],
    };
    assert_eq!(
        shown("MemberListResponse", members.encode_to_vec()),
        r#"{"members":[{"ID":"5","peerURLs":["http://a:1"],"isLearner":true}]}"#
    );
}
