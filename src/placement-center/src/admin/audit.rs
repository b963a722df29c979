//! The line in the audit log for each change of the cluster that somebody asked for, by whichever API.

use super::AdminError;
use std::fmt::{Debug, Display};

/// Where changes of the cluster are logged.
const AUDIT: &str = "audit";

/// Logs what became of `what`.
pub(crate) fn audited<T: Debug>(
    what: &impl Display,
    result: Result<T, AdminError>,
) -> Result<T, AdminError> {
    match &result {
        Ok(done) => log::info!(target: AUDIT, "{what}: done, {done:?}"),
        Err(error) => log::warn!(target: AUDIT, "{what}: {error}"),
    }
    result
}
