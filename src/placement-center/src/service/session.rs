//! Session reads: a client that says which revision it has seen gets no answer from an older state, on
//! whichever member it asks. With the revision of its last write that is read-your-writes, with that of its
//! last read monotonic reads.

use super::deadline::Cut;
use super::{Context, Deadline, Failure};
use http::HeaderMap;

/// Metadata key and HTTP header: the highest revision the client has seen.
pub const MIN_REVISION_METADATA: &str = "min-revision";

/// The revision that a request demands, `None` if it demands none.
///
/// # Errors
/// [`Failure::Invalid`] when the value is no revision.
pub fn min_revision(headers: &HeaderMap) -> Result<Option<i64>, Failure> {
    let Some(value) = headers.get(MIN_REVISION_METADATA) else {
        return Ok(None);
    };
    let revision = value.to_str().ok().and_then(|text| text.parse().ok());
    match revision {
        Some(revision) if revision >= 0 => Ok(Some(revision)),
        _ => Err(Failure::Invalid(
            "min-revision must be a revision, 0 or more",
        )),
    }
}

impl Context {
    /// Returns once this node has applied `revision`.
    ///
    /// # Errors
    /// [`Failure::Behind`] at the deadline; the request had no effect.
    pub async fn reached(&self, revision: i64, deadline: Deadline) -> Result<(), Failure> {
        let reached = self.published.kv.reached(revision);
        match deadline.within(&self.cut, reached).await {
            Ok(()) => Ok(()),
            Err(Cut::TimedOut) => Err(Failure::Behind {
                leader: self.handle.status().leader,
            }),
            Err(Cut::Stopping) => Err(Failure::Stopping(super::Outcome::NotApplied)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn told(value: &str) -> Result<Option<i64>, Failure> {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::try_from(value).expect("a header");
        headers.insert(MIN_REVISION_METADATA, value);
        min_revision(&headers)
    }

    #[test]
    fn a_revision_is_a_number_of_the_store() {
        assert_eq!(min_revision(&HeaderMap::new()), Ok(None));
        assert_eq!(told("0"), Ok(Some(0)));
        assert_eq!(told("9223372036854775807"), Ok(Some(i64::MAX)));
        for wrong in ["", "-1", "9223372036854775808", "1.5", "seven", "1 "] {
            assert!(matches!(told(wrong), Err(Failure::Invalid(_))), "{wrong:?}");
        }
    }
}
