//! How long a request may take: what the client asked for in `grpc-timeout`, never longer than the
//! configured bound. A wait also ends when the node stops and has no time left.

use http::HeaderMap;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;

/// gRPC allows at most this many digits.
const TIMEOUT_DIGITS_MAX: usize = 8;

/// The moment a request began, and the moment it must have ended.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    started: Instant,
    at: Instant,
}

/// Why a wait ended without its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    TimedOut,
    Stopping,
}

impl Deadline {
    /// A deadline `timeout` from now.
    pub fn after(timeout: Duration) -> Deadline {
        let started = Instant::now();
        Deadline {
            started,
            at: started + timeout,
        }
    }

    /// The deadline of a gRPC request: its `grpc-timeout`, `timeout_max` at most.
    pub fn of_request(metadata: &MetadataMap, timeout_max: Duration) -> Deadline {
        Deadline::of_headers(metadata.as_ref(), timeout_max)
    }

    /// The same from the headers that the metadata was.
    pub fn of_headers(headers: &HeaderMap, timeout_max: Duration) -> Deadline {
        let asked = headers
            .get("grpc-timeout")
            .and_then(|value| parse(value.as_bytes()));
        Deadline::after(asked.map_or(timeout_max, |asked| asked.min(timeout_max)))
    }

    /// When the request must have ended.
    pub fn at(self) -> Instant {
        self.at
    }

    /// This deadline, but at most `time` from now.
    pub(super) fn no_later_than(self, time: Duration) -> Deadline {
        Deadline {
            at: self.at.min(Instant::now() + time),
            ..self
        }
    }

    /// Time since the request began.
    pub fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    /// `future`'s result, unless the deadline passes or the node cuts its requests first. Cancel-safe
    /// when `future` is.
    pub(super) async fn within<F: Future>(
        self,
        cut: &CancellationToken,
        future: F,
    ) -> Result<F::Output, Cut> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = cut.cancelled() => Err(Cut::Stopping),
            () = tokio::time::sleep_until(self.at) => Err(Cut::TimedOut),
        }
    }
}

/// Parses the gRPC wire form: up to eight digits and a unit. Nonsense counts as absent, as gRPC has it.
fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty()
        || digits.len() > TIMEOUT_DIGITS_MAX
        || !digits.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_of_a_timeout_is_understood() {
        let cases: [(&str, Option<Duration>); 12] = [
            ("5S", Some(Duration::from_secs(5))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("5", None),
            ("-5S", None),
            ("5x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_client_shortens_the_deadline_but_cannot_prolong_it() {
        let mut metadata = MetadataMap::new();
        let max = Duration::from_secs(5);
        let timeout = |metadata: &MetadataMap| {
            let deadline = Deadline::of_request(metadata, max);
            deadline.at - deadline.started
        };
        assert_eq!(timeout(&metadata), max);
        metadata.insert("grpc-timeout", "100m".parse().expect("ascii"));
        assert_eq!(timeout(&metadata), Duration::from_millis(100));
        metadata.insert("grpc-timeout", "1H".parse().expect("ascii"));
        assert_eq!(timeout(&metadata), max);
    }

    #[tokio::test]
    async fn a_wait_ends_at_the_deadline_or_when_the_node_cuts_it() {
        let cut = CancellationToken::new();
        let hour = Deadline::after(Duration::from_secs(3600));
        let instant = Deadline::after(Duration::ZERO);
        let pending = std::future::pending::<()>;
        assert_eq!(instant.within(&cut, async { 7 }).await, Ok(7));
        assert_eq!(instant.within(&cut, pending()).await, Err(Cut::TimedOut));
        cut.cancel();
        assert_eq!(hour.within(&cut, pending()).await, Err(Cut::Stopping));
        assert_eq!(hour.within(&cut, async { 7 }).await, Ok(7));
    }
}
