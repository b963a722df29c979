//! Whose data directory this is, and the watermark: the lowest point its log may end at. Checks both
//! at start, advances the watermark while running. The file itself is `storage`'s.

use crate::config::Config;
use crate::core::Ballot;
use crate::error::StartError;
use crate::log::codec;
use bytes::Bytes;
use raft::eraftpb::ConfState;
use storage::{DataDir, Identity, LogStore, LogWrite, Stores, Watermark};

/// The open directory and the identity last saved into it.
pub(crate) struct Keeper {
    directory: DataDir,
    identity: Identity,
}

impl Keeper {
    /// Checks the identity against configuration and log, founds a new directory, and counts the start.
    pub(crate) fn open(
        config: &Config,
        mut directory: DataDir,
        stores: &Stores,
    ) -> Result<Self, StartError> {
        let identity = match directory.identity() {
            Some(identity) => identity.clone(),
            None => found(config, stores)?,
        };
        check(config, &identity)?;
        check_watermark(&stores.log, &identity.watermark)?;
        let identity = Identity {
            incarnation: identity.incarnation + 1,
            instance: match identity.instance {
                0 => config.new_instance,
                instance => instance,
            },
            ..identity
        };
        directory
            .save_identity(&identity)
            .map_err(StartError::Identity)?;
        // After the identity: a crash in between leaves a directory that is still plainly new.
        save_founders(config, stores, &identity)?;
        Ok(Keeper {
            directory,
            identity,
        })
    }

    /// Boot epoch of this run.
    pub(crate) fn incarnation(&self) -> u64 {
        self.identity.incarnation
    }

    /// Random number of the data directory.
    pub(crate) fn instance(&self) -> u128 {
        self.identity.instance
    }

    /// The watermark last saved.
    #[cfg(test)]
    pub(crate) fn watermark(&self) -> Watermark {
        self.identity.watermark
    }

    /// Term and vote are durable in the log; called before the vote leaves the node.
    pub(crate) fn save_ballot(&mut self, ballot: Ballot) -> Result<(), storage::Error> {
        self.save(Watermark {
            term: ballot.term,
            vote: ballot.vote,
            ..self.identity.watermark
        })
    }

    /// The log is durable and committed up to `index`. Committed, because an entry that is only
    /// durable may rightly be replaced by a later leader, and the log then ends below it.
    pub(crate) fn save_index(&mut self, index: u64) -> Result<(), storage::Error> {
        let index = index.max(self.identity.watermark.index);
        self.save(Watermark {
            index,
            ..self.identity.watermark
        })
    }

    fn save(&mut self, watermark: Watermark) -> Result<(), storage::Error> {
        if watermark == self.identity.watermark {
            return Ok(());
        }
        let identity = Identity {
            watermark,
            ..self.identity.clone()
        };
        self.directory.save_identity(&identity)?;
        self.identity = identity;
        Ok(())
    }
}

/// The identity of a directory that has none. Only an empty one may be taken over.
fn found(config: &Config, stores: &Stores) -> Result<Identity, StartError> {
    let has_founders = stores
        .log
        .value(codec::FOUNDERS)
        .map_err(StartError::Log)?
        .is_some();
    if has_founders || stores.log.last_index() > 0 || stores.state.applied().index > 0 {
        return Err(StartError::IdentityMissing);
    }
    if config.founding_voters.contains(&config.node_id) == config.joining {
        let voters = config.founding_voters.clone();
        return Err(StartError::NotAFounder {
            node_id: config.node_id,
            voters,
        });
    }
    Ok(Identity {
        cluster_id: config.cluster_id,
        node_id: config.node_id,
        incarnation: 0,
        watermark: Watermark::default(),
        instance: config.new_instance,
    })
}

fn check(config: &Config, identity: &Identity) -> Result<(), StartError> {
    if identity.cluster_id != config.cluster_id {
        return Err(StartError::WrongCluster {
            expected: config.cluster_id,
            found: identity.cluster_id,
        });
    }
    if identity.node_id != config.node_id {
        return Err(StartError::WrongNode {
            expected: config.node_id,
            found: identity.node_id,
        });
    }
    Ok(())
}

/// A log that ends below the watermark lost what this node promised to keep: an entry it
/// acknowledged, or its vote. It must not vote again.
fn check_watermark(log: &LogStore, watermark: &Watermark) -> Result<(), StartError> {
    if log.last_index() < watermark.index {
        return Err(StartError::LogBehindWatermark {
            expected: watermark.index,
            found: log.last_index(),
        });
    }
    let hard_state = match log.value(codec::HARD_STATE).map_err(StartError::Log)? {
        Some(bytes) => {
            codec::decode_hard_state(&bytes).map_err(|error| StartError::Core(error.into()))?
        }
        None => Default::default(),
    };
    if hard_state.term < watermark.term {
        return Err(StartError::TermBehindWatermark {
            expected: watermark.term,
            found: hard_state.term,
        });
    }
    if hard_state.term == watermark.term && watermark.vote != 0 && hard_state.vote != watermark.vote
    {
        let (expected, found) = (watermark.vote, hard_state.vote);
        return Err(StartError::VoteChanged {
            term: watermark.term,
            expected,
            found,
        });
    }
    Ok(())
}

/// The members that founded the cluster.
pub(crate) fn founders(log: &LogStore) -> Result<Vec<u64>, StartError> {
    match log.value(codec::FOUNDERS).map_err(StartError::Log)? {
        Some(bytes) => codec::decode_conf_state(&bytes)
            .map(|founders| founders.voters)
            .map_err(|error| StartError::Core(error.into())),
        None => Ok(Vec::new()),
    }
}

/// Stores the founding membership in a log that has none. It is never read again once the state
/// holds a membership.
fn save_founders(config: &Config, stores: &Stores, identity: &Identity) -> Result<(), StartError> {
    if stores.conf_state.is_some()
        || stores
            .log
            .value(codec::FOUNDERS)
            .map_err(StartError::Log)?
            .is_some()
    {
        return Ok(());
    }
    if identity.watermark != Watermark::default() || stores.log.last_index() > 0 {
        // The core refuses to open without a membership, and says so.
        return Ok(());
    }
    let founders = ConfState {
        voters: config.founding_voters.clone(),
        ..ConfState::default()
    };
    let founders: Bytes = codec::encode_conf_state(&founders);
    let write = LogWrite {
        records: Vec::new(),
        values: vec![(codec::FOUNDERS, founders)],
    };
    stores.log.write(&write, true).map_err(StartError::Log)
}
