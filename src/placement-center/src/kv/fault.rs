//! What goes wrong below the store: bytes on disk that nobody wrote, and how a reader learns of it.
//! Never a client's doing.

use super::Refusal;
use storage::Family;

/// Bytes in the store that no version of this program wrote.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{reason}, in {}", family.0)]
pub(super) struct Damaged {
    /// Where the record is.
    pub(super) family: Family,
    /// What is wrong with it.
    pub(super) reason: &'static str,
}

impl From<Damaged> for storage::Error {
    fn from(damaged: Damaged) -> Self {
        storage::Error::Corrupt(damaged.to_string())
    }
}

/// Why a read gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ReadFailure {
    /// The request is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The storage engine failed, or answered with nonsense.
    #[error("read the key-value store")]
    Storage(#[from] storage::Error),
}

impl From<Damaged> for ReadFailure {
    fn from(damaged: Damaged) -> Self {
        ReadFailure::Storage(damaged.into())
    }
}
