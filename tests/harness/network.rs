//! The network between the members of a cluster under test, with faults: every member is reached through a
//! proxy that can hold back what one member sends to another, delay it, or cut the connections.
//!
//! What is held back arrives once the way is healed, as after a partition the kernel sends again what was
//! lost. Connections of processes that are not registered pass without faults.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::{sockets, wait};

/// Pieces of a connection that are under way or held back at once. What does not fit stays in the sender's
/// own buffers, as on a real network.
const PIECES: usize = 64;

/// Bytes of one piece.
const PIECE_BYTES: usize = 64 << 10;

/// How long a new connection may take to show whose it is: its process is registered just after its start.
const OWNER_TIME: Duration = Duration::from_secs(2);

/// The way from one member to another.
type Way = (u64, u64);

#[derive(Clone, Copy, Debug, Default)]
struct Fault {
    held: bool,
    delay: Duration,
    /// How often the connections were cut.
    cuts: u64,
}

/// The proxies. Dropping it ends them.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    addresses: BTreeMap<u64, String>,
    // An option, because a runtime may not be dropped inside another one the ordinary way.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Shared {
    faults: watch::Sender<BTreeMap<Way, Fault>>,
    members: Mutex<Members>,
}

#[derive(Clone, Debug, Default)]
struct Members {
    processes: BTreeMap<u64, u32>,
    ports: BTreeMap<u64, u16>,
}

impl Shared {
    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Network {
    /// A network with a proxy for each member.
    pub fn new(members: impl IntoIterator<Item = u64>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("network")
            .enable_all()
            .build()
            .context("start the network's thread")?;
        let shared = Arc::new(Shared {
            faults: watch::Sender::default(),
            members: Mutex::default(),
        });
        let mut network = Self {
            shared,
            addresses: BTreeMap::new(),
            runtime: Some(runtime),
        };
        for member in members {
            network.add(member)?;
        }
        Ok(network)
    }

    /// A proxy for one more member.
    pub fn add(&mut self, member: u64) -> Result<()> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("bind a proxy")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        self.addresses.insert(member, address.to_string());
        let runtime = self.runtime.as_ref().context("the network has ended")?;
        let _entered = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        runtime.spawn(accept(listener, member, Arc::clone(&self.shared)));
        Ok(())
    }

    /// Where others reach each member, `host:port`.
    pub fn addresses(&self) -> &BTreeMap<u64, String> {
        &self.addresses
    }

    /// Tells which process a member is and on which port it really listens.
    pub fn register(&self, member: u64, pid: u32, port: u16) {
        let mut members = self.shared.members();
        members.processes.insert(member, pid);
        members.ports.insert(member, port);
    }

    /// Holds back what `from` sends to `to`; the other way stays open.
    pub fn hold(&self, from: u64, to: u64) {
        self.change(from, to, |fault| fault.held = true);
    }

    /// Cuts a member off from all others, both ways.
    pub fn isolate(&self, member: u64) {
        for other in self.others(member) {
            self.hold(member, other);
            self.hold(other, member);
        }
    }

    /// Delays what `from` sends to `to`.
    pub fn delay(&self, from: u64, to: u64, delay: Duration) {
        self.change(from, to, |fault| fault.delay = delay);
    }

    /// Ends the connections between two members; new ones are accepted.
    pub fn sever(&self, one: u64, other: u64) {
        self.change(one, other, |fault| fault.cuts += 1);
    }

    /// Lets everything pass again, at once and in its order.
    pub fn heal(&self) {
        self.shared.faults.send_modify(|faults| {
            for fault in faults.values_mut() {
                fault.held = false;
                fault.delay = Duration::ZERO;
            }
        });
    }

    fn others(&self, member: u64) -> Vec<u64> {
        let known = self.addresses.keys().copied();
        known.filter(|other| *other != member).collect()
    }

