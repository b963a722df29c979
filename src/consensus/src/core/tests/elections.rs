//! Elections: alone at once, exact in simulation, no vote before it is durable.

use super::harness::*;
use crate::core::*;
use raft::eraftpb::MessageType;

#[test]
fn a_sole_voter_leads_at_once() {
    let mut member = Member::new(1, &[1]);
    assert_eq!(member.core.role(), Role::Leader);
    assert_eq!(
        member.unwritten.len(),
        1,
        "vote and first entry are one write"
    );
    member.rest();
    assert_eq!(member.core.applied_index(), 1);
    assert!(member.core.reads_locally());
}

#[test]
fn the_same_inputs_give_the_same_trace() {
    let run = || {
        let mut cluster = Cluster::new(&[1, 2, 3]);
        for step in 0..400 {
            // The leader falls silent now and then, so that elections with fresh draws happen.
            cluster.cut.clear();
            if step % 80 > 40 {
                let leader = cluster
                    .members
                    .values()
                    .find(|m| m.core.role() == Role::Leader)
                    .map(|m| m.core.node_id());
                cluster.isolate(leader.unwrap_or(1));
            }
            cluster.tick_all();
            cluster.rest();
        }
        let terms: Vec<u64> = cluster
            .members
            .values()
            .map(|member| member.core.term())
            .collect();
        assert!(
            terms.iter().max() > Some(&3),
            "several elections happened: {terms:?}"
        );
        cluster.trace
    };
    let first = run();
    assert!(first.len() > 300);
    for _ in 0..3 {
        assert!(run() == first, "another trace");
    }
}

#[test]
fn no_vote_leaves_before_it_is_durable() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    for _ in 0..2 * ELECTION_TICKS {
        cluster.member(1).core.tick();
        cluster.member(1).take();
    }
    // Pre-votes promise nothing; let them through until node 1 wants a real vote.
    for _ in 0..4 {
        let candidate = cluster.member(1);
        let asked = candidate
            .outgoing
            .iter()
            .any(|m| m.0.msg_type == MessageType::MsgRequestVote as i32);
        assert!(
            !asked || candidate.unwritten.is_empty(),
            "asked for a vote before its own was durable"
        );
        if asked {
            break;
        }
        candidate.persist();
        cluster.deliver();
        for voter in [2, 3] {
            let voter = cluster.member(voter);
            if let Some(ballot) = voter.unwritten.iter().find_map(|persist| persist.ballot) {
                assert_eq!(ballot.vote, 1);
                assert!(
                    voter.outgoing.is_empty(),
                    "voted before the vote was durable: {:?}",
                    voter.outgoing
                );
            }
            voter.persist();
        }
    }
    cluster.rest();
    assert_eq!(cluster.member(1).core.role(), Role::Leader);
}

#[test]
fn a_voter_keeps_its_vote_until_the_write_is_reported() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    // Node 1 campaigns for real; node 2 is asked.
    for _ in 0..2 * ELECTION_TICKS {
        cluster.member(1).core.tick();
    }
    for _ in 0..3 {
        cluster.member(1).rest();
        cluster.deliver();
        if !cluster.member(2).unwritten.is_empty() {
            break;
        }
        cluster.member(2).rest();
        cluster.deliver();
    }
    let voter = cluster.member(2);
    assert!(voter.unwritten[0].must_sync);
    voter.write();
    voter.take();
    assert!(voter.outgoing.is_empty(), "written is not durable");
    voter.report();
    assert_eq!(
        voter.outgoing[0].0.msg_type,
        MessageType::MsgRequestVoteResponse as i32
    );
}

#[test]
fn a_sole_voter_waits_for_unapplied_membership_before_it_campaigns() {
    let mut member = Member::new(1, &[1]);
    member.rest();
    member
        .core
        .propose_members(&[MemberChange::AddLearner(2)], &[])
        .expect("no change is pending");
    member.take();
    member.persist();
    // The commit index is written lazily, with a tick.
    member.core.tick();
    member.take();
    member.write();
    member.restart();
    assert_eq!(
        member.core.role(),
        Role::Follower,
        "a change is committed and not applied"
    );
    member.apply();
    assert_eq!(
        member.core.role(),
        Role::Leader,
        "applied, it campaigns without waiting for a timeout"
    );
    assert_eq!(member.core.learners(), [2]);
}
