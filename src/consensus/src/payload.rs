//! How commands travel in a log entry: one version byte, the leader's time stamp, then the commands,
//! each behind its length. Knows nothing of what a command means.
//!
//! ```text
//! version: u8 = 1 | time_ms: u64 LE | (length: u32 LE | bytes)*
//! ```
//! An empty payload is the entry a new leader starts its term with; it carries no command.

use bytes::{Buf, Bytes};

/// Version this code writes; the only one it reads.
pub const VERSION: u8 = 1;
/// Bytes before the first command.
pub const HEADER_BYTES: usize = 9;
/// Bytes before each command.
pub const FRAME_BYTES: usize = 4;

/// What is wrong with a payload. All stop the node: skipping a command would diverge from the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Written by a version of this software that this one does not know.
    #[error(
        "entry payload of version {0}, this node understands version 1: run a newer version of the software"
    )]
    UnknownVersion(u8),
    /// Ends within the header.
    #[error("entry payload ends within its header")]
    HeaderTruncated,
    /// Ends within a command.
    #[error("entry payload ends within a command")]
    CommandTruncated,
}

/// Collects commands into one payload.
#[derive(Debug)]
pub struct Encoder {
    buffer: Vec<u8>,
    commands: usize,
}

impl Encoder {
    /// An empty payload stamped `time_ms`, with room for `bytes` of framed commands.
    pub fn new(time_ms: u64, bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_BYTES + bytes);
        buffer.push(VERSION);
        buffer.extend_from_slice(&time_ms.to_le_bytes());
        Encoder {
            buffer,
            commands: 0,
        }
    }

    /// Appends a command.
    ///
    /// # Panics
    /// If the command is 4 GiB or longer; admission bounds it far below.
    pub fn push(&mut self, command: &[u8]) {
        let length =
            u32::try_from(command.len()).expect("admission bounds a command to command_bytes_max");
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(command);
        self.commands += 1;
    }

    /// Commands so far.
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// Whether `command_bytes` more would stay within `bytes_max`.
    pub fn fits(&self, command_bytes: usize, bytes_max: usize) -> bool {
        self.buffer.len() + FRAME_BYTES + command_bytes <= bytes_max
    }

    /// The payload.
    pub fn finish(self) -> Vec<u8> {
        self.buffer
    }
}

/// The time stamp of a payload, `None` if it carries none (empty entry) or is not understood.
pub fn time_ms(payload: &[u8]) -> Option<u64> {
    let header: &[u8; HEADER_BYTES] = payload.first_chunk()?;
    (header[0] == VERSION).then(|| {
        let mut stamp = [0; 8];
        stamp.copy_from_slice(&header[1..]);
        u64::from_le_bytes(stamp)
    })
}

/// Walks the commands of a payload without copying them.
#[derive(Debug)]
pub struct Decoder {
    rest: Bytes,
    time_ms: u64,
}

impl Decoder {
    /// Reads the header of a payload that is not empty.
    ///
    /// # Errors
    /// [`PayloadError`] if the version is unknown or the header incomplete.
    pub fn new(mut payload: Bytes) -> Result<Self, PayloadError> {
        let version = *payload.first().ok_or(PayloadError::HeaderTruncated)?;
        if version != VERSION {
            return Err(PayloadError::UnknownVersion(version));
        }
        if payload.len() < HEADER_BYTES {
            return Err(PayloadError::HeaderTruncated);
        }
        payload.advance(1);
        let time_ms = payload.get_u64_le();
        Ok(Decoder {
            rest: payload,
            time_ms,
        })
    }

    /// The leader's stamp.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }
}

impl Iterator for Decoder {
    type Item = Result<Bytes, PayloadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        if self.rest.len() < FRAME_BYTES {
            self.rest.clear();
            return Some(Err(PayloadError::CommandTruncated));
        }
        let length = self.rest.get_u32_le() as usize;
        if self.rest.len() < length {
            self.rest.clear();
            return Some(Err(PayloadError::CommandTruncated));
        }
        Some(Ok(self.rest.split_to(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(time_ms: u64, commands: &[Vec<u8>]) -> Bytes {
        let mut encoder = Encoder::new(time_ms, 0);
        for command in commands {
            encoder.push(command);
        }
        encoder.finish().into()
    }

    fn decode(payload: Bytes) -> Result<(u64, Vec<Bytes>), PayloadError> {
        let decoder = Decoder::new(payload)?;
        let stamp = decoder.time_ms();
        Ok((stamp, decoder.collect::<Result<_, _>>()?))
    }

    proptest! {
        #[test]
        fn round_trip(stamp: u64, commands in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let payload = encode(stamp, &commands);
            prop_assert_eq!(time_ms(&payload), Some(stamp));
            let (read_stamp, read) = decode(payload).expect("what was encoded decodes");
            prop_assert_eq!(read_stamp, stamp);
            prop_assert_eq!(read.iter().map(|c| c.to_vec()).collect::<Vec<_>>(), commands);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(bytes.into());
        }
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_list() {
        let whole = encode(7, &[b"first".to_vec(), b"second".to_vec()]);
        let boundaries = [HEADER_BYTES, HEADER_BYTES + FRAME_BYTES + 5, whole.len()];
        for length in 0..=whole.len() {
            let result = decode(whole.slice(..length));
            assert_eq!(
                result.is_ok(),
                boundaries.contains(&length),
                "cut at {length}"
            );
        }
    }

    #[test]
    fn unknown_version_says_so() {
        let error = decode(Bytes::from_static(b"\x02whatever")).expect_err("version 2 is unknown");
        assert_eq!(error, PayloadError::UnknownVersion(2));
        assert!(error.to_string().contains("version 2"), "{error}");
    }

    #[test]
    fn fits_counts_header_and_frame() {
        let encoder = Encoder::new(0, 0);
        assert!(encoder.fits(10, HEADER_BYTES + FRAME_BYTES + 10));
        assert!(!encoder.fits(11, HEADER_BYTES + FRAME_BYTES + 10));
    }
}
