//! The configuration file of a server under test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::ports::Ports;
use crate::server::Options;

/// The place of a server in a cluster of several.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its number.
    pub node_id: u64,
    /// The secret of the cluster.
    pub token: String,
    /// Where other members reach it, `host:port`; when not given, at its own peer port.
    pub peer_address: Option<String>,
    /// How it came to the cluster.
    pub origin: Origin,
}

/// How a member comes to its cluster.
#[derive(Clone, Debug)]
pub enum Origin {
    /// It founds it with others: where each founder is reached, itself included.
    Founder(BTreeMap<u64, String>),
    /// It joins by any of these members.
    Joiner(Vec<String>),
}

/// Where the configuration is.
pub(crate) fn file(folder: &Path) -> PathBuf {
    folder.join("placement-center.toml")
}

pub(crate) fn write(folder: &Path, options: &Options, ports: Ports) -> Result<()> {
    let mut text = String::new();
    let Ports { grpc, http, peer } = ports;
    let (data, log) = (folder.join("data"), folder.join("log"));
    writeln!(text, "cluster_name = \"test\"\naddr = \"127.0.0.1\"")?;
    writeln!(
        text,
        "grpc_port = {grpc}\nhttp_port = {http}\npeer_port = {peer}"
    )?;
    writeln!(text, "data_path = {:?}", data.display().to_string())?;
    match &options.member {
        None => {
            writeln!(text, "node_id = 1")?;
            writeln!(text, "nodes = {{ 1 = \"127.0.0.1:{peer}\" }}")?;
        }
        Some(member) => write_member(&mut text, member)?,
    }
    writeln!(text, "{}", options.config)?;
    writeln!(text, "[log]\nlog_path = {:?}", log.display().to_string())?;
    fs::write(file(folder), text).context("write the configuration")?;
    // A test that cuts the power judges the server's care for its files, not ours for this one.
    for path in [file(folder).as_path(), folder]
        .into_iter()
        .chain(folder.parent())
    {
        File::open(path)
            .and_then(|file| file.sync_all())
            .context("sync the configuration")?;
    }
    Ok(())
}

fn write_member(text: &mut String, member: &Member) -> Result<()> {
    writeln!(text, "node_id = {}", member.node_id)?;
    writeln!(text, "cluster_token = {:?}", member.token)?;
    if let Some(address) = &member.peer_address {
        writeln!(text, "advertise_peer = {address:?}")?;
    }
    match &member.origin {
        Origin::Founder(founders) => {
            let listed: Vec<String> = founders
                .iter()
                .map(|(id, address)| format!("{id} = {address:?}"))
                .collect();
            writeln!(text, "nodes = {{ {} }}", listed.join(", "))?;
        }
        Origin::Joiner(members) => writeln!(text, "join = {members:?}")?,
    }
    Ok(())
}
