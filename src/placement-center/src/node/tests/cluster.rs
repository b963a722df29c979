//! Several nodes in one process, connected by real sockets.

use super::*;
use crate::admin::{Admin, AdminError, MemberRef, MemberRole};
use crate::config::ClusterToken;
use crate::service::testing::put;
use consensus::Role;
use protocol::etcdserverpb::RangeRequest;
use protocol::etcdserverpb::kv_client::KvClient;
use std::collections::BTreeMap;
use tempfile::TempDir;
use tonic::Request;
use tonic::transport::Channel;

pub(super) struct Member {
    pub(super) node: Node,
    pub(super) config: Config,
    pub(super) directory: TempDir,
}

impl Member {
    async fn kv(&self) -> KvClient<Channel> {
        let address = format!("http://{}", self.node.addresses().grpc);
        KvClient::connect(address).await.expect("it listens")
    }

    pub(super) fn admin(&self) -> Arc<dyn Admin> {
        self.node.admin()
    }

    pub(super) async fn stop(self) -> (Config, TempDir) {
        self.node.shutdown(PATIENCE).await.expect("a clean stop");
        (self.config, self.directory)
    }

    /// The same node on the same directory and the same ports.
    pub(super) async fn again(config: Config, directory: TempDir) -> Member {
        let node = start(config.clone()).await.expect("start again");
        Member {
            node,
            config,
            directory,
        }
    }
}

pub(super) fn member_config(id: u64, directory: &TempDir) -> Config {
    Config {
        node_id: id,
        node_alias: format!("node-{id}"),
        nodes: BTreeMap::new(),
        cluster_token: ClusterToken::new("a-token-for-these-tests").expect("a token"),
        ..config(directory.path())
    }
}

/// Fixes the ports that were bound, so that a restart finds them again.
pub(super) fn bound(config: Config, listeners: &Listeners) -> Config {
    let addresses = listeners.addresses().expect("bound");
    Config {
        grpc_port: addresses.grpc.port(),
        http_port: addresses.http.port(),
        peer_port: addresses.peer.port(),
        ..config
    }
}

pub(super) async fn three() -> Vec<Member> {
    three_with(|config| config).await
}

async fn three_with(change: impl Fn(Config) -> Config) -> Vec<Member> {
    let mut parts = Vec::new();
    for id in 1..=3 {
        let directory = tempfile::tempdir().expect("a directory");
        let config = member_config(id, &directory);
        let listeners = Listeners::bind(&config).expect("free ports");
        parts.push((bound(config, &listeners), listeners, directory));
    }
    let nodes: BTreeMap<u64, String> = parts
        .iter()
        .map(|(config, _, _)| (config.node_id, format!("127.0.0.1:{}", config.peer_port)))
        .collect();
    let mut members = Vec::new();
    for (config, listeners, directory) in parts {
        let config = Config {
            nodes: nodes.clone(),
            ..change(config)
        };
        let started = Node::start(config.clone(), listeners, Arc::new(FacadeLevel)).await;
        members.push(Member {
            node: started.expect("start"),
            config,
            directory,
        });
    }
    for member in &members {
        member.node.ready(PATIENCE).await.expect("ready");
    }
    members
}

