//! `placement-ctl status --all`: every member at once, and how those that lag come on.

use std::fmt::Write as _;
use std::time::Duration;

use placement_center::admin::{MemberRole, MemberView, NodeStatus, ProgressView};
use serde::{Deserialize, Serialize};

use crate::ctl::Error;
use crate::ctl::arguments::Status;
use crate::ctl::http::Client;
use crate::ctl::member::{contact, dash, lag, role};
use crate::ctl::output::{Output, table};

/// Pause between two looks of `--watch`.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// Entries a member may lack and still count as caught up: under load there are always some on their way.
const LAG_ENTRIES_SMALL: u64 = 1000;

/// Characters of a full progress bar.
const BAR_WIDTH: usize = 30;

const MIB: f64 = 1024.0 * 1024.0;

#[derive(Debug, Deserialize, Serialize)]
struct Cluster {
    members: Vec<Standing>,
}

/// One member, and where it stands or why it does not say.
#[derive(Debug, Deserialize, Serialize)]
struct Standing {
    member: MemberView,
    status: Option<NodeStatus>,
    error: Option<String>,
}

impl Cluster {
    /// Whether nobody is on the way to anything: all vote, answer, and have nearly everything.
    fn is_settled(&self) -> bool {
        self.members.iter().all(|standing| {
            standing.status.is_some()
                && standing.member.role != MemberRole::Learner
                && !standing.member.progress.as_ref().is_some_and(lags)
        })
    }
}

/// Shows all members; with `--watch` again and again, until all have caught up.
pub async fn run(client: &Client, output: &Output, arguments: &Status) -> Result<(), Error> {
    loop {
        let cluster: Cluster = client.get("/v1/status?all=true")?;
        if arguments.watch {
            output.begin_frame()?;
        }
        output.print(&cluster, text)?;
        if !arguments.watch || cluster.is_settled() {
            return Ok(());
        }
        tokio::time::sleep(WATCH_PAUSE).await;
    }
}

fn text(cluster: &Cluster) -> String {
    let mut text = table(
        &[
            "ID", "ALIAS", "ROLE", "TERM", "LEADER", "LAST", "APPLIED", "REVISION", "LAG",
            "CONTACT", "LOG AGE", "VERSION", "ERROR",
        ],
        cluster.members.iter().map(row),
    );
    let mut bars = cluster.members.iter().filter_map(bar).peekable();
    if bars.peek().is_some() {
        text.push('\n');
    }
    for bar in bars {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{bar}");
    }
    text
}

fn row(standing: &Standing) -> Vec<String> {
    let (member, progress) = (&standing.member, standing.member.progress.as_ref());
    let of = |figure: fn(&NodeStatus) -> String| standing.status.as_ref().map_or_else(dash, figure);
    vec![
        member.id.to_string(),
        member.alias.clone(),
        role(member.role).to_owned(),
        of(|status| status.term.to_string()),
        of(|status| {
            status
                .leader
                .map_or_else(|| "none".to_owned(), |id| id.to_string())
        }),
        of(|status| status.last_index.to_string()),
        of(|status| status.applied_index.to_string()),
        of(|status| status.revision.to_string()),
        progress.map_or_else(dash, lag),
        progress.map_or_else(dash, contact),
        of(|status| status.oldest_entry_age_ms.map_or_else(dash, age)),
        of(|status| status.version.clone()),
        standing.error.clone().unwrap_or_default(),
    ]
}