    fn change(&self, from: u64, to: u64, change: impl FnOnce(&mut Fault)) {
        let faults = &self.shared.faults;
        faults.send_modify(|faults| change(faults.entry((from, to)).or_default()));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, to: u64, shared: Arc<Shared>) {
    // Ends with the runtime.
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let at = listener.local_addr();
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A connection that fails is what a network does; whoever opened it sees its end.
                    if let Ok(at) = at {
                        let _ = relay(stream, (peer, at), to, shared).await;
                    }
                });
            }
            Err(error) => {
                eprintln!("a proxy accepts no more: {error}");
                return;
            }
        }
    }
}

/// Carries one connection until one side ends it or it is cut.
async fn relay(
    opened: TcpStream,
    (local, remote): (SocketAddr, SocketAddr),
    to: u64,
    shared: Arc<Shared>,
) -> Result<()> {
    let from = opener(local, remote, &shared).await?;
    let mut faults = shared.faults.subscribe();
    let cuts = |faults: &BTreeMap<Way, Fault>| {
        let count = |way| faults.get(&way).map_or(0, |fault| fault.cuts);
        count((from, to)) + count((to, from))
    };
    let before = cuts(&faults.borrow_and_update());
    open_way(&mut faults, (from, to)).await?;
    let port = shared.members().ports.get(&to).copied();
    let port = port.context("the member has not started yet")?;
    let reached = TcpStream::connect(("127.0.0.1", port)).await?;
    opened.set_nodelay(true)?;
    reached.set_nodelay(true)?;
    let ((opened_rx, opened_tx), (reached_rx, reached_tx)) =
        (opened.into_split(), reached.into_split());
    let there = pump(opened_rx, reached_tx, (from, to), faults.clone());
    let back = pump(reached_rx, opened_tx, (to, from), faults.clone());
    tokio::select! {
        _ = async { tokio::join!(there, back) } => Ok(()),
        cut = faults.wait_for(|faults| cuts(faults) != before) => {
            cut.map(drop).context("the network has ended")
        }
    }
}

/// The member that opened a connection; 0 if it is none.
async fn opener(local: SocketAddr, remote: SocketAddr, shared: &Shared) -> Result<u64> {
    let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (local, remote) else {
        bail!("proxies listen on 127.0.0.1");
    };
    let look = |local: SocketAddrV4| {
        let processes = shared.members().processes.clone();
        sockets::owner(local, remote, &processes)
    };
    let mut found = None;
    let looked = wait::until_async("the owner of a connection", OWNER_TIME, || {
        found = look(local);
        found.is_some()
    });
    // A stranger, or gone already.
    let _ = looked.await;
    Ok(found.unwrap_or(0))
}

/// Waits while a way is held.
async fn open_way(faults: &mut watch::Receiver<BTreeMap<Way, Fault>>, way: Way) -> Result<()> {
    let open = |faults: &BTreeMap<Way, Fault>| !faults.get(&way).is_some_and(|fault| fault.held);
    faults
        .wait_for(open)
        .await
        .map(drop)
        .context("the network has ended")
}

/// Carries one direction of a connection, each piece as late as the way's delay was when it came.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    mut faults: watch::Receiver<BTreeMap<Way, Fault>>,
) {
    let (pieces_tx, mut pieces_rx) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let delays = faults.clone();
    let reading = async move {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(count) = from.read(&mut buffer).await {
            let delay = delays
                .borrow()
                .get(&way)
                .map_or(Duration::ZERO, |fault| fault.delay);
            let piece = (Instant::now() + delay, buffer[..count].to_vec());
            if count == 0 || pieces_tx.send(piece).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = pieces_rx.recv().await {
            tokio::time::sleep_until(due).await;
            let passed = open_way(&mut faults, way).await.is_ok();
            if !passed || to.write_all(&piece).await.is_err() {
                return;
            }
        }
        // The end of a connection is news like any other.
        if open_way(&mut faults, way).await.is_ok() {
            let _ = to.shutdown().await;
        }
    };
    tokio::join!(reading, writing);
}

#[cfg(test)]
mod tests;
