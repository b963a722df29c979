//! A majority is lost for good, and one member is told to go on without it.

use super::cluster::{Member, leader, member_config, read, three, until, write};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_goes_on_alone_and_takes_new_members_in() {
    let members = three().await;
    write(&members[leader(&members).await], "kept", "value").await;
    for member in &members {
        assert_eq!(read(member, "kept").await.as_deref(), Some(&b"value"[..]));
    }
    let mut members = members.into_iter();
    let survivor = members.next().expect("three");
    let mut lost = Vec::new();
    for member in members {
        lost.push(member.stop().await);
    }
    let (config, directory) = survivor.stop().await;
    let forced = Config {
        force_new_cluster: true,
        ..config.clone()
    };
    let survivor = Member::again(forced, directory).await;
    survivor
        .node
        .ready(PATIENCE)
        .await
        .expect("alone, it leads");
    assert_eq!(
        read(&survivor, "kept").await.as_deref(),
        Some(&b"value"[..])
    );
    write(&survivor, "new", "value").await;
    let ids = async |member: &Member| -> Vec<u64> {
        let view = member.admin().members().await.expect("it leads");
        view.members.iter().map(|member| member.id).collect()
    };
    assert_eq!(ids(&survivor).await, [1]);
    let (_, directory) = survivor.stop().await;

    // Without the flag it stays what it became, and the lost ones are strangers to it.
    let survivor = Member::again(config.clone(), directory).await;
    survivor
        .node
        .ready(PATIENCE)
        .await
        .expect("alone, it leads");
    assert_eq!(ids(&survivor).await, [1]);
    let (lost_config, lost_directory) = lost.pop().expect("two are lost");
    let back = Member::again(lost_config, lost_directory).await;
    assert_eq!(read(&survivor, "new").await.as_deref(), Some(&b"value"[..]));
    assert_eq!(back.node.status().leader, None, "nobody listens to it");
    drop(back.stop().await);

    let directory = tempfile::tempdir().expect("a directory");
    let joining = Config {
        join: vec![format!("127.0.0.1:{}", config.peer_port)],
        ..member_config(4, &directory)
    };
    let node = start(joining.clone()).await.expect("taken in");
    let joined = Member {
        node,
        config: joining,
        directory,
    };
    until("it has what the survivor had", async || {
        joined.node.ready(PATIENCE).await.is_ok()
            && read(&joined, "new").await.as_deref() == Some(&b"value"[..])
    })
    .await;
    assert_eq!(ids(&survivor).await, [1, 4]);
    joined.stop().await;
    survivor.stop().await;
}

#[tokio::test]
async fn a_new_directory_has_nothing_to_recover() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = start(Config {
        force_new_cluster: true,
        ..config(directory.path())
    });
    match refused.await {
        Err(StartError::Config(invalid)) => assert_eq!(invalid.key, "data_path"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("there is nothing to recover"),
    }
}