fn age(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn lags(progress: &ProgressView) -> bool {
    progress.snapshot.is_some() || progress.lag_entries > LAG_ENTRIES_SMALL
}

/// How far a member is that still has a way to go.
fn bar(standing: &Standing) -> Option<String> {
    let progress = standing.member.progress.as_ref()?;
    let (done, all, what) = match progress.snapshot {
        Some((sent, all)) => {
            let (sent_mib, all_mib) = (sent as f64 / MIB, all as f64 / MIB);
            (
                sent,
                all,
                format!("snapshot, {sent_mib:.1} of {all_mib:.1} MiB"),
            )
        }
        None if lags(progress) || standing.member.role == MemberRole::Learner => {
            let all = progress.matched.saturating_add(progress.lag_entries);
            (
                progress.matched,
                all,
                format!("log, {} entries to go", progress.lag_entries),
            )
        }
        None => return None,
    };
    let share = if all == 0 {
        0.0
    } else {
        (done as f64 / all as f64).min(1.0)
    };
    // A full bar means done: rounding up must not say so early.
    let (filled, percent) = ((share * BAR_WIDTH as f64) as usize, (share * 100.0) as u32);
    Some(format!(
        "member {} [{}{}] {percent:>3} % {what}",
        standing.member.id,
        "#".repeat(filled),
        ".".repeat(BAR_WIDTH - filled)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use placement_center::admin::ReplicationState;

    fn standing(role: MemberRole, progress: Option<ProgressView>, answers: bool) -> Standing {
        let status = NodeStatus {
            node_id: 4,
            alias: "four".to_owned(),
            version: "1.2.3".to_owned(),
            role: "follower".to_owned(),
            leader: Some(1),
            term: 5,
            first_index: 1,
            last_index: 90,
            committed_index: 80,
            applied_index: 70,
            oldest_entry_age_ms: Some(125_000),
            chain_hash: "00".to_owned(),
            revision: 60,
        };
        Standing {
            member: MemberView {
                id: 4,
                alias: "four".to_owned(),
                role,
                peer_address: "h:1".to_owned(),
                client_urls: Vec::new(),
                http_url: String::new(),
                instance: String::new(),
                progress,
                unreachable: None,
            },
            status: answers.then_some(status),
            error: (!answers).then(|| "connection refused".to_owned()),
        }
    }

    fn progress(matched: u64, lag_entries: u64, snapshot: Option<(u64, u64)>) -> ProgressView {
        ProgressView {
            matched,
            lag_entries,
            last_contact_ms: Some(20),
            state: ReplicationState::Replicate,
            snapshot,
        }
    }

    #[test]
    fn a_bar_shows_how_far_a_member_is() {
        use MemberRole::{Learner, Voter};
        let shown = |role, progress| bar(&standing(role, Some(progress), true));
        let half = "###############...............";
        assert_eq!(
            shown(Voter, progress(0, 9, Some((5 << 20, 10 << 20)))),
            Some(format!("member 4 [{half}]  50 % snapshot, 5.0 of 10.0 MiB"))
        );
        assert_eq!(
            shown(Learner, progress(10, 10, None)),
            Some(format!("member 4 [{half}]  50 % log, 10 entries to go"))
        );
        let nearly = shown(Voter, progress(9_999_000, 1_001, None)).expect("it lags");
        assert!(nearly.contains(".]  99 % log"), "{nearly}");
        assert_eq!(shown(Voter, progress(1, LAG_ENTRIES_SMALL, None)), None);
        let empty = shown(Voter, progress(0, 0, Some((7, 0)))).expect("a snapshot");
        assert!(empty.contains("]   0 % snapshot"), "{empty}");
        assert_eq!(bar(&standing(MemberRole::Leader, None, true)), None);
    }

    #[test]
    fn a_cluster_is_settled_when_nobody_is_on_the_way() {
        use MemberRole::{Leader, Learner, Voter};
        let settled = |standing| {
            Cluster {
                members: vec![standing],
            }
            .is_settled()
        };
        assert!(settled(standing(Leader, None, true)));
        assert!(settled(standing(Voter, Some(progress(9, 1, None)), true)));
        assert!(!settled(standing(Leader, None, false)));
        assert!(!settled(standing(
            Learner,
            Some(progress(9, 0, None)),
            true
        )));
        assert!(!settled(standing(
            Voter,
            Some(progress(9, 1001, None)),
            true
        )));
        assert!(!settled(standing(
            Voter,
            Some(progress(9, 0, Some((1, 2)))),
            true
        )));
    }

    #[test]
    fn the_table_has_a_row_for_a_member_that_does_not_answer() {
        let cluster = Cluster {
            members: vec![
                standing(MemberRole::Voter, Some(progress(9, 1, None)), true),
                standing(MemberRole::Voter, None, false),
            ],
        };
        let text = text(&cluster);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines[1],
            [
                "4", "four", "voter", "5", "1", "90", "70", "60", "1", "20", "ms", "ago", "2",
                "min", "1.2.3"
            ]
        );
        assert_eq!(
            lines[2],
            [
                "4",
                "four",
                "voter",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "connection",
                "refused"
            ]
        );
        assert_eq!(lines.len(), 3, "no bars");
    }

    #[test]
    fn ages_are_told_in_the_unit_that_fits() {
        for (ms, expected) in [
            (0, "0 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
        ] {
            assert_eq!(age(ms), expected);
        }
    }
}