/// The position of the leader among the members.
pub(super) async fn leader(members: &[Member]) -> usize {
    let found = async {
        loop {
            let leads = |member: &Member| member.node.status().role == Role::Leader;
            if let Some(at) = members.iter().position(leads) {
                return at;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, found).await.expect("a leader in time")
}

pub(super) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect(what);
}

pub(super) async fn write(member: &Member, key: &str, value: &str) -> i64 {
    let request = put(key.to_owned(), value.to_owned());
    let answer = member.kv().await.put(request).await.expect("written");
    answer.into_inner().header.expect("a header").revision
}

pub(super) async fn read(member: &Member, key: &str) -> Option<Vec<u8>> {
    let request = RangeRequest {
        key: key.to_owned().into(),
        ..RangeRequest::default()
    };
    let answer = member.kv().await.range(request).await.expect("read");
    let kv = answer.into_inner().kvs.into_iter().next();
    kv.map(|kv| kv.value.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_write_and_read_through_any_of_them() {
    let members = three().await;
    for (number, member) in members.iter().enumerate() {
        let key = format!("key-{number}");
        write(member, &key, "value").await;
        for other in &members {
            assert_eq!(read(other, &key).await.as_deref(), Some(&b"value"[..]));
        }
    }
    let view = members[0].admin().members().await.expect("a leader");
    assert_eq!(view.members.len(), 3);
    until("all have announced themselves", async || {
        let view = members[1].admin().members().await.expect("a leader");
        view.members
            .iter()
            .all(|member| !member.instance.is_empty())
    })
    .await;
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_serve_when_the_leader_stops_and_it_catches_up_when_it_is_back() {
    let mut members = three().await;
    write(&members[0], "before", "1").await;
    let (config, directory) = members.remove(leader(&members).await).stop().await;
    write(&members[0], "meanwhile", "2").await;
    assert_eq!(
        read(&members[1], "meanwhile").await.as_deref(),
        Some(&b"2"[..])
    );
    let back = Member::again(config, directory).await;
    back.node.ready(PATIENCE).await.expect("it follows");
    assert_eq!(read(&back, "meanwhile").await.as_deref(), Some(&b"2"[..]));
    members.push(back);
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_read_on_a_follower_sees_the_write() {
    // The node's own deadline: with one of the client, the client itself would stop waiting first.
    let members = three_with(|config| Config {
        limits: crate::config::LimitsConfig {
            request_timeout: Duration::from_secs(3),
            ..config.limits.clone()
        },
        ..config
    })
    .await;
    let leader = leader(&members).await;
    let follower = (leader + 1) % 3;
    for number in 0..50 {
        let value = number.to_string();
        let revision = write(&members[leader], "counter", &value).await;
        let mut request = Request::new(RangeRequest {
            key: "counter".into(),
            serializable: true,
            ..RangeRequest::default()
        });
        let demanded = revision.to_string().parse().expect("ascii");
        request.metadata_mut().insert("min-revision", demanded);
        let answer = members[follower].kv().await.range(request).await;
        let kvs = answer.expect("it gets there").into_inner().kvs;
        assert_eq!(kvs[0].value, value);
    }
    let mut future = Request::new(RangeRequest {
        key: "counter".into(),
        ..RangeRequest::default()
    });
    future
        .metadata_mut()
        .insert("min-revision", "1000000".parse().expect("ascii"));
    let refused = members[follower].kv().await.range(future).await;
    let status = refused.expect_err("nobody has that revision");
    assert_eq!(
        status
            .metadata()
            .get("placement-outcome")
            .and_then(|value| value.to_str().ok()),
        Some("not-applied")
    );
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_node_joins_by_any_member_votes_and_is_removed() {
    let mut members = three().await;
    write(&members[0], "before", "1").await;
    let follower = (leader(&members).await + 1) % 3;
    let directory = tempfile::tempdir().expect("a directory");
    let joining = Config {
        join: vec![format!("127.0.0.1:{}", members[follower].config.peer_port)],
        ..member_config(4, &directory)
    };
    let listeners = Listeners::bind(&joining).expect("free ports");
    let joining = bound(joining, &listeners);
    let node = Node::start(joining.clone(), listeners, Arc::new(FacadeLevel)).await;
    let fourth = Member {
        node: node.expect("taken in"),
        config: joining,
        directory,
    };
    fourth.node.ready(PATIENCE).await.expect("it follows");
    assert_eq!(read(&fourth, "before").await.as_deref(), Some(&b"1"[..]));
    until("it votes", async || fourth.node.status().voters.len() == 4).await;
    let alias = MemberRef::Alias("node-4".to_owned());
    until("it is known by its name", async || {
        let view = fourth.admin().members().await.expect("a leader");
        view.members
            .iter()
            .any(|member| member.alias == "node-4" && !member.instance.is_empty())
    })
    .await;
    let (config, directory) = fourth.stop().await;
    let back = Member::again(config, directory).await;
    back.node
        .ready(PATIENCE)
        .await
        .expect("it is a member still");

    members[0]
        .admin()
        .remove(alias.clone())
        .await
        .expect("removed");
    let gone = members[0].admin().remove(alias.clone()).await;
    assert_eq!(gone, Err(AdminError::NotFound(alias)));
    let (config, directory) = (back.config.clone(), back.directory);
    let ended = timeout(PATIENCE, back.node.run_until(std::future::pending())).await;
    let error = ended
        .expect("it notices")
        .expect_err("it is no member any more");
    assert!(format!("{error:?}").contains("Removed"), "{error:?}");
    drop((config, directory));
    members.truncate(3);
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_on_request_and_a_leader_is_removed() {
    let members = three().await;
    let old = leader(&members).await;
    let heir = (old + 1) % 3;
    let heir_id = members[heir].config.node_id;
    let asked = &members[(old + 2) % 3];
    let moved = asked.admin().transfer(Some(MemberRef::Id(heir_id))).await;
    assert_eq!(moved, Ok(heir_id));
    asked
        .admin()
        .remove(MemberRef::Id(heir_id))
        .await
        .expect("it hands over first");
    let view = asked.admin().members().await.expect("a leader");
    assert_eq!(view.members.len(), 2);
    assert_ne!(view.leader, Some(heir_id));
    write(asked, "after", "1").await;
    let check = asked
        .admin()
        .check(MemberRef::Id(asked.config.node_id))
        .await
        .expect("a leader");
    assert!(!check.may_restart, "two voters need both: {check:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_made_a_learner_stays_one() {
    let members = three().await;
    let old = leader(&members).await;
    let other = MemberRef::Id(members[(old + 1) % 3].config.node_id);
    let view = members[old]
        .admin()
        .demote(other.clone())
        .await
        .expect("demoted");
    assert_eq!(view.role, MemberRole::Learner);
    let again = members[old].admin().demote(other.clone()).await;
    assert!(matches!(again, Err(AdminError::Refused(_))), "{again:?}");
    let view = members[old].admin().promote(other).await.expect("promoted");
    assert_eq!(view.role, MemberRole::Voter);
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_disk_under_the_old_number_gets_no_word() {
    let mut members = three().await;
    write(&members[0], "key", "1").await;
    until("all have announced themselves", async || {
        let view = members[0].admin().members().await.expect("a leader");
        view.members
            .iter()
            .all(|member| !member.instance.is_empty())
    })
    .await;
    let victim = (leader(&members).await + 1) % 3;
    let (config, _wiped) = members.remove(victim).stop().await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = Config {
        data_path: directory.path().join("data"),
        ..config
    };
    let impostor = start(config).await.expect("it does not know better");
    let ready = impostor.ready(Duration::from_secs(4)).await;
    assert!(ready.is_err(), "a wiped voter serves");
    assert_eq!(impostor.status().voters.len(), 3);
    assert_eq!(impostor.status().leader, None);
    write(&members[0], "key", "2").await;
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_refused() {
    let members = three().await;
    let directory = tempfile::tempdir().expect("a directory");
    let stranger = Config {
        join: vec![format!("127.0.0.1:{}", members[0].config.peer_port)],
        cluster_token: ClusterToken::new("quite-another-token").expect("a token"),
        ..member_config(4, &directory)
    };
    let error = start(stranger).await.err().expect("refused");
    let StartError::Join(error) = error else {
        panic!("{error:?}")
    };
    assert!(error.to_string().contains("token"), "{error}");
    for member in members {
        member.stop().await;
    }
}

/// Writes until the leader has flushed its state and cut its log.
async fn write_until_the_log_is_cut(members: &[Member]) {
    let leader = &members[leader(members).await];
    let mut kv = leader.kv().await;
    let value = vec![7; 1 << 20];
    for number in 0..400 {
        kv.put(put(format!("big-{}", number % 10), value.clone()))
            .await
            .expect("written");
        if leader.node.status().first_index > 10 {
            return;
        }
    }
    panic!("the log was not cut: {:?}", leader.node.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lacks_what_the_log_has_forgotten_gets_a_snapshot() {
    let short_log = |config: Config| Config {
        raft: crate::config::RaftConfig {
            log_retention_entries: 5,
            ..config.raft.clone()
        },
        ..config
    };
    let mut members = three_with(short_log).await;
    write(&members[0], "before", "1").await;
    let follower = (leader(&members).await + 1) % 3;
    let (config, directory) = members.remove(follower).stop().await;
    write_until_the_log_is_cut(&members).await;
    write(&members[0], "meanwhile", "2").await;
    let back = Member::again(config, directory).await;
    back.node.ready(PATIENCE).await.expect("it catches up");
    assert!(back.node.status().first_index > 10, "by a snapshot");
    assert_eq!(read(&back, "before").await.as_deref(), Some(&b"1"[..]));
    assert_eq!(read(&back, "meanwhile").await.as_deref(), Some(&b"2"[..]));
    write(&back, "after", "3").await;
    assert_eq!(read(&members[0], "after").await.as_deref(), Some(&b"3"[..]));

    let directory = tempfile::tempdir().expect("a directory");
    let joining = Config {
        join: vec![format!("127.0.0.1:{}", back.config.peer_port)],
        ..short_log(member_config(4, &directory))
    };
    let node = start(joining).await.expect("taken in");
    node.ready(PATIENCE)
        .await
        .expect("it catches up by a snapshot");
    until("it votes", async || node.status().voters.len() == 4).await;
    let (config, directory) = back.stop().await;
    let back = Member::again(config, directory).await;
    back.node
        .ready(PATIENCE)
        .await
        .expect("what was installed serves again");
    assert_eq!(read(&back, "after").await.as_deref(), Some(&b"3"[..]));
    members.push(back);
    for member in members {
        member.stop().await;
    }
    node.shutdown(PATIENCE).await.expect("a clean stop");
}
