//! Ports for servers under test.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::random::Random;
use crate::server::Kind;
use crate::settings;

/// Below the range from which the kernel takes the ports of outgoing connections, so that no client of a busy
/// suite sits on the port of a server that is about to start again.
const FIRST: u16 = 10_000;
const COUNT: u64 = 22_000;

/// Ports tried before the search is given up.
const ATTEMPTS: usize = 1000;

/// What one server listens on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) grpc: u16,
    pub(crate) http: u16,
    pub(crate) peer: u16,
}

/// Ports that were free a moment ago. They are held together, so they differ from each other.
pub(crate) fn free(kind: Kind) -> Result<Ports> {
    let mut random = Random::from_clock();
    let (grpc, http, peer) = (hold(&mut random)?, hold(&mut random)?, hold(&mut random)?);
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let grpc = port(&grpc)?;
    Ok(Ports {
        grpc,
        http: match kind {
            Kind::Center => port(&http)?,
            Kind::Etcd => grpc,
        },
        peer: port(&peer)?,
    })
}

/// The ports of an earlier server in this folder: a node keeps its peer address for its whole life.
pub(crate) fn before(kind: Kind, folder: &Path) -> Result<Option<Ports>> {
    let Ok(config) = std::fs::read_to_string(settings::file(folder)) else {
        return Ok(None);
    };
    let line = config
        .lines()
        .find_map(|line| line.strip_prefix("peer_port = "));
    let peer = line
        .context("the configuration names a peer port")?
        .parse()?;
    Ok(Some(Ports {
        peer,
        ..free(kind)?
    }))
}

fn hold(random: &mut Random) -> Result<TcpListener> {
    for _ in 0..ATTEMPTS {
        let port = FIRST + random.below(COUNT) as u16;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return Ok(listener);
        }
    }
    bail!("no free port in {ATTEMPTS} attempts")
}
