//! Changes of membership by etcd's RPCs, through a member that does not lead.

use super::cluster::*;
use super::*;
use protocol::etcdserverpb::cluster_client::ClusterClient;
use protocol::etcdserverpb::maintenance_client::MaintenanceClient;
use protocol::etcdserverpb::{
    Member as Shown, MemberAddRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest, MoveLeaderRequest,
};
use tonic::Code;
use tonic::transport::Channel;

async fn client(member: &Member) -> ClusterClient<Channel> {
    let address = format!("http://{}", member.node.addresses().grpc);
    ClusterClient::connect(address).await.expect("it listens")
}

fn addition(peer_port: u16, is_learner: bool) -> MemberAddRequest {
    MemberAddRequest {
        peer_ur_ls: vec![format!("http://127.0.0.1:{peer_port}")],
        is_learner,
    }
}

fn is_learner(members: &[Shown], id: u64) -> bool {
    let found = members.iter().find(|member| member.id == id);
    found.expect("it is a member").is_learner
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_added_by_its_url_starts_and_votes_by_itself() {
    let members = three().await;
    let follower = &members[(leader(&members).await + 1) % 3];
    let directory = tempfile::tempdir().expect("a directory");
    let joining = Config {
        join: vec![format!("127.0.0.1:{}", follower.config.peer_port)],
        ..member_config(4, &directory)
    };
    let listeners = Listeners::bind(&joining).expect("free ports");
    let joining = bound(joining, &listeners);
    let mut client = client(follower).await;
    let added = client.member_add(addition(joining.peer_port, false)).await;
    let added = added.expect("added").into_inner();
    let member = added.member.expect("the member");
    assert_eq!((member.id, member.name.as_str()), (4, ""));
    assert!(is_learner(&added.members, 4) && added.members.len() == 4);
    let again = client.member_add(addition(joining.peer_port, false)).await;
    let status = again.expect_err("the URL is taken");
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::FailedPrecondition,
            "etcdserver: Peer URLs already exists"
        )
    );
    let node = Node::start(joining, listeners, Arc::new(FacadeLevel)).await;
    let node = node.expect("it is expected under this number");
    node.ready(PATIENCE).await.expect("it follows");
    until("it votes", async || node.status().voters.len() == 4).await;
    let removed = client.member_remove(MemberRemoveRequest { id: 4 }).await;
    assert_eq!(removed.expect("removed").into_inner().members.len(), 3);
    let gone = client.member_remove(MemberRemoveRequest { id: 4 }).await;
    let status = gone.expect_err("it is gone");
    assert_eq!(status.message(), "etcdserver: member not found");
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_added_as_a_learner_waits_to_be_promoted() {
    let members = three().await;
    let follower = &members[(leader(&members).await + 1) % 3];
    let directory = tempfile::tempdir().expect("a directory");
    let joining = Config {
        join: vec![format!("127.0.0.1:{}", follower.config.peer_port)],
        ..member_config(4, &directory)
    };
    let listeners = Listeners::bind(&joining).expect("free ports");
    let joining = bound(joining, &listeners);
    let mut client = client(follower).await;
    let added = client.member_add(addition(1, true)).await.expect("added");
    let id = added.into_inner().member.expect("the member").id;
    let early = client.member_promote(MemberPromoteRequest { id }).await;
    assert_eq!(
        early.expect_err("nobody is there").message(),
        "etcdserver: can only promote a learner member which is in sync with leader"
    );
    let update = MemberUpdateRequest {
        id,
        peer_ur_ls: vec![format!("http://127.0.0.1:{}", joining.peer_port)],
    };
    let updated = client.member_update(update).await.expect("updated");
    assert_eq!(updated.into_inner().members.len(), 4);
    let node = Node::start(joining, listeners, Arc::new(FacadeLevel)).await;
    let node = node.expect("it is expected at this address");
    node.ready(PATIENCE).await.expect("it follows");
    assert!(members[0].node.status().learners.contains(&id));
    let record = node.admin().members().await.expect("a leader");
    assert_eq!(record.members.len(), 4);
    until("it can be promoted", async || {
        let promoted = client.member_promote(MemberPromoteRequest { id }).await;
        promoted.is_ok_and(|promoted| !is_learner(&promoted.into_inner().members, id))
    })
    .await;
    let twice = client.member_promote(MemberPromoteRequest { id }).await;
    assert_eq!(
        twice.expect_err("it votes").message(),
        "etcdserver: can only promote a learner member"
    );
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_hands_over() {
    let members = three().await;
    let old = leader(&members).await;
    let heir = members[(old + 1) % 3].config.node_id;
    let mut moved = Vec::new();
    for asked in [(old + 1) % 3, old] {
        let address = format!("http://{}", members[asked].node.addresses().grpc);
        let mut client = MaintenanceClient::connect(address)
            .await
            .expect("it listens");
        moved.push(
            client
                .move_leader(MoveLeaderRequest { target_id: heir })
                .await,
        );
    }
    let refused = moved.remove(0).expect_err("it does not lead");
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::FailedPrecondition, "etcdserver: not leader")
    );
    moved.remove(0).expect("it leads and hands over");
    until("the heir leads", async || {
        members[old].node.status().leader == Some(heir)
    })
    .await;
    for member in members {
        member.stop().await;
    }
}
