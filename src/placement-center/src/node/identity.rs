//! Who a cluster is: an id every founding member computes alone and arrives at the same.

use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Separates this use of the hash from any other; part of the definition, never to change.
const DOMAIN: &[u8] = b"placement-center cluster id v1";

/// The cluster's id: xxh3-64 (seed 0) over [`DOMAIN`], then the name, then every founding member in
/// order of its id as (id, peer address). Text is preceded by its length in bytes, numbers are 64-bit
/// little-endian, so that no two different inputs run together. Zero, which stands for "no cluster" on
/// the wire, becomes one.
pub fn cluster_id(cluster_name: &str, founders: &BTreeMap<u64, String>) -> u64 {
    let mut input = DOMAIN.to_vec();
    let text = |input: &mut Vec<u8>, text: &str| {
        input.extend_from_slice(&(text.len() as u64).to_le_bytes());
        input.extend_from_slice(text.as_bytes());
    };
    text(&mut input, cluster_name);
    for (id, address) in founders {
        input.extend_from_slice(&id.to_le_bytes());
        text(&mut input, address);
    }
    xxh3_64(&input).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn founders(members: &[(u64, &str)]) -> BTreeMap<u64, String> {
        members
            .iter()
            .map(|(id, address)| (*id, (*address).to_owned()))
            .collect()
    }

    #[test]
    fn founders_agree_whatever_the_order_of_their_file() {
        let one = founders(&[(1, "a:1"), (2, "b:1")]);
        let other = founders(&[(2, "b:1"), (1, "a:1")]);
        assert_eq!(cluster_id("prod", &one), cluster_id("prod", &other));
    }

    #[test]
    fn different_clusters_differ() {
        let base = cluster_id("prod", &founders(&[(1, "a:1")]));
        assert_ne!(base, cluster_id("test", &founders(&[(1, "a:1")])));
        assert_ne!(base, cluster_id("prod", &founders(&[(2, "a:1")])));
        assert_ne!(base, cluster_id("prod", &founders(&[(1, "a:2")])));
        assert_ne!(base, cluster_id("proda", &founders(&[(1, ":1")])));
    }

    /// Computed once with the definition above.
    const PINNED: u64 = 9_502_015_764_940_599_365;

    #[test]
    fn the_definition_does_not_move() {
        // Directories on disk hold this value: a change here locks every existing node out.
        assert_eq!(
            cluster_id("placement-center", &founders(&[(1, "127.0.0.1:8872")])),
            PINNED
        );
    }
}
