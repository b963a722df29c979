//! The sockets a node serves on, bound before anything else exists, so that a port in use is found
//! before a directory is touched.

use crate::config::Config;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

/// Bound sockets of a node.
#[derive(Debug)]
pub struct Listeners {
    /// The gRPC services.
    pub grpc: TcpListener,
    /// The HTTP API.
    pub http: TcpListener,
    /// The other members.
    pub peer: TcpListener,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The gRPC services.
    pub grpc: SocketAddr,
    /// The HTTP API.
    pub http: SocketAddr,
    /// The other members.
    pub peer: SocketAddr,
}

/// A socket that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address} ({key})")]
pub struct BindError {
    /// The configuration key of the port.
    pub key: &'static str,
    /// What was asked for.
    pub address: SocketAddr,
    /// What the system said; `AddrInUse` when another process has the port.
    #[source]
    pub source: io::Error,
}

impl Listeners {
    /// Binds all ports of the configuration; port 0 takes a free one.
    ///
    /// # Errors
    /// The first port that could not be bound.
    pub fn bind(config: &Config) -> Result<Listeners, BindError> {
        Ok(Listeners {
            grpc: bind("grpc_port", config.addr, config.grpc_port)?,
            http: bind("http_port", config.addr, config.http_port)?,
            peer: bind("peer_port", config.peer_addr, config.peer_port)?,
        })
    }

    /// Where the sockets are bound.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            grpc: self.grpc.local_addr()?,
            http: self.http.local_addr()?,
            peer: self.peer.local_addr()?,
        })
    }
}

fn bind(key: &'static str, address: IpAddr, port: u16) -> Result<TcpListener, BindError> {
    let address = SocketAddr::new(address, port);
    TcpListener::bind(address).map_err(|source| BindError {
        key,
        address,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named() {
        let config = Config {
            grpc_port: 0,
            http_port: 0,
            peer_port: 0,
            ..Config::default()
        };
        let first = Listeners::bind(&config).expect("free ports");
        let taken = first.addresses().expect("bound").http;
        let error = Listeners::bind(&Config {
            http_port: taken.port(),
            ..config
        })
        .expect_err("taken");
        assert_eq!((error.key, error.address), ("http_port", taken));
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }
}
