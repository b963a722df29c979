//! Proofs that a peer knows the cluster token. The token itself never travels; each proof answers a nonce of the
//! other side, so that one that was overheard is worth nothing later. They say who is there, not that nobody listens
//! or sits between: the peer port belongs into a network of its own.

use crate::config::ClusterToken;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a nonce.
pub(super) const NONCE_BYTES: usize = 32;

/// Separate the two proofs, so that neither can be given back as the other.
const CONNECTING: &[u8] = b"placement-center peer v1: connecting";
const ACCEPTING: &[u8] = b"placement-center peer v1: accepting";

/// What a proof is about: all that both sides have said so far.
pub(super) struct Proof<'a> {
    label: &'static [u8],
    nonce: &'a [u8],
    hello: &'a [u8],
    protocol: u32,
}

impl<'a> Proof<'a> {
    /// The connecting side's, of its encoded hello, against the nonce of the accepting side.
    pub(super) fn connecting(nonce: &'a [u8], hello: &'a [u8]) -> Proof<'a> {
        Proof {
            label: CONNECTING,
            nonce,
            hello,
            protocol: 0,
        }
    }

    /// The accepting side's, of the version it chose, against the nonce in the hello.
    pub(super) fn accepting(nonce: &'a [u8], hello: &'a [u8], protocol: u32) -> Proof<'a> {
        Proof {
            label: ACCEPTING,
            nonce,
            hello,
            protocol,
        }
    }

    /// Makes it.
    pub(super) fn make(&self, token: &ClusterToken) -> Vec<u8> {
        self.sum(token).finalize().into_bytes().to_vec()
    }

    /// Checks it, in constant time.
    pub(super) fn holds(&self, token: &ClusterToken, proof: &[u8]) -> bool {
        self.sum(token).verify_slice(proof).is_ok()
    }

    fn sum(&self, token: &ClusterToken) -> Hmac<Sha256> {
        let key = token.expose().as_bytes();
        let mut sum = Hmac::new_from_slice(key).expect("HMAC takes keys of every length");
        let protocol = self.protocol.to_le_bytes();
        for part in [self.label, self.nonce, self.hello, &protocol] {
            // Behind its length, so that no two lists of parts are the same bytes.
            sum.update(&(part.len() as u64).to_le_bytes());
            sum.update(part);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_what_was_said_and_nothing_else() {
        let token = ClusterToken::new("the-token-of-these-tests").unwrap();
        let other = ClusterToken::new("another-token-than-theirs").unwrap();
        let proof = Proof::connecting(b"nonce", b"hello").make(&token);
        assert!(Proof::connecting(b"nonce", b"hello").holds(&token, &proof));
        assert!(!Proof::connecting(b"nonce", b"hello").holds(&other, &proof));
        assert!(!Proof::connecting(b"another", b"hello").holds(&token, &proof));
        assert!(!Proof::connecting(b"nonce", b"another").holds(&token, &proof));
        assert!(!Proof::connecting(b"nonceh", b"ello").holds(&token, &proof));
        assert!(!Proof::accepting(b"nonce", b"hello", 0).holds(&token, &proof));
        assert!(!Proof::connecting(b"nonce", b"hello").holds(&token, &proof[1..]));
        let proof = Proof::accepting(b"nonce", b"hello", 1).make(&token);
        assert!(!Proof::accepting(b"nonce", b"hello", 2).holds(&token, &proof));
    }
}
