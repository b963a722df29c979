//! The simulated disk of one node: what survives a crash, and which operation fails. Deterministic:
//! the same calls with the same script give the same outcome. Shared by the log, the state and the
//! identity of the node, so that one counter numbers every storage operation of the node and a test
//! can crash it at each of them in turn.

use super::memory::{Image, MemoryEngine};
use super::{Changes, Engine, wire};
use crate::data_dir::{DataDir, Stores};
use crate::error::EngineError;
use crate::{Error, Family, Result};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

type EngineResult<T> = std::result::Result<T, EngineError>;

/// What goes wrong at a storage operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power fails during the operation: it may or may not have reached the disk (the
    /// [`Crash`] decides), its caller never learns, and nothing works until the disk is crashed and
    /// opened again.
    PowerLoss,
    /// The device reports an error. Whether the bytes arrived is unknown.
    Io,
    /// The disk is full; nothing of the operation is written.
    NoSpace,
}

/// What a crash keeps of the bytes that were written and not yet synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Nothing: the unkindest cache.
    LoseUnsynced,
    /// Everything: a crash of the process alone.
    KeepAll,
    /// This many bytes of each journal, which usually tears a batch.
    KeepBytes(usize),
    /// A prefix chosen by the seed, for each journal.
    Seeded(u64),
}

/// The disk of one simulated node. Clones are handles on the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    shared: Arc<Mutex<Contents>>,
}

#[derive(Default)]
struct Contents {
    log: Area,
    /// The state, by generation: one in use, one that replaces it perhaps.
    states: BTreeMap<u64, Area>,
    /// The generation that was opened last.
    current: u64,
    identity: Vec<u8>,
    /// A write of the identity that the power failure interrupted.
    identity_pending: Option<(usize, Vec<u8>)>,
    checkpoints: BTreeMap<PathBuf, Image>,
    operations: u64,
    script: BTreeMap<u64, Fault>,
    capacity_bytes: Option<u64>,
    written_bytes: u64,
    powered_off: bool,
    /// Counts crashes; handles of an earlier boot belong to a dead process.
    boot: u64,
    opened: Weak<()>,
}

/// One database on the disk.
#[derive(Default)]
struct Area {
    durable: Image,
    /// Written, not yet synced.
    journal: Vec<u8>,
    families: Vec<Family>,
}

impl Area {
    fn add_families(&mut self, families: &[Family]) {
        self.durable.add_families(families);
        for family in families {
            if !self.families.contains(family) {
                self.families.push(*family);
            }
        }
    }

    fn settle(&mut self) {
        for batch in wire::replay(&self.journal, &self.families) {
            self.durable.apply(&batch);
        }
        self.journal.clear();
    }
}

/// Which database of the disk.
#[derive(Clone, Copy)]
enum Which {
    Log,
    State(u64),
}

impl Contents {
    fn area(&mut self, which: Which) -> &mut Area {
        match which {
            Which::Log => &mut self.log,
            Which::State(generation) => self.states.entry(generation).or_default(),
        }
    }

    /// Numbers an operation and tells what goes wrong with it.
    fn begin(&mut self, boot: u64, bytes: usize) -> EngineResult<Option<Fault>> {
        if self.powered_off || boot != self.boot {
            return Err(EngineError::PowerLost);
        }
        self.operations += 1;
        let after = self.written_bytes + bytes as u64;
        if self.capacity_bytes.is_some_and(|capacity| after > capacity) {
            return Ok(Some(Fault::NoSpace));
        }
        let fault = self.script.get(&self.operations).copied();
        if fault != Some(Fault::NoSpace) {
            self.written_bytes = after;
        }
        self.powered_off = fault == Some(Fault::PowerLoss);
        Ok(fault)
    }
}

