//! Which process is at the other end of a connection on this machine, read from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddrV4;

/// The member among `processes` (number to process id) that owns the socket bound to `local` and connected
/// to `remote`.
pub(crate) fn owner(
    local: SocketAddrV4,
    remote: SocketAddrV4,
    processes: &BTreeMap<u64, u32>,
) -> Option<u64> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = inode(&table, local, remote)?;
    let holds = |pid: u32| holds(pid, &format!("socket:[{inode}]"));
    processes
        .iter()
        .find(|(_, pid)| holds(**pid))
        .map(|(member, _)| *member)
}

/// The inode in the kernel's table of TCP sockets.
fn inode(table: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<&str> {
    let (local, remote) = (written(local), written(remote));
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it =
            fields.get(1) == Some(&local.as_str()) && fields.get(2) == Some(&remote.as_str());
        is_it.then(|| fields.get(9).copied()).flatten()
    })
}

/// An address as the kernel writes it: the bytes of the IP address as one number of the machine.
fn written(address: SocketAddrV4) -> String {
    let ip = u32::from_ne_bytes(address.ip().octets());
    format!("{ip:08X}:{:04X}", address.port())
}

fn holds(pid: u32, socket: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| target.as_os_str() == socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener, TcpStream};

    #[test]
    fn the_owner_of_a_connection_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let _stream = TcpStream::connect(address).expect("it listens");
        let (_accepted, peer) = listener.accept().expect("connected");
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (peer, address) else {
            panic!("{peer} or {address} is not of version 4")
        };
        let own = BTreeMap::from([(7, std::process::id())]);
        assert_eq!(owner(local, remote, &own), Some(7));
        assert_eq!(owner(local, remote, &BTreeMap::from([(7, 1)])), None);
    }
}
