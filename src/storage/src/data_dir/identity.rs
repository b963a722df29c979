//! The identity file: whose directory this is, and how much of the log was promised. It lies beside
//! the log, not in it, so that a log that silently lost its end (a bad record ends the recovery of a
//! write-ahead log) is noticed: the watermark is then beyond the log.
//!
//! Two slots are written in turn, each with a sequence number and a checksum; the newest intact one
//! counts. A crash while a slot is written leaves the other.

use super::file_error;
use super::files::create_durably;
use crate::engine::IdentityDevice;
use crate::{Error, Result};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub(super) const NAME: &str = "identity";
const MAGIC: [u8; 8] = *b"pc-ident";
/// A page each: a torn write of one cannot touch the other.
const SLOT_STRIDE: usize = 4096;
const FILE_BYTES: usize = 2 * SLOT_STRIDE;
/// Magic, sequence and eight numbers, then the checksum.
const NUMBERS: usize = 9;
/// Without the instance, as the first version wrote it.
const NUMBERS_V1: usize = 7;
const SLOT_BYTES: usize = slot_bytes(NUMBERS);

const fn slot_bytes(numbers: usize) -> usize {
    MAGIC.len() + 8 * numbers + CHECKSUM_BYTES
}

const CHECKSUM_BYTES: usize = 4;

/// Who this directory belongs to, and the lowest point its log may end at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The cluster the node joined.
    pub cluster_id: u64,
    /// The node.
    pub node_id: u64,
    /// Counts starts, so that nothing of an earlier life is taken for news.
    pub incarnation: u64,
    /// What must still be there.
    pub watermark: Watermark,
    /// Random number of the directory itself: a wiped disk gets another one. 0 in a directory of the first
    /// version that was not opened since.
    pub instance: u128,
}

/// Durable log position and vote that a later start must not fall behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The log ended here, or beyond.
    pub index: u64,
    /// The term was this, or higher.
    pub term: u64,
    /// Whom the node voted for in that term; 0 for nobody.
    pub vote: u64,
}

/// The file, or its twin on a simulated disk.
pub(super) struct IdentityFile {
    place: Place,
    current: Option<Identity>,
    sequence: u64,
}

enum Place {
    /// `file` is `None` until the first save creates it.
    Disk {
        path: PathBuf,
        file: Option<File>,
    },
    Memory(IdentityDevice),
}

impl IdentityFile {
    pub(super) fn open(directory: &Path) -> Result<IdentityFile> {
        let path = directory.join(NAME);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let (file, bytes) = match opened {
            Ok(file) => {
                let bytes = read_bounded(&file).map_err(file_error("read", &path))?;
                (Some(file), bytes)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, None),
            Err(error) => return Err(file_error("open", &path)(error)),
        };
        IdentityFile::load(Place::Disk { path, file }, bytes.as_deref())
    }

    pub(super) fn open_memory(device: IdentityDevice) -> Result<IdentityFile> {
        let bytes = device.read();
        // The simulated file exists from its first byte on. It has no rename, so a first save that
        // was torn leaves no intact slot: as in a directory, there is no identity yet.
        let first_torn = decode(&bytes).is_none() && bytes.len() <= SLOT_STRIDE + SLOT_BYTES;
        let bytes = (!first_torn).then_some(bytes);
        IdentityFile::load(Place::Memory(device), bytes.as_deref())
    }

    fn load(place: Place, bytes: Option<&[u8]>) -> Result<IdentityFile> {
        let (sequence, current) = match bytes {
            None => (0, None),
            Some(bytes) => match decode(bytes) {
                Some((sequence, identity)) => (sequence, Some(identity)),
                None => return Err(Error::Corrupt("no slot of the identity is intact".into())),
            },
        };
        Ok(IdentityFile {
            place,
            current,
            sequence,
        })
    }

    pub(super) fn current(&self) -> Option<&Identity> {
        self.current.as_ref()
    }

    pub(super) fn save(&mut self, identity: &Identity) -> Result<()> {
        let sequence = self.sequence + 1;
        let slot = encode(sequence, identity);
        let offset = (sequence % 2) as usize * SLOT_STRIDE;
        match &mut self.place {
            Place::Disk {
                path,
                file: Some(file),
            } => file
                .write_all_at(&slot, offset as u64)
                .and_then(|()| file.sync_all())
                .map_err(file_error("write", path))?,
            Place::Disk { path, file } => {
                let mut contents = vec![0; FILE_BYTES];
                contents[offset..offset + SLOT_BYTES].copy_from_slice(&slot);
                create_durably(path, &contents)?;
                let opened = OpenOptions::new().read(true).write(true).open(&*path);
                *file = Some(opened.map_err(file_error("open", path))?);
            }
            Place::Memory(device) => {
                device.write(offset, &slot).map_err(Error::SaveIdentity)?;
            }
        }
        self.sequence = sequence;
        self.current = Some(identity.clone());
        Ok(())
    }
}

/// Reads at most a whole file's worth: what lies beyond cannot be ours.
fn read_bounded(file: &File) -> std::io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn encode(sequence: u64, identity: &Identity) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..MAGIC.len()].copy_from_slice(&MAGIC);
    let numbers: [u64; NUMBERS] = [
        sequence,
        identity.cluster_id,
        identity.node_id,
        identity.incarnation,
        identity.watermark.index,
        identity.watermark.term,
        identity.watermark.vote,
        (identity.instance >> 64) as u64,
        identity.instance as u64,
    ];
    for (at, number) in numbers.iter().enumerate() {
        let start = MAGIC.len() + 8 * at;
        slot[start..start + 8].copy_from_slice(&number.to_be_bytes());
    }
    let checked = SLOT_BYTES - CHECKSUM_BYTES;
    let checksum = crc32c::crc32c(&slot[..checked]);
    slot[checked..].copy_from_slice(&checksum.to_be_bytes());
    slot
}

/// The newest intact slot of the file.
fn decode(bytes: &[u8]) -> Option<(u64, Identity)> {
    [0, SLOT_STRIDE]
        .into_iter()
        .filter_map(|start| {
            [NUMBERS, NUMBERS_V1].into_iter().find_map(|numbers| {
                decode_slot(bytes.get(start..start + slot_bytes(numbers))?, numbers)
            })
        })
        .max_by_key(|(sequence, _)| *sequence)
}

fn decode_slot(slot: &[u8], present: usize) -> Option<(u64, Identity)> {
    let (checked, checksum) = slot.split_last_chunk::<CHECKSUM_BYTES>()?;
    if u32::from_be_bytes(*checksum) != crc32c::crc32c(checked) {
        return None;
    }
    let mut rest = checked.strip_prefix(&MAGIC)?;
    let mut numbers = [0; NUMBERS];
    for number in &mut numbers[..present] {
        let (head, tail) = rest.split_first_chunk::<8>()?;
        *number = u64::from_be_bytes(*head);
        rest = tail;
    }
    let [
        sequence,
        cluster_id,
        node_id,
        incarnation,
        index,
        term,
        vote,
        instance_high,
        instance_low,
    ] = numbers;
    let identity = Identity {
        cluster_id,
        node_id,
        incarnation,
        watermark: Watermark { index, term, vote },
        instance: u128::from(instance_high) << 64 | u128::from(instance_low),
    };
    Some((sequence, identity))
}
