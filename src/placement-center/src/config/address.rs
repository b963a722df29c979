//! Addresses as text: what `host:port` may look like, and which ones a node tells to others.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Config;

/// Where others reach a node, `host:port` each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The other members.
    pub peer: String,
    /// Clients, by gRPC.
    pub client: String,
    /// Clients, by HTTP.
    pub http: String,
}

impl Config {
    /// Where others reach this node, whose listeners are bound to these addresses. What is not configured
    /// follows: the peer address from `nodes`, the host of a listener that is bound to every address from
    /// the peer address.
    pub fn advertised(&self, peer: SocketAddr, grpc: SocketAddr, http: SocketAddr) -> Advertised {
        let listed = self
            .nodes
            .get(&self.node_id)
            .filter(|_| self.join.is_empty());
        let configured = self.advertise.peer.as_ref().or(listed);
        let peer = configured.cloned().unwrap_or_else(|| peer.to_string());
        let host = host_of(&peer).to_owned();
        let of_listener = |configured: &Option<String>, bound: SocketAddr| {
            configured.clone().unwrap_or_else(|| {
                if bound.ip().is_unspecified() {
                    format!("{host}:{}", bound.port())
                } else {
                    bound.to_string()
                }
            })
        };
        Advertised {
            client: of_listener(&self.advertise.client, grpc),
            http: of_listener(&self.advertise.http, http),
            peer,
        }
    }

    /// [`Config::advertised`] for listeners bound as configured.
    pub(super) fn advertised_as_configured(&self) -> Advertised {
        self.advertised(
            SocketAddr::new(self.peer_addr, self.peer_port),
            SocketAddr::new(self.addr, self.grpc_port),
            SocketAddr::new(self.addr, self.http_port),
        )
    }
}

/// Accepts `host:port` and `[ipv6]:port`; the host is not resolved, because at the first start of a
/// cluster the names of the other members may not exist yet.
pub(super) fn check_host_port(address: &str) -> Result<(), &'static str> {
    const SHAPE: &str = "expected \"host:port\", for example \"127.0.0.1:8872\" or \"[::1]:8872\"";
    let (host, port) = address.rsplit_once(':').ok_or(SHAPE)?;
    let port: u16 = port
        .parse()
        .map_err(|_| "its port must be a number from 1 to 65535")?;
    if port == 0 {
        return Err("its port must be a number from 1 to 65535");
    }
    let host_valid = match bracketed(host) {
        Some(inside) => inside.parse::<Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.len() <= 253 && host.chars().all(allowed)
        }
    };
    if host_valid { Ok(()) } else { Err(SHAPE) }
}

/// The host of a checked `host:port`, brackets included.
fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

fn bracketed(host: &str) -> Option<&str> {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
}

/// The address in a checked `host:port`, when its host is not a name.
fn ip_of(address: &str) -> Option<IpAddr> {
    let host = host_of(address);
    bracketed(host).unwrap_or(host).parse().ok()
}

/// Whether only this machine can be meant. A name other than localhost may mean any machine.
pub(super) fn is_loopback(address: &str) -> bool {
    match ip_of(address) {
        Some(ip) => ip.is_loopback(),
        None => host_of(address).eq_ignore_ascii_case("localhost"),
    }
}

/// Whether nobody can connect to it, because it means every address of a machine.
pub(super) fn is_unspecified(address: &str) -> bool {
    ip_of(address).is_some_and(|ip| ip.is_unspecified())
}