fn failure(fault: Fault, operation: u64) -> EngineError {
    match fault {
        Fault::PowerLoss => EngineError::PowerLost,
        Fault::Io => EngineError::Io(format!("simulated at operation {operation}")),
        Fault::NoSpace => EngineError::NoSpace(format!("simulated at operation {operation}")),
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// Opens what the disk holds, as [`DataDir::open`] does for a directory.
    pub fn open(&self, families: &[Family]) -> Result<(DataDir, Stores)> {
        let holder = Arc::new(());
        let boot = {
            let mut contents = self.lock();
            if contents.powered_off {
                return Err(Error::Open {
                    path: PathBuf::from("memory"),
                    source: EngineError::PowerLost,
                });
            }
            if contents.opened.strong_count() > 0 {
                return Err(Error::Locked {
                    path: PathBuf::from("memory"),
                });
            }
            contents.opened = Arc::downgrade(&holder);
            contents.boot
        };
        let device = |which| Device {
            disk: self.clone(),
            which,
            boot,
            _holder: holder.clone(),
        };
        let identity = IdentityDevice(device(Which::Log));
        DataDir::open_memory(
            identity,
            |log_families| self.engine(device(Which::Log), log_families),
            MemoryHome(device(Which::Log)),
            families,
        )
    }

    fn engine(&self, device: Device, families: &[Family]) -> Engine {
        let image = {
            let mut contents = self.lock();
            let area = contents.area(device.which);
            area.add_families(families);
            // Only a clean close leaves a journal here: what the process wrote, the system has.
            area.settle();
            area.durable.clone()
        };
        Engine::memory(MemoryEngine::new(image, device))
    }

    /// Storage operations so far: every write, sync, flush, checkpoint and identity save.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Makes operation number `operation` (the first is 1) fail.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.lock().script.insert(operation, fault);
    }

    /// Forgets every fault that was asked for.
    pub fn heal(&self) {
        let mut contents = self.lock();
        contents.script.clear();
        contents.capacity_bytes = None;
    }

    /// The disk is full once this many bytes were written to it in all.
    pub fn set_capacity_bytes(&self, bytes: u64) {
        self.lock().capacity_bytes = Some(bytes);
    }

    /// Bytes written in all.
    pub fn written_bytes(&self) -> u64 {
        self.lock().written_bytes
    }

    /// Ends the process that holds the disk, keeps of its unsynced bytes what `crash` says, and
    /// turns the power on again. Stores opened before refuse every further write.
    pub fn crash(&self, crash: Crash) {
        let mut contents = self.lock();
        let mut seed = match crash {
            Crash::Seeded(seed) => seed,
            _ => 0,
        };
        let mut keep = |bytes: usize| match crash {
            Crash::LoseUnsynced => 0,
            Crash::KeepAll => bytes,
            Crash::KeepBytes(kept) => kept.min(bytes),
            Crash::Seeded(_) => (next_random(&mut seed) % (bytes as u64 + 1)) as usize,
        };
        let generations = contents.states.keys().copied().map(Which::State);
        let all: Vec<Which> = std::iter::once(Which::Log).chain(generations).collect();
        for which in all {
            let area = contents.area(which);
            let kept = keep(area.journal.len());
            area.journal.truncate(kept);
            area.settle();
        }
        if let Some((offset, bytes)) = contents.identity_pending.take() {
            let kept = keep(bytes.len());
            overwrite(&mut contents.identity, offset, &bytes[..kept]);
        }
        contents.powered_off = false;
        contents.boot += 1;
        contents.opened = Weak::new();
    }

    /// Replaces stored bytes behind the stores' back (`None` removes them): damage that the next
    /// opening or read must notice.
    pub fn tamper(&self, family: Family, key: &[u8], value: Option<&[u8]>) {
        let mut contents = self.lock();
        let change = match value {
            Some(value) => super::Change::Put {
                family,
                key: key.into(),
                value: value.into(),
            },
            None => super::Change::Delete {
                family,
                key: key.into(),
            },
        };
        let in_log = contents.log.families.contains(&family);
        let current = Which::State(contents.current);
        let area = contents.area(if in_log { Which::Log } else { current });
        area.settle();
        area.durable.apply(&vec![change]);
    }

    /// The durable bytes at `key`, as a crash that loses everything unsynced would leave them.
    pub fn durable(&self, family: Family, key: &[u8]) -> Option<Bytes> {
        let mut contents = self.lock();
        let in_log = contents.log.families.contains(&family);
        let current = Which::State(contents.current);
        let area = contents.area(if in_log { Which::Log } else { current });
        area.durable.get(family.0, key)
    }

    /// Puts the checkpoint that was written to `directory` in the place of the state.
    pub fn restore_checkpoint(&self, directory: &Path) -> bool {
        let mut contents = self.lock();
        let image = contents.checkpoints.get(directory).cloned();
        let found = image.is_some();
        if let Some(image) = image {
            let current = Which::State(contents.current);
            let area = contents.area(current);
            area.journal.clear();
            area.durable = image;
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // No method panics between two changes that belong together.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In-memory stores without faults, for tests that need a store and not its disk.
pub fn memory_stores(families: &'static [Family]) -> Stores {
    match MemoryDisk::new().open(families) {
        Ok((_, stores)) => stores,
        Err(error) => unreachable!("a new disk opens: {error}"),
    }
}

/// Where the states of a simulated disk are made.
pub(crate) struct MemoryHome(Device);

impl MemoryHome {
    pub(crate) fn open(&self, generation: u64, families: &[Family]) -> Engine {
        let device = Device {
            which: Which::State(generation),
            disk: self.0.disk.clone(),
            boot: self.0.boot,
            _holder: Arc::clone(&self.0._holder),
        };
        self.0.disk.engine(device, families)
    }

    /// Generations that are there.
    pub(crate) fn generations(&self) -> Vec<u64> {
        self.0.disk.lock().states.keys().copied().collect()
    }

    pub(crate) fn remove(&self, generation: u64) {
        let mut contents = self.0.disk.lock();
        if contents.boot == self.0.boot {
            contents.states.remove(&generation);
        }
    }

    /// This one counts from here on.
    pub(crate) fn set_current(&self, generation: u64) {
        self.0.disk.lock().current = generation;
    }
}

/// One database of the disk, as the process of one boot sees it.
pub(super) struct Device {
    disk: MemoryDisk,
    which: Which,
    boot: u64,
    /// Keeps a second opening out while this one lives.
    _holder: Arc<()>,
}

impl Device {
    pub(super) fn write(&self, changes: &Changes<'_>, sync: bool) -> EngineResult<()> {
        let mut record = Vec::new();
        wire::append(&mut record, changes);
        let mut contents = self.disk.lock();
        let fault = contents.begin(self.boot, record.len())?;
        let operation = contents.operations;
        let area = contents.area(self.which);
        if fault != Some(Fault::NoSpace) {
            area.journal.extend_from_slice(&record);
        }
        if let Some(fault) = fault {
            return Err(failure(fault, operation));
        }
        if sync {
            area.settle();
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> EngineResult<()> {
        let mut contents = self.disk.lock();
        if let Some(fault) = contents.begin(self.boot, 0)? {
            return Err(failure(fault, contents.operations));
        }
        contents.area(self.which).settle();
        Ok(())
    }

    pub(super) fn checkpoint(&self, directory: &Path, image: Image) -> EngineResult<()> {
        let mut contents = self.disk.lock();
        if let Some(fault) = contents.begin(self.boot, 0)? {
            return Err(failure(fault, contents.operations));
        }
        if contents.checkpoints.contains_key(directory) {
            return Err(EngineError::Other("the directory exists".into()));
        }
        contents.checkpoints.insert(directory.to_path_buf(), image);
        Ok(())
    }

    pub(super) fn durable<T>(&self, read: impl FnOnce(&Image) -> T) -> T {
        read(&self.disk.lock().area(self.which).durable)
    }
}

/// The identity file on the simulated disk.
pub(crate) struct IdentityDevice(Device);

impl IdentityDevice {
    pub(crate) fn read(&self) -> Vec<u8> {
        self.0.disk.lock().identity.clone()
    }

    /// Writes `bytes` at `offset` and syncs.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> EngineResult<()> {
        let mut contents = self.0.disk.lock();
        let fault = contents.begin(self.0.boot, bytes.len())?;
        match fault {
            None => overwrite(&mut contents.identity, offset, bytes),
            Some(fault) => {
                if fault != Fault::NoSpace {
                    contents.identity_pending = Some((offset, bytes.to_vec()));
                }
                return Err(failure(fault, contents.operations));
            }
        }
        Ok(())
    }
}

fn overwrite(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

/// SplitMix64: small, seedable, the same on every machine.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
