//! Starting a node on what its disk holds, as the product does: stores, identity, machine, core.

use super::{ELECTION_TICKS, Halt, Node, Running, TICK};
use crate::mutant::Mutant;
use crate::node::run::Parts;
use crate::options::Options;
use crate::world::{Around, Run};
use consensus::Config;
use consensus::core::{Core, CoreConfig};
use consensus::simulation::Directory;
use placement_center::machine::{self, Machine};
use std::time::Duration;
use storage::Stores;

/// Any number but 0: all nodes belong to it.
const CLUSTER: u64 = 7;
/// Ticks after which a snapshot that nobody reported counts as lost.
const SNAPSHOT_TICKS_MAX: u32 = 300;
/// Bytes of proposals that may be uncommitted; no simulated client comes near.
const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;

impl Node {
    /// Starts the next run.
    pub(crate) fn start(&mut self, around: &mut Around) -> Result<(), Halt> {
        self.boot += 1;
        let (directory, stores) = self.disk.open(machine::FAMILIES)?;
        let config = config(self.id, &around.options);
        let directory = Directory::open(&config, directory, &stores)
            .map_err(|error| Halt::Refused(format!("{error}: {error:?}")))?;
        let (machine, published) = Machine::open(&stores.state)?;
        let mut core_config = CoreConfig {
            node_id: self.id,
            incarnation: directory.incarnation(),
            seed: config.seed,
            election_ticks: ELECTION_TICKS,
            snapshot_ticks_max: SNAPSHOT_TICKS_MAX,
            uncommitted_bytes_max: UNCOMMITTED_BYTES_MAX,
            applied: stores.state.applied(),
            conf_state: stores.conf_state.clone(),
        };
        if around.is_planted(Mutant::SnapshotNotReported) {
            core_config.snapshot_ticks_max = u32::MAX - 1;
        }
        if around.is_planted(Mutant::AppliedTwice) && core_config.applied.index > 1 {
            core_config.applied = one_before(&stores)?;
        }
        let applied = core_config.applied;
        let core = Core::open(core_config, stores.log.clone())
            .map_err(|error| Halt::Refused(format!("{error}: {error:?}")))?;
        around.check.started(self.at, &core, &stores.log);
        let running = Running::new(Parts {
            run: Run {
                node: self.at,
                boot: self.boot,
            },
            core,
            applied,
            stores,
            machine,
            published,
            directory,
            tick: self.tick,
            wall_ms: self.wall_ms,
            dice: self.dice.fork(),
        });
        let running = self.running.insert(Box::new(running));
        running.begin(around)
    }
}

/// The position before the applied one: a planted bug.
fn one_before(stores: &Stores) -> Result<storage::Applied, Halt> {
    let applied = stores.state.applied();
    let index = applied.index - 1;
    let term = match stores.log.read(index..index + 1, 0) {
        Ok(records) => records
            .first()
            .and_then(|record| consensus::simulation::position(record).ok())
            .map_or(applied.term, |position| position.term),
        Err(_) => return Ok(applied),
    };
    Ok(storage::Applied {
        index,
        term,
        ..applied
    })
}

fn config(node_id: u64, options: &Options) -> Config {
    let founders = options.voters as u64;
    Config {
        node_id,
        founding_voters: (1..=founders).collect(),
        joining: node_id > founders,
        new_instance: 0,
        cluster_id: CLUSTER,
        heartbeat: Duration::from_micros(TICK),
        election: Duration::from_micros(TICK) * ELECTION_TICKS as u32,
        seed: CLUSTER,
        proposals_count_max: 1 << 16,
        proposals_bytes_max: 1 << 24,
        command_bytes_max: 1 << 20,
        log_retention_entries: 1 << 20,
        log_retention_bytes: 1 << 30,
        tuning: consensus::Tuning::default(),
    }
}
