//! What a member asks the leader about leases: many at a time, in one request between members.

use super::Leases;
use crate::lease::Life;
use bytes::Bytes;
use prost::Message;
use protocol::placement::internal::v1::leases_told::{Life as Wire, life::State};
use protocol::placement::internal::v1::{LeasesAsked, LeasesTold};
use std::time::Duration;
use tokio::time::timeout;

/// Leases that one request may name; what a member asks for more comes in parts.
pub(in crate::service) const IDS_MAX: usize = 1024;
/// How long a member may wait for the answer; those who ask have deadlines of their own.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Encodes a question.
pub(in crate::service) fn asked(ids: &[i64], renew: bool) -> Bytes {
    let asked = LeasesAsked {
        ids: ids.to_vec(),
        renew,
    };
    asked.encode_to_vec().into()
}

/// Decodes the answer to a question about `count` leases; `None` when whoever was asked could not tell.
pub(in crate::service) fn told(bytes: Bytes, count: usize) -> Option<Vec<Life>> {
    let told = LeasesTold::decode(bytes).ok()?;
    if told.lives.len() != count {
        return None;
    }
    let lives = told.lives.iter().map(|life| match life.state() {
        State::Missing => Some(Life::Missing),
        State::Expiring => Some(Life::Expiring),
        State::Live => Some(Life::Live {
            ttl: life.ttl,
            remaining_ms: life.remaining_ms,
        }),
        State::Unspecified => None,
    });
    lives.collect()
}

impl Leases {
    /// Answers another member; with nothing when this node cannot tell.
    pub async fn answer(&self, question: Bytes) -> Bytes {
        let told = match LeasesAsked::decode(question) {
            Ok(asked) if asked.ids.len() <= IDS_MAX => {
                let lives = async {
                    match asked.renew {
                        true => self.renew(&asked.ids).await,
                        false => self.lives(&asked.ids).await,
                    }
                };
                timeout(ANSWER_TIME, lives).await
            }
            _ => return Bytes::new(),
        };
        let Ok(Ok(lives)) = told else {
            return Bytes::new();
        };
        let lives = lives.into_iter().map(wire).collect();
        LeasesTold { lives }.encode_to_vec().into()
    }
}

fn wire(life: Life) -> Wire {
    let (state, ttl, remaining_ms) = match life {
        Life::Missing => (State::Missing, 0, 0),
        Life::Expiring => (State::Expiring, 0, 0),
        Life::Live { ttl, remaining_ms } => (State::Live, ttl, remaining_ms),
    };
    Wire {
        state: state.into(),
        ttl,
        remaining_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_survive_the_way_back() {
        let lives = [
            Life::Missing,
            Life::Expiring,
            Life::Live {
                ttl: 60,
                remaining_ms: 59_999,
            },
        ];
        let answer = |lives: Vec<Wire>| Bytes::from(LeasesTold { lives }.encode_to_vec());
        let all: Vec<_> = lives.map(wire).to_vec();
        assert_eq!(told(answer(all.clone()), 3), Some(lives.to_vec()));
        assert_eq!(told(answer(all), 2), None, "an answer to another question");
        assert_eq!(told(Bytes::new(), 1), None, "no answer");
        let unknown = Wire::default();
        assert_eq!(told(answer(vec![unknown]), 1), None, "of a newer version");
        assert_eq!(told(Bytes::from_static(b"\xff"), 1), None);
    }
}
