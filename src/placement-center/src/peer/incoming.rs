//! Who is connected to this node: bounds on those who have not proved themselves, and one connection of each kind
//! for each member.

use parking_lot::Mutex;
use protocol::placement::internal::v1::peer_hello::Purpose;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Connections that have not proved themselves. A stranger holds a place for the time of a handshake at most, and
/// no more memory than its longest frame.
const STRANGERS_MAX: usize = 64;
/// Of one address, so that a single host cannot take all places.
const STRANGERS_PER_ADDRESS_MAX: usize = 16;

/// The connections under way.
#[derive(Debug, Default)]
pub(super) struct Incoming(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    strangers: BTreeMap<IpAddr, usize>,
    /// By member and purpose; the number tells a connection from the one that took its place.
    members: BTreeMap<(u64, i32), (u64, CancellationToken)>,
    last: u64,
}

impl Incoming {
    /// A place for somebody unknown, until dropped; `None` if there is none.
    pub(super) fn stranger(self: &Arc<Self>, address: IpAddr) -> Option<Stranger> {
        let mut places = self.0.lock();
        let all: usize = places.strangers.values().sum();
        let here = places.strangers.get(&address).copied().unwrap_or(0);
        if all >= STRANGERS_MAX || here >= STRANGERS_PER_ADDRESS_MAX {
            return None;
        }
        places.strangers.insert(address, here + 1);
        Some(Stranger {
            incoming: Arc::clone(self),
            address,
        })
    }

    /// The place of a member for a purpose. It has one: whoever connects again has given up the connection it had,
    /// even if this side has not noticed yet.
    pub(super) fn member(self: &Arc<Self>, from: u64, purpose: Purpose) -> Member {
        let mut places = self.0.lock();
        places.last += 1;
        let (number, replaced) = (places.last, CancellationToken::new());
        let key = (from, purpose.into());
        if let Some((_, former)) = places.members.insert(key, (number, replaced.clone())) {
            former.cancel();
        }
        Member {
            incoming: Arc::clone(self),
            key,
            number,
            replaced,
        }
    }
}

/// The place of a stranger.
#[derive(Debug)]
pub(super) struct Stranger {
    incoming: Arc<Incoming>,
    address: IpAddr,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let strangers = &mut self.incoming.0.lock().strangers;
        if let Some(count) = strangers.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                strangers.remove(&self.address);
            }
        }
    }
}

/// The place of a member.
#[derive(Debug)]
pub(super) struct Member {
    incoming: Arc<Incoming>,
    key: (u64, i32),
    number: u64,
    replaced: CancellationToken,
}

impl Member {
    /// Resolves when the member has connected again. Cancel-safe.
    pub(super) async fn replaced(&self) {
        self.replaced.cancelled().await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let members = &mut self.incoming.0.lock().members;
        let is_mine = |(number, _): &(u64, CancellationToken)| *number == self.number;
        if members.get(&self.key).is_some_and(is_mine) {
            members.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn strangers_are_bounded_for_each_address_and_in_all() {
        let incoming = Arc::new(Incoming::default());
        let mut places = Vec::new();
        while let Some(place) = incoming.stranger(address(1)) {
            places.push(place);
        }
        assert_eq!(places.len(), STRANGERS_PER_ADDRESS_MAX);
        for last in 2..200 {
            places.extend(incoming.stranger(address(last)));
        }
        assert_eq!(places.len(), STRANGERS_MAX);
        places.clear();
        assert!(incoming.0.lock().strangers.is_empty());
        assert!(incoming.stranger(address(1)).is_some());
    }

    #[test]
    fn a_member_has_one_connection_of_each_kind() {
        let incoming = Arc::new(Incoming::default());
        let first = incoming.member(2, Purpose::Messages);
        let other = incoming.member(2, Purpose::Requests);
        let second = incoming.member(2, Purpose::Messages);
        assert!(first.replaced.is_cancelled());
        assert!(!other.replaced.is_cancelled() && !second.replaced.is_cancelled());
        // The one that was replaced leaves the place to the other.
        drop(first);
        drop(incoming.member(2, Purpose::Messages));
        assert!(second.replaced.is_cancelled());
        drop((other, second));
        assert!(incoming.0.lock().members.is_empty());
    }
}
