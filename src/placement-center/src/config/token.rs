//! The secret that members of one cluster share. Owns that it is never shown, not how it is proved.

use std::fmt;

/// Shortest and longest token in bytes. Whoever guesses the token may join, so a word is not enough.
const TOKEN_BYTES_MIN: usize = 16;
const TOKEN_BYTES_MAX: usize = 1024;

/// The cluster's secret, or nothing. Prints as whether it is set, never as what it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClusterToken(String);

impl ClusterToken {
    /// Takes a secret; an empty text is no secret.
    ///
    /// # Errors
    /// What a token must look like, when this one does not.
    pub fn new(secret: &str) -> Result<ClusterToken, String> {
        let length_valid = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&secret.len());
        let printable = secret.bytes().all(|byte| byte.is_ascii_graphic());
        if secret.is_empty() || (length_valid && printable) {
            return Ok(ClusterToken(secret.to_owned()));
        }
        Err(format!(
            "expected {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} printable ASCII characters without spaces; \
             `openssl rand -hex 32` makes a good one"
        ))
    }

    /// Whether there is a secret.
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    /// The secret itself, for proving and checking it; empty when there is none.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClusterToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() {
            "ClusterToken(set)"
        } else {
            "ClusterToken(not set)"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_enough_and_printable() {
        for good in ["", "0123456789abcdef", &"x".repeat(1024)] {
            let token = ClusterToken::new(good).expect(good);
            assert_eq!((token.expose(), token.is_set()), (good, !good.is_empty()));
        }
        for bad in [
            "short",
            "0123456789 abcdef",
            "0123456789abcde\u{e9}",
            &"x".repeat(1025),
        ] {
            let told = ClusterToken::new(bad).expect_err(bad);
            assert!(!told.contains(bad), "{told}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = ClusterToken::new("0123456789abcdef").expect("a token");
        assert_eq!(format!("{token:?}"), "ClusterToken(set)");
    }
}
