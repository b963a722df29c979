//! Proofs that a peer knows the cluster token. The token itself never travels; each proof answers a nonce of the
//! other side, so that one that was overheard is worth nothing.

use crate::config::ClusterToken;
use hmac::{Hmac, KeyInit, Mac};
use protocol::placement::internal::v1::{PeerChallenge, PeerHello};
use sha2::Sha256;

/// Bytes of a nonce.
pub(super) const NONCE_BYTES: usize = 32;

/// Separate the two proofs, so that neither can be given back as the other.
const CONNECTING: &[u8] = b"placement-center peer v1: connecting";
const ACCEPTING: &[u8] = b"placement-center peer v1: accepting";

type Sum = Hmac<Sha256>;

fn sum(token: &ClusterToken, parts: &[&[u8]]) -> Sum {
    let mut sum =
        Sum::new_from_slice(token.expose().as_bytes()).expect("HMAC takes keys of every length");
    for part in parts {
        sum.update(&(part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    sum
}

fn connecting(token: &ClusterToken, challenge: &PeerChallenge, hello: &PeerHello) -> Sum {
    let bare = PeerHello {
        proof: Default::default(),
        ..hello.clone()
    };
    let bare = prost::Message::encode_to_vec(&bare);
    sum(token, &[CONNECTING, &challenge.nonce, &bare])
}

fn accepting(token: &ClusterToken, challenge: &PeerChallenge, hello: &PeerHello) -> Sum {
    sum(token, &[ACCEPTING, &hello.nonce, &challenge.nonce])
}

/// The connecting side's proof.
pub(super) fn prove_connecting(
    token: &ClusterToken,
    challenge: &PeerChallenge,
    hello: &PeerHello,
) -> Vec<u8> {
    connecting(token, challenge, hello)
        .finalize()
        .into_bytes()
        .to_vec()
}

/// Checks it, in constant time.
pub(super) fn proves_connecting(
    token: &ClusterToken,
    challenge: &PeerChallenge,
    hello: &PeerHello,
) -> bool {
    connecting(token, challenge, hello)
        .verify_slice(&hello.proof)
        .is_ok()
}

/// The accepting side's proof.
pub(super) fn prove_accepting(
    token: &ClusterToken,
    challenge: &PeerChallenge,
    hello: &PeerHello,
) -> Vec<u8> {
    accepting(token, challenge, hello)
        .finalize()
        .into_bytes()
        .to_vec()
}

/// Checks it, in constant time.
pub(super) fn proves_accepting(
    token: &ClusterToken,
    challenge: &PeerChallenge,
    hello: &PeerHello,
    proof: &[u8],
) -> bool {
    accepting(token, challenge, hello)
        .verify_slice(proof)
        .is_ok()
}
